#pragma once

#include <compare>
#include <optional>
#include <string>
#include <string_view>

namespace vitrail::exec {

// Exact arithmetic on decimal texts ("-12.50"), as integers and DECIMALs of MySQL are sent. nullopt for a text that is
// no plain decimal number.
std::optional<std::string> add_decimals(std::string_view a, std::string_view b);
// sum / count as AVG has it, with so many digits behind the point: servers divide to a multiple of nine digits, cut,
// and round those, a half away from zero. nullopt, too, for a sum with more such digits, and for a count that is not a
// positive whole number.
std::optional<std::string> divide_decimal(std::string_view sum, std::string_view count, size_t decimals);
// The one text of all that are equal: without needless zeros, point and signs.
std::optional<std::string> plain_decimal(std::string_view text);
std::optional<std::strong_ordering> compare_decimals(std::string_view a, std::string_view b);

}  // namespace vitrail::exec
