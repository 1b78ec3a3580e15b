#include "tablet/tablet_rpcs.h"

#include <fmt/core.h>

#include "mysqld/rows.h"
#include "mysqld/schema_sql.h"
#include "query.pb.h"
#include "replicationdata.pb.h"
#include "rpc/typed.h"
#include "sql/parser.h"
#include "topo/tablet.h"

namespace vitrail::tablet {
namespace {

namespace tmd = ::tabletmanagerdata;
using rpc::CallContext;
using namespace std::chrono_literals;

constexpr std::string_view kService = "/tabletmanagerservice.TabletManager/";

// Operations of the control plane take what they take; without a deadline of the caller they still end.
net::Wait bounded(const CallContext& context) {
  net::Wait wait = context.wait();
  if (wait.deadline == base::TimePoint::max()) wait.deadline = base::system_clock().now() + 10min;
  return wait;
}

::query::Type to_query_type(const mysql::ColumnDef& column) {
  using mysql::FieldType;
  const bool u = column.is_unsigned();
  const bool binary = column.collation == mysql::kBinaryCollation;
  switch (column.type) {
    case FieldType::kTiny: return u ? ::query::UINT8 : ::query::INT8;
    case FieldType::kShort: return u ? ::query::UINT16 : ::query::INT16;
    case FieldType::kInt24: return u ? ::query::UINT24 : ::query::INT24;
    case FieldType::kLong: return u ? ::query::UINT32 : ::query::INT32;
    case FieldType::kLongLong: return u ? ::query::UINT64 : ::query::INT64;
    case FieldType::kFloat: return ::query::FLOAT32;
    case FieldType::kDouble: return ::query::FLOAT64;
    case FieldType::kTimestamp: return ::query::TIMESTAMP;
    case FieldType::kDate: return ::query::DATE;
    case FieldType::kTime: return ::query::TIME;
    case FieldType::kDatetime: return ::query::DATETIME;
    case FieldType::kYear: return ::query::YEAR;
    case FieldType::kDecimal:
    case FieldType::kNewDecimal: return ::query::DECIMAL;
    case FieldType::kBit: return ::query::BIT;
    case FieldType::kEnum: return ::query::ENUM;
    case FieldType::kSet: return ::query::SET;
    case FieldType::kJson: return ::query::JSON;
    case FieldType::kGeometry: return ::query::GEOMETRY;
    case FieldType::kNull: return ::query::NULL_TYPE;
    case FieldType::kTinyBlob:
    case FieldType::kMediumBlob:
    case FieldType::kLongBlob:
    case FieldType::kBlob: return binary ? ::query::BLOB : ::query::TEXT;
    case FieldType::kString: return binary ? ::query::BINARY : ::query::CHAR;
    default: return binary ? ::query::VARBINARY : ::query::VARCHAR;
  }
}

::query::QueryResult to_proto(const net::QueryResult& result) {
  ::query::QueryResult out;
  for (const auto& column : result.columns) {
    auto* field = out.add_fields();
    field->set_name(column.name);
    field->set_type(to_query_type(column));
    field->set_table(column.table);
    field->set_org_table(column.org_table);
    field->set_database(column.schema);
    field->set_org_name(column.org_name);
    field->set_column_length(column.length);
    field->set_charset(column.collation);
    field->set_decimals(column.decimals);
    field->set_flags(column.flags);
  }
  for (const auto& row : result.rows) {
    auto* target = out.add_rows();
    for (const auto& cell : row) {
      target->add_lengths(cell ? static_cast<int64_t>(cell->size()) : -1);
      if (cell) target->mutable_values()->append(*cell);
    }
  }
  out.set_rows_affected(result.ok.affected_rows);
  out.set_insert_id(result.ok.last_insert_id);
  return out;
}

::replicationdata::Status to_proto(const mysqld::ReplicationStatus& status, std::string_view prefix) {
  ::replicationdata::Status out;
  if (!status.executed.empty()) out.set_position(std::string(prefix) + status.executed);
  if (!status.received.empty()) out.set_relay_log_position(std::string(prefix) + status.received);
  out.set_replication_lag_seconds(status.lag_seconds.value_or(0));
  out.set_replication_lag_unknown(!status.lag_seconds.has_value());
  out.set_source_host(status.source_host);
  out.set_source_port(status.source_port);
  out.set_source_user(status.source_user);
  out.set_connect_retry(static_cast<int32_t>(status.connect_retry_seconds));
  out.set_source_server_id(status.source_server_id);
  const auto state = [](mysqld::ThreadState s) {
    return s == mysqld::ThreadState::kStopped ? 1 : s == mysqld::ThreadState::kConnecting ? 2 : 3;
  };
  out.set_io_state(state(status.io_state));
  out.set_sql_state(state(status.sql_state));
  out.set_last_io_error(status.last_io_error);
  out.set_last_sql_error(status.last_sql_error);
  out.set_auto_position(status.auto_position);
  out.set_using_gtid(!status.using_gtid.empty() && status.using_gtid != "No");
  return out;
}

// Registers unary handlers for one manager.
class Registrar {
 public:
  Registrar(rpc::Server& server, net::Loop& loop, TabletManager& manager)
      : server_(server), loop_(loop), manager_(manager) {}

