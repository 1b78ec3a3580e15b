#pragma once

#include <compare>
#include <optional>
#include <string>
#include <string_view>

namespace vitrail::exec {

// Exact arithmetic on decimal texts ("-12.50"), as integers and DECIMALs of MySQL are sent. nullopt for a text that is
// no plain decimal number.
std::optional<std::string> add_decimals(std::string_view a, std::string_view b);
// The one text of all that are equal: without needless zeros, point and signs.
std::optional<std::string> plain_decimal(std::string_view text);
std::optional<std::strong_ordering> compare_decimals(std::string_view a, std::string_view b);

}  // namespace vitrail::exec
