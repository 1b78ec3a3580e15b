#include "plan/references.h"

#include <algorithm>
#include <map>

#include "plan/from.h"
#include "plan/routing.h"
#include "sql/effects.h"
#include "sql/tables.h"
#include "sql/walk.h"

namespace vitrail::plan {

using sql::as;

namespace {

std::string alias_of(const sql::TableSource& source) {
  return std::string(source.alias.empty() ? source.name.name.text : source.alias.text);
}

// What stands in a FROM clause, in its order.
void add_items(sql::TableRef* ref, std::vector<sql::TableRef*>& out) {
  if (const auto* join = as<sql::Join>(ref)) {
    add_items(join->left, out);
    add_items(join->right, out);
  } else if (const auto* list = as<sql::TableList>(ref)) {
    for (sql::TableRef* item : list->items) add_items(item, out);
  } else {
    out.push_back(ref);
  }
}

}  // namespace

std::vector<sql::TableRef*> items_of(const sql::Select& select) {
  std::vector<sql::TableRef*> out;
  for (sql::TableRef* ref : select.from) add_items(ref, out);
  return out;
}

namespace {

bool has_natural_join(const sql::TableRef* ref) {
  if (const auto* list = as<sql::TableList>(ref)) return std::ranges::any_of(list->items, has_natural_join);
  const auto* join = as<sql::Join>(ref);
  if (join == nullptr) return false;
  const bool natural = join->type == sql::JoinType::kNatural || join->type == sql::JoinType::kNaturalLeft ||
                       join->type == sql::JoinType::kNaturalRight;
  return natural || has_natural_join(join->left) || has_natural_join(join->right);
}

std::pair<std::string, std::string> key_of(const sql::Column& column) {
  return {lower(column.table.text), lower(column.name.text)};
}

bool may_have_fraction(const sql::Literal& literal) {
  switch (literal.literal) {
    case sql::LiteralKind::kDecimal:
    case sql::LiteralKind::kFloat: return true;
    case sql::LiteralKind::kString:
    case sql::LiteralKind::kNationalString:
      return looks_fractional(literal.text) || std::ranges::any_of(literal.more, looks_fractional);
    default: return false;
  }
}

class Finder : public sql::Walker {
 public:
  Finder(const sql::Statement& statement, References& out) : out_(out) {
    const auto* query = sql::statement_as<sql::QueryStatement>(&statement);
    outermost_ = query == nullptr ? nullptr : as<sql::Select>(query->query);
    for (const auto& use : sql::collect_tables(statement)) places_.insert(use.name_span.offset);
  }

  std::optional<Error> refusal;
  size_t places() const { return places_.size(); }

 protected:
  bool enter(const sql::Query& query) override {
    if (!query.locks.empty() && &query != outermost_) {
      refuse("a locking read in this place of a statement that one shard cannot answer alone");
    }
    if (query.into != nullptr) refuse("SELECT ... INTO in this place");
    if (const auto* table = as<sql::TableQuery>(&query)) {
      if (is_table(table->name)) {
        add({.name = &table->name, .shown = std::string(table->name.name.text), .all_columns = true});
      }
      return true;
    }
    if (const auto* select = as<sql::Select>(&query)) read(*select);
    return true;
  }

  bool enter(const sql::TableRef& ref) override {
    const auto* join = as<sql::Join>(&ref);
    if (join == nullptr) return true;
    for (const auto& column : join->columns) {
      out_.names.insert(lower(column.text));
      const References::ColumnKey key("", lower(column.text));
      out_.joined[key].insert(key);
    }
    return true;
  }

