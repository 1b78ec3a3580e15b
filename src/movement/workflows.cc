#include <fmt/core.h>

#include <algorithm>

#include "base/text.h"
#include "movement/engine_core.h"
#include "movement/secondary_keys.h"
#include "movement/epochs.h"
#include "movement/sidecar.h"
#include "movement/table_schema.h"
#include "mysqld/rows.h"
#include "topo/workflow_fence.h"
#include "sql/parser.h"
#include "sql/printer.h"
#include "sql/tables.h"

// The RPCs on workflows: rows of _vt.vreplication, and the streams that they stand for.
namespace vitrail::movement {
namespace {

// Vitess clients write "leave it" so in lists.
constexpr std::string_view kNotGiven = "NULL";

std::string joined_cells(const google::protobuf::RepeatedPtrField<std::string>& cells) {
  return base::join(std::vector<std::string>(cells.begin(), cells.end()), ",");
}

void set_time(::vttime::Time* time, int64_t seconds) {
  if (seconds != 0) time->set_seconds(seconds);
}

void fill_stream(const StreamRecord& record, ::tabletmanagerdata::ReadVReplicationWorkflowResponse::Stream& out) {
  out.set_id(record.id);
  *out.mutable_bls() = record.source;
  out.set_pos(record.pos);
  out.set_stop_pos(record.stop_pos);
  out.set_max_tps(record.max_tps);
  out.set_max_replication_lag(record.max_replication_lag);
  set_time(out.mutable_time_updated(), record.time_updated);
  set_time(out.mutable_transaction_timestamp(), record.transaction_timestamp);
  out.set_state(record.state);
  out.set_message(record.message);
  out.set_rows_copied(record.rows_copied);
  set_time(out.mutable_time_heartbeat(), record.time_heartbeat);
  set_time(out.mutable_time_throttled(), record.time_throttled);
  out.set_component_throttled(record.component_throttled);
}

void fill_workflow(const StreamRecord& record, ::tabletmanagerdata::ReadVReplicationWorkflowResponse& out) {
  out.set_workflow(record.workflow);
  out.set_cells(record.cell);
  if (!record.tablet_types.empty()) {
    const TabletTypes types = parse_tablet_types(record.tablet_types);
    for (const auto type : types.types) out.add_tablet_types(type);
    out.set_tablet_selection_preference(types.in_order ? ::tabletmanagerdata::INORDER : ::tabletmanagerdata::ANY);
  }
  out.set_db_name(record.db_name);
  out.set_tags(record.tags);
  out.set_workflow_type(static_cast<::binlogdata::VReplicationWorkflowType>(record.workflow_type));
  out.set_workflow_sub_type(static_cast<::binlogdata::VReplicationWorkflowSubType>(record.workflow_sub_type));
  out.set_defer_secondary_keys(record.defer_secondary_keys);
  out.set_options(record.options);
}

std::string id_list(const std::vector<int32_t>& ids) {
  std::string list;
  for (const int32_t id : ids) list += fmt::format("{}{}", list.empty() ? "" : ",", id);
  return list.empty() ? "0" : list;
}

}  // namespace

net::Task<Status> Engine::Core::check_fence(ServerSession& session, std::optional<::workflowdata::Fence> fence,
                                            net::Wait wait) {
  if (!fence) co_return Status{};
  CO_ASSIGN_OR_RETURN(const auto known, co_await session.query(select_epoch(*fence), wait));
  const std::optional<int64_t> latest =
      known.rows.empty() ? std::optional<int64_t>() : mysqld::to_int(known.text(0, 0)).value_or(-1);
  CO_RETURN_IF_ERROR(check_epoch(*fence, latest));
  // Noted before the command is carried out: what comes later from an owner before is refused.
  co_return co_await session.run(note_epoch(*fence, latest, unix_now()), wait);
}

net::Task<Result<net::QueryResult>> Engine::Core::change_streams(ServerSession& session, std::vector<int32_t> ids,
                                                                 std::string change, net::Wait wait) {
  for (const int32_t id : ids) {
    if (const auto found = controllers.find(id); found != controllers.end()) found->second->scope.request_stop();
  }
  for (const int32_t id : ids) co_await stop_stream(id);
  // A stream that is told to run has not done its copy just by that: nobody may see it as Running before it is.
  auto result =
      co_await [](ServerSession& session, std::string change, net::Wait wait) -> net::Task<Result<net::QueryResult>> {
    CO_RETURN_IF_ERROR(co_await session.run({"BEGIN"}, wait));
    CO_ASSIGN_OR_RETURN(auto result, co_await session.query(std::move(change), wait));
    CO_RETURN_IF_ERROR(
        co_await session.run({"UPDATE _vt.vreplication SET state = 'Init' WHERE state = 'Running' AND pos = ''",
                              "UPDATE _vt.vreplication SET state = 'Copying' WHERE state = 'Running' AND id IN (SELECT "
                              "vrepl_id FROM _vt.copy_state)",
                              "COMMIT"},
                             wait));
    co_return std::move(result);
  }(session, std::move(change), wait);
  if (!result.ok() && !session.client().broken()) (void)co_await session.query("ROLLBACK", wait);
  // Whatever became of the change: what should run, runs.
  Status started = opened ? co_await start_streams(session, net::Wait::within(std::chrono::seconds(10))) : Status{};
  if (!result.ok()) co_return std::move(result).error();
  if (!started.has_value()) co_return std::move(started).error();
  co_return std::move(*result);
}

net::Task<Result<::tabletmanagerdata::CreateVReplicationWorkflowResponse>> Engine::Core::create_workflow(
    ::tabletmanagerdata::CreateVReplicationWorkflowRequest request, net::Wait wait) {
  CO_RETURN_IF_ERROR(check_open());
  if (request.workflow().empty()) co_return fail(Code::kInvalidArgument, "a workflow needs a name");
  if (request.binlog_source_size() == 0) co_return fail(Code::kInvalidArgument, "a workflow needs a source");
  for (const auto& source : request.binlog_source()) CO_RETURN_IF_ERROR(StreamPlan::create(source.filter()));
  CO_ASSIGN_OR_RETURN(const auto guard, co_await admin.lock(wait));
  CO_RETURN_IF_ERROR(check_open());
  CO_ASSIGN_OR_RETURN(const auto session, co_await connect(wait));
  CO_RETURN_IF_ERROR(co_await check_fence(*session, topo::find_fence(request), wait));
  CO_ASSIGN_OR_RETURN(const auto existing, co_await find_ids(*session, in_workflow(request.workflow()), wait));
  if (!existing.empty()) {
    co_return fail(Code::kAlreadyExists, fmt::format("workflow {} already exists on {}/{}", request.workflow(),
                                                     context.options.keyspace, context.options.shard));
  }
  const std::string state = state_word(request.auto_start() ? ::binlogdata::Init : ::binlogdata::Stopped);
  std::string options = request.options().empty() ? "{}" : request.options();
  std::string values;
  for (auto source : request.binlog_source()) {
    if (request.stop_after_copy()) source.set_stop_after_copy(true);
    if (!values.empty()) values += ", ";
    values += fmt::format("({}, {}, '', {}, {}, {}, {}, {}, 0, '{}', {}, {}, {}, {}, {})", sql_text(request.workflow()),
                          sql_text(to_text(source)), INT64_MAX, INT64_MAX, sql_text(joined_cells(request.cells())),
                          sql_text(tablet_types_text(request.tablet_types(), request.tablet_selection_preference())),
                          unix_now(), state, sql_text(context.options.db_name),
                          static_cast<int>(request.workflow_type()), static_cast<int>(request.workflow_sub_type()),
                          request.defer_secondary_keys() ? 1 : 0, sql_json(options));
  }
  CO_ASSIGN_OR_RETURN(
      const auto inserted,
      co_await session->query("INSERT INTO _vt.vreplication (workflow, source, pos, max_tps, "
                              "max_replication_lag, cell, tablet_types, time_updated, transaction_timestamp, "
                              "state, db_name, workflow_type, workflow_sub_type, defer_secondary_keys, options) "
                              "VALUES " +
                                  values,
                              wait));
  CO_ASSIGN_OR_RETURN(const auto ids, co_await find_ids(*session, in_workflow(request.workflow()), wait));
  for (const int32_t id : ids) {
    CO_RETURN_IF_ERROR(co_await log_stream(*session, id, kLogCreated, state, request.workflow(), wait));
  }
  CO_RETURN_IF_ERROR(co_await start_streams(*session, wait));
  ::tabletmanagerdata::CreateVReplicationWorkflowResponse response;
  *response.mutable_result() = to_proto(inserted);
  co_return std::move(response);
}

net::Task<Result<::tabletmanagerdata::ReadVReplicationWorkflowResponse>> Engine::Core::read_workflow(
    ::tabletmanagerdata::ReadVReplicationWorkflowRequest request, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const auto session, co_await connect(wait));
  CO_ASSIGN_OR_RETURN(const auto records, co_await load_streams(*session, in_workflow(request.workflow()), wait));
  // An unknown workflow is an empty answer, as in Vitess.
  ::tabletmanagerdata::ReadVReplicationWorkflowResponse response;
  for (const StreamRecord& record : records) {
    if (response.streams_size() == 0) fill_workflow(record, response);
    fill_stream(record, *response.add_streams());
  }
  co_return std::move(response);
}

