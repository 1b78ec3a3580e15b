#include "plan/from.h"

#include <algorithm>
#include <numeric>

#include "plan/key_value.h"
#include "plan/lookup.h"
#include "shard/lookup_placement.h"

namespace vitrail::plan {

using sql::as;

void add_conjuncts(const sql::Expr* expr, std::vector<const sql::Expr*>& out) {
  if (expr == nullptr) return;
  if (const auto* logical = as<sql::Logical>(expr); logical != nullptr && logical->op == sql::LogicalOp::kAnd) {
    for (const sql::Expr* operand : logical->operands) add_conjuncts(operand, out);
    return;
  }
  out.push_back(expr);
}

std::optional<size_t> vindex_column(const sql::Expr* expr, const std::vector<TableBinding>& tables) {
  const auto* column = as<sql::Column>(expr);
  if (column == nullptr) return std::nullopt;
  const std::string name = lower(column->name.text);
  const std::string qualifier = lower(column->table.text);
  std::optional<size_t> found;
  for (size_t i = 0; i < tables.size(); ++i) {
    if (!qualifier.empty() && qualifier != tables[i].alias) continue;
    if (qualifier.empty() && tables.size() > 1) return std::nullopt;  // Whose column it is only the servers know.
    const auto* vindex = tables[i].table->primary_vindex();
    if (vindex == nullptr || vindex->columns.size() != 1 || lower(vindex->columns[0]) != name) continue;
    if (shard::placing_lookup(*vindex->vindex) != nullptr) continue;  // See narrow().
    found = i;
  }
  return found;
}

namespace {

using Pair = std::pair<size_t, size_t>;

const sql::Binary* equality(const sql::Expr* expr) {
  const auto* binary = as<sql::Binary>(expr);
  const bool equal =
      binary != nullptr && binary->op == sql::BinaryOp::kEqual && binary->quantifier == sql::Quantifier::kNone;
  return equal ? binary : nullptr;
}

// Tables that are combined with each other: of an inner join, or of a side of an outer one.
struct Group {
  std::vector<const sql::Expr*> conditions;  // Hold for every combination.
  std::vector<Pair> pairs;                   // Equal keys that stand in no condition: USING, outer joins inside.
  std::vector<size_t> sharded;
  bool reference = false;
  bool nullable = false;
  bool filters = false;  // Its inner joins' conditions hold for every result row.
};

class FromReader {
 public:
  FromReader(const StatementTables& tables, FromClause& out) : tables_(tables), out_(out) {}

  Status read(const sql::TableRef* ref, Group& group) {
    if (const auto* source = as<sql::TableSource>(ref)) return read_table(*source, group);
    if (const auto* list = as<sql::TableList>(ref)) {
      for (const sql::TableRef* item : list->items) RETURN_IF_ERROR(read(item, group));
      return {};
    }
    if (const auto* join = as<sql::Join>(ref)) return read_join(*join, group);
    return unsupported("derived tables over sharded tables");
  }

  // Each two sharded tables of the group are joined by their keys.
  Status check(const Group& group) const {
    std::vector<Pair> pairs = group.pairs;
    add_pairs(group.conditions, pairs);
    return check(group.sharded, pairs);
  }

 private:
  Status read_table(const sql::TableSource& source, Group& group) {
    TableBinding binding;
    binding.source = &source;
    binding.nullable = group.nullable;
    binding.alias = lower(source.alias.empty() ? source.name.name.text : source.alias.text);
    binding.table = table_of(source);
    if (binding.table == nullptr) {
      return unsupported("the table " + std::string(source.name.name.text) + " in this place");
    }
    if (source.alias.empty() && binding.table->name != source.name.name.text) {
      return unsupported("a routing rule to a table of another name needs an alias in the statement: " +
                         std::string(source.name.name.text));
    }
    if (binding.table->type == vschema::TableType::kReference) {
      group.reference = true;
    } else {
      if (binding.table->pinned) return unsupported("pinned tables");
      if (binding.table->primary_vindex() == nullptr) {
        return fail(Code::kFailedPrecondition, "VT09001: table " + binding.table->name + " has no primary vindex");
      }
      binding.key_type = key_type(*binding.table);
      group.sharded.push_back(out_.tables.size());
    }
    out_.tables.push_back(std::move(binding));
    return {};
  }

