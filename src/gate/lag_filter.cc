#include "gate/lag_filter.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace vitrail::gate {

std::vector<size_t> usable_replicas(const std::vector<int64_t>& lags_seconds, const LagLimits& limits) {
  std::vector<size_t> order(lags_seconds.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::sort(order, {}, [&](size_t i) { return std::pair(lags_seconds[i], i); });
  const base::Duration low = limits.low.load();
  const base::Duration high = limits.high.load();
  const auto count_min = static_cast<size_t>(std::max<int64_t>(limits.count_min.load(), 0));
  std::vector<size_t> used;
  for (const size_t i : order) {
    const std::chrono::seconds lag(lags_seconds[i]);
    if (lag > low && (lag > high || used.size() >= count_min)) break;
    used.push_back(i);
  }
  std::ranges::sort(used);
  return used;
}

}  // namespace vitrail::gate