net::Task<Result<::tabletmanagerdata::ReadVReplicationWorkflowsResponse>> Engine::Core::read_workflows(
    ::tabletmanagerdata::ReadVReplicationWorkflowsRequest request, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const auto session, co_await connect(wait));
  std::string where = fmt::format("db_name = {}", sql_text(context.options.db_name));
  const auto add_list = [&where](std::string_view column, bool include, const auto& values, auto text) {
    if (values.empty()) return;
    std::string list;
    for (const auto& value : values) list += (list.empty() ? "" : ", ") + text(value);
    where += fmt::format(" AND {} {} ({})", column, include ? "IN" : "NOT IN", list);
  };
  const auto as_number = [](int32_t id) { return std::to_string(id); };
  const auto as_name = [](const std::string& name) { return sql_text(name); };
  const auto as_state = [](int state) {
    return sql_text(state_word(static_cast<::binlogdata::VReplicationWorkflowState>(state)));
  };
  add_list("id", true, request.include_ids(), as_number);
  add_list("workflow", true, request.include_workflows(), as_name);
  add_list("workflow", false, request.exclude_workflows(), as_name);
  add_list("state", true, request.include_states(), as_state);
  add_list("state", false, request.exclude_states(), as_state);
  if (request.exclude_frozen()) where += " AND COALESCE(message, '') <> 'FROZEN'";
  CO_ASSIGN_OR_RETURN(const auto records, co_await load_streams(*session, where, wait));
  ::tabletmanagerdata::ReadVReplicationWorkflowsResponse response;
  std::map<std::string, ::tabletmanagerdata::ReadVReplicationWorkflowResponse*> by_name;
  for (const StreamRecord& record : records) {
    auto& workflow = by_name[record.workflow];
    if (workflow == nullptr) {
      workflow = response.add_workflows();
      fill_workflow(record, *workflow);
    }
    fill_stream(record, *workflow->add_streams());
  }
  co_return std::move(response);
}

