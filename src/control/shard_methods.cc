// Vtctld's methods on shards: records, tablet controls, sources, replication graph.
#include <fmt/core.h>

#include <algorithm>

#include "control/method.h"
#include "control/registrar.h"
#include "control/remove.h"
#include "control/workflow/conflicts.h"
#include "net/scope.h"
#include "tabletmanagerdata.pb.h"
#include "topo/cells.h"
#include "topo/keyspace.h"
#include "topo/srv_keyspace.h"
#include "topo/srv_vschema.h"
#include "topo/tablet.h"
#include "vschema/srv_keyspace.h"

namespace vitrail::control {
namespace {

namespace vd = ::vtctldata;
namespace tmd = ::tabletmanagerdata;
using namespace std::chrono_literals;

Answer<vd::CreateShardResponse> create_shard(TabletClient& client, vd::CreateShardRequest request) {
  topo::Server& topology = client.topology();
  vd::CreateShardResponse out;
  if (request.include_parent()) {
    Status made = co_await topo::create_keyspace(topology, request.keyspace(), {});
    if (!made.ok() && made.error().code() != Code::kAlreadyExists) co_return std::move(made).error();
    if (made.ok()) CO_RETURN_IF_ERROR(co_await topo::rebuild_srv_vschema(topology));
    CO_ASSIGN_OR_RETURN(const auto keyspace, co_await topo::get_keyspace(topology, request.keyspace()));
    out.mutable_keyspace()->set_name(request.keyspace());
    *out.mutable_keyspace()->mutable_keyspace() = keyspace.record;
  }
  Status created = co_await topo::create_shard(topology, request.keyspace(), request.shard_name());
  if (!created.ok()) {
    if (!request.force() || created.error().code() != Code::kAlreadyExists) co_return std::move(created).error();
    out.set_shard_already_exists(true);
  }
  CO_ASSIGN_OR_RETURN(const auto info, co_await topo::get_shard(topology, request.keyspace(), request.shard_name()));
  *out.mutable_shard() = to_proto(info);
  co_return out;
}

Answer<vd::SetShardIsPrimaryServingResponse> set_primary_serving(TabletClient& client, const topo::KeyspaceLock& lock,
                                                                 const vd::SetShardIsPrimaryServingRequest& request) {
  topo::UpdateFn<::topodata::Shard> set = [serving = request.is_serving()](::topodata::Shard& record) -> Result<bool> {
    const bool changed = record.is_primary_serving() != serving;
    record.set_is_primary_serving(serving);
    return changed;
  };
  CO_ASSIGN_OR_RETURN(const auto info,
                      co_await topo::update_shard_fields(client.topology(), lock.keyspace(), request.shard(),
                                                         std::move(set), lock.fence()));
  vd::SetShardIsPrimaryServingResponse out;
  *out.mutable_shard() = info.record;
  co_return out;
}

// A tablet that cannot be asked now reads the record when it starts or is refreshed the next time.
net::Task<void> refresh_one(TabletClient& client, ::topodata::Tablet tablet) {
  namespace tmd = ::tabletmanagerdata;
  (void)co_await client.call<tmd::RefreshStateResponse>(std::move(tablet), "RefreshState", tmd::RefreshStateRequest(),
                                                        net::Wait::within(std::chrono::seconds(5)));
}

net::Task<Status> refresh_tablets(TabletClient& client, std::string keyspace, std::string shard) {
  topo::TabletQuery query;
  query.keyspace = std::move(keyspace);
  query.shard = std::move(shard);
  CO_ASSIGN_OR_RETURN(auto list, co_await topo::find_tablets(client.topology(), std::move(query)));
  std::vector<net::Task<void>> calls;
  for (auto& tablet : list.tablets) calls.push_back(refresh_one(client, std::move(tablet)));
  co_await net::when_all(std::move(calls));
  co_return Status{};
}

Answer<vd::SetShardTabletControlResponse> set_tablet_control(TabletClient& client, const topo::KeyspaceLock& lock,
                                                             const vd::SetShardTabletControlRequest& request) {
  topo::Server& topology = client.topology();
  CO_ASSIGN_OR_RETURN(const auto before, co_await topo::get_shard(topology, lock.keyspace(), request.shard()));
  vd::SetShardTabletControlResponse out;
  if (request.denied_tables_size() > 0 || (request.remove() && !request.disable_query_service())) {
    std::vector<std::string> tables = strings(request.denied_tables());
    if (tables.empty()) {  // --remove alone: the whole entry.
      const auto* control = topo::find_tablet_control(before.record, request.tablet_type());
      if (control != nullptr) tables = strings(control->denied_tables());
    }
    *out.mutable_shard() = before.record;
    if (tables.empty()) co_return out;
    topo::DeniedTablesUpdate update{.type = request.tablet_type(),
                                    .cells = strings(request.cells()),
                                    .remove = request.remove(),
                                    .tables = std::move(tables)};
    CO_ASSIGN_OR_RETURN(const auto updated,
                        co_await topo::update_denied_tables(topology, lock, request.shard(), std::move(update)));
    *out.mutable_shard() = updated.record;
    // S3-62: a table that is gone is told as gone, and not as denied by what is no longer there.
    if (request.remove()) (void)co_await refresh_tablets(client, lock.keyspace(), updated.name);
    co_return out;
  }
  CO_ASSIGN_OR_RETURN(const auto name, shard::ShardName::parse(request.shard()));
  CO_ASSIGN_OR_RETURN(const auto cells, co_await topo::expand_cells(topology, strings(request.cells())));
  const bool disabled = request.disable_query_service() && !request.remove();
  for (const auto& cell : cells) {
    topo::UpdateFn<::topodata::SrvKeyspace> set = [&](::topodata::SrvKeyspace& record) -> Result<bool> {
      RETURN_IF_ERROR(vschema::set_query_service_disabled(record, request.tablet_type(), name, disabled));
      return true;
    };
    auto updated = co_await topo::update_srv_keyspace_fields(topology, lock, cell, std::move(set));
    if (!updated.ok()) co_return std::move(updated).error();
  }
  *out.mutable_shard() = before.record;
  co_return out;
}

Answer<vd::SourceShardAddResponse> add_source(TabletClient& client, const topo::KeyspaceLock& lock,
                                              const vd::SourceShardAddRequest& request) {
  bool added = false;
  topo::UpdateFn<::topodata::Shard> add = [&](::topodata::Shard& record) -> Result<bool> {
    added = std::ranges::none_of(record.source_shards(), [&](const auto& s) { return s.uid() == request.uid(); });
    if (!added) return false;
    auto* source = record.add_source_shards();
    source->set_uid(request.uid());
    source->set_keyspace(request.source_keyspace());
    source->set_shard(request.source_shard());
    if (request.has_key_range()) *source->mutable_key_range() = request.key_range();
    *source->mutable_tables() = request.tables();
    return true;
  };
  CO_ASSIGN_OR_RETURN(const auto info,
                      co_await topo::update_shard_fields(client.topology(), lock.keyspace(), request.shard(),
                                                         std::move(add), lock.fence()));
  vd::SourceShardAddResponse out;
  if (added) *out.mutable_shard() = info.record;
  co_return out;
}

Answer<vd::SourceShardDeleteResponse> delete_source(TabletClient& client, const topo::KeyspaceLock& lock,
                                                    const vd::SourceShardDeleteRequest& request) {
  bool removed = false;
  topo::UpdateFn<::topodata::Shard> remove = [&](::topodata::Shard& record) -> Result<bool> {
    auto& sources = *record.mutable_source_shards();
    const auto gone = std::ranges::remove_if(sources, [&](const auto& s) { return s.uid() == request.uid(); });
    removed = !gone.empty();
    sources.erase(gone.begin(), gone.end());
    return removed;
  };
  CO_ASSIGN_OR_RETURN(const auto info,
                      co_await topo::update_shard_fields(client.topology(), lock.keyspace(), request.shard(),
                                                         std::move(remove), lock.fence()));
  vd::SourceShardDeleteResponse out;
  if (removed) *out.mutable_shard() = info.record;
  co_return out;
}

Answer<vd::RemoveShardCellResponse> remove_cell(TabletClient& client, const topo::KeyspaceLock& lock,
                                                const vd::RemoveShardCellRequest& request) {
  CO_RETURN_IF_ERROR(
      co_await remove_shard_cell(client.topology(), lock, request.shard_name(), request.cell(),
                                 RemoveCellOptions{.recursive = request.recursive(), .force = request.force()}));
  co_return vd::RemoveShardCellResponse();
}

Answer<vd::ShardReplicationAddResponse> add_replication(TabletClient& client, const topo::ShardLock& lock,
                                                        const vd::ShardReplicationAddRequest& request) {
  CO_RETURN_IF_ERROR(
      co_await topo::add_shard_replication(client.topology(), lock.keyspace(), lock.shard(), request.tablet_alias()));
  co_return vd::ShardReplicationAddResponse();
}

Answer<vd::ShardReplicationRemoveResponse> remove_replication(TabletClient& client, const topo::ShardLock& lock,
                                                              const vd::ShardReplicationRemoveRequest& request) {
  CO_RETURN_IF_ERROR(co_await topo::remove_shard_replication(client.topology(), lock.keyspace(), lock.shard(),
                                                             request.tablet_alias()));
  co_return vd::ShardReplicationRemoveResponse();
}

Answer<vd::ShardReplicationFixResponse> fix_replication(TabletClient& client, const topo::ShardLock& lock,
                                                        const vd::ShardReplicationFixRequest& request) {
  CO_ASSIGN_OR_RETURN(const auto fixed, co_await topo::fix_shard_replication(client.topology(), request.cell(),
                                                                             lock.keyspace(), lock.shard()));
  vd::ShardReplicationFixResponse out;
  if (!fixed.empty()) *out.mutable_error() = fixed.front();
  co_return out;
}

// Where one tablet is; the primary has no source and is asked for its own position.
net::Task<void> read_position(TabletClient& client, ::topodata::Tablet tablet,
                              std::optional<::replicationdata::Status>& out) {
  const net::Wait wait = net::Wait::within(15s);
  if (tablet.type() == ::topodata::PRIMARY) {
    const auto position =
        co_await client.call<tmd::PrimaryStatusResponse>(tablet, "PrimaryStatus", tmd::PrimaryStatusRequest(), wait);
    if (!position.ok()) co_return;
    out.emplace().set_position(position->status().position());
    co_return;
  }
  auto status = co_await client.call<tmd::ReplicationStatusResponse>(tablet, "ReplicationStatus",
                                                                     tmd::ReplicationStatusRequest(), wait);
  if (status.ok()) out = std::move(*status->mutable_status());
}

Answer<vd::ShardReplicationPositionsResponse> read_positions(TabletClient& client,
                                                             vd::ShardReplicationPositionsRequest request) {
  CO_ASSIGN_OR_RETURN(const auto shard,
                      co_await topo::get_shard(client.topology(), request.keyspace(), request.shard()));
  topo::TabletQuery query;
  query.keyspace = request.keyspace();
  query.shard = shard.name;
  CO_ASSIGN_OR_RETURN(const auto list, co_await topo::find_tablets(client.topology(), std::move(query)));
  if (!list.failed.empty() && list.tablets.empty()) co_return Error(list.failed.begin()->second);
  std::vector<std::optional<::replicationdata::Status>> statuses(list.tablets.size());
  std::vector<net::Task<void>> reads;
  for (size_t i = 0; i < list.tablets.size(); ++i) {
    reads.push_back(read_position(client, list.tablets[i], statuses[i]));
  }
  co_await net::when_all(std::move(reads));
  vd::ShardReplicationPositionsResponse out;
  for (size_t i = 0; i < list.tablets.size(); ++i) {
    const std::string alias = topo::alias_to_string(list.tablets[i].alias());
    (*out.mutable_tablet_map())[alias] = list.tablets[i];
    if (statuses[i]) (*out.mutable_replication_statuses())[alias] = std::move(*statuses[i]);
  }
  co_return out;
}

Answer<vd::GetShardReplicationResponse> get_replication(TabletClient& client, vd::GetShardReplicationRequest request) {
  CO_ASSIGN_OR_RETURN(const auto shard,
                      co_await topo::get_shard(client.topology(), request.keyspace(), request.shard()));
  CO_ASSIGN_OR_RETURN(const auto cells, co_await topo::expand_cells(client.topology(), strings(request.cells())));
  vd::GetShardReplicationResponse out;
  for (const auto& cell : cells) {
    const auto record = co_await topo::get_shard_replication(client.topology(), cell, request.keyspace(), shard.name);
    if (record.ok()) (*out.mutable_shard_replication_by_cell())[cell] = *record;
    if (!record.ok() && record.error().code() != Code::kNotFound) co_return Error(record.error());
  }
  co_return out;
}

void register_records(Registrar& r) {
  r.unary<vd::CreateShardRequest, vd::CreateShardResponse>("CreateShard", create_shard);
  r.unary<vd::DeleteShardsRequest, vd::DeleteShardsResponse>(
      "DeleteShards", [](TabletClient& t, vd::DeleteShardsRequest q) -> Answer<vd::DeleteShardsResponse> {
        const DeleteShardOptions options{.recursive = q.recursive(),
                                         .even_if_serving = q.even_if_serving() || q.force()};
        CO_ASSIGN_OR_RETURN(const auto workflows, co_await engine::list_records(t.topology()));
        for (const auto& shard : q.shards()) {
          if (!options.even_if_serving) CO_RETURN_IF_ERROR(check_unused(shard.keyspace(), shard.name(), workflows));
        }
        for (const auto& shard : q.shards()) {
          CO_RETURN_IF_ERROR(co_await delete_shard(t.topology(), shard.keyspace(), shard.name(), options));
        }
        co_return vd::DeleteShardsResponse();
      });
  r.unary<vd::GetShardRequest, vd::GetShardResponse>(
      "GetShard", [](TabletClient& t, vd::GetShardRequest q) -> Answer<vd::GetShardResponse> {
        CO_ASSIGN_OR_RETURN(const auto info, co_await topo::get_shard(t.topology(), q.keyspace(), q.shard_name()));
        vd::GetShardResponse out;
        *out.mutable_shard() = to_proto(info);
        co_return out;
      });
  r.unary<vd::SetShardIsPrimaryServingRequest, vd::SetShardIsPrimaryServingResponse>(
      "SetShardIsPrimaryServing", [](TabletClient& t, vd::SetShardIsPrimaryServingRequest q) {
        const std::string keyspace = q.keyspace(), action = "SetShardIsPrimaryServing " + q.shard();
        return with_keyspace_lock(t, keyspace, action, std::move(q), set_primary_serving);
      });
  r.unary<vd::SetShardTabletControlRequest, vd::SetShardTabletControlResponse>(
      "SetShardTabletControl", [](TabletClient& t, vd::SetShardTabletControlRequest q) {
        const std::string keyspace = q.keyspace(), action = "SetShardTabletControl " + q.shard();
        return with_keyspace_lock(t, keyspace, action, std::move(q), set_tablet_control);
      });
  r.unary<vd::SourceShardAddRequest, vd::SourceShardAddResponse>(
      "SourceShardAdd", [](TabletClient& t, vd::SourceShardAddRequest q) {
        const std::string keyspace = q.keyspace(), action = "SourceShardAdd " + q.shard();
        return with_keyspace_lock(t, keyspace, action, std::move(q), add_source);
      });
  r.unary<vd::SourceShardDeleteRequest, vd::SourceShardDeleteResponse>(
      "SourceShardDelete", [](TabletClient& t, vd::SourceShardDeleteRequest q) {
        const std::string keyspace = q.keyspace(), action = "SourceShardDelete " + q.shard();
        return with_keyspace_lock(t, keyspace, action, std::move(q), delete_source);
      });
  r.unary<vd::RemoveShardCellRequest, vd::RemoveShardCellResponse>(
      "RemoveShardCell", [](TabletClient& t, vd::RemoveShardCellRequest q) {
        const std::string keyspace = q.keyspace(), action = "RemoveShardCell " + q.shard_name() + " " + q.cell();
        return with_keyspace_lock(t, keyspace, action, std::move(q), remove_cell);
      });
}

void register_replication(Registrar& r) {
  r.unary<vd::GetShardReplicationRequest, vd::GetShardReplicationResponse>("GetShardReplication", get_replication);
  r.unary<vd::ShardReplicationAddRequest, vd::ShardReplicationAddResponse>(
      "ShardReplicationAdd", [](TabletClient& t, vd::ShardReplicationAddRequest q) {
        const std::string keyspace = q.keyspace(), shard = q.shard();
        return with_shard_lock(t, keyspace, shard, "ShardReplicationAdd", std::move(q), add_replication);
      });
  r.unary<vd::ShardReplicationRemoveRequest, vd::ShardReplicationRemoveResponse>(
      "ShardReplicationRemove", [](TabletClient& t, vd::ShardReplicationRemoveRequest q) {
        const std::string keyspace = q.keyspace(), shard = q.shard();
        return with_shard_lock(t, keyspace, shard, "ShardReplicationRemove", std::move(q), remove_replication);
      });
  r.unary<vd::ShardReplicationFixRequest, vd::ShardReplicationFixResponse>(
      "ShardReplicationFix", [](TabletClient& t, vd::ShardReplicationFixRequest q) {
        const std::string keyspace = q.keyspace(), shard = q.shard();
        return with_shard_lock(t, keyspace, shard, "ShardReplicationFix", std::move(q), fix_replication);
      });
  r.unary<vd::ShardReplicationPositionsRequest, vd::ShardReplicationPositionsResponse>("ShardReplicationPositions",
                                                                                       read_positions);
}

}  // namespace

void register_shard_methods(Registrar& r) {
  register_records(r);
  register_replication(r);
}

}  // namespace vitrail::control
