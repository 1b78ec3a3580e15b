#include "control/reparent.h"

#include <fmt/core.h>

#include <algorithm>

#include "control/shard_change.h"
#include "control/workflow/records.h"
#include "net/scope.h"
#include "tabletmanagerdata.pb.h"
#include "topo/locks.h"
#include "topo/shard.h"
#include "topo/srv_keyspace.h"
#include "workflowdata.pb.h"

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

  net::Task<Result<ReparentResult>> run();

 private:
  net::Wait wait() const { return net::Wait::within(options_.wait_replicas_timeout); }
  template <typename Response, typename Request>
  net::Task<Result<Response>> call(::topodata::Tablet tablet, std::string_view method, Request request) {
    return tablets_.call<Response>(std::move(tablet), method, std::move(request), wait());
  }
  net::Task<Result<::topodata::Tablet>> choose();
  net::Task<bool> lags_too_much(::topodata::Tablet tablet);
  // Decides what is to be done; changes nothing.
  net::Task<Result<std::map<std::string, std::string>>> plan();
  net::Task<Status> check_candidate(const ::topodata::Tablet& candidate) {
    return check_progress(tablets_, policy_, candidate, members_, options_.wait_replicas_timeout);
  }

  TabletClient& tablets_;
  const PlannedReparentOptions options_;
  topo::ShardInfo shard_;
  topo::Durability policy_;
  std::vector<::topodata::Tablet> members_;
  std::vector<std::string> events_;
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
    // The shard's primary is recorded as a replica after an earlier run that demoted it and ended then.
    if (topo::same_alias(tablet.alias(), shard_.record.primary_alias())) continue;
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

// What an earlier change of this shard's primary left comes to its end first.
net::Task<Result<ReparentResult>> PlannedReparent::run() {
  topo::Server& topology = tablets_.topology();
  const std::string name = topo::shard_change_name(options_.shard);
  const net::Wait patience = net::Wait::within(topology.options().lock_timeout);
  for (;;) {
    CO_RETURN_IF_ERROR(co_await engine::settle(topology, options_.keyspace, name, operation_factory(tablets_),
                                               engine::this_process(), patience));
    CO_ASSIGN_OR_RETURN(auto lock,
                        co_await topo::ShardLock::acquire(topology, options_.keyspace, options_.shard,
                                                          "PlannedReparentShard", {.lease = kShardLockLease}));
    events_.clear();
    auto settings = co_await plan();
    if (!settings.ok()) {
      (void)co_await lock.release();
      co_return std::move(settings).error();
    }
    auto record = make_shard_record(options_.keyspace, options_.shard, kPlannedReparent, std::move(*settings));
    record.mutable_open()->set_started_ms(engine::to_ms(topology.clock().wall_now()));
    auto tenure = co_await engine::Tenure::create(topology, std::move(record), engine::this_process());
    if (!tenure.ok()) {
      (void)co_await lock.release();
      if (tenure.error().code() == Code::kAlreadyExists) continue;
      co_return std::move(tenure).error();
    }
    auto change = co_await make_planned(tablets_, **tenure, std::move(lock));
    if (!change.ok()) {
      (void)co_await (*tenure)->remove();
      co_await (*tenure)->end();
      co_return std::move(change).error();
    }
    (*change)->events() = std::move(events_);
    co_return co_await carry_out_change(std::move(*tenure), std::move(*change));
  }
}