net::Task<Result<::tabletmanagerdata::HasVReplicationWorkflowsResponse>> Engine::Core::has_workflows(
    ::tabletmanagerdata::HasVReplicationWorkflowsRequest, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const auto session, co_await connect(wait));
  CO_ASSIGN_OR_RETURN(
      const auto ids,
      co_await find_ids(*session, fmt::format("db_name = {} LIMIT 1", sql_text(context.options.db_name)), wait));
  ::tabletmanagerdata::HasVReplicationWorkflowsResponse response;
  response.set_has(!ids.empty());
  co_return response;
}

net::Task<Result<::tabletmanagerdata::UpdateVReplicationWorkflowResponse>> Engine::Core::update_workflow(
    ::tabletmanagerdata::UpdateVReplicationWorkflowRequest request, net::Wait wait) {
  CO_RETURN_IF_ERROR(check_open());
  CO_ASSIGN_OR_RETURN(const auto guard, co_await admin.lock(wait));
  CO_RETURN_IF_ERROR(check_open());
  CO_ASSIGN_OR_RETURN(const auto session, co_await connect(wait));
  CO_RETURN_IF_ERROR(co_await check_fence(*session, topo::find_fence(request), wait));
  CO_ASSIGN_OR_RETURN(const auto records, co_await load_streams(*session, in_workflow(request.workflow()), wait));
  ::tabletmanagerdata::UpdateVReplicationWorkflowResponse response;
  if (records.empty()) co_return response;

  std::string sets = "time_updated = time_updated";
  if (request.cells_size() != 0 && request.cells(0) != kNotGiven) {
    sets += fmt::format(", cell = {}", sql_text(joined_cells(request.cells())));
  }
  const auto preference =
      request.has_tablet_selection_preference() ? request.tablet_selection_preference() : ::tabletmanagerdata::UNKNOWN;
  if (request.tablet_types_size() != 0 && request.tablet_types(0) > 0) {
    const bool in_order = preference == ::tabletmanagerdata::UNKNOWN
                              ? parse_tablet_types(records[0].tablet_types).in_order
                              : preference == ::tabletmanagerdata::INORDER;
    sets += fmt::format(", tablet_types = {}",
                        sql_text(tablet_types_text(request.tablet_types(), in_order ? ::tabletmanagerdata::INORDER
                                                                                    : ::tabletmanagerdata::ANY)));
  } else if (preference != ::tabletmanagerdata::UNKNOWN && !records[0].tablet_types.empty()) {
    std::string types = records[0].tablet_types;
    if (types.starts_with("in_order:")) types.erase(0, 9);
    sets += fmt::format(", tablet_types = {}",
                        sql_text((preference == ::tabletmanagerdata::INORDER ? "in_order:" : "") + types));
  }
  if (request.has_state()) sets += fmt::format(", state = '{}'", state_word(request.state()));
  if (request.has_message()) {
    sets += fmt::format(", message = {}", sql_text(std::string_view(request.message()).substr(0, kMessageMax)));
  } else if (request.has_state() && request.state() == ::binlogdata::Running) {
    sets += ", message = ''";
  }
  if (!request.config_overrides().empty()) {
    std::string pairs;
    for (const auto& [key, value] : request.config_overrides())
      pairs += fmt::format(", {}, {}", sql_json(key), sql_json(value));
    sets += fmt::format(
        ", options = JSON_MERGE_PATCH(COALESCE(options, _utf8mb4'{{}}'), JSON_OBJECT(_utf8mb4'config', "
        "JSON_OBJECT({})))",
        pairs.substr(2));
  }
  // The source differs from stream to stream: on_ddl and rules are changed in each.
  std::string sources;
  if (request.has_on_ddl() || request.filter_rules_size() != 0) {
    for (const StreamRecord& record : records) {
      ::binlogdata::BinlogSource source = record.source;
      if (request.has_on_ddl()) source.set_on_ddl(request.on_ddl());
      for (const auto& rule : request.filter_rules()) *source.mutable_filter()->add_rules() = rule;
      CO_RETURN_IF_ERROR(StreamPlan::create(source.filter()));
      sources += fmt::format(" WHEN {} THEN {}", record.id, sql_text(to_text(source)));
    }
    sets += fmt::format(", source = CASE id{} ELSE source END", sources);
  }
  std::vector<int32_t> ids;
  for (const StreamRecord& record : records) ids.push_back(record.id);
  CO_ASSIGN_OR_RETURN(
      const auto changed,
      co_await change_streams(
          *session, ids, fmt::format("UPDATE _vt.vreplication SET {} WHERE id IN ({})", sets, id_list(ids)), wait));
  *response.mutable_result() = to_proto(changed);
  response.mutable_result()->set_rows_affected(ids.size());
  co_return std::move(response);
}

