#include "plan/select.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "plan/expr_walk.h"
#include "plan/from.h"
#include "sql/names.h"
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

// What would give other values each time it is computed.
bool is_volatile(const sql::Expr* expr) {
  static const std::set<std::string, std::less<>> kNames = {
      "rand",    "uuid",    "uuid_short",   "uuid_v4",   "uuid_v7", "sys_guid", "sleep",
      "nextval", "sysdate", "random_bytes", "benchmark", "lastval", "setval"};
  bool found = false;
  walk(expr, [&](const sql::Expr& node) {
    const auto* call = as<sql::FunctionCall>(&node);
    found =
        found || (call != nullptr && kNames.contains(lower(call->name.text))) || node.kind == sql::ExprKind::kNextValue;
    return true;
  });
  return found;
}

// LAST_INSERT_ID(...) is of the row that a server comes to last.
bool sets_insert_id(const sql::Expr* expr) {
  bool found = false;
  walk(expr, [&](const sql::Expr& node) {
    const auto* call = as<sql::FunctionCall>(&node);
    found = found || (call != nullptr && !call->args.empty() && lower(call->name.text) == "last_insert_id");
    return true;
  });
  return found;
}

class SelectPlanner {
 public:
  SelectPlanner(sql::Ast& ast, sql::Select& select, const StatementTables& tables, const PlanContext& context)
      : ast_(ast), select_(select), tables_(tables), context_(context), items_(select.items.size()) {}

  Result<std::shared_ptr<const Plan>> plan() {
    if (tables_.system_schema) return unsupported("system tables beside sharded tables");
    if (select_.next_values != nullptr) return unsupported("SELECT NEXT VALUES from a sharded keyspace");
    ASSIGN_OR_RETURN(from_, read_from(select_.from, select_.where, tables_));
    RETURN_IF_ERROR(refuse_subqueries());
    auto plan = std::make_shared<Plan>();
    plan->is_read = select_.locks.empty() && select_.into == nullptr;
    ASSIGN_OR_RETURN(plan->route, route_rows(from_, tables_.keyspace, context_));
    using Kind = Route::Kind;
    if (plan->route.kind == Kind::kByValues || plan->route.kind == Kind::kNoShard ||
        plan->route.kind == Kind::kAnyShard || plan->route.kind == Kind::kByLookup) {
      finish_text(*plan);
      return plan;
    }
    if (tables_.rewrite) shape_ = server_text(ast_.statement(), tables_, context_, false);
    RETURN_IF_ERROR(plan_merge(*plan));
    finish_text(*plan);
    return plan;
  }

 private:
  using Key = Merge::Key;

  Status plan_merge(Plan& plan) {
    Merge& merge = plan.merge;
    if (select_.into != nullptr) return unsupported("SELECT ... INTO over several shards");
    bool aggregates = false;
    const auto look_at = [&](const sql::Expr* expr) -> Status {
      const ExprTraits traits = traits_of(expr);
      if (traits.window) return unsupported("window functions over several shards");
      if (traits.relevance) return unsupported("the relevance of MATCH over several shards");
      if (sets_insert_id(expr)) return unsupported("LAST_INSERT_ID(...) of rows of several shards");
      aggregates = aggregates || traits.aggregate;
      return {};
    };
    const auto look_at_key = [&](const sql::Expr* expr) -> Status {
      if (as<sql::Parameter>(expr) == nullptr) return look_at(expr);
      return unsupported("a parameter in ORDER BY or GROUP BY over several shards");  // A number is a column's place.
    };
    for (const auto& item : select_.items) RETURN_IF_ERROR(look_at(item.expr));
    for (const auto& item : select_.group_by) RETURN_IF_ERROR(look_at_key(item.expr));
    for (const auto& item : select_.order_by) RETURN_IF_ERROR(look_at_key(item.expr));
    if (sets_insert_id(select_.where)) return unsupported("LAST_INSERT_ID(...) of rows of several shards");
    RETURN_IF_ERROR(look_at(select_.having));
    const bool grouped = aggregates || !select_.group_by.empty();
    if (grouped && !groups_stay_on_one_shard()) {
      if (select_.having != nullptr) return unsupported("HAVING over several shards");
      if (select_.distinct) return unsupported("DISTINCT with GROUP BY or aggregates over several shards");
      if (select_.rollup) return unsupported("WITH ROLLUP over several shards");
      RETURN_IF_ERROR(merge_aggregates(merge));
    } else if (select_.distinct) {
      RETURN_IF_ERROR(merge_distinct(merge));
    } else {
      RETURN_IF_ERROR(add_order(merge));
    }
    merge.hidden_columns = hidden_;
    return add_limit(merge);
  }

