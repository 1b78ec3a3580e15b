#include "tablet/tablet_manager.h"

#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "base/log.h"
#include "base/version.h"
#include "mysqld/rows.h"
#include "mysqld/schema_sql.h"
#include "tablet/app_account.h"
#include "tablet/indirect_tables.h"
#include "tablet/maintenance.h"
#include "topo/durability.h"
#include "topo/keyspace.h"
#include "topo/shard.h"
#include "topo/srv_keyspace.h"
#include "topo/srv_vschema.h"
#include "topo/tablet.h"

namespace vitrail::tablet {

using namespace std::chrono_literals;

namespace {

constexpr auto kSettleInterval = 500ms;  // While something is expected to be over soon.

}  // namespace

TabletManager::TabletManager(TabletSettings settings, topo::Server& topology, QueryService& queries,
                             base::Metrics& metrics, std::vector<std::string> sidecar_schema, OnPrimary on_primary)
    : settings_(std::move(settings)),
      topology_(topology),
      queries_(queries),
      sidecar_schema_(std::move(sidecar_schema)),
      on_primary_(std::move(on_primary)),
      server_(settings_.mysqld, settings_.dba_user, settings_.dba_password),
      table_lock_(server_),
      metrics_(metrics),
      queries_counter_(metrics.counter("DataPortQueries", "statements sent on to the MySQL server")) {
  server_.set_sidecar(settings_.sidecar);
  if (settings_.heartbeat) {
    const auto alias = topo::parse_alias(settings_.tablet_path);
    heartbeat_ =
        std::make_unique<Heartbeat>(Heartbeat::Options{.mysqld = settings_.mysqld,
                                                       .sidecar = settings_.sidecar,
                                                       .keyspace_shard = settings_.keyspace + ":" + settings_.shard,
                                                       .uid = alias.ok() ? alias->uid() : 0,
                                                       .interval = settings_.heartbeat_interval},
                                    metrics);
  }
  DiskWatch::Options disk{.interval = settings_.disk_interval, .timeout = settings_.disk_timeout};
  if (!settings_.disk_folder.empty()) {
    disk.folders = {settings_.disk_folder};
    disk.through = true;
  } else if (const auto layout = server_layout(settings_); layout.ok()) {
    disk.folders = {layout->root};
    for (auto& folder : layout->folders()) disk.folders.push_back(std::move(folder));
  }
  disk_watch_ = std::make_unique<DiskWatch>(std::move(disk), metrics);
  queries_before_.at = base::system_clock().now();
  subscriptions_.push_back(metrics.text_function("TabletType", [this] { return type_name(); }));
  subscriptions_.push_back(metrics.text_function("TabletRole", [this] { return summary().role; }));
  subscriptions_.push_back(metrics.text_function("TabletKeyspace", [this] { return settings_.keyspace; }));
  subscriptions_.push_back(metrics.text_function("TabletShard", [this] { return settings_.shard; }));
  const auto shared_text = [&](std::string_view name, std::string TabletManager::* member) {
    subscriptions_.push_back(metrics.text_function(name, [this, member] {
      const std::scoped_lock lock(shared_mutex_);
      return this->*member;
    }));
  };
  shared_text("RestorePosition", &TabletManager::restored_position_);
  shared_text("RestoredBackupTime", &TabletManager::restored_time_);
  shared_text("BackupProgress", &TabletManager::transfer_);
  subscriptions_.push_back(metrics.text_function("BuildVersion", [] {
    return fmt::format("Version: {} (Vitrail {})", base::kInterfaceVersion, base::kProjectVersion);
  }));
}

TabletManager::~TabletManager() = default;

std::string TabletManager::state_name() const {
  const std::scoped_lock lock(shared_mutex_);
  return shared_.state;
}

std::string TabletManager::type_name() const {
  const std::scoped_lock lock(shared_mutex_);
  return shared_.type;
}

TabletManager::Summary TabletManager::summary() const {
  const std::scoped_lock lock(shared_mutex_);
  return shared_;
}

std::string TabletManager::database() const { return topo::tablet_db_name(desired_.record); }

net::Task<void> TabletManager::stop() {
  scope_.request_stop();
  co_await scope_.join();
  if (streams_told_ && on_primary_) co_await on_primary_(false);
  if (desired_.record.has_alias()) {
    // People see in the record that the tablet went away in good order.
    (void)co_await topo::update_tablet_fields(
        topology_, desired_.record.alias(), [](::topodata::Tablet& tablet) -> Result<bool> {
          const auto now = base::system_clock().wall_now().time_since_epoch();
          *tablet.mutable_tablet_shutdown_time() =
              from_nanoseconds(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
          return true;
        });
  }
  if (table_lock_.held()) (void)co_await table_lock_.release(net::Wait::within(1s));
  server_.close();
}

// ---- Records

net::Task<Status> TabletManager::read_shard() {
  CO_ASSIGN_OR_RETURN(const auto shard, co_await topo::get_shard(topology_, settings_.keyspace, settings_.shard));
  // Only who is the primary: the rest is put in force when somebody asks for it (refresh_state).
  *desired_.shard.mutable_primary_alias() = shard.record.primary_alias();
  if (!shard.record.has_primary_alias()) desired_.shard.clear_primary_alias();
  *desired_.shard.mutable_primary_term_start_time() = shard.record.primary_term_start_time();
  co_return Status{};
}

net::Task<Status> TabletManager::read_records() {
  auto serving = co_await topo::get_srv_keyspace(topology_, desired_.record.alias().cell(), settings_.keyspace);
  if (!serving.ok() && serving.error().code() != Code::kNotFound) co_return std::move(serving).error();
  CO_ASSIGN_OR_RETURN(auto shard, co_await topo::get_shard(topology_, settings_.keyspace, settings_.shard));
  desired_.serving = serving.ok() ? std::move(serving->record) : ::topodata::SrvKeyspace();
  desired_.shard = std::move(shard.record);
  co_return Status{};
}

net::Task<Result<bool>> TabletManager::policy_needs_acks() {
  CO_ASSIGN_OR_RETURN(const auto policy, co_await topo::get_durability(topology_, settings_.keyspace));
  co_return policy.acks_needed() > 0;
}

net::Task<Result<bool>> TabletManager::policy_acknowledges(const ::topodata::Tablet& primary) {
  CO_ASSIGN_OR_RETURN(const auto policy, co_await topo::get_durability(topology_, settings_.keyspace));
  co_return policy.acknowledges(primary, desired_.record);
}

net::Task<Status> TabletManager::refresh_state(net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const auto turn, co_await actions_.enter("RefreshState", std::move(wait)));
  auto stored = co_await topo::get_tablet(topology_, desired_.record.alias());
  if (!stored.ok()) co_return std::move(stored).error();
  desired_.record = std::move(stored->record);
  CO_RETURN_IF_ERROR(co_await read_records());
  co_return co_await put_in_force(turn.wait());
}

net::Task<Status> TabletManager::change_tags(std::map<std::string, std::string> tags, bool replace, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const auto turn, co_await actions_.enter("ChangeTags", std::move(wait)));
  auto updated = co_await topo::update_tablet_fields(topology_, desired_.record.alias(),
                                                     [&](::topodata::Tablet& tablet) -> Result<bool> {
                                                       auto& present = *tablet.mutable_tags();
                                                       if (replace) present.clear();
                                                       for (const auto& [name, value] : tags) {
                                                         if (value.empty())
                                                           present.erase(name);
                                                         else
                                                           present[name] = value;
                                                       }
                                                       return true;
                                                     });
  if (!updated.ok()) co_return std::move(updated).error();
  desired_.record = std::move(*updated);
  co_return Status{};
}