net::Task<Result<::tabletmanagerdata::UpdateVReplicationWorkflowsResponse>> Engine::Core::update_workflows(
    ::tabletmanagerdata::UpdateVReplicationWorkflowsRequest request, net::Wait wait) {
  CO_RETURN_IF_ERROR(check_open());
  std::string where = fmt::format("db_name = {}", sql_text(context.options.db_name));
  const auto names = [](const auto& list) {
    std::string text;
    for (const std::string& name : list) text += (text.empty() ? "" : ", ") + sql_text(name);
    return text;
  };
  if (request.include_workflows_size() != 0)
    where += fmt::format(" AND workflow IN ({})", names(request.include_workflows()));
  if (request.exclude_workflows_size() != 0)
    where += fmt::format(" AND workflow NOT IN ({})", names(request.exclude_workflows()));
  if (!request.all_workflows() && request.include_workflows_size() == 0 && request.exclude_workflows_size() == 0) {
    co_return fail(Code::kInvalidArgument, "no workflows were named");
  }
  CO_ASSIGN_OR_RETURN(const auto guard, co_await admin.lock(wait));
  CO_RETURN_IF_ERROR(check_open());
  CO_ASSIGN_OR_RETURN(const auto session, co_await connect(wait));
  CO_ASSIGN_OR_RETURN(const auto ids, co_await find_ids(*session, where, wait));
  ::tabletmanagerdata::UpdateVReplicationWorkflowsResponse response;
  if (ids.empty()) co_return response;
  std::string sets = "time_updated = time_updated";
  if (request.has_state()) sets += fmt::format(", state = '{}'", state_word(request.state()));
  if (request.has_message())
    sets += fmt::format(", message = {}", sql_text(std::string_view(request.message()).substr(0, kMessageMax)));
  if (request.has_stop_position()) sets += fmt::format(", stop_pos = {}", sql_text(request.stop_position()));
  CO_ASSIGN_OR_RETURN(
      const auto changed,
      co_await change_streams(
          *session, ids, fmt::format("UPDATE _vt.vreplication SET {} WHERE id IN ({})", sets, id_list(ids)), wait));
  *response.mutable_result() = to_proto(changed);
  co_return std::move(response);
}

