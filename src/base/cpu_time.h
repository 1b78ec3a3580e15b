#pragma once

#include <time.h>

#include "base/clock.h"

namespace vitrail::base {

// What the calling thread has used of a processor so far: unlike the clock it stands while the thread waits for one.
inline Duration thread_cpu_time() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

}  // namespace vitrail::base
