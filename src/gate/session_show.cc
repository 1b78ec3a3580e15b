// SHOW of what the gate itself knows.
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <functional>
#include <map>

#include "gate/session.h"
#include "gate/show_table.h"
#include "gate/tablet_report.h"
#include "gate/with_literals.h"
#include "mysql/convert.h"
#include "mysql/errors.h"
#include "plan/routing.h"
#include "plan/schema_names.h"
#include "sql/fingerprint.h"
#include "sql/literal.h"
#include "sql/parser.h"
#include "topo/tablet.h"
#include "vschema/vschema.h"

namespace vitrail::gate {
namespace {

using namespace std::chrono_literals;

constexpr auto kTabletPatience = 5s;  // With a tablet that is asked for a row.

std::vector<std::optional<std::string>> vindex_row(std::string first, const std::string& name,
                                                   const ::vschema::Vindex& vindex) {
  const std::map<std::string, std::string> sorted(vindex.params().begin(), vindex.params().end());
  std::string params;
  for (const auto& [key, value] : sorted) {
    if (!params.empty()) params += "; ";
    params += key + "=" + value;
  }
  return {std::move(first), name, vindex.type(), params, vindex.owner()};
}

Result<net::QueryResult> vindexes_of(const View& view, const std::string& keyspace, std::string_view table,
                                     const std::function<bool(std::string_view)>& fits) {
  static const ::vschema::SrvVSchema kNone;
  const auto& keyspaces = (view.topology->vschema == nullptr ? kNone : *view.topology->vschema).keyspaces();
  std::vector<std::vector<std::optional<std::string>>> rows;
  if (table.empty()) {
    std::map<std::string, std::map<std::string, const ::vschema::Vindex*>> sorted;
    for (const auto& [name, record] : keyspaces) {
      for (const auto& [vindex, definition] : record.vindexes()) sorted[name][vindex] = &definition;
    }
    for (const auto& [name, vindexes] : sorted) {
      for (const auto& [vindex, definition] : vindexes) {
        if (fits(vindex)) rows.push_back(vindex_row(name, vindex, *definition));
      }
    }
    return table_of({"Keyspace", "Name", "Type", "Params", "Owner"}, std::move(rows));
  }
  const auto record = keyspaces.find(keyspace);
  if (record == keyspaces.end() || !record->second.tables().contains(std::string(table))) {
    return fail(Code::kNotFound,
                "VT05005: table '" + std::string(table) + "' does not exist in keyspace '" + keyspace + "'")
        .with_mysql(mysql::errnos::kNoSuchTable, "42S02");
  }
  for (const auto& of_table : record->second.tables().at(std::string(table)).column_vindexes()) {
    std::string columns = of_table.column();
    for (const auto& column : of_table.columns()) columns += (columns.empty() ? "" : ", ") + column;
    const auto vindex = record->second.vindexes().find(of_table.name());
    if (vindex == record->second.vindexes().end() || !fits(of_table.name())) continue;
    rows.push_back(vindex_row(std::move(columns), of_table.name(), vindex->second));
  }
  return table_of({"Columns", "Name", "Type", "Params", "Owner"}, std::move(rows));
}

// Where that is told instead. "": not Vitess's own.
std::string_view elsewhere(sql::ShowKind kind) {
  using enum sql::ShowKind;
  switch (kind) {
    case kVitessMigrationLogs: return "SHOW VITESS_MIGRATION LOGS: there is no online DDL";
    case kUnresolvedTransactions: return "SHOW UNRESOLVED TRANSACTIONS: there are no transactions in two phases";
    default: return "";
  }
}

// Of the table in which online DDL keeps its work. There is none, so it has no rows.
const std::vector<std::string>& migration_columns() {
  static const std::vector<std::string> kNames = {"id",
                                                  "migration_uuid",
                                                  "keyspace",
                                                  "shard",
                                                  "mysql_schema",
                                                  "mysql_table",
                                                  "migration_statement",
                                                  "strategy",
                                                  "options",
                                                  "added_timestamp",
                                                  "requested_timestamp",
                                                  "ready_timestamp",
                                                  "started_timestamp",
                                                  "completed_timestamp",
                                                  "migration_status",
                                                  "tablet",
                                                  "progress",
                                                  "migration_context",
                                                  "ddl_action",
                                                  "message"};
  return kNames;
}

// The rows as a query that a server can cut by a condition. Numbers are numbers, to be compared as such.
std::string as_query(const net::QueryResult& table, std::string_view condition) {
  std::string names;
  for (const auto& column : table.columns) {
    if (!names.empty()) names += ", ";
    names += "null as ";
    mysql::append_sql_identifier(names, column.name);
  }
  std::string text = "select * from (select " + names + " from dual where 1 = 0";
  for (const auto& row : table.rows) {
    text += " union all select ";
    for (size_t i = 0; i < row.size(); ++i) {
      if (i > 0) text += ", ";
      if (row[i] && mysql::is_integer_type(table.columns[i].type)) {
        text += *row[i];
      } else {
        mysql::append_sql_literal(text, row[i] ? mysql::Value::of_text(*row[i]) : mysql::Value::null());
      }
    }
  }
  return text + ") as shown where " + std::string(condition);
}

}  // namespace

void ClientSession::show_gate_variables(net::QueryResult& result) const {
  for (auto& row : result.rows) {
    if (row.size() != 2 || !row[0] || !row[1]) continue;
    const std::string name = plan::lower(*row[0]);
    auto value = gate_variable(name);
    if (!value) continue;
    if (name == "autocommit") value = *value == "1" ? "ON" : "OFF";
    const auto parsed = sql::parse_expression(*value);
    const auto* of = parsed.ok() ? sql::statement_as<sql::Do>(&parsed->statement()) : nullptr;
    const auto* text = of == nullptr ? nullptr : sql::as<sql::Literal>(of->items[0].expr);
    row[1] = text != nullptr && text->literal == sql::LiteralKind::kString ? sql::string_value(*text) : value;
  }
}

std::optional<Result<net::QueryResult>> ClientSession::show_result(const sql::Show& show) const {
  const View& view = *shared_.view();
  std::string pattern;
  if (const auto* literal = sql::as<sql::Literal>(show.like)) pattern = sql::string_value(*literal).value_or("");
  auto fits = [&](std::string_view text) { return show.like == nullptr || matches_like(text, pattern); };
  net::QueryResult result;
  switch (show.show) {
    case sql::ShowKind::kDatabases:
    case sql::ShowKind::kKeyspaces:
    case sql::ShowKind::kVschemaKeyspaces: {
      std::vector<std::vector<std::optional<std::string>>> rows;
      for (const auto& [name, types] : view.shards) {
        if (fits(name)) rows.push_back({name});
      }
      result = table_of({"Database"}, std::move(rows));
      break;
    }
    case sql::ShowKind::kVitessShards: {
      std::vector<std::vector<std::optional<std::string>>> rows;
      for (const auto& [name, types] : view.shards) {
        const auto* shards = view.find_shards(name, "primary");
        for (const auto& shard : shards == nullptr ? std::vector<ActiveShard>() : *shards) {
          const std::string text = name + "/" + shard.name;
          if (fits(text)) rows.push_back({text});
        }
      }
      result = table_of({"Shards"}, std::move(rows));
      break;
    }
    case sql::ShowKind::kVitessTarget:
      result = table_of({"Target"}, {{keyspace_ + (shard_.empty() ? "" : ":" + shard_) + "@" + tablet_type_}});
      break;
    case sql::ShowKind::kVitessTablets: {
      std::vector<std::vector<std::optional<std::string>>> rows;
      for (const auto& [alias, tablet] : *view.topology->tablets) {
        const std::string type = topo::tablet_type_to_string(tablet->type());
        const shard::Target target{tablet->keyspace(), tablet->shard(), type};
        const auto* endpoints = view.find_endpoints(target);
        const bool serving = endpoints != nullptr && std::any_of(endpoints->begin(), endpoints->end(),
                                                                 [&](const Endpoint& e) { return e.alias == alias; });
        std::string upper = type;
        std::transform(upper.begin(), upper.end(), upper.begin(), [](unsigned char c) { return std::toupper(c); });
        if (!fits(alias)) continue;
        rows.push_back(
            {tablet->alias().cell(), tablet->keyspace(), tablet->shard(), upper, serving ? "SERVING" : "NOT_SERVING",
             alias, tablet->hostname(),
             tablet->has_primary_term_start_time() ? std::to_string(tablet->primary_term_start_time().seconds()) : ""});
      }
      result =
          table_of({"Cell", "Keyspace", "Shard", "TabletType", "State", "Alias", "Hostname", "PrimaryTermStartTime"},
                   std::move(rows));
      break;
    }
    case sql::ShowKind::kVschemaTables: {
      std::vector<std::vector<std::optional<std::string>>> rows;
      const auto* keyspace = view.vschema == nullptr ? nullptr : view.vschema->find_keyspace(keyspace_);
      if (keyspace == nullptr) {
        return Result<net::QueryResult>(fail(Code::kFailedPrecondition,
                                             "VT09005: no database selected: use keyspace<:shard><@type> "
                                             "or keyspace<[range]><@type> (<> are optional)")
                                            .with_mysql(mysql::errnos::kNoDb, "3D000"));
      }
      for (const auto& [name, table] : keyspace->tables) rows.push_back({name});
      result = table_of({"Tables"}, std::move(rows));
      break;
    }
    case sql::ShowKind::kVschemaVindexes: {
      const std::string keyspace =
          show.table.qualifier.text.empty() ? keyspace_ : std::string(show.table.qualifier.text);
      return vindexes_of(view, keyspace, show.table.name.text, fits);
    }
    case sql::ShowKind::kProcessList:
      result = process_table(processes_, show.full, has_progress(processlist_table()));
      break;
    case sql::ShowKind::kGtidExecuted: result = table_of({"db_name", "gtid_executed", "shard"}, positions_); break;
    case sql::ShowKind::kVgtidExecuted: {
      std::string vgtid;
      for (const auto& row : positions_) {
        vgtid += fmt::format("{}{{\"keyspace\":\"{}\",\"shard\":\"{}\",\"gtid\":\"{}\"}}", vgtid.empty() ? "[" : ",",
                             *row[0], *row[2], *row[1]);
      }
      result = table_of({"db_name", "vgtid"}, {});
      if (!positions_.empty()) result.rows.push_back({positions_.front()[0], vgtid + "]"});
      break;
    }
    case sql::ShowKind::kVitessMigrations: result = table_of(migration_columns(), {}); break;
    case sql::ShowKind::kVitessMetadata: result = table_of({"Key", "Value"}, {}); break;
    case sql::ShowKind::kWarnings:
    case sql::ShowKind::kErrors: result = warning_table(show); break;
    default: {
      const std::string_view what = elsewhere(show.show);
      if (what.empty()) return std::nullopt;
      return Result<net::QueryResult>(fail(Code::kUnimplemented, "VT12001: unsupported: " + std::string(what)));
    }
  }
  return Result<net::QueryResult>(std::move(result));
}

const schema::Table* ClientSession::processlist_table() const {
  const auto& schema = shared_.view()->schema;
  return schema == nullptr ? nullptr : schema::find_table(*schema, plan::kInformationSchema, "PROCESSLIST");
}

net::Task<Status> ClientSession::look_at_positions(const sql::Show& show) {
  positions_ = {};
  const std::string keyspace(show.database.empty() ? std::string_view(keyspace_) : show.database.text);
  if (keyspace.empty()) {
    co_return fail(Code::kFailedPrecondition, "No database selected").with_mysql(mysql::errnos::kNoDb, "3D000");
  }
  Statement nowhere;
  CO_ASSIGN_OR_RETURN(const auto targets,
                      resolve(plan::Route{.kind = plan::Route::Kind::kAllShards, .keyspace = keyspace}, nowhere));
  for (const auto& target : targets) {
    auto position = co_await ask({target, "select @@global.gtid_binlog_pos", Phase::kAlone});
    if (!position.ok() && position.error().mysql_errno() == mysql::errnos::kUnknownSystemVariable) {  // MySQL
      position = co_await ask({target, "select @@global.gtid_executed", Phase::kAlone});
    }
    CO_RETURN_IF_ERROR(position);
    std::string text(position->text(0, 0));
    std::erase(text, '\n');
    positions_.push_back({target.keyspace, std::move(text), target.shard});
  }
  co_return Status{};
}

net::Task<void> ClientSession::look_at_processes(const Statement& statement) {
  processes_ = {};
  if (statement.scan.kind == sql::StatementKind::kSelect && mentions_processlist(statement.text)) {
    processes_ = co_await shared_.processes(client_.user);
  }
}

// What only tablets know.
net::Task<std::optional<Result<net::QueryResult>>> ClientSession::ask_tablets(const sql::Show& show) {
  using enum sql::ShowKind;
  const bool of_throttler = show.show == kVitessThrottlerStatus || show.show == kVitessThrottledApps;
  if (!of_throttler && show.show != kVitessReplicationStatus) co_return std::nullopt;
  if (of_throttler && tablet_type_ != "primary") {
    const std::string_view which = show.show == kVitessThrottlerStatus ? "THROTTLER STATUS" : "THROTTLED_APPS";
    co_return Result<net::QueryResult>(
        fail(Code::kInvalidArgument, fmt::format("VT09010: SHOW VITESS_{} works only on primary tablet", which)));
  }
  const auto view = shared_.view();
  if (show.show == kVitessThrottledApps) {
    const auto now =
        std::chrono::duration_cast<std::chrono::seconds>(base::system_clock().wall_now().time_since_epoch());
    co_return throttled_apps(*view, keyspace_, now.count());
  }
  net::Wait wait = query_wait();
  wait.deadline = std::min(wait.deadline, base::system_clock().now() + kTabletPatience);
  const TabletReport report{*view, *shared_.tablet_rpcs, wait};
  if (show.show == kVitessThrottlerStatus) co_return co_await report.throttler(keyspace_, shard_);
  std::string pattern;
  if (const auto* literal = sql::as<sql::Literal>(show.like)) pattern = sql::string_value(*literal).value_or("");
  const bool all = show.like == nullptr;
  co_return co_await report.replication(
      [pattern, all](std::string_view place) { return all || matches_like(place, pattern); });
}

net::Task<Result<net::QueryResult>> ClientSession::choose_shown(net::QueryResult table, std::string condition) {
  const std::string text = as_query(table, condition);
  std::array<sql::LiteralPosition, 64> storage;
  Statement statement;
  statement.text = text;
  statement.scan = sql::fingerprint(text, storage);
  statement.literals = statement.scan.literals;
  CO_ASSIGN_OR_RETURN(auto chosen, co_await run_inside(statement));
  table.rows = std::move(chosen.rows);
  co_return std::move(table);
}

net::Task<std::optional<RunResult>> ClientSession::run_show(const sql::Ast& ast) {
  const auto* show = sql::statement_as<sql::Show>(&ast.statement());
  if (show == nullptr) co_return std::nullopt;
  if (show->show == sql::ShowKind::kProcessList) processes_ = co_await shared_.processes(client_.user);
  if (show->show == sql::ShowKind::kGtidExecuted || show->show == sql::ShowKind::kVgtidExecuted) {
    if (Status known = co_await look_at_positions(*show); !known.ok()) co_return refused(std::move(known).error());
  }
  auto result = co_await ask_tablets(*show);
  if (!result) result = show_result(*show);
  processes_ = {};
  positions_ = {};
  if (!result) co_return std::nullopt;
  if (result->ok() && show->where != nullptr) {
    result = co_await choose_shown(std::move(**result), std::string(show->where->span.of(ast.text())));
  }
  if (!result->ok()) co_return RunResult::failed(std::move(*result).error());
  row_count_ = -1;
  answered_rows_ = (*result)->rows.size();
  const plan::FoundRows found = plan::found_rows_of(ast.statement());
  if (found == plan::FoundRows::kAnswer) found_rows_ = answered_rows_;
  if (found == plan::FoundRows::kOne) found_rows_ = 1;
  Status sent = co_await send_result(**result);
  co_return sent.ok() ? RunResult::answered() : RunResult::hang_up(std::move(sent).error());
}

}  // namespace vitrail::gate
