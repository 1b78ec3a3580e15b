#include "control/reparent.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/log.h"
#include "net/scope.h"
#include "tabletmanagerdata.pb.h"
#include "topo/locks.h"
#include "topo/shard.h"
#include "topo/srv_keyspace.h"

namespace vitrail::control {
namespace {

namespace tmd = ::tabletmanagerdata;
using namespace std::chrono_literals;

int64_t wall_ns(const topo::Server& topology) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(topology.clock().wall_now().time_since_epoch()).count();
}

class PlannedReparent {
 public:
  PlannedReparent(TabletClient& tablets, PlannedReparentOptions options)
      : tablets_(tablets), options_(std::move(options)) {}

  net::Task<Result<::topodata::TabletAlias>> run();

 private:
  net::Wait wait() const { return net::Wait::within(options_.wait_replicas_timeout); }
  template <typename Response, typename Request>
  net::Task<Result<Response>> call(::topodata::Tablet tablet, std::string_view method, Request request) {
    return tablets_.call<Response>(std::move(tablet), method, std::move(request), wait());
  }
  net::Task<Result<::topodata::Tablet>> choose();
  net::Task<bool> lags_too_much(::topodata::Tablet tablet);
  net::Task<Status> initialise(const topo::ShardLock& lock, ::topodata::Tablet candidate);
  net::Task<Status> graceful(const topo::ShardLock& lock, ::topodata::Tablet old_primary, ::topodata::Tablet candidate);
  net::Task<Status> check_candidate(const ::topodata::Tablet& candidate) {
    return check_progress(tablets_, policy_, candidate, members_, options_.wait_replicas_timeout);
  }
  template <typename Request>
  Request with_policy() const {
    Request request;
    request.set_semisync(policy_.acks_needed() > 0);
    return request;
  }
  net::Task<Status> finish(const topo::ShardLock& lock, ::topodata::Tablet candidate, std::string position);

