// TabletManager's methods on backups: the server is stopped while its files are stored (or, with the online engine,
// goes on while they are copied first), and stopped for the moment in which restored files take the place of its own.
// docs/operators/backup.md has the steps and what a death leaves.
#include <fmt/core.h>

#include <algorithm>

#include "backup/catalog.h"
#include "backup/chain.h"
#include "backup/log_files.h"
#include "backup/logical_copy.h"
#include "backup/online_copy.h"
#include "backup/server_files.h"
#include "backup/transfer.h"
#include "base/log.h"
#include "mysqld/schema_sql.h"
#include "tablet/maintenance.h"
#include "tablet/tablet_manager.h"
#include "topo/shard.h"
#include "topo/tablet.h"

namespace vitrail::tablet {

using namespace std::chrono_literals;
namespace tmd = ::tabletmanagerdata;

namespace {

constexpr std::string_view kEngine = "builtin", kOnlineEngine = "mariabackup", kLogicalEngine = backup::kLogicalEngine;

std::string shard_of(const TabletSettings& settings) { return settings.keyspace + "/" + settings.shard; }

base::Duration to_duration(const ::vttime::Duration& duration) {
  return std::chrono::seconds(duration.seconds()) + std::chrono::nanoseconds(duration.nanos());
}

Error refuse_primary() {
  return fail(Code::kFailedPrecondition,
              "type PRIMARY cannot take backup. if you really need to do this, rerun the backup command with "
              "--allow_primary");
}

backup::TransferOptions transfer_options(const tmd::BackupRequest& request, const BackupSettings& settings) {
  backup::TransferOptions options;
  options.concurrency =
      static_cast<unsigned>(std::clamp(request.concurrency() == 0 ? 4 : request.concurrency(), 1, 64));
  options.compress = settings.compress;
  options.level = static_cast<int>(settings.level);
  return options;
}

// Stores the files, and what makes them a backup.
Status store(backup::Storage& storage, const backup::Place& place, backup::ServerFiles files,
             const backup::TransferOptions& options, backup::Progress& progress, backup::Manifest& manifest) {
  ASSIGN_OR_RETURN(manifest.parts, backup::store_files(storage, place, files.files, options, progress));
  manifest.directories = std::move(files.directories);
  manifest.finished_time = base::system_clock().wall_now();
  return backup::write_manifest(storage, place, manifest);
}

// A part of a backup that its tablet began and never finished is nothing but lost room.
void remove_unfinished(backup::Storage& storage, const std::string& shard, const std::string& alias) {
  const auto entries = backup::list_backups(storage, shard);
  if (!entries.ok()) return;
  for (const auto& entry : *entries) {
    if (entry.complete || !entry.parts || entry.parts->tablet_alias != alias) continue;
    if (Status removed = storage.remove(entry.place); !removed.ok()) {
      log_warning("an unfinished backup stays: {}", removed.error().message());
    }
  }
}

}  // namespace

// ---- Before and after

Status TabletManager::check_idle() const {
  if (role_.maintenance == Maintenance::kNone) return {};
  return fail(Code::kFailedPrecondition,
              fmt::format("tablet {}: {}; wait for its end", settings_.tablet_path,
                          role_.maintenance == Maintenance::kBackup ? "a backup of it is being taken"
                                                                    : "a backup is being restored to it"));
}

net::Task<Status> TabletManager::begin_maintenance(Maintenance kind, bool allow_primary, net::Wait wait) {
  const bool restores = kind == Maintenance::kRestore;
  CO_ASSIGN_OR_RETURN(const auto turn, co_await actions_.enter(restores ? "RestoreFromBackup" : "Backup", wait));
  CO_RETURN_IF_ERROR(check_no_backup());
  if (role_.kind == RoleKind::kPrimary && restores) {
    co_return fail(Code::kFailedPrecondition,
                   "type PRIMARY cannot restore from backup: make another tablet the primary first "
                   "(PlannedReparentShard)");
  }
  if (role_.kind == RoleKind::kPrimary && !allow_primary) co_return refuse_primary();
  if (role_.kind != RoleKind::kPrimary && role_.kind != RoleKind::kReplica) {
    co_return fail(Code::kFailedPrecondition, fmt::format("tablet {} is {}: elect a primary of the shard first",
                                                          settings_.tablet_path, role_name(role_.kind)));
  }
  // A primary keeps its type: its record says in which term it is.
  if (role_.kind == RoleKind::kReplica) {
    type_before_ = desired_.record.type();
    CO_RETURN_IF_ERROR(co_await write_type(restores ? ::topodata::RESTORE : ::topodata::BACKUP, 0));
  }
  role_.maintenance = kind;
  Status fenced = co_await put_in_force(turn.wait());
  if (!fenced.ok()) log_warning("{}", fenced.error().message());  // What is in the way ends with the server.
  co_return Status{};
}

net::Task<Status> TabletManager::try_end_maintenance(net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const auto turn, co_await actions_.enter("the end of a backup or restore", wait));
  if (role_.maintenance == Maintenance::kNone) co_return Status{};
  const bool detached = role_.kind == RoleKind::kReplica && is_detached(settings_);
  if (role_.kind == RoleKind::kReplica) {
    CO_RETURN_IF_ERROR(co_await write_type(detached ? ::topodata::DRAINED : type_before_, 0));
    CO_RETURN_IF_ERROR(co_await read_records());
  }
  role_.maintenance = Maintenance::kNone;
  Status outcome;
  if (role_.kind == RoleKind::kReplica && !detached && desired_.shard.has_primary_alias()) {
    // It may be another one than before.
    Source source{.parent = desired_.shard.primary_alias()};
    const auto primary = co_await topo::get_tablet(topology_, source.parent);
    if (primary.ok()) {
      CO_ASSIGN_OR_RETURN(source.acknowledges, co_await policy_acknowledges(primary->record));
      outcome = co_await follow(source, turn.wait());
    }
    co_await await_replication(2s);
  } else {
    co_await observe(turn.wait());
  }
  Status forced = co_await put_in_force(turn.wait());
  tables_may_have_changed();
  co_return outcome.ok() ? std::move(forced) : std::move(outcome);
}

