#pragma once

#include <chrono>

namespace vitrail::base {

using Duration = std::chrono::nanoseconds;
using TimePoint = std::chrono::time_point<std::chrono::steady_clock, Duration>;  // Monotonic.
using WallTime = std::chrono::time_point<std::chrono::system_clock, Duration>;   // For records and people only.

// Source of time. Components take a Clock& so that tests can move it; nothing calls std::chrono's now() directly.
//   Threads: implementations are safe to read from any thread.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual TimePoint now() const = 0;
  virtual WallTime wall_now() const = 0;
};

// The real clock. Lives as long as the process.
const Clock& system_clock();

}  // namespace vitrail::base
