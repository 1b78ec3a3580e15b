#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace vitrail::base {

// Lower-case hexadecimal digits, two per byte.
std::string hex_encode(std::string_view bytes);

// Bytes of an even number of hexadecimal digits of either case. kInvalidArgument otherwise.
Result<std::string> hex_decode(std::string_view digits);

}  // namespace vitrail::base