net::Task<Status> TabletManager::end_maintenance() {
  Status ended = co_await try_end_maintenance(net::Wait::within(30s, scope_.token()));
  if (role_.maintenance == Maintenance::kNone) {
    // A primary's server has started read-only.
    if (Status checked = co_await run_health_check(); ended.ok()) ended = std::move(checked);
    co_return ended.ok() ? Status{} : Status(std::move(ended).error().with_context("replication does not go on"));
  }
  auto go_on = [](TabletManager& self) -> net::Task<void> {
    while ((co_await net::sleep_for(1s, self.scope_.token())).ok()) {
      const Status done = co_await self.try_end_maintenance(net::Wait::within(30s, self.scope_.token()));
      if (self.role_.maintenance == Maintenance::kNone) co_return;
      log_warning("{} has not its type again yet: {}", self.settings_.tablet_path, done.error().message());
    }
  };
  if (!scope_.stopping()) scope_.spawn(go_on(*this));
  co_return std::move(ended).error().with_context("the tablet gets its type again as soon as that works");
}

net::Task<Status> TabletManager::transfer(std::string what, std::shared_ptr<backup::Progress> progress,
                                          std::function<Status()> work, Report report, net::Wait wait) {
  auto run = [](std::function<Status()>& job, Status& out, net::Event& finished) -> net::Task<void> {
    out = co_await net::offload([&job] { return job(); });
    finished.set();
  };
  auto watch = [](TabletManager& self, std::string name, backup::Progress& now, Report& tell, net::Wait limit,
                  net::Event& finished) -> net::Task<void> {
    const base::TimePoint began = base::system_clock().now();
    base::TimePoint told = began;
    for (;;) {
      const Status ended = co_await finished.wait(net::Wait::within(500ms));
      const base::TimePoint at = base::system_clock().now();
      if (limit.cancel.cancelled() || at >= limit.deadline || self.scope_.stopping()) now.stop = true;
      const std::string text = progress_text(name, now.done, now.total, at - began);
      {
        const std::scoped_lock lock(self.shared_mutex_);
        self.transfer_ = ended.ok() ? "" : text;
      }
      if (ended.ok()) co_return;
      self.publish_health();
      if (at - told < self.settings_.backup.progress_interval) continue;
      told = at;
      co_await tell(text);
    }
  };
  Status outcome;
  net::Event finished;
  std::vector<net::Task<void>> tasks;
  tasks.push_back(run(work, outcome, finished));
  tasks.push_back(watch(*this, std::move(what), *progress, report, wait, finished));
  co_await net::when_all(std::move(tasks));
  co_return outcome;
}

