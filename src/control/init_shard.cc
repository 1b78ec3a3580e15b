// InitShardPrimary.
#include <fmt/core.h>

#include <algorithm>

#include "control/reparent.h"
#include "net/scope.h"
#include "tabletmanagerdata.pb.h"
#include "topo/shard.h"

namespace vitrail::control {
namespace {

namespace tmd = ::tabletmanagerdata;
using namespace std::chrono_literals;

class InitShard {
 public:
  InitShard(TabletClient& tablets, ::topodata::TabletAlias elect, bool force, base::Duration timeout)
      : tablets_(tablets), elect_(std::move(elect)), force_(force), timeout_(timeout) {}

  net::Task<Result<ReparentResult>> run(const topo::ShardLock& lock);

 private:
  template <typename Response, typename Request>
  net::Task<Result<Response>> call(const ::topodata::Tablet& tablet, std::string_view method, Request request) {
    return tablets_.call<Response>(tablet, method, std::move(request), net::Wait::within(timeout_));
  }
  const ::topodata::Tablet* find(const ::topodata::TabletAlias& alias) const {
    const auto found =
        std::ranges::find_if(members_, [&](const auto& tablet) { return topo::same_alias(tablet.alias(), alias); });
    return found == members_.end() ? nullptr : &*found;
  }
  net::Task<Status> check(const topo::ShardLock& lock);
  net::Task<Status> stop_writes(const ::topodata::Tablet& primary);
  net::Task<Status> catch_up(const ::topodata::Tablet& member, std::string position);
  static net::Task<void> catch_up_one(InitShard& self, const ::topodata::Tablet& member, std::string position,
                                      Status& out);
  net::Task<Status> stop_replication(const ::topodata::Tablet& member);
  net::Task<Status> reset(const ::topodata::Tablet& member);
  static net::Task<void> reset_one(InitShard& self, const ::topodata::Tablet& member, Status& out);
  net::Task<Result<ReparentResult>> keep(const ::topodata::Tablet& primary);

