// The way back of a tablet whose primary refuses it, because their histories differ: TabletManager's methods on that.
// docs/operators/failover.md tells what happens.
#include <fmt/core.h>

#include <algorithm>
#include <filesystem>

#include "backup/catalog.h"
#include "base/log.h"
#include "movement/rewind.h"
#include "movement/server_session.h"
#include "mysqld/rows.h"
#include "tablet/maintenance.h"
#include "tablet/tablet_manager.h"
#include "tablet/unlogged.h"
#include "topo/shard.h"
#include "topo/tablet.h"

namespace vitrail::tablet {

namespace tmd = ::tabletmanagerdata;
using namespace std::chrono_literals;

namespace {

constexpr auto kPause = 30s;              // Between attempts.
constexpr size_t kPieceBytes = 1u << 20;  // Of a statement.
constexpr uintmax_t kKeptBytes = 1u << 30;

// What is taken back, and where the server stands once it is. Not in the binary log: they are about this server alone.
std::vector<std::string> rewind_tables() {
  return {"CREATE DATABASE IF NOT EXISTS _vt DEFAULT CHARACTER SET utf8mb4",
          "CREATE TABLE IF NOT EXISTS _vt.tablet_rewind (tablet_alias VARBINARY(300) NOT NULL PRIMARY KEY, "
          "position BLOB NOT NULL) ENGINE = InnoDB",
          "CREATE TABLE IF NOT EXISTS _vt.rewound_transaction (id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, "
          "time_rewound TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, tablet_alias VARBINARY(300) NOT NULL, "
          "gtid VARBINARY(100) NOT NULL, redo LONGBLOB NOT NULL) ENGINE = InnoDB"};
}

std::vector<std::string> rewind_rows(const movement::Undo& undo, const std::string& alias) {
  std::vector<std::string> out;
  for (const auto& [gtid, redo] : undo.transactions) {
    for (size_t at = 0; at == 0 || at < redo.size(); at += kPieceBytes) {
      out.push_back(fmt::format("INSERT INTO _vt.rewound_transaction (tablet_alias, gtid, redo) VALUES ({}, {}, {})",
                                mysqld::quote_string(alias), mysqld::quote_string(gtid),
                                mysqld::quote_string(redo.substr(at, kPieceBytes))));
    }
  }
  out.push_back(fmt::format("REPLACE INTO _vt.tablet_rewind (tablet_alias, position) VALUES ({}, {})",
                            mysqld::quote_string(alias), mysqld::quote_string(undo.common.prefixed_string())));
  return out;
}

movement::ServerLogin replication_login(const ::topodata::Tablet& primary) {
  net::MysqlAddress address;
  address.host = primary.mysql_hostname();
  address.port = static_cast<uint16_t>(primary.mysql_port());
  return {std::move(address), "vt_repl", ""};
}

constexpr auto kDetourRetry = 5s;     // Between looks for somebody who has the logs that the primary lacks.
constexpr auto kDetourProgress = 1s;  // Between looks whether a detour still goes on.
constexpr int kDetourAsked = 10;      // Looks for which others who want something of this tablet wait.

// What a server has executed.
net::Task<Result<mysql::Position>> position_of(movement::ServerLogin login, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const auto session,
                      co_await movement::ServerSession::open(std::move(login), mysqld::ConnectionPurpose::kDba, wait));
  co_return co_await movement::current_position(*session, wait);
}

// Links to the newest binary logs, which a restore would remove: what only this server had can be read from them.
void keep_binary_logs(const mysqld::Layout& layout) {
  namespace fs = std::filesystem;
  std::error_code error;
  std::vector<fs::path> logs;
  for (const auto& entry : fs::directory_iterator(layout.bin_logs(), error)) {
    if (entry.is_regular_file()) logs.push_back(entry.path());
  }
  std::ranges::sort(logs, std::greater());
  const fs::path kept =
      fs::path(layout.root) / "diverged" / std::to_string(base::system_clock().wall_now().time_since_epoch().count());
  fs::create_directories(kept, error);
  uintmax_t bytes = 0;
  for (const auto& log : logs) {
    if (bytes > kKeptBytes || error) break;
    bytes += fs::file_size(log, error);
    if (!error) fs::create_hard_link(log, kept / log.filename(), error);
  }
  if (error) {
    log_warning("the binary logs before the restore are not kept: {}", error.message());
  } else {
    log_warning("the newest binary logs before the restore are kept in {}", kept.string());
  }
}

}  // namespace

