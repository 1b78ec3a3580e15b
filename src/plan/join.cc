#include "plan/join.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "plan/expr_walk.h"
#include "plan/from.h"
#include "plan/key_text.h"
#include "plan/routing.h"
#include "plan/select.h"
#include "sql/printer.h"

namespace vitrail::plan {

using sql::as;

namespace {

// A table in the FROM clause. Tables are named by their place in References::tables.
struct Chained {
  size_t table = 0;
  bool optional = false;
};

// Two columns that have to be equal, where one side's condition says so; `optional`: the table whose join it is.
struct Equal {
  size_t a = 0;
  const schema::Column* left = nullptr;
  size_t b = 0;
  const schema::Column* right = nullptr;
  std::optional<size_t> optional;
};

class JoinReader {
 public:
  JoinReader(const References& references, const KnownColumns& known) : references_(references), known_(known) {}

  // FROM and WHERE. False: they are more than a chain of tables that are equal in some columns.
  bool read(const sql::Select& select) {
    for (const sql::TableRef* ref : select.from) {
      if (!flatten(ref)) return false;
    }
    if (tables_.size() != references_.tables.size() || tables_.size() < 2) return false;
    return take(select.where, std::nullopt) &&
           std::ranges::all_of(conditions_, [&](const auto& one) { return take(one.first, one.second); });
  }

  const std::vector<Chained>& tables() const { return tables_; }
  const std::vector<Equal>& equal() const { return equal_; }
  bool optional(size_t table) const {
    return std::ranges::any_of(tables_, [&](const Chained& one) { return one.table == table && one.optional; });
  }

  struct Resolved {
    size_t table = 0;
    const schema::Column* column = nullptr;
  };
  // nullopt: of no table, or of more than one.
  std::optional<Resolved> resolve(const sql::Column& column) const {
    if (!column.schema.empty()) return std::nullopt;
    const std::string qualifier = lower(column.table.text);
    std::optional<Resolved> found;
    for (size_t i = 0; i < references_.tables.size(); ++i) {
      if (!qualifier.empty() && references_.tables[i].alias != qualifier) continue;
      const auto* one = known_[i]->find(column.name.text);
      if (one == nullptr) continue;
      if (found) return std::nullopt;
      found = Resolved{i, one};
    }
    return found;
  }

 private:
  bool add(const sql::TableRef* ref, bool optional) {
    for (size_t i = 0; i < references_.tables.size(); ++i) {
      if (references_.tables[i].source != ref) continue;
      tables_.push_back({i, optional});
      return true;
    }
    return false;
  }

  bool flatten(const sql::TableRef* ref) {
    using enum sql::JoinType;
    if (const auto* list = as<sql::TableList>(ref))
      return std::ranges::all_of(list->items, [&](const auto* item) { return flatten(item); });
    const auto* join = as<sql::Join>(ref);
    if (join == nullptr) return add(ref, false);
    if (!join->columns.empty()) return false;
    switch (join->type) {
      case kInner:
      case kStraight:
        conditions_.emplace_back(join->on, std::nullopt);
        return flatten(join->left) && flatten(join->right);
      case kLeft: return flatten(join->left) && add_optional(join->right, join->on);
      case kRight: return flatten(join->right) && add_optional(join->left, join->on);
      default: return false;
    }
  }

  bool add_optional(const sql::TableRef* ref, const sql::Expr* on) {
    if (!add(ref, true)) return false;
    conditions_.emplace_back(on, tables_.back().table);
    return true;
  }

  // Each condition is asked of its own table, or makes rows of two tables meet.
  bool take(const sql::Expr* condition, std::optional<size_t> optional) {
    std::vector<const sql::Expr*> conjuncts;
    add_conjuncts(condition, conjuncts);
    return std::ranges::all_of(conjuncts,
                               [&](const sql::Expr* one) { return is_asked(one, optional) || meets(one, optional); });
  }

  bool is_asked(const sql::Expr* conjunct, std::optional<size_t> optional) const {
    for (size_t i = 0; i < references_.tables.size(); ++i) {
      const auto same = [&](const TableCondition& one) { return one.expr == conjunct && one.said_of == nullptr; };
      if (!std::ranges::any_of(references_.tables[i].conditions, same)) continue;
      return optional ? i == *optional : !this->optional(i);
    }
    return false;
  }

  bool meets(const sql::Expr* conjunct, std::optional<size_t> optional) {
    const auto* binary = as<sql::Binary>(conjunct);
    if (binary == nullptr || binary->op != sql::BinaryOp::kEqual || binary->quantifier != sql::Quantifier::kNone) {
      return false;
    }
    const auto* left = as<sql::Column>(binary->left);
    const auto* right = as<sql::Column>(binary->right);
    if (left == nullptr || right == nullptr) return false;
    const auto a = resolve(*left);
    const auto b = resolve(*right);
    if (!a || !b || a->table == b->table || !alike(*a->column, *b->column)) return false;
    if (!schema::is_whole(*a->column) && (!travels(*a->column) || !travels(*b->column))) return false;
    const bool at_home = optional ? a->table == *optional || b->table == *optional
                                  : !this->optional(a->table) && !this->optional(b->table);
    if (at_home) equal_.push_back({a->table, a->column, b->table, b->column, optional});
    return at_home;
  }