  bool enter(const sql::Expr& expr) override {
    if (const auto* column = as<sql::Column>(&expr)) {
      if (column->table.empty()) {
        out_.names.insert(lower(column->name.text));
      } else {
        out_.qualified.insert(key_of(*column));
      }
    } else if (const auto* literal = as<sql::Literal>(&expr)) {
      out_.fractions = out_.fractions || may_have_fraction(*literal);
    } else if (as<sql::Match>(&expr) != nullptr) {
      refuse("MATCH ... AGAINST in a statement that one shard cannot answer alone");
    } else if (as<sql::DefaultValue>(&expr) != nullptr) {
      refuse("DEFAULT() in a statement that one shard cannot answer alone");
    } else if (const auto* binary = as<sql::Binary>(&expr)) {
      if (binary->op == sql::BinaryOp::kEqual) compare(binary->left, binary->right);
    } else if (const auto* in = as<sql::In>(&expr); in != nullptr && in->query != nullptr) {
      const auto* select = as<sql::Select>(in->query);
      if (select != nullptr && select->items.size() == 1) compare(in->left, select->items[0].expr);
    }
    return true;
  }

 private:
  void refuse(const char* what) {
    if (!refusal) refusal = unsupported(what);
  }

  bool is_table(const sql::TableName& name) const { return places_.contains(name.name.span.offset); }

  void add(TableReference reference) {
    if (reference.alias.empty()) reference.alias = lower(reference.shown);
    out_.tables.push_back(std::move(reference));
  }

  void read(const sql::Select& select) {
    bool all = std::ranges::any_of(select.from, has_natural_join);
    std::set<std::string> starred;
    for (const auto& item : select.items) {
      if (!item.alias.empty()) out_.computed.insert(lower(item.alias.text));
      const auto* star = as<sql::Star>(item.expr);
      if (star == nullptr) continue;
      all = all || star->table.empty();
      starred.insert(lower(star->table.text));
    }
    std::map<std::string, const sql::TableSource*> aliases;
    for (sql::TableRef* item : items_of(select)) {
      auto* source = as<sql::TableSource>(item);
      if (source == nullptr) continue;
      TableReference reference{.name = &source->name, .source = source, .shown = alias_of(*source)};
      reference.alias = lower(reference.shown);
      const bool fresh = aliases.emplace(reference.alias, source).second;
      const auto& other = *aliases.at(reference.alias);
      // Servers tell names apart by their case where file systems do.
      const bool same = alias_of(other) == reference.shown && other.name.qualifier.text == source->name.qualifier.text;
      if (!fresh && same && !refusal) {
        refusal =
            fail(Code::kInvalidArgument, "Not unique table/alias: '" + reference.shown + "'").with_mysql(1066, "42000");
      } else if (!fresh) {
        refuse(
            "tables of one name in different keyspaces, without aliases, in a statement that no shard can answer "
            "alone");
      }
      if (!is_table(source->name)) continue;
      if (!source->system_time.empty()) refuse("FOR SYSTEM_TIME in a statement that one shard cannot answer alone");
      reference.all_columns = all || starred.contains(reference.alias);
      if (&select == outermost_) reference.lock = lock_of(select, reference.alias);
      add(std::move(reference));
    }
  }

  static std::string lock_of(const sql::Select& select, const std::string& alias) {
    for (const auto& clause : select.locks) {
      const auto named = [&](const sql::TableName& name) { return lower(name.name.text) == alias; };
      if (!clause.of.empty() && std::ranges::none_of(clause.of, named)) continue;
      std::string out;
      switch (clause.strength) {
        case sql::LockStrength::kForUpdate: out = " for update"; break;
        case sql::LockStrength::kForShare: out = " for share"; break;
        case sql::LockStrength::kLockInShareMode: out = " lock in share mode"; break;
      }
      switch (clause.wait) {
        case sql::LockWait::kDefault: break;
        case sql::LockWait::kNowait: out += " nowait"; break;
        case sql::LockWait::kSkipLocked: out += " skip locked"; break;
        case sql::LockWait::kSeconds: out += " wait " + sql::print(*clause.seconds); break;
      }
      return out;
    }
    return "";
  }

  void compare(const sql::Expr* left, const sql::Expr* right) {
    const auto* a = as<sql::Column>(left);
    const auto* b = as<sql::Column>(right);
    if (a == nullptr || b == nullptr) return;
    out_.joined[key_of(*a)].insert(key_of(*b));
    out_.joined[key_of(*b)].insert(key_of(*a));
  }

