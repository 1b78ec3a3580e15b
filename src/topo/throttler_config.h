#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "topo/locks.h"
#include "topo/server.h"
#include "topodata.pb.h"

// The throttler's configuration: Keyspace.throttler_config, copied into SrvKeyspace of every cell, where tablets read
// it.
namespace vitrail::topo {

// What tablets measure. `is_shard_wide`: unless told otherwise, the largest value of the shard's tablets counts.
struct ThrottlerMetric {
  std::string_view name;
  double threshold;  // While the configuration has none.
  bool is_shard_wide;
};
inline constexpr std::string_view kLagMetric = "lag";
inline constexpr std::string_view kCustomMetric = "custom";
inline constexpr ThrottlerMetric kThrottlerMetrics[] = {
    {kLagMetric, 5, true},
    {"threads_running", 100, false},
    {kCustomMetric, 0, false},
    {"loadavg", 1, false},  // Of the machine, per processor.
    {"history_list_length", 1'000'000'000, false},
};
const ThrottlerMetric* find_throttler_metric(std::string_view name);

// Which metric counts when none is named: custom with a custom query, else lag.
std::string_view default_throttler_metric(const ::topodata::ThrottlerConfig& config);
double throttler_threshold(const ::topodata::ThrottlerConfig& config, std::string_view metric);

// "lag", "self/lag", "shard/lag", "self", "shard": kInvalidArgument for others. An empty metric is the default one, an
// empty scope the metric's own.
struct ScopedMetric {
  std::string scope;
  std::string metric;
};
Result<ScopedMetric> parse_scoped_metric(std::string_view text);

// What one command changes; what is not set stays.
struct ThrottlerUpdate {
  bool enable = false;
  bool disable = false;
  double threshold = 0;  // 0: stays. Of `metric_name`, or of the default metric.
  std::string metric_name;
  std::optional<std::string> custom_query;          // Empty: none any more.
  std::optional<::topodata::ThrottledAppRule> app;  // One that has expired removes the app's rule.
  std::string app_name;
  std::vector<std::string> app_metrics;  // For app_name; none: as all others.
};
// kInvalidArgument says what makes no sense; then nothing is changed. Rules that have expired go.
Status apply_throttler_update(::topodata::ThrottlerConfig& config, const ThrottlerUpdate& update, base::WallTime now);

// Writes the keyspace's record, then the copy in each cell that serves it.
net::Task<Result<::topodata::ThrottlerConfig>> update_throttler(Server& server, const KeyspaceLock& lock,
                                                                ThrottlerUpdate update);

}  // namespace vitrail::topo
