#include "movement/engine.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/check.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/text.h"
#include "movement/copy_lanes.h"
#include "movement/engine_core.h"
#include "movement/table_schema.h"
#include "rpc/typed.h"

namespace vitrail::movement {
namespace {

// Runs a task on the engine's loop and comes back to the caller's.
template <typename T>
net::Task<T> on_loop(net::Loop& loop, net::Task<T> task) {
  net::Loop* back = net::Loop::current();
  co_await loop.enter();
  T result = co_await std::move(task);
  if (back != nullptr) co_await back->enter();
  co_return result;
}

net::Task<void> on_loop(net::Loop& loop, net::Task<void> task) {
  net::Loop* back = net::Loop::current();
  co_await loop.enter();
  co_await std::move(task);
  if (back != nullptr) co_await back->enter();
}

::query::Type proto_type(const mysql::ColumnDef& column) {
  const bool binary = column.collation == 63;
  switch (column.type) {
    case mysql::FieldType::kTiny: return column.is_unsigned() ? ::query::UINT8 : ::query::INT8;
    case mysql::FieldType::kShort: return column.is_unsigned() ? ::query::UINT16 : ::query::INT16;
    case mysql::FieldType::kInt24: return column.is_unsigned() ? ::query::UINT24 : ::query::INT24;
    case mysql::FieldType::kLong: return column.is_unsigned() ? ::query::UINT32 : ::query::INT32;
    case mysql::FieldType::kLongLong: return column.is_unsigned() ? ::query::UINT64 : ::query::INT64;
    case mysql::FieldType::kFloat: return ::query::FLOAT32;
    case mysql::FieldType::kDouble: return ::query::FLOAT64;
    case mysql::FieldType::kDecimal:
    case mysql::FieldType::kNewDecimal: return ::query::DECIMAL;
    case mysql::FieldType::kTimestamp: return ::query::TIMESTAMP;
    case mysql::FieldType::kDate: return ::query::DATE;
    case mysql::FieldType::kTime: return ::query::TIME;
    case mysql::FieldType::kDatetime: return ::query::DATETIME;
    case mysql::FieldType::kYear: return ::query::YEAR;
    case mysql::FieldType::kNull: return ::query::NULL_TYPE;
    case mysql::FieldType::kBit: return ::query::BIT;
    case mysql::FieldType::kBlob:
    case mysql::FieldType::kTinyBlob:
    case mysql::FieldType::kMediumBlob:
    case mysql::FieldType::kLongBlob: return binary ? ::query::BLOB : ::query::TEXT;
    default: return binary ? ::query::VARBINARY : ::query::VARCHAR;
  }
}

}  // namespace

::query::QueryResult to_proto(const net::QueryResult& result) {
  ::query::QueryResult out;
  for (const auto& column : result.columns) {
    ::query::Field* field = out.add_fields();
    field->set_name(column.name);
    field->set_type(proto_type(column));
    field->set_charset(column.collation);
    field->set_flags(column.flags);
  }
  for (const auto& row : result.rows) {
    ::query::Row* to = out.add_rows();
    for (const auto& cell : row) append_cell(*to, cell ? mysql::Cell(*cell) : mysql::Cell());
  }
  out.set_rows_affected(result.ok.affected_rows);
  out.set_insert_id(result.ok.last_insert_id);
  return out;
}

// --- Engine ---------------------------------------------------------------------------------------------------------

Engine::Engine(EngineOptions options) : core_(std::make_unique<Core>(std::move(options))) {}

Engine::~Engine() = default;

net::Loop& Engine::loop() { return core_->thread.loop(); }

net::Task<Status> Engine::open() { return on_loop(loop(), core_->open()); }
net::Task<void> Engine::close() { return on_loop(loop(), core_->close()); }

#define VITRAIL_MOVEMENT_RPC(name, Request, Response)                                                 \
  net::Task<Result<::tabletmanagerdata::Response>> Engine::name(::tabletmanagerdata::Request request, \
                                                                Deadline deadline) {                  \
    return on_loop(loop(), core_->name(std::move(request), net::Wait::until(deadline)));              \
  }
VITRAIL_MOVEMENT_RPC(create_workflow, CreateVReplicationWorkflowRequest, CreateVReplicationWorkflowResponse)
VITRAIL_MOVEMENT_RPC(read_workflow, ReadVReplicationWorkflowRequest, ReadVReplicationWorkflowResponse)
VITRAIL_MOVEMENT_RPC(read_workflows, ReadVReplicationWorkflowsRequest, ReadVReplicationWorkflowsResponse)
VITRAIL_MOVEMENT_RPC(update_workflow, UpdateVReplicationWorkflowRequest, UpdateVReplicationWorkflowResponse)
VITRAIL_MOVEMENT_RPC(update_workflows, UpdateVReplicationWorkflowsRequest, UpdateVReplicationWorkflowsResponse)
VITRAIL_MOVEMENT_RPC(delete_workflow, DeleteVReplicationWorkflowRequest, DeleteVReplicationWorkflowResponse)
VITRAIL_MOVEMENT_RPC(has_workflows, HasVReplicationWorkflowsRequest, HasVReplicationWorkflowsResponse)
VITRAIL_MOVEMENT_RPC(vreplication_exec, VReplicationExecRequest, VReplicationExecResponse)
VITRAIL_MOVEMENT_RPC(wait_for_position, VReplicationWaitForPosRequest, VReplicationWaitForPosResponse)
VITRAIL_MOVEMENT_RPC(vdiff, VDiffRequest, VDiffResponse)
#undef VITRAIL_MOVEMENT_RPC

void Engine::register_handlers(rpc::Server& server) {
  Core* core = core_.get();
#define VITRAIL_MOVEMENT_RPC(name, Method, Request, Response)                     \
  rpc::handle_unary<::tabletmanagerdata::Request, ::tabletmanagerdata::Response>( \
      server, "/tabletmanagerservice.TabletManager/" Method, loop(),              \
      [core](rpc::CallContext context, ::tabletmanagerdata::Request request) {    \
        return core->name(std::move(request), context.wait());                    \
      });
  VITRAIL_MOVEMENT_RPC(create_workflow, "CreateVReplicationWorkflow", CreateVReplicationWorkflowRequest,
                       CreateVReplicationWorkflowResponse)
  VITRAIL_MOVEMENT_RPC(read_workflow, "ReadVReplicationWorkflow", ReadVReplicationWorkflowRequest,
                       ReadVReplicationWorkflowResponse)
  VITRAIL_MOVEMENT_RPC(read_workflows, "ReadVReplicationWorkflows", ReadVReplicationWorkflowsRequest,
                       ReadVReplicationWorkflowsResponse)
  VITRAIL_MOVEMENT_RPC(update_workflow, "UpdateVReplicationWorkflow", UpdateVReplicationWorkflowRequest,
                       UpdateVReplicationWorkflowResponse)
  VITRAIL_MOVEMENT_RPC(update_workflows, "UpdateVReplicationWorkflows", UpdateVReplicationWorkflowsRequest,
                       UpdateVReplicationWorkflowsResponse)
  VITRAIL_MOVEMENT_RPC(delete_workflow, "DeleteVReplicationWorkflow", DeleteVReplicationWorkflowRequest,
                       DeleteVReplicationWorkflowResponse)
  VITRAIL_MOVEMENT_RPC(has_workflows, "HasVReplicationWorkflows", HasVReplicationWorkflowsRequest,
                       HasVReplicationWorkflowsResponse)
  VITRAIL_MOVEMENT_RPC(vreplication_exec, "VReplicationExec", VReplicationExecRequest, VReplicationExecResponse)
  VITRAIL_MOVEMENT_RPC(wait_for_position, "VReplicationWaitForPos", VReplicationWaitForPosRequest,
                       VReplicationWaitForPosResponse)
  VITRAIL_MOVEMENT_RPC(vdiff, "VDiff", VDiffRequest, VDiffResponse)
#undef VITRAIL_MOVEMENT_RPC
}

std::string Engine::status_json() const {
  const std::lock_guard lock(core_->status_mutex);
  return core_->status;
}

// --- Core -----------------------------------------------------------------------------------------------------------

Engine::Core::Core(EngineOptions given)
    : context{std::move(given)},
      thread("movement"),
      vdiffs(*this),
      pieces(std::clamp<size_t>(context.options.copy_lanes, 1, CopyLanes::kLanesMax)) {
  context.pieces = &pieces;
  context.copying = &copying;
  CHECK(context.options.sources != nullptr);
  base::Metrics* metrics = context.options.metrics;
  if (metrics == nullptr) return;
  context.rows_copied = &metrics->counter("VReplicationRowsCopied", "rows that copies have inserted");
  context.transactions = &metrics->counter("VReplicationTransactions", "transactions of sources that were applied");
  context.commits = &metrics->counter("VReplicationCommits", "transactions of this server in which they were applied");
  stream_count = &metrics->gauge("VReplicationStreamCount", "streams that this tablet runs");
  context.errors = &metrics->counter("VReplicationErrors", "failures of streams");
  subscriptions.push_back(metrics->json_function("VReplicationStreams", [this] {
    const std::lock_guard lock(status_mutex);
    return status;
  }));
}

Engine::Core::~Core() { CHECK(!opened && controllers.empty()); }

Status Engine::Core::check_open() const {
  if (opened) return {};
  return fail(Code::kFailedPrecondition, "this tablet is not a primary: it applies no streams");
}

std::string Engine::Core::in_workflow(const std::string& workflow) const {
  return fmt::format("workflow = {} AND db_name = {}", sql_text(workflow), sql_text(context.options.db_name));
}

net::Task<Result<std::unique_ptr<ServerSession>>> Engine::Core::connect(net::Wait wait) {
  return ServerSession::open(context.apply_login(), mysqld::ConnectionPurpose::kDba, std::move(wait));
}

net::Task<Result<std::unique_ptr<ServerSession>>> Engine::Core::connect_dba(net::Wait wait) {
  return ServerSession::open(
      {context.options.mysqld, context.options.dba_user, context.options.dba_password, context.options.sidecar},
      mysqld::ConnectionPurpose::kDba, std::move(wait));
}

Stream* Engine::Core::find_stream(int32_t id) {
  const auto found = controllers.find(id);
  return found == controllers.end() ? nullptr : &found->second->stream;
}

std::vector<Stream*> Engine::Core::streams_of(const std::string& workflow) {
  std::vector<Stream*> streams;
  for (auto& [id, controller] : controllers) {
    if (controller->stream.record().workflow == workflow) streams.push_back(&controller->stream);
  }
  return streams;
}

void Engine::Core::start_stream(int32_t id) {
  auto& controller = controllers[id];
  if (controller != nullptr) return;
  controller = std::make_unique<StreamController>(context, id);
  controller->scope.spawn(controller->stream.run(controller->scope.token()));
  if (stream_count != nullptr) stream_count->set(static_cast<int64_t>(controllers.size()));
}

net::Task<void> Engine::Core::stop_stream(int32_t id) {
  const auto found = controllers.find(id);
  if (found == controllers.end()) co_return;
  StreamController& controller = *found->second;
  controller.scope.request_stop();
  co_await controller.scope.join();
  // Those who wait for it have been told and must have gone before it is.
  while (controller.stream.in_use()) (void)co_await net::sleep_for(std::chrono::milliseconds(1));
  controllers.erase(id);
  if (stream_count != nullptr) stream_count->set(static_cast<int64_t>(controllers.size()));
}

net::Task<Status> Engine::Core::start_streams(ServerSession& session, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(
      const auto ids,
      co_await find_ids(
          session, fmt::format("db_name = {} AND state NOT IN ('Stopped', 'Error')", sql_text(context.options.db_name)),
          wait));
  for (const int32_t id : ids) {
    Stream* stream = find_stream(id);
    if (stream != nullptr && stream->ended()) co_await stop_stream(id);
    start_stream(id);
  }
  co_return Status{};
}

net::Task<Result<std::vector<int32_t>>> Engine::Core::find_ids(ServerSession& session, std::string where,
                                                               net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const auto rows, co_await session.query("SELECT id FROM _vt.vreplication WHERE " + where, wait));
  std::vector<int32_t> ids;
  for (size_t i = 0; i < rows.rows.size(); ++i) {
    ids.push_back(static_cast<int32_t>(mysqld::to_int(rows.text(i, 0)).value_or(0)));
  }
  co_return ids;
}

