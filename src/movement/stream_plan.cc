#include "movement/stream_plan.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/text.h"

namespace vitrail::movement {
namespace {

// What the source is asked for where expressions are computed here: the columns that are taken as they are, and those
// that expressions read.
RowQuery inputs_of(const TablePlan& plan) {
  RowQuery out = plan.query;
  std::erase_if(out.items, [](const auto& item) { return item.kind == RowQuery::ItemKind::kExpression; });
  for (const auto& item : plan.query.items) {
    for (const std::string& column : item.expression.columns) {
      const std::string name = input_name(plan.query, column);
      const bool known = std::ranges::any_of(out.items, [&](const auto& one) { return one.alias == name; });
      if (!known) out.items.push_back({column, name, RowQuery::ItemKind::kColumn});
    }
  }
  return out;
}

// The rows that a query adds up: what they are grouped by, what is summed, and what tells them apart.
RowQuery rows_of(const TablePlan& plan) {
  if (!plan.query.is_aggregate()) return inputs_of(plan);
  RowQuery out = plan.query;
  out.items.clear();
  out.group_by.clear();
  const auto add = [&](const std::string& column) {
    const bool known = std::ranges::any_of(
        out.items, [&](const auto& item) { return base::equals_ignoring_case(item.column, column); });
    if (!known) out.items.push_back({column, column, RowQuery::ItemKind::kColumn});
  };
  for (const auto& item : plan.query.items) {
    if (item.kind != RowQuery::ItemKind::kCount) add(item.column);
  }
  for (const std::string& column : plan.source_key) add(column);
  return out;
}

}  // namespace

// No column of a target is called so.
std::string input_name(const RowQuery& query, std::string_view column) {
  for (const auto& item : query.items) {
    if (item.kind == RowQuery::ItemKind::kColumn && base::equals_ignoring_case(item.column, column)) return item.alias;
  }
  return fmt::format("({})", base::to_lower(column));
}

Result<StreamPlan> StreamPlan::create(const ::binlogdata::Filter& rules) {
  StreamPlan out;
  RETURN_IF_ERROR(Filter::create(rules, true));
  out.source_filter_ = rules;
  for (auto& rule : *out.source_filter_.mutable_rules()) {
    if (rule.match().starts_with('/') || !base::to_lower(rule.filter().substr(0, 6)).starts_with("select")) continue;
    TablePlan plan;
    plan.target = rule.match();
    ASSIGN_OR_RETURN(plan.query, parse_row_query(rule.filter(), plan.source));
    for (const std::string_view column : base::split_list(rule.source_unique_key_columns())) {
      plan.source_key.emplace_back(column);
    }
    if (plan.query.is_aggregate()) {
      if (plan.source_key.empty()) {
        return fail(Code::kInvalidArgument,
                    fmt::format("rule {}: source_unique_key_columns are needed where rows are added up", plan.target));
      }
    }
    if (plan.query.is_aggregate() || plan.query.has_expressions()) {
      rule.set_filter(to_select(rows_of(plan), plan.source));
    }
    if (!out.target_of_.emplace(plan.source, plan.target).second) {
      return fail(Code::kInvalidArgument,
                  fmt::format("two rules take rows of table {}: a stream has one for each", plan.source));
    }
    rule.set_match(plan.source);
    out.by_target_.emplace(plan.target, std::move(plan));
  }
  return out;
}

std::string StreamPlan::target_of(std::string_view source) const {
  const auto found = target_of_.find(source);
  return found == target_of_.end() ? std::string(source) : found->second;
}

std::string StreamPlan::source_of(std::string_view target) const {
  const TablePlan* plan = find(target);
  return plan == nullptr ? std::string(target) : plan->source;
}

const TablePlan* StreamPlan::find(std::string_view target) const {
  const auto found = by_target_.find(target);
  return found == by_target_.end() ? nullptr : &found->second;
}

std::string StreamPlan::source_query(std::string_view target) const {
  const TablePlan* plan = find(target);
  if (plan == nullptr) return "";
  return to_select(rows_of(*plan), plan->source);
}

}  // namespace vitrail::movement