net::Task<Status> TabletManager::finish_rewind(net::Wait wait) {
  const std::string which =
      " FROM _vt.tablet_rewind WHERE tablet_alias = " + mysqld::quote_string(settings_.tablet_path);
  const auto noted = co_await server_.query("SELECT position" + which, wait);
  if (!noted.ok()) {
    if (is_missing_table(noted.error())) co_return Status{};
    co_return Error(noted.error()).with_context("look in _vt for a rewind that was interrupted");
  }
  if (noted->rows.empty()) co_return Status{};
  CO_ASSIGN_OR_RETURN(const std::string position, server_.bare_position(noted->text(0, 0)));
  log_info("the server is set to {}, which its rows were taken back to", position);
  CO_RETURN_IF_ERROR(co_await server_.set_executed_position(position, wait));
  co_return co_await run_unlogged(server_, {"DELETE" + which}, std::move(wait));
}

net::Task<Status> TabletManager::rewind() {
  CO_ASSIGN_OR_RETURN(const auto turn, co_await actions_.enter("a rewind", net::Wait::within(10min, scope_.token())));
  CO_RETURN_IF_ERROR(check_idle());
  CO_RETURN_IF_ERROR(co_await read_shard());
  co_await observe(turn.wait());
  const ::topodata::TabletAlias alias = desired_.shard.primary_alias();
  const bool needed = role_.kind == RoleKind::kReplica && refusal_of(observed_.replication) != Refusal::kNone;
  if (!needed || !desired_.shard.has_primary_alias() || topo::same_alias(alias, desired_.record.alias())) {
    co_return fail(Code::kAborted, "there is nothing to take back");
  }
  CO_ASSIGN_OR_RETURN(const auto primary, co_await topo::get_tablet(topology_, alias));
  Source source{.parent = alias};
  CO_ASSIGN_OR_RETURN(source.acknowledges, co_await policy_acknowledges(primary.record));
  CO_RETURN_IF_ERROR(co_await finish_rewind(turn.wait()));
  CO_RETURN_IF_ERROR(co_await stop_writes(turn.wait()));
  CO_RETURN_IF_ERROR(co_await server_.run(server_.flavor().stop_replication(), turn.wait()));
  const movement::ServerLogin own{settings_.mysqld, settings_.dba_user, settings_.dba_password, settings_.sidecar};
  auto undo = co_await movement::plan_undo(own, replication_login(primary.record), {}, turn.wait());
  if (undo.ok() && undo->unwritten) {
    log_warning("{}: its server counts transactions that it could not write to its binary log, and has not committed",
                settings_.tablet_path);
  }
  if (undo.ok() && (!undo->transactions.empty() || undo->unwritten)) {
    log_warning("{} has {} transactions that the primary {} lacks, the last is {}: they are taken back, to {}",
                settings_.tablet_path, undo->transactions.size(), topo::alias_to_string(alias),
                undo->transactions.empty() ? "none" : undo->transactions.back().gtid, undo->common.to_string());
    CO_RETURN_IF_ERROR(co_await run_unlogged(server_, rewind_tables(), turn.wait()));
    CO_RETURN_IF_ERROR(
        co_await movement::apply_undo(own, *undo, rewind_rows(*undo, settings_.tablet_path), turn.wait()));
    metrics_
        .counter("RewoundTransactions", "transactions of this tablet that were taken back, for its primary lacked them")
        .add(undo->transactions.size());
    CO_RETURN_IF_ERROR(co_await finish_rewind(turn.wait()));
  }
  CO_RETURN_IF_ERROR(co_await follow(source, turn.wait()));
  if (!undo.ok()) co_return std::move(undo).error();
  tables_may_have_changed();
  co_await await_replication(2s);
  co_return co_await put_in_force(turn.wait());
}

