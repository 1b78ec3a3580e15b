#include "gate/vexplain.h"

#include <fmt/core.h>

#include <utility>

#include "base/text.h"
#include "gate/session.h"
#include "mysql/collations.h"
#include "plan/change.h"
#include "plan/finish.h"
#include "plan/insert.h"
#include "sql/parser.h"

namespace vitrail::gate {
namespace {

std::string_view variant_of(const plan::Route& route) {
  switch (route.kind) {
    case plan::Route::Kind::kAnyShard: return route.only_shard ? "Unsharded" : "Reference";
    case plan::Route::Kind::kByValues: return "EqualUnique";
    case plan::Route::Kind::kByList: return "IN";
    case plan::Route::Kind::kNoShard: return "None";
    case plan::Route::Kind::kByLookup: return "EqualUnique";
    case plan::Route::Kind::kByIds: return "ByDestination";
    case plan::Route::Kind::kAllShards: break;
  }
  if (route.lookup != nullptr) return route.lookup->list ? "IN" : "Equal";
  return "Scatter";
}

// Without the braces.
std::string route_json(const plan::Plan& plan, std::string_view text) {
  std::string out = fmt::format(R"("OperatorType": "Route", "Variant": "{}", "Keyspace": {{"Name": {}}}, "Query": {})",
                                variant_of(plan.route), base::json_string(plan.route.keyspace),
                                base::json_string(plan.text ? std::string_view(*plan.text) : text));
  if (plan.route.vindex != nullptr)
    out += fmt::format(R"(, "Vindex": {})", base::json_string(plan.route.vindex->name()));
  if (plan.route.lookup != nullptr)
    out += fmt::format(R"(, "Vindex": {})", base::json_string(plan.route.lookup->lookup->name));
  return out;
}

std::string finish_json(const plan::Finish& finish) {
  std::string out =
      fmt::format(R"("OperatorType": "Finish", "Query": {}, "Inputs": [)", base::json_string(finish.text));
  for (const auto& input : finish.inputs) {
    if (&input != &finish.inputs.front()) out += ", ";
    out += fmt::format(R"({{"InputName": {}, "Table": {}, "TemporaryTable": {}, {}}})", base::json_string(input.shown),
                       base::json_string(input.keyspace + "." + input.table), base::json_string(input.scratch),
                       route_json(*input.rows, ""));
  }
  return out + "]";
}

// Of the rows that a change asks for.
std::string source_json(const plan::RowSource& source) {
  return source.plan->kind == plan::Plan::Kind::kFinish ? "{" + finish_json(*source.plan->finish) + "}"
                                                        : "{" + route_json(*source.plan, source.text) + "}";
}

std::string change_json(const plan::Change& change) {
  std::string out = fmt::format(R"("OperatorType": "{}ByKey", "Rows": {}, "Targets": [)",
                                change.update ? "Update" : "Delete", source_json(change.rows));
  for (const auto& target : change.targets) {
    if (&target != &change.targets.front()) out += ", ";
    out += fmt::format(R"({{"Table": {}, "Query": {}, "Moves": {}}})",
                       base::json_string(target.keyspace + "." + target.table), base::json_string(target.before),
                       target.move.has_value());
  }
  return out + "]";
}

std::string insert_rows_json(const plan::InsertRows& insert) {
  std::string out =
      fmt::format(R"("OperatorType": "InsertRows", "Table": {}, "Query": {}, "Rows": [)",
                  base::json_string(insert.keyspace + "." + insert.table), base::json_string(insert.prefix));
  bool first = true;
  for (const auto& rows : insert.rows) {
    if (!rows.source) continue;
    if (!std::exchange(first, false)) out += ", ";
    out += source_json(*rows.source);
  }
  return out + "]";
}

}  // namespace

std::string_view way_of(const plan::Plan& plan) {
  using Kind = plan::Route::Kind;
  if (plan.kind == plan::Plan::Kind::kFinish) return "finish";
  if (plan.kind != plan::Plan::Kind::kRoute || !plan.is_read) return "";
  const Kind kind = plan.route.kind;
  const bool one =
      kind == Kind::kAnyShard || kind == Kind::kByValues || kind == Kind::kNoShard || kind == Kind::kByLookup;
  return one && plan.merge.empty() ? "relay" : "merge";
}

std::string plan_json(const plan::Plan& plan, std::string_view text) {
  std::string out = "{";
  if (const auto way = way_of(plan); !way.empty()) out += fmt::format(R"("Way": "{}", )", way);
  if (plan.kind == plan::Plan::Kind::kFinish) return out + finish_json(*plan.finish) + "}";
  if (plan.kind == plan::Plan::Kind::kChange) return out + change_json(*plan.change) + "}";
  if (plan.kind == plan::Plan::Kind::kInsertRows) return out + insert_rows_json(*plan.insert_rows) + "}";
  if (plan.insert) {
    return out + fmt::format(R"("OperatorType": "Insert", "Variant": "{}", "Keyspace": {{"Name": {}}}, "Query": {}}})",
                             plan.insert->vindex == nullptr ? "Unsharded" : "Sharded",
                             base::json_string(plan.insert->keyspace), base::json_string(text));
  }
  return out + route_json(plan, text) + "}";
}

net::Task<RunResult> ClientSession::vexplain(const Statement& statement) {
  auto ast = sql::parse(statement.text);
  if (!ast.ok()) co_return RunResult::failed(std::move(ast).error());
  const auto* explain = sql::statement_as<sql::Explain>(&ast->statement());
  if (explain == nullptr || explain->statement == nullptr || explain->vexplain != sql::VexplainType::kPlan) {
    co_return RunResult::failed(
        fail(Code::kUnimplemented, "VT12001: unsupported: this form of VEXPLAIN; use VEXPLAIN PLAN"));
  }
  const std::string text(explain->statement->span.of(ast->text()));
  std::array<sql::LiteralPosition, kRecordedLiterals> storage;
  Statement inner;
  inner.text = text;
  inner.scan = sql::fingerprint(text, storage);
  inner.literals = inner.scan.literals;
  auto plan = plan_for(inner);
  counters_ = nullptr;  // It does not run.
  if (!plan.ok()) co_return RunResult::failed(std::move(plan).error());
  net::QueryResult result;
  mysql::ColumnDef column;
  column.name = "JSON";
  column.collation = mysql::kUtf8mb4GeneralCi;
  result.rows = {{plan_json(**plan, text)}};
  column.length = static_cast<uint32_t>(result.rows[0][0]->size() * 4);
  result.columns.push_back(std::move(column));
  row_count_ = -1;
  found_rows_ = 1;
  Status sent = co_await send_result(result);
  co_return sent.ok() ? RunResult::answered() : RunResult::hang_up(std::move(sent).error());
}

}  // namespace vitrail::gate
