// Backup and RestoreFromBackup: streams of what happens.
#include "backupdata.pb.h"
#include "base/log.h"
#include "logutil.pb.h"
#include "tablet/rpc_registrar.h"

namespace vitrail::tablet {
namespace {

namespace tmd = ::tabletmanagerdata;
using rpc::CallContext;

template <typename Response>
TabletManager::Report reporter(rpc::TypedWriter<Response>& writer) {
  return [&writer](std::string line) -> net::Task<void> {
    return [](rpc::TypedWriter<Response>& out, std::string text) -> net::Task<void> {
      log_info("{}", text);
      Response response;
      auto& event = *response.mutable_event();
      const auto now = base::system_clock().wall_now().time_since_epoch();
      event.mutable_time()->set_seconds(std::chrono::duration_cast<std::chrono::seconds>(now).count());
      event.mutable_time()->set_nanoseconds(static_cast<int32_t>(
          (std::chrono::duration_cast<std::chrono::nanoseconds>(now) % std::chrono::seconds(1)).count()));
      event.set_level(::logutil::INFO);
      event.set_file("vttablet");
      event.set_value(std::move(text));
      (void)co_await out.write(response);  // A client that went away is noticed elsewhere.
    }(writer, std::move(line));
  };
}

net::Task<Status> backup(TabletManager& manager, CallContext context, tmd::BackupRequest request,
                         rpc::TypedWriter<tmd::BackupResponse> writer) {
  CO_RETURN_IF_ERROR(co_await manager.wait_started(bounded(context)));
  co_return co_await manager.backup(std::move(request), reporter(writer), context.wait());
}

net::Task<Status> restore(TabletManager& manager, CallContext context, tmd::RestoreFromBackupRequest request,
                          rpc::TypedWriter<tmd::RestoreFromBackupResponse> writer) {
  CO_RETURN_IF_ERROR(co_await manager.wait_started(bounded(context)));
  co_return co_await manager.restore(std::move(request), reporter(writer), context.wait());
}

net::Task<Status> verify(TabletManager& manager, CallContext context, ::backupdata::VerifyBackupRequest request,
                         rpc::TypedWriter<::backupdata::VerifyBackupResponse> writer) {
  CO_RETURN_IF_ERROR(co_await manager.wait_started(bounded(context)));
  tmd::RestoreFromBackupRequest which;
  if (request.has_backup_time()) *which.mutable_backup_time() = request.backup_time();
  *which.mutable_allowed_backup_engines() = request.allowed_backup_engines();
  co_return co_await manager.verify_backup(std::move(which), reporter(writer), context.wait());
}

}  // namespace

void register_backup_rpcs(rpc::Server& server, net::Loop& loop, TabletManager& manager) {
  rpc::handle_server_stream<tmd::BackupRequest, tmd::BackupResponse>(
      server, "/tabletmanagerservice.TabletManager/Backup", loop,
      [&manager](CallContext context, tmd::BackupRequest request, rpc::TypedWriter<tmd::BackupResponse> writer) {
        return backup(manager, std::move(context), std::move(request), writer);
      });
  rpc::handle_server_stream<tmd::RestoreFromBackupRequest, tmd::RestoreFromBackupResponse>(
      server, "/tabletmanagerservice.TabletManager/RestoreFromBackup", loop,
      [&manager](CallContext context, tmd::RestoreFromBackupRequest request,
                 rpc::TypedWriter<tmd::RestoreFromBackupResponse> writer) {
        return restore(manager, std::move(context), std::move(request), writer);
      });
  rpc::handle_server_stream<::backupdata::VerifyBackupRequest, ::backupdata::VerifyBackupResponse>(
      server, "/tabletmanagerservice.TabletManager/VerifyBackup", loop,
      [&manager](CallContext context, ::backupdata::VerifyBackupRequest request,
                 rpc::TypedWriter<::backupdata::VerifyBackupResponse> writer) {
        return verify(manager, std::move(context), std::move(request), writer);
      });
}

}  // namespace vitrail::tablet
