#pragma once

#include <span>
#include <string>
#include <vector>

#include "control/workflow/engine/record.h"
#include "control/workflow/sides.h"
#include "vschema.pb.h"
#include "vschema/traffic_state.h"

// MoveTables of some of the shards (--source-shards): each workflow moves its shards with all their tables, reads and
// writes together, by shard routing rules. Until the last one is completed, the rules for tables lead to the source,
// and those for shards from there to where the shard is.
namespace vitrail::control {

inline constexpr const char* kPartialOption = "partial";

bool is_partial(const engine::Record& record);
bool is_ending(const engine::Record& record);  // It is being completed or cancelled: that is finished, come what may.

// Another workflow that moves other shards of the same keyspace to the same place. They share the rules.
bool are_siblings(const engine::Record& a, const engine::Record& b);

// Whether the rules go with this workflow, when it is completed or cancelled: no other one needs them. `others` are the
// records of all workflows.
bool is_last(const engine::Record& record, std::span<const engine::StoredRecord> others,
             const ::vschema::ShardRoutingRules& rules, bool cancelled);
net::Task<Result<bool>> read_is_last(topo::Server& topology, engine::Record record, bool cancelled);
// The source, for an operation that ends the workflow; no shards of it when it is to be ignored, which only MoveTables
// may (kInvalidArgument).
net::Task<Result<Side>> load_source(TabletClient& tablets, engine::Record record, bool ignored);

// The same row has to be in the shard of the same name on both sides: kFailedPrecondition names a table whose rows are
// placed otherwise.
Status check_same_places(const ::vschema::Keyspace& source, const ::vschema::Keyspace& target,
                         const std::vector<std::string>& tables);

// A rule leads whatever is in a shard: kFailedPrecondition names a table or view that stays behind.
net::Task<Status> check_whole_shards(TabletClient& tablets, Side source, std::vector<std::string> tables);

// Whether the routing leads the writes of this workflow to its target; of a partial one those of all its shards.
bool are_writes_switched(const vschema::TrafficState& state, const engine::Record& record);

// `given`: what --shards says, where all shards of a workflow go together. Empty is all of them.
Status check_all_shards(const engine::Record& record, std::vector<std::string> given);

}  // namespace vitrail::control