  References& out_;
  const sql::Select* outermost_ = nullptr;
  std::set<uint32_t> places_;  // Of names of tables in the text.
};

}  // namespace

bool is_plain(const sql::Expr* expr, bool parameters) {
  const auto plain = [&](const sql::Expr* operand) { return is_plain(operand, parameters); };
  const auto all_plain = [&](const auto& operands) { return std::ranges::all_of(operands, plain); };
  if (as<sql::Literal>(expr) != nullptr || as<sql::Column>(expr) != nullptr) return true;
  if (as<sql::Parameter>(expr) != nullptr) return parameters;
  if (const auto* unary = as<sql::Unary>(expr)) {
    const bool minus = unary->op == sql::UnaryOp::kMinus && as<sql::Literal>(unary->operand) != nullptr;
    return (minus || unary->op == sql::UnaryOp::kNot) && plain(unary->operand);
  }
  if (const auto* binary = as<sql::Binary>(expr)) {
    using enum sql::BinaryOp;
    const bool comparison = binary->op == kEqual || binary->op == kNullSafeEqual || binary->op == kNotEqual ||
                            binary->op == kLess || binary->op == kLessEqual || binary->op == kGreater ||
                            binary->op == kGreaterEqual;
    return comparison && binary->quantifier == sql::Quantifier::kNone && plain(binary->left) && plain(binary->right);
  }
  if (const auto* logical = as<sql::Logical>(expr)) return all_plain(logical->operands);
  if (const auto* is = as<sql::Is>(expr)) return plain(is->operand);
  if (const auto* like = as<sql::Like>(expr)) {
    return like->escape == nullptr && plain(like->left) && plain(like->pattern);
  }
  if (const auto* between = as<sql::Between>(expr)) {
    return plain(between->operand) && plain(between->low) && plain(between->high);
  }
  if (const auto* in = as<sql::In>(expr)) return in->query == nullptr && plain(in->left) && all_plain(in->values);
  return false;
}

namespace {

// A column of a table in References::tables.
struct Place {
  size_t table = 0;
  const sql::Column* column = nullptr;
  const schema::Column* type = nullptr;
  bool same(const Place& other) const { return table == other.table && type == other.type; }
};

bool is_whole_number(const schema::Column& column) {
  const std::string_view type = column.data_type;
  return type == "tinyint" || type == "smallint" || type == "mediumint" || type == "int" || type == "bigint";
}

}  // namespace

bool alike(const schema::Column& a, const schema::Column& b) {
  if (is_whole_number(a)) return is_whole_number(b);
  const auto is_text = [](const schema::Column& column) {
    return column.data_type == "varchar" || column.data_type == "char";
  };
  return is_text(a) && is_text(b) && a.collation == b.collation;
}

bool travels(const schema::Column& column) {
  const std::string_view charset = column.charset;
  return charset == "utf8mb4" || charset == "utf8mb3" || charset == "utf8" || charset == "latin1" || charset == "ascii";
}

namespace {

// The column of a comparison with values that is true or false for all equal values at once; null: it is another one.
const sql::Column* compared_column(const sql::Expr* expr) {
  const auto constant = [](const sql::Expr* operand) {
    const auto* unary = as<sql::Unary>(operand);
    return as<sql::Literal>(unary == nullptr ? operand : unary->operand) != nullptr ||
           as<sql::Parameter>(operand) != nullptr;
  };
  if (const auto* in = as<sql::In>(expr)) {
    return !in->negated && std::ranges::all_of(in->values, constant) ? as<sql::Column>(in->left) : nullptr;
  }
  if (const auto* between = as<sql::Between>(expr)) {
    const bool plain = !between->negated && constant(between->low) && constant(between->high);
    return plain ? as<sql::Column>(between->operand) : nullptr;
  }
  const auto* binary = as<sql::Binary>(expr);
  if (binary == nullptr || binary->op == sql::BinaryOp::kNotEqual) return nullptr;
  if (constant(binary->right)) return as<sql::Column>(binary->left);
  return constant(binary->left) ? as<sql::Column>(binary->right) : nullptr;
}

// Whether all values in it are strings: a text is compared with a number as a number, and equal texts may be others.
bool has_strings_only(const sql::Expr& expr) {
  class Values : public sql::Walker {
   public:
    bool others = false;

   protected:
    bool enter(const sql::Expr& node) override {
      const auto* literal = as<sql::Literal>(&node);
      const bool string = literal != nullptr && literal->literal == sql::LiteralKind::kString;
      others = others || as<sql::Parameter>(&node) != nullptr || (literal != nullptr && !string);
      return true;
    }
  };
  Values values;
  values.walk(expr);
  return !values.others;
}

class ConditionFinder : public sql::Walker {
 public:
  ConditionFinder(const KnownColumns& columns, bool parameters, References& out)
      : columns_(columns), parameters_(parameters), out_(out) {}

