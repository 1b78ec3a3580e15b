// Vtctld's methods on throttlers.
#include "control/method.h"
#include "control/registrar.h"
#include "topo/tablet.h"
#include "topo/throttler_config.h"

namespace vitrail::control {
namespace {

namespace vd = ::vtctldata;
namespace tmd = ::tabletmanagerdata;

net::Wait usual() { return net::Wait::within(std::chrono::seconds(15)); }

Answer<vd::CheckThrottlerResponse> check_throttler(TabletClient& client, vd::CheckThrottlerRequest request) {
  CO_ASSIGN_OR_RETURN(const auto tablet, co_await topo::get_tablet(client.topology(), request.tablet_alias()));
  tmd::CheckThrottlerRequest asked;
  asked.set_app_name(request.app_name());
  asked.set_scope(request.scope());
  asked.set_skip_request_heartbeats(request.skip_request_heartbeats());
  asked.set_ok_if_not_exists(request.ok_if_not_exists());
  CO_ASSIGN_OR_RETURN(auto answer, co_await client.call<tmd::CheckThrottlerResponse>(tablet.record, "CheckThrottler",
                                                                                     std::move(asked), usual()));
  vd::CheckThrottlerResponse out;
  *out.mutable_tablet_alias() = request.tablet_alias();
  *out.mutable_check() = std::move(answer);
  co_return out;
}

Answer<vd::GetThrottlerStatusResponse> get_status(TabletClient& client, vd::GetThrottlerStatusRequest request) {
  CO_ASSIGN_OR_RETURN(const auto tablet, co_await topo::get_tablet(client.topology(), request.tablet_alias()));
  CO_ASSIGN_OR_RETURN(auto status, co_await client.call<tmd::GetThrottlerStatusResponse>(
                                       tablet.record, "GetThrottlerStatus", tmd::GetThrottlerStatusRequest(), usual()));
  vd::GetThrottlerStatusResponse out;
  *out.mutable_status() = std::move(status);
  co_return out;
}

Answer<vd::UpdateThrottlerConfigResponse> update_config(TabletClient& client, const topo::KeyspaceLock& lock,
                                                        const vd::UpdateThrottlerConfigRequest& request) {
  if (request.check_as_check_self() || request.check_as_check_shard()) {
    co_return fail(Code::kUnimplemented,
                   "--check-as-check-self and --check-as-check-shard are not built: give the scope with the metric, "
                   "--app-name all --app-metrics self/lag");
  }
  topo::ThrottlerUpdate update;
  update.enable = request.enable();
  update.disable = request.disable();
  update.threshold = request.threshold();
  update.metric_name = request.metric_name();
  if (request.custom_query_set()) update.custom_query = request.custom_query();
  if (request.has_throttled_app() && !request.throttled_app().name().empty()) update.app = request.throttled_app();
  update.app_name = request.app_name();
  update.app_metrics = strings(request.app_checked_metrics());
  auto updated = co_await topo::update_throttler(client.topology(), lock, std::move(update));
  if (!updated.ok()) co_return std::move(updated).error();
  co_return vd::UpdateThrottlerConfigResponse();
}

}  // namespace

void register_throttler_methods(Registrar& r) {
  r.unary<vd::CheckThrottlerRequest, vd::CheckThrottlerResponse>("CheckThrottler", check_throttler);
  r.unary<vd::GetThrottlerStatusRequest, vd::GetThrottlerStatusResponse>("GetThrottlerStatus", get_status);
  r.unary<vd::UpdateThrottlerConfigRequest, vd::UpdateThrottlerConfigResponse>(
      "UpdateThrottlerConfig",
      [](TabletClient& t, vd::UpdateThrottlerConfigRequest q) -> Answer<vd::UpdateThrottlerConfigResponse> {
        const std::string keyspace = q.keyspace();
        co_return co_await with_keyspace_lock(t, keyspace, "UpdateThrottlerConfig", std::move(q), update_config);
      });
}

}  // namespace vitrail::control
