#pragma once

#include "control/workflow/model.h"
#include "vtctldata.pb.h"

namespace vitrail::control {

// MoveTables create (vitess-interfaces 6.4): schema on the targets, streams, routing rules, start.
//   kInvalidArgument, kFailedPrecondition with Vitess's words ("no tables to move", "source and target keyspace must be
//   different for MoveTables workflows", "some streams already exist ..."): nothing was changed, or it was undone.
net::Task<Status> create_move_tables(TabletClient& tablets, ::vtctldata::MoveTablesCreateRequest request);

// Reshard create: the same within one keyspace, by key range.
net::Task<Status> create_reshard(TabletClient& tablets, ::vtctldata::ReshardCreateRequest request);

}  // namespace vitrail::control
