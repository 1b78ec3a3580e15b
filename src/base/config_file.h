#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace vitrail::base {

// One key of a config file. A list has any number of values, everything else one, in the text form of the flag.
struct ConfigEntry {
  std::string key;
  std::vector<std::string> values;
};

// Reads a flat config file: a JSON object, or YAML of "key: value", "key: [a, b]" and "key:" with "- item" lines, with
// comments and quoted scalars. The first character tells them apart. kInvalidArgument with the line otherwise; nested
// objects are refused.
Result<std::vector<ConfigEntry>> parse_config(std::string_view text);

}  // namespace vitrail::base