 protected:
  bool enter(const sql::Query& query) override {
    const auto* select = as<sql::Select>(&query);
    if (select == nullptr) return true;
    const auto items = items_of(*select);
    Sources reached;
    Facts facts;
    add_facts(select->where, items, facts);
    for (sql::TableRef* ref : select->from) {
      add_kept(ref, reached);
      add_facts_of_joins(ref, items, facts);
    }
    add_outer_facts(*select, items, facts);
    derive(facts, reached);
    for (sql::TableRef* ref : select->from) read_joins(ref, items, &facts);
    take(select->where, reached, items);
    scopes_.push_back({.select = select, .items = items, .facts = std::move(facts)});
    return true;
  }
  void leave(const sql::Query& query) override {
    if (as<sql::Select>(&query) != nullptr) scopes_.pop_back();
  }

  // Names of the query around are not seen here, or not all of them.
  bool enter(const sql::TableRef& ref) override {
    if (as<sql::DerivedTable>(&ref) != nullptr) scopes_.emplace_back();
    return true;
  }
  void leave(const sql::TableRef& ref) override {
    if (as<sql::DerivedTable>(&ref) != nullptr) scopes_.pop_back();
  }
  void with(const sql::With& with) override {
    scopes_.emplace_back();
    Walker::with(with);
    scopes_.pop_back();
  }

 private:
  using Sources = std::vector<const sql::TableRef*>;

  // What holds for every row of a result: comparisons of a column with values, and columns that are equal.
  struct Facts {
    std::vector<std::pair<Place, TableCondition>> values;
    std::vector<std::pair<Place, Place>> equal;
  };

  // A SELECT around the place of the walk; without one, names that stand further outside are not seen.
  struct Scope {
    const sql::Select* select = nullptr;
    std::vector<sql::TableRef*> items;
    Facts facts;
  };

  // Of a subquery: what it says of the columns of queries around it, and what is said of them there. Whatever it finds
  // for other rows of these is of no use.
  void add_outer_facts(const sql::Select& select, const std::vector<sql::TableRef*>& items, Facts& facts) {
    std::vector<const sql::Expr*> conjuncts;
    add_conjuncts(select.where, conjuncts);
    for (const sql::Expr* conjunct : conjuncts) {
      const auto* binary = as<sql::Binary>(conjunct);
      if (binary == nullptr || binary->op != sql::BinaryOp::kEqual || !is_plain(conjunct, parameters_)) continue;
      for (const auto& [mine, others] :
           {std::pair(binary->left, binary->right), std::pair(binary->right, binary->left)}) {
        const auto* column = as<sql::Column>(mine);
        const auto* outer = as<sql::Column>(others);
        if (column == nullptr || outer == nullptr) continue;
        const auto a = place_of(*column, items);
        const auto b = a ? outer_place_of(*outer, items) : std::nullopt;
        if (b && alike(*a->type, *b->type)) facts.equal.emplace_back(*a, *b);
      }
    }
    if (const auto found = in_.find(&select); found != in_.end()) facts.equal.push_back(found->second);
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend() && scope->select != nullptr; ++scope) {
      for (const auto& value : scope->facts.values) {
        if (std::ranges::find(items, out_.tables[value.first.table].source) == items.end())
          facts.values.push_back(value);
      }
    }
  }

