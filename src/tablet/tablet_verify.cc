// TabletManager::verify_backup(): a backup is good when a server on its files, which has replicated from the shard's
// primary, has what this tablet has.
#include <fmt/core.h>

#include <algorithm>
#include <map>

#include "backup/chain.h"
#include "backup/logical_copy.h"
#include "backup/scratch_server.h"
#include "backup/server_files.h"
#include "backup/transfer.h"
#include "base/log.h"
#include "mysqld/rows.h"
#include "tablet/maintenance.h"
#include "tablet/tablet_manager.h"
#include "topo/tablet.h"

namespace vitrail::tablet {

using namespace std::chrono_literals;
namespace tmd = ::tabletmanagerdata;

namespace {

constexpr auto kCatchUp = 10min;

// One connection whose view of the data does not change.
struct Snapshot {
  net::MysqlPool::Lease reader, locker;
  std::string position;  // Bare: of the transactions that it sees.
};

net::Task<Result<std::vector<std::string>>> tables_of(LocalServer& server, std::string database, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const auto found,
                      co_await server.query("select table_name from information_schema.tables where table_type = "
                                            "'BASE TABLE' and table_schema = " +
                                                mysqld::quote_string(database) + " order by table_name",
                                            wait));
  std::vector<std::string> out;
  for (size_t i = 0; i < found.rows.size(); ++i) {
    out.push_back(mysqld::quote_identifier(database) + "." + mysqld::quote_identifier(found.text(i, 0)));
  }
  co_return out;
}

net::Task<Result<Snapshot>> open_snapshot(LocalServer& server, std::vector<std::string> tables, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(auto reader, co_await server.connection(wait));
  CO_ASSIGN_OR_RETURN(auto locker, co_await server.connection(wait));
  Snapshot out{std::move(reader), std::move(locker), ""};
  out.reader->settings = out.locker->settings = "snapshot";  // Reset before their next use.
  for (const auto& step : server.flavor().snapshot(tables)) {
    auto& lease = step.connection == mysqld::SnapshotStep::Connection::kSnapshot ? out.reader : out.locker;
    CO_ASSIGN_OR_RETURN(const auto rows, co_await lease->client.query(step.sql, wait));
    if (step.yields_position) {
      CO_ASSIGN_OR_RETURN(out.position, server.flavor().parse_position(to_rows(rows)));
    }
  }
  co_return out;
}

net::Task<Result<std::string>> checksum_of(net::MysqlClient& client, std::string table, net::Wait wait) {
  auto sum = co_await client.query("CHECKSUM TABLE " + table + " EXTENDED", wait);
  if (!sum.ok()) co_return std::move(sum).error().with_context("checksum of " + table);
  if (sum->rows.size() != 1 || sum->rows[0].size() != 2 || !sum->rows[0][1]) {
    co_return fail(Code::kNotFound, "there is no table " + table);
  }
  co_return *sum->rows[0][1];
}

}  // namespace

