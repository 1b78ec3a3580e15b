#include "orc/orc.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/log.h"
#include "base/settings.h"
#include "base/text.h"
#include "control/reparent.h"
#include "tabletmanagerdata.pb.h"
#include "topo/keyspace.h"
#include "topo/locks.h"
#include "topo/shard.h"
#include "topo/tablet.h"

namespace vitrail::orc {

using namespace std::chrono_literals;
namespace tmd = ::tabletmanagerdata;

namespace {

constexpr base::Duration kSuspicious = 300ms;  // Between looks while somebody does not answer.
constexpr base::Duration kDemotion = 1s;
constexpr base::Duration kLongSilence = 10s;  // Behind which a tablet is no news any more.
constexpr size_t kHistoryMax = 500;
constexpr int32_t kStopped = 1, kRunning = 3;  // replicationdata.Status.io_state

}  // namespace

struct Orc::Shard {
  std::string name;  // "ks/shard"
  ShardView view;
  base::TimePoint records_at{};  // When the tablets' records were read last.
  bool emergency_disabled = false;
  std::map<std::string, base::TimePoint> answered;  // By alias: when it did last, or was first asked.
  std::map<Key, base::TimePoint> next;              // When a problem may be recovered from again.
  std::map<Key, base::WallTime> since;
  bool gone = false;
};

void declare(base::Settings& settings, OrcOptions& options) {
  settings.add("cell", &options.cell, "cell this vtorc runs in");
  settings.add("clusters_to_watch", &options.clusters, "keyspaces or keyspace/shard to look after; empty: all");
  settings.add("instance_poll_time", &options.poll, "how often each tablet is looked at");
  settings.add("topo_information_refresh_duration", &options.refresh,
               "how often keyspaces, shards and tablets are looked for");
  settings.add("wait_replicas_timeout", &options.reparent_timeout, "how long replicas may take in a reparent");
  settings.add("tolerable_replication_lag", &options.tolerable_lag,
               "replicas that lag more are not elected where there is a choice; 0: lag does not matter");
  settings.add("recovery_cooldown", &options.cooldown, "the same problem is not mended again within this time");
  settings.add("recovery_retry", &options.retry, "what did not succeed is tried again after this time");
  settings.add("allow_emergency_reparent", &options.allow_emergency, "replace dead primaries");
  settings.add("prevent_cross_cell_failover", &options.prevent_cross_cell,
               "only a tablet of the old primary's cell takes its place");
  settings.add("dry_run", &options.dry_run, "only say what would be done");
  settings.add("primary_failures", &options.analysis.failures_needed,
               "looks in a row without an answer before a primary counts as dead");
  settings.add(
      "incapacitated_primary_wait", &options.analysis.incapacitated_after,
      "a primary that is silent for so long though its server lives is replaced, where commits wait for replicas");
  settings.add("enable_primary_disk_stalled_recovery", &options.analysis.replace_stalled,
               "replace a primary whose disk takes no writes, where commits wait for replicas");
  settings.accept("recovery_poll_duration", true, "a problem is mended as soon as it is seen");
  settings.accept("snapshot_topology_interval", true, "what was seen is not kept");
  settings.accept("reasonable_replication_lag", true,
                  "lag is no problem of its own; vtgate leaves lagging replicas out");
  settings
      .accept("change_tablets_with_errant_gtid_to_drained", false,
              "transactions that only one replica has are not looked for")
      .one_of({"false"});
  rpc::declare(settings, options.security);
  rpc::declare_tls(settings, "tablet_manager", options.tls);
}

Orc::Orc(OrcOptions options, topo::Server& topology, base::Metrics& metrics)
    : options_(std::move(options)), topology_(topology), metrics_(metrics) {
  subscriptions_.push_back(metrics_.gauges_function(
      "DetectedProblems", "problems that are there now", {"analysis", "alias", "keyspace", "shard"}, [this] {
        std::vector<base::Metrics::Sample> out;
        const std::scoped_lock lock(mutex_);
        for (const auto& [name, problems] : seen_) {
          for (const Seen& seen : problems) {
            out.push_back({{std::string(problem_name(seen.problem)), seen.tablet, seen.keyspace, seen.shard}, 1});
          }
        }
        return out;
      }));
}

Orc::~Orc() = default;

net::Task<Status> Orc::start() {
  CO_ASSIGN_OR_RETURN(auto channel, rpc::channel_options(options_.security, options_.tls));
  tablets_ = std::make_unique<control::TabletClient>(topology_, std::move(channel));
  scope_.spawn(discover());
  co_return Status{};
}

net::Task<void> Orc::stop() {
  scope_.request_stop();
  co_await scope_.join();
}

Status Orc::health() const {
  if (discovered_) return {};
  return fail(Code::kUnavailable, "the shards have not been looked for yet");
}

bool Orc::is_watched(const std::string& keyspace, const std::string& shard) const {
  return options_.clusters.empty() || std::ranges::any_of(options_.clusters, [&](const std::string& wanted) {
           return wanted == keyspace || wanted == keyspace + "/" + shard;
         });
}

// ---- Looking

net::Task<Status> Orc::discover_once() {
  CO_ASSIGN_OR_RETURN(const auto keyspaces, co_await topo::get_keyspaces(topology_));
  std::set<std::string> found;
  for (const auto& keyspace : keyspaces) {
    CO_ASSIGN_OR_RETURN(const auto names, co_await topo::get_shard_names(topology_, keyspace));
    for (const auto& name : names) {
      if (!is_watched(keyspace, name)) continue;
      const std::string full = keyspace + "/" + name;
      found.insert(full);
      auto& shard = shards_[full];
      if (shard != nullptr) continue;
      shard = std::make_shared<Shard>();
      shard->name = full;
      shard->view.keyspace = keyspace;
      shard->view.shard = name;
      scope_.spawn(watch(shard));
    }
  }
  std::erase_if(shards_, [&](const auto& entry) {
    if (found.contains(entry.first)) return false;
    entry.second->gone = true;
    return true;
  });
  co_return Status{};
}

net::Task<void> Orc::discover() {
  for (;;) {
    const Status done = co_await discover_once();
    if (done.ok()) {
      discovered_ = true;
    } else {
      log_warning("looking for shards: {}", done.error().message());
    }
    if (!(co_await net::sleep_for(done.ok() ? options_.refresh : std::min(options_.refresh, options_.poll),
                                  scope_.token()))
             .ok()) {
      co_return;
    }
  }
}

net::Task<void> Orc::ask(Shard& shard, TabletView& tablet) {
  const std::string alias = topo::alias_to_string(tablet.record.alias());
  const base::TimePoint asked = base::system_clock().now();
  const base::Duration silent = asked - shard.answered.try_emplace(alias, asked).first->second;
  const auto limit = patience_with(silent, std::max<base::Duration>(1s, options_.poll), options_.analysis);
  const auto answer = co_await tablets_->call<tmd::FullStatusResponse>(
      tablet.record, "FullStatus", tmd::FullStatusRequest(), net::Wait::within(limit, scope_.token()));
  const base::TimePoint now = base::system_clock().now();
  const auto last = shard.answered.find(alias);
  tablet.answers = answer.ok();
  if (!answer.ok()) {
    ++tablet.failures;
    tablet.silent_for = now - last->second;
    co_return;
  }
  last->second = now;
  tablet.failures = 0;
  tablet.silent_for = base::Duration(0);
  const auto& status = answer->status();
  tablet.type = status.tablet_type();
  tablet.read_only = status.read_only();
  tablet.semi_sync_source = status.semi_sync_primary_enabled();
  tablet.semi_sync_replica = status.semi_sync_replica_enabled();
  const auto& replication = status.replication_status();
  tablet.source_host = replication.source_host();
  tablet.source_port = replication.source_port();
  tablet.receives = replication.io_state() == kRunning;
  tablet.receiver_on = replication.io_state() > kStopped;
  tablet.applier_on = replication.sql_state() == kRunning;
  tablet.disk_stalled = status.disk_stalled();
}

net::Task<Status> Orc::look(Shard& shard, bool fresh) {
  ShardView& view = shard.view;
  CO_ASSIGN_OR_RETURN(auto record, co_await topo::get_shard(topology_, view.keyspace, view.shard));
  const base::TimePoint now = base::system_clock().now();
  // After a change of the primary the tablets' records have changed too.
  const bool same =
      topo::same_alias(record.record.primary_alias(), view.record.primary_alias()) &&
      record.record.primary_term_start_time().seconds() == view.record.primary_term_start_time().seconds() &&
      record.record.primary_term_start_time().nanoseconds() == view.record.primary_term_start_time().nanoseconds();
  view.record = std::move(record.record);
  if (fresh || !same || now - shard.records_at >= options_.refresh) {
    CO_ASSIGN_OR_RETURN(const auto keyspace, co_await topo::get_keyspace(topology_, view.keyspace));
    CO_ASSIGN_OR_RETURN(view.policy, topo::Durability::parse(keyspace.record.durability_policy()));
    shard.emergency_disabled = keyspace.record.vtorc_state().disable_emergency_reparent();
    topo::TabletQuery query;
    query.keyspace = view.keyspace;
    query.shard = view.shard;
    CO_ASSIGN_OR_RETURN(auto list, co_await topo::find_tablets(topology_, std::move(query)));
    std::vector<TabletView> tablets;
    for (auto& tablet : list.tablets) {
      const auto known = std::ranges::find_if(view.tablets, [&](const TabletView& view_of) {
        return topo::same_alias(view_of.record.alias(), tablet.alias());
      });
      TabletView next = known == view.tablets.end() ? TabletView() : *known;
      next.record = std::move(tablet);
      tablets.push_back(std::move(next));
    }
    // A cell that cannot be read hides its tablets: they are taken as they were known.
    for (auto& known : view.tablets) {
      if (list.failed.contains(known.record.alias().cell())) tablets.push_back(known);
    }
    view.tablets = std::move(tablets);
    shard.records_at = now;
  }
  metrics_
      .gauges("EmergencyReparentShardDisabled", "shards whose dead primaries are not replaced", {"keyspace", "shard"})
      .with({view.keyspace, view.shard})
      .set(shard.emergency_disabled || view.record.vtorc_state().disable_emergency_reparent() ? 1 : 0);
  std::vector<net::Task<void>> questions;
  for (auto& tablet : view.tablets) questions.push_back(ask(shard, tablet));
  co_await net::when_all(std::move(questions));
  if (base::system_clock().now() - now > options_.poll) {
    metrics_.counter("DiscoveriesInstancePollSecondsExceeded", "looks at a shard that took longer than the poll time")
        .add();
  }
  co_return Status{};
}

net::Task<void> Orc::watch(std::shared_ptr<Shard> shard) {
  while (!shard->gone && !scope_.stopping()) {
    const base::TimePoint began = base::system_clock().now();
    // When somebody has just fallen silent there may be something to be done: not by records of some time ago.
    const bool silence = std::ranges::any_of(shard->view.tablets, [](const TabletView& tablet) {
      return tablet.failures > 0 && tablet.silent_for < kLongSilence;
    });
    Status looked = co_await look(*shard, silence);
    std::vector<Finding> findings;
    if (looked.ok()) findings = analyze(shard->view, options_.analysis);
    if (!findings.empty() && shard->records_at < began) {
      looked = co_await look(*shard, true);
      findings = looked.ok() ? analyze(shard->view, options_.analysis) : std::vector<Finding>();
    }
    if (looked.ok()) {
      publish(*shard, findings);
      co_await act(*shard, findings);
    } else if (!scope_.stopping()) {
      log_warning("{}: {}", shard->name, looked.error().message());
    }
    const bool suspicious = std::ranges::any_of(shard->view.tablets, [&](const TabletView& tablet) {
      return !tablet.answers && tablet.failures < options_.analysis.failures_needed;
    });
    const base::Duration pause = suspicious ? std::min(kSuspicious, options_.poll) : options_.poll;
    const base::Duration left = began + pause - base::system_clock().now();
    if (!(co_await net::sleep_for(std::max<base::Duration>(left, 10ms), scope_.token())).ok()) break;
  }
  const std::scoped_lock lock(mutex_);
  seen_.erase(shard->name);
  views_.erase(shard->name);
}

// ---- Mending

bool Orc::may_replace(const Shard& shard) const {
  return options_.allow_emergency && !shard.emergency_disabled &&
         !shard.view.record.vtorc_state().disable_emergency_reparent();
}

net::Task<void> Orc::act(Shard& shard, const std::vector<Finding>& findings) {
  for (const Finding& finding : findings) {
    if (finding.recovery == Recovery::kNothing || scope_.stopping()) continue;
    const Key key{finding.problem, finding.tablet ? topo::alias_to_string(*finding.tablet) : ""};
    const base::TimePoint now = base::system_clock().now();
    if (const auto next = shard.next.find(key); next != shard.next.end() && now < next->second) continue;
    if (!enabled_ || (is_emergency(finding.recovery) && !may_replace(shard))) {
      metrics_.counters("SkippedRecoveries", "recoveries that are switched off", {"recovery", "keyspace", "shard"})
          .with({std::string(recovery_name(finding.recovery)), shard.view.keyspace, shard.view.shard})
          .add();
      shard.next[key] = now + options_.retry;
      continue;
    }
    co_await recover(shard, finding);
    // What comes next is seen with fresh eyes.
    if (finding.recovery != Recovery::kFixReplica) co_return;
  }
}

net::Task<void> Orc::recover(Shard& shard, Finding finding) {
  const std::string alias = finding.tablet ? topo::alias_to_string(*finding.tablet) : "";
  const Key key{finding.problem, alias};
  Done done{.at = base::system_clock().wall_now(),
            .problem = finding.problem,
            .recovery = finding.recovery,
            .keyspace = shard.view.keyspace,
            .shard = shard.view.shard,
            .tablet = alias,
            .dry = options_.dry_run};
  const base::TimePoint began = base::system_clock().now();
  if (options_.dry_run) {
    log_info("{}: {} {}: {} would be run", shard.name, problem_name(finding.problem), alias,
             recovery_name(finding.recovery));
    shard.next[key] = began + options_.cooldown;
    note(std::move(done));
    co_return;
  }
  log_warning("{}: {} {} ({}): {}", shard.name, problem_name(finding.problem), alias, finding.detail,
              recovery_name(finding.recovery));
  Status outcome = co_await run(shard, finding);
  const base::TimePoint ended = base::system_clock().now();
  shard.records_at = {};
  // Somebody else has the lock, and is perhaps at this very thing.
  if (!outcome.ok() && outcome.error().code() == Code::kAlreadyExists) co_return;
  done.successful = outcome.ok();
  done.outcome = outcome.ok() ? "" : outcome.error().message();
  done.took = ended - began;
  shard.next[key] = ended + (outcome.ok() ? options_.cooldown : options_.retry);
  const std::vector<std::string> labels{std::string(recovery_name(finding.recovery)), done.keyspace, done.shard};
  metrics_
      .counters(outcome.ok() ? "SuccessfulRecoveries" : "FailedRecoveries", "what was mended, and what could not be",
                {"recovery", "keyspace", "shard"})
      .with(labels)
      .add();
  if (is_emergency(finding.recovery) || finding.recovery == Recovery::kElectNewPrimary) {
    metrics_
        .counters(is_emergency(finding.recovery) ? "EmergencyReparentCounts" : "PlannedReparentCounts", "reparents",
                  {"keyspace", "shard", "result"})
        .with({done.keyspace, done.shard, outcome.ok() ? "success" : "failure"})
        .add();
  }
  if (outcome.ok()) {
    log_info("{}: {} took {} ms", shard.name, recovery_name(finding.recovery),
             std::chrono::duration_cast<std::chrono::milliseconds>(done.took).count());
  } else {
    log_warning("{}: {} failed: {}", shard.name, recovery_name(finding.recovery), done.outcome);
  }
  note(std::move(done));
}

net::Task<Status> Orc::replace_primary(const ShardView& view, Recovery recovery) {
  control::EmergencyReparentOptions options;
  options.keyspace = view.keyspace;
  options.shard = view.shard;
  options.expected_primary = view.record.primary_alias();  // Or another vtorc was faster.
  options.wait_replicas_timeout = options_.reparent_timeout;
  options.old_primary_silent = recovery == Recovery::kRecoverIncapacitatedPrimary ||
                               recovery == Recovery::kRecoverPrimaryDiskStalled;  // It may take its time to step back.
  if (recovery == Recovery::kRecoverPrimaryDiskStalled) options.new_primary = preferred_candidate(view);
  options.demotion_timeout = kDemotion;
  options.prevent_cross_cell = options_.prevent_cross_cell;
  auto done = co_await control::emergency_reparent_shard(*tablets_, std::move(options));
  co_return done.ok() ? Status{} : Status(std::move(done).error());
}

net::Task<Status> Orc::run(Shard& shard, Finding finding) {
  const ShardView& view = shard.view;
  if (is_emergency(finding.recovery)) co_return co_await replace_primary(view, finding.recovery);
  if (finding.recovery == Recovery::kElectNewPrimary) {
    control::PlannedReparentOptions options;
    options.keyspace = view.keyspace;
    options.shard = view.shard;
    options.expected_primary = ::topodata::TabletAlias();  // Nobody, still.
    options.wait_replicas_timeout = options_.reparent_timeout;
    options.tolerable_lag = options_.tolerable_lag;
    auto done = co_await control::planned_reparent_shard(*tablets_, std::move(options));
    co_return done.ok() ? Status{} : Status(std::move(done).error());
  }
  CO_ASSIGN_OR_RETURN(auto lock,
                      co_await topo::ShardLock::acquire(topology_, view.keyspace, view.shard,
                                                        fmt::format("vtorc {}", recovery_name(finding.recovery)),
                                                        {.cancel = scope_.token(), .queue = false}));
  Status done = co_await run_under_lock(shard, finding);
  Status released = co_await lock.release();
  // The record names a tablet that has no demotion to be undone: it was never promoted, or made a replica since. Who
  // has most becomes the primary.
  const bool nobody = finding.problem == Problem::kPrimaryCurrentTypeMismatch && !done.ok() &&
                      done.error().code() == Code::kFailedPrecondition && may_replace(shard);
  if (nobody) co_return co_await replace_primary(view, Recovery::kRecoverDeadPrimary);
  co_return done.ok() ? std::move(released) : std::move(done);
}

net::Task<Status> Orc::run_under_lock(Shard& shard, Finding finding) {
  // Who had the lock before may have mended it.
  CO_RETURN_IF_ERROR(co_await look(shard, true));
  const auto now = analyze(shard.view, options_.analysis);
  const bool still = std::ranges::any_of(now, [&](const Finding& found) {
    return found.problem == finding.problem && found.tablet && topo::same_alias(*found.tablet, *finding.tablet);
  });
  if (!still) co_return Status{};
  co_return finding.recovery == Recovery::kFixPrimary ? co_await fix_primary(shard.view)
                                                      : co_await fix_replica(shard.view, finding);
}

net::Task<Status> Orc::fix_primary(const ShardView& view) {
  CO_ASSIGN_OR_RETURN(const auto primary, co_await topo::get_tablet(topology_, view.record.primary_alias()));
  co_return co_await control::undo_demotion(*tablets_, view.policy, primary.record, options_.poll);
}

net::Task<Status> Orc::fix_replica(const ShardView& view, const Finding& finding) {
  CO_ASSIGN_OR_RETURN(const auto primary, co_await topo::get_tablet(topology_, view.record.primary_alias()));
  CO_ASSIGN_OR_RETURN(const auto tablet, co_await topo::get_tablet(topology_, *finding.tablet));
  tmd::SetReplicationSourceRequest request;
  *request.mutable_parent() = primary.record.alias();
  request.set_force_start_replication(true);
  request.set_semisync(view.policy.acknowledges(primary.record, tablet.record));
  auto done = co_await tablets_->call<tmd::SetReplicationSourceResponse>(
      tablet.record, "SetReplicationSource", std::move(request), net::Wait::within(options_.reparent_timeout));
  co_return done.ok() ? Status{} : Status(std::move(done).error());
}

// ---- Telling

void Orc::publish(Shard& shard, const std::vector<Finding>& findings) {
  std::vector<Seen> seen;
  std::map<Key, base::WallTime> since;
  for (const Finding& finding : findings) {
    const std::string alias = finding.tablet ? topo::alias_to_string(*finding.tablet) : "";
    const Key key{finding.problem, alias};
    const auto known = shard.since.find(key);
    since[key] = known == shard.since.end() ? base::system_clock().wall_now() : known->second;
    if (known == shard.since.end()) {
      log_warning("{}: {} {}: {} {}", shard.name, problem_name(finding.problem), alias, problem_text(finding.problem),
                  finding.detail);
    }
    seen.push_back(
        {finding.problem, finding.recovery, shard.view.keyspace, shard.view.shard, alias, finding.detail, since[key]});
  }
  shard.since = std::move(since);
  std::string json = "[";
  for (const TabletView& tablet : shard.view.tablets) {
    json += fmt::format(
        R"({}{{"alias":{},"keyspace":{},"shard":{},"tablet_type":{},"answers":{},"is_read_only":{},"source_host":{},)"
        R"("source_port":{},"replica_io_running":{},"replica_sql_running":{},"semi_sync_primary_enabled":{},)"
        R"("semi_sync_replica_enabled":{},"is_disk_stalled":{}}})",
        json.size() > 1 ? "," : "", base::json_string(topo::alias_to_string(tablet.record.alias())),
        base::json_string(shard.view.keyspace), base::json_string(shard.view.shard),
        base::json_string(topo::tablet_type_to_string(tablet.answers ? tablet.type : tablet.record.type())),
        tablet.answers, tablet.read_only, base::json_string(tablet.source_host), tablet.source_port, tablet.receives,
        tablet.applier_on, tablet.semi_sync_source, tablet.semi_sync_replica, tablet.disk_stalled);
  }
  const std::scoped_lock lock(mutex_);
  seen_[shard.name] = std::move(seen);
  views_[shard.name] = json + "]";
}

void Orc::note(Done done) {
  const std::scoped_lock lock(mutex_);
  history_.push_back(std::move(done));
  if (history_.size() > kHistoryMax) history_.pop_front();
}

}  // namespace vitrail::orc
