#pragma once

#include "control/tablet_client.h"
#include "net/loop.h"
#include "rpc/server.h"

namespace vitrail::control::states {

// ShardingWorkflowCreate, ...Act, ...Show and ...List of /vtctlservice.Vtctld (proto/shardingworkflow.proto), before
// the server starts. They use the server's other methods. `tablets` outlives it.
void register_methods(rpc::Server& server, net::Loop& loop, TabletClient& tablets);

}  // namespace vitrail::control::states
