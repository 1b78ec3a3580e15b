// Vtctld's methods on other clusters: where their topologies are, for Migrate.
#include <fmt/core.h>

#include "control/method.h"
#include "control/registrar.h"
#include "control/workflow/engine/record.h"
#include "control/workflow/migrate.h"
#include "topo/external.h"

namespace vitrail::control {
namespace {

namespace vd = ::vtctldata;

Answer<vd::MountRegisterResponse> mount_register(TabletClient& tablets, vd::MountRegisterRequest request) {
  ::topodata::TopoConfig config;
  config.set_topo_type(request.topo_type());
  config.set_server(request.topo_server());
  config.set_root(request.topo_root());
  CO_RETURN_IF_ERROR(co_await topo::create_external_cluster(tablets.topology(), request.name(), std::move(config)));
  co_return vd::MountRegisterResponse();
}

Answer<vd::MountUnregisterResponse> mount_unregister(TabletClient& tablets, vd::MountUnregisterRequest request) {
  CO_ASSIGN_OR_RETURN(const auto records, co_await engine::list_records(tablets.topology()));
  for (const auto& one : records) {
    if (mount_of(one.record) != request.name()) continue;
    co_return fail(Code::kFailedPrecondition,
                   fmt::format("{} takes its rows from the cluster {}: complete or cancel it first",
                               engine::name_of(one.record), request.name()));
  }
  CO_RETURN_IF_ERROR(co_await topo::delete_external_cluster(tablets.topology(), request.name()));
  co_return vd::MountUnregisterResponse();
}

Answer<vd::MountShowResponse> mount_show(TabletClient& tablets, vd::MountShowRequest request) {
  CO_ASSIGN_OR_RETURN(const auto stored, co_await topo::get_external_cluster(tablets.topology(), request.name()));
  const auto& config = stored.record.topo_config();
  vd::MountShowResponse out;
  out.set_name(request.name());
  out.set_topo_type(config.topo_type());
  out.set_topo_server(config.server());
  out.set_topo_root(config.root());
  co_return out;
}

Answer<vd::MountListResponse> mount_list(TabletClient& tablets, vd::MountListRequest) {
  CO_ASSIGN_OR_RETURN(const auto names, co_await topo::list_external_clusters(tablets.topology()));
  vd::MountListResponse out;
  for (const auto& name : names) out.add_names(name);
  co_return out;
}

}  // namespace

void register_mount_methods(Registrar& r) {
  r.unary<vd::MountRegisterRequest, vd::MountRegisterResponse>("MountRegister", mount_register);
  r.unary<vd::MountUnregisterRequest, vd::MountUnregisterResponse>("MountUnregister", mount_unregister);
  r.unary<vd::MountShowRequest, vd::MountShowResponse>("MountShow", mount_show);
  r.unary<vd::MountListRequest, vd::MountListResponse>("MountList", mount_list);
  r.unary<vd::MigrateCompleteRequest, vd::MigrateCompleteResponse>("MigrateComplete", complete_migrate);
}

}  // namespace vitrail::control