  TabletClient& tablets_;
  const ::topodata::TabletAlias elect_;
  const bool force_;
  const base::Duration timeout_;
  topo::ShardInfo shard_;
  topo::Durability policy_;
  std::vector<::topodata::Tablet> members_;
  std::vector<::topodata::Tablet> stopped_;  // Their replication, by us.
  std::vector<std::string> events_;
};

net::Task<Status> InitShard::check(const topo::ShardLock& lock) {
  topo::Server& topology = tablets_.topology();
  CO_ASSIGN_OR_RETURN(shard_, co_await topo::get_shard(topology, lock.keyspace(), lock.shard()));
  topo::TabletQuery query;
  query.keyspace = lock.keyspace();
  query.shard = shard_.name;
  CO_ASSIGN_OR_RETURN(auto list, co_await topo::find_tablets(topology, std::move(query)));
  if (!list.failed.empty()) {
    co_return fail(Code::kFailedPrecondition,
                   fmt::format("nothing was changed, because the tablets of cell {} are "
                               "unknown: {}",
                               list.failed.begin()->first, list.failed.begin()->second.message()));
  }
  members_ = std::move(list.tablets);
  const auto* candidate = find(elect_);
  if (candidate == nullptr) {
    co_return fail(Code::kFailedPrecondition, fmt::format("primary-elect tablet {} is not in the shard {}/{}",
                                                          topo::alias_to_string(elect_), lock.keyspace(), shard_.name));
  }
  if (!topo::same_alias(shard_.record.primary_alias(), elect_) && !force_) {
    co_return fail(Code::kFailedPrecondition, fmt::format("primary-elect tablet {} is not the shard primary, use "
                                                          "-force to proceed anyway",
                                                          topo::alias_to_string(elect_)));
  }
  CO_ASSIGN_OR_RETURN(policy_, co_await topo::get_durability(topology, lock.keyspace()));
  CO_RETURN_IF_ERROR(co_await check_reachable(tablets_, members_, timeout_));
  co_return co_await check_progress(tablets_, policy_, *candidate, members_, timeout_);
}

net::Task<Status> InitShard::catch_up(const ::topodata::Tablet& member, std::string position) {
  tmd::WaitForPositionRequest until;
  until.set_position(std::move(position));
  auto reached = co_await call<tmd::WaitForPositionResponse>(member, "WaitForPosition", std::move(until));
  if (!reached.ok()) co_return std::move(reached).error();
  co_return Status{};
}

// Other replicas may have been set up by hand, which is what the command is for: those that replicate are awaited.
net::Task<void> InitShard::catch_up_one(InitShard& self, const ::topodata::Tablet& member, std::string position,
                                        Status& out) {
  const bool is_elect = topo::same_alias(member.alias(), self.elect_);
  if (!is_elect) {
    const auto status = co_await self.call<tmd::ReplicationStatusResponse>(member, "ReplicationStatus",
                                                                           tmd::ReplicationStatusRequest());
    constexpr int kStopped = 1;
    if (!status.ok() || status->status().source_host().empty() || status->status().io_state() == kStopped ||
        status->status().sql_state() == kStopped) {
      self.events_.push_back(topo::alias_to_string(member.alias()) +
                             " did not replicate: that it has the same rows as the primary was not checked");
      co_return;
    }
  }
  Status reached = co_await self.catch_up(member, std::move(position));
  if (!reached.ok()) {
    out = std::move(reached).error().with_context(is_elect ? "the elected tablet does not have all that the primary has"
                                                           : "a replica does not catch up");
  }
}

// The present primary takes no writes any more, and everybody who follows it gets what it has.
net::Task<Status> InitShard::stop_writes(const ::topodata::Tablet& primary) {
  auto demoted = co_await call<tmd::DemotePrimaryResponse>(primary, "DemotePrimary", tmd::DemotePrimaryRequest());
  Status outcome;
  if (!demoted.ok()) {
    outcome = std::move(demoted).error();
  } else {
    std::vector<Status> outcomes(members_.size());
    std::vector<net::Task<void>> waits;
    for (size_t i = 0; i < members_.size(); ++i) {
      if (topo::same_alias(members_[i].alias(), primary.alias())) continue;
      waits.push_back(catch_up_one(*this, members_[i], demoted->primary_status().position(), outcomes[i]));
    }
    co_await net::when_all(std::move(waits));
    for (auto& one : outcomes) {
      if (!one.ok() && outcome.ok()) outcome = std::move(one);
    }
    // Nobody may read the binary logs that are wiped.
    for (const auto& member : members_) {
      if (!outcome.ok() || topo::same_alias(member.alias(), primary.alias())) continue;
      outcome = co_await stop_replication(member);
    }
    // From the reset on there is no way back. The primary is the first, so that a repetition finds nothing to catch up.
    if (outcome.ok()) outcome = co_await reset(primary);
  }
  if (outcome.ok()) co_return Status{};
  for (const auto& member : stopped_) {
    tmd::StartReplicationRequest start;
    start.set_semisync(policy_.acknowledges(primary, member));
    auto started = co_await call<tmd::StartReplicationResponse>(member, "StartReplication", std::move(start));
    if (!started.ok()) outcome = std::move(outcome).error().with_context(started.error().message());
  }
  Status undone = co_await undo_demotion(tablets_, policy_, primary, timeout_);
  if (!undone.ok()) {
    co_return std::move(outcome).error().with_context("the demotion could not be undone (" + undone.error().message() +
                                                      "); run the same command again");
  }
  co_return std::move(outcome).error().with_context("nothing was changed");
}

// One that replicates.
net::Task<Status> InitShard::stop_replication(const ::topodata::Tablet& member) {
  CO_ASSIGN_OR_RETURN(const auto status, co_await call<tmd::ReplicationStatusResponse>(
                                             member, "ReplicationStatus", tmd::ReplicationStatusRequest()));
  constexpr int kStopped = 1;
  if (status.status().source_host().empty() || status.status().io_state() == kStopped) co_return Status{};
  stopped_.push_back(member);
  auto stopped = co_await call<tmd::StopReplicationResponse>(member, "StopReplication", tmd::StopReplicationRequest());
  if (!stopped.ok()) co_return std::move(stopped).error();
  co_return Status{};
}

net::Task<Status> InitShard::reset(const ::topodata::Tablet& member) {
  auto done = co_await call<tmd::ResetReplicationResponse>(member, "ResetReplication", tmd::ResetReplicationRequest());
  if (!done.ok()) co_return std::move(done).error();
  co_return Status{};
}

net::Task<void> InitShard::reset_one(InitShard& self, const ::topodata::Tablet& member, Status& out) {
  out = co_await self.reset(member);
}

// It is the primary already, and nobody said that binary logs may be wiped.
net::Task<Result<ReparentResult>> InitShard::keep(const ::topodata::Tablet& primary) {
  CO_ASSIGN_OR_RETURN(const auto full,
                      co_await call<tmd::FullStatusResponse>(primary, "FullStatus", tmd::FullStatusRequest()));
  if (full.status().read_only()) {
    co_return fail(Code::kFailedPrecondition,
                   fmt::format("nothing was changed: the server of the shard's primary {} is read-only; "
                               "PlannedReparentShard --new-primary makes it the primary again",
                               topo::alias_to_string(primary.alias())));
  }
  const NewPrimary present{primary, full.status().primary_status().position(), "InitShardPrimary"};
  const auto outcomes = co_await follow_primary(tablets_, policy_, present, members_, timeout_);
  for (const Status& outcome : outcomes) {
    if (!outcome.ok()) co_return Error(outcome.error()).with_context("a replica does not follow the primary");
  }
  events_.push_back(topo::alias_to_string(primary.alias()) +
                    " is the primary already, and every replica follows it; no binary log was wiped: --force does so");
  co_return ReparentResult{elect_, std::move(events_)};
}

net::Task<Result<ReparentResult>> InitShard::run(const topo::ShardLock& lock) {
  CO_RETURN_IF_ERROR(co_await check(lock));
  const ::topodata::Tablet candidate = *find(elect_);
  if (!force_) co_return co_await keep(candidate);
  const ::topodata::Tablet* primary = shard_.record.has_primary_alias() ? find(shard_.record.primary_alias()) : nullptr;
  if (primary != nullptr) CO_RETURN_IF_ERROR(co_await stop_writes(*primary));
  CO_RETURN_IF_ERROR(co_await lock.check_held());
  CO_RETURN_IF_ERROR(co_await reset(candidate));
  std::vector<Status> outcomes(members_.size());
  std::vector<net::Task<void>> resets;
  for (size_t i = 0; i < members_.size(); ++i) {
    const bool done = topo::same_alias(members_[i].alias(), elect_) || &members_[i] == primary;
    if (!done) resets.push_back(reset_one(*this, members_[i], outcomes[i]));
  }
  co_await net::when_all(std::move(resets));
  tmd::InitPrimaryRequest initialise;
  initialise.set_semisync(policy_.acks_needed() > 0);
  events_.push_back(
      "the binary logs of all tablets of the shard were wiped: backups and streams that would go on from "
      "there cannot");
  CO_ASSIGN_OR_RETURN(const auto initialised,
                      co_await call<tmd::InitPrimaryResponse>(candidate, "InitPrimary", std::move(initialise)));
  CO_ASSIGN_OR_RETURN(const auto elected, co_await announce_primary(tablets_, lock, candidate, initialised.position(),
                                                                    "InitShardPrimary", timeout_));
  auto follows = co_await follow_primary(tablets_, policy_, elected, members_, timeout_);
  for (size_t i = 0; i < members_.size(); ++i) {
    Status& outcome = outcomes[i].ok() ? follows[i] : outcomes[i];
    if (!outcome.ok()) {
      co_return std::move(outcome).error().with_context(
          "the primary serves, and a replica does not follow: run the same command again");
    }
  }
  co_return ReparentResult{elect_, std::move(events_)};
}

}  // namespace

net::Task<Result<ReparentResult>> init_shard_primary(TabletClient& tablets, const topo::ShardLock& lock,
                                                     ::topodata::TabletAlias elect, bool force,
                                                     base::Duration timeout) {
  InitShard change(tablets, std::move(elect), force, timeout);
  co_return co_await change.run(lock);
}

}  // namespace vitrail::control