net::Task<Result<std::map<std::string, std::string>>> PlannedReparent::plan() {
  topo::Server& topology = tablets_.topology();
  CO_ASSIGN_OR_RETURN(shard_, co_await topo::get_shard(topology, options_.keyspace, options_.shard));
  topo::TabletQuery query;
  query.keyspace = options_.keyspace;
  query.shard = options_.shard;
  CO_ASSIGN_OR_RETURN(auto list, co_await topo::find_tablets(topology, std::move(query)));
  members_ = std::move(list.tablets);
  for (const auto& [cell, error] : list.failed) {
    events_.push_back("cell " + cell + ", whose tablets are unknown: " + error.message());
  }
  CO_ASSIGN_OR_RETURN(policy_, co_await topo::get_durability(topology, options_.keyspace));
  const auto& record = shard_.record;
  if (options_.expected_primary && !topo::same_alias(record.primary_alias(), *options_.expected_primary)) {
    co_return fail(Code::kFailedPrecondition, "primary " + topo::alias_to_string(record.primary_alias()) +
                                                  " is not equal to expected alias " +
                                                  topo::alias_to_string(*options_.expected_primary));
  }
  const bool stays = record.has_primary_alias() &&
                     (options_.new_primary ? topo::same_alias(record.primary_alias(), *options_.new_primary)
                                           : options_.avoid_primary &&
                                                 !topo::same_alias(record.primary_alias(), *options_.avoid_primary));
  const auto old_primary = std::ranges::find_if(
      members_, [&](const auto& tablet) { return topo::same_alias(tablet.alias(), record.primary_alias()); });
  if (record.has_primary_alias() && old_primary == members_.end()) {
    co_return fail(Code::kFailedPrecondition,
                   "the shard's primary " + topo::alias_to_string(record.primary_alias()) + " has no tablet record");
  }
  ::topodata::Tablet candidate;
  if (stays) {
    candidate = *old_primary;
  } else {
    CO_ASSIGN_OR_RETURN(candidate, co_await choose());
  }
  // Before anything is changed: who does not answer now would not follow the new primary.
  CO_RETURN_IF_ERROR(co_await check_reachable(tablets_, members_, options_.wait_replicas_timeout));
  CO_RETURN_IF_ERROR(co_await check_candidate(candidate));
  const auto timeout = std::chrono::duration_cast<std::chrono::milliseconds>(options_.wait_replicas_timeout);
  co_return std::map<std::string, std::string>{
      // "stays": nothing is to be moved; what an earlier run left half done is finished.
      {"mode", !record.has_primary_alias() ? "initialise"
               : stays                     ? "stays"
                                           : "moves"},
      {"candidate", topo::alias_to_string(candidate.alias())},
      {"old_primary", record.has_primary_alias() ? topo::alias_to_string(record.primary_alias()) : ""},
      {"timeout_ms", std::to_string(timeout.count())}};
}

class PlannedChange final : public ShardChange {
 public:
  PlannedChange(TabletClient& tablets, engine::Tenure& tenure, topo::ShardLock lock)
      : ShardChange(tablets, tenure, std::move(lock)) {}

  net::Task<Status> load() {
    topo::Server& topology = tablets_.topology();
    CO_ASSIGN_OR_RETURN(policy_, co_await topo::get_durability(topology, keyspace()));
    CO_RETURN_IF_ERROR(co_await load_candidate());
    topo::TabletQuery query;
    query.keyspace = keyspace();
    query.shard = shard();
    CO_ASSIGN_OR_RETURN(auto list, co_await topo::find_tablets(topology, std::move(query)));
    members_ = std::move(list.tablets);
    co_return Status{};
  }

  std::vector<engine::Step> steps() override {
    std::vector<engine::Step> steps;
    if (setting("mode") == "moves") {
      // The candidate must be close before anybody stops writing.
      steps.push_back({.id = "approach", .apply = [this] { return approach(); }, .undo = {}});
      steps.push_back({.id = "demote_primary",
                       .apply = [this] { return demote(); },
                       .undo = [this] { return undo_demote(); },
                       .undo_first = true});
      steps.push_back({.id = "wait_for_candidate", .apply = [this] { return wait_for_candidate(); }, .undo = {}});
    }
    add_promotion(steps, setting("mode") == "initialise");
    return steps;
  }

 private:
  const char* action() const override { return "PlannedReparentShard"; }
  std::string candidate_alias() const override { return setting("candidate"); }

  net::Task<Result<::topodata::Tablet>> old_primary() {
    CO_ASSIGN_OR_RETURN(const auto alias, topo::parse_alias(setting("old_primary")));
    CO_ASSIGN_OR_RETURN(auto stored, co_await topo::get_tablet(tablets_.topology(), alias));
    co_return std::move(stored.record);
  }

  net::Task<Status> wait_until(std::string position) {
    tmd::WaitForPositionRequest request;
    request.set_position(std::move(position));
    auto done = co_await call<tmd::WaitForPositionResponse>(candidate_, "WaitForPosition", std::move(request));
    if (!done.ok()) co_return std::move(done).error().with_context("the new primary does not catch up");
    co_return Status{};
  }

