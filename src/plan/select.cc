#include "plan/select.h"

#include <algorithm>
#include <charconv>

#include "plan/expr_walk.h"
#include "sql/printer.h"

namespace vitrail::plan {

using sql::as;

namespace {

// LIMIT's count or offset, when it is known now.
Result<std::optional<uint64_t>> limit_value(const sql::Expr* expr, const PlanContext& context) {
  if (expr == nullptr) return std::optional<uint64_t>();
  std::string digits;
  if (const auto* literal = as<sql::Literal>(expr);
      literal != nullptr && literal->literal == sql::LiteralKind::kInteger) {
    digits = literal->text;
  } else if (const auto* parameter = as<sql::Parameter>(expr);
             parameter != nullptr && parameter->index < context.parameters.size()) {
    digits = context.parameters[parameter->index].bytes;
  }
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (digits.empty() || error != std::errc() || end != digits.data() + digits.size()) {
    return unsupported("LIMIT with anything but a whole number");
  }
  return std::optional<uint64_t>(value);
}

class SelectPlanner {
 public:
  SelectPlanner(sql::Ast& ast, sql::Select& select, const StatementTables& tables, const PlanContext& context)
      : ast_(ast), select_(select), tables_(tables), context_(context) {}

  Result<std::shared_ptr<const Plan>> plan() {
    ASSIGN_OR_RETURN(const FromClause from, read_from(select_.from, select_.where, tables_));
    RETURN_IF_ERROR(refuse_subqueries());
    auto plan = std::make_shared<Plan>();
    plan->is_read = select_.locks.empty();
    ASSIGN_OR_RETURN(plan->route, route_rows(from, tables_.keyspace));
    using Kind = Route::Kind;
    if (plan->route.kind == Kind::kByValues || plan->route.kind == Kind::kNoShard ||
        plan->route.kind == Kind::kAnyShard) {
      finish_text(*plan);
      return plan;
    }
    if (select_.calc_found_rows) return unsupported("SQL_CALC_FOUND_ROWS over several shards");
    if (select_.into != nullptr) return unsupported("SELECT ... INTO over several shards");
    bool aggregates = false;
    for (const auto& item : select_.items) {
      const ExprTraits traits = traits_of(item.expr);
      if (traits.window) return unsupported("window functions over several shards");
      aggregates = aggregates || traits.aggregate;
    }
    if (select_.having != nullptr && !groups_stay_on_one_shard(from)) return unsupported("HAVING over several shards");
    if (select_.distinct && aggregates) return unsupported("DISTINCT with aggregates over several shards");
    if ((aggregates || !select_.group_by.empty()) && !groups_stay_on_one_shard(from)) {
      if (select_.rollup) return unsupported("WITH ROLLUP over several shards");
      RETURN_IF_ERROR(merge_aggregates(*plan));
    } else if (select_.distinct) {
      if (!select_.order_by.empty()) return unsupported("DISTINCT with ORDER BY over several shards");
      plan->merge.distinct = true;
    }
    if (!select_.order_by.empty() && plan->merge.aggregates.empty()) RETURN_IF_ERROR(add_order(*plan));
    RETURN_IF_ERROR(add_limit(*plan));
    finish_text(*plan);
    return plan;
  }

 private:
  Status refuse_subqueries() {
    for (const auto& item : select_.items) {
      if (traits_of(item.expr).subquery) return unsupported("subqueries beside sharded tables");
    }
    for (const sql::Expr* expr : {select_.where, select_.having}) {
      if (traits_of(expr).subquery) return unsupported("subqueries beside sharded tables");
    }
    return {};
  }

  // Every group has the rows of one shard only when the grouping holds the primary vindex column.
  bool groups_stay_on_one_shard(const FromClause& from) const {
    if (select_.rollup) return false;
    for (const auto& item : select_.group_by) {
      const auto* column = as<sql::Column>(item.expr);
      if (column == nullptr) continue;
      for (const auto& binding : from.tables) {
        const auto* vindex = binding.table->primary_vindex();
        if (vindex == nullptr || vindex->columns.size() != 1) continue;
        if (lower(vindex->columns[0]) != lower(column->name.text)) continue;
        const std::string qualifier = lower(column->table.text);
        if (qualifier == binding.alias || (qualifier.empty() && from.tables.size() == 1)) return true;
      }
    }
    return false;
  }

