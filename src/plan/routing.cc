#include "plan/routing.h"

#include <algorithm>
#include <array>

#include "mysql/convert.h"
#include "sql/printer.h"
#include "sql/tables.h"

namespace vitrail::plan {

using sql::as;

Error unsupported(std::string what) { return fail(Code::kUnimplemented, "VT12001: unsupported: " + std::move(what)); }

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

::topodata::TabletType type_of(const std::string& name) {
  if (name == "replica") return ::topodata::REPLICA;
  if (name == "rdonly") return ::topodata::RDONLY;
  return ::topodata::PRIMARY;
}

namespace {

bool is_system_schema(std::string_view name) {
  static constexpr std::array<std::string_view, 4> kNames = {"information_schema", "mysql", "performance_schema",
                                                             "sys"};
  return std::find(kNames.begin(), kNames.end(), lower(name)) != kNames.end();
}

std::string key_of(std::string_view qualifier, std::string_view name) {
  return std::string(qualifier).append(".").append(name);
}

}  // namespace

Result<StatementTables> route_tables(const sql::Statement& statement, const PlanContext& context) {
  StatementTables out;
  for (const auto& use : sql::collect_tables(statement)) {
    if (is_system_schema(use.qualifier) || (use.qualifier.empty() && is_system_schema(context.keyspace))) {
      out.system_schema = true;
      continue;
    }
    const std::string keyspace = use.qualifier.empty() ? context.keyspace : std::string(use.qualifier);
    ASSIGN_OR_RETURN(const auto routed, context.vschema->find_table(keyspace, use.name, type_of(context.tablet_type)));
    const auto& table = routed.table;
    if (!use.qualifier.empty() || table->name != use.name) {
      out.rewrite = true;
      out.renames.emplace_back(key_of(use.qualifier, use.name), table->name);
    }
    if (table->type == vschema::TableType::kReference && table->sharded && !out.keyspace.empty() &&
        out.keyspace == table->keyspace) {
      out.tables.push_back(table);
      continue;
    }
    if (!out.keyspace.empty() && out.keyspace != table->keyspace) {
      return unsupported("tables of several keyspaces in one statement (" + out.keyspace + ", " + table->keyspace +
                         ")");
    }
    out.keyspace = table->keyspace;
    out.sharded = out.sharded || table->sharded;
    out.tables.push_back(table);
  }
  return out;
}

std::string server_text(const sql::Statement& statement, const StatementTables& tables, const PlanContext& context,
                        bool with_values) {
  sql::PrintOptions options;
  options.table = [&](const sql::TableName& table, sql::TableRewrite& rewrite) {
    if (is_system_schema(table.qualifier.text)) return;
    rewrite.qualifier.clear();
    const std::string key = key_of(table.qualifier.text, table.name.text);
    for (const auto& [written, name] : tables.renames) {
      if (written == key) rewrite.name = name;
    }
  };
  if (with_values) {
    options.expr = [&](const sql::Expr& expr, std::string& out) {
      const auto* parameter = as<sql::Parameter>(&expr);
      if (parameter == nullptr || parameter->index >= context.parameters.size()) return false;
      mysql::append_sql_literal(out, context.parameters[parameter->index]);
      return true;
    };
  }
  return sql::print(statement, options);
}

namespace {

void add_conjuncts(const sql::Expr* expr, std::vector<const sql::Expr*>& out) {
  if (expr == nullptr) return;
  if (const auto* logical = as<sql::Logical>(expr); logical != nullptr && logical->op == sql::LogicalOp::kAnd) {
    for (const sql::Expr* operand : logical->operands) add_conjuncts(operand, out);
    return;
  }
  out.push_back(expr);
}

class FromReader {
 public:
  FromReader(const StatementTables& tables, FromClause& out) : tables_(tables), out_(out) {}

