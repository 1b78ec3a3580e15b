#include "movement/stream_record.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/text.h"
#include "movement/table_schema.h"
#include "mysql/convert.h"

namespace vitrail::movement {
namespace {

constexpr char kColumns[] =
    "id, workflow, source, pos, stop_pos, max_tps, max_replication_lag, cell, tablet_types, time_updated, "
    "transaction_timestamp, state, message, db_name, rows_copied, tags, time_heartbeat, time_throttled, "
    "component_throttled, workflow_type, workflow_sub_type, defer_secondary_keys, options";

}  // namespace

std::string sql_text(std::string_view bytes) {
  std::string out;
  mysql::append_sql_string(out, bytes);
  return out;
}

std::string sql_json(std::string_view text) { return "_utf8mb4" + sql_text(text); }

int64_t unix_now() {
  return std::chrono::duration_cast<std::chrono::seconds>(base::system_clock().wall_now().time_since_epoch()).count();
}

::binlogdata::VReplicationWorkflowState parse_state(std::string_view word) {
  for (int i = 0; i < ::binlogdata::VReplicationWorkflowState_ARRAYSIZE; ++i) {
    if (!::binlogdata::VReplicationWorkflowState_IsValid(i)) continue;
    const auto state = static_cast<::binlogdata::VReplicationWorkflowState>(i);
    if (base::equals_ignoring_case(::binlogdata::VReplicationWorkflowState_Name(state), word)) return state;
  }
  return ::binlogdata::Unknown;
}

std::string state_word(::binlogdata::VReplicationWorkflowState state) {
  return ::binlogdata::VReplicationWorkflowState_Name(state);
}

TabletTypes parse_tablet_types(std::string_view text) {
  TabletTypes out;
  constexpr std::string_view kInOrder = "in_order:";
  out.in_order = text.empty();
  if (text.starts_with(kInOrder)) {
    out.in_order = true;
    text.remove_prefix(kInOrder.size());
  }
  for (const std::string_view word : base::split_list(text)) {
    const std::string name = base::to_upper(word);
    ::topodata::TabletType type = ::topodata::UNKNOWN;
    if (name == "MASTER") type = ::topodata::PRIMARY;
    if (type != ::topodata::UNKNOWN || ::topodata::TabletType_Parse(name, &type)) out.types.push_back(type);
  }
  if (out.types.empty()) out.types = {::topodata::REPLICA, ::topodata::PRIMARY};
  return out;
}

std::string tablet_types_text(const google::protobuf::RepeatedField<int>& types,
                              ::tabletmanagerdata::TabletSelectionPreference preference) {
  std::string text;
  for (const int type : types) {
    if (!text.empty()) text += ',';
    text += ::topodata::TabletType_Name(static_cast<::topodata::TabletType>(type));
  }
  if (!text.empty() && preference == ::tabletmanagerdata::INORDER) text.insert(0, "in_order:");
  return text;
}

net::Task<Result<std::vector<StreamRecord>>> load_streams(ServerSession& session, std::string where, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const mysqld::Rows rows,
                      co_await session.rows(
                          fmt::format("SELECT {} FROM _vt.vreplication WHERE {} ORDER BY id", kColumns, where), wait));
  std::vector<StreamRecord> records;
  for (size_t i = 0; i < rows.rows.size(); ++i) {
    const auto text = [&](std::string_view column) { return std::string(rows.get(i, column).value_or("")); };
    const auto number = [&](std::string_view column) {
      return static_cast<int64_t>(mysqld::to_int(rows.get(i, column)).value_or(0));
    };
    StreamRecord& record = records.emplace_back();
    record.id = static_cast<int32_t>(number("id"));
    record.workflow = text("workflow");
    record.pos = text("pos");
    record.stop_pos = text("stop_pos");
    record.max_tps = number("max_tps");
    record.max_replication_lag = number("max_replication_lag");
    record.cell = text("cell");
    record.tablet_types = text("tablet_types");
    record.time_updated = number("time_updated");
    record.transaction_timestamp = number("transaction_timestamp");
    record.state = parse_state(text("state"));
    record.message = text("message");
    record.db_name = text("db_name");
    record.rows_copied = number("rows_copied");
    record.tags = text("tags");
    record.time_heartbeat = number("time_heartbeat");
    record.time_throttled = number("time_throttled");
    record.component_throttled = text("component_throttled");
    record.workflow_type = static_cast<int32_t>(number("workflow_type"));
    record.workflow_sub_type = static_cast<int32_t>(number("workflow_sub_type"));
    record.defer_secondary_keys = number("defer_secondary_keys") != 0;
    record.options = text("options");
    if (Status parsed = from_text(text("source"), record.source, "the source of the stream"); !parsed.has_value()) {
      record.source.Clear();
      record.state = ::binlogdata::Error;
      record.message = parsed.error().message();
    }
  }
  co_return std::move(records);
}

net::Task<Result<StreamRecord>> load_stream(ServerSession& session, int32_t id, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(auto records, co_await load_streams(session, fmt::format("id = {}", id), wait));
  if (records.empty()) co_return fail(Code::kNotFound, fmt::format("there is no stream {}", id));
  co_return std::move(records[0]);
}

net::Task<Result<std::vector<CopyState>>> load_copy_state(ServerSession& session, int32_t id, net::Wait wait) {
  // Vitess keeps older rows of a table for a while: the last one counts.
  CO_ASSIGN_OR_RETURN(
      const mysqld::Rows rows,
      co_await session.rows(
          fmt::format("SELECT table_name, lastpk FROM _vt.copy_state WHERE vrepl_id = {0} AND id IN (SELECT "
                      "MAX(id) FROM _vt.copy_state WHERE vrepl_id = {0} GROUP BY table_name) ORDER BY id",
                      id),
          wait));
  std::vector<CopyState> states;
  for (size_t i = 0; i < rows.rows.size(); ++i) {
    CopyState& state = states.emplace_back();
    state.table = rows.get(i, size_t{0}).value_or("");
    const auto lastpk = rows.get(i, size_t{1});
    if (lastpk && !lastpk->empty()) CO_RETURN_IF_ERROR(from_text(*lastpk, state.lastpk, "copy_state.lastpk"));
  }
  co_return std::move(states);
}

net::Task<Status> log_stream(ServerSession& session, int32_t id, std::string type, std::string state,
                             std::string message, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(
      const mysqld::Rows last,
      co_await session.rows(
          fmt::format(
              "SELECT id, type, state, message FROM _vt.vreplication_log WHERE vrepl_id = {} ORDER BY id DESC LIMIT 1",
              id),
          wait));
  if (!last.rows.empty() && last.get(0, "type") == type && last.get(0, "state") == state &&
      last.get(0, "message") == message) {
    auto counted = co_await session.query(
        fmt::format("UPDATE _vt.vreplication_log SET count = count + 1 WHERE id = {}", last.get(0, "id").value_or("0")),
        wait);
    if (!counted.ok()) co_return std::move(counted).error();
    co_return Status{};
  }
  auto added = co_await session.query(
      fmt::format("INSERT INTO _vt.vreplication_log (vrepl_id, type, state, message) VALUES ({}, {}, {}, {})", id,
                  sql_text(type), sql_text(state), sql_text(message)),
      wait);
  if (!added.ok()) co_return std::move(added).error();
  co_return Status{};
}

}  // namespace vitrail::movement
