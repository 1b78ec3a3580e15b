#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "shard/shard_name.h"
#include "topodata.pb.h"
#include "vschema.pb.h"
#include "vschema/routing_rules.h"

namespace vitrail::vschema {

// How far a workflow's traffic has been switched. Never stored: derived from the routing rules and the serving graph
// each time, so that it cannot disagree with what routers do.
struct TrafficState {
  bool exists = true;  // False: no such workflow.

  std::vector<std::string> replica_cells_switched;
  std::vector<std::string> replica_cells_not_switched;
  std::vector<std::string> rdonly_cells_switched;
  std::vector<std::string> rdonly_cells_not_switched;
  bool writes_switched = false;

  // A MoveTables of some of the shards switches reads and writes of a shard together.
  bool is_partial = false;
  std::vector<std::string> shards_switched;
  std::vector<std::string> shards_not_switched;

  bool all_reads_switched() const;
  bool any_reads_switched() const;
  // "Reads Not Switched. Writes Not Switched", and so on: Vitess's words.
  std::string to_string() const;
};

// `cell_rules`: the routing rules in each cell's SrvVSchema. `rules`: the global record.
TrafficState move_tables_state(const TableMove& move,
                               const std::map<std::string, const ::vschema::RoutingRules*>& cell_rules,
                               const ::vschema::RoutingRules& rules);

// By the keyspace's shard routing rules: a rule that leads from the source's shard to the target keyspace means
// switched.
TrafficState partial_move_tables_state(std::string_view source_keyspace, std::string_view target_keyspace,
                                       std::span<const std::string> shards, const ::vschema::ShardRoutingRules& rules);

// `cells`: each cell's SrvKeyspace. A type is switched in a cell when its partition has all targets and none of the
// sources; a cell without a partition for a type does not count. `sources_primary_serving`: is_primary_serving of the
// source shards' records (equal for all of them).
TrafficState reshard_state(std::span<const shard::ShardName> sources, std::span<const shard::ShardName> targets,
                           const std::map<std::string, const ::topodata::SrvKeyspace*>& cells,
                           bool sources_primary_serving);

}  // namespace vitrail::vschema