// ---- Looking, deciding, acting

net::Task<void> TabletManager::observe(net::Wait wait) {
  auto look = [](TabletManager& self, Observed& next, net::Wait limit) -> net::Task<Status> {
    CO_ASSIGN_OR_RETURN(const auto read_only, co_await self.server_.query("select @@global.read_only", limit));
    next.read_only = read_only.text(0, 0) != "0";
    CO_ASSIGN_OR_RETURN(next.replication, co_await self.server_.replication_status(limit));
    CO_ASSIGN_OR_RETURN(next.semi_sync, co_await self.server_.semi_sync(limit));
    co_return Status{};
  };
  Observed next;
  const base::TimePoint begun = base::system_clock().now();
  const Status looked = co_await look(*this, next, std::move(wait));
  const bool silent = !looked.ok() && looked.error().mysql_errno() == 0;
  if (!silent) silent_since_.reset();
  if (silent && !silent_since_) silent_since_ = begun;
  next.error = looked.ok() ? "" : looked.error().message();
  next.now = base::system_clock().now();
  next.lag = observed_.lag;
  if (looked.ok() && heartbeat_ != nullptr && heartbeat_->lag() && next.replication.lag_seconds) {
    next.replication.lag_seconds =
        static_cast<uint32_t>(std::chrono::duration_cast<std::chrono::seconds>(*heartbeat_->lag()).count());
  }
  if (looked.ok()) next.lag.learn(next.replication, next.now);
  observed_ = std::move(next);
}