net::Task<Status> Engine::Core::open() {
  CO_ASSIGN_OR_RETURN(const auto guard, co_await admin.lock({}));
  if (opened) co_return Status{};
  opened = true;
  scope = std::make_unique<net::Scope>();
  scope->spawn(keep_opening());
  co_return Status{};
}

// Until it has worked once; then publishes the state of the streams now and then.
net::Task<void> Engine::Core::keep_opening() {
  const net::CancelToken cancel = scope->token();
  base::Duration delay = std::chrono::milliseconds(100);
  while (!cancel.cancelled()) {
    const net::Wait wait = net::Wait::within(std::chrono::seconds(10), cancel);
    Status status = co_await [](Core& core, net::Wait wait) -> net::Task<Status> {
      CO_ASSIGN_OR_RETURN(const auto guard, co_await core.admin.lock(wait));
      CO_ASSIGN_OR_RETURN(const auto session, co_await core.connect(wait));
      CO_RETURN_IF_ERROR(co_await core.start_streams(*session, wait));
      co_return co_await core.vdiffs.open(*session, wait);
    }(*this, wait);
    if (status.has_value()) break;
    log_warning("movement: the streams of this tablet cannot be started yet ({})",
                base::code_name(status.error().code()));
    (void)co_await net::sleep_for(delay, cancel);
    delay = std::min<base::Duration>(delay * 2, std::chrono::seconds(5));
  }
  while (!cancel.cancelled()) {
    publish_status();
    (void)co_await net::sleep_for(std::chrono::seconds(1), cancel);
  }
}

