#pragma once

#include "control/workflow/model.h"
#include "vtctldata.pb.h"

namespace vitrail::control {

// Complete, for MoveTables and Reshard: all traffic must be switched. Drops (or renames, or keeps) the source's tables
// or deletes its shards, and removes streams, denied tables and rules. Safe to repeat when it was interrupted.
net::Task<Result<::vtctldata::MoveTablesCompleteResponse>> complete_workflow(
    TabletClient& tablets, ::vtctldata::MoveTablesCompleteRequest request);

// Cancel: only while writes are not switched. Removes streams, rules and (unless kept) the copies on the target.
net::Task<Result<::vtctldata::WorkflowDeleteResponse>> cancel_workflow(TabletClient& tablets,
                                                                       ::vtctldata::WorkflowDeleteRequest request);

}  // namespace vitrail::control