  // `handler`: a captureless coroutine (TabletManager&, CallContext, Request) -> Task<Result<Response>>.
  template <typename Request, typename Response, typename Handler>
  void unary(std::string_view name, Handler handler) {
    rpc::handle_unary<Request, Response>(server_, std::string(kService).append(name), loop_,
                                         [manager = &manager_, handler](CallContext context, Request request) {
                                           return handler(*manager, std::move(context), std::move(request));
                                         });
  }

 private:
  rpc::Server& server_;
  net::Loop& loop_;
  TabletManager& manager_;
};

std::string prefix_of(TabletManager& manager) {
  return manager.server().flavor().kind() == mysqld::FlavorKind::kMariaDb ? "MariaDB/" : "MySQL56/";
}

net::Task<Result<::query::QueryResult>> fetch(TabletManager& manager, std::string sql, std::string database,
                                              uint64_t max_rows, bool disable_binlogs, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(auto lease, co_await manager.server().connection(wait));
  std::vector<std::string> before;
  if (!database.empty()) before.push_back("use " + mysqld::quote_identifier(database));
  if (disable_binlogs) before.push_back("set sql_log_bin = 0");
  for (auto& text : before) {
    auto done = co_await lease->client.query(std::move(text), wait);
    if (!done.ok()) co_return std::move(done).error();
  }
  if (!before.empty()) lease->settings = "changed";  // Reset before its next use.
  auto result = co_await lease->client.query(std::move(sql), wait, max_rows == 0 ? 10'000 : max_rows);
  if (!result.ok()) co_return std::move(result).error();
  co_return to_proto(*result);
}

void register_basics(Registrar& r) {
  r.unary<tmd::PingRequest, tmd::PingResponse>(
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
        CO_RETURN_IF_ERROR(co_await manager.change_type(request.tablet_type(), bounded(context)));
        co_return tmd::ChangeTypeResponse();
      });
  r.unary<tmd::ResetSequencesRequest, tmd::ResetSequencesResponse>(
      "ResetSequences",
      [](TabletManager& manager, CallContext,
         tmd::ResetSequencesRequest) -> net::Task<Result<tmd::ResetSequencesResponse>> {
        co_await manager.queries().reset_sequences();
        co_return tmd::ResetSequencesResponse();
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
}

void register_schema(Registrar& r) {
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
        // Nothing of the schema is kept in memory; what the caller wants to be sure of is the position.
        if (!request.wait_position().empty()) {
          CO_RETURN_IF_ERROR(co_await manager.server().wait_for_position(request.wait_position(), bounded(context)));
        }
        co_return tmd::ReloadSchemaResponse();
      });
  r.unary<tmd::ExecuteFetchAsDbaRequest, tmd::ExecuteFetchAsDbaResponse>(
      "ExecuteFetchAsDba",
      [](TabletManager& manager, CallContext context,
         tmd::ExecuteFetchAsDbaRequest request) -> net::Task<Result<tmd::ExecuteFetchAsDbaResponse>> {
        CO_ASSIGN_OR_RETURN(auto result, co_await fetch(manager, request.query(), request.db_name(), request.max_rows(),
                                                        request.disable_binlogs(), bounded(context)));
        tmd::ExecuteFetchAsDbaResponse response;
        *response.mutable_result() = std::move(result);
        co_return response;
      });
  r.unary<tmd::ExecuteFetchAsAppRequest, tmd::ExecuteFetchAsAppResponse>(
      "ExecuteFetchAsApp",
      [](TabletManager& manager, CallContext context,
         tmd::ExecuteFetchAsAppRequest request) -> net::Task<Result<tmd::ExecuteFetchAsAppResponse>> {
        CO_ASSIGN_OR_RETURN(auto result, co_await fetch(manager, request.query(), manager.database(),
                                                        request.max_rows(), false, bounded(context)));
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
          CO_ASSIGN_OR_RETURN(auto result,
                              co_await fetch(manager, std::string(span.of(request.sql())), request.db_name(),
                                             request.max_rows(), request.disable_binlogs(), bounded(context)));
          *response.add_results() = std::move(result);
        }
        co_return response;
      });
}

void register_replication(Registrar& r) {
  r.unary<tmd::PrimaryPositionRequest, tmd::PrimaryPositionResponse>(
      "PrimaryPosition",
      [](TabletManager& manager, CallContext context,
         tmd::PrimaryPositionRequest) -> net::Task<Result<tmd::PrimaryPositionResponse>> {
        CO_ASSIGN_OR_RETURN(auto position, co_await manager.server().position(bounded(context)));
        tmd::PrimaryPositionResponse response;
        response.set_position(std::move(position));
        co_return response;
      });
  r.unary<tmd::WaitForPositionRequest, tmd::WaitForPositionResponse>(
      "WaitForPosition",
      [](TabletManager& manager, CallContext context,
         tmd::WaitForPositionRequest request) -> net::Task<Result<tmd::WaitForPositionResponse>> {
        CO_RETURN_IF_ERROR(co_await manager.server().wait_for_position(request.position(), bounded(context)));
        co_return tmd::WaitForPositionResponse();
      });
  r.unary<tmd::ReplicationStatusRequest, tmd::ReplicationStatusResponse>(
      "ReplicationStatus",
      [](TabletManager& manager, CallContext context,
         tmd::ReplicationStatusRequest) -> net::Task<Result<tmd::ReplicationStatusResponse>> {
        CO_ASSIGN_OR_RETURN(const auto status, co_await manager.server().replication_status(bounded(context)));
        tmd::ReplicationStatusResponse response;
        *response.mutable_status() = to_proto(status, prefix_of(manager));
        co_return response;
      });
  r.unary<tmd::PrimaryStatusRequest, tmd::PrimaryStatusResponse>(
      "PrimaryStatus",
      [](TabletManager& manager, CallContext context,
         tmd::PrimaryStatusRequest) -> net::Task<Result<tmd::PrimaryStatusResponse>> {
        CO_ASSIGN_OR_RETURN(auto position, co_await manager.server().position(bounded(context)));
        tmd::PrimaryStatusResponse response;
        response.mutable_status()->set_position(std::move(position));
        co_return response;
      });
  r.unary<tmd::StopReplicationRequest, tmd::StopReplicationResponse>(
      "StopReplication",
      [](TabletManager& manager, CallContext context,
         tmd::StopReplicationRequest) -> net::Task<Result<tmd::StopReplicationResponse>> {
        CO_RETURN_IF_ERROR(
            co_await manager.server().run(manager.server().flavor().stop_replication(), bounded(context)));
        co_return tmd::StopReplicationResponse();
      });
  r.unary<tmd::StartReplicationRequest, tmd::StartReplicationResponse>(
      "StartReplication",
      [](TabletManager& manager, CallContext context,
         tmd::StartReplicationRequest) -> net::Task<Result<tmd::StartReplicationResponse>> {
        CO_RETURN_IF_ERROR(
            co_await manager.server().run(manager.server().flavor().start_replication(), bounded(context)));
        co_return tmd::StartReplicationResponse();
      });
  r.unary<tmd::FullStatusRequest, tmd::FullStatusResponse>(
      "FullStatus",
      [](TabletManager& manager, CallContext context,
         tmd::FullStatusRequest) -> net::Task<Result<tmd::FullStatusResponse>> {
        const net::Wait wait = bounded(context);
        LocalServer& server = manager.server();
        CO_ASSIGN_OR_RETURN(const auto rows, co_await server.query(server.flavor().server_settings_query(), wait));
        CO_ASSIGN_OR_RETURN(const auto settings, server.flavor().parse_server_settings(to_rows(rows)));
        CO_ASSIGN_OR_RETURN(const auto status, co_await server.replication_status(wait));
        CO_ASSIGN_OR_RETURN(auto position, co_await server.position(wait));
        tmd::FullStatusResponse response;
        auto* full = response.mutable_status();
        full->set_server_id(settings.server_id);
        full->set_server_uuid(settings.server_uuid);
        full->set_version(settings.version);
        full->set_version_comment(settings.version_comment);
        full->set_read_only(settings.read_only);
        full->set_super_read_only(settings.super_read_only);
        full->set_log_bin_enabled(settings.log_bin);
        full->set_log_replica_updates(settings.log_replica_updates);
        full->set_binlog_format(settings.binlog_format);
        full->set_binlog_row_image(settings.binlog_row_image);
        full->set_gtid_mode(settings.gtid_mode);
        full->mutable_primary_status()->set_position(std::move(position));
        if (status.has_source()) *full->mutable_replication_status() = to_proto(status, prefix_of(manager));
        full->set_tablet_type(manager.record().type());
        co_return response;
      });
}

void register_reparent(Registrar& r) {
  r.unary<tmd::InitPrimaryRequest, tmd::InitPrimaryResponse>(
      "InitPrimary",
      [](TabletManager& manager, CallContext context,
         tmd::InitPrimaryRequest) -> net::Task<Result<tmd::InitPrimaryResponse>> {
        CO_ASSIGN_OR_RETURN(auto position, co_await manager.init_primary(bounded(context)));
        tmd::InitPrimaryResponse response;
        response.set_position(std::move(position));
        co_return response;
      });
  r.unary<tmd::PromoteReplicaRequest, tmd::PromoteReplicaResponse>(
      "PromoteReplica",
      [](TabletManager& manager, CallContext context,
         tmd::PromoteReplicaRequest) -> net::Task<Result<tmd::PromoteReplicaResponse>> {
        CO_ASSIGN_OR_RETURN(auto position, co_await manager.promote_replica(bounded(context)));
        tmd::PromoteReplicaResponse response;
        response.set_position(std::move(position));
        co_return response;
      });
  r.unary<tmd::DemotePrimaryRequest, tmd::DemotePrimaryResponse>(
      "DemotePrimary",
      [](TabletManager& manager, CallContext context,
         tmd::DemotePrimaryRequest) -> net::Task<Result<tmd::DemotePrimaryResponse>> {
        CO_ASSIGN_OR_RETURN(auto position, co_await manager.demote_primary(bounded(context)));
        tmd::DemotePrimaryResponse response;
        response.mutable_primary_status()->set_position(std::move(position));
        co_return response;
      });
  r.unary<tmd::UndoDemotePrimaryRequest, tmd::UndoDemotePrimaryResponse>(
      "UndoDemotePrimary",
      [](TabletManager& manager, CallContext context,
         tmd::UndoDemotePrimaryRequest) -> net::Task<Result<tmd::UndoDemotePrimaryResponse>> {
        CO_RETURN_IF_ERROR(co_await manager.undo_demote_primary(bounded(context)));
        co_return tmd::UndoDemotePrimaryResponse();
      });
  r.unary<tmd::InitReplicaRequest, tmd::InitReplicaResponse>(
      "InitReplica",
      [](TabletManager& manager, CallContext context,
         tmd::InitReplicaRequest request) -> net::Task<Result<tmd::InitReplicaResponse>> {
        CO_RETURN_IF_ERROR(co_await manager.set_replication_source(request.parent(), request.time_created_ns(), true,
                                                                   "", bounded(context)));
        co_return tmd::InitReplicaResponse();
      });
  r.unary<tmd::SetReplicationSourceRequest, tmd::SetReplicationSourceResponse>(
      "SetReplicationSource",
      [](TabletManager& manager, CallContext context,
         tmd::SetReplicationSourceRequest request) -> net::Task<Result<tmd::SetReplicationSourceResponse>> {
        CO_RETURN_IF_ERROR(co_await manager.set_replication_source(request.parent(), request.time_created_ns(),
                                                                   request.force_start_replication(),
                                                                   request.wait_position(), bounded(context)));
        co_return tmd::SetReplicationSourceResponse();
      });
  r.unary<tmd::PopulateReparentJournalRequest, tmd::PopulateReparentJournalResponse>(
      "PopulateReparentJournal",
      [](TabletManager& manager, CallContext context,
         tmd::PopulateReparentJournalRequest request) -> net::Task<Result<tmd::PopulateReparentJournalResponse>> {
        CO_RETURN_IF_ERROR(co_await manager.populate_reparent_journal(std::move(request), bounded(context)));
        co_return tmd::PopulateReparentJournalResponse();
      });
  r.unary<tmd::ReplicaWasPromotedRequest, tmd::ReplicaWasPromotedResponse>(
      "ReplicaWasPromoted",
      [](TabletManager& manager, CallContext context,
         tmd::ReplicaWasPromotedRequest) -> net::Task<Result<tmd::ReplicaWasPromotedResponse>> {
        CO_RETURN_IF_ERROR(co_await manager.change_type(::topodata::PRIMARY, bounded(context)));
        co_return tmd::ReplicaWasPromotedResponse();
      });
}

}  // namespace

void register_tablet_handlers(rpc::Server& server, net::Loop& loop, TabletManager& manager) {
  Registrar registrar(server, loop, manager);
  register_basics(registrar);
  register_schema(registrar);
  register_replication(registrar);
  register_reparent(registrar);
  rpc::handle_server_stream<::query::StreamHealthRequest, ::query::StreamHealthResponse>(
      server, "/queryservice.Query/StreamHealth", loop,
      [&manager](CallContext context, ::query::StreamHealthRequest,
                 rpc::TypedWriter<::query::StreamHealthResponse> writer) {
        return manager.health().serve(std::move(context), std::move(writer), manager.settings().health_check_interval);
      });
}

}  // namespace vitrail::tablet