  net::Task<Status> approach() {
    CO_ASSIGN_OR_RETURN(auto primary, co_await old_primary());
    CO_ASSIGN_OR_RETURN(const auto now, co_await call<tmd::PrimaryPositionResponse>(primary, "PrimaryPosition",
                                                                                    tmd::PrimaryPositionRequest()));
    CO_RETURN_IF_ERROR(co_await wait_until(now.position()));
    if (policy_.acks_needed() == 0) co_return Status{};
    // On MySQL what waits for an acknowledgement is not in the position yet, and comes into it with that.
    std::optional<std::string> before;
    const base::TimePoint until = base::system_clock().now() + timeout();
    for (;;) {
      const auto full = co_await call<tmd::FullStatusResponse>(primary, "FullStatus", tmd::FullStatusRequest());
      if (!full.ok()) co_return full.error();
      const std::string& position = full->status().primary_status().position();
      if (!full->status().semi_sync_blocked() || (before && *before != position)) co_return Status{};
      before = position;
      if (base::system_clock().now() >= until) break;
      CO_RETURN_IF_ERROR(co_await net::sleep_for(200ms));
    }
    co_return fail(Code::kDeadlineExceeded,
                   "the new primary does not catch up: commits on the primary wait for an acknowledgement, and nobody "
                   "gives it");
  }

  net::Task<Status> demote() {
    CO_ASSIGN_OR_RETURN(auto primary, co_await old_primary());
    CO_RETURN_IF_ERROR(co_await lock_.check_held());
    // Open transactions end, if they can, while statements outside of transactions go on. Whatever comes of it.
    (void)co_await tablets_.call<::workflowdata::HoldTransactionsResponse>(
        primary, "HoldTransactions", ::workflowdata::HoldTransactionsRequest(), net::Wait::within(10s));
    CO_ASSIGN_OR_RETURN(const auto demoted, co_await call<tmd::DemotePrimaryResponse>(
                                                std::move(primary), "DemotePrimary", tmd::DemotePrimaryRequest()));
    note("demote_primary", "position", demoted.primary_status().position());
    co_return Status{};
  }

  net::Task<Status> undo_demote() {
    // Another may have become the primary meanwhile: then nothing is to be undone.
    CO_ASSIGN_OR_RETURN(const auto now, co_await topo::get_shard(tablets_.topology(), keyspace(), shard()));
    if (topo::alias_to_string(now.record.primary_alias()) != setting("old_primary")) co_return Status{};
    CO_ASSIGN_OR_RETURN(auto primary, co_await old_primary());
    Status undone = co_await undo_demotion(tablets_, policy_, std::move(primary), timeout(), tenure_.fence());
    if (undone.ok() || undone.error().code() != Code::kFailedPrecondition) co_return undone;
    // The tablet itself says that it has no demotion which could be undone.
    events_.push_back(undone.error().message());
    co_return Status{};
  }

  net::Task<Status> wait_for_candidate() { return wait_until(noted("demote_primary", "position")); }

  net::Task<Status> follow(const NewPrimary& primary) override {
    const auto outcomes = co_await control::follow_primary(tablets_, policy_, primary, members_, timeout());
    for (size_t i = 0; i < members_.size(); ++i) {
      if (outcomes[i].ok()) continue;
      if (topo::same_alias(members_[i].alias(), primary.tablet.alias())) co_return Error(outcomes[i].error());
      // It was reachable before. When it comes back it reads who the primary is.
      events_.push_back("does not follow yet: " + outcomes[i].error().message());
    }
    co_return Status{};
  }

  std::vector<::topodata::Tablet> members_;
};

net::Task<void> follow_one(TabletClient& tablets, topo::Durability policy, ::topodata::Tablet tablet,
                           const NewPrimary& primary, int64_t journal_time_ns, base::Duration timeout, Status& out) {
  tmd::SetReplicationSourceRequest request;
  *request.mutable_parent() = primary.tablet.alias();
  request.set_time_created_ns(journal_time_ns);
  request.set_force_start_replication(true);
  request.set_semisync(policy.acknowledges(primary.tablet, tablet));
  if (primary.fence) topo::set_fence(request, *primary.fence);
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

net::Task<void> reach_one(TabletClient& client, const ::topodata::Tablet& tablet, base::Duration timeout, Status& out) {
  const auto pong =
      co_await client.call<tmd::PingResponse>(tablet, "Ping", tmd::PingRequest(), net::Wait::within(timeout));
  if (!pong.ok()) out = Error(pong.error());
}

}  // namespace

