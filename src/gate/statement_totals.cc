#include "gate/statement_totals.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/text.h"
#include "gate/statistics.h"
#include "plan/insert.h"
#include "plan/plan.h"

namespace vitrail::gate {
namespace {

uint64_t value_of(const StatementTotals& totals, StatementOrder order) {
  switch (order) {
    case StatementOrder::kTime: return static_cast<uint64_t>(totals.time.count());
    case StatementOrder::kCount: return totals.count;
    case StatementOrder::kRows: return totals.rows;
    case StatementOrder::kErrors: break;
  }
  return totals.errors;
}

}  // namespace

void describe_plan(const plan::Plan& plan, StatementTotals& totals) {
  totals.plan = plan_type_name(plan);
  totals.keyspace = plan.insert ? plan.insert->keyspace : plan.route.keyspace;
  const auto& vindex = plan.insert ? plan.insert->vindex : plan.route.vindex;
  totals.vindex = vindex == nullptr ? "" : vindex->name();
  totals.sent = plan.text.value_or("");
}

Result<StatementOrder> parse_statement_order(std::string_view name) {
  if (name == "time") return StatementOrder::kTime;
  if (name == "count") return StatementOrder::kCount;
  if (name == "rows") return StatementOrder::kRows;
  if (name == "errors") return StatementOrder::kErrors;
  return fail(Code::kInvalidArgument, fmt::format("order={}: give time, count, rows or errors", name));
}

std::vector<StatementUse> top_statements(std::vector<StatementUse> all, StatementOrder order, size_t limit) {
  std::erase_if(all, [&](const StatementUse& use) { return value_of(use.totals, order) == 0; });
  const auto before = [&](const StatementUse& a, const StatementUse& b) {
    const uint64_t left = value_of(a.totals, order);
    const uint64_t right = value_of(b.totals, order);
    if (left != right) return left > right;
    return std::tie(a.totals.query, a.target) < std::tie(b.totals.query, b.target);
  };
  const size_t kept = std::min(limit, all.size());
  std::ranges::partial_sort(all, all.begin() + static_cast<std::ptrdiff_t>(kept), before);
  all.resize(kept);
  return all;
}

std::string without_literals(std::string_view text, std::span<const sql::LiteralPosition> literals,
                             size_t literal_count, size_t max) {
  std::string out;
  size_t at = 0;
  size_t number = 0;
  size_t end = std::min(text.size(), max);
  // Behind the last one that is known there may be others.
  if (literal_count > literals.size()) {
    end = std::min<size_t>(end, literals.empty() ? 0 : literals.back().offset + literals.back().length);
  }
  for (const auto& literal : literals) {
    if (literal.offset >= end) break;
    out += text.substr(at, literal.offset - at);
    out += ":vtg" + std::to_string(++number);
    at = literal.offset + literal.length;
  }
  if (at < end) {
    while (end < text.size() && end > at && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
    out += text.substr(at, end - at);
  }
  if (std::max(at, end) < text.size()) out += " ...";
  return out;
}

std::string statements_json(const std::vector<StatementUse>& statements) {
  std::string json = "[";
  for (const StatementUse& use : statements) {
    const StatementTotals& totals = use.totals;
    json += json.size() > 1 ? ",\n" : "\n";
    json += fmt::format(
        R"({{"Query":{},"Target":{},"Plan":{},"QueryCount":{},"ErrorCount":{},"RowCount":{},"TimeNs":{},)"
        R"("LongestNs":{},"Keyspace":{},"Vindex":{},"Sent":{}}})",
        base::json_string(totals.query), base::json_string(use.target), base::json_string(totals.plan), totals.count,
        totals.errors, totals.rows, totals.time.count(), totals.longest.count(), base::json_string(totals.keyspace),
        base::json_string(totals.vindex), base::json_string(totals.sent));
  }
  return json + "\n]\n";
}

std::string scatter_json(const std::vector<StatementUse>& statements, size_t limit) {
  StatementTotals all;
  StatementTotals scattered;
  std::vector<StatementUse> items;
  for (const StatementUse& use : statements) {
    all.add(use.totals);
    if (use.totals.plan != "Scatter" && use.totals.plan != "Complex") continue;
    scattered.add(use.totals);
    items.push_back(use);
  }
  const auto percent = [](auto part, auto whole) {
    return whole == 0 ? 0.0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
  };
  std::string json = fmt::format(
      R"({{"TotalTimeNs":{},"TotalCount":{},"PercentTimeScatter":{:.2f},"PercentCountScatter":{:.2f},"Items":[)",
      all.time.count(), all.count, percent(scattered.time.count(), all.time.count()),
      percent(scattered.count, all.count));
  const char* between = "\n";
  for (const StatementUse& use : top_statements(std::move(items), StatementOrder::kTime, limit)) {
    const StatementTotals& totals = use.totals;
    json += fmt::format(
        R"({}{{"Query":{},"Target":{},"Plan":{},"Count":{},"AvgTimeNs":{},"PercentTimeOfScatters":{:.2f},)"
        R"("PercentTimeOfAll":{:.2f},"PercentCountOfScatters":{:.2f},"PercentCountOfAll":{:.2f}}})",
        std::exchange(between, ",\n"), base::json_string(totals.query), base::json_string(use.target),
        base::json_string(totals.plan), totals.count,
        totals.time.count() / static_cast<int64_t>(std::max<uint64_t>(totals.count, 1)),
        percent(totals.time.count(), scattered.time.count()), percent(totals.time.count(), all.time.count()),
        percent(totals.count, scattered.count), percent(totals.count, all.count));
  }
  return json + "\n]}\n";
}

}  // namespace vitrail::gate
