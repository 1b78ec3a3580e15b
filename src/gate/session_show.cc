// SHOW of what the gate itself knows.
#include <algorithm>

#include "gate/session.h"
#include "gate/with_literals.h"
#include "mysql/errors.h"
#include "plan/routing.h"
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
    case sql::ShowKind::kWarnings:
    case sql::ShowKind::kErrors: result = warning_table(show); break;
    default: return std::nullopt;
  }
  return Result<net::QueryResult>(std::move(result));
}

net::Task<std::optional<RunResult>> ClientSession::run_show(const sql::Ast& ast) {
  const auto* show = sql::statement_as<sql::Show>(&ast.statement());
  if (show == nullptr) co_return std::nullopt;
  auto result = show_result(*show);
  if (!result) co_return std::nullopt;
  if (!result->ok()) co_return RunResult::failed(std::move(*result).error());
  Status sent = co_await send_result(**result);
  co_return sent.ok() ? RunResult::answered() : RunResult::hang_up(std::move(sent).error());
}

}  // namespace vitrail::gate
