// Vtctld's methods on keyspaces and their serving graph.
#include <fmt/core.h>

#include "control/method.h"
#include "control/registrar.h"
#include "control/remove.h"
#include "control/workflow/conflicts.h"
#include "topo/cells.h"
#include "topo/keyspace.h"
#include "topo/srv_keyspace.h"
#include "topo/srv_vschema.h"
#include "topo/vschema.h"

namespace vitrail::control {
namespace {

namespace vd = ::vtctldata;

// A snapshot shows the tables of its base keyspace, but only to who asks for it by name.
net::Task<Status> save_snapshot_vschema(topo::Server& topology, std::string keyspace, std::string base) {
  ::vschema::Keyspace copy;
  auto original = co_await topo::get_vschema(topology, base);
  if (original.ok()) copy = std::move(original->record);
  if (!original.ok() && original.error().code() != Code::kNotFound) co_return std::move(original).error();
  copy.set_require_explicit_routing(true);
  co_return co_await topo::save_vschema(topology, std::move(keyspace), std::move(copy));
}

Answer<vd::CreateKeyspaceResponse> create_keyspace(TabletClient& client, vd::CreateKeyspaceRequest request) {
  topo::Server& topology = client.topology();
  const bool snapshot = request.type() == ::topodata::SNAPSHOT;
  ::topodata::Keyspace record;
  record.set_keyspace_type(request.type());
  record.set_base_keyspace(request.base_keyspace());
  if (request.has_snapshot_time()) *record.mutable_snapshot_time() = request.snapshot_time();
  record.set_durability_policy(request.durability_policy());
  record.set_sidecar_db_name(request.sidecar_db_name());
  if (snapshot) {
    if (request.base_keyspace().empty()) {
      co_return fail(Code::kInvalidArgument, "base keyspace must be specified when creating a SNAPSHOT keyspace");
    }
    CO_ASSIGN_OR_RETURN(const auto base, co_await topo::get_keyspace(topology, request.base_keyspace()));
    if (record.sidecar_db_name().empty()) record.set_sidecar_db_name(base.record.sidecar_db_name());
  }
  const bool with_vschema = !request.allow_empty_v_schema() && !snapshot;
  Status created = co_await topo::create_keyspace(topology, request.name(), record, with_vschema);
  if (!created.ok() && !(request.force() && created.error().code() == Code::kAlreadyExists)) {
    co_return std::move(created).error();
  }
  if (created.ok() && snapshot) {
    CO_RETURN_IF_ERROR(co_await save_snapshot_vschema(topology, request.name(), request.base_keyspace()));
  }
  CO_RETURN_IF_ERROR(co_await topo::rebuild_srv_vschema(topology));
  CO_ASSIGN_OR_RETURN(const auto stored, co_await topo::get_keyspace(topology, request.name()));
  vd::CreateKeyspaceResponse out;
  out.mutable_keyspace()->set_name(request.name());
  *out.mutable_keyspace()->mutable_keyspace() = stored.record;
  co_return out;
}

Answer<vd::DeleteKeyspaceResponse> delete_keyspace(TabletClient& client, const topo::KeyspaceLock& lock,
                                                   const vd::DeleteKeyspaceRequest& request) {
  topo::Server& topology = client.topology();
  if (!request.force()) {
    CO_ASSIGN_OR_RETURN(const auto workflows, co_await engine::list_records(topology));
    CO_RETURN_IF_ERROR(check_unused(lock.keyspace(), "", workflows));
  }
  auto shards = co_await topo::get_shard_names(topology, lock.keyspace());
  if (!shards.ok()) {
    if (shards.error().code() != Code::kNotFound || !request.force()) co_return std::move(shards).error();
    shards = std::vector<std::string>();
  }
  for (const auto& shard : *shards) {
    if (!request.recursive()) break;
    CO_RETURN_IF_ERROR(
        co_await delete_shard(topology, lock, shard, DeleteShardOptions{.recursive = true, .even_if_serving = true}));
  }
  Status deleted = co_await topo::delete_keyspace(topology, lock);
  if (!deleted.ok() && !(request.force() && deleted.error().code() == Code::kNotFound)) {
    co_return std::move(deleted).error();
  }
  CO_ASSIGN_OR_RETURN(const auto cells, co_await topo::get_cell_names(topology));
  for (const auto& cell : cells) {
    Status removed = co_await topo::delete_srv_keyspace(topology, lock, cell);
    if (!removed.ok() && removed.error().code() != Code::kNotFound && !request.force()) {
      co_return std::move(removed).error();
    }
  }
  co_return vd::DeleteKeyspaceResponse();
}

// The record's durability policy is changed under the keyspace's lock, as everything in it.
Answer<vd::SetKeyspaceDurabilityPolicyResponse> set_durability(TabletClient& client, const topo::KeyspaceLock& lock,
                                                               const vd::SetKeyspaceDurabilityPolicyRequest& request) {
  CO_RETURN_IF_ERROR(co_await topo::set_keyspace_durability(client.topology(), lock, request.durability_policy()));
  CO_ASSIGN_OR_RETURN(const auto stored, co_await topo::get_keyspace(client.topology(), lock.keyspace()));
  vd::SetKeyspaceDurabilityPolicyResponse out;
  *out.mutable_keyspace() = stored.record;
  co_return out;
}

Answer<vd::RebuildKeyspaceGraphResponse> rebuild_graph(TabletClient& client, const topo::KeyspaceLock& lock,
                                                       const vd::RebuildKeyspaceGraphRequest& request) {
  CO_RETURN_IF_ERROR(co_await topo::rebuild_keyspace_graph(
      client.topology(), lock, {.cells = strings(request.cells()), .allow_partial = request.allow_partial()}));
  co_return vd::RebuildKeyspaceGraphResponse();
}

Answer<vd::RemoveKeyspaceCellResponse> remove_cell(TabletClient& client, const topo::KeyspaceLock& lock,
                                                   const vd::RemoveKeyspaceCellRequest& request) {
  CO_RETURN_IF_ERROR(
      co_await remove_keyspace_cell(client.topology(), lock, request.cell(),
                                    RemoveCellOptions{.recursive = request.recursive(), .force = request.force()}));
  co_return vd::RemoveKeyspaceCellResponse();
}

}  // namespace

void register_keyspace_methods(Registrar& r) {
  r.unary<vd::CreateKeyspaceRequest, vd::CreateKeyspaceResponse>("CreateKeyspace", create_keyspace);
  r.unary<vd::DeleteKeyspaceRequest, vd::DeleteKeyspaceResponse>(
      "DeleteKeyspace", [](TabletClient& t, vd::DeleteKeyspaceRequest q) -> Answer<vd::DeleteKeyspaceResponse> {
        const std::string keyspace = q.keyspace();
        CO_ASSIGN_OR_RETURN(auto out,
                            co_await with_keyspace_lock(t, keyspace, "DeleteKeyspace", std::move(q), delete_keyspace));
        CO_RETURN_IF_ERROR(co_await topo::rebuild_srv_vschema(t.topology()));
        co_return out;
      });
  r.unary<vd::GetKeyspaceRequest, vd::GetKeyspaceResponse>(
      "GetKeyspace", [](TabletClient& t, vd::GetKeyspaceRequest q) -> Answer<vd::GetKeyspaceResponse> {
        CO_ASSIGN_OR_RETURN(const auto stored, co_await topo::get_keyspace(t.topology(), q.keyspace()));
        vd::GetKeyspaceResponse out;
        out.mutable_keyspace()->set_name(q.keyspace());
        *out.mutable_keyspace()->mutable_keyspace() = stored.record;
        co_return out;
      });
  r.unary<vd::GetKeyspacesRequest, vd::GetKeyspacesResponse>(
      "GetKeyspaces", [](TabletClient& t, vd::GetKeyspacesRequest) -> Answer<vd::GetKeyspacesResponse> {
        CO_ASSIGN_OR_RETURN(const auto names, co_await topo::get_keyspaces(t.topology()));
        vd::GetKeyspacesResponse out;
        for (const auto& name : names) {
          const auto stored = co_await topo::get_keyspace(t.topology(), name);
          if (!stored.ok()) {
            // Deleted since, or a directory in which only a lock lies.
            if (stored.error().code() == Code::kNotFound) continue;
            co_return Error(stored.error());
          }
          auto* keyspace = out.add_keyspaces();
          keyspace->set_name(name);
          *keyspace->mutable_keyspace() = stored->record;
        }
        co_return out;
      });
  r.unary<vd::FindAllShardsInKeyspaceRequest, vd::FindAllShardsInKeyspaceResponse>(
      "FindAllShardsInKeyspace",
      [](TabletClient& t, vd::FindAllShardsInKeyspaceRequest q) -> Answer<vd::FindAllShardsInKeyspaceResponse> {
        CO_ASSIGN_OR_RETURN(const auto shards, co_await topo::find_all_shards(t.topology(), q.keyspace()));
        vd::FindAllShardsInKeyspaceResponse out;
        for (const auto& [name, info] : shards) (*out.mutable_shards())[name] = to_proto(info);
        co_return out;
      });
  r.unary<vd::SetKeyspaceDurabilityPolicyRequest, vd::SetKeyspaceDurabilityPolicyResponse>(
      "SetKeyspaceDurabilityPolicy", [](TabletClient& t, vd::SetKeyspaceDurabilityPolicyRequest q) {
        const std::string keyspace = q.keyspace();
        return with_keyspace_lock(t, keyspace, "SetKeyspaceDurabilityPolicy", std::move(q), set_durability);
      });
  r.unary<vd::RebuildKeyspaceGraphRequest, vd::RebuildKeyspaceGraphResponse>(
      "RebuildKeyspaceGraph", [](TabletClient& t, vd::RebuildKeyspaceGraphRequest q) {
        const std::string keyspace = q.keyspace();
        return with_keyspace_lock(t, keyspace, "RebuildKeyspaceGraph", std::move(q), rebuild_graph);
      });
  r.unary<vd::RemoveKeyspaceCellRequest, vd::RemoveKeyspaceCellResponse>(
      "RemoveKeyspaceCell", [](TabletClient& t, vd::RemoveKeyspaceCellRequest q) {
        const std::string keyspace = q.keyspace(), action = "RemoveKeyspaceCell " + q.cell();
        return with_keyspace_lock(t, keyspace, action, std::move(q), remove_cell);
      });
  r.unary<vd::GetSrvKeyspaceNamesRequest, vd::GetSrvKeyspaceNamesResponse>(
      "GetSrvKeyspaceNames",
      [](TabletClient& t, vd::GetSrvKeyspaceNamesRequest q) -> Answer<vd::GetSrvKeyspaceNamesResponse> {
        CO_ASSIGN_OR_RETURN(const auto cells, co_await topo::expand_cells(t.topology(), strings(q.cells())));
        vd::GetSrvKeyspaceNamesResponse out;
        for (const auto& cell : cells) {
          CO_ASSIGN_OR_RETURN(const auto names, co_await topo::get_srv_keyspace_names(t.topology(), cell));
          auto& list = (*out.mutable_names())[cell];
          for (const auto& name : names) list.add_names(name);
        }
        co_return out;
      });
  r.unary<vd::GetSrvKeyspacesRequest, vd::GetSrvKeyspacesResponse>(
      "GetSrvKeyspaces", [](TabletClient& t, vd::GetSrvKeyspacesRequest q) -> Answer<vd::GetSrvKeyspacesResponse> {
        CO_ASSIGN_OR_RETURN(const auto cells, co_await topo::expand_cells(t.topology(), strings(q.cells())));
        vd::GetSrvKeyspacesResponse out;
        for (const auto& cell : cells) {
          const auto record = co_await topo::get_srv_keyspace(t.topology(), cell, q.keyspace());
          if (record.ok()) (*out.mutable_srv_keyspaces())[cell] = record->record;
          if (!record.ok() && record.error().code() != Code::kNotFound) co_return Error(record.error());
        }
        co_return out;
      });
}

}  // namespace vitrail::control
