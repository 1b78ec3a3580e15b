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

std::vector<size_t> choose_replicas(const std::vector<Replica>& replicas, std::string_view own_cell,
                                    const std::set<std::string, std::less<>>& peers, const LagLimits& limits) {
  std::vector<size_t> near;
  std::vector<int64_t> lags;
  for (size_t i = 0; i < replicas.size(); ++i) {
    if (replicas[i].cell != own_cell && !peers.contains(replicas[i].cell)) continue;
    near.push_back(i);
    lags.push_back(replicas[i].lag_seconds);
  }
  std::vector<size_t> used;
  for (const size_t i : usable_replicas(lags, limits)) used.push_back(near[i]);
  const auto is_own = [&](size_t i) { return replicas[i].cell == own_cell; };
  if (std::ranges::any_of(used, is_own)) std::erase_if(used, [&](size_t i) { return !is_own(i); });
  return used;
}

}  // namespace vitrail::gate
