#pragma once

#include <span>

#include "control/workflow/engine/record.h"

namespace vitrail::control {

// What two workflows at once would do to each other's rows: refused by name, when a workflow is created and when it is
// switched. Pure.
//   kFailedPrecondition: names the other workflow and what both of them have: a name (also of a reverse workflow), a
//   table, a range of keys, or a keyspace of which one splits the shards.
Status check_conflicts(const engine::Record& wanted, std::span<const engine::StoredRecord> others);

}  // namespace vitrail::control
