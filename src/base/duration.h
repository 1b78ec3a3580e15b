#pragma once

#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"

namespace vitrail::base {

// Durations as Go's time package writes them: "31s", "1h30m", "500ms", "1.5s", "-2m", "0". Units: ns, us, µs, ms, s, m,
// h.
//   kInvalidArgument  no number, no unit (except for "0"), unknown unit, or more than 292 years.
Result<Duration> parse_duration(std::string_view text);

// The inverse, in Go's form: "1h30m0s", "1.5s", "500ms", "0s".
std::string format_duration(Duration value);

}  // namespace vitrail::base