  std::shared_ptr<const vschema::Table> table_of(const sql::TableSource& source) const {
    for (const auto& [written, renamed] : tables_.renames) {
      if (written != name_key(source.name.qualifier.text, source.name.name.text)) continue;
      for (const auto& table : tables_.tables) {
        if (table->name == renamed) return table;
      }
    }
    for (const auto& table : tables_.tables) {
      if (lower(table->name) == lower(source.name.name.text)) return table;
    }
    return nullptr;
  }

  Status read_join(const sql::Join& join, Group& group) {
    using enum sql::JoinType;
    switch (join.type) {
      case kNatural:
      case kNaturalLeft:
      case kNaturalRight: return unsupported("natural joins of sharded tables");
      case kLeft: return read_outer(join, join.left, join.right, group);
      case kRight: return read_outer(join, join.right, join.left, group);
      case kInner:
      case kStraight: break;
    }
    add_conjuncts(join.on, group.conditions);
    if (group.filters) add_conjuncts(join.on, out_.filters);
    const size_t begin = out_.tables.size();
    RETURN_IF_ERROR(read(join.left, group));
    const size_t middle = out_.tables.size();
    RETURN_IF_ERROR(read(join.right, group));
    return read_using(join, begin, middle, group.pairs);
  }

  Status read_outer(const sql::Join& join, const sql::TableRef* kept, const sql::TableRef* optional, Group& group) {
    Group left = {.conditions = group.conditions, .nullable = group.nullable, .filters = group.filters};
    Group right = {.nullable = true};
    add_conjuncts(join.on, right.conditions);
    // In the order of the text, which is that of the columns and of the error texts.
    const size_t begin = out_.tables.size();
    RETURN_IF_ERROR(read(join.left, join.left == kept ? left : right));
    const size_t middle = out_.tables.size();
    RETURN_IF_ERROR(read(join.right, join.right == optional ? right : left));
    std::vector<Pair> matched;  // By this join.
    RETURN_IF_ERROR(read_using(join, begin, middle, matched));
    add_pairs(right.conditions, matched);
    RETURN_IF_ERROR(check(left));
    right.pairs.insert(right.pairs.end(), matched.begin(), matched.end());
    RETURN_IF_ERROR(check(right));
    if (!right.sharded.empty()) {
      if (left.sharded.empty()) {
        return unsupported("a reference table whose rows an outer join keeps beside a sharded table");
      }
      std::vector<Pair> pairs = right.pairs;
      pairs.insert(pairs.end(), left.pairs.begin(), left.pairs.end());
      std::vector<Pair> within;
      add_pairs(left.conditions, within);
      for (const Pair& pair : within) {
        const auto is_left = [&](size_t table) {
          return std::find(left.sharded.begin(), left.sharded.end(), table) != left.sharded.end();
        };
        if (is_left(pair.first) && is_left(pair.second)) pairs.push_back(pair);
      }
      std::vector<size_t> both = left.sharded;
      both.insert(both.end(), right.sharded.begin(), right.sharded.end());
      RETURN_IF_ERROR(check(both, pairs));
    }
    add_pairs(left.conditions, group.pairs);
    for (const Group* side : {&left, &right}) {
      group.pairs.insert(group.pairs.end(), side->pairs.begin(), side->pairs.end());
      group.sharded.insert(group.sharded.end(), side->sharded.begin(), side->sharded.end());
      group.reference = group.reference || side->reference;
    }
    return {};
  }