net::Task<Result<::tabletmanagerdata::DeleteVReplicationWorkflowResponse>> Engine::Core::delete_workflow(
    ::tabletmanagerdata::DeleteVReplicationWorkflowRequest request, net::Wait wait) {
  CO_RETURN_IF_ERROR(check_open());
  // VDiffs hold on to streams: they end first.
  CO_RETURN_IF_ERROR(co_await vdiffs.forget_workflow(request.workflow(), wait));
  CO_ASSIGN_OR_RETURN(const auto guard, co_await admin.lock(wait));
  CO_RETURN_IF_ERROR(check_open());
  CO_ASSIGN_OR_RETURN(const auto session, co_await connect(wait));
  CO_RETURN_IF_ERROR(co_await check_fence(*session, topo::find_fence(request), wait));
  CO_ASSIGN_OR_RETURN(const auto ids, co_await find_ids(*session, in_workflow(request.workflow()), wait));
  ::tabletmanagerdata::DeleteVReplicationWorkflowResponse response;
  response.mutable_result();
  if (ids.empty()) co_return std::move(response);
  for (const int32_t id : ids) {
    if (const auto found = controllers.find(id); found != controllers.end()) found->second->scope.request_stop();
  }
  for (const int32_t id : ids) co_await stop_stream(id);
  // The tables of a workflow that is given up are gone by now, unless its data are kept.
  for (const int32_t id : ids) {
    const KeyOwner owner{id, request.workflow(), context.options.db_name};
    Status restored = co_await restore_all_keys(*session, owner, wait.cancel);
    if (!restored.has_value()) {
      (void)co_await start_streams(*session, net::Wait::within(std::chrono::seconds(10)));
      co_return std::move(restored).error();
    }
  }
  const std::string list = id_list(ids);
  auto deleted = co_await session->script(
      fmt::format(
          "BEGIN; DELETE FROM _vt.copy_state WHERE vrepl_id IN ({0}); DELETE FROM _vt.post_copy_action WHERE vrepl_id "
          "IN ({0}); DELETE FROM _vt.schema_change WHERE vrepl_id IN ({0}); DELETE FROM _vt.vreplication_log WHERE "
          "vrepl_id IN ({0}); DELETE FROM _vt.vreplication WHERE id IN "
          "({0}); COMMIT",
          list),
      wait);
  if (!deleted.ok()) {
    (void)co_await start_streams(*session, net::Wait::within(std::chrono::seconds(10)));
    co_return std::move(deleted).error();
  }
  response.mutable_result()->set_rows_affected(ids.size());
  co_return std::move(response);
}