  const References& references_;
  const KnownColumns& known_;
  std::vector<Chained> tables_;
  std::vector<std::pair<const sql::Expr*, std::optional<size_t>>> conditions_;
  std::vector<Equal> equal_;
};

// Whether it is computed from columns and constants alone, with the same value on each server and in each session.
bool is_of_columns(const sql::Expr* expr) {
  static const std::set<std::string_view> kFunctions = {
      "abs",          "ceil",       "ceiling",   "char_length", "character_length",
      "coalesce",     "concat",     "concat_ws", "date",        "datediff",
      "day",          "dayofmonth", "dayofweek", "floor",       "greatest",
      "hex",          "hour",       "if",        "ifnull",      "instr",
      "json_extract", "least",      "left",      "length",      "lower",
      "lcase",        "lpad",       "ltrim",     "minute",      "mod",
      "month",        "nullif",     "quarter",   "replace",     "reverse",
      "right",        "round",      "rpad",      "rtrim",       "second",
      "sign",         "substr",     "substring", "truncate",    "ucase",
      "upper",        "year"};
  bool columns = false;
  bool others = false;
  walk(expr, [&](const sql::Expr& node) {
    using enum sql::BinaryOp;
    const auto* binary = as<sql::Binary>(&node);
    const auto* unary = as<sql::Unary>(&node);
    const auto* call = as<sql::FunctionCall>(&node);
    columns = columns || as<sql::Column>(&node) != nullptr;
    bool known = as<sql::Column>(&node) != nullptr || as<sql::Literal>(&node) != nullptr ||
                 as<sql::Case>(&node) != nullptr || as<sql::Is>(&node) != nullptr || as<sql::Logical>(&node) != nullptr;
    if (binary != nullptr) {
      known = binary->quantifier == sql::Quantifier::kNone &&
              (sql::is_comparison(binary->op) || binary->op == kPlus || binary->op == kMinus ||
               binary->op == kMultiply || binary->op == kDivide);
    }
    if (unary != nullptr) known = unary->op == sql::UnaryOp::kMinus || unary->op == sql::UnaryOp::kNot;
    if (call != nullptr) {
      known = call->syntax == sql::FunctionSyntax::kCall && call->schema.empty() && call->over == nullptr &&
              call->tail.empty() && kFunctions.contains(lower(call->name.text));
    }
    others = others || !known;
    return true;
  });
  return columns && !others;
}

// What is asked of one table.
class PartText {
 public:
  explicit PartText(std::string shown) : shown_(std::move(shown)) {}

  size_t add(std::string text) {
    select_.push_back(std::move(text));
    return select_.size() - 1;
  }

  struct Key {
    Merge::Key key;
    size_t place = 0;  // For a list of values.
  };
  // What a column's values are compared by.
  Key key(const schema::Column& column) {
    const auto known = keys_.find(column.name);
    if (known != keys_.end()) return known->second;
    const std::string name = name_of(column);
    KeyForm form = KeyForm::kAsIs;
    if (column.data_type == "enum" || column.data_type == "set") form = KeyForm::kNumber;
    if (column.data_type == "float") form = KeyForm::kDouble;
    Key out;
    const auto texts = key_texts(name, form, is_printed_as_compared(column));
    for (const auto& text : texts) {
      const size_t place = add(text);
      if (&text == &texts.front()) out.place = out.key.column = static_cast<uint32_t>(place);
    }
    if (texts.size() > 1) {
      out.key.weight = out.key.column + 1;
      out.place = add(schema::select_text(schema::Form::kCharacters, name));
    }
    keys_.emplace(column.name, out);
    return out;
  }

  std::string name_of(const schema::Column& column) const {
    return sql::quote_identifier(shown_) + "." + sql::quote_identifier(column.name);
  }
  std::string select() const {
    std::string out;
    for (const auto& text : select_) out += (out.empty() ? "select " : ", ") + text;
    return out;
  }

 private:
  std::string shown_;
  std::vector<std::string> select_;
  std::map<std::string, Key> keys_;
};

class JoinPlanner {
 public:
  JoinPlanner(const sql::Select& select, const References& references, const KnownColumns& known,
              const std::vector<FinishInput>& inputs, const PlanContext& context)
      : select_(select),
        references_(references),
        known_(known),
        inputs_(inputs),
        context_(context),
        reader_(references, known) {
    for (const auto& reference : references.tables) texts_.emplace_back(reference.shown);
  }