// A replica whose logs reach back to `from`, and from whose own position the primary can go on: so it is none of
// another history.
net::Task<Result<std::optional<TabletManager::Detour>>> TabletManager::find_detour(mysql::Position from,
                                                                                   net::Wait wait) {
  const ::topodata::TabletAlias primary_alias = desired_.shard.primary_alias();
  topo::TabletQuery query;
  query.keyspace = settings_.keyspace;
  query.shard = settings_.shard;
  CO_ASSIGN_OR_RETURN(const auto list, co_await topo::find_tablets(topology_, std::move(query)));
  const auto is_primary = [&](const auto& tablet) { return topo::same_alias(tablet.alias(), primary_alias); };
  const auto primary = std::ranges::find_if(list.tablets, is_primary);
  if (primary == list.tablets.end()) co_return fail(Code::kUnavailable, "the primary's record cannot be read");
  for (const auto& tablet : list.tablets) {
    if (is_primary(tablet) || topo::same_alias(tablet.alias(), desired_.record.alias())) continue;
    if (!topo::is_replica_type(tablet.type())) continue;
    const net::Wait limit = net::Wait::within(10s, wait.cancel);
    const auto has_logs = co_await movement::serves_position(replication_login(tablet), from, limit);
    if (!has_logs.ok() || !*has_logs) continue;
    const auto until = co_await position_of(replication_login(tablet), limit);
    if (!until.ok()) continue;
    const auto fits = co_await movement::serves_position(replication_login(*primary), *until, limit);
    if (fits.ok() && *fits) co_return Detour{.over = tablet, .until = *until};
  }
  co_return std::optional<Detour>();
}

// From a replica that still has the logs which the primary lacks, up to where the primary can go on.
net::Task<Status> TabletManager::take_detour() {
  CO_ASSIGN_OR_RETURN(const auto turn, co_await actions_.enter("a detour", net::Wait::within(10min, scope_.token())));
  CO_RETURN_IF_ERROR(check_idle());
  CO_RETURN_IF_ERROR(co_await read_shard());
  co_await observe(turn.wait());
  const bool needed = role_.kind == RoleKind::kReplica && refusal_of(observed_.replication) == Refusal::kTooOld;
  if (!needed || !desired_.shard.has_primary_alias()) co_return fail(Code::kAborted, "the primary has the logs");
  CO_ASSIGN_OR_RETURN(const auto primary, co_await topo::get_tablet(topology_, desired_.shard.primary_alias()));
  CO_ASSIGN_OR_RETURN(const std::string text, co_await server_.position(turn.wait()));
  CO_ASSIGN_OR_RETURN(const auto from, mysql::Position::parse(text));
  CO_ASSIGN_OR_RETURN(const auto detour, co_await find_detour(from, turn.wait()));
  if (!detour) co_return fail(Code::kNotFound, "nobody in the shard has binary logs that reach back to " + text);
  const std::string over = topo::alias_to_string(detour->over.alias());
  const std::string until = detour->until.prefixed_string();
  log_warning("{} has no binary logs any more that reach back to {}: they are taken from {}, up to {}",
              topo::alias_to_string(primary.record.alias()), text, over, until);
  // It acknowledges nothing meanwhile: what it gets is old.
  CO_RETURN_IF_ERROR(co_await follow(Source{.parent = detour->over.alias()}, turn.wait()));
  Status reached;
  for (int asked = 0; asked < kDetourAsked;) {
    reached = co_await server_.wait_for_position(until, net::Wait::within(kDetourProgress, scope_.token()));
    if (reached.ok() || base::system_clock().now() >= turn.wait().deadline || scope_.stopping()) break;
    const auto status = co_await server_.replication_status(turn.wait());
    const bool stopped = !status.ok() || status->io_state == mysqld::ThreadState::kStopped ||
                         status->sql_state == mysqld::ThreadState::kStopped;
    if (stopped) break;
    asked = actions_.waiting() > 0 ? asked + 1 : 0;  // What is left then is tried again.
  }
  Source source{.parent = desired_.shard.primary_alias()};
  CO_ASSIGN_OR_RETURN(source.acknowledges, co_await policy_acknowledges(primary.record));
  CO_RETURN_IF_ERROR(co_await follow(source, turn.wait()));
  if (!reached.ok()) co_return std::move(reached).error().with_context("binary logs from " + over);
  metrics_.counter("ReplicationDetours", "times that this tablet got from a replica what its primary had no logs of")
      .add();
  co_await await_replication(2s);
  co_return co_await put_in_force(turn.wait());
}

