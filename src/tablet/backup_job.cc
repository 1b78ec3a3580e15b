#include "tablet/backup_job.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstdlib>

#include "backup/catalog.h"
#include "backup/logical_copy.h"
#include "backup/server_files.h"
#include "backup/transfer.h"
#include "base/log.h"
#include "base/random.h"
#include "base/settings.h"
#include "mysqld/rows.h"
#include "mysqld/schema_sql.h"
#include "rpc/typed.h"
#include "tablet/local_server.h"
#include "tablet/maintenance.h"
#include "tabletmanagerdata.pb.h"
#include "topo/shard.h"
#include "topo/tablet.h"

namespace vitrail::tablet {

using namespace std::chrono_literals;
namespace tmd = ::tabletmanagerdata;

// The job's own server: a tablet that no record names.
struct BackupJob::Server {
  std::string alias;
  mysqld::Layout layout;
  mysqld::Daemon daemon;
  LocalServer sql;

  net::Task<Status> connect() { return sql.connect(net::Wait::within(30s)); }
};

void declare(base::Settings& settings, BackupJobOptions& options) {
  settings.add("init_keyspace", &options.keyspace, "keyspace of the backup").required();
  settings.add("init_shard", &options.shard, "shard of the backup").required();
  settings.add("init_db_name_override", &options.db_name_override, "database on the servers; empty: vt_<keyspace>");
  backup::declare(settings, options.backup.storage);
  settings.add("backup_storage_compress", &options.backup.compress, "compress the backup, with zstd");
  settings.add("compression_level", &options.backup.level, "level of zstd").check([](std::string_view text) -> Status {
    if (const auto level = mysqld::to_uint(text); level && *level <= 19) return {};
    return fail(Code::kInvalidArgument, "a level between 0 and 19 is expected");
  });
  settings.add("concurrency", &options.concurrency, "files that are stored, or restored, at the same time");
  settings.add("initial_backup", &options.initial,
               "begin a shard: a backup of an empty database, unless there is a backup already");
  settings.add("allow_first_backup", &options.allow_first,
               "where there is no backup yet, begin with an empty server and the primary's oldest binary log");
  settings.add("restart_before_backup", &options.restart, "stop and start the server once more before the backup");
  settings.add("upgrade_safe", &options.upgrade_safe, "so that a newer version of the server can open the files");
  settings.add("min_backup_interval", &options.min_interval, "do nothing when the newest backup is younger");
  settings.add("min_retention_time", &options.retention.min_time,
               "remove backups that are older, behind a backup that succeeded; 0: none");
  settings.add("min_retention_count", &options.retention.min_count,
               "keep so many of the newest, however old; at least 1");
  settings.add("mysql_port", &options.mysql_port, "TCP port of the job's own server");
  settings.add("init_db_sql_file", &options.init_sql_file, "SQL run in the new server; default: built-in accounts");
  settings.add("mysql_timeout", &options.mysql_timeout, "how long the server may take to start");
  settings.add("mysql_shutdown_timeout", &options.shutdown_timeout, "how long it may take to stop in good order");
  settings.add("replication_timeout", &options.catch_up_timeout,
               "how long it may take to reach what the primary had when the job began");
  rpc::declare(settings, options.security);
  rpc::declare_tls(settings, "tablet_manager", options.tls);
}

BackupJob::BackupJob(BackupJobOptions options, topo::Server& topology)
    : options_(std::move(options)),
      topology_(topology),
      place_(options_.keyspace + "/" + options_.shard),
      progress_(std::make_shared<backup::Progress>()) {}

BackupJob::~BackupJob() = default;

net::Task<Status> BackupJob::run(net::CancelToken cancel) {
  CO_ASSIGN_OR_RETURN(const auto storage, backup::open_storage(options_.backup.storage));
  CO_ASSIGN_OR_RETURN(const auto entries, co_await net::offload([&]() -> Result<std::vector<backup::CatalogEntry>> {
                        ASSIGN_OR_RETURN(auto found, backup::list_backups(*storage, place_));
                        RETURN_IF_ERROR(backup::mark_incremental(*storage, found));
                        return found;
                      }));
  const bool has_backup =
      std::ranges::any_of(entries, [](const auto& entry) { return entry.complete && !entry.incremental; });
  if (has_backup && options_.initial) {
    log_info("--initial-backup: {} has backups already", place_);
    co_return Status{};
  }
  if (backup::is_recent(entries, options_.min_interval, base::system_clock().wall_now())) {
    log_info("the newest backup of {} is younger than --min-backup-interval", place_);
    co_return Status{};
  }
  if (!has_backup && !options_.initial && !options_.allow_first) {
    co_return fail(
        Code::kFailedPrecondition,
        fmt::format("there is no backup of {} in {}: begin with --initial-backup, or where the shard has data "
                    "already, with a backup of a tablet (vtctldclient BackupShard) or --allow-first-backup",
                    place_, storage->describe()));
  }
  CO_RETURN_IF_ERROR(co_await take(*storage, has_backup, cancel));
  co_return co_await net::offload([&] { return remove_expired(*storage); });
}

net::Task<Status> BackupJob::take(backup::Storage& storage, bool has_backup, net::CancelToken cancel) {
  const auto uid = static_cast<uint32_t>(1 + base::system_random().below(1u << 31));
  const char* root = std::getenv("VTDATAROOT");
  mysqld::DaemonOptions daemon_options;
  daemon_options.layout = mysqld::Layout::for_tablet(root == nullptr ? "/vt" : root, uid);
  daemon_options.config.uid = uid;
  daemon_options.config.port = options_.mysql_port;
  const char* extra = std::getenv("EXTRA_MY_CNF");
  CO_ASSIGN_OR_RETURN(daemon_options.config.extra, mysqld::load_extra_my_cnf(extra == nullptr ? "" : extra));
  daemon_options.init_sql_file = options_.init_sql_file;
  daemon_options.supervised = false;
  daemon_options.start_wait_max = options_.mysql_timeout;
  daemon_options.shutdown_wait_max = options_.shutdown_timeout;
  const mysqld::Layout layout = daemon_options.layout;
  CO_ASSIGN_OR_RETURN(auto daemon, mysqld::Daemon::open(std::move(daemon_options)));
  net::MysqlAddress address;
  address.unix_socket = layout.socket();
  Server server{fmt::format("vtbackup-{:010d}", uid), layout, std::move(daemon),
                LocalServer(std::move(address), "vt_dba", "")};
  auto work = [&]() -> net::Task<Status> {
    CO_RETURN_IF_ERROR(co_await net::offload([&] { return server.daemon.init(); }));
    CO_RETURN_IF_ERROR(co_await server.connect());
    if (has_backup) CO_RETURN_IF_ERROR(co_await restore_newest(server, storage));
    if (options_.initial) {
      const std::string name =
          options_.db_name_override.empty() ? "vt_" + options_.keyspace : options_.db_name_override;
      CO_RETURN_IF_ERROR(co_await server.sql.set_read_only(false, net::Wait::within(30s)));
      CO_RETURN_IF_ERROR(co_await server.sql.run({mysqld::create_database(name)}, net::Wait::within(30s)));
    } else {
      CO_RETURN_IF_ERROR(co_await catch_up(server, cancel));
    }
    co_return co_await store(server, storage, cancel);
  };
  Status done = co_await work();
  server.sql.close();
  Status gone = co_await net::offload([&] { return server.daemon.teardown(true); });
  if (!gone.ok()) log_warning("{} stays: {}", layout.root, gone.error().message());
  co_return done;
}

net::Task<Status> BackupJob::restore_newest(Server& server, backup::Storage& storage) {
  CO_ASSIGN_OR_RETURN(const auto chosen,
                      co_await net::offload([&] { return backup::choose_backup(storage, place_, {}); }));
  const auto& manifest = chosen.manifest;
  CO_ASSIGN_OR_RETURN(const std::string position, server.sql.bare_position(manifest.position));
  if (manifest.backup_method != backup::kLogicalEngine) {
    CO_RETURN_IF_ERROR(check_versions(manifest.server_version, server.sql.flavor().server().text));
  }
  log_info("restoring backup {}, position {}", chosen.place.to_string(), manifest.position);
  backup::TransferOptions transfer;
  transfer.concurrency = std::clamp(options_.concurrency, 1u, 64u);
  const backup::PendingRestore pending{chosen.place.to_string(), manifest.position,
                                       backup::rfc3339(manifest.backup_time)};
  Status restored = co_await net::offload([&]() -> Status {
    RETURN_IF_ERROR(backup::check_parts(storage, chosen.place, manifest));
    RETURN_IF_ERROR(backup::check_room(server.layout, manifest.total_bytes()));
    RETURN_IF_ERROR(backup::restore_parts(storage, chosen.place, manifest, backup::staging_folders(server.layout),
                                          transfer, *progress_));
    RETURN_IF_ERROR(backup::build_staged(manifest, server.layout, *progress_));
    RETURN_IF_ERROR(backup::note_pending_restore(server.layout, pending));
    RETURN_IF_ERROR(server.daemon.shutdown());
    RETURN_IF_ERROR(backup::swap_in(server.layout));
    RETURN_IF_ERROR(server.daemon.renew_server_id());
    RETURN_IF_ERROR(server.daemon.start());
    return backup::finish_restore(server.layout);
  });
  if (!restored.ok()) co_return std::move(restored).error().with_context("backup " + chosen.place.to_string());
  CO_RETURN_IF_ERROR(co_await server.connect());
  co_return co_await server.sql.set_executed_position(position, net::Wait::within(1min));
}

net::Task<Status> BackupJob::catch_up(Server& server, net::CancelToken cancel) {
  CO_ASSIGN_OR_RETURN(const auto shard, co_await topo::get_shard(topology_, options_.keyspace, options_.shard));
  if (!shard.record.has_primary_alias()) {
    co_return fail(Code::kFailedPrecondition, fmt::format("shard {} has no primary to follow", place_));
  }
  CO_ASSIGN_OR_RETURN(const auto primary, co_await topo::get_tablet(topology_, shard.record.primary_alias()));
  CO_ASSIGN_OR_RETURN(auto channel_options, rpc::channel_options(options_.security, options_.tls));
  rpc::ChannelPool channels(std::move(channel_options));
  CO_ASSIGN_OR_RETURN(const auto channel, channels.get(topo::tablet_address(primary.record, topo::kPortGrpc)));
  CO_ASSIGN_OR_RETURN(const auto now, co_await rpc::call<tmd::PrimaryPositionResponse>(
                                          *channel, "/tabletmanagerservice.TabletManager/PrimaryPosition",
                                          tmd::PrimaryPositionRequest(), net::Wait::within(30s, cancel)));
  log_info("following {} up to {}", topo::alias_to_string(primary.record.alias()), now.position());
  CO_RETURN_IF_ERROR(co_await server.sql.follow(primary.record.mysql_hostname(),
                                                static_cast<uint16_t>(primary.record.mysql_port()), true,
                                                net::Wait::within(30s, cancel)));
  const net::Wait limit = net::Wait::within(options_.catch_up_timeout, cancel);
  for (;;) {
    // In short waits, so that a replica which stopped is noticed.
    const Status reached = co_await server.sql.wait_for_position(now.position(), net::Wait::within(5s, cancel));
    if (reached.ok()) co_return Status{};
    const auto status = co_await server.sql.replication_status(net::Wait::within(30s, cancel));
    if (!status.ok()) co_return Error(status.error());
    const std::string& trouble = status->last_sql_error.empty() ? status->last_io_error : status->last_sql_error;
    const bool stopped =
        status->io_state == mysqld::ThreadState::kStopped || status->sql_state == mysqld::ThreadState::kStopped;
    if (stopped || base::system_clock().now() >= limit.deadline || cancel.cancelled()) {
      co_return fail(Code::kFailedPrecondition,
                     fmt::format("the server does not reach {}: {}", now.position(),
                                 trouble.empty() ? std::string("--replication-timeout") : trouble));
    }
  }
}

net::Task<Status> BackupJob::store(Server& server, backup::Storage& storage, net::CancelToken cancel) {
  const net::Wait wait = net::Wait::within(1min, std::move(cancel));
  if (!options_.initial) CO_RETURN_IF_ERROR(co_await server.sql.run(server.sql.flavor().stop_replication(), wait));
  if (options_.restart) {
    CO_RETURN_IF_ERROR(co_await net::offload([&]() -> Status {
      RETURN_IF_ERROR(server.daemon.shutdown());
      return server.daemon.start();
    }));
    CO_RETURN_IF_ERROR(co_await server.connect());
  }
  if (options_.upgrade_safe) CO_RETURN_IF_ERROR(co_await server.sql.run({"SET GLOBAL innodb_fast_shutdown = 0"}, wait));
  backup::Manifest manifest;
  manifest.backup_time = base::system_clock().wall_now();
  manifest.backup_name = backup::backup_name(manifest.backup_time, server.alias);
  manifest.backup_method = "builtin";
  CO_ASSIGN_OR_RETURN(manifest.position, co_await server.sql.position(wait));
  CO_ASSIGN_OR_RETURN(const auto version, co_await server.sql.query("select @@version, @@hostname", wait));
  manifest.server_version = version.text(0, 0);
  manifest.hostname = version.text(0, 1);
  manifest.tablet_alias = server.alias;
  manifest.keyspace = options_.keyspace;
  manifest.shard = options_.shard;
  manifest.compressed = options_.backup.compress;
  manifest.upgrade_safe = options_.upgrade_safe;
  const backup::Place place{place_, manifest.backup_name};
  backup::TransferOptions transfer;
  transfer.concurrency = std::clamp(options_.concurrency, 1u, 64u);
  transfer.compress = options_.backup.compress;
  transfer.level = static_cast<int>(options_.backup.level);
  Status stored = co_await net::offload([&]() -> Status {
    RETURN_IF_ERROR(server.daemon.shutdown());
    ASSIGN_OR_RETURN(auto files, backup::list_server_files(server.layout));
    ASSIGN_OR_RETURN(manifest.parts, backup::store_files(storage, place, files.files, transfer, *progress_));
    manifest.directories = std::move(files.directories);
    manifest.finished_time = base::system_clock().wall_now();
    return backup::write_manifest(storage, place, manifest);
  });
  if (!stored.ok()) {
    (void)co_await net::offload([&] { return storage.remove(place); });  // Perhaps nothing of it was stored.
    co_return std::move(stored).error().with_context("backup " + place.to_string());
  }
  log_info("backup {} is complete, at {}: {} bytes stored", place.to_string(), manifest.position,
           progress_->stored.load());
  co_return Status{};
}

Status BackupJob::remove_expired(backup::Storage& storage) {
  ASSIGN_OR_RETURN(auto entries, backup::list_backups(storage, place_));
  RETURN_IF_ERROR(backup::mark_incremental(storage, entries));
  for (const auto& place : backup::choose_expired(entries, options_.retention, base::system_clock().wall_now())) {
    log_info("backup {} is older than --min-retention-time, and is removed", place.to_string());
    RETURN_IF_ERROR(storage.remove(place));
  }
  return {};
}

}  // namespace vitrail::tablet
