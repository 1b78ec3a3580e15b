#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace vitrail::shard {

// The text of a small file that a vindex parameter names (at most 16 MiB). kNotFound: "open <path>: no such file or
// directory", and the like.
Result<std::string> read_parameter_file(const std::string& path);

}  // namespace vitrail::shard
