// Vtctld's methods on VSchemas and the rules beside them.
#include "control/method.h"
#include "control/registrar.h"
#include "topo/cells.h"
#include "topo/keyspace.h"
#include "topo/srv_vschema.h"
#include "topo/vschema.h"
#include "vschema/alter.h"
#include "vschema/proto_json.h"
#include "vschema/routing_rules.h"
#include "vschema/vschema.h"

namespace vitrail::control {
namespace {

namespace vd = ::vtctldata;

// What the request would save: its vschema, or the stored one changed by its statements. Nothing is saved.
Answer<vd::ApplyVSchemaResponse> wanted_vschema(topo::Server& topology, vd::ApplyVSchemaRequest request) {
  const std::string& keyspace = request.keyspace();
  vd::ApplyVSchemaResponse out;
  if (!request.sql().empty()) {
    if (request.has_v_schema()) co_return fail(Code::kInvalidArgument, "give either a vschema or --sql, not both");
    const auto stored = co_await topo::get_vschema(topology, keyspace);
    if (!stored.ok() && stored.error().code() != Code::kNotFound) co_return Error(stored.error());
    if (stored.ok()) *out.mutable_v_schema() = stored->record;
    CO_RETURN_IF_ERROR(vschema::apply_statements(*out.mutable_v_schema(), keyspace, request.sql()));
  } else if (request.has_v_schema()) {
    *out.mutable_v_schema() = request.v_schema();
    const auto problems = vschema::find_problems(keyspace, out.v_schema());
    if (!problems.empty()) {
      std::string text = "the vschema of " + keyspace + " is not valid";
      for (const auto& problem : problems) text += "\n  " + problem;
      co_return fail(Code::kInvalidArgument, text);
    }
  } else {
    co_return fail(Code::kInvalidArgument, "one of --vschema, --vschema-file, --sql and --sql-file is needed");
  }
  for (const auto& parameter : vschema::unknown_vindex_parameters(keyspace, out.v_schema())) {
    const size_t dot = parameter.find('.');
    (*out.mutable_unknown_vindex_params())[parameter.substr(0, dot)].add_params(parameter.substr(dot + 1));
  }
  if (request.strict() && out.unknown_vindex_params_size() > 0) {
    co_return fail(Code::kInvalidArgument, "the vschema has vindex parameters that their types do not know");
  }
  if (request.strict() && vschema::has_kept_fields(request.v_schema())) {
    co_return fail(Code::kInvalidArgument, "the vschema has fields that are not known, and --strict was given");
  }
  co_return out;
}

// Statements change what is stored, so it is read with the lock held.
Answer<vd::ApplyVSchemaResponse> save_vschema(TabletClient& client, const topo::KeyspaceLock& lock,
                                              const vd::ApplyVSchemaRequest& request) {
  CO_ASSIGN_OR_RETURN(auto out, co_await wanted_vschema(client.topology(), request));
  CO_RETURN_IF_ERROR(co_await lock.check_held());
  CO_RETURN_IF_ERROR(co_await topo::save_vschema(client.topology(), lock.keyspace(), out.v_schema()));
  co_return out;
}

Answer<vd::ApplyVSchemaResponse> apply_vschema(TabletClient& client, vd::ApplyVSchemaRequest request) {
  CO_ASSIGN_OR_RETURN(const auto exists, co_await topo::get_keyspace(client.topology(), request.keyspace()));
  if (request.dry_run()) co_return co_await wanted_vschema(client.topology(), std::move(request));
  auto saved = co_await with_keyspace_lock(client, request.keyspace(), "ApplyVSchema", request, save_vschema);
  if (!saved.ok()) co_return std::move(saved).error();
  if (!request.skip_rebuild()) {
    CO_RETURN_IF_ERROR(co_await topo::rebuild_srv_vschema(client.topology(), strings(request.cells())));
  }
  co_return saved;
}

// Saves rules of one kind under the lock that all kinds share, then tells the cells.
template <typename Response, typename Request, typename Rules>
Answer<Response> apply_rules(TabletClient& client, Request request, Rules rules, std::string action,
                             net::Task<Status> (*save)(topo::Server& server, Rules rules), Response out) {
  CO_ASSIGN_OR_RETURN(auto lock, co_await topo::RoutingRulesLock::acquire(client.topology(), std::move(action)));
  Status saved = co_await lock.check_held();
  if (saved.ok()) saved = co_await save(client.topology(), std::move(rules));
  Status released = co_await lock.release();
  if (!saved.ok()) co_return std::move(saved).error();
  if (!released.ok()) co_return std::move(released).error();
  if (!request.skip_rebuild()) {
    CO_RETURN_IF_ERROR(co_await topo::rebuild_srv_vschema(client.topology(), strings(request.rebuild_cells())));
  }
  co_return out;
}

void register_vschemas(Registrar& r) {
  r.unary<vd::GetVSchemaRequest, vd::GetVSchemaResponse>(
      "GetVSchema", [](TabletClient& t, vd::GetVSchemaRequest q) -> Answer<vd::GetVSchemaResponse> {
        CO_ASSIGN_OR_RETURN(const auto stored, co_await topo::get_vschema(t.topology(), q.keyspace()));
        vd::GetVSchemaResponse out;
        *out.mutable_v_schema() = stored.record;
        co_return out;
      });
  r.unary<vd::ApplyVSchemaRequest, vd::ApplyVSchemaResponse>("ApplyVSchema", apply_vschema);
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
  r.unary<vd::GetSrvVSchemasRequest, vd::GetSrvVSchemasResponse>(
      "GetSrvVSchemas", [](TabletClient& t, vd::GetSrvVSchemasRequest q) -> Answer<vd::GetSrvVSchemasResponse> {
        CO_ASSIGN_OR_RETURN(const auto cells, co_await topo::expand_cells(t.topology(), strings(q.cells())));
        vd::GetSrvVSchemasResponse out;
        for (const auto& cell : cells) {
          const auto stored = co_await topo::get_srv_vschema(t.topology(), cell);
          if (stored.ok()) (*out.mutable_srv_v_schemas())[cell] = stored->record;
          if (!stored.ok() && stored.error().code() != Code::kNotFound) co_return Error(stored.error());
        }
        co_return out;
      });
  r.unary<vd::DeleteSrvVSchemaRequest, vd::DeleteSrvVSchemaResponse>(
      "DeleteSrvVSchema", [](TabletClient& t, vd::DeleteSrvVSchemaRequest q) -> Answer<vd::DeleteSrvVSchemaResponse> {
        CO_RETURN_IF_ERROR(co_await topo::delete_srv_vschema(t.topology(), q.cell()));
        co_return vd::DeleteSrvVSchemaResponse();
      });
}

void register_rules(Registrar& r) {
  r.unary<vd::GetRoutingRulesRequest, vd::GetRoutingRulesResponse>(
      "GetRoutingRules", [](TabletClient& t, vd::GetRoutingRulesRequest) -> Answer<vd::GetRoutingRulesResponse> {
        CO_ASSIGN_OR_RETURN(auto stored, co_await topo::get_routing_rules(t.topology()));
        vd::GetRoutingRulesResponse out;
        *out.mutable_routing_rules() = std::move(stored.rules);
        co_return out;
      });
  r.unary<vd::ApplyRoutingRulesRequest, vd::ApplyRoutingRulesResponse>(
      "ApplyRoutingRules",
      [](TabletClient& t, vd::ApplyRoutingRulesRequest q) -> Answer<vd::ApplyRoutingRulesResponse> {
        CO_RETURN_IF_ERROR(vschema::check_routing_rules(q.routing_rules()));
        co_return co_await apply_rules(t, q, q.routing_rules(), "ApplyRoutingRules", topo::save_routing_rules,
                                       vd::ApplyRoutingRulesResponse());
      });
  r.unary<vd::GetShardRoutingRulesRequest, vd::GetShardRoutingRulesResponse>(
      "GetShardRoutingRules",
      [](TabletClient& t, vd::GetShardRoutingRulesRequest) -> Answer<vd::GetShardRoutingRulesResponse> {
        CO_ASSIGN_OR_RETURN(auto stored, co_await topo::get_shard_routing_rules(t.topology()));
        vd::GetShardRoutingRulesResponse out;
        *out.mutable_shard_routing_rules() = std::move(stored.rules);
        co_return out;
      });
  r.unary<vd::ApplyShardRoutingRulesRequest, vd::ApplyShardRoutingRulesResponse>(
      "ApplyShardRoutingRules",
      [](TabletClient& t, vd::ApplyShardRoutingRulesRequest q) -> Answer<vd::ApplyShardRoutingRulesResponse> {
        CO_RETURN_IF_ERROR(vschema::check_shard_routing_rules(q.shard_routing_rules()));
        co_return co_await apply_rules(t, q, q.shard_routing_rules(), "ApplyShardRoutingRules",
                                       topo::save_shard_routing_rules, vd::ApplyShardRoutingRulesResponse());
      });
  r.unary<vd::GetKeyspaceRoutingRulesRequest, vd::GetKeyspaceRoutingRulesResponse>(
      "GetKeyspaceRoutingRules",
      [](TabletClient& t, vd::GetKeyspaceRoutingRulesRequest) -> Answer<vd::GetKeyspaceRoutingRulesResponse> {
        CO_ASSIGN_OR_RETURN(auto stored, co_await topo::get_keyspace_routing_rules(t.topology()));
        vd::GetKeyspaceRoutingRulesResponse out;
        *out.mutable_keyspace_routing_rules() = std::move(stored.rules);
        co_return out;
      });
  r.unary<vd::ApplyKeyspaceRoutingRulesRequest, vd::ApplyKeyspaceRoutingRulesResponse>(
      "ApplyKeyspaceRoutingRules",
      [](TabletClient& t, vd::ApplyKeyspaceRoutingRulesRequest q) -> Answer<vd::ApplyKeyspaceRoutingRulesResponse> {
        CO_RETURN_IF_ERROR(vschema::check_keyspace_routing_rules(q.keyspace_routing_rules()));
        vd::ApplyKeyspaceRoutingRulesResponse out;
        *out.mutable_keyspace_routing_rules() = q.keyspace_routing_rules();
        co_return co_await apply_rules(t, q, q.keyspace_routing_rules(), "ApplyKeyspaceRoutingRules",
                                       topo::save_keyspace_routing_rules, std::move(out));
      });
  r.unary<vd::GetMirrorRulesRequest, vd::GetMirrorRulesResponse>(
      "GetMirrorRules", [](TabletClient& t, vd::GetMirrorRulesRequest) -> Answer<vd::GetMirrorRulesResponse> {
        CO_ASSIGN_OR_RETURN(auto stored, co_await topo::get_mirror_rules(t.topology()));
        vd::GetMirrorRulesResponse out;
        *out.mutable_mirror_rules() = std::move(stored.rules);
        co_return out;
      });
}

}  // namespace

void register_vschema_methods(Registrar& r) {
  register_vschemas(r);
  register_rules(r);
}

}  // namespace vitrail::control