  std::shared_ptr<const RowJoin> plan() {
    if (!reader_.read(select_) || !choose_order() || !add_columns()) return nullptr;
    add_links();
    const auto visible = static_cast<uint32_t>(join_.columns.size());
    if (!add_order(visible) || !add_limit()) return nullptr;
    join_.merge.hidden_columns = static_cast<uint32_t>(join_.columns.size()) - visible;
    for (auto& column : join_.columns) column.part = part_of(column.part);
    for (auto& part : join_.parts) {
      part.rows.text = texts_[part_tables_[static_cast<size_t>(&part - join_.parts.data())]].select() + part.rows.text;
      auto rows = plan_input(part.rows.text, context_);
      if (!rows.ok()) return nullptr;
      part.rows.rows = std::move(*rows);
    }
    return std::make_shared<const RowJoin>(std::move(join_));
  }

 private:
  // How few rows a table is likely to give.
  int rank(size_t table) const {
    using Kind = Route::Kind;
    const Kind kind = inputs_[table].rows->route.kind;
    const bool one = kind == Kind::kByValues || kind == Kind::kNoShard || kind == Kind::kByLookup;
    const int place = one ? 0 : kind == Kind::kByList ? 1 : inputs_[table].filtered ? 2 : 3;
    return place + (reader_.optional(table) ? 4 : 0);
  }

  bool has(size_t table) const { return std::ranges::find(part_tables_, table) != part_tables_.end(); }
  size_t part_of(size_t table) const {
    return static_cast<size_t>(std::ranges::find(part_tables_, table) - part_tables_.begin());
  }

  // Whether the tables before give values by which this one may be asked.
  bool may_follow(size_t table) const {
    bool linked = false;
    for (const auto& equal : reader_.equal()) {
      if (equal.a != table && equal.b != table) continue;
      if (equal.optional && *equal.optional != table) continue;  // Of one that comes after.
      const bool there = has(equal.a == table ? equal.b : equal.a);
      if (equal.optional && !there) return false;
      linked = linked || there;
    }
    return linked;
  }

  bool choose_order() {
    while (part_tables_.size() < reader_.tables().size()) {
      std::optional<size_t> best;
      for (const auto& one : reader_.tables()) {
        const bool may = part_tables_.empty() ? !one.optional : may_follow(one.table);
        if (has(one.table) || !may) continue;
        if (!best || rank(one.table) < rank(*best)) best = one.table;
      }
      if (!best) return false;
      part_tables_.push_back(*best);
      join_.parts.push_back({.rows = {.keyspace = inputs_[*best].keyspace,
                                      .table = inputs_[*best].table,
                                      .shown = inputs_[*best].shown,
                                      .columns = inputs_[*best].columns,
                                      .filtered = inputs_[*best].filtered,
                                      .text = inputs_[*best].source},
                             .optional = reader_.optional(*best)});
    }
    return true;
  }

  // The SELECT list.
  bool add_columns() {
    for (const auto& item : select_.items) {
      if (const auto* star = as<sql::Star>(item.expr)) {
        if (!star->schema.empty() || !add_all(lower(star->table.text))) return false;
        continue;
      }
      const auto* column = as<sql::Column>(item.expr);
      const auto found = column == nullptr ? owner_of(item.expr) : reader_.resolve(*column);
      if (!found) return false;
      std::string text = sql::print(*item.expr);
      if (!item.alias.empty()) text += " as " + sql::quote_identifier(item.alias.text);
      join_.columns.push_back({found->table, texts_[found->table].add(std::move(text))});
    }
    return true;
  }

  // The table whose columns a computed value is made of: not of an optional one, where none of them may be there.
  std::optional<JoinReader::Resolved> owner_of(const sql::Expr* expr) const {
    if (!is_of_columns(expr)) return std::nullopt;
    std::optional<JoinReader::Resolved> owner;
    bool one = true;
    walk(expr, [&](const sql::Expr& node) {
      const auto* column = as<sql::Column>(&node);
      if (column == nullptr) return true;
      const auto found = reader_.resolve(*column);
      one = one && found && !reader_.optional(found->table) && (!owner || owner->table == found->table);
      owner = found;
      return true;
    });
    return one ? owner : std::nullopt;
  }

  bool add_all(const std::string& alias) {
    bool found = false;
    for (size_t i = 0; i < references_.tables.size(); ++i) {
      if (!alias.empty() && references_.tables[i].alias != alias) continue;
      found = true;
      for (const auto& column : known_[i]->columns) {
        if (column.invisible) return false;
        join_.columns.push_back({i, texts_[i].add(texts_[i].name_of(column))});
      }
    }
    return found;
  }