  // The column of a query around, as a condition in WHERE of a subquery with these items names it.
  std::optional<Place> outer_place_of(const sql::Column& column, std::vector<sql::TableRef*> items) const {
    if (!column.schema.empty()) return std::nullopt;
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend() && scope->select != nullptr; ++scope) {
      if (may_have(items, column)) return std::nullopt;
      if (const auto place = place_of(column, scope->items)) {
        const bool alias = column.table.empty() && std::ranges::any_of(scope->select->items, [&](const auto& item) {
                             return lower(item.alias.text) == lower(column.name.text);
                           });
        return alias ? std::nullopt : place;
      }
      items = scope->items;
    }
    return std::nullopt;
  }

  bool may_have(const std::vector<sql::TableRef*>& items, const sql::Column& column) const {
    return std::ranges::any_of(items, [&](const sql::TableRef* item) {
      const auto* source = as<sql::TableSource>(item);
      const auto index = source == nullptr ? std::nullopt : index_of(source);
      if (!index || columns_[*index] == nullptr) return true;
      if (!column.table.empty()) return out_.tables[*index].alias == lower(column.table.text);
      return columns_[*index]->find(column.name.text) != nullptr;
    });
  }

  // column IN (SELECT column FROM ...), of which no row is of use to the other that has no equal there.
  void add_in(const sql::In& in, const std::vector<sql::TableRef*>& items, Facts& facts) {
    const auto* left = as<sql::Column>(in.left);
    const auto* select = in.negated || in.query == nullptr ? nullptr : as<sql::Select>(in.query);
    if (left == nullptr || select == nullptr || select->items.size() != 1) return;
    const bool cut = !select->group_by.empty() || select->having != nullptr || select->limit != nullptr ||
                     select->with != nullptr || !select->windows.empty();
    const auto* right = as<sql::Column>(select->items[0].expr);
    if (cut || right == nullptr) return;
    const auto a = place_of(*left, items);
    const auto b = place_of(*right, items_of(*select));
    if (!a || !b || !alike(*a->type, *b->type)) return;
    facts.equal.emplace_back(*a, *b);
    in_.insert_or_assign(select, std::pair(*b, *a));
  }

  void add_facts(const sql::Expr* condition, const std::vector<sql::TableRef*>& items, Facts& facts) {
    std::vector<const sql::Expr*> conjuncts;
    add_conjuncts(condition, conjuncts);
    for (const sql::Expr* conjunct : conjuncts) {
      if (const auto* in = as<sql::In>(conjunct)) add_in(*in, items, facts);
      if (!is_plain(conjunct, parameters_)) continue;
      if (const auto* column = compared_column(conjunct)) {
        if (const auto place = place_of(*column, items)) facts.values.push_back({*place, {.expr = conjunct}});
        continue;
      }
      const auto* binary = as<sql::Binary>(conjunct);
      if (binary == nullptr || binary->op != sql::BinaryOp::kEqual) continue;
      const auto* left = as<sql::Column>(binary->left);
      const auto* right = as<sql::Column>(binary->right);
      if (left == nullptr || right == nullptr) continue;
      const auto a = place_of(*left, items);
      const auto b = place_of(*right, items);
      if (a && b && a->table != b->table && alike(*a->type, *b->type)) facts.equal.emplace_back(*a, *b);
    }
  }

  // ON of inner joins whose rows are all in the result, or in none of it, is as good as WHERE.
  void add_facts_of_joins(const sql::TableRef* ref, const std::vector<sql::TableRef*>& items, Facts& facts) {
    using enum sql::JoinType;
    if (const auto* list = as<sql::TableList>(ref)) {
      for (const sql::TableRef* item : list->items) add_facts_of_joins(item, items, facts);
    }
    const auto* join = as<sql::Join>(ref);
    if (join == nullptr) return;
    if (join->type == kInner || join->type == kStraight) add_facts(join->on, items, facts);
    if (join->type != kRight && join->type != kNaturalRight) add_facts_of_joins(join->left, items, facts);
    if (join->type != kLeft && join->type != kNaturalLeft) add_facts_of_joins(join->right, items, facts);
  }

