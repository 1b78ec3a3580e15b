// TabletManager's methods on points between backups: pieces of the binary log that are stored, and a restore that goes
// on through them. docs/operators/backup.md tells what happens.
#include <fmt/core.h>

#include <algorithm>

#include "backup/catalog.h"
#include "backup/chain.h"
#include "backup/log_files.h"
#include "backup/scratch_server.h"
#include "backup/server_files.h"
#include "backup/transfer.h"
#include "tablet/maintenance.h"
#include "tablet/tablet_manager.h"

namespace vitrail::tablet {

namespace tmd = ::tabletmanagerdata;

namespace {

// Where an incremental backup begins.
struct Beginning {
  mysql::Position position;
  std::string backup;  // That ends there; empty: nobody said which.
};

Result<Beginning> find_beginning(backup::Storage& storage, const std::string& shard, const std::string& from,
                                 const std::string& prefix) {
  if (from == "auto") {
    std::string damaged;
    ASSIGN_OR_RETURN(const auto backups, backup::load_backups(storage, shard, damaged));
    auto parent = backup::choose_parent(backups);
    if (!parent.ok()) {
      return std::move(parent).error().with_context(damaged.empty() ? "shard " + shard : damaged);
    }
    ASSIGN_OR_RETURN(auto position, mysql::Position::parse(parent->manifest.position));
    return Beginning{std::move(position), parent->place.name};
  }
  if (backup::parse_backup_name(from)) {
    ASSIGN_OR_RETURN(const auto manifest, backup::read_manifest(storage, {shard, from}));
    ASSIGN_OR_RETURN(auto position, mysql::Position::parse(manifest.position));
    return Beginning{std::move(position), from};
  }
  auto position = mysql::Position::parse(from.find('/') == std::string::npos ? prefix + from : from);
  if (!position.ok()) {
    return std::move(position).error().with_context(
        "--incremental-from-pos: a position, the name of a backup, or 'auto' is expected");
  }
  return Beginning{std::move(*position), ""};
}

// What of the logs is to be stored, as the manifest tells it.
struct Piece {
  std::vector<backup::SourceFile> files;
  mysql::Position end;
  base::WallTime first{}, last{};
};

// `unlogged`: what the server was given without its logs, which do not tell it.
Result<Piece> cut_piece(const std::vector<std::string>& paths, const std::vector<uint64_t>& sizes,
                        const mysql::Position& from, const mysql::Position& unlogged) {
  std::vector<mysql::Position> starts;
  for (const auto& path : paths) {
    ASSIGN_OR_RETURN(auto start, backup::log_start(path));
    if (!unlogged.empty()) RETURN_IF_ERROR(start.merge(unlogged));
    starts.push_back(std::move(start));
  }
  ASSIGN_OR_RETURN(const size_t first, backup::first_log_needed(starts, from));
  Piece out;
  out.end = starts.back();
  for (size_t i = first; i + 1 < paths.size(); ++i) {
    out.files.push_back({std::string(backup::kLogBase), paths[i].substr(paths[i].rfind('/') + 1), paths[i], sizes[i]});
    RETURN_IF_ERROR(backup::walk_log(paths[i], [&](const mysql::Gtid& gtid, base::WallTime time) {
      const auto known = from.contains(gtid);
      if (known.ok() && *known) return true;
      if (out.first == base::WallTime{} || time < out.first) out.first = time;
      out.last = std::max(out.last, time);
      return true;
    }));
  }
  return out;
}

}  // namespace

Status TabletManager::check_no_backup() const {
  RETURN_IF_ERROR(check_idle());
  if (!online_backup_) return {};
  return fail(Code::kFailedPrecondition, "a backup of it is being taken, or verified; wait for its end");
}

net::Task<Status> TabletManager::take_incremental_backup(tmd::BackupRequest request, mysqld::Layout layout,
                                                         Report report, net::Wait wait) {
  CO_RETURN_IF_ERROR(check_no_backup());
  if (role_.kind == RoleKind::kPrimary && !request.allow_primary()) {
    co_return fail(Code::kFailedPrecondition,
                   "type PRIMARY cannot take backup. if you really need to do this, rerun the backup command with "
                   "--allow_primary");
  }
  online_backup_ = true;
  struct Reset {
    bool& flag;
    ~Reset() { flag = false; }
  } reset{online_backup_};
  CO_ASSIGN_OR_RETURN(const auto storage, backup::open_storage(settings_.backup.storage));
  const std::string shard = settings_.keyspace + "/" + settings_.shard;
  const std::string prefix = server_.flavor_prefix();
  CO_ASSIGN_OR_RETURN(const auto from, co_await net::offload([&] {
                        return find_beginning(*storage, shard, request.incremental_from_pos(), prefix);
                      }));
  CO_RETURN_IF_ERROR(co_await run_before_backup(request, wait));
  // What is in the logs before the one that this begins can be stored: nobody writes them any more.
  CO_RETURN_IF_ERROR(co_await server_.run({"FLUSH BINARY LOGS"}, wait));
  CO_ASSIGN_OR_RETURN(const auto logs, co_await server_.query("SHOW BINARY LOGS", wait));
  std::vector<std::string> paths;
  std::vector<uint64_t> sizes;
  for (size_t i = 0; i < logs.rows.size(); ++i) {
    paths.push_back(layout.bin_logs() + "/" + std::string(logs.text(i, 0)));
    sizes.push_back(mysqld::to_uint(logs.text(i, 1)).value_or(0));
  }
  mysql::Position unlogged;
  if (server_.flavor().kind() == mysqld::FlavorKind::kMySql) {  // MariaDB's logs begin with it.
    CO_ASSIGN_OR_RETURN(const auto purged, co_await server_.query("SELECT @@global.gtid_purged", wait));
    if (!purged.text(0, 0).empty()) {
      CO_ASSIGN_OR_RETURN(unlogged, mysql::Position::parse(prefix + std::string(purged.text(0, 0))));
    }
  }
  CO_ASSIGN_OR_RETURN(auto piece,
                      co_await net::offload([&] { return cut_piece(paths, sizes, from.position, unlogged); }));
  if (piece.files.empty()) {
    co_await report(
        fmt::format("nothing has happened since {}: there is nothing to back up", from.position.prefixed_string()));
    co_return Status{};
  }
  CO_ASSIGN_OR_RETURN(auto manifest, co_await begin_backup(*storage, "builtin", report, wait));
  manifest.incremental = true;
  manifest.from_position = from.position.prefixed_string();
  manifest.from_backup = from.backup;
  manifest.position = piece.end.prefixed_string();
  manifest.first_transaction = piece.first;
  manifest.last_transaction = piece.last;
  const backup::Place place{shard, manifest.backup_name};
  backup::TransferOptions options;
  options.concurrency =
      static_cast<unsigned>(std::clamp(request.concurrency() == 0 ? 4 : request.concurrency(), 1, 64));
  options.compress = settings_.backup.compress;
  options.level = static_cast<int>(settings_.backup.level);
  const auto progress = std::make_shared<backup::Progress>();
  Status stored = co_await transfer(
      "an incremental backup", progress,
      [&]() -> Status {
        ASSIGN_OR_RETURN(manifest.parts, backup::store_files(*storage, place, piece.files, options, *progress));
        manifest.finished_time = base::system_clock().wall_now();
        return backup::write_manifest(*storage, place, manifest);
      },
      report, wait);
  if (!stored.ok()) {
    (void)co_await net::offload([&] { return storage->remove(place); });
    co_return std::move(stored).error().with_context("backup " + place.to_string());
  }
  co_await report(fmt::format("it goes from {} to {}", manifest.from_position, manifest.position));
  co_await report_backup(manifest, *progress, report);
  co_return Status{};
}

// ---- Restore

Result<backup::Target> TabletManager::parse_target(std::string position, std::string time) const {
  backup::Target out;
  if (!position.empty() && !time.empty()) {
    return fail(Code::kInvalidArgument, "--restore-to-pos and --restore-to-timestamp exclude each other");
  }
  if (!position.empty()) {
    ASSIGN_OR_RETURN(const std::string bare, server_.bare_position(position));
    ASSIGN_OR_RETURN(out.position, mysql::Position::parse(server_.flavor_prefix() + bare));
  }
  if (!time.empty()) {
    ASSIGN_OR_RETURN(out.time, backup::parse_backup_time(time));
  }
  return out;
}

net::Task<Result<backup::Chain>> TabletManager::find_chain(tmd::RestoreFromBackupRequest request) {
  CO_ASSIGN_OR_RETURN(const auto storage, backup::open_storage(settings_.backup.storage));
  const std::string shard = settings_.keyspace + "/" + settings_.shard;
  std::string time;
  if (request.has_restore_to_timestamp()) {
    time = backup::rfc3339(base::WallTime(std::chrono::seconds(request.restore_to_timestamp().seconds())));
  }
  CO_ASSIGN_OR_RETURN(const backup::Target target, parse_target(request.restore_to_pos(), std::move(time)));
  const std::vector<std::string> engines = {request.allowed_backup_engines().begin(),
                                            request.allowed_backup_engines().end()};
  if (!target.position && !target.time) {
    backup::Choice choice;
    choice.allowed_engines = engines;
    if (request.has_backup_time()) {
      choice.not_after = base::WallTime(std::chrono::seconds(request.backup_time().seconds()));
    }
    CO_ASSIGN_OR_RETURN(auto chosen,
                        co_await net::offload([&] { return backup::choose_backup(*storage, shard, choice); }));
    co_return backup::Chain{std::move(chosen), {}};
  }
  if (request.has_backup_time()) {
    co_return fail(Code::kInvalidArgument,
                   "--backup-timestamp does not go with --restore-to-pos or --restore-to-timestamp, which choose the "
                   "backup themselves");
  }
  auto chain = co_await net::offload([&]() -> Result<backup::Chain> {
    std::string damaged;
    ASSIGN_OR_RETURN(const auto backups, backup::load_backups(*storage, shard, damaged));
    auto chosen = backup::choose_chain(backups, target, engines);
    if (!chosen.ok() && !damaged.empty()) return std::move(chosen).error().with_context(damaged);
    return chosen;
  });
  co_return chain;
}

Result<std::string> TabletManager::advance_staged(const backup::Chain& chain, const backup::Target& target,
                                                  const mysqld::Layout& layout, backup::Progress& progress) const {
  ASSIGN_OR_RETURN(mysql::Position at, mysql::Position::parse(chain.full.manifest.position));
  if (chain.increments.empty()) return at.prefixed_string();
  const backup::Staging staging = backup::staging_of(layout);
  ASSIGN_OR_RETURN(auto server, backup::ScratchServer::start(layout));
  for (size_t i = 0; i < chain.increments.size(); ++i) {
    const auto& manifest = chain.increments[i].manifest;
    backup::Replay replay{.socket = server.socket(),
                          .user = settings_.dba_user,
                          .password = settings_.dba_password,
                          .logs = {},
                          .from = at,
                          .to = {},
                          .work = staging.root};
    // In the order in which they were written, which is that of their numbers.
    for (const auto& part : manifest.parts) {
      const std::string path = staging.logs(i) + "/" + part.name;
      if (replay.logs.empty() || replay.logs.back() != path) replay.logs.push_back(path);
    }
    const bool last = i + 1 == chain.increments.size();
    if (last && target.time) {
      ASSIGN_OR_RETURN(replay.to, backup::position_before(replay.logs, at, *target.time));
    } else if (last) {
      replay.to = *target.position;
    } else {
      ASSIGN_OR_RETURN(replay.to, mysql::Position::parse(manifest.position));
    }
    RETURN_IF_ERROR(backup::replay_logs(replay, progress));
    RETURN_IF_ERROR(at.merge(replay.to));
  }
  RETURN_IF_ERROR(server.stop());
  return at.prefixed_string();
}

}  // namespace vitrail::tablet