  // USING between one table and one other says as much as ON; between more, whose column is meant only servers know.
  Status read_using(const sql::Join& join, size_t begin, size_t middle, std::vector<Pair>& pairs) const {
    if (join.columns.empty()) return {};
    if (middle - begin != 1 || out_.tables.size() - middle != 1) {
      return unsupported("JOIN ... USING of more than two sharded tables; write ON");
    }
    for (const auto& column : join.columns) {
      const auto is_key = [&](size_t table) {
        const auto* vindex = out_.tables[table].table->primary_vindex();
        return vindex != nullptr && vindex->columns.size() == 1 && lower(vindex->columns[0]) == lower(column.text);
      };
      if (is_key(begin) && is_key(middle)) pairs.emplace_back(begin, middle);
    }
    return {};
  }

  void add_pairs(const std::vector<const sql::Expr*>& conditions, std::vector<Pair>& out) const {
    for (const sql::Expr* condition : conditions) {
      const auto* equal = equality(condition);
      if (equal == nullptr) continue;
      const auto left = vindex_column(equal->left, out_.tables);
      const auto right = vindex_column(equal->right, out_.tables);
      if (left && right) out.emplace_back(*left, *right);
    }
  }

  Status check(const std::vector<size_t>& sharded, const std::vector<Pair>& pairs) const {
    if (sharded.size() < 2) return {};
    std::vector<size_t> parent(out_.tables.size());
    std::iota(parent.begin(), parent.end(), size_t{0});
    const auto find = [&](size_t i) {
      while (parent[i] != i) i = parent[i];
      return i;
    };
    for (const Pair& pair : pairs) parent[find(pair.first)] = find(pair.second);
    const TableBinding& first = out_.tables[sharded.front()];
    const auto& vindex = *first.table->primary_vindex()->vindex;
    for (const size_t i : sharded) {
      const TableBinding& other = out_.tables[i];
      const auto& others = *other.table->primary_vindex()->vindex;
      const bool same_function =
          &vindex == &others || (vindex.type() == others.type() &&
                                 (vindex.integer_function().function != nullptr || vindex.name() == others.name()));
      if (!same_function) return unsupported("joins of tables with different primary vindexes");
      if (find(i) != find(sharded.front())) {
        return unsupported("joins of sharded tables that are not joined on their primary vindex columns");
      }
      if (other.key_type == KeyType::kUnknown || other.key_type != first.key_type) {
        return unsupported("joins on primary vindex columns that may be equal and yet placed apart (" +
                           other.table->name + "); give the columns' types in the vschema: integers, or VARBINARY");
      }
    }
    return {};
  }