  Status merge_aggregates(Plan& plan) {
    const auto text_of = [](const sql::Expr* expr) { return lower(sql::print(*expr)); };
    std::vector<std::string> groups;
    for (const auto& item : select_.group_by) {
      const sql::Expr* expr = item.expr;
      if (const auto* literal = as<sql::Literal>(expr); literal != nullptr) {
        uint64_t ordinal = 0;
        std::from_chars(literal->text.data(), literal->text.data() + literal->text.size(), ordinal);
        if (ordinal < 1 || ordinal > select_.items.size()) return unsupported("GROUP BY a constant");
        expr = select_.items[ordinal - 1].expr;
      }
      groups.push_back(text_of(expr));
    }
    for (uint32_t i = 0; i < select_.items.size(); ++i) {
      const auto& item = select_.items[i];
      Merge::Aggregate aggregate{i, AggregateFunction::kAny};
      if (const auto* call = as<sql::FunctionCall>(item.expr); call != nullptr && sql::is_aggregate(*call)) {
        const std::string name = lower(call->name.text);
        if (call->distinct) return unsupported(name + "(DISTINCT ...) over several shards");
        if (name == "count") {
          aggregate.function = AggregateFunction::kCount;
        } else if (name == "sum") {
          aggregate.function = AggregateFunction::kSum;
        } else if (name == "min") {
          aggregate.function = AggregateFunction::kMin;
        } else if (name == "max") {
          aggregate.function = AggregateFunction::kMax;
        } else {
          return unsupported(name + "() over several shards");
        }
      } else {
        const std::string alias = lower(item.alias.text);
        const auto is_group = [&](const std::string& group) {
          return group == text_of(item.expr) || (!alias.empty() && group == alias);
        };
        if (std::find_if(groups.begin(), groups.end(), is_group) == groups.end()) {
          return unsupported(
              "a selected expression that is neither a plain aggregate nor a grouping column, over several shards");
        }
        if (as<sql::Star>(item.expr) != nullptr) return unsupported("* with GROUP BY over several shards");
      }
      plan.merge.aggregates.push_back(aggregate);
    }
    // Group keys travel as hidden columns, so that they are there whatever is selected.
    for (const auto& item : select_.group_by) {
      const sql::Expr* expr = item.expr;
      if (const auto* literal = as<sql::Literal>(expr); literal != nullptr) {
        uint64_t ordinal = 0;
        std::from_chars(literal->text.data(), literal->text.data() + literal->text.size(), ordinal);
        expr = select_.items[ordinal - 1].expr;
      } else {
        expr = unalias(expr);
      }
      plan.merge.group_by.push_back({hide(expr), true, false});
    }
    if (!select_.order_by.empty()) {
      for (const auto& item : select_.order_by) {
        const auto visible = find_item(item.expr);
        if (!visible) return unsupported("ORDER BY something that is not selected, with GROUP BY over several shards");
        plan.merge.order_by.push_back({*visible, false, item.direction == sql::Direction::kDesc});
      }
    }
    plan.merge.hidden_columns = hidden_;
    return {};
  }

  // Index of the selected item that an ORDER BY expression means, by ordinal, alias or text.
  std::optional<uint32_t> find_item(const sql::Expr* expr) const {
    if (const auto* literal = as<sql::Literal>(expr);
        literal != nullptr && literal->literal == sql::LiteralKind::kInteger) {
      uint64_t ordinal = 0;
      std::from_chars(literal->text.data(), literal->text.data() + literal->text.size(), ordinal);
      if (ordinal >= 1 && ordinal <= select_.items.size()) return static_cast<uint32_t>(ordinal - 1);
      return std::nullopt;
    }
    const std::string text = lower(sql::print(*expr));
    for (uint32_t i = 0; i < items_before_hidden(); ++i) {
      const auto& item = select_.items[i];
      if ((!item.alias.empty() && lower(item.alias.text) == text) || lower(sql::print(*item.expr)) == text) return i;
    }
    return std::nullopt;
  }

  uint32_t items_before_hidden() const { return static_cast<uint32_t>(select_.items.size()) - hidden_; }