  // What follows from equal columns: for the tables in `reached`, and as further facts.
  void derive(Facts& facts, const Sources& reached) {
    constexpr size_t kMost = 64;
    for (const auto& [a, b] : facts.equal) {
      for (const auto& [from, to] : {std::pair(a, b), std::pair(b, a)}) {
        TableReference& table = out_.tables[to.table];
        if (std::ranges::find(reached, table.source) == reached.end()) continue;
        if (!is_whole_number(*to.type) && !travels(*from.type)) continue;
        table.links.push_back({.column = to.type, .table = from.table, .equals = from.type});
      }
    }
    for (size_t i = 0; i < facts.values.size() && facts.values.size() < kMost; ++i) {
      for (const auto& [a, b] : facts.equal) {
        for (const auto& [from, to] : {std::pair(a, b), std::pair(b, a)}) {
          const auto [place, condition] = facts.values[i];
          if (!place.same(from)) continue;
          if (!is_whole_number(*to.type) && !has_strings_only(*condition.expr)) continue;
          const TableReference& table = out_.tables[to.table];
          TableCondition said{
              .expr = condition.expr,
              .said_of = condition.said_of != nullptr ? condition.said_of : place.column,
              .column = sql::quote_identifier(table.shown) + "." + sql::quote_identifier(to.type->name)};
          const auto known = [&](const auto& fact) { return fact.first.same(to) && fact.second.expr == said.expr; };
          if (std::ranges::any_of(facts.values, known)) continue;
          facts.values.push_back({to, said});
          if (std::ranges::find(reached, table.source) != reached.end()) {
            out_.tables[to.table].conditions.push_back(std::move(said));
          }
        }
      }
    }
  }

  std::optional<Place> place_of(const sql::Column& column, const std::vector<sql::TableRef*>& items) const {
    const auto owner = owner_of(column, items);
    if (!owner || columns_[*owner] == nullptr) return std::nullopt;
    const auto* type = columns_[*owner]->find(column.name.text);
    if (type == nullptr) return std::nullopt;
    return Place{*owner, &column, type};
  }

  // Those whose rows each stand in every row that they help to make.
  static void add_kept(const sql::TableRef* ref, Sources& out) {
    using enum sql::JoinType;
    if (const auto* join = as<sql::Join>(ref)) {
      if (join->type != kRight && join->type != kNaturalRight) add_kept(join->left, out);
      if (join->type != kLeft && join->type != kNaturalLeft) add_kept(join->right, out);
    } else if (const auto* list = as<sql::TableList>(ref)) {
      for (const sql::TableRef* item : list->items) add_kept(item, out);
    } else {
      out.push_back(ref);
    }
  }

  // `facts`: that hold for every row that the join helps to make; null: none are known.
  void read_joins(const sql::TableRef* ref, const std::vector<sql::TableRef*>& items, const Facts* facts) {
    using enum sql::JoinType;
    if (const auto* list = as<sql::TableList>(ref)) {
      for (const sql::TableRef* item : list->items) read_joins(item, items, facts);
      return;
    }
    const auto* join = as<sql::Join>(ref);
    if (join == nullptr) return;
    Sources reached;
    // An outer join keeps its one side's rows whatever ON says; those of the other it only chooses from.
    if (join->type != kLeft) add_kept(join->left, reached);
    if (join->type != kRight) add_kept(join->right, reached);
    take(join->on, reached, items);
    if (join->type == kLeft || join->type == kRight) {
      // The rows that are chosen are for kept rows of which the facts hold.
      Facts own;
      if (facts != nullptr) {
        Sources kept;
        add_kept(join->type == kLeft ? join->left : join->right, kept);
        for (const auto& fact : facts->values) {
          if (std::ranges::find(kept, out_.tables[fact.first.table].source) != kept.end()) own.values.push_back(fact);
        }
      }
      add_facts(join->on, items, own);
      derive(own, reached);
    }
    const bool left_optional = join->type == kRight || join->type == kNaturalRight;
    const bool right_optional = join->type == kLeft || join->type == kNaturalLeft;
    read_joins(join->left, items, left_optional ? nullptr : facts);
    read_joins(join->right, items, right_optional ? nullptr : facts);
  }

