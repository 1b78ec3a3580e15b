// Vtctld's methods that look for faults.
#include "base/text.h"
#include "control/method.h"
#include "control/registrar.h"
#include "control/validate.h"

namespace vitrail::control {
namespace {

namespace vd = ::vtctldata;

Answer<vd::ValidateShardResponse> one_shard(TabletClient& client, vd::ValidateShardRequest request) {
  CO_ASSIGN_OR_RETURN(const auto shard,
                      co_await topo::get_shard(client.topology(), request.keyspace(), request.shard()));
  CO_ASSIGN_OR_RETURN(const auto tablets, co_await read_tablets(client, request.keyspace()));
  auto problems = co_await validate_shard(client, shard, tablets, request.ping_tablets());
  vd::ValidateShardResponse out;
  out.mutable_results()->Add(tablets.problems.begin(), tablets.problems.end());
  out.mutable_results()->Add(problems.begin(), problems.end());
  co_return out;
}

Answer<vd::ValidateVersionKeyspaceResponse> versions(TabletClient& client, vd::ValidateVersionKeyspaceRequest request) {
  CO_ASSIGN_OR_RETURN(const auto shards, co_await topo::find_all_shards(client.topology(), request.keyspace()));
  CO_ASSIGN_OR_RETURN(const auto tablets, co_await read_tablets(client, request.keyspace()));
  vd::ValidateVersionKeyspaceResponse out;
  out.mutable_results()->Add(tablets.problems.begin(), tablets.problems.end());
  if (shards.empty()) out.add_results("no shards in keyspace " + request.keyspace());
  for (const auto& [name, shard] : shards) {
    const auto problems = co_await validate_version(client, shard, tablets);
    (*out.mutable_results_by_shard())[name].mutable_results()->Add(problems.begin(), problems.end());
  }
  co_return out;
}

}  // namespace

void register_validate_methods(Registrar& r) {
  r.unary<vd::ValidateRequest, vd::ValidateResponse>(
      "Validate", [](TabletClient& t, vd::ValidateRequest q) { return validate_all(t, q.ping_tablets()); });
  r.unary<vd::ValidateKeyspaceRequest, vd::ValidateKeyspaceResponse>(
      "ValidateKeyspace", [](TabletClient& t, vd::ValidateKeyspaceRequest q) -> Answer<vd::ValidateKeyspaceResponse> {
        CO_ASSIGN_OR_RETURN(const auto tablets, co_await read_tablets(t, q.keyspace()));
        CO_ASSIGN_OR_RETURN(auto out, co_await validate_keyspace(t, q.keyspace(), tablets, q.ping_tablets()));
        out.mutable_results()->Add(tablets.problems.begin(), tablets.problems.end());
        co_return out;
      });
  r.unary<vd::ValidateShardRequest, vd::ValidateShardResponse>("ValidateShard", one_shard);
  r.unary<vd::ValidateSchemaKeyspaceRequest, vd::ValidateSchemaKeyspaceResponse>("ValidateSchemaKeyspace",
                                                                                 validate_schema);
  r.unary<vd::ValidateVSchemaRequest, vd::ValidateVSchemaResponse>("ValidateVSchema", validate_vschema);
  r.unary<vd::ValidateVersionKeyspaceRequest, vd::ValidateVersionKeyspaceResponse>("ValidateVersionKeyspace", versions);
  r.unary<vd::ValidateVersionShardRequest, vd::ValidateVersionShardResponse>(
      "ValidateVersionShard",
      [](TabletClient& t, vd::ValidateVersionShardRequest q) -> Answer<vd::ValidateVersionShardResponse> {
        CO_ASSIGN_OR_RETURN(const auto shard, co_await topo::get_shard(t.topology(), q.keyspace(), q.shard()));
        CO_ASSIGN_OR_RETURN(const auto tablets, co_await read_tablets(t, q.keyspace()));
        const auto problems = co_await validate_version(t, shard, tablets);
        vd::ValidateVersionShardResponse out;
        out.mutable_results()->Add(problems.begin(), problems.end());
        co_return out;
      });
  r.unary<vd::ValidatePermissionsKeyspaceRequest, vd::ValidatePermissionsKeyspaceResponse>(
      "ValidatePermissionsKeyspace",
      [](TabletClient& t, vd::ValidatePermissionsKeyspaceRequest q) -> Answer<vd::ValidatePermissionsKeyspaceResponse> {
        CO_ASSIGN_OR_RETURN(const auto problems, co_await validate_permissions(t, std::move(q)));
        // The response has no room for results.
        if (!problems.empty()) co_return fail(Code::kFailedPrecondition, base::join(problems, "\n"));
        co_return vd::ValidatePermissionsKeyspaceResponse();
      });
}

}  // namespace vitrail::control