  const StatementTables& tables_;
  FromClause& out_;
};

// A literal or parameter as a routing value.
std::optional<ValueSource> value_source(const sql::Expr* expr, KeyType type, const PlanContext& context,
                                        bool& by_value) {
  bool negative = false;
  const sql::Expr* inner = expr;
  if (const auto* unary = as<sql::Unary>(expr); unary != nullptr && unary->op == sql::UnaryOp::kMinus) {
    negative = true;
    inner = unary->operand;
  }
  ValueSource source;
  if (const auto* parameter = as<sql::Parameter>(inner); parameter != nullptr && !negative) {
    source.kind = ValueSource::Kind::kParameter;
    source.index = parameter->index;
    if (!context.has_parameters) return source;
    if (source.index < context.parameters.size() && compared_value(type, context.parameters[source.index]))
      return source;
    by_value = true;
    return std::nullopt;
  }
  const auto* literal = as<sql::Literal>(inner);
  if (literal == nullptr || type == KeyType::kUnknown || literal->literal == sql::LiteralKind::kNull) {
    return std::nullopt;
  }
  const bool by_position =
      literal->index < context.literal_positions && literal->parts() == 1 && literal->charset.empty();
  const bool integer = literal->literal == sql::LiteralKind::kInteger;
  const bool bytes = literal->literal == sql::LiteralKind::kString || literal->literal == sql::LiteralKind::kHex;
  if (by_position && (type == KeyType::kInteger ? integer : bytes && !negative)) {
    source.kind = ValueSource::Kind::kLiteral;
    source.index = literal->index;
    source.negative = negative;
    return source;
  }
  // Whether a literal of another kind (4.0, '4') has one place depends on its value.
  by_value = true;
  const auto value = literal_value(*literal, negative);
  if (!value) return std::nullopt;
  auto compared = compared_value(type, *value);
  if (!compared) return std::nullopt;
  source.constant = std::move(*compared);
  return source;
}

}  // namespace

Result<FromClause> read_from(sql::List<sql::TableRef*> from, const sql::Expr* where, const StatementTables& tables) {
  FromClause out;
  FromReader reader(tables, out);
  Group group = {.filters = true};
  add_conjuncts(where, group.conditions);
  add_conjuncts(where, out.filters);
  out.where_filters = out.filters.size();
  for (const sql::TableRef* ref : from) RETURN_IF_ERROR(reader.read(ref, group));
  RETURN_IF_ERROR(reader.check(group));
  if (out.tables.size() != tables.tables.size()) return unsupported("subqueries over sharded tables");
  return out;
}

Result<Route> route_rows(const FromClause& from, const std::string& keyspace, const PlanContext& context) {
  Route route;
  route.keyspace = keyspace;
  route.kind = Route::Kind::kAnyShard;
  for (const auto& binding : from.tables) {
    if (binding.table->type != vschema::TableType::kReference) route.kind = Route::Kind::kAllShards;
  }
  if (route.kind == Route::Kind::kAnyShard) return route;  // Reference tables: each shard has all of it.
  const auto take = [&](const TableBinding& binding, Route::Kind kind, std::vector<ValueSource> values) {
    route.kind = kind;
    route.vindex = binding.table->primary_vindex()->vindex;
    route.key_type = binding.key_type;
    route.values = std::move(values);
  };
  for (size_t i = 0; i < from.filters.size(); ++i) {
    const sql::Expr* conjunct = from.filters[i];
    if (const auto* equal = equality(conjunct)) {
      for (const auto& [column, value] : {std::pair(equal->left, equal->right), std::pair(equal->right, equal->left)}) {
        const auto at = vindex_column(column, from.tables);
        if (!at) continue;
        if (const auto* literal = as<sql::Literal>(value);
            literal != nullptr && literal->literal == sql::LiteralKind::kNull) {
          route.kind = Route::Kind::kNoShard;
          return route;
        }
        if (auto source = value_source(value, from.tables[*at].key_type, context, route.by_value)) {
          take(from.tables[*at], Route::Kind::kByValues, {std::move(*source)});
          return route;
        }
      }
      continue;
    }
    const auto* in = as<sql::In>(conjunct);
    if (in == nullptr || in->negated || in->query != nullptr || route.kind == Route::Kind::kByList) continue;
    // (a, b) IN ((1, 2), ...) has the keys in one place of each row.
    const auto* row = as<sql::Row>(in->left);
    std::optional<size_t> at;
    size_t place = 0;
    if (row == nullptr) at = vindex_column(in->left, from.tables);
    for (; row != nullptr && place < row->items.size(); ++place) {
      if ((at = vindex_column(row->items[place], from.tables))) break;
    }
    if (!at) continue;
    std::vector<ValueSource> values;
    for (const sql::Expr* item : in->values) {
      if (row != nullptr) {
        const auto* items = as<sql::Row>(item);
        if (items == nullptr || items->items.size() != row->items.size()) break;
        item = items->items[place];
      }
      if (auto source = value_source(item, from.tables[*at].key_type, context, route.by_value)) {
        values.push_back(std::move(*source));
      }
    }
    if (values.empty() || values.size() != in->values.size()) continue;
    take(from.tables[*at], Route::Kind::kByList, std::move(values));
    if (i < from.where_filters) route.list_conjunct = static_cast<uint32_t>(i);
  }
  narrow(from, context, route);
  return route;
}

}  // namespace vitrail::plan
