#include "gate/vexplain.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <utility>

#include "base/text.h"
#include "gate/session.h"
#include "mysql/collations.h"
#include "plan/change.h"
#include "plan/finish.h"
#include "plan/join.h"
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

std::string keys_text(const std::vector<plan::Merge::Key>& keys) {
  std::string out;
  for (const auto& key : keys) {
    out += fmt::format("{}{}{}{}", out.empty() ? "" : ", ", key.hidden ? "hidden " : "", key.column,
                       key.descending ? " DESC" : "");
  }
  return out;
}

std::string_view name_of(plan::AggregateFunction function) {
  using enum plan::AggregateFunction;
  switch (function) {
    case kCount: return "sum_count";
    case kSum: return "sum";
    case kMin: return "min";
    case kMax: return "max";
    case kAvg: return "avg";
    case kAny: return "any_value";
  }
  return "";
}

std::string having_text(const plan::Merge& merge) {
  const auto sign = [](sql::BinaryOp comparison) {
    using enum sql::BinaryOp;
    switch (comparison) {
      case kEqual: return "=";
      case kNotEqual: return "<>";
      case kLess: return "<";
      case kLessEqual: return "<=";
      case kGreater: return ">";
      default: return ">=";
    }
  };
  std::string out;
  for (const auto& condition : merge.having) {
    out += fmt::format("{}{} {} {}", out.empty() ? "" : " and ", condition.column, sign(condition.comparison),
                       condition.number);
  }
  return out;
}

// What is done with the rows of the shards, the last first, around what asks for them.
std::string merge_json(const plan::Merge& merge, std::string inner) {
  const auto wrap = [&](std::string around) { inner = around + R"(, "Inputs": [{)" + inner + "}]"; };
  if (!merge.aggregates.empty()) {
    std::string aggregates;
    for (const auto& item : merge.aggregates) {
      aggregates += fmt::format("{}{}({})", aggregates.empty() ? "" : ", ", name_of(item.function), item.column);
    }
    std::string around = fmt::format(R"("OperatorType": "Aggregate", "Aggregates": {})", base::json_string(aggregates));
    if (!merge.group_by.empty()) {
      around += fmt::format(R"(, "GroupBy": {})", base::json_string(keys_text(merge.group_by)));
    }
    if (!merge.having.empty()) around += fmt::format(R"(, "Having": {})", base::json_string(having_text(merge)));
    wrap(std::move(around));
  }
  if (!merge.order_by.empty()) {
    wrap(fmt::format(R"("OperatorType": "Sort", "Variant": "{}", "OrderBy": {})",
                     merge.aggregates.empty() ? "Merge" : "Memory", base::json_string(keys_text(merge.order_by))));
  }
  if (merge.distinct) wrap(R"("OperatorType": "Distinct")");
  if (merge.limit) {
    std::string around = fmt::format(R"("OperatorType": "Limit", "Count": {})", *merge.limit);
    if (merge.offset > 0) around += fmt::format(R"(, "Offset": {})", merge.offset);
    wrap(std::move(around));
  }
  return inner;
}

// Tables that are asked one after the other.
std::string join_json(const plan::RowJoin& join) {
  std::string inner = R"("OperatorType": "Join", "Inputs": [)";
  for (const auto& part : join.parts) {
    if (&part != &join.parts.front()) inner += ", ";
    inner += fmt::format(R"({{"InputName": {}, "Table": {}, {}{})", base::json_string(part.rows.shown),
                         base::json_string(part.rows.keyspace + "." + part.rows.table),
                         part.optional ? R"("Optional": true, )" : "", route_json(*part.rows.rows, ""));
    for (const auto& link : part.links) {
      inner += fmt::format("{}{}", &link == &part.links.front() ? R"(, "KeysFrom": [)" : ", ",
                           base::json_string(link.by_list.column + " in " + join.parts[link.part].rows.shown));
    }
    inner += part.links.empty() ? "}" : "]}";
  }
  return merge_json(join.merge, inner + "]");
}

