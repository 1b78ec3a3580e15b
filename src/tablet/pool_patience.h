#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/clock.h"

namespace vitrail::tablet {

// Whether a wait for a connection is worth beginning. In front of a saturated or silent server the queue grows until
// each wait in it is in vain: then who comes is told at once that there is too much to do, and not when his time is
// over; so the queue holds those who will be served.
//
// What is known: how long it takes from one that is served to the next, on average of the last dozen, since the queue
// began; and how long ago the last one was.
//
//   Threads: one.
class PoolPatience {
 public:
  // Somebody wants a connection and none is free; `waiting` are before it. False: he will not get one within `limit`.
  bool worth_waiting(base::TimePoint now, size_t waiting, base::Duration limit) {
    if (waiting == 0) {  // A queue begins with him: nothing is known of it.
      last_ = now;
      served_ = 0;
      pace_ = base::Duration(0);
      return true;
    }
    const base::Duration still = now - last_;  // Nobody was served for so long.
    const base::Duration pace = served_ < kKnown ? base::Duration(0) : pace_;
    return std::max(still, pace * static_cast<int64_t>(waiting)) <= limit;
  }
  // One of them got his connection.
  void served(base::TimePoint now) {
    const base::Duration gap = now - last_;
    pace_ = served_ == 0 ? gap : pace_ + (gap - pace_) / kWeight;
    ++served_;
    last_ = now;
  }

 private:
  static constexpr size_t kKnown = 16;  // So many have to be served before their pace says something.
  static constexpr int64_t kWeight = 12;

  base::TimePoint last_{};
  base::Duration pace_{0};
  size_t served_ = 0;
};

}  // namespace vitrail::tablet