  void add_links() {
    for (size_t part = 1; part < part_tables_.size(); ++part) {
      const size_t table = part_tables_[part];
      for (const auto& equal : reader_.equal()) {
        const bool is_a = equal.a == table;
        if ((!is_a && equal.b != table) || (equal.optional && *equal.optional != table)) continue;
        const size_t other = is_a ? equal.b : equal.a;
        if (part_of(other) >= part) continue;
        const auto& own_column = is_a ? *equal.left : *equal.right;
        const auto& other_column = is_a ? *equal.right : *equal.left;
        const auto own = texts_[table].key(own_column);
        const auto others = texts_[other].key(other_column);
        const bool whole = schema::is_whole(other_column);
        join_.parts[part].links.push_back(
            {.own = own.key,
             .part = part_of(other),
             .other = others.key,
             .place = others.place,
             .by_list = {.column = texts_[table].name_of(own_column), .charset = whole ? "" : other_column.charset}});
      }
    }
  }

  const sql::Column* ordered_column(const sql::Expr* expr) const {
    if (const auto* literal = as<sql::Literal>(expr)) {
      if (literal->literal != sql::LiteralKind::kInteger) return nullptr;
      const bool stars =
          std::ranges::any_of(select_.items, [](const auto& item) { return as<sql::Star>(item.expr) != nullptr; });
      for (size_t i = 0; !stars && i < select_.items.size(); ++i) {
        if (std::to_string(i + 1) == literal->text) return as<sql::Column>(select_.items[i].expr);
      }
      return nullptr;
    }
    const auto* column = as<sql::Column>(expr);
    if (column == nullptr || !column->table.empty()) return column;
    const sql::Column* named = nullptr;  // An alias comes before a column.
    for (const auto& item : select_.items) {
      if (item.alias.empty() || lower(item.alias.text) != lower(column->name.text)) continue;
      if (named != nullptr) return nullptr;
      named = as<sql::Column>(item.expr);
    }
    return named != nullptr ? named : column;
  }

  bool add_order(uint32_t visible) {
    static const std::set<std::string_view> kTypes = {"char", "varchar", "enum", "set", "float", "double"};
    for (const auto& item : select_.order_by) {
      const auto* column = ordered_column(item.expr);
      const auto found = column == nullptr ? std::nullopt : reader_.resolve(*column);
      if (!found) return false;
      if (!is_printed_as_compared(*found->column) && !kTypes.contains(found->column->data_type)) return false;
      const auto own = texts_[found->table].key(*found->column);
      Merge::Key key{.column = static_cast<uint32_t>(join_.columns.size()) - visible,
                     .hidden = true,
                     .descending = item.direction == sql::Direction::kDesc};
      join_.columns.push_back({found->table, own.key.column});
      if (own.key.weight) {
        key.weight = key.column + 1;
        join_.columns.push_back({found->table, *own.key.weight});
        join_.columns.push_back({found->table, *own.key.weight + 1});
      }
      join_.merge.order_by.push_back(key);
    }
    return true;
  }

  bool add_limit() {
    if (select_.limit == nullptr) return true;
    if (select_.limit->rows_examined != nullptr || select_.limit->with_ties) return false;
    const auto count = limit_value(select_.limit->count, context_);
    const auto offset = limit_value(select_.limit->offset, context_);
    if (!count.ok() || !offset.ok() || !*count) return false;
    join_.merge.limit = **count;
    join_.merge.offset = offset->value_or(0);
    return true;
  }

  const sql::Select& select_;
  const References& references_;
  const KnownColumns& known_;
  const std::vector<FinishInput>& inputs_;
  const PlanContext& context_;
  JoinReader reader_;
  std::vector<PartText> texts_;      // By the tables' places in the statement.
  std::vector<size_t> part_tables_;  // Of each part of the join.
  RowJoin join_;                     // Columns' parts are tables until the end.
};

bool is_more_than_a_join(const sql::Select& select) {
  return select.distinct || select.calc_found_rows || select.rollup || select.next_values != nullptr ||
         select.with != nullptr || select.into != nullptr || select.having != nullptr || !select.locks.empty() ||
         !select.group_by.empty() || !select.windows.empty();
}

}  // namespace

std::shared_ptr<const RowJoin> plan_row_join(const sql::Statement& statement, const References& references,
                                             const KnownColumns& known, const std::vector<FinishInput>& inputs,
                                             const PlanContext& context) {
  const auto* query = sql::statement_as<sql::QueryStatement>(&statement);
  const auto* select = query == nullptr ? nullptr : as<sql::Select>(query->query);
  if (select == nullptr || is_more_than_a_join(*select) || !references.assigned.empty()) return nullptr;
  if (std::ranges::any_of(references.tables, [](const auto& one) { return one.source == nullptr; })) return nullptr;
  return JoinPlanner(*select, references, known, inputs, context).plan();
}

}  // namespace vitrail::plan