// `socket`: of a server whose data stands at `position`.
net::Task<Status> TabletManager::compare_with_scratch(std::string socket, std::string position, Report report,
                                                      net::Wait wait) {
  net::MysqlAddress address;
  address.unix_socket = std::move(socket);
  LocalServer scratch(std::move(address), settings_.dba_user, settings_.dba_password);
  CO_RETURN_IF_ERROR(co_await scratch.connect(net::Wait::within(30s, wait.cancel)));
  CO_ASSIGN_OR_RETURN(const auto tables, co_await tables_of(server_, database(), wait));
  CO_ASSIGN_OR_RETURN(auto snapshot, co_await open_snapshot(server_, tables, wait));
  const std::string prefix = server_.flavor_prefix();
  CO_ASSIGN_OR_RETURN(const auto here, mysql::Position::parse(prefix + snapshot.position));
  CO_ASSIGN_OR_RETURN(const auto there, mysql::Position::parse(position));
  CO_ASSIGN_OR_RETURN(const bool behind, there.at_least(here));
  if (!behind) {
    CO_RETURN_IF_ERROR(co_await read_shard());
    if (!desired_.shard.has_primary_alias()) {
      co_return fail(Code::kFailedPrecondition, "the shard has no primary from which the restored server could go on");
    }
    CO_ASSIGN_OR_RETURN(const auto primary, co_await topo::get_tablet(topology_, desired_.shard.primary_alias()));
    CO_ASSIGN_OR_RETURN(const std::string bare, server_.bare_position(position));
    CO_RETURN_IF_ERROR(co_await scratch.set_executed_position(bare, wait));
    CO_RETURN_IF_ERROR(co_await scratch.follow(primary.record.mysql_hostname(),
                                               static_cast<uint16_t>(primary.record.mysql_port()), false, wait));
    CO_RETURN_IF_ERROR(co_await scratch.run(scratch.flavor().start_replication_until(snapshot.position), wait));
    co_await report(fmt::format("the restored server replicates from {} to {}", position, here.prefixed_string()));
    const base::TimePoint end = base::system_clock().now() + kCatchUp;
    for (;;) {
      // In short waits, so that replication that stopped is noticed.
      if ((co_await scratch.wait_for_position(snapshot.position, net::Wait::within(1s, wait.cancel))).ok()) break;
      CO_ASSIGN_OR_RETURN(const auto status, co_await scratch.replication_status(wait));
      const std::string& trouble = status.last_sql_error.empty() ? status.last_io_error : status.last_sql_error;
      if (base::system_clock().now() < end && !wait.cancel.cancelled() &&
          status.sql_state == mysqld::ThreadState::kRunning && status.io_state != mysqld::ThreadState::kStopped) {
        continue;
      }
      co_return fail(Code::kDataLoss, fmt::format("a server on the backup does not come to {}: {}",
                                                  here.prefixed_string(), trouble.empty() ? "too slow" : trouble));
    }
  }
  CO_ASSIGN_OR_RETURN(auto reader, co_await scratch.connection(wait));
  CO_ASSIGN_OR_RETURN(const auto theirs, co_await tables_of(scratch, database(), wait));
  std::string different;
  size_t count = 0;
  const auto note = [&](const std::string& what) {
    if (++count <= 20) different += (different.empty() ? "" : ", ") + what;
  };
  for (const auto& table : theirs) {
    if (std::ranges::find(tables, table) == tables.end()) note(table + " (in the backup only)");
  }
  for (const auto& table : tables) {
    CO_ASSIGN_OR_RETURN(const std::string own, co_await checksum_of(snapshot.reader->client, table, wait));
    const auto other = co_await checksum_of(reader->client, table, wait);
    if (!other.ok() && other.error().code() != Code::kNotFound) co_return Error(other.error());
    if (!other.ok()) {
      note(table + " (missing)");
    } else if (*other != own) {
      note(table);
    }
  }
  if (count > 0) {
    co_return fail(Code::kDataLoss,
                   fmt::format("what a server on the backup has at {} differs from tablet {} in {} of "
                               "{} tables: {}",
                               here.prefixed_string(), settings_.tablet_path, count, tables.size(), different));
  }
  co_await report(fmt::format("verified: all {} tables of {} are what tablet {} has at {}", tables.size(), database(),
                              settings_.tablet_path, here.prefixed_string()));
  co_return Status{};
}

net::Task<Status> TabletManager::verify_backup(tmd::RestoreFromBackupRequest request, Report report, net::Wait wait) {
  CO_RETURN_IF_ERROR(check_no_backup());
  CO_ASSIGN_OR_RETURN(const auto layout, server_layout(settings_));
  CO_ASSIGN_OR_RETURN(const auto chain, co_await find_chain(std::move(request)));
  CO_RETURN_IF_ERROR(co_await check_backup(chain, layout));
  CO_ASSIGN_OR_RETURN(const auto storage, backup::open_storage(settings_.backup.storage));
  online_backup_ = true;
  struct Reset {
    bool& flag;
    ~Reset() { flag = false; }
  } reset{online_backup_};
  co_await report(
      fmt::format("verifying backup {}, position {}", chain.full.place.to_string(), chain.full.manifest.position));
  backup::TransferOptions options;
  options.concurrency = std::clamp(settings_.backup.restore_concurrency, 1u, 64u);
  const auto progress = std::make_shared<backup::Progress>();
  std::string socket;
  Status done = co_await transfer(
      "a verification", progress,
      [&]() -> Status {
        RETURN_IF_ERROR(backup::discard_staging(layout));
        const backup::Manifest& manifest = chain.full.manifest;
        RETURN_IF_ERROR(backup::restore_parts(*storage, chain.full.place, manifest, backup::staging_folders(layout),
                                              options, *progress));
        RETURN_IF_ERROR(backup::build_staged(manifest, layout, *progress));
        ASSIGN_OR_RETURN(const auto server, backup::ScratchServer::start(layout));
        socket = server.socket();
        return {};
      },
      report, wait);
  if (done.ok()) done = co_await compare_with_scratch(socket, chain.full.manifest.position, report, wait);
  Status gone = co_await net::offload([&] { return backup::discard_staging(layout); });
  if (!gone.ok()) log_warning("{} stays: {}", backup::staging_of(layout).root, gone.error().message());
  metrics_.counters("BackupVerifications", "backups that were verified", {"outcome"})
      .with({done.ok()                                ? "good"
             : done.error().code() == Code::kDataLoss ? "bad"
                                                      : "failed"})
      .add();
  if (!done.ok()) {
    co_return std::move(done).error().with_context("backup " + chain.full.place.to_string() + " is not verified");
  }
  co_return Status{};
}

}  // namespace vitrail::tablet
