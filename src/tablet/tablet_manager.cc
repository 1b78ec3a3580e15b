#include "tablet/tablet_manager.h"

#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "base/log.h"
#include "base/version.h"
#include "mysqld/rows.h"
#include "mysqld/schema_sql.h"
#include "tablet/indirect_tables.h"
#include "tablet/restore.h"
#include "topo/durability.h"
#include "topo/keyspace.h"
#include "topo/shard.h"
#include "topo/srv_keyspace.h"
#include "topo/srv_vschema.h"
#include "topo/tablet.h"

namespace vitrail::tablet {

using namespace std::chrono_literals;

int64_t to_nanoseconds(const ::vttime::Time& time) { return time.seconds() * 1'000'000'000 + time.nanoseconds(); }

::vttime::Time from_nanoseconds(int64_t ns) {
  ::vttime::Time time;
  time.set_seconds(ns / 1'000'000'000);
  time.set_nanoseconds(static_cast<int32_t>(ns % 1'000'000'000));
  return time;
}

namespace {

int64_t wall_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(base::system_clock().wall_now().time_since_epoch())
      .count();
}

constexpr auto kAckPatience = 1s;  // For commits whose acknowledgement is late, before they are cut off.

// What "CREATE ... IF NOT EXISTS <name> ..." makes.
std::string_view created_name(std::string_view statement) {
  constexpr std::string_view kBefore = "IF NOT EXISTS ";
  const size_t at = statement.find(kBefore);
  if (at == std::string_view::npos) return {};
  statement.remove_prefix(at + kBefore.size());
  return statement.substr(0, statement.find(' '));
}

}  // namespace

TabletManager::TabletManager(TabletSettings settings, topo::Server& topology, QueryService& queries,
                             base::Metrics& metrics, std::vector<std::string> sidecar_schema, OnPrimary on_primary)
    : settings_(std::move(settings)),
      topology_(topology),
      queries_(queries),
      sidecar_schema_(std::move(sidecar_schema)),
      on_primary_(std::move(on_primary)),
      server_(settings_.mysqld, settings_.dba_user, settings_.dba_password),
      state_(std::make_shared<ServingState>()) {
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
  subscriptions_.push_back(metrics.text_function("TabletType", [this] { return type_name(); }));
  subscriptions_.push_back(metrics.text_function("TabletKeyspace", [this] { return settings_.keyspace; }));
  subscriptions_.push_back(metrics.text_function("TabletShard", [this] { return settings_.shard; }));
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

std::string TabletManager::database() const { return topo::tablet_db_name(record_); }

net::Task<Status> TabletManager::start() {
  const net::Wait wait = net::Wait::within(settings_.init_timeout);
  // The server may still be starting.
  for (;;) {
    Status connected = co_await server_.connect(wait);
    if (connected.ok()) break;
    if (base::system_clock().now() + 1s > wait.deadline || connected.error().code() == Code::kUnimplemented ||
        connected.error().code() == Code::kUnauthenticated) {
      co_return std::move(connected).error().with_context(
          "the tablet's MySQL server at " + settings_.mysqld.to_string() + " (is it running? mysqlctl start)");
    }
    CO_RETURN_IF_ERROR(co_await net::sleep_for(200ms));
  }
  CO_RETURN_IF_ERROR(co_await look_for_backup(wait));
  CO_RETURN_IF_ERROR(co_await register_tablet(wait));
  if (heartbeat_ != nullptr) {
    scope_.spawn(
        heartbeat_->run([this] { return record_.type() == ::topodata::PRIMARY && !demoting_; }, scope_.token()));
  }
  scope_.spawn(health_loop());
  scope_.spawn(shard_loop());
  co_return Status{};
}

net::Task<Status> TabletManager::look_for_backup(net::Wait wait) {
  if (!settings_.restore_from_backup) co_return Status{};
  const std::string database =
      settings_.db_name_override.empty() ? "vt_" + settings_.keyspace : settings_.db_name_override;
  CO_ASSIGN_OR_RETURN(
      const auto found,
      co_await server_.query(
          "select 1 from information_schema.schemata where schema_name = " + mysqld::quote_string(database), wait));
  const std::string folder = fmt::format("{}/{}/{}", settings_.backup_root, settings_.keyspace, settings_.shard);
  if (!settings_.backup_root.empty()) CO_RETURN_IF_ERROR(check_restore(folder, !found.rows.empty()));
  log_info("--restore-from-backup: {}", !found.rows.empty()             ? "the server has data already"
                                        : settings_.backup_root.empty() ? "no --file-backup-storage-root is given"
                                                                        : "there is no backup in " + folder);
  co_return Status{};
}

net::Task<Status> TabletManager::register_tablet(net::Wait wait) {
  CO_ASSIGN_OR_RETURN(*record_.mutable_alias(), topo::parse_alias(settings_.tablet_path));
  CO_ASSIGN_OR_RETURN(const auto type, topo::parse_tablet_type(settings_.type));
  if (type != ::topodata::REPLICA && type != ::topodata::RDONLY && type != ::topodata::SPARE) {
    co_return fail(Code::kInvalidArgument,
                   "--init_tablet_type is " + settings_.type + ": give replica, rdonly or spare");
  }
  CO_ASSIGN_OR_RETURN(auto shard, co_await topo::get_or_create_shard(topology_, settings_.keyspace, settings_.shard));
  record_.set_hostname(settings_.hostname);
  record_.set_keyspace(settings_.keyspace);
  record_.set_shard(settings_.shard);
  record_.set_db_name_override(settings_.db_name_override);
  (*record_.mutable_port_map())[std::string(topo::kPortHttp)] = settings_.http_port;
  (*record_.mutable_port_map())[std::string(topo::kPortGrpc)] = settings_.grpc_port;
  (*record_.mutable_port_map())[std::string(topo::kPortMysqlData)] = queries_.port();
  record_.set_mysql_hostname(settings_.hostname);
  int32_t port = settings_.mysqld_port;
  if (port == 0) {
    CO_ASSIGN_OR_RETURN(const auto result, co_await server_.query("select @@port", wait));
    port = static_cast<int32_t>(mysqld::to_int(result.text(0, 0)).value_or(0));
  }
  record_.set_mysql_port(port);
  *record_.mutable_tablet_start_time() = from_nanoseconds(wall_ns());
  const bool is_primary = topo::same_alias(shard.record.primary_alias(), record_.alias());
  record_.set_type(is_primary ? ::topodata::PRIMARY : type);
  if (is_primary) *record_.mutable_primary_term_start_time() = shard.record.primary_term_start_time();
  CO_RETURN_IF_ERROR(co_await topo::create_or_update_tablet(topology_, record_));
  CO_ASSIGN_OR_RETURN(const auto stored, co_await topo::get_tablet(topology_, record_.alias()));
  record_ = stored.record;

  // The cell's serving graph exists from the first tablet on.
  auto serving = co_await topo::get_srv_keyspace(topology_, record_.alias().cell(), settings_.keyspace);
  if (!serving.ok() && serving.error().code() == Code::kNotFound) {
    auto lock = co_await topo::KeyspaceLock::acquire(topology_, settings_.keyspace,
                                                     "tablet " + settings_.tablet_path + " starts");
    if (!lock.ok()) co_return std::move(lock).error();
    Status rebuilt = co_await topo::rebuild_keyspace_graph(topology_, *lock, {.cells = {record_.alias().cell()}});
    if (!rebuilt.ok()) log_warning("serving graph of {}: {}", settings_.keyspace, rebuilt.error().message());
    (void)co_await lock->release();
  }
  // And vtgates know the keyspace, also where nobody ever saves a vschema for it.
  Status told = co_await topo::add_to_srv_vschema(topology_, record_.alias().cell(), settings_.keyspace);
  if (!told.ok()) log_warning("vschema of cell {}: {}", record_.alias().cell(), told.error().message());

  if (is_primary) {
    CO_ASSIGN_OR_RETURN(const bool needs_acks, co_await policy_needs_acks());
    CO_RETURN_IF_ERROR(co_await become_primary(needs_acks, wait));
  } else {
    CO_RETURN_IF_ERROR(co_await server_.stop_writes(kAckPatience, wait));
    if (shard.record.has_primary_alias()) {
      auto primary = co_await topo::get_tablet(topology_, shard.record.primary_alias());
      if (primary.ok()) {
        CO_ASSIGN_OR_RETURN(const bool acknowledges, co_await policy_acknowledges(primary->record));
        CO_RETURN_IF_ERROR(co_await set_semi_sync(false, acknowledges, wait));
        Status following = co_await server_.follow(primary->record.mysql_hostname(),
                                                   static_cast<uint16_t>(primary->record.mysql_port()), true, wait);
        if (!following.ok()) co_return std::move(following).error().with_context("follow the shard's primary");
      }
    }
  }
  co_return co_await apply_state(wait);
}

net::Task<Status> TabletManager::create_sidecar(net::Wait wait) {
  // Only what is missing: also a statement that finds its table made is replicated, and waits for acknowledgements.
  CO_ASSIGN_OR_RETURN(
      const auto present,
      co_await server_.query(
          fmt::format("select if(schema_name = {0}, '_vt', schema_name) from information_schema.schemata "
                      "union all select concat('_vt.', table_name) from information_schema.tables where "
                      "table_schema = {0}",
                      mysqld::quote_string(settings_.sidecar)),
          wait));
  std::set<std::string, std::less<>> names;
  for (size_t i = 0; i < present.rows.size(); ++i) names.emplace(present.text(i, 0));
  std::vector<std::string> statements;
  if (!names.contains(database())) statements.push_back(mysqld::create_database(database()));
  for (const auto& statement : sidecar_schema_) {
    if (!names.contains(created_name(statement))) statements.push_back(statement);
  }
  Status made = co_await server_.run(std::move(statements), wait);
  if (!made.ok())
    co_return std::move(made).error().with_context("create the tablet's own tables in " + settings_.sidecar);
  co_return Status{};
}

net::Task<Status> TabletManager::set_semi_sync(bool waits_for_acks, bool acknowledges, net::Wait wait) {
  auto changed = co_await server_.set_semi_sync(waits_for_acks, acknowledges, std::move(wait));
  if (!changed.ok()) co_return std::move(changed).error();
  waits_for_acks_ = waits_for_acks;
  acknowledges_ = acknowledges;
  co_return Status{};
}

net::Task<Result<bool>> TabletManager::policy_needs_acks() {
  CO_ASSIGN_OR_RETURN(const auto policy, co_await topo::get_durability(topology_, settings_.keyspace));
  co_return policy.acks_needed() > 0;
}

net::Task<Result<bool>> TabletManager::policy_acknowledges(const ::topodata::Tablet& primary) {
  CO_ASSIGN_OR_RETURN(const auto policy, co_await topo::get_durability(topology_, settings_.keyspace));
  co_return policy.acknowledges(primary, record_);
}

net::Task<Status> TabletManager::become_primary(bool waits_for_acks, net::Wait wait) {
  CO_RETURN_IF_ERROR(co_await server_.promote(wait));
  CO_RETURN_IF_ERROR(co_await server_.set_read_only(false, wait));
  kept_read_only_ = false;
  // The tables are not worth waiting for: no replica may be there yet. No client writes before this returns.
  CO_RETURN_IF_ERROR(co_await create_sidecar(wait));
  CO_RETURN_IF_ERROR(co_await set_semi_sync(waits_for_acks, false, wait));
  co_await queries_.reset_sequences();
  co_return Status{};
}

net::Task<Status> TabletManager::write_type(::topodata::TabletType type, int64_t term_start_ns) {
  auto updated =
      co_await topo::update_tablet_fields(topology_, record_.alias(), [&](::topodata::Tablet& tablet) -> Result<bool> {
        tablet.set_type(type);
        if (type == ::topodata::PRIMARY) {
          *tablet.mutable_primary_term_start_time() = from_nanoseconds(term_start_ns);
        } else {
          tablet.clear_primary_term_start_time();
        }
        return true;
      });
  if (!updated.ok()) co_return std::move(updated).error();
  record_ = std::move(*updated);
  co_return Status{};
}

net::Task<Status> TabletManager::claim_shard() {
  const ::topodata::Tablet own = record_;
  auto updated = co_await topo::update_shard_fields(
      topology_, settings_.keyspace, settings_.shard, [&own](::topodata::Shard& shard) -> Result<bool> {
        const auto& now = shard.primary_term_start_time();
        const auto& term = own.primary_term_start_time();
        const auto order =
            std::pair(now.seconds(), now.nanoseconds()) <=> std::pair(term.seconds(), term.nanoseconds());
        if (order > 0 || (order == 0 && topo::same_alias(shard.primary_alias(), own.alias()))) return false;
        *shard.mutable_primary_alias() = own.alias();
        *shard.mutable_primary_term_start_time() = term;
        return true;
      });
  if (!updated.ok()) co_return std::move(updated).error().with_context("name the primary in the shard's record");
  co_return Status{};
}

net::Task<Status> TabletManager::apply_state(net::Wait wait) {
  auto next = std::make_shared<ServingState>();
  next->target = {settings_.keyspace, settings_.shard, topo::tablet_type_to_string(record_.type())};
  next->serving = topo::is_serving_type(record_.type());
  next->reason = next->serving ? "" : "not a serving tablet type(" + next->target.tablet_type + ")";
  if (demoting_) {
    next->serving = false;
    next->reason = "the primary is being demoted";
  }
  if (record_.type() != ::topodata::PRIMARY && !replication_ok_) {
    next->serving = false;
    next->reason = health_error_;
  }
  bool disabled_somewhere = false;
  auto serving = co_await topo::get_srv_keyspace(topology_, record_.alias().cell(), settings_.keyspace);
  if (!serving.ok() && serving.error().code() != Code::kNotFound) co_return std::move(serving).error();
  if (serving.ok()) {
    for (const auto& partition : serving->record.partitions()) {
      for (const auto& control : partition.shard_tablet_controls()) {
        if (control.name() != settings_.shard || !control.query_service_disabled()) continue;
        disabled_somewhere = true;
        if (partition.served_type() != record_.type()) continue;
        next->serving = false;
        next->reason = "TabletControl.DisableQueryService set";
      }
    }
  }
  CO_ASSIGN_OR_RETURN(const auto shard, co_await topo::get_shard(topology_, settings_.keyspace, settings_.shard));
  if (record_.type() == ::topodata::PRIMARY && !shard.record.is_primary_serving()) {
    // Its traffic was switched away: nothing may be read or written here. A shard that has not served yet may be looked
    // at.
    if (disabled_somewhere) {
      next->serving = false;
      next->reason = "primary traffic was switched to other shards";
    }
    next->no_writes = "this shard does not serve its primary traffic yet";
  }
  if (const auto* control = topo::find_tablet_control(shard.record, record_.type())) {
    for (std::string table : control->denied_tables()) {
      std::transform(table.begin(), table.end(), table.begin(), [](unsigned char c) { return std::tolower(c); });
      next->denied_tables.push_back(std::move(table));
    }
    std::sort(next->denied_tables.begin(), next->denied_tables.end());
    next->denied_allow_reads = control->allow_reads();
    CO_RETURN_IF_ERROR(co_await find_indirect_tables(server_, database(), *next, wait));
  }
  const bool was_serving = state_->serving;
  state_ = next;
  {
    const std::scoped_lock lock(shared_mutex_);
    shared_.state = next->serving ? "SERVING" : "NOT_SERVING";
    shared_.reason = next->reason;
    shared_.type = next->target.tablet_type;
  }
  if (was_serving != next->serving) {
    log_info("{}: {}{}", next->target.to_string(), next->serving ? "serving" : "not serving: ", next->reason);
  }
  // The fence goes up before anybody hears of it by other ways.
  Status fenced = co_await queries_.apply(next, settings_.fence_grace);
  publish_health();
  const bool primary = record_.type() == ::topodata::PRIMARY && !demoting_;
  if (primary != primary_told_ && on_primary_) {
    primary_told_ = primary;
    co_await on_primary_(primary);
  }
  co_return fenced;
}

void TabletManager::publish_health() {
  {
    const std::scoped_lock lock(shared_mutex_);
    shared_.health_error = health_error_;
    shared_.lag_seconds = lag_seconds_;
  }
  ::query::StreamHealthResponse response;
  response.mutable_target()->set_keyspace(settings_.keyspace);
  response.mutable_target()->set_shard(settings_.shard);
  response.mutable_target()->set_tablet_type(record_.type());
  response.set_serving(state_->serving);
  if (record_.type() == ::topodata::PRIMARY) {
    response.set_primary_term_start_timestamp(to_nanoseconds(record_.primary_term_start_time()));
  }
  response.mutable_realtime_stats()->set_health_error(health_error_);
  response.mutable_realtime_stats()->set_replication_lag_seconds(static_cast<uint32_t>(lag_seconds_));
  *response.mutable_tablet_alias() = record_.alias();
  health_.publish(std::move(response));
}

net::Task<Status> TabletManager::check_primary(std::string& error, net::Wait wait) {
  auto state = co_await server_.query("select @@global.read_only", wait);
  if (!state.ok()) {
    error = "the MySQL server does not answer: " + state.error().message();
    co_return Status{};
  }
  if (waits_for_acks_ &&
      !demoting_) {  // A restarted server has forgotten it, and one that is set up so may write at once.
    CO_ASSIGN_OR_RETURN(auto guard, co_await actions_.lock(wait));
    if (waits_for_acks_ && !demoting_) CO_RETURN_IF_ERROR(co_await set_semi_sync(true, false, wait));
  }
  if (state->text(0, 0) == "0" || demoting_ || kept_read_only_) co_return Status{};
  // It was started again after a crash, and servers start read-only: the role is still ours. Unless it replicates: then
  // somebody has given the role to another server, and is about to say so.
  CO_ASSIGN_OR_RETURN(auto guard, co_await actions_.lock(wait));
  const auto status = co_await server_.replication_status(wait);
  if (record_.type() == ::topodata::PRIMARY && !demoting_ && status.ok() && !status->has_source()) {
    log_warning("the primary's server had become read-only; making it writable");
    CO_RETURN_IF_ERROR(co_await set_semi_sync(waits_for_acks_, false, wait));
    CO_RETURN_IF_ERROR(co_await server_.set_read_only(false, wait));
  }
  co_return Status{};
}

net::Task<Status> TabletManager::renew_acknowledging(bool receiving, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const auto state, co_await server_.semi_sync(wait));
  if (state.replica_enabled == acknowledges_) co_return Status{};
  CO_ASSIGN_OR_RETURN(auto guard, co_await actions_.lock(wait));
  if (record_.type() == ::topodata::PRIMARY) co_return Status{};
  log_warning("the server had forgotten whether it acknowledges what it receives; telling it");
  CO_RETURN_IF_ERROR(co_await set_semi_sync(false, acknowledges_, wait));
  if (!receiving) co_return Status{};
  CO_RETURN_IF_ERROR(co_await server_.run(server_.flavor().stop_io_thread(), wait));
  co_return co_await server_.run(server_.flavor().start_replication(), wait);
}

net::Task<Status> TabletManager::run_health_check() {
  const net::Wait wait = net::Wait::within(10s, scope_.token());
  std::string error;
  int64_t lag = 0;
  bool ok = true;
  if (record_.type() == ::topodata::PRIMARY) {
    CO_RETURN_IF_ERROR(co_await check_primary(error, wait));
  } else {
    auto status = co_await server_.replication_status(wait);
    if (!status.ok()) {
      ok = false;
      error = "replication status: " + status.error().message();
    } else if (!status->has_source()) {
      ok = false;
      error = "no replication source is configured";
    } else if (status->sql_state != mysqld::ThreadState::kRunning) {
      error = "replication is stopped";
      if (!status->last_sql_error.empty()) error += ": " + status->last_sql_error;
      ok = false;
    } else {
      lag = status->lag_seconds.value_or(static_cast<uint32_t>(lag_seconds_ + 1));
      if (heartbeat_ != nullptr && heartbeat_->lag()) {
        lag = std::chrono::duration_cast<std::chrono::seconds>(*heartbeat_->lag()).count();
      }
      ok = std::chrono::seconds(lag) <= settings_.degraded_threshold;
      if (!ok) error = fmt::format("not serving: replication delay {} s", lag);
      if (Status renewed = co_await renew_acknowledging(status->io_state != mysqld::ThreadState::kStopped, wait);
          !renewed.ok() && error.empty()) {
        error = "acknowledging: " + renewed.error().message();
      }
    }
  }
  const bool changed = ok != replication_ok_ || error != health_error_;
  replication_ok_ = ok;
  health_error_ = std::move(error);
  lag_seconds_ = lag;
  if (changed) {
    CO_ASSIGN_OR_RETURN(auto guard, co_await actions_.lock(wait));
    co_return co_await apply_state(wait);
  }
  publish_health();
  co_return Status{};
}

net::Task<void> TabletManager::health_loop() {
  for (;;) {
    (void)co_await run_health_check();
    if (!(co_await net::sleep_for(settings_.health_check_interval, scope_.token())).ok()) co_return;
  }
}

net::Task<Status> TabletManager::yield_to_newer_primary() {
  if (record_.type() != ::topodata::PRIMARY) co_return Status{};
  const auto shard = co_await topo::get_shard(topology_, settings_.keyspace, settings_.shard);
  if (!shard.ok()) co_return Error(shard.error());
  const auto& primary = shard->record.primary_alias();
  const bool replaced =
      shard->record.has_primary_alias() && !topo::same_alias(primary, record_.alias()) &&
      to_nanoseconds(shard->record.primary_term_start_time()) > to_nanoseconds(record_.primary_term_start_time());
  if (!replaced || record_.type() != ::topodata::PRIMARY) co_return Status{};
  log_warning("tablet {} has become the primary of the shard; following it", topo::alias_to_string(primary));
  CO_ASSIGN_OR_RETURN(const auto tablet, co_await topo::get_tablet(topology_, primary));
  Source source{.parent = primary};
  CO_ASSIGN_OR_RETURN(source.acknowledges, co_await policy_acknowledges(tablet.record));
  co_return co_await set_replication_source(std::move(source), net::Wait::within(30s, scope_.token()));
}

net::Task<void> TabletManager::shard_loop() {
  while ((co_await net::sleep_for(settings_.health_check_interval, scope_.token())).ok()) {
    Status yielded = co_await yield_to_newer_primary();
    if (!yielded.ok()) log_warning("looking whether this is still the primary: {}", yielded.error().message());
  }
}

net::Task<void> TabletManager::stop() {
  scope_.request_stop();
  co_await scope_.join();
  if (primary_told_ && on_primary_) co_await on_primary_(false);
  if (record_.has_alias()) {
    // People see in the record that the tablet went away in good order.
    (void)co_await topo::update_tablet_fields(topology_, record_.alias(),
                                              [](::topodata::Tablet& tablet) -> Result<bool> {
                                                *tablet.mutable_tablet_shutdown_time() = from_nanoseconds(wall_ns());
                                                return true;
                                              });
  }
  server_.close();
}

net::Task<Status> TabletManager::refresh_state(net::Wait wait) {
  CO_ASSIGN_OR_RETURN(auto guard, co_await actions_.lock(wait));
  auto stored = co_await topo::get_tablet(topology_, record_.alias());
  if (!stored.ok()) co_return std::move(stored).error();
  record_ = std::move(stored->record);
  co_return co_await apply_state(wait);
}

net::Task<Status> TabletManager::change_type(::topodata::TabletType type, bool acknowledges, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(auto guard, co_await actions_.lock(wait));
  if (type == ::topodata::PRIMARY) {
    auto made = co_await make_primary(acknowledges, wait);
    if (!made.ok()) co_return std::move(made).error();
    co_return Status{};
  }
  const bool changes = acknowledges != acknowledges_ && record_.type() != ::topodata::PRIMARY;
  CO_RETURN_IF_ERROR(co_await write_type(type, 0));
  if (changes) {
    CO_RETURN_IF_ERROR(co_await set_semi_sync(false, acknowledges, wait));
    const auto status = co_await server_.replication_status(wait);
    if (status.ok() && status->has_source() && status->io_state != mysqld::ThreadState::kStopped) {
      CO_RETURN_IF_ERROR(co_await server_.run(server_.flavor().stop_io_thread(), wait));
      CO_RETURN_IF_ERROR(co_await server_.run(server_.flavor().start_replication(), wait));
    }
  }
  co_return co_await apply_state(wait);
}

net::Task<Result<std::string>> TabletManager::make_primary(bool waits_for_acks, net::Wait wait) {
  demoting_ = false;
  CO_RETURN_IF_ERROR(co_await become_primary(waits_for_acks, wait));
  CO_ASSIGN_OR_RETURN(const std::string position, co_await server_.position(wait));
  CO_RETURN_IF_ERROR(co_await write_type(::topodata::PRIMARY, wall_ns()));
  CO_RETURN_IF_ERROR(co_await claim_shard());
  CO_RETURN_IF_ERROR(co_await apply_state(wait));
  co_return position;
}

net::Task<Status> TabletManager::replica_was_promoted(net::Wait wait) {
  CO_ASSIGN_OR_RETURN(auto guard, co_await actions_.lock(wait));
  CO_ASSIGN_OR_RETURN(const bool needs_acks, co_await policy_needs_acks());
  auto made = co_await make_primary(needs_acks, wait);
  if (!made.ok()) co_return std::move(made).error();
  co_return Status{};
}

net::Task<Status> TabletManager::change_tags(std::map<std::string, std::string> tags, bool replace, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(auto guard, co_await actions_.lock(wait));
  auto updated =
      co_await topo::update_tablet_fields(topology_, record_.alias(), [&](::topodata::Tablet& tablet) -> Result<bool> {
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
  record_ = std::move(*updated);
  co_return Status{};
}

net::Task<Status> TabletManager::replica_was_restarted(net::Wait wait) {
  CO_ASSIGN_OR_RETURN(auto guard, co_await actions_.lock(wait));
  if (record_.type() != ::topodata::PRIMARY) co_return Status{};
  CO_RETURN_IF_ERROR(co_await server_.stop_writes(kAckPatience, wait));
  demoting_ = false;
  CO_RETURN_IF_ERROR(co_await write_type(::topodata::REPLICA, 0));
  co_return co_await apply_state(wait);
}

net::Task<Result<std::string>> TabletManager::promote(bool waits_for_acks, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(auto guard, co_await actions_.lock(wait));
  co_return co_await make_primary(waits_for_acks, wait);
}

net::Task<Result<std::string>> TabletManager::demote_primary(net::Wait wait) {
  CO_ASSIGN_OR_RETURN(auto guard, co_await actions_.lock(wait));
  demoting_ = true;
  CO_RETURN_IF_ERROR(co_await apply_state(wait));  // Statements and transactions have ended when this returns.
  CO_RETURN_IF_ERROR(co_await server_.stop_writes(kAckPatience, wait));
  co_return co_await server_.position(wait);
}

net::Task<Status> TabletManager::undo_demote_primary(bool waits_for_acks, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(auto guard, co_await actions_.lock(wait));
  demoting_ = false;
  CO_RETURN_IF_ERROR(co_await set_semi_sync(waits_for_acks, false, wait));
  CO_RETURN_IF_ERROR(co_await server_.set_read_only(false, wait));
  co_return co_await apply_state(wait);
}

net::Task<Status> TabletManager::start_replication(bool acknowledges, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(auto guard, co_await actions_.lock(wait));
  if (record_.type() != ::topodata::PRIMARY) CO_RETURN_IF_ERROR(co_await set_semi_sync(false, acknowledges, wait));
  co_return co_await server_.run(server_.flavor().start_replication(), wait);
}

net::Task<Status> TabletManager::restart_replication(bool acknowledges, net::Wait wait) {
  CO_RETURN_IF_ERROR(co_await server_.run(server_.flavor().stop_replication(), wait));
  co_return co_await start_replication(acknowledges, wait);
}

net::Task<Status> TabletManager::set_replication_source(Source source, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(auto guard, co_await actions_.lock(wait));
  CO_ASSIGN_OR_RETURN(const auto primary, co_await topo::get_tablet(topology_, source.parent));
  if (topo::same_alias(source.parent, record_.alias())) {
    co_return fail(Code::kInvalidArgument, "tablet " + settings_.tablet_path + " cannot replicate from itself");
  }
  CO_RETURN_IF_ERROR(co_await server_.stop_writes(kAckPatience, wait));
  CO_RETURN_IF_ERROR(co_await set_semi_sync(false, source.acknowledges, wait));
  CO_RETURN_IF_ERROR(co_await server_.follow(primary.record.mysql_hostname(),
                                             static_cast<uint16_t>(primary.record.mysql_port()), true, wait));
  demoting_ = false;
  if (record_.type() == ::topodata::PRIMARY) {
    CO_RETURN_IF_ERROR(co_await write_type(::topodata::REPLICA, 0));
  }
  replication_ok_ = true;
  health_error_.clear();
  CO_RETURN_IF_ERROR(co_await apply_state(wait));
  if (!source.wait_position.empty()) {
    CO_RETURN_IF_ERROR(co_await server_.wait_for_position(std::move(source.wait_position), wait));
  }
  if (source.time_created_ns != 0) {
    // The row that the new primary wrote: when it is here, replication from there works.
    const std::string sql =
        fmt::format("select 1 from _vt.reparent_journal where time_created_ns = {}", source.time_created_ns);
    for (;;) {
      auto seen = co_await server_.query(sql, wait);
      if (seen.ok() && !seen->rows.empty()) break;
      if (base::system_clock().now() >= wait.deadline) {
        co_return fail(Code::kDeadlineExceeded,
                       "the new primary's reparent journal has not arrived on " + settings_.tablet_path);
      }
      CO_RETURN_IF_ERROR(co_await net::sleep_for(20ms, wait.cancel));
    }
  }
  co_return Status{};
}

net::Task<Status> TabletManager::populate_reparent_journal(::tabletmanagerdata::PopulateReparentJournalRequest request,
                                                           net::Wait wait) {
  const std::string sql = fmt::format(
      "insert into _vt.reparent_journal (time_created_ns, action_name, primary_alias, replication_position) "
      "values ({}, {}, {}, {}) on duplicate key update action_name = values(action_name)",
      request.time_created_ns(), mysqld::quote_string(request.action_name()),
      mysqld::quote_string(topo::alias_to_string(request.primary_alias())),
      mysqld::quote_string(request.replication_position()));
  auto done = co_await server_.query(sql, wait);
  if (!done.ok()) co_return std::move(done).error();
  co_return Status{};
}

net::Task<Status> TabletManager::set_writable(bool writable, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(auto guard, co_await actions_.lock(wait));
  if (writable) {
    CO_RETURN_IF_ERROR(co_await server_.set_read_only(false, wait));
  } else {
    CO_RETURN_IF_ERROR(co_await server_.stop_writes(kAckPatience, wait));
  }
  kept_read_only_ = !writable;
  co_return Status{};
}

}  // namespace vitrail::tablet