  // An alias stands for its expression; the server lets it be used in ORDER BY, but not in the select list.
  const sql::Expr* unalias(const sql::Expr* expr) const {
    const auto* column = as<sql::Column>(expr);
    if (column == nullptr || !column->table.empty()) return expr;
    for (uint32_t i = 0; i < items_before_hidden(); ++i) {
      const auto& item = select_.items[i];
      if (!item.alias.empty() && lower(item.alias.text) == lower(column->name.text)) return item.expr;
    }
    return expr;
  }

  Status add_order(Plan& plan) {
    for (const auto& item : select_.order_by) {
      const sql::Expr* expr = item.expr;
      if (const auto* literal = as<sql::Literal>(expr); literal != nullptr) {
        const auto visible = find_item(expr);
        if (!visible) return unsupported("ORDER BY a constant over several shards");
        for (uint32_t i = 0; i <= *visible; ++i) {
          if (as<sql::Star>(select_.items[i].expr) != nullptr)
            return unsupported("ORDER BY a number behind * over several shards");
        }
        expr = select_.items[*visible].expr;
      } else {
        expr = unalias(expr);
      }
      const ExprTraits traits = traits_of(expr);
      if (traits.subquery || traits.window) return unsupported("this ORDER BY over several shards");
      plan.merge.order_by.push_back({hide(expr), true, item.direction == sql::Direction::kDesc});
    }
    plan.merge.hidden_columns = hidden_;
    return {};
  }

  // Adds an expression and its weight_string() to the select list; returns the first one's number among the hidden
  // ones.
  uint32_t hide(const sql::Expr* expr) {
    auto& arena = ast_.arena();
    auto* weight = arena.make<sql::FunctionCall>();
    weight->kind = sql::ExprKind::kFunctionCall;
    weight->name.text = "weight_string";
    weight->args = arena.list<sql::Expr*>({const_cast<sql::Expr*>(expr)});
    std::vector<sql::SelectItem> items(select_.items.begin(), select_.items.end());
    items.push_back({.expr = const_cast<sql::Expr*>(expr)});
    items.push_back({.expr = weight});
    select_.items = arena.copy(std::span<const sql::SelectItem>(items));
    hidden_ += 2;
    changed_ = true;
    return hidden_ - 2;
  }

  Status add_limit(Plan& plan) {
    if (select_.limit == nullptr) return {};
    if (select_.limit->rows_examined != nullptr || select_.limit->with_ties)
      return unsupported("this form of LIMIT over several shards");
    ASSIGN_OR_RETURN(const auto count, limit_value(select_.limit->count, context_));
    ASSIGN_OR_RETURN(const auto offset, limit_value(select_.limit->offset, context_));
    if (!count) return unsupported("OFFSET without LIMIT over several shards");
    plan.merge.limit = *count;
    plan.merge.offset = offset.value_or(0);
    limited_ = true;
    // Groups that are merged here cannot be cut there.
    auto& arena = ast_.arena();
    if (!plan.merge.aggregates.empty() || plan.merge.distinct) {
      select_.limit = nullptr;
      changed_ = true;
      return {};
    }
    if (plan.merge.offset > 0) {
      auto* all = arena.make<sql::Literal>();
      all->kind = sql::ExprKind::kLiteral;
      all->literal = sql::LiteralKind::kInteger;
      all->text = arena.copy_text(std::to_string(*count + plan.merge.offset));
      auto* limit = arena.make<sql::Limit>();
      limit->count = all;
      select_.limit = limit;
      changed_ = true;
    }
    return {};
  }

  void finish_text(Plan& plan) {
    if (changed_ || tables_.rewrite) {
      plan.text = server_text(ast_.statement(), tables_, context_, true);
    } else {
      plan.cacheable = !limited_;
    }
  }

  sql::Ast& ast_;
  sql::Select& select_;
  const StatementTables& tables_;
  const PlanContext& context_;
  uint32_t hidden_ = 0;
  bool changed_ = false;
  bool limited_ = false;
};

}  // namespace

Result<std::shared_ptr<const Plan>> plan_select(sql::Ast& ast, sql::Query* query, const StatementTables& tables,
                                                const PlanContext& context) {
  auto* select = as<sql::Select>(query);
  if (select == nullptr || select->with != nullptr) {
    return unsupported("UNION, WITH and the like over sharded tables");
  }
  SelectPlanner planner(ast, *select, tables, context);
  return planner.plan();
}

}  // namespace vitrail::plan