net::Task<Status> check_reachable(TabletClient& client, const std::vector<::topodata::Tablet>& tablets,
                                  base::Duration timeout) {
  std::vector<Status> outcomes(tablets.size());
  std::vector<net::Task<void>> tasks;
  for (size_t i = 0; i < tablets.size(); ++i) tasks.push_back(reach_one(client, tablets[i], timeout, outcomes[i]));
  co_await net::when_all(std::move(tasks));
  std::string silent, why;
  for (size_t i = 0; i < tablets.size(); ++i) {
    if (outcomes[i].ok()) continue;
    silent += (silent.empty() ? "" : ", ") + topo::alias_to_string(tablets[i].alias());
    why = outcomes[i].error().message();
  }
  if (silent.empty()) co_return Status{};
  co_return fail(Code::kFailedPrecondition,
                 fmt::format("nothing was changed, because {} cannot be reached: start it, or remove its record with "
                             "DeleteTablets ({})",
                             silent, why));
}

net::Task<Status> undo_demotion(TabletClient& client, topo::Durability policy, ::topodata::Tablet primary,
                                base::Duration timeout, std::optional<::workflowdata::Fence> fence) {
  const base::TimePoint until = base::system_clock().now() + timeout;
  for (;;) {
    tmd::UndoDemotePrimaryRequest request;
    request.set_semisync(policy.acks_needed() > 0);
    if (fence) topo::set_fence(request, *fence);
    auto undone = co_await client.call<tmd::UndoDemotePrimaryResponse>(
        primary, "UndoDemotePrimary", std::move(request),
        net::Wait::until(std::max(until, base::system_clock().now() + 1s)));
    if (undone.ok()) co_return Status{};
    const Code code = undone.error().code();
    const bool absent = code == Code::kUnavailable || code == Code::kDeadlineExceeded;
    if (!absent || base::system_clock().now() + 200ms >= until) co_return std::move(undone).error();
    CO_RETURN_IF_ERROR(co_await net::sleep_for(200ms));
  }
}

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
  CO_RETURN_IF_ERROR(check_progress(policy, candidate, answering));
  if (policy.acks_needed() == 0) co_return Status{};
  answering.push_back(&candidate);
  std::vector<std::string> lacking(answering.size());
  std::vector<net::Task<void>> looks;
  for (size_t i = 0; i < answering.size(); ++i) {
    looks.push_back(look_for_semi_sync(tablets, *answering[i], timeout, lacking[i]));
  }
  co_await net::when_all(std::move(looks));
  for (const std::string& problem : lacking) {
    if (!problem.empty()) co_return fail(Code::kFailedPrecondition, problem);
  }
  co_return Status{};
}

net::Task<void> look_for_semi_sync(TabletClient& tablets, const ::topodata::Tablet& tablet, base::Duration timeout,
                                   std::string& problem) {
  auto full = co_await tablets.call<tmd::FullStatusResponse>(tablet, "FullStatus", tmd::FullStatusRequest(),
                                                             net::Wait::within(timeout));
  if (!full.ok()) co_return;  // Whoever needs it finds out.
  const auto& status = full->status();
  // A server without the plugins tells nothing about them, also no timeout.
  if (status.semi_sync_primary_enabled() || status.semi_sync_replica_enabled() ||
      status.semi_sync_primary_timeout() != 0) {
    co_return;
  }
  problem = fmt::format(
      "the keyspace's durability policy needs semi-synchronous replication, and the server of tablet {} ({}) lacks its "
      "plugins: load rpl_semi_sync_source and rpl_semi_sync_replica",
      topo::alias_to_string(tablet.alias()), status.version());
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

net::Task<Result<std::unique_ptr<ShardChange>>> make_planned(TabletClient& tablets, engine::Tenure& tenure,
                                                             topo::ShardLock lock) {
  auto change = std::make_unique<PlannedChange>(tablets, tenure, std::move(lock));
  if (Status loaded = co_await change->load(); !loaded.ok()) {
    co_await change->end();
    co_return std::move(loaded).error();
  }
  co_return std::unique_ptr<ShardChange>(std::move(change));
}

net::Task<Result<ReparentResult>> planned_reparent_shard(TabletClient& tablets, PlannedReparentOptions options) {
  PlannedReparent change(tablets, std::move(options));
  co_return co_await change.run();
}

}  // namespace vitrail::control
