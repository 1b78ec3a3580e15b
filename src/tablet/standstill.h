#pragma once

#include <time.h>

#include <atomic>
#include <chrono>
#include <cstdint>

#include "base/clock.h"

namespace vitrail::tablet {

// Notices that this process stood still (SIGSTOP, a paused machine, a starved one): what it knows of its shard is then
// of before, and another tablet may have become the primary. Somebody who knows says beat() again and again; whoever is
// about to act as a primary asks stood_still(), which is true from kMax behind the last beat until the next one.
//   Threads: any.
class Standstill {
 public:
  static constexpr base::Duration kMax = std::chrono::seconds(3);
  static constexpr base::Duration kInterval = std::chrono::milliseconds(250);  // Between beats.

  void beat() { last_ = now(); }
  // False before the first beat.
  bool stood_still() const { return now() - last_.load(std::memory_order_relaxed) > kMax.count(); }

 private:
  // On the path of every statement: the coarse clock costs a few instructions.
  static int64_t now() {
    timespec at;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &at);
    return at.tv_sec * 1'000'000'000 + at.tv_nsec;
  }
  std::atomic<int64_t> last_{INT64_MAX};
};

}  // namespace vitrail::tablet
