#include "vschema/traffic_state.h"

#include <algorithm>

#include <fmt/core.h>

#include "base/text.h"
#include "vschema/srv_keyspace.h"

namespace vitrail::vschema {

namespace {

using ::topodata::SrvKeyspace;
using ::topodata::TabletType;

std::string type_state(std::string_view word, const std::vector<std::string>& switched,
                       const std::vector<std::string>& not_switched) {
  if (switched.empty()) return fmt::format("{} not switched", word);
  if (not_switched.empty()) return fmt::format("All {} Reads Switched", word);
  return fmt::format("{} switched in cells: {}", word, base::join(switched, ","));
}

bool references(const SrvKeyspace::KeyspacePartition& partition, const shard::ShardName& shard) {
  const auto& list = partition.shard_references();
  return std::any_of(list.begin(), list.end(), [&](const auto& reference) { return reference.name() == shard.str(); });
}

}  // namespace

bool TrafficState::all_reads_switched() const {
  return replica_cells_not_switched.empty() && rdonly_cells_not_switched.empty() && any_reads_switched();
}

bool TrafficState::any_reads_switched() const {
  return !replica_cells_switched.empty() || !rdonly_cells_switched.empty();
}

std::string TrafficState::to_string() const {
  if (!exists) return "Not Created";
  const std::string_view writes = writes_switched ? "Writes Switched" : "Writes Not Switched";
  if (is_partial) {
    if (shards_switched.empty()) return "Reads Not Switched. Writes Not Switched";
    if (shards_not_switched.empty()) return "All Reads Switched. Writes Switched";
    const std::string shards = base::join(shards_switched, ",");
    return fmt::format("Reads partially switched, for shards: {}. Writes partially switched, for shards: {}", shards,
                       shards);
  }
  if (all_reads_switched()) return fmt::format("All Reads Switched. {}", writes);
  if (!any_reads_switched()) return fmt::format("Reads Not Switched. {}", writes);
  return fmt::format("Reads partially switched. {}. {}. {}",
                     type_state("Replica", replica_cells_switched, replica_cells_not_switched),
                     type_state("Rdonly", rdonly_cells_switched, rdonly_cells_not_switched), writes);
}

TrafficState move_tables_state(const TableMove& move,
                               const std::map<std::string, const ::vschema::RoutingRules*>& cell_rules,
                               const ::vschema::RoutingRules& rules) {
  TrafficState state;
  for (const auto& [cell, local] : cell_rules) {
    const bool replica = are_reads_switched(*local, move, ::topodata::REPLICA);
    const bool rdonly = are_reads_switched(*local, move, ::topodata::RDONLY);
    (replica ? state.replica_cells_switched : state.replica_cells_not_switched).push_back(cell);
    (rdonly ? state.rdonly_cells_switched : state.rdonly_cells_not_switched).push_back(cell);
  }
  state.writes_switched = are_writes_switched(rules, move);
  return state;
}

TrafficState partial_move_tables_state(std::string_view source_keyspace, std::string_view target_keyspace,
                                       std::span<const std::string> shards, const ::vschema::ShardRoutingRules& rules) {
  TrafficState state;
  state.is_partial = true;
  for (const std::string& shard : shards) {
    const bool switched = std::any_of(rules.rules().begin(), rules.rules().end(), [&](const auto& rule) {
      return rule.from_keyspace() == source_keyspace && rule.to_keyspace() == target_keyspace && rule.shard() == shard;
    });
    (switched ? state.shards_switched : state.shards_not_switched).push_back(shard);
  }
  std::sort(state.shards_switched.begin(), state.shards_switched.end());
  std::sort(state.shards_not_switched.begin(), state.shards_not_switched.end());
  state.writes_switched = !state.shards_switched.empty() && state.shards_not_switched.empty();
  return state;
}

TrafficState reshard_state(std::span<const shard::ShardName> sources, std::span<const shard::ShardName> targets,
                           const std::map<std::string, const SrvKeyspace*>& cells, bool sources_primary_serving) {
  TrafficState state;
  for (const auto& [cell, record] : cells) {
    const auto note = [&](TabletType type, std::vector<std::string>& switched, std::vector<std::string>& not_switched) {
      const auto* partition = find_partition(*record, type);
      if (partition == nullptr) return;
      const auto referenced = [&](const shard::ShardName& shard) { return references(*partition, shard); };
      const bool done = std::all_of(targets.begin(), targets.end(), referenced) &&
                        std::none_of(sources.begin(), sources.end(), referenced);
      (done ? switched : not_switched).push_back(cell);
    };
    note(::topodata::REPLICA, state.replica_cells_switched, state.replica_cells_not_switched);
    note(::topodata::RDONLY, state.rdonly_cells_switched, state.rdonly_cells_not_switched);
  }
  state.writes_switched = !sources_primary_serving;
  return state;
}

}  // namespace vitrail::vschema