  Status read(const sql::TableRef* ref) {
    if (const auto* source = as<sql::TableSource>(ref)) {
      TableBinding binding;
      binding.source = source;
      binding.alias = lower(source->alias.empty() ? source->name.name.text : source->alias.text);
      const std::string name = lower(source->name.name.text);
      for (const auto& table : tables_.tables) {
        if (lower(table->name) == name) binding.table = table;
      }
      for (const auto& [written, renamed] : tables_.renames) {
        if (written != key_of(source->name.qualifier.text, source->name.name.text)) continue;
        for (const auto& table : tables_.tables) {
          if (table->name == renamed) binding.table = table;
        }
        if (renamed != source->name.name.text && source->alias.empty()) {
          return unsupported("a routing rule to a table of another name needs an alias in the statement: " + name);
        }
      }
      if (binding.table == nullptr) return unsupported("the table " + name + " in this place");
      out_.tables.push_back(std::move(binding));
      return {};
    }
    if (const auto* join = as<sql::Join>(ref)) {
      using enum sql::JoinType;
      if (join->type == kNatural || join->type == kNaturalLeft || join->type == kNaturalRight) {
        return unsupported("natural joins of sharded tables");
      }
      const size_t before = out_.tables.size();
      RETURN_IF_ERROR(read(join->left));
      const size_t middle = out_.tables.size();
      RETURN_IF_ERROR(read(join->right));
      const bool outer = join->type == kLeft || join->type == kRight;
      add_conjuncts(join->on, outer ? out_.outer_joins : out_.filters);
      for (const auto& column : join->columns) {
        using_.push_back({lower(column.text), before, middle, out_.tables.size()});
      }
      return {};
    }
    if (const auto* list = as<sql::TableList>(ref)) {
      for (const sql::TableRef* item : list->items) RETURN_IF_ERROR(read(item));
      return {};
    }
    return unsupported("derived tables over sharded tables");
  }

  struct Using {
    std::string column;
    size_t left_begin, middle, right_end;
  };
  const std::vector<Using>& using_columns() const { return using_; }

 private:
  const StatementTables& tables_;
  FromClause& out_;
  std::vector<Using> using_;
};

}  // namespace

Result<FromClause> read_from(sql::List<sql::TableRef*> from, const sql::Expr* where, const StatementTables& tables) {
  FromClause out;
  FromReader reader(tables, out);
  for (const sql::TableRef* ref : from) RETURN_IF_ERROR(reader.read(ref));
  if (!reader.using_columns().empty() && out.tables.size() > 1)
    return unsupported("JOIN ... USING over sharded tables; write ON");
  if (out.tables.size() != tables.tables.size()) return unsupported("subqueries over sharded tables");
  add_conjuncts(where, out.filters);
  return out;
}

std::optional<ValueSource> value_source(const sql::Expr* expr, const shard::Vindex& vindex) {
  const bool numeric = vindex.integer_function().function != nullptr || vindex.type() == "numeric_static_map";
  ValueSource source;
  const sql::Expr* inner = expr;
  if (const auto* unary = as<sql::Unary>(expr); unary != nullptr && unary->op == sql::UnaryOp::kMinus) {
    source.negative = true;
    inner = unary->operand;
  }
  if (const auto* parameter = as<sql::Parameter>(inner); parameter != nullptr && !source.negative) {
    source.kind = ValueSource::Kind::kParameter;
    source.index = parameter->index;
    return source;
  }
  const auto* literal = as<sql::Literal>(inner);
  if (literal == nullptr || literal->parts() > 1 || !literal->charset.empty()) return std::nullopt;
  const bool integer = literal->literal == sql::LiteralKind::kInteger;
  const bool text = literal->literal == sql::LiteralKind::kString && !source.negative;
  // A number compared with a text column matches many texts, and a text compared with a number is converted: only the
  // pairs that mean exactly one value may route.
  if (!(numeric ? integer : text)) return std::nullopt;
  source.kind = ValueSource::Kind::kLiteral;
  source.index = literal->index;
  return source;
}

namespace {

// The primary vindex of every table must be single-column and meet the others' in one class of equal columns.
class Classes {
 public:
  explicit Classes(size_t size) : parent_(size) {
    for (size_t i = 0; i < size; ++i) parent_[i] = i;
  }
  size_t find(size_t i) const { return parent_[i] == i ? i : find(parent_[i]); }
  void join(size_t a, size_t b) { parent_[find(a)] = find(b); }
  bool one_class() const {
    for (size_t i = 1; i < parent_.size(); ++i) {
      if (find(i) != find(0)) return false;
    }
    return true;
  }

