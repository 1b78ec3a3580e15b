// SHOW of what the gate itself knows.
#include <algorithm>
#include <array>
#include <functional>
#include <map>

#include "gate/session.h"
#include "gate/with_literals.h"
#include "mysql/convert.h"
#include "mysql/errors.h"
#include "plan/routing.h"
#include "sql/fingerprint.h"
#include "sql/literal.h"
#include "sql/parser.h"
#include "topo/tablet.h"
#include "vschema/vschema.h"

namespace vitrail::gate {
namespace {

net::QueryResult table_of(std::vector<std::string> names, std::vector<std::vector<std::optional<std::string>>> rows) {
  net::QueryResult result;
  for (auto& name : names) {
    mysql::ColumnDef column;
    column.name = std::move(name);
    column.collation = 45;
    column.length = 1024;
    result.columns.push_back(std::move(column));
  }
  result.rows = std::move(rows);
  return result;
}

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
    case kVitessReplicationStatus: return "SHOW VITESS_REPLICATION_STATUS; see vtctldclient ShardReplicationPositions";
    case kVitessMetadata: return "SHOW VITESS_METADATA: there are no such variables";
    case kVitessMigrations:
    case kVitessMigrationLogs: return "SHOW VITESS_MIGRATIONS: there is no online DDL";
    case kVitessThrottledApps:
    case kVitessThrottlerStatus: return "SHOW of the throttler's state; see vtctldclient GetThrottlerStatus";
    case kGtidExecuted:
    case kVgtidExecuted: return "SHOW of positions; see vtctldclient ShardReplicationPositions";
    case kUnresolvedTransactions: return "SHOW UNRESOLVED TRANSACTIONS: there are no transactions in two phases";
    default: return "";
  }
}

// The rows as a query that a server can cut by a condition.
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
      mysql::append_sql_literal(text, row[i] ? mysql::Value::of_text(*row[i]) : mysql::Value::null());
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

net::Task<std::optional<RunResult>> ClientSession::run_show(const sql::Ast& ast) {
  const auto* show = sql::statement_as<sql::Show>(&ast.statement());
  if (show == nullptr) co_return std::nullopt;
  auto result = show_result(*show);
  if (!result) co_return std::nullopt;
  if (result->ok() && show->where != nullptr) {
    const auto columns = (*result)->columns;
    const std::string text = as_query(**result, show->where->span.of(ast.text()));
    std::array<sql::LiteralPosition, 64> storage;
    Statement statement;
    statement.text = text;
    statement.scan = sql::fingerprint(text, storage);
    statement.literals = statement.scan.literals;
    result = co_await run_inside(statement);
    if (result->ok()) (*result)->columns = columns;
  }
  if (!result->ok()) co_return RunResult::failed(std::move(*result).error());
  Status sent = co_await send_result(**result);
  co_return sent.ok() ? RunResult::answered() : RunResult::hang_up(std::move(sent).error());
}

}  // namespace vitrail::gate