  TabletClient& tablets_;
  const PlannedReparentOptions options_;
  topo::ShardInfo shard_;
  topo::Durability policy_;
  std::vector<::topodata::Tablet> members_;
};

net::Task<bool> PlannedReparent::lags_too_much(::topodata::Tablet tablet) {
  if (options_.tolerable_lag <= 0s || !shard_.record.has_primary_alias()) co_return false;
  const auto status = co_await call<tmd::ReplicationStatusResponse>(std::move(tablet), "ReplicationStatus",
                                                                    tmd::ReplicationStatusRequest());
  co_return !status.ok() || status->status().replication_lag_unknown() ||
      std::chrono::seconds(status->status().replication_lag_seconds()) > options_.tolerable_lag;
}

net::Task<Result<::topodata::Tablet>> PlannedReparent::choose() {
  const ::topodata::Tablet* chosen = nullptr;
  for (const auto& tablet : members_) {
    if (options_.new_primary) {
      if (!topo::same_alias(tablet.alias(), *options_.new_primary)) continue;
      if (tablet.type() != ::topodata::REPLICA && tablet.type() != ::topodata::PRIMARY) {
        co_return fail(Code::kFailedPrecondition,
                       fmt::format("primary-elect tablet {} is {}: only replica tablets can become the primary",
                                   topo::alias_to_string(tablet.alias()), topo::tablet_type_to_string(tablet.type())));
      }
      chosen = &tablet;
      continue;
    }
    if (options_.avoid_primary && topo::same_alias(tablet.alias(), *options_.avoid_primary)) continue;
    if (tablet.type() != ::topodata::REPLICA) continue;
    if (!options_.allow_cross_cell && shard_.record.has_primary_alias() &&
        tablet.alias().cell() != shard_.record.primary_alias().cell()) {
      continue;
    }
    if (!(co_await lags_too_much(tablet)) && chosen == nullptr) chosen = &tablet;
  }
  if (chosen == nullptr) {
    co_return fail(Code::kFailedPrecondition,
                   options_.new_primary
                       ? "primary-elect tablet " + topo::alias_to_string(*options_.new_primary) + " is not in the shard"
                       : "cannot find a tablet to reparent to in shard " + options_.keyspace + "/" + options_.shard +
                             ": replicas of the old primary's cell are chosen, if they do not lag too much");
  }
  co_return *chosen;
}

net::Task<Result<::topodata::TabletAlias>> PlannedReparent::run() {
  topo::Server& topology = tablets_.topology();
  CO_ASSIGN_OR_RETURN(auto lock, co_await topo::ShardLock::acquire(topology, options_.keyspace, options_.shard,
                                                                   "PlannedReparentShard"));
  auto body = [](PlannedReparent& self, topo::Server& store,
                 const topo::ShardLock& held) -> net::Task<Result<::topodata::TabletAlias>> {
    CO_ASSIGN_OR_RETURN(self.shard_, co_await topo::get_shard(store, self.options_.keyspace, self.options_.shard));
    topo::TabletQuery query;
    query.keyspace = self.options_.keyspace;
    query.shard = self.options_.shard;
    CO_ASSIGN_OR_RETURN(auto list, co_await topo::find_tablets(store, std::move(query)));
    self.members_ = std::move(list.tablets);
    CO_ASSIGN_OR_RETURN(self.policy_, co_await topo::get_durability(store, self.options_.keyspace));
    const auto& record = self.shard_.record;
    if (self.options_.expected_primary && !topo::same_alias(record.primary_alias(), *self.options_.expected_primary)) {
      co_return fail(Code::kFailedPrecondition, "primary " + topo::alias_to_string(record.primary_alias()) +
                                                    " is not equal to expected alias " +
                                                    topo::alias_to_string(*self.options_.expected_primary));
    }
    if (!record.has_primary_alias()) {
      CO_ASSIGN_OR_RETURN(auto candidate, co_await self.choose());
      const auto alias = candidate.alias();
      CO_RETURN_IF_ERROR(co_await self.initialise(held, std::move(candidate)));
      co_return alias;
    }
    const bool stays =
        self.options_.new_primary
            ? topo::same_alias(record.primary_alias(), *self.options_.new_primary)
            : self.options_.avoid_primary && !topo::same_alias(record.primary_alias(), *self.options_.avoid_primary);
    const auto old_primary = std::find_if(
        self.members_.begin(), self.members_.end(),
        [&](const ::topodata::Tablet& tablet) { return topo::same_alias(tablet.alias(), record.primary_alias()); });
    if (old_primary == self.members_.end()) {
      co_return fail(Code::kFailedPrecondition,
                     "the shard's primary " + topo::alias_to_string(record.primary_alias()) + " has no tablet record");
    }
    if (stays) {  // Nothing to move; what an earlier run left half done is finished.
      ::topodata::Tablet primary = *old_primary;
      CO_RETURN_IF_ERROR(co_await self.check_candidate(primary));
      CO_ASSIGN_OR_RETURN(const auto promoted,
                          co_await self.call<tmd::PromoteReplicaResponse>(
                              primary, "PromoteReplica", self.with_policy<tmd::PromoteReplicaRequest>()));
      CO_RETURN_IF_ERROR(co_await self.finish(held, primary, promoted.position()));
      co_return primary.alias();
    }
    CO_ASSIGN_OR_RETURN(auto candidate, co_await self.choose());
    const auto alias = candidate.alias();
    CO_RETURN_IF_ERROR(co_await self.graceful(held, *old_primary, std::move(candidate)));
    co_return alias;
  };
  auto result = co_await body(*this, topology, lock);
  Status released = co_await lock.release();
  if (result.ok() && !released.ok()) co_return std::move(released).error();
  co_return result;
}

net::Task<Status> PlannedReparent::initialise(const topo::ShardLock& lock, ::topodata::Tablet candidate) {
  CO_RETURN_IF_ERROR(co_await check_candidate(candidate));
  CO_ASSIGN_OR_RETURN(const auto promoted, co_await call<tmd::InitPrimaryResponse>(
                                               candidate, "InitPrimary", with_policy<tmd::InitPrimaryRequest>()));
  co_return co_await finish(lock, std::move(candidate), promoted.position());
}

net::Task<Status> PlannedReparent::graceful(const topo::ShardLock& lock, ::topodata::Tablet old_primary,
                                            ::topodata::Tablet candidate) {
  CO_RETURN_IF_ERROR(co_await check_candidate(candidate));
  // The candidate must be close before anybody stops writing.
  CO_ASSIGN_OR_RETURN(const auto before, co_await call<tmd::PrimaryPositionResponse>(old_primary, "PrimaryPosition",
                                                                                     tmd::PrimaryPositionRequest()));
  tmd::WaitForPositionRequest near;
  near.set_position(before.position());
  auto close = co_await call<tmd::WaitForPositionResponse>(candidate, "WaitForPosition", std::move(near));
  if (!close.ok()) co_return std::move(close).error().with_context("the new primary does not catch up");

  auto demoted = co_await call<tmd::DemotePrimaryResponse>(old_primary, "DemotePrimary", tmd::DemotePrimaryRequest());
  const auto undo = [&](Error error) {
    return [](PlannedReparent& self, ::topodata::Tablet primary, Error cause) -> net::Task<Status> {
      auto undone = co_await self.call<tmd::UndoDemotePrimaryResponse>(
          primary, "UndoDemotePrimary", self.with_policy<tmd::UndoDemotePrimaryRequest>());
      if (!undone.ok())
        cause = std::move(cause).with_context("undoing the demotion failed too: " + undone.error().message());
      co_return std::move(cause);
    }(*this, old_primary, std::move(error));
  };
  if (!demoted.ok()) co_return co_await undo(std::move(demoted).error());
  tmd::WaitForPositionRequest all;
  all.set_position(demoted->primary_status().position());
  auto caught_up = co_await call<tmd::WaitForPositionResponse>(candidate, "WaitForPosition", std::move(all));
  if (!caught_up.ok()) co_return co_await undo(std::move(caught_up).error());
  auto promoted = co_await call<tmd::PromoteReplicaResponse>(candidate, "PromoteReplica",
                                                             with_policy<tmd::PromoteReplicaRequest>());
  if (!promoted.ok())
    co_return std::move(promoted).error().with_context("promote the new primary; run the same command again");
  co_return co_await finish(lock, std::move(candidate), promoted->position());
}

// The new primary is writable: name it in the records, and make everybody else follow it.
net::Task<Status> PlannedReparent::finish(const topo::ShardLock& lock, ::topodata::Tablet candidate,
                                          std::string position) {
  CO_ASSIGN_OR_RETURN(const auto primary,
                      co_await announce_primary(tablets_, lock, std::move(candidate), std::move(position),
                                                "PlannedReparentShard", options_.wait_replicas_timeout));
  auto outcomes = co_await follow_primary(tablets_, policy_, primary, members_, options_.wait_replicas_timeout);
  for (auto& outcome : outcomes) {
    if (!outcome.ok()) {
      co_return std::move(outcome).error().with_context(
          "the new primary serves, but not every tablet follows it; run the same "
          "command again");
    }
  }
  co_return Status{};
}

net::Task<void> follow_one(TabletClient& tablets, topo::Durability policy, ::topodata::Tablet tablet,
                           const NewPrimary& primary, int64_t journal_time_ns, base::Duration timeout, Status& out) {
  tmd::SetReplicationSourceRequest request;
  *request.mutable_parent() = primary.tablet.alias();
  request.set_time_created_ns(journal_time_ns);
  request.set_force_start_replication(true);
  request.set_semisync(policy.acknowledges(primary.tablet, tablet));
  auto done = co_await tablets.call<tmd::SetReplicationSourceResponse>(std::move(tablet), "SetReplicationSource",
                                                                       std::move(request), net::Wait::within(timeout));
  if (!done.ok()) out = std::move(done).error();
}

net::Task<void> write_journal(TabletClient& tablets, const NewPrimary& primary, int64_t journal_time_ns,
                              base::Duration timeout, Status& out) {
  tmd::PopulateReparentJournalRequest journal;
  journal.set_time_created_ns(journal_time_ns);
  journal.set_action_name(primary.action);
  *journal.mutable_primary_alias() = primary.tablet.alias();
  journal.set_replication_position(primary.position);
  auto written = co_await tablets.call<tmd::PopulateReparentJournalResponse>(
      primary.tablet, "PopulateReparentJournal", std::move(journal), net::Wait::within(timeout));
  if (!written.ok()) out = std::move(written).error().with_context("the first write of the new primary");
}

net::Task<void> ping_one(TabletClient& tablets, const ::topodata::Tablet& tablet, base::Duration timeout,
                         std::vector<const ::topodata::Tablet*>& answering) {
  const auto pong =
      co_await tablets.call<tmd::PingResponse>(tablet, "Ping", tmd::PingRequest(), net::Wait::within(timeout));
  if (pong.ok()) answering.push_back(&tablet);
}

}  // namespace

