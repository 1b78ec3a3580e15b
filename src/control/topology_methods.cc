// Vtctld's methods on cells, keyspaces, shards, the serving graph, VSchemas and rules.
#include <fmt/core.h>

#include "control/registrar.h"
#include "control/workflow/complete.h"
#include "topo/cells.h"
#include "topo/decode.h"
#include "topo/keyspace.h"
#include "topo/locks.h"
#include "topo/shard.h"
#include "topo/srv_keyspace.h"
#include "topo/srv_vschema.h"
#include "topo/vschema.h"
#include "vschema/routing_rules.h"
#include "vschema/srv_keyspace.h"
#include "vschema/vschema.h"
#include "vtctldata.pb.h"

namespace vitrail::control {
namespace {

namespace vd = ::vtctldata;
template <typename T>
using Answer = net::Task<Result<T>>;

template <typename List>
std::vector<std::string> strings(const List& list) {
  return {list.begin(), list.end()};
}

vd::Shard to_proto(const topo::ShardInfo& info) {
  vd::Shard out;
  out.set_keyspace(info.keyspace);
  out.set_name(info.name);
  *out.mutable_shard() = info.record;
  return out;
}

void register_cells(Registrar& r) {
  r.unary<vd::AddCellInfoRequest, vd::AddCellInfoResponse>(
      "AddCellInfo", [](TabletClient& t, vd::AddCellInfoRequest q) -> Answer<vd::AddCellInfoResponse> {
        CO_RETURN_IF_ERROR(co_await topo::create_cell_info(t.topology(), q.name(), q.cell_info()));
        co_return vd::AddCellInfoResponse();
      });
  r.unary<vd::UpdateCellInfoRequest, vd::UpdateCellInfoResponse>(
      "UpdateCellInfo", [](TabletClient& t, vd::UpdateCellInfoRequest q) -> Answer<vd::UpdateCellInfoResponse> {
        CO_RETURN_IF_ERROR(co_await topo::update_cell_info(t.topology(), q.name(), q.cell_info()));
        CO_ASSIGN_OR_RETURN(const auto info, co_await topo::get_cell_info(t.topology(), q.name()));
        vd::UpdateCellInfoResponse out;
        out.set_name(q.name());
        *out.mutable_cell_info() = info.record;
        co_return out;
      });
  r.unary<vd::DeleteCellInfoRequest, vd::DeleteCellInfoResponse>(
      "DeleteCellInfo", [](TabletClient& t, vd::DeleteCellInfoRequest q) -> Answer<vd::DeleteCellInfoResponse> {
        CO_RETURN_IF_ERROR(co_await topo::delete_cell_info(t.topology(), q.name(), q.force()));
        co_return vd::DeleteCellInfoResponse();
      });
  r.unary<vd::GetCellInfoRequest, vd::GetCellInfoResponse>(
      "GetCellInfo", [](TabletClient& t, vd::GetCellInfoRequest q) -> Answer<vd::GetCellInfoResponse> {
        CO_ASSIGN_OR_RETURN(const auto info, co_await topo::get_cell_info(t.topology(), q.cell()));
        vd::GetCellInfoResponse out;
        *out.mutable_cell_info() = info.record;
        co_return out;
      });
  r.unary<vd::GetCellInfoNamesRequest, vd::GetCellInfoNamesResponse>(
      "GetCellInfoNames", [](TabletClient& t, vd::GetCellInfoNamesRequest) -> Answer<vd::GetCellInfoNamesResponse> {
        CO_ASSIGN_OR_RETURN(const auto names, co_await topo::get_cell_names(t.topology()));
        vd::GetCellInfoNamesResponse out;
        for (const auto& name : names) out.add_names(name);
        co_return out;
      });
}

void register_keyspaces(Registrar& r) {
  r.unary<vd::CreateKeyspaceRequest, vd::CreateKeyspaceResponse>(
      "CreateKeyspace", [](TabletClient& t, vd::CreateKeyspaceRequest q) -> Answer<vd::CreateKeyspaceResponse> {
        ::topodata::Keyspace record;
        record.set_keyspace_type(q.type());
        record.set_base_keyspace(q.base_keyspace());
        if (q.has_snapshot_time()) *record.mutable_snapshot_time() = q.snapshot_time();
        record.set_durability_policy(q.durability_policy());
        record.set_sidecar_db_name(q.sidecar_db_name());
        Status created = co_await topo::create_keyspace(t.topology(), q.name(), record);
        if (!created.ok() && !(q.force() && created.error().code() == Code::kAlreadyExists))
          co_return std::move(created).error();
        CO_RETURN_IF_ERROR(co_await topo::rebuild_srv_vschema(t.topology()));
        CO_ASSIGN_OR_RETURN(const auto stored, co_await topo::get_keyspace(t.topology(), q.name()));
        vd::CreateKeyspaceResponse out;
        out.mutable_keyspace()->set_name(q.name());
        *out.mutable_keyspace()->mutable_keyspace() = stored.record;
        co_return out;
      });
  r.unary<vd::DeleteKeyspaceRequest, vd::DeleteKeyspaceResponse>(
      "DeleteKeyspace", [](TabletClient& t, vd::DeleteKeyspaceRequest q) -> Answer<vd::DeleteKeyspaceResponse> {
        topo::Server& topology = t.topology();
        if (q.recursive()) {
          CO_ASSIGN_OR_RETURN(const auto shards, co_await topo::get_shard_names(topology, q.keyspace()));
          for (const auto& shard : shards)
            CO_RETURN_IF_ERROR(co_await delete_shard(topology, q.keyspace(), shard, true, true));
        }
        CO_ASSIGN_OR_RETURN(auto lock, co_await topo::KeyspaceLock::acquire(topology, q.keyspace(), "DeleteKeyspace"));
        Status deleted = co_await topo::delete_keyspace(topology, lock);
        if (deleted.ok()) {
          CO_ASSIGN_OR_RETURN(const auto cells, co_await topo::get_cell_names(topology));
          for (const auto& cell : cells) (void)co_await topo::delete_srv_keyspace(topology, lock, cell);
        }
        (void)co_await lock.release();
        if (!deleted.ok()) co_return std::move(deleted).error();
        CO_RETURN_IF_ERROR(co_await topo::rebuild_srv_vschema(topology));
        co_return vd::DeleteKeyspaceResponse();
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
          CO_ASSIGN_OR_RETURN(const auto stored, co_await topo::get_keyspace(t.topology(), name));
          auto* keyspace = out.add_keyspaces();
          keyspace->set_name(name);
          *keyspace->mutable_keyspace() = stored.record;
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
      "SetKeyspaceDurabilityPolicy",
      [](TabletClient& t, vd::SetKeyspaceDurabilityPolicyRequest q) -> Answer<vd::SetKeyspaceDurabilityPolicyResponse> {
        CO_ASSIGN_OR_RETURN(
            auto lock, co_await topo::KeyspaceLock::acquire(t.topology(), q.keyspace(), "SetKeyspaceDurabilityPolicy"));
        Status set = co_await topo::set_keyspace_durability(t.topology(), lock, q.durability_policy());
        (void)co_await lock.release();
        if (!set.ok()) co_return std::move(set).error();
        CO_ASSIGN_OR_RETURN(const auto stored, co_await topo::get_keyspace(t.topology(), q.keyspace()));
        vd::SetKeyspaceDurabilityPolicyResponse out;
        *out.mutable_keyspace() = stored.record;
        co_return out;
      });
  r.unary<vd::RebuildKeyspaceGraphRequest, vd::RebuildKeyspaceGraphResponse>(
      "RebuildKeyspaceGraph",
      [](TabletClient& t, vd::RebuildKeyspaceGraphRequest q) -> Answer<vd::RebuildKeyspaceGraphResponse> {
        CO_ASSIGN_OR_RETURN(auto lock,
                            co_await topo::KeyspaceLock::acquire(t.topology(), q.keyspace(), "RebuildKeyspaceGraph"));
        Status rebuilt = co_await topo::rebuild_keyspace_graph(
            t.topology(), lock, {.cells = strings(q.cells()), .allow_partial = q.allow_partial()});
        (void)co_await lock.release();
        if (!rebuilt.ok()) co_return std::move(rebuilt).error();
        co_return vd::RebuildKeyspaceGraphResponse();
      });
  r.unary<vd::GetSrvKeyspacesRequest, vd::GetSrvKeyspacesResponse>(
      "GetSrvKeyspaces", [](TabletClient& t, vd::GetSrvKeyspacesRequest q) -> Answer<vd::GetSrvKeyspacesResponse> {
        CO_ASSIGN_OR_RETURN(const auto cells, co_await topo::expand_cells(t.topology(), strings(q.cells())));
        vd::GetSrvKeyspacesResponse out;
        for (const auto& cell : cells) {
          auto record = co_await topo::get_srv_keyspace(t.topology(), cell, q.keyspace());
          if (record.ok()) (*out.mutable_srv_keyspaces())[cell] = record->record;
        }
        co_return out;
      });
}

void register_shards(Registrar& r) {
  r.unary<vd::CreateShardRequest, vd::CreateShardResponse>(
      "CreateShard", [](TabletClient& t, vd::CreateShardRequest q) -> Answer<vd::CreateShardResponse> {
        vd::CreateShardResponse out;
        Status created = co_await topo::create_shard(t.topology(), q.keyspace(), q.shard_name());
        if (!created.ok()) {
          if (!q.force() || created.error().code() != Code::kAlreadyExists) co_return std::move(created).error();
          out.set_shard_already_exists(true);
        }
        CO_ASSIGN_OR_RETURN(const auto info, co_await topo::get_shard(t.topology(), q.keyspace(), q.shard_name()));
        *out.mutable_shard() = to_proto(info);
        co_return out;
      });
  r.unary<vd::DeleteShardsRequest, vd::DeleteShardsResponse>(
      "DeleteShards", [](TabletClient& t, vd::DeleteShardsRequest q) -> Answer<vd::DeleteShardsResponse> {
        for (const auto& shard : q.shards()) {
          CO_RETURN_IF_ERROR(co_await delete_shard(t.topology(), shard.keyspace(), shard.name(), q.recursive(),
                                                   q.even_if_serving() || q.force()));
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
  r.unary<vd::GetShardReplicationRequest, vd::GetShardReplicationResponse>(
      "GetShardReplication",
      [](TabletClient& t, vd::GetShardReplicationRequest q) -> Answer<vd::GetShardReplicationResponse> {
        CO_ASSIGN_OR_RETURN(const auto cells, co_await topo::expand_cells(t.topology(), strings(q.cells())));
        vd::GetShardReplicationResponse out;
        for (const auto& cell : cells) {
          auto record = co_await topo::get_shard_replication(t.topology(), cell, q.keyspace(), q.shard());
          if (record.ok()) (*out.mutable_shard_replication_by_cell())[cell] = *record;
        }
        co_return out;
      });
  r.unary<vd::SetShardTabletControlRequest, vd::SetShardTabletControlResponse>(
      "SetShardTabletControl",
      [](TabletClient& t, vd::SetShardTabletControlRequest q) -> Answer<vd::SetShardTabletControlResponse> {
        topo::Server& topology = t.topology();
        CO_ASSIGN_OR_RETURN(auto lock,
                            co_await topo::KeyspaceLock::acquire(topology, q.keyspace(), "SetShardTabletControl"));
        auto body = [](topo::Server& store, const topo::KeyspaceLock& held,
                       const vd::SetShardTabletControlRequest& what) -> net::Task<Status> {
          if (what.denied_tables_size() > 0) {
            topo::DeniedTablesUpdate update{.type = what.tablet_type(),
                                            .cells = strings(what.cells()),
                                            .remove = what.remove(),
                                            .tables = strings(what.denied_tables())};
            auto updated = co_await topo::update_denied_tables(store, held, what.shard(), std::move(update));
            if (!updated.ok()) co_return std::move(updated).error();
            co_return Status{};
          }
          CO_ASSIGN_OR_RETURN(const auto name, shard::ShardName::parse(what.shard()));
          CO_ASSIGN_OR_RETURN(const auto cells, co_await topo::expand_cells(store, strings(what.cells())));
          for (const auto& cell : cells) {
            auto updated = co_await topo::update_srv_keyspace_fields(
                store, held, cell, [&](::topodata::SrvKeyspace& record) -> Result<bool> {
                  RETURN_IF_ERROR(vschema::set_query_service_disabled(record, what.tablet_type(), name,
                                                                      what.disable_query_service() && !what.remove()));
                  return true;
                });
            if (!updated.ok()) co_return std::move(updated).error();
          }
          co_return Status{};
        };
        Status done = co_await body(topology, lock, q);
        (void)co_await lock.release();
        if (!done.ok()) co_return std::move(done).error();
        CO_ASSIGN_OR_RETURN(const auto info, co_await topo::get_shard(topology, q.keyspace(), q.shard()));
        vd::SetShardTabletControlResponse out;
        *out.mutable_shard() = info.record;
        co_return out;
      });
  r.unary<vd::GetTopologyPathRequest, vd::GetTopologyPathResponse>(
      "GetTopologyPath", [](TabletClient& t, vd::GetTopologyPathRequest q) -> Answer<vd::GetTopologyPathResponse> {
        // "/global/keyspaces/...", or "/<cell>/keyspaces/...".
        std::string path = q.path();
        while (!path.empty() && path.front() == '/') path.erase(0, 1);
        while (!path.empty() && path.back() == '/') path.pop_back();
        const size_t slash = path.find('/');
        const std::string cell = path.substr(0, slash);
        const std::string rest = slash == std::string::npos ? "" : path.substr(slash + 1);
        vd::GetTopologyPathResponse out;
        out.mutable_cell()->set_path(q.path());
        const size_t last = path.rfind('/');
        out.mutable_cell()->set_name(last == std::string::npos ? path : path.substr(last + 1));
        if (cell.empty()) {
          out.mutable_cell()->add_children("global");
          CO_ASSIGN_OR_RETURN(const auto cells, co_await topo::get_cell_names(t.topology()));
          for (const auto& name : cells) out.mutable_cell()->add_children(name);
          co_return out;
        }
        std::shared_ptr<topo::Store> keep;
        topo::Store* store = &t.topology().global();
        if (cell != "global") {
          CO_ASSIGN_OR_RETURN(keep, co_await t.topology().store_for_cell(cell));
          store = keep.get();
        }
        auto children = co_await store->list_dir(rest);
        if (children.ok()) {
          for (const auto& entry : *children) out.mutable_cell()->add_children(entry.name);
          co_return out;
        }
        CO_ASSIGN_OR_RETURN(const auto record, co_await store->get(rest));
        CO_ASSIGN_OR_RETURN(const std::string text, q.as_json() ? topo::decode_to_json(rest, record.data)
                                                                : topo::decode_to_prototext(rest, record.data));
        out.mutable_cell()->set_data(text);
        out.mutable_cell()->set_version(static_cast<int64_t>(record.version.value));
        co_return out;
      });
}

void register_vschema(Registrar& r) {
  r.unary<vd::GetVSchemaRequest, vd::GetVSchemaResponse>(
      "GetVSchema", [](TabletClient& t, vd::GetVSchemaRequest q) -> Answer<vd::GetVSchemaResponse> {
        CO_ASSIGN_OR_RETURN(const auto stored, co_await topo::get_vschema(t.topology(), q.keyspace()));
        vd::GetVSchemaResponse out;
        *out.mutable_v_schema() = stored.record;
        co_return out;
      });
  r.unary<vd::ApplyVSchemaRequest, vd::ApplyVSchemaResponse>(
      "ApplyVSchema", [](TabletClient& t, vd::ApplyVSchemaRequest q) -> Answer<vd::ApplyVSchemaResponse> {
        auto exists = co_await topo::get_keyspace(t.topology(), q.keyspace());
        if (!exists.ok()) co_return std::move(exists).error();
        if (!q.sql().empty())
          co_return fail(Code::kUnimplemented,
                         "VSchema statements are not available: give --vschema or --vschema-file");
        if (!q.has_v_schema()) co_return fail(Code::kInvalidArgument, "one of --vschema or --vschema-file is needed");
        const auto problems = vschema::find_problems(q.keyspace(), q.v_schema());
        if (!problems.empty()) {
          std::string text = "the vschema of " + q.keyspace() + " is not valid";
          for (const auto& problem : problems) text += "\n  " + problem;
          co_return fail(Code::kInvalidArgument, text);
        }
        vd::ApplyVSchemaResponse out;
        *out.mutable_v_schema() = q.v_schema();
        for (const auto& parameter : vschema::unknown_vindex_parameters(q.keyspace(), q.v_schema())) {
          const size_t dot = parameter.find('.');
          (*out.mutable_unknown_vindex_params())[parameter.substr(0, dot)].add_params(parameter.substr(dot + 1));
        }
        if (q.strict() && out.unknown_vindex_params_size() > 0) {
          co_return fail(Code::kInvalidArgument, "the vschema has vindex parameters that their types do not know");
        }
        if (q.dry_run()) co_return out;
        CO_RETURN_IF_ERROR(co_await topo::save_vschema(t.topology(), q.keyspace(), q.v_schema()));
        if (!q.skip_rebuild()) CO_RETURN_IF_ERROR(co_await topo::rebuild_srv_vschema(t.topology(), strings(q.cells())));
        co_return out;
      });
  r.unary<vd::RebuildVSchemaGraphRequest, vd::RebuildVSchemaGraphResponse>(
      "RebuildVSchemaGraph",
      [](TabletClient& t, vd::RebuildVSchemaGraphRequest q) -> Answer<vd::RebuildVSchemaGraphResponse> {
        CO_RETURN_IF_ERROR(co_await topo::rebuild_srv_vschema(t.topology(), strings(q.cells())));
        co_return vd::RebuildVSchemaGraphResponse();
      });
  r.unary<vd::GetSrvVSchemaRequest, vd::GetSrvVSchemaResponse>(
      "GetSrvVSchema", [](TabletClient& t, vd::GetSrvVSchemaRequest q) -> Answer<vd::GetSrvVSchemaResponse> {
        CO_ASSIGN_OR_RETURN(const auto stored, co_await topo::get_srv_vschema(t.topology(), q.cell()));
        vd::GetSrvVSchemaResponse out;
        *out.mutable_srv_v_schema() = stored.record;
        co_return out;
      });
  r.unary<vd::GetRoutingRulesRequest, vd::GetRoutingRulesResponse>(
      "GetRoutingRules", [](TabletClient& t, vd::GetRoutingRulesRequest) -> Answer<vd::GetRoutingRulesResponse> {
        CO_ASSIGN_OR_RETURN(const auto stored, co_await topo::get_routing_rules(t.topology()));
        vd::GetRoutingRulesResponse out;
        *out.mutable_routing_rules() = stored.rules;
        co_return out;
      });
  r.unary<vd::ApplyRoutingRulesRequest, vd::ApplyRoutingRulesResponse>(
      "ApplyRoutingRules",
      [](TabletClient& t, vd::ApplyRoutingRulesRequest q) -> Answer<vd::ApplyRoutingRulesResponse> {
        CO_RETURN_IF_ERROR(vschema::check_routing_rules(q.routing_rules()));
        CO_RETURN_IF_ERROR(co_await topo::save_routing_rules(t.topology(), q.routing_rules()));
        if (!q.skip_rebuild())
          CO_RETURN_IF_ERROR(co_await topo::rebuild_srv_vschema(t.topology(), strings(q.rebuild_cells())));
        co_return vd::ApplyRoutingRulesResponse();
      });
}

}  // namespace

void register_topology_methods(Registrar& r) {
  register_cells(r);
  register_keyspaces(r);
  register_shards(r);
  register_vschema(r);
}

}  // namespace vitrail::control
