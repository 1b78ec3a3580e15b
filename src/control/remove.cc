#include "control/remove.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>

#include "control/fan_out.h"
#include "shard/shard_name.h"
#include "topo/cells.h"
#include "topo/shard.h"
#include "topo/srv_keyspace.h"
#include "topo/tablet.h"

namespace vitrail::control {
namespace {

// Which cell's SrvKeyspace still refers to the shard; empty when none does.
net::Task<Result<std::string>> find_serving_cell(topo::Server& topology, std::string keyspace, std::string shard,
                                                 const std::vector<std::string>& cells) {
  for (const auto& cell : cells) {
    const auto record = co_await topo::get_srv_keyspace(topology, cell, keyspace);
    if (!record.ok()) {
      if (record.error().code() == Code::kNotFound) continue;
      co_return Error(record.error()).with_context("whether cell " + cell + " serves the shard");
    }
    for (const auto& partition : record->record.partitions()) {
      for (const auto& reference : partition.shard_references()) {
        if (reference.name() == shard) co_return cell;
      }
    }
  }
  co_return std::string();
}

bool remove_references(::topodata::SrvKeyspace& record, const std::string& shard) {
  bool changed = false;
  for (auto& partition : *record.mutable_partitions()) {
    auto& references = *partition.mutable_shard_references();
    auto& controls = *partition.mutable_shard_tablet_controls();
    const auto kept = std::ranges::remove_if(references, [&](const auto& item) { return item.name() == shard; });
    const auto kept_controls = std::ranges::remove_if(controls, [&](const auto& item) { return item.name() == shard; });
    changed = changed || !kept.empty() || !kept_controls.empty();
    references.erase(kept.begin(), kept.end());
    controls.erase(kept_controls.begin(), kept_controls.end());
  }
  return changed;
}

using Tablets = std::vector<::topodata::Tablet>;

// One name for what may be written as "80-C0" and "80-c0".
std::string plain_name(const std::string& shard) {
  const auto name = shard::ShardName::parse(shard);
  return name.ok() ? name->str() : shard;
}

// By shard; `shard` empty: of the whole keyspace. Nothing may be left behind.
net::Task<Result<std::map<std::string, Tablets>>> scan_tablets(topo::Server& topology, std::string keyspace,
                                                               std::string shard) {
  topo::TabletQuery query;
  query.keyspace = std::move(keyspace);
  query.shard = std::move(shard);
  query.scan = true;
  CO_ASSIGN_OR_RETURN(const auto list, co_await topo::find_tablets(topology, std::move(query)));
  if (!list.failed.empty()) co_return Error(list.failed.begin()->second);
  std::map<std::string, Tablets> out;
  for (const auto& tablet : list.tablets) out[plain_name(tablet.shard())].push_back(tablet);
  co_return std::move(out);
}

net::Task<Status> delete_known(topo::Server& topology, const topo::KeyspaceLock& lock, std::string shard,
                               Tablets tablets, const std::vector<std::string>& cells, DeleteShardOptions options) {
  const std::string keyspace = lock.keyspace();
  if (!options.even_if_serving) {
    CO_ASSIGN_OR_RETURN(const std::string serving, co_await find_serving_cell(topology, keyspace, shard, cells));
    if (!serving.empty()) {
      co_return fail(
          Code::kFailedPrecondition,
          fmt::format("shard {}/{} is still serving, cannot delete it, use the even-if-serving flag if needed",
                      keyspace, shard));
    }
  }
  if (!tablets.empty() && !options.recursive) {
    const std::string& cell = tablets.front().alias().cell();
    const auto count = std::ranges::count(tablets, cell, [](const auto& tablet) { return tablet.alias().cell(); });
    co_return fail(Code::kFailedPrecondition,
                   fmt::format("shard {}/{} still has {} tablets in cell {}; use --recursive or remove them manually",
                               keyspace, shard, count, cell));
  }
  for (const auto& tablet : tablets) CO_RETURN_IF_ERROR(co_await topo::delete_tablet(topology, tablet.alias()));
  for (const auto& cell : cells) {
    Status removed = co_await topo::delete_shard_replication(topology, cell, keyspace, shard);
    if (!removed.ok() && removed.error().code() != Code::kNotFound) co_return removed;
  }
  Status removed = co_await topo::delete_shard_record(topology, lock, shard);
  if (!removed.ok() && removed.error().code() != Code::kNotFound) co_return removed;
  co_return Status{};
}

net::Task<Status> delete_all(topo::Server& topology, const topo::KeyspaceLock& lock, std::vector<std::string> shards,
                             DeleteShardOptions options) {
  CO_ASSIGN_OR_RETURN(const auto cells, co_await topo::get_cell_names(topology));
  CO_ASSIGN_OR_RETURN(auto tablets, co_await scan_tablets(topology, lock.keyspace(), ""));
  co_return co_await for_all<std::string>(std::move(shards), [&](std::string shard) {
    Tablets own = std::move(tablets[plain_name(shard)]);
    return delete_known(topology, lock, std::move(shard), std::move(own), cells, options);
  });
}

}  // namespace

net::Task<Status> delete_shard(topo::Server& topology, const topo::KeyspaceLock& lock, std::string shard,
                               DeleteShardOptions options) {
  CO_ASSIGN_OR_RETURN(const auto cells, co_await topo::get_cell_names(topology));
  CO_ASSIGN_OR_RETURN(auto tablets, co_await scan_tablets(topology, lock.keyspace(), shard));
  Tablets own;
  for (auto& [name, found] : tablets) own.insert(own.end(), found.begin(), found.end());
  co_return co_await delete_known(topology, lock, std::move(shard), std::move(own), cells, options);
}

net::Task<Status> delete_shard(topo::Server& topology, std::string keyspace, std::string shard,
                               DeleteShardOptions options) {
  CO_ASSIGN_OR_RETURN(auto lock, co_await topo::KeyspaceLock::acquire(topology, keyspace, "DeleteShards " + shard));
  Status deleted = co_await delete_shard(topology, lock, std::move(shard), options);
  Status released = co_await lock.release();
  co_return deleted.ok() ? std::move(released) : std::move(deleted);
}

net::Task<Status> delete_shards(topo::Server& topology, std::string keyspace, std::vector<std::string> shards,
                                DeleteShardOptions options) {
  CO_ASSIGN_OR_RETURN(auto lock, co_await topo::KeyspaceLock::acquire(topology, keyspace, "DeleteShards"));
  Status deleted = co_await delete_all(topology, lock, std::move(shards), options);
  Status released = co_await lock.release();
  co_return deleted.ok() ? std::move(released) : std::move(deleted);
}

net::Task<Status> remove_shard_cell(topo::Server& topology, const topo::KeyspaceLock& lock, std::string shard,
                                    std::string cell, RemoveCellOptions options) {
  const std::string keyspace = lock.keyspace();
  CO_ASSIGN_OR_RETURN(const auto known, co_await topo::get_cell_info(topology, cell));
  CO_ASSIGN_OR_RETURN(const auto info, co_await topo::get_shard(topology, keyspace, shard));
  if (info.record.has_primary_alias() && info.record.primary_alias().cell() == cell) {
    co_return fail(Code::kFailedPrecondition,
                   fmt::format("primary {} of shard {}/{} is in the cell {} that is to be removed",
                               topo::alias_to_string(info.record.primary_alias()), keyspace, shard, cell));
  }
  auto graph = co_await topo::get_shard_replication(topology, cell, keyspace, info.name);
  if (!graph.ok() && graph.error().code() != Code::kNotFound) {
    if (options.force) co_return Status{};  // Nothing of the cell can be changed; what is global refers to no cells.
    co_return std::move(graph).error().with_context("error getting the shard replication of cell " + cell +
                                                    " (--force to go on without it)");
  }
  if (graph.ok()) {
    if (graph->nodes_size() > 0 && !options.recursive) {
      co_return fail(Code::kFailedPrecondition,
                     fmt::format("cell {} has {} possible tablets in the replication graph of shard {}/{}; use "
                                 "--recursive to delete them",
                                 cell, graph->nodes_size(), keyspace, shard));
    }
    for (const auto& node : graph->nodes()) {
      Status deleted = co_await topo::delete_tablet(topology, node.tablet_alias());
      if (!deleted.ok() && deleted.error().code() != Code::kNotFound) co_return deleted;
    }
    Status removed = co_await topo::delete_shard_replication(topology, cell, keyspace, info.name);
    if (!removed.ok() && removed.error().code() != Code::kNotFound) co_return removed;
  }
  topo::UpdateFn<::topodata::SrvKeyspace> remove = [name = info.name](::topodata::SrvKeyspace& record) -> Result<bool> {
    return remove_references(record, name);
  };
  auto updated = co_await topo::update_srv_keyspace_fields(topology, lock, cell, std::move(remove));
  if (!updated.ok() && updated.error().code() != Code::kNotFound) co_return std::move(updated).error();
  co_return Status{};
}

net::Task<Status> remove_keyspace_cell(topo::Server& topology, const topo::KeyspaceLock& lock, std::string cell,
                                       RemoveCellOptions options) {
  CO_ASSIGN_OR_RETURN(const auto shards, co_await topo::get_shard_names(topology, lock.keyspace()));
  for (const auto& shard : shards) {
    CO_RETURN_IF_ERROR(co_await remove_shard_cell(topology, lock, shard, cell, options));
  }
  Status removed = co_await topo::delete_srv_keyspace(topology, lock, cell);
  if (!removed.ok() && removed.error().code() != Code::kNotFound && !options.force) co_return removed;
  co_return Status{};
}

}  // namespace vitrail::control
