// Vtctld's methods on backups. Tablets take and restore them; what is in the storage is looked at and removed here.
#include <fmt/core.h>

#include "backup/catalog.h"
#include "backup/storage.h"
#include "backupdata.pb.h"
#include "control/backup_choice.h"
#include "control/method.h"
#include "control/registrar.h"
#include "net/scope.h"
#include "tabletmanagerdata.pb.h"

namespace vitrail::control {
namespace {

namespace vd = ::vtctldata;
namespace tmd = ::tabletmanagerdata;
using namespace std::chrono_literals;
using rpc::CallContext;

// Passes a tablet's events on, with whose they are.
template <typename TabletResponse, typename Response, typename TabletRequest>
net::Task<Status> pass_on(TabletClient& client, CallContext context, ::topodata::Tablet tablet, std::string method,
                          TabletRequest request, rpc::TypedWriter<Response> writer) {
  std::function<net::Task<Status>(TabletResponse)> take = [&](TabletResponse event) -> net::Task<Status> {
    Response response;
    *response.mutable_tablet_alias() = tablet.alias();
    response.set_keyspace(tablet.keyspace());
    response.set_shard(tablet.shard());
    *response.mutable_event() = std::move(*event.mutable_event());
    return writer.write(response);
  };
  co_return co_await client.stream<TabletResponse>(tablet, method, std::move(request), std::move(take), context.wait());
}

// What the tablets of a shard say about themselves. `except`: who is left alone.
Answer<std::vector<BackupCandidate>> look_at_shard(TabletClient& client, std::string keyspace, std::string shard) {
  topo::TabletQuery query;
  query.keyspace = std::move(keyspace);
  query.shard = std::move(shard);
  CO_ASSIGN_OR_RETURN(auto list, co_await topo::find_tablets(client.topology(), std::move(query)));
  std::vector<BackupCandidate> out;
  for (auto& tablet : list.tablets) out.push_back({.tablet = std::move(tablet)});
  auto ask = [](TabletClient& tablets, BackupCandidate& candidate) -> net::Task<void> {
    if (candidate.tablet.type() == ::topodata::PRIMARY) {
      candidate.answers = (co_await tablets.call<tmd::PingResponse>(candidate.tablet, "Ping", tmd::PingRequest(),
                                                                    net::Wait::within(5s)))
                              .ok();
      co_return;
    }
    const auto status = co_await tablets.call<tmd::ReplicationStatusResponse>(
        candidate.tablet, "ReplicationStatus", tmd::ReplicationStatusRequest(), net::Wait::within(5s));
    candidate.answers = status.ok();
    if (!status.ok()) co_return;
    constexpr int32_t kRunning = 3;
    candidate.replicates = status->status().io_state() == kRunning && status->status().sql_state() == kRunning;
    candidate.lag_seconds = status->status().replication_lag_seconds();
  };
  std::vector<net::Task<void>> questions;
  for (auto& candidate : out) questions.push_back(ask(client, candidate));
  co_await net::when_all(std::move(questions));
  co_return out;
}

net::Task<Status> backup(TabletClient& client, CallContext context, vd::BackupRequest request,
                         rpc::TypedWriter<vd::BackupResponse> writer) {
  CO_ASSIGN_OR_RETURN(const auto tablet, co_await topo::get_tablet(client.topology(), request.tablet_alias()));
  CO_ASSIGN_OR_RETURN(const auto policy, co_await topo::get_durability(client.topology(), tablet.record.keyspace()));
  if (policy.acks_needed() > 0) {
    CO_ASSIGN_OR_RETURN(const auto tablets,
                        co_await look_at_shard(client, tablet.record.keyspace(), tablet.record.shard()));
    CO_RETURN_IF_ERROR(check_spared(policy, tablets, tablet.record.alias()));
  }
  tmd::BackupRequest inner;
  inner.set_concurrency(request.concurrency());
  inner.set_allow_primary(request.allow_primary());
  inner.set_incremental_from_pos(request.incremental_from_pos());
  inner.set_upgrade_safe(request.upgrade_safe());
  if (request.has_backup_engine()) inner.set_backup_engine(request.backup_engine());
  if (request.has_mysql_shutdown_timeout()) *inner.mutable_mysql_shutdown_timeout() = request.mysql_shutdown_timeout();
  if (request.has_init_sql()) *inner.mutable_init_sql() = request.init_sql();
  co_return co_await pass_on<tmd::BackupResponse>(client, std::move(context), tablet.record, "Backup", std::move(inner),
                                                  writer);
}

net::Task<Status> backup_shard(TabletClient& client, CallContext context, vd::BackupShardRequest request,
                               rpc::TypedWriter<vd::BackupResponse> writer) {
  CO_ASSIGN_OR_RETURN(const auto policy, co_await topo::get_durability(client.topology(), request.keyspace()));
  CO_ASSIGN_OR_RETURN(const auto tablets, co_await look_at_shard(client, request.keyspace(), request.shard()));
  CO_ASSIGN_OR_RETURN(const size_t chosen, choose_backup_tablet(policy, tablets, request.allow_primary()));
  vd::BackupRequest inner;
  *inner.mutable_tablet_alias() = tablets[chosen].tablet.alias();
  inner.set_concurrency(request.concurrency());
  inner.set_allow_primary(request.allow_primary());
  inner.set_incremental_from_pos(request.incremental_from_pos());
  inner.set_upgrade_safe(request.upgrade_safe());
  if (request.has_mysql_shutdown_timeout()) *inner.mutable_mysql_shutdown_timeout() = request.mysql_shutdown_timeout();
  if (request.has_init_sql()) *inner.mutable_init_sql() = request.init_sql();
  co_return co_await backup(client, std::move(context), std::move(inner), writer);
}

net::Task<Status> restore(TabletClient& client, CallContext context, vd::RestoreFromBackupRequest request,
                          rpc::TypedWriter<vd::RestoreFromBackupResponse> writer) {
  CO_ASSIGN_OR_RETURN(const auto tablet, co_await topo::get_tablet(client.topology(), request.tablet_alias()));
  tmd::RestoreFromBackupRequest inner;
  if (request.has_backup_time()) *inner.mutable_backup_time() = request.backup_time();
  inner.set_restore_to_pos(request.restore_to_pos());
  inner.set_dry_run(request.dry_run());
  if (request.has_restore_to_timestamp()) *inner.mutable_restore_to_timestamp() = request.restore_to_timestamp();
  *inner.mutable_allowed_backup_engines() = request.allowed_backup_engines();
  co_return co_await pass_on<tmd::RestoreFromBackupResponse>(client, std::move(context), tablet.record,
                                                             "RestoreFromBackup", std::move(inner), writer);
}

net::Task<Status> verify(TabletClient& client, CallContext context, ::backupdata::VerifyBackupRequest request,
                         rpc::TypedWriter<::backupdata::VerifyBackupResponse> writer) {
  CO_ASSIGN_OR_RETURN(const auto tablet, co_await topo::get_tablet(client.topology(), request.tablet_alias()));
  co_return co_await pass_on<::backupdata::VerifyBackupResponse>(client, std::move(context), tablet.record,
                                                                 "VerifyBackup", std::move(request), writer);
}

::mysqlctl::BackupInfo describe(backup::Storage& storage, const backup::CatalogEntry& entry, bool detailed) {
  ::mysqlctl::BackupInfo info;
  info.set_name(entry.place.name);
  info.set_directory(entry.place.shard);
  const size_t slash = entry.place.shard.find('/');
  info.set_keyspace(entry.place.shard.substr(0, slash));
  info.set_shard(entry.place.shard.substr(slash + 1));
  if (entry.parts) {
    if (auto alias = topo::parse_alias(entry.parts->tablet_alias); alias.ok()) *info.mutable_tablet_alias() = *alias;
    info.mutable_time()->set_seconds(
        std::chrono::duration_cast<std::chrono::seconds>(entry.parts->time.time_since_epoch()).count());
  }
  info.set_status(entry.complete ? ::mysqlctl::BackupInfo::COMPLETE : ::mysqlctl::BackupInfo::INCOMPLETE);
  if (!entry.complete || !detailed) return info;
  const auto manifest = backup::read_manifest(storage, entry.place);
  if (manifest.ok()) {
    info.set_engine(manifest->backup_method);
  } else if (manifest.error().code() == Code::kDataLoss) {
    info.set_status(::mysqlctl::BackupInfo::INVALID);
  }
  return info;
}

Result<vd::GetBackupsResponse> get_backups(const backup::StorageOptions& options,
                                           const vd::GetBackupsRequest& request) {
  ASSIGN_OR_RETURN(const auto storage, backup::open_storage(options));
  ASSIGN_OR_RETURN(const auto entries, backup::list_backups(*storage, request.keyspace() + "/" + request.shard()));
  vd::GetBackupsResponse out;
  const size_t limit = request.limit() == 0 ? entries.size() : std::min<size_t>(request.limit(), entries.size());
  const size_t detailed = !request.detailed()             ? 0
                          : request.detailed_limit() == 0 ? limit
                                                          : std::min<size_t>(limit, request.detailed_limit());
  for (size_t i = entries.size() - limit; i < entries.size(); ++i) {
    *out.add_backups() = describe(*storage, entries[i], i >= entries.size() - detailed);
  }
  return out;
}

Answer<vd::GetBackupsResponse> get_backups_of(TabletClient& client, backup::StorageOptions options,
                                              vd::GetBackupsRequest request) {
  // A shard that is not there has no backups that anybody wants to see by a slip.
  auto shard = co_await topo::get_shard(client.topology(), request.keyspace(), request.shard());
  if (!shard.ok()) co_return std::move(shard).error();
  co_return co_await net::offload([&] { return get_backups(options, request); });
}

Answer<vd::RemoveBackupResponse> remove_backup(backup::StorageOptions options, vd::RemoveBackupRequest request) {
  CO_RETURN_IF_ERROR(co_await net::offload([&]() -> Status {
    ASSIGN_OR_RETURN(const auto storage, backup::open_storage(options));
    return storage->remove({request.keyspace() + "/" + request.shard(), request.name()});
  }));
  co_return vd::RemoveBackupResponse();
}

}  // namespace

void register_backup_methods(Registrar& r, const backup::StorageOptions& storage) {
  r.stream<vd::BackupRequest, vd::BackupResponse>("Backup", backup);
  r.stream<vd::BackupShardRequest, vd::BackupResponse>("BackupShard", backup_shard);
  r.stream<vd::RestoreFromBackupRequest, vd::RestoreFromBackupResponse>("RestoreFromBackup", restore);
  r.stream<::backupdata::VerifyBackupRequest, ::backupdata::VerifyBackupResponse>("VerifyBackup", verify);
  r.unary<vd::GetBackupsRequest, vd::GetBackupsResponse>(
      "GetBackups",
      [storage](TabletClient& t, vd::GetBackupsRequest q) { return get_backups_of(t, storage, std::move(q)); });
  r.unary<vd::RemoveBackupRequest, vd::RemoveBackupResponse>(
      "RemoveBackup",
      [storage](TabletClient&, vd::RemoveBackupRequest q) { return remove_backup(storage, std::move(q)); });
}

}  // namespace vitrail::control