std::string finish_json(const plan::Finish& finish) {
  std::string out =
      fmt::format(R"("OperatorType": "Finish", "Query": {}, "Inputs": [)", base::json_string(finish.text));
  for (const auto& input : finish.inputs) {
    if (&input != &finish.inputs.front()) out += ", ";
    out += fmt::format(R"({{"InputName": {}, "Table": {}, "TemporaryTable": {}, {})", base::json_string(input.shown),
                       base::json_string(input.keyspace + "." + input.table), base::json_string(input.scratch),
                       route_json(*input.rows, ""));
    for (const auto& link : input.links) {
      const auto& other = finish.inputs[link.input];
      out += fmt::format("{}{}", &link == &input.links.front() ? R"(, "KeysFrom": [)" : ", ",
                         base::json_string(link.column + " in " + other.shown + "." + other.columns[link.place].name));
    }
    out += input.links.empty() ? "}" : "]}";
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
  if (plan.kind == plan::Plan::Kind::kFinish) return plan::is_joined(plan) ? "merge" : "finish";
  if (plan.kind != plan::Plan::Kind::kRoute || !plan.is_read) return "";
  const Kind kind = plan.route.kind;
  const bool one = kind == Kind::kAnyShard || kind == Kind::kByValues || kind == Kind::kNoShard ||
                   kind == Kind::kByLookup || (kind == Kind::kByIds && plan.route.ids.size() == 1);
  return one && plan.merge.empty() ? "relay" : "merge";
}

std::string plan_json(const plan::Plan& plan, std::string_view text) {
  std::string out = "{";
  if (const auto way = way_of(plan); !way.empty()) out += fmt::format(R"("Way": "{}", )", way);
  if (plan.kind == plan::Plan::Kind::kFinish) {
    return out + (plan::is_joined(plan) ? join_json(*plan.finish->join) : finish_json(*plan.finish)) + "}";
  }
  if (plan.kind == plan::Plan::Kind::kChange) return out + change_json(*plan.change) + "}";
  if (plan.kind == plan::Plan::Kind::kInsertRows) return out + insert_rows_json(*plan.insert_rows) + "}";
  if (plan.insert) {
    return out + fmt::format(R"("OperatorType": "Insert", "Variant": "{}", "Keyspace": {{"Name": {}}}, "Query": {}}})",
                             plan.insert->vindex == nullptr ? "Unsharded" : "Sharded",
                             base::json_string(plan.insert->keyspace), base::json_string(text));
  }
  if (plan.copies) out += R"("Copies": true, )";
  return out + merge_json(plan.merge, route_json(plan, text)) + "}";
}

std::string trace_json(const std::vector<TracedText>& sent) {
  // Of one text the times it was sent: by how many calls, to how many shards, for how many rows.
  std::vector<std::pair<const TracedText*, std::vector<const TracedText*>>> texts;
  for (const auto& one : sent) {
    const auto same = [&](const auto& of) { return of.first->text == one.text && of.first->keyspace == one.keyspace; };
    auto found = std::ranges::find_if(texts, same);
    if (found == texts.end()) found = texts.insert(texts.end(), {&one, {}});
    found->second.push_back(&one);
  }
  std::string out;
  for (const auto& [first, all] : texts) {
    std::map<size_t, uint64_t> calls;
    for (const auto* one : all) calls[one->call] += one->rows;
    std::vector<uint64_t> rows;
    for (const auto& [call, count] : calls) rows.push_back(count);
    std::ranges::sort(rows);
    const double average = static_cast<double>(std::accumulate(rows.begin(), rows.end(), uint64_t{0})) / rows.size();
    out += fmt::format(
        R"({}{{"Keyspace": {}, "Query": {}, "NoOfCalls": {}, "AvgNumberOfRows": {}, "MedianNumberOfRows": {}, "ShardsQueried": {}}})",
        out.empty() ? "" : ", ", base::json_string(first->keyspace), base::json_string(first->text), calls.size(),
        average, rows[rows.size() / 2], all.size());
  }
  return out;
}

size_t ClientSession::note_sent(const shard::Target& target, std::string_view text, bool same_call) {
  if (trace_ == nullptr) return 0;
  if (!same_call) ++trace_->calls;
  trace_->sent.push_back({trace_->calls, target, std::string(text)});
  return trace_->sent.size() - 1;
}

net::Task<RunResult> ClientSession::send_one_cell(std::string json) {
  net::QueryResult result;
  mysql::ColumnDef column;
  column.name = "JSON";
  column.collation = mysql::kUtf8mb4GeneralCi;
  column.length = static_cast<uint32_t>(json.size() * 4);
  result.rows = {{std::move(json)}};
  result.columns.push_back(std::move(column));
  row_count_ = -1;
  answered_with(1);
  Status sent = co_await send_result(result);
  co_return sent.ok() ? RunResult::answered() : RunResult::hang_up(std::move(sent).error());
}

// Runs a statement for what it sends: its answer goes nowhere.
net::Task<Status> ClientSession::run_traced(const Statement& inner) {
  const uint8_t sequence = sequence_;
  RunResult result = co_await run_once(inner);
  sequence_ = sequence;
  counters_ = nullptr;
  if (result.error) co_return std::move(*result.error);
  if (result.told_error && last_error_) co_return *last_error_;
  co_return Status{};
}

net::Task<Result<std::string>> ClientSession::vexplain_json(const plan::Plan& plan, const Statement& inner,
                                                            bool explains) {
  Trace trace;
  trace_ = &trace;
  Status ran = co_await run_traced(inner);
  trace_ = nullptr;
  CO_RETURN_IF_ERROR(ran);
  std::string out = plan_json(plan, inner.text);
  out.pop_back();
  out += explains ? R"(, "Queries": [)" : R"(, "Trace": [)";
  if (!explains) {
    std::vector<TracedText> sent;
    for (auto& one : trace.sent) sent.push_back({one.call, one.target.keyspace, std::move(one.text), one.rows});
    co_return out + trace_json(sent) + "]}";
  }
  for (size_t i = 0; i < trace.sent.size(); ++i) {
    const SentText& sent = trace.sent[i];
    out += fmt::format(R"({}{{"Keyspace": {}, "Shard": {}, "Query": {})", i > 0 ? ", " : "",
                       base::json_string(sent.target.keyspace), base::json_string(sent.target.shard),
                       base::json_string(sent.text));
    // Not all that is sent can be explained: sequences, and what stands on temporary tables that are gone.
    auto explained = co_await ask({sent.target, "explain format=json " + sent.text});
    if (explained.ok() && !explained->text(0, 0).empty()) {
      out += R"(, "mysql_explain_json": )" + std::string(explained->text(0, 0));
    }
    out += "}";
  }
  co_return out + "]}";
}

net::Task<RunResult> ClientSession::vexplain(const Statement& statement) {
  auto ast = sql::parse(statement.text);
  if (!ast.ok()) co_return RunResult::failed(std::move(ast).error());
  const auto* explain = sql::statement_as<sql::Explain>(&ast->statement());
  if (explain == nullptr || explain->statement == nullptr) {
    co_return RunResult::failed(fail(Code::kInvalidArgument, "give VEXPLAIN a statement").with_mysql(1064, "42000"));
  }
  std::string text(explain->statement->span.of(ast->text()));
  std::array<sql::LiteralPosition, kRecordedLiterals> storage;
  Statement inner;
  inner.text = text;
  inner.scan = sql::fingerprint(text, storage);
  inner.literals = inner.scan.literals;
  using Type = sql::VexplainType;
  const Type type = explain->vexplain;
  if (type == Type::kKeys) {
    auto keys = keys_json(*explain->statement);
    if (!keys.ok()) co_return RunResult::failed(std::move(keys).error());
    co_return co_await send_one_cell(std::move(*keys));
  }
  auto plan = plan_for(inner);
  if (!plan.ok() && plan.error().code() == Code::kNotFound) {
    auto expanded = co_await expand_views(text);
    if (expanded.ok() && *expanded) {
      text = std::move(**expanded);
      inner.text = text;
      inner.scan = sql::fingerprint(text, storage);
      inner.literals = inner.scan.literals;
      plan = plan_for(inner);
    }
  }
  counters_ = nullptr;  // It does not run for a client.
  if (!plan.ok()) co_return RunResult::failed(std::move(plan).error());
  if (type == Type::kPlan) co_return co_await send_one_cell(plan_json(**plan, text));
  const auto kind = inner.scan.kind;
  using enum sql::StatementKind;
  const bool changes = kind == kInsert || kind == kReplace || kind == kUpdate || kind == kDelete;
  if (!changes && kind != kSelect) {
    co_return RunResult::failed(fail(
        Code::kUnimplemented, "VT12001: unsupported: this statement in VEXPLAIN QUERIES, ALL and TRACE, which run it"));
  }
  if (changes && statement.text.find("EXECUTE_DML_QUERIES") == std::string_view::npos) {
    co_return RunResult::failed(
        fail(Code::kInvalidArgument,
             "VT09008: vexplain queries/all will actually run queries; write `/*vt+ EXECUTE_DML_QUERIES */` into the "
             "statement if it is to change what it says"));
  }
  if (type != Type::kQueries) {
    auto json = co_await vexplain_json(**plan, inner, type == Type::kAll);
    if (!json.ok()) co_return RunResult::failed(std::move(json).error());
    co_return co_await send_one_cell(std::move(*json));
  }
  Trace trace;
  trace_ = &trace;
  Status ran = co_await run_traced(inner);
  trace_ = nullptr;
  if (!ran.ok()) co_return RunResult::failed(std::move(ran).error());
  net::QueryResult result;
  for (const char* name : {"#", "keyspace", "shard", "query"}) {
    mysql::ColumnDef column;
    column.name = name;
    column.collation = mysql::kUtf8mb4GeneralCi;
    column.length = 65535;
    result.columns.push_back(std::move(column));
  }
  for (auto& sent : trace.sent) {
    result.rows.push_back(
        {std::to_string(sent.call - 1), sent.target.keyspace, sent.target.shard, std::move(sent.text)});
  }
  row_count_ = -1;
  answered_with(result.rows.size());
  Status sent = co_await send_result(result);
  co_return sent.ok() ? RunResult::answered() : RunResult::hang_up(std::move(sent).error());
}

}  // namespace vitrail::gate
