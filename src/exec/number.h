#pragma once

#include <compare>
#include <optional>
#include <string>
#include <string_view>

namespace vitrail::exec {

// Exact arithmetic on decimal texts ("-12.50"), as integers and DECIMALs of MySQL are sent. nullopt for a text that is
// no plain decimal number.
std::optional<std::string> add_decimals(std::string_view a, std::string_view b);
std::optional<std::strong_ordering> compare_decimals(std::string_view a, std::string_view b);

}  // namespace vitrail::exec