  Status refuse_subqueries() const {
    const auto refuse = [](const sql::Expr* expr) -> Status {
      if (traits_of(expr).subquery) return unsupported("subqueries beside sharded tables");
      return {};
    };
    for (const auto& item : select_.items) RETURN_IF_ERROR(refuse(item.expr));
    for (const auto& item : select_.group_by) RETURN_IF_ERROR(refuse(item.expr));
    for (const auto& item : select_.order_by) RETURN_IF_ERROR(refuse(item.expr));
    RETURN_IF_ERROR(refuse(select_.where));
    return refuse(select_.having);
  }

  // Every group has the rows of one shard only when the grouping holds a primary vindex column whose equal values are
  // placed together. (In GROUP BY a column comes before an alias.)
  bool groups_stay_on_one_shard() const {
    if (select_.rollup) return false;
    return std::any_of(select_.group_by.begin(), select_.group_by.end(), [&](const sql::OrderItem& item) {
      const auto at = vindex_column(item.expr, from_.tables);
      if (!at || from_.tables[*at].nullable) return false;  // Rows without a key would be a group on each shard.
      return from_.tables[*at].key_type != KeyType::kUnknown;
    });
  }

  // The item of a number in GROUP BY or ORDER BY; nullptr when it has none.
  const sql::SelectItem* item_of(const sql::Literal& literal) const {
    const std::string_view digits = literal.text;
    uint64_t ordinal = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), ordinal);
    if (literal.literal != sql::LiteralKind::kInteger || error != std::errc() || ordinal < 1 || ordinal > items_) {
      return nullptr;
    }
    for (uint32_t i = 0; i < ordinal; ++i) {  // Behind a * the numbers are not those of the items.
      if (as<sql::Star>(select_.items[i].expr) != nullptr) return nullptr;
    }
    return &select_.items[ordinal - 1];
  }

  // The item with this alias, for a name without qualifier.
  const sql::SelectItem* item_named(const sql::Expr* expr) const {
    const auto* column = as<sql::Column>(expr);
    if (column == nullptr || !column->table.empty()) return nullptr;
    for (uint32_t i = 0; i < items_; ++i) {
      const auto& item = select_.items[i];
      if (!item.alias.empty() && lower(item.alias.text) == lower(column->name.text)) return &item;
    }
    return nullptr;
  }

  bool same(const sql::Expr* a, const sql::Expr* b) const {
    const auto* x = as<sql::Column>(a);
    const auto* y = as<sql::Column>(b);
    if (x == nullptr || y == nullptr) return sql::print(*a) == sql::print(*b);
    if (lower(x->name.text) != lower(y->name.text)) return false;
    if (lower(x->table.text) == lower(y->table.text)) return true;
    return from_.tables.size() == 1 && (x->table.empty() || y->table.empty());
  }

  // nullopt: the vschema does not tell all columns.
  std::optional<bool> has_column(std::string_view name) const {
    for (const auto& binding : from_.tables) {
      for (const auto& column : binding.table->columns) {
        if (lower(column.name()) == lower(name)) return true;
      }
    }
    for (const auto& binding : from_.tables) {
      if (!binding.table->column_list_authoritative) return std::nullopt;
    }
    return false;
  }

  // What a GROUP BY item means.
  Result<const sql::Expr*> group_expr(const sql::Expr* expr, Merge& merge) {
    if (const auto* literal = as<sql::Literal>(expr)) {
      const auto* item = item_of(*literal);
      if (item == nullptr) return unsupported("GROUP BY a constant, or a number behind *, over several shards");
      return item->expr;
    }
    const auto* item = item_named(expr);
    if (item == nullptr || same(item->expr, expr)) return expr;
    if (const auto* column = as<sql::Column>(item->expr);
        column != nullptr && lower(column->name.text) == lower(item->alias.text)) {
      return item->expr;
    }
    // A column of this name would be meant, not the alias.
    const auto known = has_column(item->alias.text);
    if (known && *known) return expr;
    merge.warnings_refuse = merge.warnings_refuse || !known;
    return item->expr;
  }

  Status merge_aggregates(Merge& merge) {
    std::vector<const sql::Expr*> groups;
    for (const auto& item : select_.group_by) {
      ASSIGN_OR_RETURN(const sql::Expr* expr, group_expr(item.expr, merge));
      if (traits_of(expr).aggregate) return unsupported("GROUP BY an aggregate");
      if (is_volatile(expr)) return unsupported("GROUP BY a value that is never the same, over several shards");
      groups.push_back(expr);
    }
    for (uint32_t i = 0; i < items_; ++i) RETURN_IF_ERROR(add_aggregate(i, groups, merge));
    // Group keys travel as hidden columns, so that they are there whatever is selected.
    for (const sql::Expr* expr : groups) merge.group_by.push_back(hide(expr));
    for (const auto& item : select_.order_by) {
      ASSIGN_OR_RETURN(Key key, aggregated_order(item.expr, groups, merge));
      key.descending = item.direction == sql::Direction::kDesc;
      merge.order_by.push_back(key);
    }
    return {};
  }

  Status add_aggregate(uint32_t place, const std::vector<const sql::Expr*>& groups, Merge& merge) {
    const sql::Expr* expr = select_.items[place].expr;
    Merge::Aggregate aggregate{.column = place};
    const auto* call = as<sql::FunctionCall>(expr);
    if (call == nullptr || !sql::is_aggregate(*call)) {
      if (as<sql::Star>(expr) != nullptr) return unsupported("* with GROUP BY over several shards");
      const auto is_group = [&](const sql::Expr* group) { return same(group, expr); };
      if (as<sql::Literal>(expr) == nullptr && std::find_if(groups.begin(), groups.end(), is_group) == groups.end()) {
        return unsupported(
            "a selected expression that is neither a plain aggregate nor a grouping column, over several shards");
      }
      merge.aggregates.push_back(aggregate);
      return {};
    }
    const std::string name = lower(call->name.text);
    if (call->distinct) return unsupported(name + "(DISTINCT ...) over several shards");
    if (name == "count") {
      aggregate.function = AggregateFunction::kCount;
    } else if (name == "sum") {
      aggregate.function = AggregateFunction::kSum;
    } else if (name == "min" || name == "max") {
      aggregate.function = name == "min" ? AggregateFunction::kMin : AggregateFunction::kMax;
      aggregate.weight = hide(expr).weight;
    } else {
      return unsupported(name + "() over several shards");
    }
    merge.aggregates.push_back(aggregate);
    return {};
  }

  Result<Key> aggregated_order(const sql::Expr* expr, const std::vector<const sql::Expr*>& groups, const Merge& merge) {
    const sql::SelectItem* item = nullptr;
    if (const auto* literal = as<sql::Literal>(expr)) {
      item = item_of(*literal);
      if (item == nullptr) return unsupported("ORDER BY a constant with GROUP BY over several shards");
    } else {
      item = item_named(expr);
    }
    if (item != nullptr) expr = item->expr;
    for (size_t i = 0; i < groups.size(); ++i) {
      if (same(groups[i], expr)) return merge.group_by[i];
    }
    for (uint32_t i = 0; i < items_; ++i) {
      if (as<sql::FunctionCall>(expr) == nullptr || !same(select_.items[i].expr, expr)) continue;
      return Key{.column = i, .weight = merge.aggregates[i].weight};
    }
    return unsupported("ORDER BY something that is not selected, with GROUP BY over several shards");
  }

  Status merge_distinct(Merge& merge) {
    merge.distinct = true;
    bool star = false;
    for (uint32_t i = 0; i < items_; ++i) star = star || as<sql::Star>(select_.items[i].expr) != nullptr;
    if (star) {  // By all columns, whatever they are; more columns would make more rows different.
      if (!select_.order_by.empty()) return unsupported("DISTINCT * with ORDER BY over several shards");
      return {};
    }
    // What belongs to an item depends on its value alone, so it does not make more rows different.
    for (uint32_t i = 0; i < items_; ++i) {
      if (is_volatile(select_.items[i].expr)) {
        return unsupported("DISTINCT of a value that is never the same, over several shards");
      }
      merge.distinct_by.push_back(hide(select_.items[i].expr));
    }
    for (const auto& order : select_.order_by) {
      const sql::SelectItem* item = nullptr;
      if (const auto* literal = as<sql::Literal>(order.expr)) {
        item = item_of(*literal);
      } else {
        item = item_named(order.expr);
        for (uint32_t i = 0; item == nullptr && i < items_; ++i) {
          if (same(select_.items[i].expr, order.expr)) item = &select_.items[i];
        }
      }
      if (item == nullptr) return unsupported("DISTINCT with ORDER BY something else, over several shards");
      Key key = merge.distinct_by[static_cast<size_t>(item - select_.items.data())];
      key.descending = order.direction == sql::Direction::kDesc;
      merge.order_by.push_back(key);
    }
    return {};
  }

  Status add_order(Merge& merge) {
    for (const auto& item : select_.order_by) {
      const sql::Expr* expr = item.expr;
      if (const auto* literal = as<sql::Literal>(expr)) {
        const auto* visible = item_of(*literal);
        if (visible == nullptr) return unsupported("ORDER BY a constant, or a number behind *, over several shards");
        expr = visible->expr;
      } else if (const auto* named = item_named(expr)) {
        // The alias comes before a column of its name.
        expr = named->expr;
      } else {
        RETURN_IF_ERROR(refuse_aliases_in(expr));
      }
      Key key = hide(expr);
      key.descending = item.direction == sql::Direction::kDesc;
      merge.order_by.push_back(key);
    }
    return {};
  }

  // Inside of an expression a name is a column's first and an alias' only then; the select list, where the expression
  // goes, knows no aliases.
  Status refuse_aliases_in(const sql::Expr* expr) const {
    bool found = false;
    walk(expr, [&](const sql::Expr& node) {
      const auto* item = item_named(&node);
      found = found || (item != nullptr && !same(item->expr, &node));
      return true;
    });
    if (found) return unsupported("an alias inside of an ORDER BY expression over several shards");
    return {};
  }

  // Adds an expression and what it is compared by to the select list.
  Key hide(const sql::Expr* expr) {
    auto& arena = ast_.arena();
    const uint32_t ordinal = keys_++;
    const auto form = context_.key_forms.find(ordinal);
    const std::string text = sql::print(*expr, server_options(ast_.statement(), tables_, context_, true));
    const auto raw = [&](const std::string& sql) -> sql::Expr* {
      auto* node = arena.make<sql::KeywordExpr>();
      node->kind = sql::ExprKind::kKeyword;
      node->word = arena.copy_text(sql);
      return node;
    };
    std::vector<sql::SelectItem> items(select_.items.begin(), select_.items.end());
    Key key{.column = hidden_, .hidden = true, .ordinal = ordinal};
    changed_ = true;
    if (form != context_.key_forms.end()) {
      items.push_back(
          {.expr = raw(form->second == KeyForm::kNumber ? "cast(" + text + " as unsigned)" : "(" + text + ") * 1e0")});
      hidden_ += 1;
    } else if (const auto at = vindex_column(expr, from_.tables);
               at && from_.tables[*at].key_type == KeyType::kInteger) {
      items.push_back({.expr = raw(text)});
      hidden_ += 1;
    } else {
      items.push_back({.expr = raw(text)});
      items.push_back({.expr = raw("weight_string(" + text + ")")});
      // The weight of one blank, if two of them are twice that; nothing where blanks at the end count.
      const auto blanks = [&](const char* what) { return "concat(left(" + text + ", 0), '" + what + "')"; };
      const std::string blank = "weight_string(" + blanks(" ") + ")";
      items.push_back({.expr = raw("if(" + blanks("a") + " = " + blanks("a ") + ", if(weight_string(" + blanks("  ") +
                                   ") = concat(" + blank + ", " + blank + "), " + blank + ", null), '')")});
      key.weight = hidden_ + 1;
      hidden_ += 3;
    }
    select_.items = arena.copy(std::span<const sql::SelectItem>(items));
    return key;
  }

  sql::Expr* number(uint64_t value) {
    auto& arena = ast_.arena();
    auto* literal = arena.make<sql::Literal>();
    literal->kind = sql::ExprKind::kLiteral;
    literal->literal = sql::LiteralKind::kInteger;
    literal->text = arena.copy_text(std::to_string(value));
    return literal;
  }

  Status add_limit(Merge& merge) {
    const bool found_rows = select_.calc_found_rows;
    if (found_rows) {
      merge.count_found_rows = true;
      select_.calc_found_rows = false;
      changed_ = true;
    }
    if (select_.limit == nullptr) return {};
    if (select_.limit->rows_examined != nullptr || select_.limit->with_ties)
      return unsupported("this form of LIMIT over several shards");
    ASSIGN_OR_RETURN(const auto count, limit_value(select_.limit->count, context_));
    ASSIGN_OR_RETURN(const auto offset, limit_value(select_.limit->offset, context_));
    if (!count) return unsupported("OFFSET without LIMIT over several shards");
    merge.limit = *count;
    merge.offset = offset.value_or(0);
    limited_ = true;
    // Groups that are merged here cannot be cut there.
    if (!merge.aggregates.empty() || merge.distinct || found_rows) {
      select_.limit = nullptr;
      changed_ = true;
      return {};
    }
    if (merge.offset > 0 || as<sql::Parameter>(select_.limit->count) != nullptr) {
      auto* limit = ast_.arena().make<sql::Limit>();
      limit->count = number(*count > UINT64_MAX - merge.offset ? UINT64_MAX : *count + merge.offset);
      select_.limit = limit;
      changed_ = true;
    }
    return {};
  }

  void finish_text(Plan& plan) {
    note_questions(ast_.statement(), plan);
    if (!changed_ && !tables_.rewrite) {
      plan.cacheable = !limited_ && !plan.route.by_value;
      return;
    }
    plan.text = server_text(ast_.statement(), tables_, context_, true);
    if (changed_) plan.shape = tables_.rewrite ? shape_ : std::string(ast_.text());
  }

  sql::Ast& ast_;
  sql::Select& select_;
  const StatementTables& tables_;
  const PlanContext& context_;
  const uint32_t items_;  // The statement's own.
  FromClause from_;
  std::string shape_;
  uint32_t hidden_ = 0;
  uint32_t keys_ = 0;
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
  sql::keep_column_names(ast);
  SelectPlanner planner(ast, *select, tables, context);
  return planner.plan();
}

}  // namespace vitrail::plan