Decision TabletManager::decide_now() const { return decide(desired_, observed_, role_, settings_.unhealthy_threshold); }

net::Task<Status> TabletManager::put_in_force(net::Wait wait) {
  Decision next = decide_now();
  auto state = std::make_shared<ServingState>(next.state);
  complete_ = false;
  if (!state->denied_tables.empty()) {
    Status found = co_await find_indirect_tables(server_, database(), *state, wait);
    // Then nobody knows what reaches the denied tables; where nothing is served, nothing does.
    if (!found.ok() && state->serving) co_return found;
  }
  decision_ = std::move(next);
  {
    const std::scoped_lock lock(shared_mutex_);
    shared_.state = state->serving ? "SERVING" : "NOT_SERVING";
    shared_.reason = state->reason;
    shared_.type = state->target.tablet_type;
    shared_.role = role_name(role_.kind);
  }
  if (in_force_.serving != state->serving) {
    log_info("{}: {}{}", state->target.to_string(), state->serving ? "serving" : "not serving: ", state->reason);
  }
  in_force_ = decision_.state;
  const bool streams = decision_.streams;
  // The fence goes up before anybody hears of it by other ways.
  Status fenced = co_await queries_.apply(std::move(state), settings_.fence_grace);
  complete_ = fenced.ok();
  publish_health();
  if (streams != streams_told_ && on_primary_) {
    streams_told_ = streams;
    co_await on_primary_(streams);
  }
  co_return fenced;
}

net::Task<Status> TabletManager::perform(Action action, net::Wait wait) {
  switch (action) {
    case Action::kMakeReadOnly: co_return co_await stop_writes(std::move(wait));
    case Action::kMakeWritable: co_return co_await make_writable(std::move(wait));
    case Action::kSetSemiSync: {
      if (role_.kind == RoleKind::kPrimary) co_return co_await set_semi_sync(role_.waits_for_acks, false, wait);
      CO_RETURN_IF_ERROR(co_await set_semi_sync(false, role_.acknowledges, wait));
      if (observed_.replication.io_state == mysqld::ThreadState::kStopped) co_return Status{};
      CO_RETURN_IF_ERROR(co_await server_.run(server_.flavor().stop_io_thread(), wait));
      co_return co_await server_.run(server_.flavor().start_replication(), wait);
    }
    case Action::kClearDemotion: co_return co_await forget_demotion(std::move(wait));
    case Action::kFollowPrimary: {
      const ::topodata::TabletAlias primary = desired_.shard.primary_alias();
      CO_ASSIGN_OR_RETURN(const auto tablet, co_await topo::get_tablet(topology_, primary));
      Source source{.parent = primary};
      CO_ASSIGN_OR_RETURN(source.acknowledges, co_await policy_acknowledges(tablet.record));
      CO_RETURN_IF_ERROR(co_await follow(source, wait));
      co_await await_replication(2s);
      co_return Status{};
    }
  }
  co_return Status{};
}

