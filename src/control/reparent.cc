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
  net::Task<Status> initialise(::topodata::Tablet candidate);
  net::Task<Status> graceful(::topodata::Tablet old_primary, ::topodata::Tablet candidate);
  net::Task<Status> finish(::topodata::Tablet candidate, std::string position);

  TabletClient& tablets_;
  const PlannedReparentOptions options_;
  topo::ShardInfo shard_;
  std::vector<::topodata::Tablet> members_;
};

net::Task<Result<::topodata::Tablet>> PlannedReparent::choose() {
  const ::topodata::Tablet* chosen = nullptr;
  for (const auto& tablet : members_) {
    if (options_.new_primary) {
      if (topo::same_alias(tablet.alias(), *options_.new_primary)) chosen = &tablet;
      continue;
    }
    if (options_.avoid_primary && topo::same_alias(tablet.alias(), *options_.avoid_primary)) continue;
    if (tablet.type() != ::topodata::REPLICA) continue;
    if (shard_.record.has_primary_alias() && tablet.alias().cell() != shard_.record.primary_alias().cell()) continue;
    if (chosen == nullptr) chosen = &tablet;
  }
  if (chosen == nullptr) {
    co_return fail(Code::kFailedPrecondition,
                   options_.new_primary
                       ? "primary-elect tablet " + topo::alias_to_string(*options_.new_primary) + " is not in the shard"
                       : "no tablet of the shard can become its primary");
  }
  co_return *chosen;
}

net::Task<Result<::topodata::TabletAlias>> PlannedReparent::run() {
  topo::Server& topology = tablets_.topology();
  CO_ASSIGN_OR_RETURN(auto lock, co_await topo::ShardLock::acquire(topology, options_.keyspace, options_.shard,
                                                                   "PlannedReparentShard"));
  auto body = [](PlannedReparent& self, topo::Server& store) -> net::Task<Result<::topodata::TabletAlias>> {
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
      CO_RETURN_IF_ERROR(co_await self.initialise(std::move(candidate)));
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
      CO_RETURN_IF_ERROR(co_await self.finish(primary, promoted.position()));
      co_return primary.alias();
    }
    CO_ASSIGN_OR_RETURN(auto candidate, co_await self.choose());
    const auto alias = candidate.alias();
    CO_RETURN_IF_ERROR(co_await self.graceful(*old_primary, std::move(candidate)));
    co_return alias;
  };
  auto result = co_await body(*this, topology);
  Status released = co_await lock.release();
  if (result.ok() && !released.ok()) co_return std::move(released).error();
  co_return result;
}

net::Task<Status> PlannedReparent::initialise(::topodata::Tablet candidate) {
  CO_ASSIGN_OR_RETURN(const auto promoted,
                      co_await call<tmd::InitPrimaryResponse>(candidate, "InitPrimary", tmd::InitPrimaryRequest()));
  co_return co_await finish(std::move(candidate), promoted.position());
}

net::Task<Status> PlannedReparent::graceful(::topodata::Tablet old_primary, ::topodata::Tablet candidate) {
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
  co_return co_await finish(std::move(candidate), promoted->position());
}

// The new primary is writable: name it in the records, and make everybody else follow it.
net::Task<Status> PlannedReparent::finish(::topodata::Tablet candidate, std::string position) {
  topo::Server& topology = tablets_.topology();
  CO_ASSIGN_OR_RETURN(const auto stored, co_await topo::get_tablet(topology, candidate.alias()));
  auto updated = co_await topo::update_shard_fields(
      topology, options_.keyspace, options_.shard, [&](::topodata::Shard& record) -> Result<bool> {
        *record.mutable_primary_alias() = candidate.alias();
        *record.mutable_primary_term_start_time() = stored.record.primary_term_start_time();
        return true;
      });
  if (!updated.ok()) co_return std::move(updated).error();
  auto refreshed = co_await call<tmd::RefreshStateResponse>(candidate, "RefreshState", tmd::RefreshStateRequest());
  if (!refreshed.ok()) co_return std::move(refreshed).error();
  const int64_t now = wall_ns(topology);
  tmd::PopulateReparentJournalRequest journal;
  journal.set_time_created_ns(now);
  journal.set_action_name("PlannedReparentShard");
  *journal.mutable_primary_alias() = candidate.alias();
  journal.set_replication_position(position);
  auto written =
      co_await call<tmd::PopulateReparentJournalResponse>(candidate, "PopulateReparentJournal", std::move(journal));
  if (!written.ok()) co_return std::move(written).error();

  std::vector<Status> outcomes(members_.size());
  std::vector<net::Task<void>> tasks;
  auto follow = [](PlannedReparent& self, ::topodata::Tablet tablet, ::topodata::TabletAlias parent, int64_t time,
                   Status& out) -> net::Task<void> {
    tmd::SetReplicationSourceRequest request;
    *request.mutable_parent() = parent;
    request.set_time_created_ns(time);
    request.set_force_start_replication(true);
    auto done = co_await self.call<tmd::SetReplicationSourceResponse>(std::move(tablet), "SetReplicationSource",
                                                                      std::move(request));
    if (!done.ok()) out = std::move(done).error();
  };
  for (size_t i = 0; i < members_.size(); ++i) {
    if (topo::same_alias(members_[i].alias(), candidate.alias())) continue;
    tasks.push_back(follow(*this, members_[i], candidate.alias(), now, outcomes[i]));
  }
  co_await net::when_all(std::move(tasks));
  for (auto& outcome : outcomes) {
    if (!outcome.ok()) {
      co_return std::move(outcome).error().with_context(
          "the new primary serves, but not every tablet follows it; run the same "
          "command again");
    }
  }
  co_return Status{};
}

}  // namespace

net::Task<Result<::topodata::TabletAlias>> planned_reparent_shard(TabletClient& tablets,
                                                                  PlannedReparentOptions options) {
  PlannedReparent change(tablets, std::move(options));
  co_return co_await change.run();
}

}  // namespace vitrail::control
