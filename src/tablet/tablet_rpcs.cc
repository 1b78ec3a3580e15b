#include "tablet/tablet_rpcs.h"

#include "base/text.h"
#include "query.pb.h"
#include "tablet/hook.h"
#include "tablet/rpc_registrar.h"
#include "workflowdata.pb.h"

namespace vitrail::tablet {
namespace {

namespace tmd = ::tabletmanagerdata;
using rpc::CallContext;

void register_basics(Registrar& r) {
  r.unary_at_once<tmd::PingRequest, tmd::PingResponse>(
      "Ping", [](TabletManager&, CallContext, tmd::PingRequest request) -> net::Task<Result<tmd::PingResponse>> {
        tmd::PingResponse response;
        response.set_payload(request.payload());
        co_return response;
      });
  r.unary<tmd::SleepRequest, tmd::SleepResponse>(
      "Sleep",
      [](TabletManager&, CallContext context, tmd::SleepRequest request) -> net::Task<Result<tmd::SleepResponse>> {
        CO_RETURN_IF_ERROR(co_await net::sleep_for(base::Duration(request.duration()), context.cancel));
        co_return tmd::SleepResponse();
      });
  r.unary<tmd::RefreshStateRequest, tmd::RefreshStateResponse>(
      "RefreshState",
      [](TabletManager& manager, CallContext context,
         tmd::RefreshStateRequest) -> net::Task<Result<tmd::RefreshStateResponse>> {
        CO_RETURN_IF_ERROR(co_await manager.refresh_state(bounded(context)));
        co_return tmd::RefreshStateResponse();
      });
  r.unary<tmd::RunHealthCheckRequest, tmd::RunHealthCheckResponse>(
      "RunHealthCheck",
      [](TabletManager& manager, CallContext,
         tmd::RunHealthCheckRequest) -> net::Task<Result<tmd::RunHealthCheckResponse>> {
        CO_RETURN_IF_ERROR(co_await manager.run_health_check());
        co_return tmd::RunHealthCheckResponse();
      });
  r.unary<tmd::ChangeTypeRequest, tmd::ChangeTypeResponse>(
      "ChangeType",
      [](TabletManager& manager, CallContext context,
         tmd::ChangeTypeRequest request) -> net::Task<Result<tmd::ChangeTypeResponse>> {
        CO_RETURN_IF_ERROR(co_await manager.change_type(request.tablet_type(), request.semisync(), bounded(context)));
        co_return tmd::ChangeTypeResponse();
      });
  r.unary<tmd::ResetSequencesRequest, tmd::ResetSequencesResponse>(
      "ResetSequences",
      [](TabletManager& manager, CallContext,
         tmd::ResetSequencesRequest) -> net::Task<Result<tmd::ResetSequencesResponse>> {
        co_await manager.queries().reset_sequences();
        co_return tmd::ResetSequencesResponse();
      });
  r.unary<::workflowdata::HoldTransactionsRequest, ::workflowdata::HoldTransactionsResponse>(
      "HoldTransactions",
      [](TabletManager& manager, CallContext, ::workflowdata::HoldTransactionsRequest request)
          -> net::Task<Result<::workflowdata::HoldTransactionsResponse>> {
        std::vector<std::string> tables;
        for (const auto& table : request.tables()) tables.push_back(base::to_lower(table));
        ::workflowdata::HoldTransactionsResponse response;
        // Longer than behind the fence: only clients that are about to begin a transaction wait.
        response.set_open(
            co_await manager.queries().hold_transactions(std::move(tables), 3 * manager.settings().fence_grace));
        co_return response;
      });
  r.unary<tmd::SetReadOnlyRequest, tmd::SetReadOnlyResponse>(
      "SetReadOnly",
      [](TabletManager& manager, CallContext context,
         tmd::SetReadOnlyRequest) -> net::Task<Result<tmd::SetReadOnlyResponse>> {
        CO_RETURN_IF_ERROR(co_await manager.set_writable(false, bounded(context)));
        co_return tmd::SetReadOnlyResponse();
      });
  r.unary<tmd::SetReadWriteRequest, tmd::SetReadWriteResponse>(
      "SetReadWrite",
      [](TabletManager& manager, CallContext context,
         tmd::SetReadWriteRequest) -> net::Task<Result<tmd::SetReadWriteResponse>> {
        CO_RETURN_IF_ERROR(co_await manager.set_writable(true, bounded(context)));
        co_return tmd::SetReadWriteResponse();
      });
  r.unary<tmd::LockTablesRequest, tmd::LockTablesResponse>(
      "LockTables",
      [](TabletManager& manager, CallContext context,
         tmd::LockTablesRequest) -> net::Task<Result<tmd::LockTablesResponse>> {
        CO_RETURN_IF_ERROR(co_await manager.lock_tables(bounded(context)));
        co_return tmd::LockTablesResponse();
      });
  r.unary<tmd::UnlockTablesRequest, tmd::UnlockTablesResponse>(
      "UnlockTables",
      [](TabletManager& manager, CallContext context,
         tmd::UnlockTablesRequest) -> net::Task<Result<tmd::UnlockTablesResponse>> {
        CO_RETURN_IF_ERROR(co_await manager.unlock_tables(bounded(context)));
        co_return tmd::UnlockTablesResponse();
      });
  r.unary<tmd::ChangeTagsRequest, tmd::ChangeTagsResponse>(
      "ChangeTags",
      [](TabletManager& manager, CallContext context,
         tmd::ChangeTagsRequest request) -> net::Task<Result<tmd::ChangeTagsResponse>> {
        std::map<std::string, std::string> tags(request.tags().begin(), request.tags().end());
        CO_RETURN_IF_ERROR(co_await manager.change_tags(std::move(tags), request.replace(), bounded(context)));
        tmd::ChangeTagsResponse response;
        *response.mutable_tags() = manager.record().tags();
        co_return response;
      });
  r.unary<tmd::ExecuteHookRequest, tmd::ExecuteHookResponse>(
      "ExecuteHook",
      [](TabletManager& manager, CallContext context,
         tmd::ExecuteHookRequest request) -> net::Task<Result<tmd::ExecuteHookResponse>> {
        co_return co_await run_hook(std::move(request), manager.settings().tablet_path, bounded(context));
      });
}

}  // namespace

void register_tablet_handlers(rpc::Server& server, net::Loop& loop, TabletManager& manager) {
  Registrar registrar(server, loop, manager);
  register_basics(registrar);
  register_sql_rpcs(registrar);
  register_replication_rpcs(registrar);
  register_backup_rpcs(server, loop, manager);
  rpc::handle_server_stream<::query::StreamHealthRequest, ::query::StreamHealthResponse>(
      server, "/queryservice.Query/StreamHealth", loop,
      [&manager](CallContext context, ::query::StreamHealthRequest,
                 rpc::TypedWriter<::query::StreamHealthResponse> writer) {
        return manager.health().serve(std::move(context), std::move(writer), manager.settings().health_check_interval);
      });
}

}  // namespace vitrail::tablet