net::Task<Result<::tabletmanagerdata::VReplicationExecResponse>> Engine::Core::vreplication_exec(
    ::tabletmanagerdata::VReplicationExecRequest request, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const sql::Ast ast, sql::parse(request.query()));
  CO_ASSIGN_OR_RETURN(const auto session, co_await connect_dba(wait));
  CO_RETURN_IF_ERROR(co_await session->run({"USE _vt"}, wait));
  ::tabletmanagerdata::VReplicationExecResponse response;
  const sql::StatementKind kind = ast.kind();
  if (kind == sql::StatementKind::kSelect || kind == sql::StatementKind::kShow) {
    CO_ASSIGN_OR_RETURN(const auto result, co_await session->query(request.query(), wait));
    *response.mutable_result() = to_proto(result);
    co_return std::move(response);
  }
  if (kind != sql::StatementKind::kInsert && kind != sql::StatementKind::kReplace &&
      kind != sql::StatementKind::kUpdate && kind != sql::StatementKind::kDelete) {
    co_return fail(Code::kInvalidArgument,
                   "only SELECT, INSERT, REPLACE, UPDATE and DELETE on tables of _vt can be run");
  }
  bool on_streams = false;
  for (const sql::TableUse& use : sql::collect_tables(ast.statement())) {
    if (use.access != sql::TableAccess::kWrite) continue;
    if (!use.qualifier.empty() && !base::equals_ignoring_case(use.qualifier, kSidecarDatabase) &&
        use.qualifier != context.options.sidecar) {
      co_return fail(Code::kInvalidArgument, "only tables of _vt can be changed");
    }
    if (base::equals_ignoring_case(use.name, "vreplication")) on_streams = true;
  }
  CO_RETURN_IF_ERROR(check_open());
  CO_ASSIGN_OR_RETURN(const auto guard, co_await admin.lock(wait));
  CO_RETURN_IF_ERROR(check_open());
  // The administrator's account could write on a read-only server, and so part it from its primary.
  CO_ASSIGN_OR_RETURN(const auto read_only, co_await session->query("SELECT @@global.read_only", wait));
  if (read_only.text(0, 0) == "1") co_return fail(Code::kFailedPrecondition, "the server is read-only");
  CO_RETURN_IF_ERROR(co_await check_fence(*session, topo::find_fence(request), wait));
  std::vector<int32_t> ids;
  if (on_streams) {
    const sql::Expr* where = nullptr;
    bool simple = true;
    if (const auto* update = sql::statement_as<sql::Update>(&ast.statement())) {
      where = update->where;
      simple = update->tables.size() == 1;
    }
    if (const auto* remove = sql::statement_as<sql::Delete>(&ast.statement())) {
      where = remove->where;
      simple = remove->from.size() == 1;
    }
    if (kind == sql::StatementKind::kUpdate || kind == sql::StatementKind::kDelete) {
      const std::string condition = where == nullptr || !simple ? "1 = 1" : sql::print(*where);
      CO_ASSIGN_OR_RETURN(ids, co_await find_ids(*session, condition, wait));
    }
  }
  CO_ASSIGN_OR_RETURN(const auto result, co_await change_streams(*session, std::move(ids), request.query(), wait));
  *response.mutable_result() = to_proto(result);
  co_return std::move(response);
}

net::Task<Result<::tabletmanagerdata::VReplicationWaitForPosResponse>> Engine::Core::wait_for_position(
    ::tabletmanagerdata::VReplicationWaitForPosRequest request, net::Wait wait) {
  CO_RETURN_IF_ERROR(check_open());
  CO_ASSIGN_OR_RETURN(mysql::Position position, mysql::Position::parse(request.position()));
  if (Stream* stream = find_stream(request.id())) {
    CO_RETURN_IF_ERROR(co_await stream->wait_for(std::move(position), wait));
    co_return ::tabletmanagerdata::VReplicationWaitForPosResponse();
  }
  // Not running: it is there already, or will not come there.
  CO_ASSIGN_OR_RETURN(const auto session, co_await connect(wait));
  CO_ASSIGN_OR_RETURN(const StreamRecord record, co_await load_stream(*session, request.id(), wait));
  if (!record.pos.empty()) {
    CO_ASSIGN_OR_RETURN(const mysql::Position at, mysql::Position::parse(record.pos));
    CO_ASSIGN_OR_RETURN(const bool reached, at.at_least(position));
    if (reached) co_return ::tabletmanagerdata::VReplicationWaitForPosResponse();
  }
  co_return fail(Code::kFailedPrecondition, fmt::format("stream {} is {} at {}: {}", record.id,
                                                        state_word(record.state), record.pos, record.message));
}

net::Task<Result<::tabletmanagerdata::VDiffResponse>> Engine::Core::vdiff(::tabletmanagerdata::VDiffRequest request,
                                                                          net::Wait wait) {
  CO_RETURN_IF_ERROR(check_open());
  co_return co_await vdiffs.handle(std::move(request), std::move(wait));
}

}  // namespace vitrail::movement
