#pragma once

#include <span>
#include <string>
#include <string_view>

#include "mysql/types.h"

namespace vitrail::gate {

// `text` with the values in the places of its parameters ('?'), as literals. Parameters without a value stay.
std::string with_literals(std::string_view text, std::span<const mysql::Value> values);

// Whether `text` matches a pattern of LIKE ('%', '_', '\' before either), without regard to the case of ASCII letters.
bool matches_like(std::string_view text, std::string_view pattern);

}  // namespace vitrail::gate
