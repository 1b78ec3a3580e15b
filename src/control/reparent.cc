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
  net::Task<Status> finish(const topo::ShardLock& lock, ::topodata::Tablet candidate, std::string position);

  TabletClient& tablets_;
  const PlannedReparentOptions options_;
  topo::ShardInfo shard_;
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
      CO_ASSIGN_OR_RETURN(const auto promoted, co_await self.call<tmd::PromoteReplicaResponse>(
                                                   primary, "PromoteReplica", tmd::PromoteReplicaRequest()));
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
  CO_ASSIGN_OR_RETURN(const auto promoted,
                      co_await call<tmd::InitPrimaryResponse>(candidate, "InitPrimary", tmd::InitPrimaryRequest()));
  co_return co_await finish(lock, std::move(candidate), promoted.position());
}

net::Task<Status> PlannedReparent::graceful(const topo::ShardLock& lock, ::topodata::Tablet old_primary,
                                            ::topodata::Tablet candidate) {
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
      auto undone = co_await self.call<tmd::UndoDemotePrimaryResponse>(primary, "UndoDemotePrimary",
                                                                       tmd::UndoDemotePrimaryRequest());
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
  auto promoted = co_await call<tmd::PromoteReplicaResponse>(candidate, "PromoteReplica", tmd::PromoteReplicaRequest());
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
  auto outcomes = co_await follow_primary(tablets_, primary, members_, options_.wait_replicas_timeout);
  for (auto& outcome : outcomes) {
    if (!outcome.ok()) {
      co_return std::move(outcome).error().with_context(
          "the new primary serves, but not every tablet follows it; run the same "
          "command again");
    }
  }
  co_return Status{};
}

net::Task<void> follow_one(TabletClient& tablets, ::topodata::Tablet tablet, const NewPrimary& primary,
                           base::Duration timeout, Status& out) {
  tmd::SetReplicationSourceRequest request;
  *request.mutable_parent() = primary.tablet.alias();
  request.set_time_created_ns(primary.journal_time_ns);
  request.set_force_start_replication(true);
  auto done = co_await tablets.call<tmd::SetReplicationSourceResponse>(std::move(tablet), "SetReplicationSource",
                                                                       std::move(request), net::Wait::within(timeout));
  if (!done.ok()) out = std::move(done).error();
}

}  // namespace

net::Task<Result<NewPrimary>> announce_primary(TabletClient& tablets, const topo::ShardLock& lock,
                                               ::topodata::Tablet candidate, std::string position, std::string action,
                                               base::Duration timeout) {
  topo::Server& topology = tablets.topology();
  const auto wait = [&] { return net::Wait::within(timeout); };
  CO_ASSIGN_OR_RETURN(const auto stored, co_await topo::get_tablet(topology, candidate.alias()));
  topo::UpdateFn<::topodata::Shard> name_it = [&](::topodata::Shard& record) -> Result<bool> {
    *record.mutable_primary_alias() = candidate.alias();
    *record.mutable_primary_term_start_time() = stored.record.primary_term_start_time();
    return true;
  };
  auto updated =
      co_await topo::update_shard_fields(topology, lock.keyspace(), lock.shard(), std::move(name_it), lock.fence());
  if (!updated.ok()) co_return std::move(updated).error();
  auto refreshed =
      co_await tablets.call<tmd::RefreshStateResponse>(candidate, "RefreshState", tmd::RefreshStateRequest(), wait());
  if (!refreshed.ok()) co_return std::move(refreshed).error();
  NewPrimary primary{stored.record, std::move(position), wall_ns(topology)};
  tmd::PopulateReparentJournalRequest journal;
  journal.set_time_created_ns(primary.journal_time_ns);
  journal.set_action_name(action);
  *journal.mutable_primary_alias() = candidate.alias();
  journal.set_replication_position(primary.position);
  auto written = co_await tablets.call<tmd::PopulateReparentJournalResponse>(candidate, "PopulateReparentJournal",
                                                                             std::move(journal), wait());
  if (!written.ok()) co_return std::move(written).error();
  co_return primary;
}

net::Task<std::vector<Status>> follow_primary(TabletClient& tablets, const NewPrimary& primary,
                                              const std::vector<::topodata::Tablet>& members, base::Duration timeout) {
  std::vector<Status> outcomes(members.size());
  std::vector<net::Task<void>> tasks;
  for (size_t i = 0; i < members.size(); ++i) {
    if (topo::same_alias(members[i].alias(), primary.tablet.alias())) continue;
    tasks.push_back(follow_one(tablets, members[i], primary, timeout, outcomes[i]));
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