Status check_progress(topo::Durability policy, const ::topodata::Tablet& candidate,
                      const std::vector<const ::topodata::Tablet*>& answering) {
  const auto acks =
      std::ranges::count_if(answering, [&](const auto* tablet) { return policy.acknowledges(candidate, *tablet); });
  if (acks >= policy.acks_needed()) return {};
  return fail(
      Code::kFailedPrecondition,
      fmt::format("primary-elect tablet {} won't be able to make forward progress on promotion: with durability "
                  "policy {} its commits wait for an acknowledgement, and no tablet that may give it answers",
                  topo::alias_to_string(candidate.alias()), policy.name()));
}

net::Task<Status> check_progress(TabletClient& tablets, topo::Durability policy, const ::topodata::Tablet& candidate,
                                 const std::vector<::topodata::Tablet>& members, base::Duration timeout) {
  std::vector<const ::topodata::Tablet*> answering;
  std::vector<net::Task<void>> pings;
  for (const auto& member : members) {
    if (policy.acknowledges(candidate, member)) pings.push_back(ping_one(tablets, member, timeout, answering));
  }
  co_await net::when_all(std::move(pings));
  co_return check_progress(policy, candidate, answering);
}

net::Task<Result<NewPrimary>> announce_primary(TabletClient& tablets, const topo::ShardLock& lock,
                                               ::topodata::Tablet candidate, std::string position, std::string action,
                                               base::Duration timeout) {
  topo::Server& topology = tablets.topology();
  CO_ASSIGN_OR_RETURN(const auto stored, co_await topo::get_tablet(topology, candidate.alias()));
  topo::UpdateFn<::topodata::Shard> name_it = [&](::topodata::Shard& record) -> Result<bool> {
    *record.mutable_primary_alias() = candidate.alias();
    *record.mutable_primary_term_start_time() = stored.record.primary_term_start_time();
    return true;
  };
  auto updated =
      co_await topo::update_shard_fields(topology, lock.keyspace(), lock.shard(), std::move(name_it), lock.fence());
  if (!updated.ok()) co_return std::move(updated).error();
  auto refreshed = co_await tablets.call<tmd::RefreshStateResponse>(
      candidate, "RefreshState", tmd::RefreshStateRequest(), net::Wait::within(timeout));
  if (!refreshed.ok()) co_return std::move(refreshed).error();
  co_return NewPrimary{stored.record, std::move(position), std::move(action)};
}

net::Task<std::vector<Status>> follow_primary(TabletClient& tablets, topo::Durability policy, const NewPrimary& primary,
                                              const std::vector<::topodata::Tablet>& members, base::Duration timeout) {
  const int64_t journal_time_ns = wall_ns(tablets.topology());
  std::vector<Status> outcomes(members.size());
  std::vector<net::Task<void>> tasks;
  for (size_t i = 0; i < members.size(); ++i) {
    const bool is_primary = topo::same_alias(members[i].alias(), primary.tablet.alias());
    tasks.push_back(is_primary
                        ? write_journal(tablets, primary, journal_time_ns, timeout, outcomes[i])
                        : follow_one(tablets, policy, members[i], primary, journal_time_ns, timeout, outcomes[i]));
  }
  co_await net::when_all(std::move(tasks));
  co_return outcomes;
}

net::Task<Result<::topodata::TabletAlias>> planned_reparent_shard(TabletClient& tablets,
                                                                  PlannedReparentOptions options) {
  PlannedReparent change(tablets, std::move(options));
  co_return co_await change.run();
}

}  // namespace vitrail::control