// ---- Backup

net::Task<Status> TabletManager::run_before_backup(const tmd::BackupRequest& request, net::Wait wait) {
  const auto& init = request.init_sql();
  const auto& types = init.tablet_types();
  const bool on_the_way = role_.maintenance != Maintenance::kNone && role_.kind == RoleKind::kReplica;
  const auto own_type = on_the_way ? type_before_ : desired_.record.type();
  if (types.empty() || std::ranges::find(types, own_type) != types.end()) {
    net::Wait limit = init.has_timeout() ? net::Wait::within(to_duration(init.timeout()), wait.cancel) : wait;
    for (const auto& statement : init.queries()) {
      auto done = co_await server_.query(statement, limit, database());
      if (done.ok()) continue;
      if (init.fail_on_error()) co_return std::move(done).error().with_context("--init-backup-sql-queries");
      log_warning("before the backup: {}", done.error().message());
    }
  }
  co_return Status{};
}

// The server stands still: nothing is written by clients or by replication.
net::Task<Status> TabletManager::prepare_server(const tmd::BackupRequest& request, net::Wait wait) {
  CO_RETURN_IF_ERROR(co_await run_before_backup(request, wait));
  if (role_.kind == RoleKind::kPrimary) {
    CO_RETURN_IF_ERROR(co_await stop_writes(wait));
  } else {
    CO_RETURN_IF_ERROR(co_await server_.run(server_.flavor().stop_replication(), wait));
  }
  if (!request.upgrade_safe()) co_return Status{};
  // What is left over for later is in files that a newer version need not understand.
  co_return co_await server_.run({"SET GLOBAL innodb_fast_shutdown = 0"}, wait);
}

net::Task<Result<backup::Manifest>> TabletManager::begin_backup(backup::Storage& storage, std::string engine,
                                                                Report report, net::Wait wait) {
  const std::string alias = topo::alias_to_string(desired_.record.alias());
  backup::Manifest manifest;
  manifest.backup_time = base::system_clock().wall_now();
  manifest.backup_name = backup::backup_name(manifest.backup_time, alias);
  CO_RETURN_IF_ERROR(co_await net::offload([&]() -> Status {
    const std::string shard = shard_of(settings_);
    remove_unfinished(storage, shard, alias);
    ASSIGN_OR_RETURN(const auto names, storage.list(shard));
    for (auto time = manifest.backup_time; std::ranges::find(names, manifest.backup_name) != names.end();) {
      time += 1s;
      manifest.backup_name = backup::backup_name(time, alias);
    }
    return {};
  }));
  const bool mysql = server_.flavor().kind() == mysqld::FlavorKind::kMySql;
  CO_ASSIGN_OR_RETURN(const auto about,
                      co_await server_.query(mysql ? "select @@version, @@server_uuid" : "select @@version, ''", wait));
  manifest.backup_method = std::move(engine);
  manifest.server_version = about.text(0, 0);
  manifest.server_uuid = about.text(0, 1);
  manifest.tablet_alias = alias;
  manifest.hostname = settings_.hostname;
  manifest.keyspace = settings_.keyspace;
  manifest.shard = settings_.shard;
  manifest.compressed = settings_.backup.compress;
  co_await report(fmt::format("backup {}/{} begins in {}, with engine {}", shard_of(settings_), manifest.backup_name,
                              storage.describe(), manifest.backup_method));
  co_return manifest;
}

net::Task<void> TabletManager::report_backup(const backup::Manifest& manifest, const backup::Progress& progress,
                                             Report report) {
  const auto took = manifest.finished_time - manifest.backup_time;
  const std::vector<std::string> labels{manifest.backup_method};
  metrics_.counters("BackupBytes", "bytes of servers' files that backups have", {"engine"})
      .with(labels)
      .add(progress.done);
  metrics_.counters("BackupCount", "backups", {"engine"}).with(labels).add();
  metrics_.counters("BackupDurationNanoseconds", "time that backups took", {"engine"})
      .with(labels)
      .add(static_cast<uint64_t>(took.count()));
  return report(fmt::format("backup {}/{} is complete: {} bytes in {} parts, {} bytes stored, {:.1f} s",
                            shard_of(settings_), manifest.backup_name, progress.done.load(), manifest.parts.size(),
                            progress.stored.load(), std::chrono::duration<double>(took).count()));
}