net::Task<Status> TabletManager::converge(net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const auto turn, co_await actions_.enter("a repair", std::move(wait)));
  Status outcome;
  for (int round = 0; round < 3 && outcome.ok(); ++round) {
    co_await observe(turn.wait());
    Decision next = decide_now();
    if (std::ranges::count(next.actions, Action::kMakeWritable) > 0) {
      // Not by what was known some time ago: another tablet may be the primary by now.
      if (outcome = co_await read_shard(); !outcome.ok()) break;
      next = decide_now();
    }
    if (next.actions.empty()) break;
    for (const Action action : next.actions) {
      log_warning("{} is {}, and its server is not as that: {}", settings_.tablet_path, role_name(role_.kind),
                  action_name(action));
      outcome = co_await perform(action, turn.wait());
      if (!outcome.ok()) {
        outcome = std::move(outcome).error().with_context(std::string(action_name(action)));
        break;
      }
    }
  }
  Status forced = co_await put_in_force(turn.wait());
  co_return outcome.ok() ? std::move(forced) : std::move(outcome);
}

// After replication was started: until it is known to work, so that the tablet serves at once.
net::Task<void> TabletManager::await_replication(base::Duration patience) {
  const base::TimePoint until = base::system_clock().now() + patience;
  for (;;) {
    co_await observe(net::Wait::within(patience + 1s, scope_.token()));
    const auto& status = observed_.replication;
    const bool over = !status.has_source() || (status.healthy() && status.lag_seconds) ||
                      status.sql_state == mysqld::ThreadState::kStopped || !observed_.error.empty();
    if (over || base::system_clock().now() >= until) co_return;
    if (!(co_await net::sleep_for(20ms, scope_.token())).ok()) co_return;
  }
}

net::Task<Status> TabletManager::run_health_check() {
  const net::Wait wait = net::Wait::within(10s, scope_.token());
  const base::Duration patience = std::clamp<base::Duration>(settings_.lost_server_timeout, 1s, 10s);
  co_await observe(net::Wait::within(patience, scope_.token()));
  if (silent_since_ && observed_.now - *silent_since_ >= settings_.lost_server_timeout) co_await queries_.give_up();
  decision_ = decide_now();
  if (complete_ && decision_.state == in_force_ && decision_.actions.empty()) {
    publish_health();
    co_return Status{};
  }
  co_return co_await converge(wait);
}

net::Task<void> TabletManager::health_loop() {
  for (;;) {
    Status checked = co_await run_health_check();
    if (!checked.ok() && !scope_.stopping()) log_warning("{}: {}", settings_.tablet_path, checked.error().message());
    if (refusal_of(observed_.replication) != Refusal::kNone && !scope_.stopping()) co_await rejoin();
    // A replica that has just been set up is looked at more often, so that it serves soon.
    const bool settling =
        role_.kind == RoleKind::kReplica && observed_.replication.has_source() && !decision_.state.serving;
    const base::Duration pause = settling || silent_since_
                                     ? std::min<base::Duration>(1s, settings_.health_check_interval)
                                     : settings_.health_check_interval;
    // Not more often than this, however many statements fail.
    if (!(co_await net::sleep_for(std::min<base::Duration>(100ms, pause), scope_.token())).ok()) co_return;
    (void)co_await look_->wait(net::Wait::within(std::max<base::Duration>(pause - 100ms, 0ms), scope_.token()));
    if (scope_.stopping()) co_return;
  }
}

