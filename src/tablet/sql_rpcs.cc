// TabletManager's methods on the schema, and those that run statements.
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <optional>

#include "exec/proto_result.h"
#include "movement/epochs.h"
#include "mysqld/rows.h"
#include "sql/fingerprint.h"
#include "sql/parser.h"
#include "tablet/permissions.h"
#include "tablet/rpc_registrar.h"
#include "topo/workflow_fence.h"

namespace vitrail::tablet {
namespace {

namespace tmd = ::tabletmanagerdata;
using rpc::CallContext;

using WorkflowFence = std::optional<::workflowdata::Fence>;

struct CloseAfter {
  net::MysqlPool::Lease& lease;
  const bool wanted;
  ~CloseAfter() {
    if (wanted) lease.discard();
  }
};

// A statement of a workflow's operation: refused when the operation has another owner by now, and one at a time, so
// that whoever takes it back comes behind it. The lock ends with the connection. Only on the primary: this account may
// write where others must not, and a replica that was changed could follow no more.
net::Task<Status> enter_epoch(TabletManager& manager, net::MysqlPool::Lease& lease, const ::workflowdata::Fence& fence,
                              net::Wait wait) {
  LocalServer& server = manager.server();
  auto locked = co_await lease->client.query(
      fmt::format("SELECT GET_LOCK({}, 60)", mysqld::quote_string(movement::epoch_lock_name(fence))), wait);
  if (!locked.ok()) co_return std::move(locked).error();
  if (locked->text(0, 0) != "1") {
    co_return fail(Code::kUnavailable, "another statement of the same workflow is under way on this tablet");
  }
  if (manager.summary().role != role_name(RoleKind::kPrimary)) {
    co_return fail(Code::kUnavailable,
                   "this tablet is not the primary of its shard (any more): a workflow's statements "
                   "are for the primary");
  }
  auto known = co_await lease->client.query(server.translated(movement::select_epoch(fence)), wait);
  if (!known.ok()) co_return std::move(known).error();
  std::optional<int64_t> latest;
  if (!known->rows.empty()) latest = mysqld::to_int(known->text(0, 0)).value_or(-1);
  CO_RETURN_IF_ERROR(movement::check_epoch(fence, latest));
  for (auto& text : movement::note_epoch(fence, latest, std::time(nullptr))) {
    auto noted = co_await lease->client.query(server.translated(std::move(text)), wait);
    if (!noted.ok()) co_return std::move(noted).error();
  }
  co_return Status{};
}

net::Task<Result<::query::QueryResult>> fetch(TabletManager& manager, std::string sql, std::string database,
                                              uint64_t max_rows, bool disable_binlogs, net::Wait wait,
                                              bool disable_foreign_keys = false, WorkflowFence fence = {}) {
  CO_ASSIGN_OR_RETURN(auto lease, co_await manager.server().connection(wait));
  const CloseAfter close{lease, fence.has_value()};
  if (fence) CO_RETURN_IF_ERROR(co_await enter_epoch(manager, lease, *fence, wait));
  std::vector<std::string> before;
  if (database == movement::kSidecarDatabase) database = manager.server().sidecar();
  if (!database.empty()) before.push_back("use " + mysqld::quote_identifier(database));
  if (disable_binlogs) before.push_back("set sql_log_bin = 0");
  if (disable_foreign_keys) before.push_back("set foreign_key_checks = 0");
  for (auto& text : before) {
    auto done = co_await lease->client.query(std::move(text), wait);
    if (!done.ok()) co_return std::move(done).error();
  }
  if (!before.empty()) lease->settings = "changed";  // Reset before its next use.
  // Several statements run in turn on one connection; the first one's result is the answer, as Vitess gives it.
  const auto spans = sql::split_statements(sql);
  std::vector<std::string> texts;
  if (spans.ok()) {
    for (const auto& span : *spans) texts.emplace_back(span.of(sql));
  }
  if (texts.size() < 2) texts = {std::move(sql)};
  for (std::string& text : texts) text = manager.server().translated(std::move(text));
  std::optional<::query::QueryResult> first;
  const bool changes_tables = std::ranges::any_of(texts, [](const std::string& text) {
    std::array<sql::LiteralPosition, 1> literals;
    return sql::fingerprint(text, literals).kind == sql::StatementKind::kDdl;
  });
  for (size_t i = 0; i < texts.size(); ++i) {
    auto result = co_await lease->client.query(std::move(texts[i]), wait, max_rows == 0 ? 10'000 : max_rows);
    if (!result.ok() && texts.size() == 1) co_return std::move(result).error();
    if (!result.ok()) {
      co_return std::move(result).error().with_context(
          fmt::format("statement {} of {}, those before it were run", i + 1, texts.size()));
    }
    if (!first) first = exec::to_proto(*result);
  }
  if (changes_tables) manager.tables_may_have_changed();
  co_return std::move(*first);
}

// A statement of another account, which may do less than we.
net::Task<Result<::query::QueryResult>> fetch_as(TabletManager& manager, LocalServer::Account account, std::string sql,
                                                 std::string database, uint64_t max_rows, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const auto result,
                      co_await manager.server().query_as(std::move(account), std::move(database), std::move(sql),
                                                         max_rows == 0 ? 10'000 : max_rows, wait));
  co_return exec::to_proto(result);
}

void register_rpcs(Registrar& r) {
  r.unary<tmd::GetSchemaRequest, tmd::GetSchemaResponse>(
      "GetSchema",
      [](TabletManager& manager, CallContext context,
         tmd::GetSchemaRequest request) -> net::Task<Result<tmd::GetSchemaResponse>> {
        CO_ASSIGN_OR_RETURN(auto definition, co_await manager.server().schema(
                                                 manager.database(), {request.tables().begin(), request.tables().end()},
                                                 {request.exclude_tables().begin(), request.exclude_tables().end()},
                                                 request.include_views(), bounded(context)));
        tmd::GetSchemaResponse response;
        *response.mutable_schema_definition() = std::move(definition);
        co_return response;
      });
  r.unary<tmd::ReloadSchemaRequest, tmd::ReloadSchemaResponse>(
      "ReloadSchema",
      [](TabletManager& manager, CallContext context,
         tmd::ReloadSchemaRequest request) -> net::Task<Result<tmd::ReloadSchemaResponse>> {
        // What the caller wants to be sure of is the position; vtgates hear of what has changed.
        if (!request.wait_position().empty()) {
          CO_RETURN_IF_ERROR(co_await manager.server().wait_for_position(request.wait_position(), bounded(context)));
        }
        manager.tables_may_have_changed();
        co_return tmd::ReloadSchemaResponse();
      });
  r.unary<tmd::ExecuteFetchAsDbaRequest, tmd::ExecuteFetchAsDbaResponse>(
      "ExecuteFetchAsDba",
      [](TabletManager& manager, CallContext context,
         tmd::ExecuteFetchAsDbaRequest request) -> net::Task<Result<tmd::ExecuteFetchAsDbaResponse>> {
        CO_ASSIGN_OR_RETURN(
            auto result,
            co_await fetch(manager, request.query(), request.db_name(), request.max_rows(), request.disable_binlogs(),
                           bounded(context), request.disable_foreign_key_checks(), topo::find_fence(request)));
        tmd::ExecuteFetchAsDbaResponse response;
        *response.mutable_result() = std::move(result);
        co_return response;
      });
  r.unary<tmd::ExecuteFetchAsAppRequest, tmd::ExecuteFetchAsAppResponse>(
      "ExecuteFetchAsApp",
      [](TabletManager& manager, CallContext context,
         tmd::ExecuteFetchAsAppRequest request) -> net::Task<Result<tmd::ExecuteFetchAsAppResponse>> {
        CO_ASSIGN_OR_RETURN(auto result, co_await fetch_as(manager, manager.app_account(), request.query(),
                                                           manager.database(), request.max_rows(), bounded(context)));
        tmd::ExecuteFetchAsAppResponse response;
        *response.mutable_result() = std::move(result);
        co_return response;
      });
  r.unary<tmd::ExecuteMultiFetchAsDbaRequest, tmd::ExecuteMultiFetchAsDbaResponse>(
      "ExecuteMultiFetchAsDba",
      [](TabletManager& manager, CallContext context,
         tmd::ExecuteMultiFetchAsDbaRequest request) -> net::Task<Result<tmd::ExecuteMultiFetchAsDbaResponse>> {
        CO_ASSIGN_OR_RETURN(const auto spans, sql::split_statements(request.sql()));
        tmd::ExecuteMultiFetchAsDbaResponse response;
        for (const auto& span : spans) {
          CO_ASSIGN_OR_RETURN(
              auto result,
              co_await fetch(manager, std::string(span.of(request.sql())), request.db_name(), request.max_rows(),
                             request.disable_binlogs(), bounded(context), request.disable_foreign_key_checks()));
          *response.add_results() = std::move(result);
        }
        co_return response;
      });
  r.unary<tmd::ExecuteFetchAsAllPrivsRequest, tmd::ExecuteFetchAsAllPrivsResponse>(
      "ExecuteFetchAsAllPrivs",
      [](TabletManager& manager, CallContext context,
         tmd::ExecuteFetchAsAllPrivsRequest request) -> net::Task<Result<tmd::ExecuteFetchAsAllPrivsResponse>> {
        CO_ASSIGN_OR_RETURN(auto result, co_await fetch_as(manager, manager.all_privileges_account(), request.query(),
                                                           request.db_name(), request.max_rows(), bounded(context)));
        tmd::ExecuteFetchAsAllPrivsResponse response;
        *response.mutable_result() = std::move(result);
        co_return response;
      });
  r.unary<tmd::ExecuteQueryRequest, tmd::ExecuteQueryResponse>(
      "ExecuteQuery",
      [](TabletManager& manager, CallContext context,
         tmd::ExecuteQueryRequest request) -> net::Task<Result<tmd::ExecuteQueryResponse>> {
        CO_ASSIGN_OR_RETURN(auto result,
                            co_await fetch_as(manager, manager.app_account(), request.query(),
                                              request.db_name().empty() ? manager.database() : request.db_name(),
                                              request.max_rows(), bounded(context)));
        tmd::ExecuteQueryResponse response;
        *response.mutable_result() = std::move(result);
        co_return response;
      });
  r.unary<tmd::GetPermissionsRequest, tmd::GetPermissionsResponse>(
      "GetPermissions",
      [](TabletManager& manager, CallContext context,
         tmd::GetPermissionsRequest) -> net::Task<Result<tmd::GetPermissionsResponse>> {
        CO_ASSIGN_OR_RETURN(auto permissions, co_await read_permissions(manager.server(), bounded(context)));
        tmd::GetPermissionsResponse response;
        *response.mutable_permissions() = std::move(permissions);
        co_return response;
      });
  r.unary<tmd::GetGlobalStatusVarsRequest, tmd::GetGlobalStatusVarsResponse>(
      "GetGlobalStatusVars",
      [](TabletManager& manager, CallContext context,
         tmd::GetGlobalStatusVarsRequest request) -> net::Task<Result<tmd::GetGlobalStatusVarsResponse>> {
        std::string sql = "show global status";
        for (const auto& name : request.variables()) {
          sql += (sql.ends_with("status") ? " where variable_name in (" : ", ") + mysqld::quote_string(name);
        }
        if (request.variables_size() > 0) sql += ")";
        CO_ASSIGN_OR_RETURN(const auto result, co_await manager.server().query(sql, bounded(context)));
        tmd::GetGlobalStatusVarsResponse response;
        for (size_t i = 0; i < result.rows.size(); ++i) {
          (*response.mutable_status_values())[std::string(result.text(i, 0))] = std::string(result.text(i, 1));
        }
        co_return response;
      });
}

}  // namespace

void register_sql_rpcs(Registrar& r) { register_rpcs(r); }

}  // namespace vitrail::tablet
