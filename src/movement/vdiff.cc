#include "movement/vdiff.h"

#include <fmt/core.h>
#include <google/protobuf/util/json_util.h>

#include <nlohmann/json.hpp>

#include "base/check.h"
#include "base/random.h"
#include "movement/vdiff_run.h"

namespace vitrail::movement {

using nlohmann::json;

VDiffs::VDiffs(Engine::Core& engine) : engine_(engine) {}

VDiffs::~VDiffs() { CHECK(runs_.empty()); }

void VDiffs::start(int64_t id) {
  if (!opened_) return;
  auto& run = runs_[id];
  if (run != nullptr) return;
  run = std::make_unique<Run>(engine_, id);
  run->scope.spawn(run->run());
}

net::Task<void> VDiffs::halt(int64_t id) {
  const auto found = runs_.find(id);
  if (found == runs_.end()) co_return;
  Run& run = *found->second;
  run.scope.request_stop();
  co_await run.scope.join();
  runs_.erase(id);
}

net::Task<Status> VDiffs::open(ServerSession& session, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const auto guard, co_await admin_.lock(wait));
  opened_ = true;
  CO_ASSIGN_OR_RETURN(
      const auto rows,
      co_await session.query(
          fmt::format("SELECT id FROM _vt.vdiff WHERE db_name = {} AND keyspace = {} AND shard = "
                      "{} AND state IN ('pending', 'started')",
                      sql_text(engine_.context.options.db_name), sql_text(engine_.context.options.keyspace),
                      sql_text(engine_.context.options.shard)),
          wait));
  for (size_t i = 0; i < rows.rows.size(); ++i) start(mysqld::to_int(rows.text(i, 0)).value_or(0));
  co_return Status{};
}

net::Task<void> VDiffs::close() {
  opened_ = false;
  for (auto& [id, run] : runs_) run->scope.request_stop();
  const auto guard = co_await admin_.lock({});
  for (auto& [id, run] : runs_) run->scope.request_stop();
  while (!runs_.empty()) co_await halt(runs_.begin()->first);
}

// --- requests -------------------------------------------------------------------------------------------------------

net::Task<Result<int64_t>> VDiffs::find_id(ServerSession& session, const ::tabletmanagerdata::VDiffRequest& request,
                                           net::Wait wait) {
  std::string uuid = request.action_arg();
  if (uuid.empty()) uuid = request.vdiff_uuid();
  std::string where =
      fmt::format("workflow = {} AND keyspace = {} AND db_name = {}", sql_text(request.workflow()),
                  sql_text(engine_.context.options.keyspace), sql_text(engine_.context.options.db_name));
  if (uuid != "last") where += fmt::format(" AND vdiff_uuid = {}", sql_text(uuid));
  CO_ASSIGN_OR_RETURN(
      const auto rows,
      co_await session.query(fmt::format("SELECT id FROM _vt.vdiff WHERE {} ORDER BY id DESC LIMIT 1", where), wait));
  if (rows.rows.empty()) co_return int64_t{0};
  co_return static_cast<int64_t>(mysqld::to_int(rows.text(0, 0)).value_or(0));
}

net::Task<Result<::tabletmanagerdata::VDiffResponse>> VDiffs::create(ServerSession& session,
                                                                     ::tabletmanagerdata::VDiffRequest request,
                                                                     net::Wait wait) {
  const std::string uuid = request.vdiff_uuid().empty() ? base::system_random().uuid() : request.vdiff_uuid();
  CO_ASSIGN_OR_RETURN(const auto streams,
                      co_await engine_.find_ids(session, engine_.in_workflow(request.workflow()), wait));
  if (streams.empty()) {
    co_return fail(Code::kNotFound, fmt::format("no streams of workflow {} found on {}/{}", request.workflow(),
                                                engine_.context.options.keyspace, engine_.context.options.shard));
  }
  CO_ASSIGN_OR_RETURN(
      const auto copying,
      co_await session.query(fmt::format("SELECT COUNT(*) FROM _vt.copy_state WHERE vrepl_id IN (SELECT id FROM "
                                         "_vt.vreplication WHERE {})",
                                         engine_.in_workflow(request.workflow())),
                             wait));
  if (copying.text(0, 0) != "0") {
    co_return fail(Code::kFailedPrecondition,
                   fmt::format("workflow {} is still copying: compare when it is running", request.workflow()));
  }
  std::string options;
  google::protobuf::util::JsonPrintOptions print;
  print.preserve_proto_field_names = true;
  (void)google::protobuf::util::MessageToJsonString(request.options(), &options, print);
  if (request.action() == "repair") {
    json document = json::parse(options, nullptr, false);
    if (!document.is_object()) document = json::object();
    document[kRepairOption] = true;
    options = document.dump();
  }
  const auto& core = request.options().core_options();
  const bool auto_start = !core.has_auto_start() || core.auto_start();
  CO_ASSIGN_OR_RETURN(
      const auto inserted,
      co_await session.query(
          fmt::format("INSERT INTO _vt.vdiff (keyspace, workflow, state, options, shard, db_name, "
                      "vdiff_uuid) VALUES ({}, {}, '{}', {}, {}, {}, {})",
                      sql_text(engine_.context.options.keyspace), sql_text(request.workflow()),
                      auto_start ? "pending" : "stopped", sql_json(options), sql_text(engine_.context.options.shard),
                      sql_text(engine_.context.options.db_name), sql_text(uuid)),
          wait));
  ::tabletmanagerdata::VDiffResponse response;
  response.set_id(static_cast<int64_t>(inserted.ok.last_insert_id));
  response.set_vdiff_uuid(uuid);
  if (auto_start) start(response.id());
  co_return std::move(response);
}