  void take(const sql::Expr* condition, const Sources& reached, const std::vector<sql::TableRef*>& items) {
    std::vector<const sql::Expr*> conjuncts;
    add_conjuncts(condition, conjuncts);
    for (const sql::Expr* conjunct : conjuncts) {
      if (!is_plain(conjunct, parameters_)) continue;
      const auto owner = owner_of(*conjunct, items);
      if (!owner || std::ranges::find(reached, out_.tables[*owner].source) == reached.end()) continue;
      out_.tables[*owner].conditions.push_back({.expr = conjunct});
    }
  }

  std::optional<size_t> index_of(const sql::TableRef* ref) const {
    for (size_t i = 0; i < out_.tables.size(); ++i) {
      if (out_.tables[i].source == ref) return i;
    }
    return std::nullopt;
  }

  // The table that all columns of an expression are from.
  std::optional<size_t> owner_of(const sql::Expr& expr, const std::vector<sql::TableRef*>& items) const {
    class Columns : public sql::Walker {
     public:
      std::vector<const sql::Column*> found;

     protected:
      bool enter(const sql::Expr& node) override {
        if (const auto* column = as<sql::Column>(&node)) found.push_back(column);
        return true;
      }
    };
    Columns columns;
    columns.walk(expr);
    std::optional<size_t> owner;
    for (const sql::Column* column : columns.found) {
      const auto one = owner_of(*column, items);
      if (!one || (owner && *owner != *one)) return std::nullopt;
      owner = one;
    }
    return owner;
  }

  std::optional<size_t> owner_of(const sql::Column& column, const std::vector<sql::TableRef*>& items) const {
    if (!column.schema.empty()) return std::nullopt;
    const std::string qualifier = lower(column.table.text);
    std::optional<size_t> owner;
    for (const sql::TableRef* item : items) {
      const auto* source = as<sql::TableSource>(item);
      const auto index = source == nullptr ? std::nullopt : index_of(source);
      if (!index) {  // A derived table or a common one: what columns it has is not known here.
        if (qualifier.empty()) return std::nullopt;
        continue;
      }
      if (!qualifier.empty() && out_.tables[*index].alias != qualifier) continue;
      if (columns_[*index] == nullptr) return std::nullopt;
      if (columns_[*index]->find(column.name.text) == nullptr) continue;
      if (owner) return std::nullopt;
      owner = index;
    }
    return owner;
  }

  const KnownColumns& columns_;
  const bool parameters_;
  References& out_;
  std::vector<Scope> scopes_;                                 // The innermost last.
  std::map<const sql::Select*, std::pair<Place, Place>> in_;  // Its column, and that of the query around it.
};

}  // namespace

bool References::needs(const TableReference& table, std::string_view column) const {
  const std::string name = lower(column);
  return table.all_columns || names.contains(name) || qualified.contains({table.alias, name});
}

bool References::joins(const TableReference& table, std::string_view column) const {
  const std::string name = lower(column);
  return joined.contains({"", name}) || joined.contains({table.alias, name});
}

bool References::joins_whole_numbers(const TableReference& table, std::string_view column,
                                     const std::vector<const schema::Table*>& columns) const {
  const auto is_whole = [&](const ColumnKey& key) {
    if (computed.contains(key.second)) return false;
    const bool of_table =
        std::ranges::any_of(tables, [&](const TableReference& other) { return other.alias == key.first; });
    bool found = false;
    for (size_t i = 0; i < tables.size(); ++i) {
      if (columns[i] == nullptr || (of_table && tables[i].alias != key.first)) continue;
      const schema::Column* known = columns[i]->find(key.second);
      if (known != nullptr && !schema::is_whole(*known)) return false;
      found = found || known != nullptr;
    }
    return found;
  };
  const std::string name = lower(column);
  for (const ColumnKey& key : {ColumnKey("", name), ColumnKey(table.alias, name)}) {
    const auto found = joined.find(key);
    if (found != joined.end() && !std::ranges::all_of(found->second, is_whole)) return false;
  }
  return true;
}