// The newest backup behind which the primary can go on, or a replica that has the logs.
net::Task<Status> TabletManager::restore_what_fits() {
  CO_ASSIGN_OR_RETURN(const auto storage, backup::open_storage(settings_.backup.storage));
  CO_ASSIGN_OR_RETURN(const auto layout, server_layout(settings_));
  CO_ASSIGN_OR_RETURN(const auto primary, co_await topo::get_tablet(topology_, desired_.shard.primary_alias()));
  const std::string shard = settings_.keyspace + "/" + settings_.shard;
  backup::Choice choice;
  choice.allowed_engines = settings_.backup.restore_engines;
  for (;;) {
    CO_ASSIGN_OR_RETURN(const auto chosen,
                        co_await net::offload([&] { return backup::choose_backup(*storage, shard, choice); }));
    CO_ASSIGN_OR_RETURN(const auto position, mysql::Position::parse(chosen.manifest.position));
    CO_ASSIGN_OR_RETURN(const bool fits, co_await movement::serves_position(replication_login(primary.record), position,
                                                                            net::Wait::within(1min, scope_.token())));
    CO_ASSIGN_OR_RETURN(
        const auto detour,
        fits ? std::optional<Detour>() : co_await find_detour(position, net::Wait::within(1min, scope_.token())));
    choice.not_after = chosen.manifest.backup_time;
    if (fits || detour) break;
    *choice.not_after -= 1s;
  }
  co_await net::offload([&] { return keep_binary_logs(layout), 0; });
  tmd::RestoreFromBackupRequest request;
  request.mutable_backup_time()->set_seconds(
      std::chrono::duration_cast<std::chrono::seconds>(choice.not_after->time_since_epoch()).count());
  for (const auto& engine : choice.allowed_engines) request.add_allowed_backup_engines(engine);
  const Report log = [](std::string line) -> net::Task<void> {
    log_info("{}", line);
    return []() -> net::Task<void> { co_return; }();
  };
  co_return co_await restore(std::move(request), log, net::Wait{.cancel = scope_.token()});
}

net::Task<void> TabletManager::rejoin() {
  if (settings_.rejoin == Rejoin::kNothing || role_.kind != RoleKind::kReplica) co_return;
  if (role_.maintenance != Maintenance::kNone || online_backup_) co_return;
  if (refusal_of(observed_.replication) == Refusal::kTooOld && base::system_clock().now() >= next_detour_) {
    const Status taken = co_await take_detour();
    next_detour_ = base::system_clock().now() + kDetourRetry;
    if (taken.ok()) role_.stuck.clear();
    if (taken.ok() || taken.error().code() == Code::kAborted) co_return;
    log_warning("{}: {}", settings_.tablet_path, taken.error().message());
  }
  if (base::system_clock().now() < next_rejoin_) co_return;
  Status done = co_await rewind();
  if (!done.ok() && done.error().code() == Code::kAborted) co_return;
  const bool hopeless =
      !done.ok() && (done.error().code() == Code::kNotFound || done.error().code() == Code::kFailedPrecondition ||
                     done.error().code() == Code::kResourceExhausted || done.error().code() == Code::kUnimplemented);
  if (hopeless && settings_.rejoin == Rejoin::kRewindOrRestore) {
    const std::string why = done.error().message();
    log_warning("{}: {}; a backup is looked for", settings_.tablet_path, why);
    done = co_await restore_what_fits();
    if (!done.ok()) done = std::move(done).error().with_context(why + "; nor could a backup be restored");
  }
  role_.stuck = done.ok() ? "" : done.error().message();
  next_rejoin_ = base::system_clock().now() + kPause;
  if (!done.ok() && !scope_.stopping())
    log_warning("{} cannot follow its primary: {}", settings_.tablet_path, role_.stuck);
}

}  // namespace vitrail::tablet
