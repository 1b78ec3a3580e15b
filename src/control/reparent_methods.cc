// Vtctld's methods that change which tablet is the primary of a shard.
#include <fmt/core.h>

#include <algorithm>

#include "control/external_reparent.h"
#include "control/method.h"
#include "control/registrar.h"
#include "control/reparent.h"
#include "net/scope.h"
#include "tabletmanagerdata.pb.h"
#include "topo/keyspace.h"

namespace vitrail::control {
namespace {

namespace vd = ::vtctldata;
namespace tmd = ::tabletmanagerdata;
using namespace std::chrono_literals;

template <typename Response>
void add_promotion(TabletClient& client, Response& done) {
  add_event(client, done, ::logutil::INFO,
            fmt::format("{}/{}: {} is the primary", done.keyspace(), done.shard(),
                        topo::alias_to_string(done.promoted_primary())));
}

Answer<vd::PlannedReparentShardResponse> planned(TabletClient& client, vd::PlannedReparentShardRequest request) {
  PlannedReparentOptions options;
  options.keyspace = request.keyspace();
  options.shard = request.shard();
  if (request.has_new_primary()) options.new_primary = request.new_primary();
  if (request.has_avoid_primary()) options.avoid_primary = request.avoid_primary();
  if (request.has_expected_primary()) options.expected_primary = request.expected_primary();
  if (request.has_wait_replicas_timeout()) options.wait_replicas_timeout = to_duration(request.wait_replicas_timeout());
  options.tolerable_lag = to_duration(request.tolerable_replication_lag());
  options.allow_cross_cell = request.allow_cross_cell_promotion();
  CO_ASSIGN_OR_RETURN(const auto done, co_await planned_reparent_shard(client, std::move(options)));
  vd::PlannedReparentShardResponse out;
  out.set_keyspace(request.keyspace());
  out.set_shard(request.shard());
  *out.mutable_promoted_primary() = done.primary;
  for (const auto& text : done.events) add_event(client, out, ::logutil::WARNING, text);
  add_promotion(client, out);
  co_return out;
}

Answer<vd::EmergencyReparentShardResponse> emergency(TabletClient& client, vd::EmergencyReparentShardRequest request) {
  EmergencyReparentOptions options;
  options.keyspace = request.keyspace();
  options.shard = request.shard();
  if (request.has_new_primary()) options.new_primary = request.new_primary();
  if (request.has_expected_primary()) options.expected_primary = request.expected_primary();
  options.ignore_replicas = {request.ignore_replicas().begin(), request.ignore_replicas().end()};
  if (request.has_wait_replicas_timeout()) options.wait_replicas_timeout = to_duration(request.wait_replicas_timeout());
  options.prevent_cross_cell = request.prevent_cross_cell_promotion();
  options.wait_for_all_tablets = request.wait_for_all_tablets();
  CO_ASSIGN_OR_RETURN(const auto done, co_await emergency_reparent_shard(client, std::move(options)));
  vd::EmergencyReparentShardResponse out;
  out.set_keyspace(request.keyspace());
  out.set_shard(request.shard());
  *out.mutable_promoted_primary() = done.primary;
  for (const auto& text : done.events) add_event(client, out, ::logutil::INFO, text);
  add_promotion(client, out);
  co_return out;
}

// Under the shard's lock: whoever changes the primary meanwhile would find the tablet behind the old one afterwards.
Answer<vd::ReparentTabletResponse> reparent_under_lock(TabletClient& client, const topo::ShardLock& lock,
                                                       const vd::ReparentTabletRequest& request) {
  CO_ASSIGN_OR_RETURN(const auto tablet, co_await topo::get_tablet(client.topology(), request.tablet()));
  CO_RETURN_IF_ERROR(co_await lock.check_held());
  CO_ASSIGN_OR_RETURN(const auto primary, co_await client.primary_of(tablet.record.keyspace(), tablet.record.shard()));
  if (topo::same_alias(primary.alias(), request.tablet())) {
    co_return fail(Code::kFailedPrecondition,
                   "tablet " + topo::alias_to_string(request.tablet()) + " is the primary of its shard");
  }
  tmd::SetReplicationSourceRequest follow;
  *follow.mutable_parent() = primary.alias();
  follow.set_force_start_replication(true);
  CO_ASSIGN_OR_RETURN(const auto policy, co_await topo::get_durability(client.topology(), tablet.record.keyspace()));
  follow.set_semisync(policy.acknowledges(primary, tablet.record));
  auto done = co_await client.call<tmd::SetReplicationSourceResponse>(tablet.record, "SetReplicationSource",
                                                                      std::move(follow), net::Wait::within(30s));
  if (!done.ok()) co_return std::move(done).error();
  vd::ReparentTabletResponse out;
  out.set_keyspace(tablet.record.keyspace());
  out.set_shard(tablet.record.shard());
  *out.mutable_primary() = primary.alias();
  co_return out;
}

Answer<vd::ReparentTabletResponse> reparent_tablet(TabletClient& client, vd::ReparentTabletRequest request) {
  CO_ASSIGN_OR_RETURN(const auto tablet, co_await topo::get_tablet(client.topology(), request.tablet()));
  co_return co_await with_shard_lock(client, tablet.record.keyspace(), tablet.record.shard(),
                                     "ReparentTablet " + topo::alias_to_string(request.tablet()), request,
                                     reparent_under_lock);
}

Answer<vd::TabletExternallyReparentedResponse> adopt(TabletClient& client, const topo::ShardLock& lock,
                                                     const ::topodata::Tablet& tablet) {
  co_return co_await adopt_external_primary(client, lock, tablet);
}

Answer<vd::TabletExternallyReparentedResponse> externally_reparented(TabletClient& client,
                                                                     vd::TabletExternallyReparentedRequest request) {
  CO_ASSIGN_OR_RETURN(const auto tablet, co_await topo::get_tablet(client.topology(), request.tablet()));
  co_return co_await with_shard_lock(client, tablet.record.keyspace(), tablet.record.shard(),
                                     "TabletExternallyReparented " + topo::alias_to_string(request.tablet()),
                                     tablet.record, adopt);
}

Answer<vd::SetVtorcEmergencyReparentResponse> set_vtorc(TabletClient& client, const topo::KeyspaceLock& lock,
                                                        const vd::SetVtorcEmergencyReparentRequest& request) {
  const bool disable = request.disable();
  if (request.shard().empty()) {
    topo::UpdateFn<::topodata::Keyspace> set = [disable](::topodata::Keyspace& record) -> Result<bool> {
      record.mutable_vtorc_state()->set_disable_emergency_reparent(disable);
      return true;
    };
    auto updated = co_await topo::update_keyspace_fields(client.topology(), lock, std::move(set));
    if (!updated.ok()) co_return std::move(updated).error();
  } else {
    topo::UpdateFn<::topodata::Shard> set = [disable](::topodata::Shard& record) -> Result<bool> {
      record.mutable_vtorc_state()->set_disable_emergency_reparent(disable);
      return true;
    };
    auto updated = co_await topo::update_shard_fields(client.topology(), lock.keyspace(), request.shard(),
                                                      std::move(set), lock.fence());
    if (!updated.ok()) co_return std::move(updated).error();
  }
  co_return vd::SetVtorcEmergencyReparentResponse();
}

Answer<vd::InitShardPrimaryResponse> init_primary(TabletClient& client, const topo::ShardLock& lock,
                                                  const vd::InitShardPrimaryRequest& request) {
  const base::Duration timeout =
      request.has_wait_replicas_timeout() ? to_duration(request.wait_replicas_timeout()) : 30s;
  CO_ASSIGN_OR_RETURN(const auto done, co_await init_shard_primary(client, lock, request.primary_elect_tablet_alias(),
                                                                   request.force(), timeout));
  vd::InitShardPrimaryResponse out;
  for (const auto& text : done.events) add_event(client, out, ::logutil::WARNING, text);
  co_return out;
}

}  // namespace

void register_reparent_methods(Registrar& r) {
  r.unary<vd::PlannedReparentShardRequest, vd::PlannedReparentShardResponse>("PlannedReparentShard", planned);
  r.unary<vd::EmergencyReparentShardRequest, vd::EmergencyReparentShardResponse>("EmergencyReparentShard", emergency);
  r.unary<vd::ReparentTabletRequest, vd::ReparentTabletResponse>("ReparentTablet", reparent_tablet);
  r.unary<vd::TabletExternallyReparentedRequest, vd::TabletExternallyReparentedResponse>("TabletExternallyReparented",
                                                                                         externally_reparented);
  r.unary<vd::SetVtorcEmergencyReparentRequest, vd::SetVtorcEmergencyReparentResponse>(
      "SetVtorcEmergencyReparent", [](TabletClient& t, vd::SetVtorcEmergencyReparentRequest q) {
        const std::string keyspace = q.keyspace();
        return with_keyspace_lock(t, keyspace, "SetVtorcEmergencyReparent", std::move(q), set_vtorc);
      });
  r.unary<vd::InitShardPrimaryRequest, vd::InitShardPrimaryResponse>(
      "InitShardPrimary", [](TabletClient& t, vd::InitShardPrimaryRequest q) {
        const std::string keyspace = q.keyspace(), shard = q.shard();
        return with_shard_lock(t, keyspace, shard, "InitShardPrimary", std::move(q), init_primary);
      });
}

}  // namespace vitrail::control
