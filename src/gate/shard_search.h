#pragma once

#include <cstddef>
#include <functional>
#include <span>

#include "gate/view.h"
#include "shard/keyspace_id.h"
#include "shard/vindex.h"

namespace vitrail::gate {

// Of shards in the order of their ranges, as a View has them, the one that has this id; null: none. Ten thousand cost
// little more than ten.
const ActiveShard* find_shard(std::span<const ActiveShard> shards, const shard::KeyspaceId& id);

// Calls `use` with the place of each of the shards that may have rows of a destination.
void each_shard(std::span<const ActiveShard> shards, const shard::Destination& destination,
                const std::function<void(size_t)>& use);

}  // namespace vitrail::gate