net::Task<Status> TabletManager::start_server(mysqld::Layout layout) {
  ServerControl control(layout, settings_.backup.mysqlctl_socket, settings_.backup.shutdown_timeout);
  CO_RETURN_IF_ERROR(co_await net::offload([&] { return control.start(); }));
  CO_RETURN_IF_ERROR(co_await connect_server(net::Wait::within(30s)));
  co_return co_await net::offload([&] { return forget_stopped(layout); });
}

net::Task<Status> TabletManager::take_backup(tmd::BackupRequest request, mysqld::Layout layout, Report report,
                                             net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const auto storage, backup::open_storage(settings_.backup.storage));
  CO_ASSIGN_OR_RETURN(auto manifest, co_await begin_backup(*storage, std::string(kEngine), report, wait));
  const backup::Place place{shard_of(settings_), manifest.backup_name};
  CO_RETURN_IF_ERROR(co_await prepare_server(request, wait));
  CO_ASSIGN_OR_RETURN(manifest.position, co_await server_.position(wait));
  manifest.upgrade_safe = request.upgrade_safe();
  co_await report(fmt::format("the server stops at position {}", manifest.position));
  const base::Duration patience = request.has_mysql_shutdown_timeout() ? to_duration(request.mysql_shutdown_timeout())
                                                                       : settings_.backup.shutdown_timeout;
  const auto options = transfer_options(request, settings_.backup);
  const auto progress = std::make_shared<backup::Progress>();
  Status stored = co_await transfer(
      "a backup", progress,
      [&]() -> Status {
        RETURN_IF_ERROR(note_stopped(layout));
        RETURN_IF_ERROR(ServerControl(layout, settings_.backup.mysqlctl_socket, patience).shutdown());
        ASSIGN_OR_RETURN(auto server, backup::list_server_files(layout));
        return store(*storage, place, std::move(server), options, *progress, manifest);
      },
      report, wait);
  Status started = co_await start_server(layout);
  if (!stored.ok()) {
    (void)co_await net::offload([&] { return storage->remove(place); });  // Perhaps nothing of it was stored.
    if (!started.ok()) log_error("the server does not start: {}", started.error().message());
    co_return std::move(stored).error().with_context("backup " + place.to_string());
  }
  co_await report_backup(manifest, *progress, report);
  if (!started.ok())
    co_return std::move(started).error().with_context("the backup is complete, and the server is down");
  co_return Status{};
}

net::Task<Status> TabletManager::take_online_backup(tmd::BackupRequest request, std::string engine,
                                                    mysqld::Layout layout, Report report, net::Wait wait) {
  CO_RETURN_IF_ERROR(check_no_backup());
  if (role_.kind == RoleKind::kPrimary && !request.allow_primary()) co_return refuse_primary();
  if (server_.flavor().kind() != mysqld::FlavorKind::kMariaDb) {
    co_return fail(Code::kUnimplemented, fmt::format("the engine {} is for MariaDB: use builtin", engine));
  }
  const bool logical = engine == kLogicalEngine;
  if (request.upgrade_safe() && !logical) {  // Rows as SQL are safe for any version.
    co_return fail(Code::kUnimplemented, "--upgrade-safe needs a server that was stopped: use the engine builtin");
  }
  online_backup_ = true;
  struct Reset {
    bool& flag;
    ~Reset() { flag = false; }
  } reset{online_backup_};
  CO_ASSIGN_OR_RETURN(const auto storage, backup::open_storage(settings_.backup.storage));
  CO_RETURN_IF_ERROR(co_await run_before_backup(request, wait));
  std::vector<std::string> databases;
  if (logical) {
    CO_ASSIGN_OR_RETURN(
        const auto found,
        co_await server_.query("select schema_name from information_schema.schemata where schema_name not "
                               "in ('information_schema', 'performance_schema', 'mysql', 'sys')",
                               wait));
    for (size_t i = 0; i < found.rows.size(); ++i) databases.emplace_back(found.text(i, 0));
  }
  CO_ASSIGN_OR_RETURN(auto manifest, co_await begin_backup(*storage, engine, report, wait));
  manifest.upgrade_safe = request.upgrade_safe();
  const backup::Place place{shard_of(settings_), manifest.backup_name};
  const auto options = transfer_options(request, settings_.backup);
  const auto progress = std::make_shared<backup::Progress>();
  Status stored = co_await transfer(
      "a backup", progress,
      [&]() -> Status {
        const backup::OnlineCopyOptions from{.layout = layout,
                                             .user = settings_.dba_user,
                                             .password = settings_.dba_password,
                                             .parallel = options.concurrency};
        ASSIGN_OR_RETURN(auto copy, logical ? backup::dump_running_server(from, databases, *progress)
                                            : backup::copy_running_server(from, *progress));
        manifest.position = server_.flavor_prefix() + copy.position;
        return store(*storage, place, std::move(copy.files), options, *progress, manifest);
      },
      report, wait);
  Status discarded = co_await net::offload([&] { return backup::discard_online_copy(layout); });
  if (!discarded.ok()) log_warning("the copy of the server's files stays: {}", discarded.error().message());
  if (!stored.ok()) {
    (void)co_await net::offload([&] { return storage->remove(place); });
    co_return std::move(stored).error().with_context("backup " + place.to_string());
  }
  co_await report_backup(manifest, *progress, report);
  co_return Status{};
}

