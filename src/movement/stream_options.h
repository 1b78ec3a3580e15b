#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "movement/engine.h"

// What a workflow asks of its streams: the options column of _vt.vreplication, JSON of vtctldata.WorkflowOptions.
namespace vitrail::movement {

// The engine's settings, or what --config-overrides says of them. Vitess' names, with '-' or '_':
//   vreplication-retry-delay                 the longest pause between attempts
//   vreplication-max-time-to-retry-on-error  for how long the same failure is tried again; 0: for ever
//   vreplication-heartbeat-update-interval   seconds between the positions of an idle stream
//   vreplication-replica-lag-tolerance       a copy is over only when the stream lags less
//   vreplication-net-read-timeout, vreplication-net-write-timeout   seconds; of the connection that applies
//   vreplication-parallel-insert-workers     how many pieces of a copy are inserted at the same time
//   relay-log-max-size                       bytes of source transactions that are applied as one
struct StreamOptions {
  std::string tenant_id;  // Empty: all rows of the target's tables are the workflow's.
  base::Duration retry_delay_min{};
  base::Duration retry_delay_max{};
  base::Duration retry_max{};
  base::Duration heartbeat_interval{};
  base::Duration lag_tolerance{};
  uint64_t group_bytes_max = 0;
  size_t copy_lanes = 1;
  int net_read_timeout = 600;
  int net_write_timeout = 600;
};

// `defaults`: of the engine.
StreamOptions default_stream_options(const EngineOptions& defaults);
//   kInvalidArgument: not a value for it. kUnimplemented: there is nothing here that this name would change.
Status apply_override(StreamOptions& options, const std::string& name, const std::string& value);
// For whoever accepts them.
Status check_overrides(const std::map<std::string, std::string>& overrides);
// kInvalidArgument: not such a text.
Result<StreamOptions> read_stream_options(std::string_view text, const EngineOptions& defaults);

}  // namespace vitrail::movement
