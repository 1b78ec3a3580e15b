#pragma once

#include <string>
#include <vector>

#include "control/workflow/model.h"
#include "topo/record.h"

namespace vitrail::control {

struct MirrorOptions {
  std::string keyspace;  // Target keyspace of the workflow.
  std::string workflow;
  std::vector<::topodata::TabletType> types;  // Empty: PRIMARY, REPLICA, RDONLY.
  float percent = 0;                          // 0: no longer.
};

struct MirrorOutcome {
  std::string start_state;
  std::string current_state;
};

// MirrorTraffic of MoveTables: routers run so many of a hundred reads of the moved tables on the target again, and
// throw the answers away. Reads of primaries pass the target's denied tables then, writes do not. SwitchTraffic of a
// type ends it, Cancel and Complete do.
//   kInvalidArgument: "invalid action for Reshard workflow: MirrorTraffic", a wrong percentage or type.
//   kFailedPrecondition: "cannot mirror traffic for workflow W at this time: ...": nothing has changed.
net::Task<Result<MirrorOutcome>> mirror_traffic(TabletClient& tablets, MirrorOptions options);

// Whether such a request makes sense in this state; `percent` 0 does in any.
Status check_mirror(const MirrorOptions& options, const vschema::TrafficState& state);

// Of a workflow that is switched or given up. The serving vschemas are not rebuilt.
net::Task<Status> remove_mirrors(topo::Server& topology, topo::WriteGuard guard, vschema::TableMove move,
                                 std::vector<::topodata::TabletType> types);

}  // namespace vitrail::control