net::Task<Status> TabletManager::backup(tmd::BackupRequest request, Report report, net::Wait wait) {
  const std::string engine = request.backup_engine().empty() ? settings_.backup.engine : request.backup_engine();
  if (engine != kEngine && engine != kOnlineEngine && engine != kLogicalEngine) {
    co_return fail(
        Code::kUnimplemented,
        fmt::format("there is no backup engine '{}': use {}, which stops the server, {}, or {}, which stores "
                    "rows as SQL",
                    engine, kEngine, kOnlineEngine, kLogicalEngine));
  }
  const auto storage = backup::open_storage(settings_.backup.storage);
  if (!storage.ok()) co_return Error(storage.error());
  if (refusal_of(observed_.replication) == Refusal::kDiverged) {
    co_return fail(
        Code::kFailedPrecondition,
        fmt::format("tablet {} has transactions that the shard's primary lacks: a backup of it would be of no use",
                    settings_.tablet_path));
  }
  CO_ASSIGN_OR_RETURN(const auto layout, server_layout(settings_));
  if (!request.incremental_from_pos().empty()) {
    co_return co_await take_incremental_backup(std::move(request), layout, report, wait);
  }
  if (engine != kEngine) co_return co_await take_online_backup(std::move(request), engine, layout, report, wait);
  CO_RETURN_IF_ERROR(co_await begin_maintenance(Maintenance::kBackup, request.allow_primary(), wait));
  Status taken = co_await take_backup(std::move(request), layout, report, wait);
  Status ended = co_await end_maintenance();
  co_return taken.ok() ? std::move(ended) : std::move(taken);
}

// ---- Restore

net::Task<Status> TabletManager::check_backup(backup::Chain chain, mysqld::Layout layout) {
  const auto& manifest = chain.full.manifest;
  // The first two are files of a server that has stopped, or looks as if it had.
  const bool logical = manifest.backup_method == kLogicalEngine;
  if (manifest.backup_method != kEngine && manifest.backup_method != kOnlineEngine && !logical) {
    co_return fail(
        Code::kUnimplemented,
        fmt::format("backup {} is one of engine '{}': those of engines {}, {} and {} can be restored",
                    chain.full.place.to_string(), manifest.backup_method, kEngine, kOnlineEngine, kLogicalEngine));
  }
  auto position = server_.bare_position(manifest.position);
  if (!position.ok()) co_return std::move(position).error();
  if (!logical) CO_RETURN_IF_ERROR(check_versions(manifest.server_version, server_.flavor().server().text));
  CO_ASSIGN_OR_RETURN(const auto storage, backup::open_storage(settings_.backup.storage));
  co_return co_await net::offload([&]() -> Status {
    RETURN_IF_ERROR(backup::check_parts(*storage, chain.full.place, manifest));
    uint64_t bytes = manifest.total_bytes() * (logical ? 3 : 1);  // The dump, and the files that it becomes.
    for (const auto& increment : chain.increments) {
      RETURN_IF_ERROR(backup::check_parts(*storage, increment.place, increment.manifest));
      bytes += 3 * increment.manifest.total_bytes();  // The logs, what they write, and the undo logs of that.
    }
    return backup::check_room(layout, bytes);
  });
}

