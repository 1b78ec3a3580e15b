// Vtctld's methods that change which tablet is the primary of a shard.
#include <fmt/core.h>

#include <algorithm>

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
  CO_ASSIGN_OR_RETURN(const auto alias, co_await planned_reparent_shard(client, std::move(options)));
  vd::PlannedReparentShardResponse out;
  out.set_keyspace(request.keyspace());
  out.set_shard(request.shard());
  *out.mutable_promoted_primary() = alias;
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

Answer<vd::ReparentTabletResponse> reparent_tablet(TabletClient& client, vd::ReparentTabletRequest request) {
  CO_ASSIGN_OR_RETURN(const auto tablet, co_await topo::get_tablet(client.topology(), request.tablet()));
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

// Another tool has done the work on the servers. The records follow, and both tablets learn what they are now.
Answer<vd::TabletExternallyReparentedResponse> adopt(TabletClient& client, const topo::ShardLock& lock,
                                                     const ::topodata::Tablet& tablet) {
  topo::Server& topology = client.topology();
  CO_ASSIGN_OR_RETURN(const auto shard, co_await topo::get_shard(topology, lock.keyspace(), lock.shard()));
  vd::TabletExternallyReparentedResponse out;
  out.set_keyspace(lock.keyspace());
  out.set_shard(lock.shard());
  *out.mutable_new_primary() = tablet.alias();
  if (shard.record.has_primary_alias()) *out.mutable_old_primary() = shard.record.primary_alias();
  if (topo::same_alias(shard.record.primary_alias(), tablet.alias())) co_return out;
  auto promoted = co_await client.call<tmd::ReplicaWasPromotedResponse>(
      tablet, "ReplicaWasPromoted", tmd::ReplicaWasPromotedRequest(), net::Wait::within(30s));
  if (!promoted.ok()) co_return std::move(promoted).error();
  CO_ASSIGN_OR_RETURN(const auto now, co_await topo::get_tablet(topology, tablet.alias()));
  topo::UpdateFn<::topodata::Shard> name_it = [&](::topodata::Shard& record) -> Result<bool> {
    *record.mutable_primary_alias() = now.record.alias();
    *record.mutable_primary_term_start_time() = now.record.primary_term_start_time();
    return true;
  };
  auto updated =
      co_await topo::update_shard_fields(topology, lock.keyspace(), lock.shard(), std::move(name_it), lock.fence());
  if (!updated.ok()) co_return std::move(updated).error();
  if (!shard.record.has_primary_alias()) co_return out;
  // The old primary may be dead, which is often why. When it comes back it reads the shard's record.
  const auto old_primary = co_await topo::get_tablet(topology, shard.record.primary_alias());
  if (!old_primary.ok()) co_return out;
  tmd::ReplicaWasRestartedRequest restarted;
  *restarted.mutable_parent() = tablet.alias();
  (void)co_await client.call<tmd::ReplicaWasRestartedResponse>(old_primary->record, "ReplicaWasRestarted",
                                                               std::move(restarted), net::Wait::within(5s));
  co_return out;
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

net::Task<void> reset_one(TabletClient& client, ::topodata::Tablet tablet, net::Wait wait, Status& out) {
  auto done = co_await client.call<tmd::ResetReplicationResponse>(std::move(tablet), "ResetReplication",
                                                                  tmd::ResetReplicationRequest(), std::move(wait));
  if (!done.ok()) out = std::move(done).error();
}

// Every server of the shard starts from nothing, the elected one first.
Answer<vd::InitShardPrimaryResponse> init_primary(TabletClient& client, const topo::ShardLock& lock,
                                                  const vd::InitShardPrimaryRequest& request) {
  topo::Server& topology = client.topology();
  const base::Duration timeout =
      request.has_wait_replicas_timeout() ? to_duration(request.wait_replicas_timeout()) : 30s;
  CO_ASSIGN_OR_RETURN(const auto shard, co_await topo::get_shard(topology, lock.keyspace(), lock.shard()));
  topo::TabletQuery query;
  query.keyspace = lock.keyspace();
  query.shard = shard.name;
  CO_ASSIGN_OR_RETURN(const auto list, co_await topo::find_tablets(topology, std::move(query)));
  const auto& elect = request.primary_elect_tablet_alias();
  const auto found =
      std::ranges::find_if(list.tablets, [&](const auto& t) { return topo::same_alias(t.alias(), elect); });
  if (found == list.tablets.end()) {
    co_return fail(Code::kFailedPrecondition, fmt::format("primary-elect tablet {} is not in the shard {}/{}",
                                                          topo::alias_to_string(elect), lock.keyspace(), shard.name));
  }
  const ::topodata::Tablet candidate = *found;
  CO_ASSIGN_OR_RETURN(const auto policy, co_await topo::get_durability(topology, lock.keyspace()));
  CO_RETURN_IF_ERROR(co_await check_progress(client, policy, candidate, list.tablets, timeout));
  if (!topo::same_alias(shard.record.primary_alias(), elect) && !request.force()) {
    co_return fail(Code::kFailedPrecondition, fmt::format("primary-elect tablet {} is not the shard primary, use "
                                                          "-force to proceed anyway",
                                                          topo::alias_to_string(elect)));
  }
  std::vector<Status> outcomes(list.tablets.size());
  std::vector<net::Task<void>> resets;
  for (size_t i = 0; i < list.tablets.size(); ++i) {
    resets.push_back(reset_one(client, list.tablets[i], net::Wait::within(timeout), outcomes[i]));
  }
  co_await net::when_all(std::move(resets));
  for (auto& outcome : outcomes) {
    if (!outcome.ok()) co_return std::move(outcome).error();
  }
  tmd::InitPrimaryRequest initialise;
  initialise.set_semisync(policy.acks_needed() > 0);
  auto initialised = co_await client.call<tmd::InitPrimaryResponse>(candidate, "InitPrimary", std::move(initialise),
                                                                    net::Wait::within(timeout));
  if (!initialised.ok()) co_return std::move(initialised).error();
  CO_ASSIGN_OR_RETURN(const auto primary, co_await announce_primary(client, lock, candidate, initialised->position(),
                                                                    "InitShardPrimary", timeout));
  auto follows = co_await follow_primary(client, policy, primary, list.tablets, timeout);
  vd::InitShardPrimaryResponse out;
  for (auto& outcome : follows) {
    if (!outcome.ok())
      co_return std::move(outcome).error().with_context("the primary serves; a replica does not follow");
  }
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
