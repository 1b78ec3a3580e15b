#include "control/validate.h"

#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "control/reparent.h"
#include "net/scope.h"
#include "shard/shard_name.h"
#include "tabletmanagerdata.pb.h"
#include "topo/cells.h"
#include "topo/durability.h"
#include "topo/keyspace.h"
#include "topo/srv_keyspace.h"

namespace vitrail::control {
namespace {

namespace vd = ::vtctldata;
namespace tmd = ::tabletmanagerdata;
using namespace std::chrono_literals;
using Problems = std::vector<std::string>;

std::string name_of(const ::topodata::Tablet& tablet) { return topo::alias_to_string(tablet.alias()); }

void check_primary(const topo::ShardInfo& shard, const std::vector<::topodata::Tablet>& tablets, Problems& problems) {
  const std::string name = shard.keyspace + "/" + shard.name;
  if (!shard.record.has_primary_alias()) {
    problems.push_back("no primary for shard " + name);
  }
  const std::string primary = topo::alias_to_string(shard.record.primary_alias());
  bool found = false;
  for (const auto& tablet : tablets) {
    const bool is_it =
        shard.record.has_primary_alias() && topo::same_alias(tablet.alias(), shard.record.primary_alias());
    found = found || is_it;
    if (is_it && tablet.type() != ::topodata::PRIMARY) {
      problems.push_back(fmt::format("primary mismatch for shard {}: {} is its primary, and its tablet record says {}",
                                     name, primary, topo::tablet_type_to_string(tablet.type())));
    }
    if (!is_it && tablet.type() == ::topodata::PRIMARY) {
      problems.push_back(shard.record.has_primary_alias()
                             ? fmt::format("shard {} already has primary {} but found other primary {}", name, primary,
                                           name_of(tablet))
                             : fmt::format("shard {} has no primary but found primary {}", name, name_of(tablet)));
    }
  }
  if (shard.record.has_primary_alias() && !found) {
    problems.push_back(fmt::format("primary {} of shard {} has no tablet record in that shard", primary, name));
  }
}

// What the shard's name says must be what the tablets' records say, and the shard's own.
void check_ranges(const topo::ShardInfo& shard, const std::vector<::topodata::Tablet>& tablets, Problems& problems) {
  const auto parsed = shard::ShardName::parse(shard.name);
  if (!parsed.ok()) {
    problems.push_back(parsed.error().message());
    return;
  }
  if (!(topo::covered_range(shard.record) == parsed->covered_range())) {
    problems.push_back(
        fmt::format("the key range in the record of shard {}/{} is not that of its name", shard.keyspace, shard.name));
  }
  for (const auto& tablet : tablets) {
    const auto range = tablet.has_key_range() ? topo::from_proto(tablet.key_range()) : shard::KeyRange();
    if (!(range == parsed->covered_range())) {
      problems.push_back(fmt::format("the key range in the record of tablet {} is not that of its shard {}/{}",
                                     name_of(tablet), shard.keyspace, shard.name));
    }
  }
}

net::Task<void> check_graph(topo::Server& topology, const topo::ShardInfo& shard,
                            const std::vector<::topodata::Tablet>& tablets, Problems& problems) {
  std::set<std::string> cells, missing;
  for (const auto& tablet : tablets) {
    cells.insert(tablet.alias().cell());
    missing.insert(name_of(tablet));
  }
  const auto all = co_await topo::get_cell_names(topology);
  if (all.ok()) cells.insert(all->begin(), all->end());
  for (const auto& cell : cells) {
    const auto graph = co_await topo::get_shard_replication(topology, cell, shard.keyspace, shard.name);
    if (!graph.ok()) {
      if (graph.error().code() != Code::kNotFound) problems.push_back(graph.error().message());
      continue;
    }
    for (const auto& node : graph->nodes()) {
      const std::string alias = topo::alias_to_string(node.tablet_alias());
      if (missing.erase(alias) > 0) continue;
      problems.push_back(
          fmt::format("tablet {} is in the replication graph of {}/{} in cell {} and has no record there", alias,
                      shard.keyspace, shard.name, cell));
    }
  }
  for (const auto& alias : missing) {
    problems.push_back(
        fmt::format("tablet {} is not in the replication graph of {}/{}", alias, shard.keyspace, shard.name));
  }
}

net::Task<void> ping(TabletClient& client, ::topodata::Tablet tablet, const ::topodata::Tablet* primary,
                     std::string& problem) {
  auto answered = co_await client.call<tmd::PingResponse>(tablet, "Ping", tmd::PingRequest(), net::Wait::within(10s));
  if (!answered.ok()) {
    problem = "tablet does not answer: " + answered.error().message();
    co_return;
  }
  if (primary == nullptr || tablet.type() == ::topodata::PRIMARY || !topo::is_replica_type(tablet.type())) co_return;
  auto status = co_await client.call<tmd::ReplicationStatusResponse>(
      tablet, "ReplicationStatus", tmd::ReplicationStatusRequest(), net::Wait::within(10s));
  if (!status.ok()) {
    problem = status.error().message();
    co_return;
  }
  const auto& state = status->status();
  constexpr int kRunning = 3;
  if (state.source_host() != primary->mysql_hostname() || state.source_port() != primary->mysql_port()) {
    problem = fmt::format("replica {} does not replicate from the primary {} at {}:{} but from {}:{}", name_of(tablet),
                          name_of(*primary), primary->mysql_hostname(), primary->mysql_port(), state.source_host(),
                          state.source_port());
  } else if (state.io_state() != kRunning || state.sql_state() != kRunning) {
    const std::string& text = state.last_io_error().empty() ? state.last_sql_error() : state.last_io_error();
    problem = fmt::format("replication is not running on {}{}{}", name_of(tablet), text.empty() ? "" : ": ", text);
  }
}

net::Task<void> check_serving_graph(topo::Server& topology, const std::string& keyspace,
                                    const std::map<std::string, topo::ShardInfo>& shards,
                                    const std::set<std::string>& cells_with_tablets, Problems& problems) {
  const auto cells = co_await topo::get_cell_names(topology);
  if (!cells.ok()) {
    problems.push_back(cells.error().message());
    co_return;
  }
  for (const auto& cell : *cells) {
    const auto record = co_await topo::get_srv_keyspace(topology, cell, keyspace);
    if (!record.ok()) {
      // A cell without tablets of the keyspace need not know it.
      const bool missing = record.error().code() == Code::kNotFound;
      if (!missing || cells_with_tablets.contains(cell)) problems.push_back(record.error().message());
      continue;
    }
    if (Status complete = topo::check_partitions(record->record, cell, keyspace); !complete.ok()) {
      problems.push_back(complete.error().message());
    }
    std::set<std::string> unknown;
    for (const auto& partition : record->record.partitions()) {
      for (const auto& reference : partition.shard_references()) {
        if (!shards.contains(reference.name())) unknown.insert(reference.name());
      }
    }
    for (const auto& name : unknown) {
      problems.push_back(
          fmt::format("the serving graph of keyspace {} in cell {} refers to shard {}, which does not "
                      "exist",
                      keyspace, cell, name));
    }
  }
}

}  // namespace

const std::vector<::topodata::Tablet>& TabletIndex::of(const std::string& keyspace, const std::string& shard) const {
  static const std::vector<::topodata::Tablet> kNone;
  const auto found = by_shard.find({keyspace, shard});
  return found == by_shard.end() ? kNone : found->second;
}

net::Task<Result<TabletIndex>> read_tablets(TabletClient& client, std::string keyspace) {
  topo::TabletQuery query;
  query.keyspace = std::move(keyspace);
  CO_ASSIGN_OR_RETURN(auto list, co_await topo::find_tablets(client.topology(), std::move(query)));
  TabletIndex index;
  for (auto& tablet : list.tablets) {
    index.by_shard[{tablet.keyspace(), tablet.shard()}].push_back(std::move(tablet));
  }
  for (const auto& [cell, error] : list.failed) index.problems.push_back("cell " + cell + ": " + error.message());
  co_return index;
}

net::Task<Problems> validate_shard(TabletClient& client, const topo::ShardInfo& shard, const TabletIndex& index,
                                   bool ping_tablets) {
  Problems problems;
  const auto& tablets = index.of(shard.keyspace, shard.name);
  check_primary(shard, tablets, problems);
  check_ranges(shard, tablets, problems);
  co_await check_graph(client.topology(), shard, tablets, problems);
  if (!ping_tablets) co_return problems;
  const ::topodata::Tablet* primary = nullptr;
  for (const auto& tablet : tablets) {
    if (shard.record.has_primary_alias() && topo::same_alias(tablet.alias(), shard.record.primary_alias())) {
      primary = &tablet;
    }
  }
  std::vector<std::string> answers(tablets.size());
  std::vector<net::Task<void>> pings;
  for (size_t i = 0; i < tablets.size(); ++i) pings.push_back(ping(client, tablets[i], primary, answers[i]));
  co_await net::when_all(std::move(pings));
  for (auto& answer : answers) {
    if (!answer.empty()) problems.push_back(std::move(answer));
  }
  const auto policy = co_await topo::get_durability(client.topology(), shard.keyspace);
  if (!policy.ok() || policy->acks_needed() == 0) co_return problems;
  std::vector<std::string> lacking(tablets.size());
  std::vector<net::Task<void>> looks;
  for (size_t i = 0; i < tablets.size(); ++i) {
    looks.push_back(look_for_semi_sync(client, tablets[i], 10s, lacking[i]));
  }
  co_await net::when_all(std::move(looks));
  for (auto& problem : lacking) {
    if (!problem.empty()) problems.push_back(std::move(problem));
  }
  co_return problems;
}

net::Task<Result<vd::ValidateKeyspaceResponse>> validate_keyspace(TabletClient& client, std::string keyspace,
                                                                  const TabletIndex& tablets, bool ping_tablets) {
  CO_ASSIGN_OR_RETURN(const auto record, co_await topo::get_keyspace(client.topology(), keyspace));
  CO_ASSIGN_OR_RETURN(const auto shards, co_await topo::find_all_shards(client.topology(), keyspace));
  vd::ValidateKeyspaceResponse out;
  Problems problems;
  if (shards.empty()) {
    problems.push_back("no shards in keyspace " + keyspace);
  } else {
    std::set<std::string> cells;
    for (const auto& [name, shard] : shards) {
      for (const auto& tablet : tablets.of(keyspace, name)) cells.insert(tablet.alias().cell());
    }
    co_await check_serving_graph(client.topology(), keyspace, shards, cells, problems);
  }
  out.mutable_results()->Add(problems.begin(), problems.end());
  for (const auto& [name, shard] : shards) {
    const Problems found = co_await validate_shard(client, shard, tablets, ping_tablets);
    (*out.mutable_results_by_shard())[name].mutable_results()->Add(found.begin(), found.end());
  }
  co_return out;
}

net::Task<Result<vd::ValidateResponse>> validate_all(TabletClient& client, bool ping_tablets) {
  CO_ASSIGN_OR_RETURN(const auto keyspaces, co_await topo::get_keyspaces(client.topology()));
  CO_ASSIGN_OR_RETURN(auto index, co_await read_tablets(client, ""));
  vd::ValidateResponse out;
  Problems problems = index.problems;
  std::set<std::pair<std::string, std::string>> known;
  for (const auto& keyspace : keyspaces) {
    auto found = co_await validate_keyspace(client, keyspace, index, ping_tablets);
    if (!found.ok()) {
      if (found.error().code() != Code::kNotFound) problems.push_back(found.error().message());
      continue;
    }
    for (const auto& [shard, results] : found->results_by_shard()) known.emplace(keyspace, shard);
    (*out.mutable_results_by_keyspace())[keyspace] = std::move(*found);
  }
  for (const auto& [where, tablets] : index.by_shard) {
    if (known.contains(where)) continue;
    for (const auto& tablet : tablets) {
      problems.push_back(fmt::format("tablet {} belongs to shard {}/{}, which does not exist", name_of(tablet),
                                     where.first, where.second));
    }
  }
  out.mutable_results()->Add(problems.begin(), problems.end());
  co_return out;
}

}  // namespace vitrail::control
