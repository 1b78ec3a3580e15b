#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "base/clock.h"

namespace vitrail::gate {

// How much replication lag a replica may have and still get queries. Live: changed while others read.
struct LagLimits {
  std::atomic<base::Duration> low{std::chrono::seconds(30)};  // Always good enough.
  std::atomic<base::Duration> high{std::chrono::hours(2)};    // Never good enough beyond it.
  std::atomic<int64_t> count_min{2};  // While fewer than these are good enough, the least lagging others are used, too.
};

// Of the replicas of one target with these lags, in seconds: which to use (indexes). Those with at most `low`, and,
// while they are fewer than count_min, the best of those with at most `high`.
std::vector<size_t> usable_replicas(const std::vector<int64_t>& lags_seconds, const LagLimits& limits);

}  // namespace vitrail::gate
