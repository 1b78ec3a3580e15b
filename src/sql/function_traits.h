#pragma once

#include <cstdint>
#include <string_view>

namespace vitrail::sql {

// What the value of a built-in function follows from. A function without any of these may be of a session
// (LAST_INSERT_ID, GET_LOCK), of chance (RAND, UUID), of the moment whatever SET timestamp says (SYSDATE), or of a
// user's own making.
namespace function {
inline constexpr uint8_t kOfArguments = 1;  // Its arguments and the session's settings.
inline constexpr uint8_t kOfClock = 2;      // Those, and the clock that SET timestamp sets.
inline constexpr uint8_t kAggregate = 4;    // Those of its arguments in all rows of a group.
// Beside kOfArguments: the arguments' values alone. No setting (DATE_FORMAT, WEEK), not how wide an argument's type is,
// and it does not compare (a literal and a column are not compared alike).
inline constexpr uint8_t kOfValues = 8;
inline constexpr uint8_t kRounded = 16;  // Beside kOfArguments: the last digit may be another one on another machine.
}  // namespace function

// Bits of `function`, of a name in lower case; 0: nothing is known.
//   Source: "Built-in Functions" of the MariaDB Knowledge Base, chapter 12 of the MySQL 8.4 Reference Manual.
uint8_t function_traits(std::string_view name);

}  // namespace vitrail::sql