bool looks_fractional(std::string_view text) {
  return text.find_first_of("0123456789") != std::string_view::npos &&
         text.find_first_of(".eE") != std::string_view::npos;
}

std::string print(const TableCondition& condition, sql::PrintOptions options) {
  const auto others = std::move(options.expr);
  options.expr = [&](const sql::Expr& expr, std::string& out) {
    if (&expr == condition.said_of) {
      out += condition.column;
      return true;
    }
    return others && others(expr, out);
  };
  return sql::print(*condition.expr, options);
}

// Of INTO none: that takes the statement's result.
std::vector<std::string> assigned_variables(const sql::Statement& statement) {
  class Assignments : public sql::Walker {
   public:
    std::set<std::string> names;

   protected:
    bool enter(const sql::Expr& expr) override {
      const auto* binary = as<sql::Binary>(&expr);
      if (binary == nullptr || binary->op != sql::BinaryOp::kAssign) return true;
      if (const auto* variable = as<sql::UserVariable>(binary->left)) names.insert(lower(variable->name));
      return true;
    }
  };
  Assignments assignments;
  assignments.walk(statement);
  return {assignments.names.begin(), assignments.names.end()};
}

Result<References> find_references(const sql::Statement& statement) {
  References out;
  Finder finder(statement, out);
  finder.walk(statement);
  if (finder.refusal) return std::move(*finder.refusal);
  const sql::Effects effects = sql::effects_of(statement);
  if (effects.runs_unseen_code || effects.uses_user_locks) {
    return unsupported("stored functions and user locks in a statement that one shard cannot answer alone");
  }
  out.assigned = assigned_variables(statement);
  if (effects.leaves != (out.assigned.empty() ? sql::Left::kNothing : sql::Left::kUserVariable)) {
    return unsupported("what a statement leaves in its session, where one shard cannot answer it alone");
  }
  if (out.tables.size() != finder.places()) {
    return unsupported("a table in this place of a statement that one shard cannot answer alone");
  }
  return out;
}

bool remove_vindex_hints(sql::Ast& ast) {
  class Remover : public sql::Walker {
   public:
    explicit Remover(sql::Arena& arena) : arena_(arena) {}
    bool removed = false;

   protected:
    bool enter(const sql::Query& query) override {
      if (const auto* select = as<sql::Select>(&query)) remove(select->from);
      return true;
    }
    bool enter(const sql::Statement& statement) override {
      if (const auto* update = sql::statement_as<sql::Update>(&statement)) remove(update->tables);
      if (const auto* gone = sql::statement_as<sql::Delete>(&statement)) remove(gone->from);
      return true;
    }

   private:
    void remove(sql::List<sql::TableRef*> refs) {
      std::vector<sql::TableRef*> items;
      for (sql::TableRef* ref : refs) add_items(ref, items);
      for (sql::TableRef* item : items) {
        auto* source = as<sql::TableSource>(item);
        if (source == nullptr || std::ranges::none_of(source->hints, &sql::IndexHint::vindex)) continue;
        std::vector<sql::IndexHint> kept;
        std::ranges::copy_if(source->hints, std::back_inserter(kept), [](const auto& hint) { return !hint.vindex; });
        source->hints = arena_.copy(std::span<const sql::IndexHint>(kept));
        removed = true;
      }
    }
    sql::Arena& arena_;
  };
  Remover remover(ast.arena());
  remover.walk(ast.statement());
  return remover.removed;
}

void find_conditions(const sql::Statement& statement, const KnownColumns& columns, bool parameters, References& out) {
  ConditionFinder finder(columns, parameters, out);
  finder.walk(statement);
}

}  // namespace vitrail::plan
