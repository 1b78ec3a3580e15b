#pragma once

#include <functional>
#include <optional>
#include <string>

#include "control/tablet_client.h"

namespace vitrail::control {

struct PlannedReparentOptions {
  std::string keyspace;
  std::string shard;
  std::optional<::topodata::TabletAlias> new_primary;
  std::optional<::topodata::TabletAlias> avoid_primary;
  std::optional<::topodata::TabletAlias> expected_primary;
  base::Duration wait_replicas_timeout = std::chrono::seconds(15);
};

// PlannedReparentShard: elects the first primary of a shard, or moves the role to another tablet without losing
// anything. Repeating it brings a half-done change to its end.
//   Returns the primary's alias. kFailedPrecondition when the shard's state does not allow it; what went wrong on the
//   way is undone (the old primary serves again).
net::Task<Result<::topodata::TabletAlias>> planned_reparent_shard(TabletClient& tablets,
                                                                  PlannedReparentOptions options);

}  // namespace vitrail::control