net::Task<void> Engine::Core::close() {
  {
    auto guard = co_await admin.lock({});
    if (!opened) co_return;
    opened = false;
  }
  scope->request_stop();
  co_await scope->join();
  co_await vdiffs.close();
  auto guard = co_await admin.lock({});
  for (auto& [id, controller] : controllers) controller->scope.request_stop();
  while (!controllers.empty()) co_await stop_stream(controllers.begin()->first);
  scope.reset();
  publish_status();
}

void Engine::Core::publish_status() {
  std::string json = "{";
  for (const auto& [id, controller] : controllers) {
    const Stream& stream = controller->stream;
    const StreamRecord& record = stream.record();
    if (json.size() > 1) json += ',';
    json += fmt::format(
        R"("{}":{{"Workflow":{},"State":{},"Position":{},"Source":{},"RowsCopied":{},"TransactionTimestamp":{},"Message":{}}})",
        id, base::json_string(record.workflow), base::json_string(state_word(record.state)),
        base::json_string(record.pos), base::json_string(record.source.keyspace() + "/" + record.source.shard()),
        record.rows_copied, record.transaction_timestamp, base::json_string(record.message));
  }
  json += '}';
  const std::lock_guard lock(status_mutex);
  status = std::move(json);
}

}  // namespace vitrail::movement
