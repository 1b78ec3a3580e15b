#pragma once

#include <span>

#include "control/workflow/engine/record.h"

namespace vitrail::control {

// What two workflows at once would do to each other's rows: refused by name, when a workflow is created and when it is
// switched. Pure.
//   kFailedPrecondition: names the other workflow and what both of them have: a name (also of a reverse workflow), a
//   table, a range of keys, or a keyspace of which one splits the shards.
Status check_conflicts(const engine::Record& wanted, std::span<const engine::StoredRecord> others);

// Before a shard is deleted, or ("") a keyspace: whether a workflow copies from it or into it. One whose writes are
// switched does not count: then its source may go. Pure.
//   kFailedPrecondition: names the workflow.
Status check_unused(const std::string& keyspace, const std::string& shard,
                    std::span<const engine::StoredRecord> records);

}  // namespace vitrail::control
