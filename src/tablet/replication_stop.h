#pragma once

#include "mysqld/flavor.h"
#include "replicationdata.pb.h"
#include "tablet/local_server.h"

namespace vitrail::tablet {

::replicationdata::Status to_proto(const mysqld::ReplicationStatus& status, std::string_view prefix);

// StopReplicationAndGetStatus: a step of an emergency reparent. Stops receiving (IOTHREADONLY) or all of replication,
// and tells the states before and after. `after.position` is what the server has executed, own transactions included;
// `after.relay_log_position` is what it has executed and what waits in its relay log completely.
//   kFailedPrecondition: no replica, or what it has received cannot be applied.
net::Task<Result<::replicationdata::StopReplicationStatus>> stop_and_get_status(
    LocalServer& server, ::replicationdata::StopReplicationMode mode, net::Wait wait);

}  // namespace vitrail::tablet
