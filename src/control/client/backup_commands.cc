// Commands on backups.
#include <algorithm>

#include "backup/manifest.h"
#include "backupdata.pb.h"
#include "base/text.h"
#include "control/client/call.h"
#include "topo/tablet.h"

namespace vitrail::control {
namespace {

namespace vd = ::vtctldata;

// Runs a method that answers with events, and shows each as it comes.
template <typename Response, typename Request>
Output run_events(const ClientContext& context, std::string method, Request request) {
  const auto take = [&context](const Response& response) {
    if (!context.show) return;
    context.show(fmt::format("{}/{} ({}): {}\n", response.keyspace(), response.shard(),
                             topo::alias_to_string(response.tablet_alias()), response.event().value()));
  };
  CO_RETURN_IF_ERROR(co_await context.template call_stream<Response>(std::move(method), std::move(request), take));
  co_return std::string();
}

template <typename Request, typename Response>
base::Settings& add_events(CommandSet& set, std::string_view name, std::string_view description,
                           std::function<Status(const ClientContext&, Request&)> fill) {
  return set.add(set.root(), name, description, [name = std::string(name), fill](const ClientContext& context) {
    return [](const ClientContext& c, std::string method,
              std::function<Status(const ClientContext&, Request&)> fill_in) -> Output {
      Request request;
      CO_RETURN_IF_ERROR(fill_in(c, request));
      co_return co_await run_events<Response>(c, std::move(method), std::move(request));
    }(context, name, fill);
  });
}

struct BackupFlags {
  bool allow_primary = false, upgrade_safe = false, fail_on_error = false;
  int32_t concurrency = 4;
  std::string from_position, engine;
  std::vector<std::string> queries, types;
  base::Duration shutdown_timeout{}, query_timeout{};
};

template <typename Request>
Status fill_backup(const BackupFlags& flags, Request& request) {
  request.set_allow_primary(flags.allow_primary);
  request.set_concurrency(flags.concurrency);
  request.set_upgrade_safe(flags.upgrade_safe);
  request.set_incremental_from_pos(flags.from_position);
  if (flags.shutdown_timeout > base::Duration(0)) {
    *request.mutable_mysql_shutdown_timeout() = to_proto_duration(flags.shutdown_timeout);
  }
  if (flags.queries.empty()) {
    if (!flags.types.empty() || flags.fail_on_error || flags.query_timeout > base::Duration(0)) {
      return fail(Code::kInvalidArgument, "the flags --init-backup-sql-... go with --init-backup-sql-queries");
    }
    return {};
  }
  auto& init = *request.mutable_init_sql();
  for (const auto& query : flags.queries) init.add_queries(query);
  for (const auto& text : flags.types) {
    ASSIGN_OR_RETURN(const auto type, topo::parse_tablet_type(text));
    init.add_tablet_types(type);
  }
  if (flags.query_timeout > base::Duration(0)) *init.mutable_timeout() = to_proto_duration(flags.query_timeout);
  init.set_fail_on_error(flags.fail_on_error);
  return {};
}

void declare_backup(base::Settings& s, BackupFlags& flags) {
  s.add("allow-primary", &flags.allow_primary, "also the primary, which takes no writes meanwhile")
      .alias("allow_master");
  s.add("concurrency", &flags.concurrency, "files that are stored at the same time");
  s.add("upgrade-safe", &flags.upgrade_safe, "stop the server so that a newer version can open its files");
  s.add("incremental-from-pos", &flags.from_position,
        "an incremental backup: what happened behind this position, the backup of this name, or (auto) the shard's "
        "last backup");
  s.add("mysql-shutdown-timeout", &flags.shutdown_timeout,
        "how long the server may take to stop in good order; 0: as the tablet's --builtinbackup-mysqld-timeout says");
  s.add("init-backup-sql-queries", &flags.queries, "statements that run on the tablet's server first");
  s.add("init-backup-sql-timeout", &flags.query_timeout, "how long they may take");
  s.add("init-backup-tablet-types", &flags.types, "types of tablets on which they run; empty: all");
  s.add("init-backup-sql-fail-on-error", &flags.fail_on_error, "no backup when one of them fails");
}

void add_backups(CommandSet& set) {
  {
    auto f = std::make_shared<BackupFlags>();
    auto& s = add_events<vd::BackupRequest, vd::BackupResponse>(
        set, "Backup", "stores the files of a tablet's server, which stands still meanwhile",
        [f](const ClientContext& c, vd::BackupRequest& q) -> Status {
          RETURN_IF_ERROR(fill_alias(c, q));
          if (!f->engine.empty()) q.set_backup_engine(f->engine);
          return fill_backup(*f, q);
        });
    declare_backup(s, *f);
    s.add("backup-engine", &f->engine, "builtin, mariabackup, or logical; default: as the tablet's flag says");
    s.arguments("<tablet alias>", 1, 1);
  }
  auto f = std::make_shared<BackupFlags>();
  auto& s = add_events<vd::BackupShardRequest, vd::BackupResponse>(
      set, "BackupShard", "backs up that tablet of a shard which is missed least",
      [f](const ClientContext& c, vd::BackupShardRequest& q) -> Status {
        RETURN_IF_ERROR(fill_shard(c, q));
        return fill_backup(*f, q);
      });
  declare_backup(s, *f);
  s.arguments("<keyspace/shard>", 1, 1);
}

Status fill_time(const std::string& text, ::vttime::Time& out) {
  ASSIGN_OR_RETURN(const auto time, backup::parse_backup_time(text));
  out.set_seconds(std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count());
  return {};
}

void add_restore(CommandSet& set) {
  struct Flags {
    std::string backup_time, to_position, to_time;
    bool dry_run = false;
    std::vector<std::string> engines;
  };
  auto f = std::make_shared<Flags>();
  auto& s = add_events<vd::RestoreFromBackupRequest, vd::RestoreFromBackupResponse>(
      set, "RestoreFromBackup", "replaces the data of a tablet that is no primary by a backup",
      [f](const ClientContext& c, vd::RestoreFromBackupRequest& q) -> Status {
        RETURN_IF_ERROR(fill_alias(c, q));
        if (!f->backup_time.empty()) RETURN_IF_ERROR(fill_time(f->backup_time, *q.mutable_backup_time()));
        if (!f->to_time.empty()) RETURN_IF_ERROR(fill_time(f->to_time, *q.mutable_restore_to_timestamp()));
        q.set_restore_to_pos(f->to_position);
        q.set_dry_run(f->dry_run);
        for (const auto& engine : f->engines) q.add_allowed_backup_engines(engine);
        return {};
      });
  s.add("backup-timestamp", &f->backup_time,
        "the newest backup that is not later: 2026-01-02.150405 or 2026-01-02T15:04:05Z (UTC); default: the newest")
      .alias("t");
  s.add("allowed-backup-engines", &f->engines, "backups of these engines only");
  s.add("dry-run", &f->dry_run, "only say which backup it would be, and whether all its parts are whole");
  s.add("restore-to-pos", &f->to_position,
        "a point between backups: full and incremental ones are restored up to this position; then the tablet is "
        "drained");
  s.add("restore-to-timestamp", &f->to_time,
        "the same, up to this time and without what happened in its second: 2026-01-02T15:04:05Z (UTC)");
  s.arguments("<tablet alias>", 1, 1);
}

void add_verify(CommandSet& set) {
  struct Flags {
    std::string backup_time;
    std::vector<std::string> engines;
  };
  auto f = std::make_shared<Flags>();
  auto& s = add_events<::backupdata::VerifyBackupRequest, ::backupdata::VerifyBackupResponse>(
      set, "VerifyBackup",
      "restores a backup beside a replica's server, lets it replicate to where the replica is, and compares all tables",
      [f](const ClientContext& c, ::backupdata::VerifyBackupRequest& q) -> Status {
        RETURN_IF_ERROR(fill_alias(c, q));
        if (!f->backup_time.empty()) RETURN_IF_ERROR(fill_time(f->backup_time, *q.mutable_backup_time()));
        for (const auto& engine : f->engines) q.add_allowed_backup_engines(engine);
        return {};
      });
  s.add("backup-timestamp", &f->backup_time, "the newest backup that is not later; default: the newest").alias("t");
  s.add("allowed-backup-engines", &f->engines, "backups of these engines only");
  s.arguments("<tablet alias>", 1, 1);
}

void add_storage_commands(CommandSet& set) {
  struct Flags {
    uint32_t limit = 0;
    bool json = false;
  };
  auto f = std::make_shared<Flags>();
  auto& s = add_call<vd::GetBackupsRequest, vd::GetBackupsResponse>(
      set, "GetBackups", "the backups of a shard, the newest last",
      [f](const ClientContext& c, auto& q) -> Status {
        RETURN_IF_ERROR(fill_shard(c, q));
        q.set_limit(f->json ? f->limit : 0);  // Else of those that are shown.
        q.set_detailed(f->json);
        return {};
      },
      [f](const ClientContext& c, const auto& done) -> Result<std::string> {
        if (f->json) return c.json(done);
        std::vector<std::string> whole;
        for (const auto& backup : done.backups()) {
          if (backup.status() != ::mysqlctl::BackupInfo::INCOMPLETE) whole.push_back(backup.name() + "\n");
        }
        const size_t shown = f->limit == 0 ? whole.size() : std::min<size_t>(f->limit, whole.size());
        std::string out;
        for (size_t i = whole.size() - shown; i < whole.size(); ++i) out += whole[i];
        return out;
      });
  s.add("limit", &f->limit, "only so many, the newest; 0: all").alias("l");
  s.add("json", &f->json, "with state and engine, also those that are not whole").alias("j");
  s.arguments("<keyspace/shard>", 1, 1);
  add_call<vd::RemoveBackupRequest, vd::RemoveBackupResponse>(set, "RemoveBackup", "removes a backup from the storage",
                                                              [](const ClientContext& c, auto& q) -> Status {
                                                                RETURN_IF_ERROR(fill_shard(c, q));
                                                                q.set_name(c.arguments[1]);
                                                                return {};
                                                              })
      .arguments("<keyspace/shard> <backup name>", 2, 2);
}

}  // namespace

void add_backup_commands(CommandSet& set) {
  add_backups(set);
  add_restore(set);
  add_verify(set);
  add_storage_commands(set);
}

}  // namespace vitrail::control