net::Task<Result<::tabletmanagerdata::VDiffResponse>> VDiffs::show(ServerSession& session,
                                                                   ::tabletmanagerdata::VDiffRequest request,
                                                                   net::Wait wait) {
  ::tabletmanagerdata::VDiffResponse response;
  if (request.action_arg() == "all") {
    CO_ASSIGN_OR_RETURN(
        const auto rows,
        co_await session.query(fmt::format("SELECT * FROM _vt.vdiff WHERE workflow = {} AND keyspace = {} AND "
                                           "db_name = {} ORDER BY id DESC",
                                           sql_text(request.workflow()), sql_text(engine_.context.options.keyspace),
                                           sql_text(engine_.context.options.db_name)),
                               wait));
    *response.mutable_output() = to_proto(rows);
    co_return std::move(response);
  }
  response.mutable_output();
  CO_ASSIGN_OR_RETURN(const int64_t id, co_await find_id(session, request, wait));
  if (id == 0) co_return std::move(response);
  CO_ASSIGN_OR_RETURN(
      const auto rows,
      co_await session.query(
          fmt::format(
              "SELECT d.state AS vdiff_state, d.last_error AS last_error, t.table_name AS table_name, d.vdiff_uuid AS "
              "uuid, "
              "t.state AS table_state, t.table_rows AS table_rows, d.started_at AS started_at, t.rows_compared AS "
              "rows_compared, d.completed_at AS completed_at, IF(t.mismatch = 1, 1, 0) AS has_mismatch, t.report AS "
              "report "
              "FROM _vt.vdiff AS d LEFT JOIN _vt.vdiff_table AS t ON t.vdiff_id = d.id WHERE d.id = {} ORDER BY "
              "t.table_name",
              id),
          wait));
  response.set_id(id);
  response.set_vdiff_uuid(std::string(rows.text(0, 3)));
  *response.mutable_output() = to_proto(rows);
  co_return std::move(response);
}

net::Task<Status> VDiffs::remove(ServerSession& session, std::string where, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const auto rows, co_await session.query("SELECT id FROM _vt.vdiff WHERE " + where, wait));
  for (size_t i = 0; i < rows.rows.size(); ++i) {
    const int64_t id = mysqld::to_int(rows.text(i, 0)).value_or(0);
    co_await halt(id);
    auto done = co_await session.script(
        fmt::format("BEGIN; DELETE FROM _vt.vdiff_table WHERE vdiff_id = {0}; DELETE FROM _vt.vdiff_log "
                    "WHERE vdiff_id = {0}; DELETE FROM _vt.vdiff WHERE id = {0}; COMMIT",
                    id),
        wait);
    if (!done.ok()) co_return std::move(done).error();
  }
  co_return Status{};
}

net::Task<Status> VDiffs::forget_workflow(std::string workflow, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const auto guard, co_await admin_.lock(wait));
  CO_ASSIGN_OR_RETURN(const auto session, co_await engine_.connect(wait));
  co_return co_await remove(*session, engine_.in_workflow(workflow), wait);
}

net::Task<Result<::tabletmanagerdata::VDiffResponse>> VDiffs::handle(::tabletmanagerdata::VDiffRequest request,
                                                                     net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const auto session, co_await engine_.connect(wait));
  CO_RETURN_IF_ERROR(co_await session->run({"SET SESSION time_zone = '+00:00'"}, wait));
  const std::string action = request.action();
  if (action == "show") co_return co_await show(*session, std::move(request), wait);
  CO_ASSIGN_OR_RETURN(const auto guard, co_await admin_.lock(wait));
  if (action == "create" || action == "repair") co_return co_await create(*session, std::move(request), wait);
  ::tabletmanagerdata::VDiffResponse response;
  if (action == "delete" && request.action_arg() == "all") {
    CO_RETURN_IF_ERROR(co_await remove(*session, engine_.in_workflow(request.workflow()), wait));
    co_return std::move(response);
  }
  CO_ASSIGN_OR_RETURN(const int64_t id, co_await find_id(*session, request, wait));
  if (action == "delete") {
    if (id != 0) CO_RETURN_IF_ERROR(co_await remove(*session, fmt::format("id = {}", id), wait));
    co_return std::move(response);
  }
  const std::string& uuid = request.action_arg().empty() ? request.vdiff_uuid() : request.action_arg();
  if (id == 0) co_return fail(Code::kNotFound, fmt::format("no vdiff found for UUID {}", uuid));
  if (action == "stop") {
    co_await halt(id);
    CO_RETURN_IF_ERROR(co_await session->run(
        {fmt::format("UPDATE _vt.vdiff SET state = 'stopped' WHERE id = {} AND state IN ('pending', 'started')", id),
         fmt::format(
             "UPDATE _vt.vdiff_table SET state = 'stopped' WHERE vdiff_id = {} AND state IN ('pending', 'started')",
             id)},
        wait));
  } else if (action == "resume") {
    co_await halt(id);
    CO_RETURN_IF_ERROR(co_await session->run(
        {fmt::format("UPDATE _vt.vdiff SET state = 'pending', completed_at = NULL, last_error = '' WHERE id = {}", id),
         fmt::format("UPDATE _vt.vdiff_table SET state = 'pending' WHERE vdiff_id = {}", id)},
        wait));
    start(id);
  } else {
    co_return fail(Code::kInvalidArgument, fmt::format("unknown VDiff action '{}'", action));
  }
  response.set_id(id);
  response.set_vdiff_uuid(uuid);
  co_return std::move(response);
}

}  // namespace vitrail::movement