 private:
  std::vector<size_t> parent_;
};

// Index of the table whose primary vindex column `expr` is.
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
    found = i;
  }
  return found;
}

}  // namespace

Result<Route> route_rows(const FromClause& from, const std::string& keyspace) {
  Route route;
  route.keyspace = keyspace;
  route.kind = Route::Kind::kAllShards;
  // Reference tables are on every shard, and meet everything.
  std::vector<TableBinding> tables;
  for (const auto& binding : from.tables) {
    if (binding.table->type == vschema::TableType::kReference) continue;
    if (binding.table->pinned) return unsupported("pinned tables");
    if (binding.table->primary_vindex() == nullptr) {
      return fail(Code::kFailedPrecondition, "VT09001: table " + binding.table->name + " has no primary vindex");
    }
    tables.push_back(binding);
  }
  if (tables.empty()) {
    route.kind = Route::Kind::kAnyShard;
    return route;
  }
  Classes classes(tables.size());
  for (const auto* list : {&from.filters, &from.outer_joins}) {
    for (const sql::Expr* conjunct : *list) {
      const auto* equal = as<sql::Binary>(conjunct);
      if (equal == nullptr || equal->op != sql::BinaryOp::kEqual || equal->quantifier != sql::Quantifier::kNone)
        continue;
      const auto left = vindex_column(equal->left, tables);
      const auto right = vindex_column(equal->right, tables);
      if (left && right) classes.join(*left, *right);
    }
  }
  // Equal columns put rows on one shard only when they are placed by the same function.
  for (const auto& binding : tables) {
    if (binding.table->primary_vindex()->vindex->type() != tables[0].table->primary_vindex()->vindex->type()) {
      return unsupported("joins of tables with different primary vindexes");
    }
  }
  if (!classes.one_class())
    return unsupported("joins of sharded tables that are not joined on their primary vindex columns");
  route.vindex = tables[0].table->primary_vindex()->vindex;
  for (const sql::Expr* conjunct : from.filters) {
    if (const auto* equal = as<sql::Binary>(conjunct);
        equal != nullptr && equal->op == sql::BinaryOp::kEqual && equal->quantifier == sql::Quantifier::kNone) {
      for (const auto& [column, value] : {std::pair(equal->left, equal->right), std::pair(equal->right, equal->left)}) {
        if (!vindex_column(column, tables)) continue;
        if (const auto* literal = as<sql::Literal>(value);
            literal != nullptr && literal->literal == sql::LiteralKind::kNull) {
          route.kind = Route::Kind::kNoShard;
          return route;
        }
        if (auto source = value_source(value, *route.vindex)) {
          route.kind = Route::Kind::kByValues;
          route.values = {std::move(*source)};
          return route;
        }
      }
      continue;
    }
    const auto* in = as<sql::In>(conjunct);
    if (in == nullptr || in->negated || in->query != nullptr || route.kind == Route::Kind::kByList) continue;
    if (!vindex_column(in->left, tables)) continue;
    std::vector<ValueSource> values;
    for (const sql::Expr* item : in->values) {
      if (auto source = value_source(item, *route.vindex)) values.push_back(std::move(*source));
    }
    if (values.empty() || values.size() != in->values.size()) continue;
    route.kind = Route::Kind::kByList;
    route.values = std::move(values);
  }
  return route;
}

}  // namespace vitrail::plan
