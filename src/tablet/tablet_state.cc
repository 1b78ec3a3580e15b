#include "tablet/tablet_state.h"

#include <fmt/core.h>

#include <algorithm>

#include "topo/shard.h"
#include "topo/tablet.h"

namespace vitrail::tablet {

using mysqld::ThreadState;

int64_t to_nanoseconds(const ::vttime::Time& time) { return time.seconds() * 1'000'000'000 + time.nanoseconds(); }

::vttime::Time from_nanoseconds(int64_t ns) {
  ::vttime::Time time;
  time.set_seconds(ns / 1'000'000'000);
  time.set_nanoseconds(static_cast<int32_t>(ns % 1'000'000'000));
  return time;
}

std::string_view role_name(RoleKind kind) {
  switch (kind) {
    case RoleKind::kReplica: return "replica";
    case RoleKind::kPrimary: return "primary";
    case RoleKind::kDemoted: return "demoted";
    case RoleKind::kWaiting: return "waiting";
  }
  return "";
}

std::string_view action_name(Action action) {
  switch (action) {
    case Action::kMakeReadOnly: return "make the server read-only";
    case Action::kMakeWritable: return "make the server writable";
    case Action::kSetSemiSync: return "set semi-synchronous replication";
    case Action::kClearDemotion: return "forget a demotion that was undone";
    case Action::kFollowPrimary: return "follow the shard's primary";
  }
  return "";
}

StartDecision decide_start(const StartFacts& facts) {
  using Names = StartFacts::Names;
  const auto ended = [&](int64_t term) { return facts.demoted_term_ns && *facts.demoted_term_ns >= term; };
  if (facts.shard_names == Names::kThis) {
    const int64_t term = std::max(facts.shard_term_ns, facts.record_is_primary ? facts.record_term_ns : 0);
    if (ended(term)) return {RoleKind::kDemoted, term, false, "its server remembers that it was demoted"};
    if (facts.has_record && !facts.record_is_primary) {
      return {RoleKind::kDemoted, term, false, "its record says that it was demoted"};
    }
    if (facts.shard_locked) return {RoleKind::kWaiting, term, false, "the shard is locked by somebody"};
    return {RoleKind::kPrimary, term, term > facts.shard_term_ns, "the shard's record names it"};
  }
  // Promoted, and ended before the shard's record said so. Nobody has been served in that term.
  if (facts.record_is_primary && facts.record_term_ns > facts.shard_term_ns && !ended(facts.record_term_ns)) {
    if (facts.shard_locked) {
      return {RoleKind::kWaiting, facts.record_term_ns, false, "the shard is locked by somebody"};
    }
    return {RoleKind::kPrimary, facts.record_term_ns, true, "it was promoted after the shard's primary"};
  }
  return {RoleKind::kReplica, 0, false, "the shard's record does not name it"};
}

int64_t next_term(int64_t now_ns, int64_t shard_term_ns, std::optional<int64_t> demoted_term_ns) {
  return std::max({now_ns, shard_term_ns + 1, demoted_term_ns.value_or(0) + 1});
}

int64_t Lag::seconds(base::TimePoint now) const {
  if (!at_) return 0;
  return seconds_ + std::max<int64_t>(std::chrono::duration_cast<std::chrono::seconds>(now - *at_).count(), 0);
}

void Lag::learn(const mysqld::ReplicationStatus& status, base::TimePoint now) {
  if (status.sql_state != ThreadState::kRunning || !status.lag_seconds) return;
  at_ = now;
  seconds_ = *status.lag_seconds;
}

void Lag::caught_up(base::TimePoint now) {
  at_ = now;
  seconds_ = 0;
}

Refusal refusal_of(const mysqld::ReplicationStatus& status) {
  constexpr uint32_t kSourceFatal = 1236;
  if (!status.has_source() || status.io_state != ThreadState::kStopped || status.last_io_errno != kSourceFatal) {
    return Refusal::kNone;
  }
  // The number is that of other troubles, too.
  const auto says = [&](std::string_view text) { return status.last_io_error.find(text) != std::string::npos; };
  if (says("requested to start from GTID") || says("has more GTIDs than")) return Refusal::kDiverged;
  if (says("Could not find GTID state requested by slave") || says("purged binary logs") ||
      says("purged required binary logs")) {
    return Refusal::kTooOld;
  }
  return Refusal::kNone;
}

bool is_replaced(const Desired& desired, const Role& role) {
  return desired.shard.has_primary_alias() &&
         !topo::same_alias(desired.shard.primary_alias(), desired.record.alias()) &&
         to_nanoseconds(desired.shard.primary_term_start_time()) > role.term_start_ns;
}

namespace {

// Why replication does not work; empty when it does.
std::string replication_trouble(const Observed& observed) {
  const auto& status = observed.replication;
  if (!status.has_source()) return "no replication source is configured";
  const auto with = [](std::string text, const std::string& error) {
    return error.empty() ? text : std::move(text) + ": " + error;
  };
  if (status.sql_state != ThreadState::kRunning) return with("replication is stopped", status.last_sql_error);
  if (status.io_state == ThreadState::kStopped) return with("replication receives nothing", status.last_io_error);
  if (status.io_state == ThreadState::kConnecting && !status.last_io_error.empty()) {
    return "replication cannot connect to its source: " + status.last_io_error;
  }
  return {};
}

// Whether a replica is close enough to its source.
void judge_replica(const Observed& observed, const Role& role, base::Duration unhealthy, Decision& out) {
  if (!observed.error.empty()) {
    out.health_error = "replication status: " + observed.error;
    out.trouble = out.health_error;
    return;
  }
  out.trouble = replication_trouble(observed);
  out.lag_seconds = observed.lag.seconds(observed.now);
  const Refusal refusal = refusal_of(observed.replication);
  if (refusal != Refusal::kNone && !role.stuck.empty()) out.trouble += "; " + role.stuck;
  if (refusal == Refusal::kDiverged) {
    // What it would show is not what the shard has.
    out.health_error = out.trouble;
  } else if (!observed.lag.known()) {
    out.health_error = out.trouble.empty() ? "replication has not begun yet" : out.trouble;
    out.trouble = out.health_error;
  } else if (std::chrono::seconds(out.lag_seconds) > unhealthy) {
    out.health_error = fmt::format("not serving: replication delay {} s{}{}", out.lag_seconds,
                                   out.trouble.empty() ? "" : ", ", out.trouble);
    out.trouble = out.health_error;
  }
}

// What the shard's record and the serving graph forbid.
void apply_records(const Desired& desired, Decision& out) {
  ServingState& state = out.state;
  bool disabled_somewhere = false;
  for (const auto& partition : desired.serving.partitions()) {
    for (const auto& control : partition.shard_tablet_controls()) {
      if (control.name() != state.target.shard || !control.query_service_disabled()) continue;
      disabled_somewhere = true;
      if (partition.served_type() != out.type) continue;
      state.serving = false;
      state.reason = "TabletControl.DisableQueryService set";
    }
  }
  if (out.type == ::topodata::PRIMARY && !desired.shard.is_primary_serving()) {
    // Its traffic was switched away: nothing may be read or written here. A shard that has not served yet may be looked
    // at.
    if (disabled_somewhere) {
      state.serving = false;
      state.reason = "primary traffic was switched to other shards";
    }
    state.no_writes = "this shard does not serve its primary traffic yet";
  }
  if (out.type == ::topodata::PRIMARY && desired.shard.source_shards_size() > 0) {
    state.serving = false;
    state.reason = "master tablet with filtered replication on";
  }
  const auto* control = topo::find_tablet_control(desired.shard, out.type);
  if (control == nullptr) return;
  for (std::string table : control->denied_tables()) {
    std::ranges::transform(table, table.begin(), [](unsigned char c) { return std::tolower(c); });
    state.denied_tables.push_back(std::move(table));
  }
  std::ranges::sort(state.denied_tables);
  state.denied_allow_reads = control->allow_reads();
  // Only the older commands deny tables to replicas; MoveTables denies them to the primary alone.
  for (const auto& entry : desired.shard.tablet_controls()) {
    if (entry.tablet_type() == ::topodata::PRIMARY || entry.denied_tables().empty()) continue;
    state.denied_description = "enforce blacklisted tables";
  }
}

std::vector<Action> actions_for(const Desired& desired, const Observed& observed, const Role& role) {
  if (!observed.error.empty() || role.maintenance != Maintenance::kNone) return {};
  std::vector<Action> out;
  const auto& semi_sync = observed.semi_sync;
  if (role.kind == RoleKind::kReplica) {
    // One without a source is being made the primary by another tool, which is about to say so.
    if (!observed.read_only && !role.kept_writable && observed.replication.has_source()) {
      out.push_back(Action::kMakeReadOnly);
    }
    if (semi_sync.installed && semi_sync.replica_enabled != role.acknowledges) out.push_back(Action::kSetSemiSync);
    return out;
  }
  if (is_replaced(desired, role)) return {Action::kFollowPrimary};
  if (role.kind != RoleKind::kPrimary) {
    if (!observed.read_only) out.push_back(Action::kMakeReadOnly);
    return out;
  }
  // A restarted server has forgotten that it waits, and one that is set up so may write at once.
  if (role.waits_for_acks && !(semi_sync.source_enabled && semi_sync.replica_enabled)) {
    out.push_back(Action::kSetSemiSync);
  }
  if (role.demotion_noted) out.push_back(Action::kClearDemotion);
  // It was started again after a crash, and servers start read-only: the role is still ours. Unless it replicates: then
  // another tool has given the role to another server, and is about to say so.
  if (observed.read_only && !role.kept_read_only && !observed.replication.has_source()) {
    out.push_back(Action::kMakeWritable);
  }
  return out;
}

}  // namespace

Decision decide(const Desired& desired, const Observed& observed, const Role& role, base::Duration unhealthy) {
  Decision out;
  // Routers see a demoted primary as a primary that does not serve for now, and wait for the next one. A restarted one
  // is what its record says.
  const bool as_primary = role.kind == RoleKind::kPrimary || role.kind == RoleKind::kWaiting ||
                          (role.kind == RoleKind::kDemoted && !role.restarted);
  out.type = desired.record.type();
  if (as_primary) {
    out.type = ::topodata::PRIMARY;
  } else if (out.type == ::topodata::PRIMARY) {
    out.type = ::topodata::REPLICA;
  }
  ServingState& state = out.state;
  state.target = {desired.record.keyspace(), desired.record.shard(), topo::tablet_type_to_string(out.type)};
  state.serving = topo::is_serving_type(out.type);
  state.hands_over = role.kind != RoleKind::kPrimary || role.maintenance != Maintenance::kNone;
  state.waits_for_acks = role.kind == RoleKind::kPrimary && role.waits_for_acks;
  state.reason = state.serving ? "" : "not a serving tablet type(" + state.target.tablet_type + ")";
  switch (role.kind) {
    case RoleKind::kPrimary:
      if (!observed.error.empty()) out.health_error = "the MySQL server does not answer: " + observed.error;
      out.trouble = out.health_error;
      break;
    case RoleKind::kReplica:
      judge_replica(observed, role, unhealthy, out);
      if (!out.health_error.empty()) {
        state.serving = false;
        state.reason = out.health_error;
      }
      break;
    case RoleKind::kDemoted:
    case RoleKind::kWaiting:
      state.serving = false;
      state.reason = role.kind == RoleKind::kWaiting ? "somebody is changing the primary of the shard"
                     : role.restarted                ? "this tablet was demoted and follows no other yet"
                                                     : "the primary is being demoted";
      out.trouble = state.reason;
      if (role.restarted) out.health_error = state.reason;
      break;
  }
  if (role.maintenance != Maintenance::kNone) {
    state.serving = false;
    state.reason = role.maintenance == Maintenance::kBackup ? "a backup is being taken" : "a backup is being restored";
    out.health_error = out.trouble = state.reason;
  }
  apply_records(desired, out);
  out.streams = role.kind == RoleKind::kPrimary && role.maintenance == Maintenance::kNone;
  out.actions = actions_for(desired, observed, role);
  return out;
}

}  // namespace vitrail::tablet