net::Task<Status> TabletManager::stage_restore(backup::Chain chain, backup::Target target, mysqld::Layout layout,
                                               Report report, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const auto storage, backup::open_storage(settings_.backup.storage));
  const base::TimePoint began = base::system_clock().now();
  backup::TransferOptions options;
  options.concurrency = std::clamp(settings_.backup.restore_concurrency, 1u, 64u);
  const auto progress = std::make_shared<backup::Progress>();
  const backup::Manifest& manifest = chain.full.manifest;
  backup::PendingRestore pending{chain.full.place.to_string(), manifest.position,
                                 backup::rfc3339(manifest.backup_time)};
  pending.to_point = target.position || target.time;
  Status staged = co_await transfer(
      "a restore", progress,
      [&]() -> Status {
        RETURN_IF_ERROR(backup::discard_staging(layout));
        const backup::Staging staging = backup::staging_of(layout);
        RETURN_IF_ERROR(backup::restore_parts(*storage, chain.full.place, manifest, backup::staging_folders(layout),
                                              options, *progress));
        RETURN_IF_ERROR(backup::build_staged(manifest, layout, *progress));
        if (pending.to_point) {
          for (size_t i = 0; i < chain.increments.size(); ++i) {
            const auto& increment = chain.increments[i];
            RETURN_IF_ERROR(backup::restore_parts(*storage, increment.place, increment.manifest,
                                                  {{std::string(backup::kLogBase), staging.logs(i)}}, options,
                                                  *progress));
          }
          ASSIGN_OR_RETURN(pending.position, advance_staged(chain, target, layout, *progress));
        }
        return backup::note_pending_restore(layout, pending);
      },
      report, wait);
  if (!staged.ok()) {
    (void)co_await net::offload([&] { return backup::discard_staging(layout); });
    co_return staged;
  }
  co_await report(fmt::format("all {} parts are restored and checked; the server changes over to them, at {}",
                              manifest.parts.size(), pending.position));
  CO_RETURN_IF_ERROR(co_await apply_restore(pending, layout));
  const std::vector<std::string> labels{manifest.backup_method};
  metrics_.counters("RestoreBytes", "bytes of files that were restored", {"engine"}).with(labels).add(progress->done);
  metrics_.counters("RestoreCount", "restores", {"engine"}).with(labels).add();
  metrics_.counters("RestoreDurationNanoseconds", "time that restores took", {"engine"})
      .with(labels)
      .add(static_cast<uint64_t>((base::system_clock().now() - began).count()));
  co_return Status{};
}

net::Task<Status> TabletManager::apply_restore(backup::PendingRestore pending, mysqld::Layout layout) {
  ServerControl daemon(layout, settings_.backup.mysqlctl_socket, settings_.backup.shutdown_timeout);
  Status applied = pending.undo ? Status(fail(Code::kAborted, "an earlier process found that the files do not work"))
                                : co_await net::offload([&]() -> Status {
                                    RETURN_IF_ERROR(daemon.shutdown());
                                    RETURN_IF_ERROR(backup::swap_in(layout));
                                    // A server that kept its id would skip what it wrote itself before.
                                    RETURN_IF_ERROR(daemon.renew_server_id());
                                    return daemon.start();
                                  });
  if (applied.ok()) applied = co_await connect_server(net::Wait::within(30s));
  if (applied.ok()) {
    auto position = server_.bare_position(pending.position);
    applied = position.ok()
                  ? co_await server_.run(server_.flavor().set_executed_position(*position), net::Wait::within(1min))
                  : Status(std::move(position).error());
  }
  if (!applied.ok()) {
    Status back = co_await net::offload([&]() -> Status {
      RETURN_IF_ERROR(daemon.shutdown());
      RETURN_IF_ERROR(backup::swap_back(layout, pending));
      return daemon.start();
    });
    if (back.ok()) back = co_await connect_server(net::Wait::within(30s));
    co_return std::move(applied).error().with_context(
        back.ok()
            ? fmt::format("the server does not work on backup {}, and has its previous files again", pending.backup)
            : fmt::format("the server does not work on backup {}, nor is it back on its previous files ({}); "
                          "restart the tablet",
                          pending.backup, back.error().message()));
  }
  {
    const std::scoped_lock lock(shared_mutex_);
    restored_position_ = pending.position;
    restored_time_ = pending.backup_time;
  }
  co_return co_await net::offload([&]() -> Status {
    RETURN_IF_ERROR(note_detached(layout, pending.to_point));
    return backup::finish_restore(layout);
  });
}