net::Task<void> TabletManager::shard_loop() {
  auto turn_over = [](TabletManager& self) -> net::Task<Status> {
    const net::Wait wait = net::Wait::within(30s, self.scope_.token());
    if (self.role_.kind == RoleKind::kWaiting) {
      CO_ASSIGN_OR_RETURN(const auto turn, co_await self.actions_.enter("the end of the wait", wait));
      if (self.role_.kind != RoleKind::kWaiting) co_return Status{};
      CO_RETURN_IF_ERROR(co_await self.take_role(turn.wait()));
      if (self.role_.kind == RoleKind::kWaiting) co_return Status{};
      CO_RETURN_IF_ERROR(co_await self.read_records());
      co_await self.observe(turn.wait());
      co_return co_await self.put_in_force(turn.wait());
    }
    if (self.role_.kind == RoleKind::kReplica) co_return Status{};
    co_return co_await self.follow_if_replaced(wait);
  };
  for (;;) {
    const base::Duration pause = role_.kind == RoleKind::kWaiting
                                     ? std::min<base::Duration>(kSettleInterval, settings_.health_check_interval)
                                     : settings_.health_check_interval;
    if (!(co_await net::sleep_for(pause, scope_.token())).ok()) co_return;
    Status done = co_await turn_over(*this);
    if (!done.ok()) log_warning("looking whether this is still the primary: {}", done.error().message());
  }
}

net::Task<Status> TabletManager::follow_if_replaced(net::Wait wait) {
  CO_RETURN_IF_ERROR(co_await read_shard());
  if (!is_replaced(desired_, role_)) co_return Status{};
  log_warning("tablet {} has become the primary of the shard; following it",
              topo::alias_to_string(desired_.shard.primary_alias()));
  co_return co_await converge(wait);
}

net::Task<void> TabletManager::beat_loop() {
  for (;;) {
    if (queries_.standstill().stood_still() && role_.kind == RoleKind::kPrimary) {
      log_warning("{} stood still for more than {} s: is it still the primary?", settings_.tablet_path,
                  std::chrono::duration_cast<std::chrono::seconds>(Standstill::kMax).count());
      // Where the topology does not answer it goes on as it was, as in every outage.
      Status asked = co_await follow_if_replaced(net::Wait::within(30s, scope_.token()));
      if (!asked.ok()) log_warning("looking whether this is still the primary: {}", asked.error().message());
    }
    queries_.standstill().beat();
    if (!(co_await net::sleep_for(Standstill::kInterval, scope_.token())).ok()) co_return;
  }
}

double TabletManager::queries_per_second() {
  const base::TimePoint now = base::system_clock().now();
  const double seconds = std::chrono::duration<double>(now - queries_before_.at).count();
  return seconds <= 0 ? 0 : static_cast<double>(queries_counter_.value() - queries_before_.count) / seconds;
}

void TabletManager::publish_health() {
  {
    const std::scoped_lock lock(shared_mutex_);
    shared_.trouble = decision_.trouble;
    shared_.lag_seconds = decision_.lag_seconds;
    shared_.running = transfer_.empty() ? actions_.running() : transfer_;
  }
  ::query::StreamHealthResponse response;
  const ServingState& state = decision_.state;
  response.mutable_target()->set_keyspace(state.target.keyspace);
  response.mutable_target()->set_shard(state.target.shard);
  response.mutable_target()->set_tablet_type(decision_.type);
  response.set_serving(in_force_.serving);
  if (decision_.type == ::topodata::PRIMARY) response.set_primary_term_start_timestamp(role_.term_start_ns);
  auto& stats = *response.mutable_realtime_stats();
  stats.set_health_error(decision_.health_error);
  stats.set_replication_lag_seconds(static_cast<uint32_t>(decision_.lag_seconds));
  stats.set_qps(queries_per_second());
  // The rate is of some seconds: not each change begins a new count.
  if (const auto now = base::system_clock().now(); now - queries_before_.at >= settings_.health_check_interval) {
    queries_before_.at = now;
    queries_before_.count = queries_counter_.value();
  }
  *response.mutable_tablet_alias() = desired_.record.alias();
  health_.publish(std::move(response));
}

}  // namespace vitrail::tablet
