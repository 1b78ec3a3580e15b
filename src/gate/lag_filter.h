#pragma once

#include <atomic>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"

namespace vitrail::gate {

// How much replication lag a replica may have and still get queries. Live: changed while others read.
struct LagLimits {
  std::atomic<base::Duration> low{std::chrono::seconds(30)};  // Always good enough.
  std::atomic<base::Duration> high{std::chrono::hours(2)};    // Never good enough beyond it.
  std::atomic<int64_t> count_min{2};  // While fewer than these are good enough, the least lagging others are used, too.
};

// A healthy replica of a target, as far as the choice between them goes.
struct Replica {
  std::string cell;
  int64_t lag_seconds = 0;
};

// Of the replicas of one target: which to use (indexes, ascending). Only those of the own cell and its `peers` (the
// cells of its alias) count. Of these the ones that usable_replicas() takes; and where some of them are in the own
// cell, those alone.
std::vector<size_t> choose_replicas(const std::vector<Replica>& replicas, std::string_view own_cell,
                                    const std::set<std::string, std::less<>>& peers, const LagLimits& limits);

// Of the replicas of one target with these lags, in seconds: which to use (indexes). Those with at most `low`, and,
// while they are fewer than count_min, the best of those with at most `high`.
std::vector<size_t> usable_replicas(const std::vector<int64_t>& lags_seconds, const LagLimits& limits);

}  // namespace vitrail::gate