net::Task<Status> TabletManager::restore(tmd::RestoreFromBackupRequest request, Report report, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const auto layout, server_layout(settings_));
  std::string time;
  if (request.has_restore_to_timestamp()) {
    time = backup::rfc3339(base::WallTime(std::chrono::seconds(request.restore_to_timestamp().seconds())));
  }
  CO_ASSIGN_OR_RETURN(const backup::Target target, parse_target(request.restore_to_pos(), std::move(time)));
  const bool to_point = target.position || target.time;
  CO_ASSIGN_OR_RETURN(const auto chain, co_await find_chain(request));
  CO_RETURN_IF_ERROR(co_await check_backup(chain, layout));
  std::string title = fmt::format("backup {} of {}, position {}", chain.full.place.to_string(),
                                  backup::rfc3339(chain.full.manifest.backup_time), chain.full.manifest.position);
  if (to_point) title += fmt::format(", with {} incremental ones, to {}", chain.increments.size(), target.to_string());
  if (request.dry_run()) {
    CO_ASSIGN_OR_RETURN(const auto storage, backup::open_storage(settings_.backup.storage));
    backup::TransferOptions options;
    options.concurrency = std::clamp(settings_.backup.restore_concurrency, 1u, 64u);
    const auto progress = std::make_shared<backup::Progress>();
    size_t parts = chain.full.manifest.parts.size();
    for (const auto& increment : chain.increments) parts += increment.manifest.parts.size();
    CO_RETURN_IF_ERROR(co_await transfer(
        "a check", progress,
        [&]() -> Status {
          RETURN_IF_ERROR(backup::verify_parts(*storage, chain.full.place, chain.full.manifest, options, *progress));
          for (const auto& increment : chain.increments) {
            RETURN_IF_ERROR(backup::verify_parts(*storage, increment.place, increment.manifest, options, *progress));
          }
          return {};
        },
        report, wait));
    co_await report(fmt::format("would restore {}; all its {} parts are whole", title, parts));
    co_return Status{};
  }
  CO_RETURN_IF_ERROR(co_await begin_maintenance(Maintenance::kRestore, false, wait));
  co_await report("restoring " + title);
  Status restored = co_await stage_restore(chain, target, layout, report, wait);
  Status ended = co_await end_maintenance();
  if (restored.ok() && ended.ok()) {
    co_await report(to_point ? fmt::format("restored to {}; the tablet is drained and does not replicate: "
                                           "StartReplication makes it follow the primary again",
                                           restored_position_)
                             : "restored; replication goes on at " + chain.full.manifest.position);
  }
  co_return restored.ok() ? std::move(ended) : std::move(restored);
}

// ---- The start

net::Task<Status> TabletManager::recover_server() {
  const auto layout = server_layout(settings_);
  if (!layout.ok()) co_return Status{};  // Nothing was ever begun there.
  CO_ASSIGN_OR_RETURN(const auto pending, co_await net::offload([&] { return backup::find_pending_restore(*layout); }));
  if (pending) {
    log_info("the restore of backup {} was interrupted; it is brought to its end", pending->backup);
    Status applied = co_await apply_restore(*pending, *layout);
    if (!applied.ok() && !pending->undo) co_return applied;
    co_return Status{};
  }
  CO_RETURN_IF_ERROR(co_await net::offload([&]() -> Status {
    RETURN_IF_ERROR(backup::discard_online_copy(*layout));
    return backup::discard_staging(*layout);
  }));
  if (!is_noted_stopped(*layout)) co_return Status{};
  log_info("a backup was interrupted; the server is started again");
  co_return co_await start_server(*layout);
}

