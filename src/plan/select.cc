#include "plan/select.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "plan/expr_walk.h"
#include "plan/from.h"
#include "plan/key_text.h"
#include "schema/schema.h"
#include "sql/effects.h"
#include "sql/names.h"
#include "sql/printer.h"

namespace vitrail::plan {

using sql::as;

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

namespace {

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
    if (!grouped && can_group_instead()) {
      group_instead(merge);
      RETURN_IF_ERROR(merge_aggregates(merge));
    } else if (grouped && !groups_stay_on_one_shard()) {
      if (select_.distinct) return unsupported("DISTINCT with GROUP BY or aggregates over several shards");
      if (select_.rollup) return unsupported("WITH ROLLUP over several shards");
      RETURN_IF_ERROR(merge_aggregates(merge));
    } else if (select_.distinct) {
      ask_for_aggregates();
      RETURN_IF_ERROR(merge_distinct(merge));
    } else {
      if (!grouped) ask_for_aggregates();
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

  // DISTINCT of columns, some of them texts that may be equal without being the same: as groups, which know their first
  // row.
  bool can_group_instead() const {
    if (!select_.distinct || select_.having != nullptr || select_.calc_found_rows || row_key() == nullptr) return false;
    const auto is_other_alias = [&](const sql::SelectItem& item) {
      const auto* named = item_named(item.expr);
      return named != nullptr && !same(named->expr, item.expr);
    };
    bool spelt = false;
    for (uint32_t i = 0; i < items_; ++i) {
      const auto& item = select_.items[i];
      if (as<sql::Column>(item.expr) == nullptr || is_other_alias(item)) return false;
      spelt = spelt || has_spellings(item.expr);
    }
    return spelt;
  }

  void group_instead(Merge& merge) {
    std::vector<sql::OrderItem> groups;
    for (uint32_t i = 0; i < items_; ++i) groups.push_back({.expr = select_.items[i].expr});
    select_.group_by = ast_.arena().copy(std::span<const sql::OrderItem>(groups));
    select_.distinct = false;
    changed_ = true;
    merge.in_row_order = true;
  }

  // Of the only table.
  const schema::Column* row_key() const {
    if (from_.tables.size() != 1 || context_.schema == nullptr) return nullptr;
    const auto& table = *from_.tables.front().table;
    const auto* known = schema::find_table(*context_.schema, table.keyspace, table.name);
    return known == nullptr ? nullptr : schema::find_whole_key(*known);
  }

  // Whether equal values of it may look different.
  bool has_spellings(const sql::Expr* expr) const {
    if (as<sql::Column>(expr) == nullptr) return true;
    const auto* column = known_column(expr);
    return column == nullptr || (!column->charset.empty() && form_of(expr, UINT32_MAX) == KeyForm::kAsIs);
  }

  // A stored or loaded function may be an aggregate, which only the servers know: each shard would make one row of all
  // of its rows. In a condition they refuse such a function (1111) before anything runs; the condition is always true.
  void ask_for_aggregates() {
    auto& arena = ast_.arena();
    std::vector<const sql::FunctionCall*> unknown;
    const auto look_at = [&](const sql::Expr* expr) {
      walk(expr, [&](const sql::Expr& node) {
        const auto* call = as<sql::FunctionCall>(&node);
        if (call != nullptr && (!call->schema.empty() || !sql::is_builtin_function(call->name.text))) {
          unknown.push_back(call);
        }
        return true;
      });
    };
    for (const auto& item : select_.items) look_at(item.expr);
    for (const auto& item : select_.order_by) look_at(item.expr);
    look_at(select_.having);
    for (const auto* call : unknown) {
      auto* null = arena.make<sql::Literal>();
      null->kind = sql::ExprKind::kLiteral;
      null->literal = sql::LiteralKind::kNull;
      null->text = "null";
      const std::vector<sql::Expr*> nulls(call->args.size(), null);
      auto* asked = arena.make<sql::FunctionCall>();
      *asked = *call;
      asked->args = arena.copy(std::span<sql::Expr* const>(nulls));
      const std::string text = sql::print(*asked, server_options(ast_.statement(), tables_, context_, true));
      auto* condition = arena.make<sql::KeywordExpr>();
      condition->kind = sql::ExprKind::kKeyword;
      condition->word = arena.copy_text("(1 = 1 or " + text + " is null)");
      add_condition(condition);
    }
  }

  // Behind those that are there.
  void add_condition(sql::Expr* condition) {
    changed_ = true;
    if (select_.where == nullptr) {
      select_.where = condition;
      return;
    }
    std::vector<sql::Expr*> all = {select_.where};
    const auto* known = as<sql::Logical>(select_.where);
    if (known != nullptr && known->op == sql::LogicalOp::kAnd)
      all.assign(known->operands.begin(), known->operands.end());
    all.push_back(condition);
    auto* logical = ast_.arena().make<sql::Logical>();
    logical->kind = sql::ExprKind::kLogical;
    logical->op = sql::LogicalOp::kAnd;
    logical->operands = ast_.arena().copy(std::span<sql::Expr* const>(all));
    select_.where = logical;
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
    for (size_t i = 0; i < groups.size(); ++i) {
      // ONLY_FULL_GROUP_BY knows an expression by the whole of a selected item, and no function of it.
      const bool by_one = context_.full_groups && as<sql::Column>(groups[i]) == nullptr;
      merge.group_by.push_back(hide(groups[i], by_one ? "min" : ""));
      merge.group_by.back().descending = select_.group_by[i].direction == sql::Direction::kDesc;
    }
    if (const auto* key = row_key();
        key != nullptr && std::ranges::any_of(groups, [&](const sql::Expr* expr) { return has_spellings(expr); })) {
      merge.first_row = items_ + add_hidden("min(" + sql::quote_identifier(key->name) + ")");
      merge.aggregates.push_back({.column = *merge.first_row, .function = AggregateFunction::kMin});
    }
    RETURN_IF_ERROR(merge_having(groups, merge));
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
    return merge_call(*call, aggregate, merge);
  }

  Status merge_call(const sql::FunctionCall& call, Merge::Aggregate aggregate, Merge& merge) {
    const std::string name = lower(call.name.text);
    if (call.distinct) return unsupported(name + "(DISTINCT ...) over several shards");
    if (name == "count") {
      aggregate.function = AggregateFunction::kCount;
    } else if (name == "sum") {
      aggregate.function = AggregateFunction::kSum;
    } else if (name == "min" || name == "max") {
      aggregate.function = name == "min" ? AggregateFunction::kMin : AggregateFunction::kMax;
      if (call.args.size() != 1 || !is_plain(call.args[0])) aggregate.weight = hide(&call).weight;
    } else if (name == "avg" && call.args.size() == 1) {
      aggregate.function = AggregateFunction::kAvg;
      const std::string value = sql::print(*call.args[0], server_options(ast_.statement(), tables_, context_, true));
      aggregate.sum = add_hidden("sum(" + value + ")");
      aggregate.count = add_hidden("count(" + value + ")");
    } else {
      return unsupported(name + "() over several shards");
    }
    merge.aggregates.push_back(aggregate);
    return {};
  }

  // The aggregate that `call` is: one that is selected, or else a hidden one.
  Result<const Merge::Aggregate*> aggregate_of(const sql::FunctionCall& call, Merge& merge) {
    for (uint32_t i = 0; i < items_; ++i) {
      if (same(select_.items[i].expr, &call)) return &merge.aggregates[i];
    }
    const Merge::Aggregate aggregate{
        .column = items_ + add_hidden(sql::print(call, server_options(ast_.statement(), tables_, context_, true)))};
    RETURN_IF_ERROR(merge_call(call, aggregate, merge));
    return &merge.aggregates.back();
  }

  // HAVING as conditions that are all to be true: aggregates, or columns that are grouped by, compared with numbers.
  Status merge_having(const std::vector<const sql::Expr*>& groups, Merge& merge) {
    if (select_.having == nullptr) return {};
    std::vector<const sql::Expr*> conditions;
    add_conjuncts(select_.having, conditions);
    for (const sql::Expr* expr : conditions) {
      const auto* binary = as<sql::Binary>(expr);
      if (binary == nullptr || !sql::is_comparison(binary->op) || binary->op == sql::BinaryOp::kNullSafeEqual ||
          binary->quantifier != sql::Quantifier::kNone) {
        return unsupported("this HAVING over several shards");
      }
      auto number = number_text(binary->right);
      const bool turned = !number;
      if (turned) number = number_text(binary->left);
      if (!number) return unsupported("HAVING with anything but numbers over several shards");
      ASSIGN_OR_RETURN(const uint32_t column, having_column(turned ? binary->right : binary->left, groups, merge));
      merge.having.push_back({.column = column,
                              .comparison = turned ? turned_comparison(binary->op) : binary->op,
                              .number = std::move(*number)});
    }
    select_.having = nullptr;
    changed_ = true;
    return {};
  }

  // a < b is b > a.
  static sql::BinaryOp turned_comparison(sql::BinaryOp op) {
    using enum sql::BinaryOp;
    switch (op) {
      case kLess: return kGreater;
      case kLessEqual: return kGreaterEqual;
      case kGreater: return kLess;
      case kGreaterEqual: return kLessEqual;
      default: return op;
    }
  }

  // A whole or decimal number.
  std::optional<std::string> number_text(const sql::Expr* expr) const {
    std::string sign;
    if (const auto* unary = as<sql::Unary>(expr); unary != nullptr && unary->op == sql::UnaryOp::kMinus) {
      sign = "-";
      expr = unary->operand;
    }
    if (const auto* literal = as<sql::Literal>(expr)) {
      const bool exact =
          literal->literal == sql::LiteralKind::kInteger || literal->literal == sql::LiteralKind::kDecimal;
      return exact ? std::optional(sign + std::string(literal->text)) : std::nullopt;
    }
    const auto* parameter = as<sql::Parameter>(expr);
    if (!sign.empty() || parameter == nullptr || parameter->index >= context_.parameters.size()) return std::nullopt;
    const auto& value = context_.parameters[parameter->index];
    return mysql::is_integer_type(value.type) ? std::optional(value.bytes) : std::nullopt;
  }

  Result<uint32_t> having_column(const sql::Expr* expr, const std::vector<const sql::Expr*>& groups, Merge& merge) {
    if (const auto* item = item_named(expr); item != nullptr && !same(item->expr, expr)) {
      // Which of both is meant depends on what else is grouped by.
      if (has_column(item->alias.text).value_or(true)) {
        return unsupported("HAVING with an alias that may be a column, over several shards");
      }
      expr = item->expr;
    }
    if (const auto* call = as<sql::FunctionCall>(expr); call != nullptr && sql::is_aggregate(*call)) {
      ASSIGN_OR_RETURN(const auto* aggregate, aggregate_of(*call, merge));
      return aggregate->column;
    }
    for (size_t i = 0; i < groups.size(); ++i) {
      if (as<sql::Column>(expr) != nullptr && same(groups[i], expr)) return items_ + merge.group_by[i].column;
    }
    return unsupported("HAVING with anything but aggregates and columns of the groups, over several shards");
  }

  Result<Key> aggregated_order(const sql::Expr* expr, const std::vector<const sql::Expr*>& groups, Merge& merge) {
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
    if (const auto* call = as<sql::FunctionCall>(expr); call != nullptr && sql::is_aggregate(*call)) {
      ASSIGN_OR_RETURN(const auto* aggregate, aggregate_of(*call, merge));
      return Key{.column = aggregate->column, .weight = aggregate->weight};
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
      // An item that can be compared as it is leaves servers free to find its values in an index.
      merge.distinct_by.push_back(is_plain(select_.items[i].expr) ? Key{.column = i} : hide(select_.items[i].expr));
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

  // A column whose values are compared by what is printed of them: numbers, dates and times, as the tablets tell.
  bool is_plain(const sql::Expr* expr) const {
    const auto* known = known_column(expr);
    return known != nullptr && is_printed_as_compared(*known);
  }

  const schema::Column* known_column(const sql::Expr* expr) const {
    const auto* column = as<sql::Column>(expr);
    if (column == nullptr || context_.schema == nullptr) return nullptr;
    if (column->table.empty() && from_.tables.size() > 1) return nullptr;  // Whose column it is only the servers know.
    const std::string qualifier = lower(column->table.text);
    for (const auto& binding : from_.tables) {
      if (!qualifier.empty() && qualifier != binding.alias) continue;
      const auto* table = schema::find_table(*context_.schema, binding.table->keyspace, binding.table->name);
      return table == nullptr ? nullptr : table->find(column->name.text);
    }
    return nullptr;
  }

  // As the servers answered before, or the tablets tell: then nothing has to be asked twice.
  KeyForm form_of(const sql::Expr* expr, uint32_t ordinal) const {
    const auto asked = context_.key_forms.find(ordinal);
    if (asked != context_.key_forms.end()) return asked->second;
    const auto* column = known_column(expr);
    if (column == nullptr) return KeyForm::kAsIs;
    if (column->data_type == "enum" || column->data_type == "set") return KeyForm::kNumber;
    return column->data_type == "float" ? KeyForm::kDouble : KeyForm::kAsIs;
  }

  // Adds an expression, or an aggregate of it, and what it is compared by to the select list.
  Key hide(const sql::Expr* expr, const std::string& aggregate = "") {
    auto& arena = ast_.arena();
    const uint32_t ordinal = keys_++;
    const auto form = form_of(expr, ordinal);
    std::string text = sql::print(*expr, server_options(ast_.statement(), tables_, context_, true));
    if (!aggregate.empty()) text = aggregate + "(" + text + ")";
    const auto raw = [&](const std::string& sql) -> sql::Expr* {
      auto* node = arena.make<sql::KeywordExpr>();
      node->kind = sql::ExprKind::kKeyword;
      node->word = arena.copy_text(sql);
      return node;
    };
    std::vector<sql::SelectItem> items(select_.items.begin(), select_.items.end());
    Key key{.column = hidden_, .hidden = true, .ordinal = ordinal};
    changed_ = true;
    const auto at = vindex_column(expr, from_.tables);
    const bool printed = is_plain(expr) || (at && from_.tables[*at].key_type == KeyType::kInteger);
    const auto texts = key_texts(text, form, printed);
    for (const auto& one : texts) items.push_back({.expr = raw(one)});
    if (texts.size() > 1) key.weight = hidden_ + 1;
    hidden_ += static_cast<uint32_t>(texts.size());
    select_.items = arena.copy(std::span<const sql::SelectItem>(items));
    return key;
  }

  // Its number among the hidden columns.
  uint32_t add_hidden(const std::string& text) {
    auto& arena = ast_.arena();
    auto* node = arena.make<sql::KeywordExpr>();
    node->kind = sql::ExprKind::kKeyword;
    node->word = arena.copy_text(text);
    std::vector<sql::SelectItem> items(select_.items.begin(), select_.items.end());
    items.push_back({.expr = node});
    select_.items = arena.copy(std::span<const sql::SelectItem>(items));
    changed_ = true;
    return hidden_++;
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