net::Task<Status> TabletManager::restore_if_empty() {
  const BackupSettings& wanted = settings_.backup;
  if (!wanted.restore_at_start) co_return Status{};
  net::Wait wait = net::Wait::within(settings_.init_timeout);
  const std::string database =
      settings_.db_name_override.empty() ? "vt_" + settings_.keyspace : settings_.db_name_override;
  CO_ASSIGN_OR_RETURN(
      const auto found,
      co_await server_.query(
          "select 1 from information_schema.schemata where schema_name = " + mysqld::quote_string(database), wait));
  if (!found.rows.empty()) {
    log_info("--restore-from-backup: the server has data already");
    co_return Status{};
  }
  const auto storage = backup::open_storage(wanted.storage);
  if (!storage.ok()) {
    log_info("--restore-from-backup: {}", storage.error().message());
    co_return Status{};
  }
  tmd::RestoreFromBackupRequest request;
  for (const auto& engine : wanted.restore_engines) request.add_allowed_backup_engines(engine);
  const auto set_time = [](const std::string& text, ::vttime::Time& out) -> Status {
    ASSIGN_OR_RETURN(const auto time, backup::parse_backup_time(text));
    out.set_seconds(std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count());
    return {};
  };
  if (!wanted.restore_time.empty()) {
    CO_RETURN_IF_ERROR(set_time(wanted.restore_time, *request.mutable_backup_time()));
  }
  if (!wanted.restore_to_time.empty()) {
    CO_RETURN_IF_ERROR(set_time(wanted.restore_to_time, *request.mutable_restore_to_timestamp()));
  }
  request.set_restore_to_pos(wanted.restore_to_position);
  CO_ASSIGN_OR_RETURN(const backup::Target target, parse_target(wanted.restore_to_position, wanted.restore_to_time));
  const std::string shard = shard_of(settings_);
  auto chosen = co_await find_chain(request);
  while (!chosen.ok() && chosen.error().code() == Code::kNotFound) {
    log_info("--restore-from-backup: {}", chosen.error().message());
    if (wanted.wait_interval <= base::Duration(0)) co_return Status{};
    CO_RETURN_IF_ERROR(co_await net::sleep_for(wanted.wait_interval, scope_.token()));
    chosen = co_await find_chain(request);
  }
  if (!chosen.ok()) co_return std::move(chosen).error().with_context("--restore-from-backup");
  wait = net::Wait::within(settings_.init_timeout);
  CO_ASSIGN_OR_RETURN(const auto layout, server_layout(settings_));
  CO_RETURN_IF_ERROR(co_await check_backup(*chosen, layout));
  CO_RETURN_IF_ERROR(co_await fill_record(wait));
  CO_ASSIGN_OR_RETURN(const auto own_shard,
                      co_await topo::get_or_create_shard(topology_, settings_.keyspace, settings_.shard));
  // Its data is gone, and with it what only it had. It must not come back as the primary with the data of some time
  // ago.
  if (topo::same_alias(own_shard.record.primary_alias(), desired_.record.alias())) {
    co_return fail(
        Code::kFailedPrecondition,
        fmt::format("the shard's record names tablet {0} as the primary, and its server is empty: make another "
                    "tablet the primary (EmergencyReparentShard {1}), or where there is none, forget this one "
                    "(DeleteTablets --allow-primary {0}); then start it again",
                    settings_.tablet_path, shard));
  }
  // It takes no part in anything until it has its data.
  desired_.record.set_type(::topodata::RESTORE);
  CO_RETURN_IF_ERROR(co_await topo::create_or_update_tablet(topology_, desired_.record));
  role_.maintenance = Maintenance::kRestore;
  (void)co_await put_in_force(wait);
  log_info("--restore-from-backup: backup {}", chosen->full.place.to_string());
  const Report log = [](std::string line) -> net::Task<void> {
    log_info("{}", line);
    return []() -> net::Task<void> { co_return; }();
  };
  Status restored = co_await stage_restore(*chosen, target, layout, log, net::Wait{});
  role_.maintenance = Maintenance::kNone;
  if (!restored.ok()) co_return std::move(restored).error().with_context("--restore-from-backup");
  co_return Status{};
}

}  // namespace vitrail::tablet
