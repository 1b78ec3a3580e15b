#include "plan/lookup.h"

#include <algorithm>
#include <array>
#include <charconv>

#include <fmt/core.h>

#include "base/text.h"
#include "mysql/protocol.h"
#include "plan/expr_walk.h"
#include "plan/key_value.h"
#include "sql/printer.h"

namespace vitrail::plan {

using sql::as;

namespace {

struct IntegerType {
  int bits = 0;  // 0: not an integer.
  bool is_unsigned = false;
};

IntegerType integer_type(const schema::Column& column) {
  constexpr std::pair<std::string_view, int> kTypes[] = {
      {"tinyint", 8}, {"smallint", 16}, {"mediumint", 24}, {"int", 32}, {"bigint", 64}};
  for (const auto& [name, bits] : kTypes) {
    if (column.data_type == name) return {bits, column.type.find("unsigned") != std::string::npos};
  }
  return {};
}

// Of "varchar(20)"; 0 without one.
uint64_t length_of(const schema::Column& column) {
  uint64_t length = 0;
  const size_t open = column.type.find('(');
  if (open != std::string::npos) {
    std::from_chars(column.type.data() + open + 1, column.type.data() + column.type.size(), length);
  }
  return length;
}

bool is_sized_text(const schema::Column& column) {
  constexpr std::string_view kTypes[] = {"char", "varchar", "binary", "varbinary"};
  return std::ranges::find(kTypes, column.data_type) != std::end(kTypes);
}

bool is_float(const schema::Column& column) { return column.data_type == "float" || column.data_type == "double"; }

// Whose equal values are equal in every way but blanks at their ends.
bool is_exact_text(const schema::Column& column) {
  if (column.data_type == "varbinary") return true;
  const bool text = column.data_type == "varchar" || column.data_type == "char";
  return text && column.collation.starts_with("utf8") && column.collation.find("_bin") != std::string::npos;
}

const sql::Binary* equality(const sql::Expr* expr) {
  const auto* binary = as<sql::Binary>(expr);
  const bool equal =
      binary != nullptr && binary->op == sql::BinaryOp::kEqual && binary->quantifier == sql::Quantifier::kNone;
  return equal ? binary : nullptr;
}

// Whether `expr` is this column of this table.
bool is_column(const sql::Expr* expr, const FromClause& from, const TableBinding& binding, std::string_view name) {
  const auto* column = as<sql::Column>(expr);
  if (column == nullptr || lower(column->name.text) != lower(name)) return false;
  if (column->table.empty()) return from.tables.size() == 1;
  return lower(column->table.text) == binding.alias;
}

struct Operand {
  std::optional<ValueSource> source;
  bool is_null = false;
  bool by_value = false;
};

// A value as the statement has it: the lookup's column compares it as the vindex column does.
Operand operand_of(const sql::Expr* expr, const PlanContext& context) {
  Operand out;
  bool negative = false;
  const sql::Expr* inner = expr;
  if (const auto* unary = as<sql::Unary>(expr); unary != nullptr && unary->op == sql::UnaryOp::kMinus) {
    negative = true;
    inner = unary->operand;
  }
  if (const auto* parameter = as<sql::Parameter>(inner); parameter != nullptr && !negative) {
    out.source = ValueSource{.kind = ValueSource::Kind::kParameter, .index = parameter->index};
    return out;
  }
  const auto* literal = as<sql::Literal>(inner);
  if (literal == nullptr) return out;
  if (literal->literal == sql::LiteralKind::kNull) {
    out.is_null = true;
    return out;
  }
  const bool integer = literal->literal == sql::LiteralKind::kInteger;
  const bool text = literal->literal == sql::LiteralKind::kString && literal->charset.empty();
  if (!integer && !(text && !negative)) return out;
  if (literal->index < context.literal_positions && literal->parts() == 1) {
    out.source = ValueSource{.kind = ValueSource::Kind::kLiteral, .index = literal->index, .negative = negative};
    return out;
  }
  auto value = literal_value(*literal, negative);
  if (!value) return out;
  out.by_value = true;
  out.source = ValueSource{.constant = std::move(*value)};
  return out;
}

const schema::Table* known_table(const PlanContext& context, std::string_view keyspace, std::string_view table) {
  return context.schema == nullptr ? nullptr : schema::find_table(*context.schema, keyspace, table);
}

bool may_be_asked(const vschema::Table& table, const vschema::LookupUse& use, const PlanContext& context) {
  if (!use.problem.empty() || use.lookup->write_only) return false;
  const auto routed = context.vschema->find_table(use.lookup->keyspace, use.lookup->table, ::topodata::PRIMARY);
  if (!routed.ok()) return false;
  const auto* columns = known_table(context, table.keyspace, table.name);
  const auto* from = known_table(context, routed->table->keyspace, routed->table->name);
  if (columns == nullptr || from == nullptr || from->find(use.lookup->to) == nullptr) return false;
  for (size_t i = 0; i < use.columns.size(); ++i) {
    const auto* column = columns->find(use.columns[i]);
    const auto* stands_for = from->find(use.lookup->from[i]);
    if (column == nullptr || stands_for == nullptr || !follows(use.lookup->form, *column, *stands_for)) return false;
  }
  return true;
}

struct Candidate {
  LookupRead read;
  bool single = false;  // One row at most.
  bool by_value = false;
  int rank() const {
    if (single) return 0;
    if (!read.list) return read.places.size() == read.lookup->from.size() ? 1 : 2;
    return read.lookup->unique ? 3 : 4;
  }
};

// What the conditions ask of one use; nullopt: nothing. `never`: a comparison with NULL, which no row fulfils.
std::optional<Candidate> ask_use(const FromClause& from, const TableBinding& binding, const vschema::LookupUse& use,
                                 const PlanContext& context, bool& never) {
  Candidate out{.read = {.lookup = use.lookup}};
  for (size_t place = 0; place < use.columns.size(); ++place) {
    for (const sql::Expr* filter : from.filters) {
      const auto* equal = equality(filter);
      if (equal == nullptr) continue;
      const bool left = is_column(equal->left, from, binding, use.columns[place]);
      if (!left && !is_column(equal->right, from, binding, use.columns[place])) continue;
      Operand operand = operand_of(left ? equal->right : equal->left, context);
      never = never || operand.is_null;
      if (!operand.source) continue;
      out.read.places.push_back(place);
      out.read.values.push_back(std::move(*operand.source));
      out.by_value = out.by_value || operand.by_value;
      break;
    }
  }
  // A lookup's table is found by its first column.
  if (!out.read.places.empty() && out.read.places.front() == 0) {
    out.single = use.lookup->unique && out.read.places.size() == use.columns.size();
    return out;
  }
  out.read.places = {0};
  out.read.values.clear();
  out.read.list = true;
  for (const sql::Expr* filter : from.filters) {
    const auto* in = as<sql::In>(filter);
    if (in == nullptr || in->negated || in->query != nullptr || in->values.empty()) continue;
    if (!is_column(in->left, from, binding, use.columns[0])) continue;
    for (const sql::Expr* item : in->values) {
      Operand operand = operand_of(item, context);
      if (operand.is_null) continue;
      if (!operand.source) return std::nullopt;
      out.read.values.push_back(std::move(*operand.source));
      out.by_value = out.by_value || operand.by_value;
    }
    if (out.read.values.empty()) return std::nullopt;
    return out;
  }
  return std::nullopt;
}

std::string select_list(const vschema::Table& table, const std::vector<size_t>& uses) {
  std::string out;
  const auto add = [&](const std::vector<std::string>& columns) {
    for (const auto& column : columns) out += (out.empty() ? "" : ", ") + sql::quote_identifier(column);
  };
  add(table.primary_vindex()->columns);
  for (const size_t use : uses) add(table.lookups[use].columns);
  return out;
}

// What has the same value when the server computes it again, on the same row.
bool is_repeatable(const sql::Expr* expr, sql::List<sql::Assignment> set) {
  static constexpr std::string_view kFunctions[] = {"concat",  "lower", "upper",  "lcase",  "ucase",     "trim",
                                                    "ltrim",   "rtrim", "left",   "right",  "substr",    "substring",
                                                    "replace", "lpad",  "rpad",   "repeat", "reverse",   "coalesce",
                                                    "ifnull",  "if",    "nullif", "abs",    "concat_ws", "mod"};
  bool repeatable = !traits_of(expr).subquery && !traits_of(expr).other;
  walk(expr, [&](const sql::Expr& node) {
    if (const auto* call = as<sql::FunctionCall>(&node)) {
      repeatable = repeatable && std::ranges::find(kFunctions, lower(call->name.text)) != std::end(kFunctions);
    }
    if (as<sql::DefaultValue>(&node) != nullptr || as<sql::UserVariable>(&node) != nullptr ||
        as<sql::SystemVariable>(&node) != nullptr) {
      repeatable = false;
    }
    if (const auto* column = as<sql::Column>(&node)) {
      // An assignment before this one has changed it.
      repeatable = repeatable && std::ranges::none_of(set, [&](const sql::Assignment& assignment) {
                     return lower(assignment.column->name.text) == lower(column->name.text) && assignment.value != expr;
                   });
    }
    return true;
  });
  return repeatable;
}

const sql::Assignment* assignment_of(sql::List<sql::Assignment> set, std::string_view column) {
  const sql::Assignment* found = nullptr;
  for (const auto& assignment : set) {
    if (lower(assignment.column->name.text) == lower(column)) found = &assignment;  // The last one holds.
  }
  return found;
}

}  // namespace

bool follows(shard::Lookup::Form form, const schema::Column& column, const schema::Column& from) {
  if (form == shard::Lookup::Form::kLooseHash) return is_exact_text(column) && integer_type(from).bits == 64;
  const IntegerType a = integer_type(column);
  const IntegerType b = integer_type(from);
  if (a.bits != 0 || b.bits != 0) {
    if (a.bits == 0 || b.bits == 0) return false;
    return a.is_unsigned == b.is_unsigned ? a.bits <= b.bits : a.is_unsigned && a.bits < b.bits;
  }
  if (is_float(column) || column.data_type != from.data_type || column.collation != from.collation) return false;
  if (is_sized_text(column)) return length_of(column) <= length_of(from);
  return column.type == from.type;
}

void narrow(const FromClause& from, const PlanContext& context, Route& route) {
  if (route.kind != Route::Kind::kAllShards) return;
  std::optional<Candidate> best;
  for (const auto& binding : from.tables) {
    if (binding.nullable) continue;
    for (const auto& use : binding.table->lookups) {
      bool never = false;
      auto candidate = ask_use(from, binding, use, context, never);
      if (never) {
        route.kind = Route::Kind::kNoShard;
        return;
      }
      if (!candidate || (best && best->rank() <= candidate->rank())) continue;
      if (may_be_asked(*binding.table, use, context)) best = std::move(candidate);
    }
  }
  if (!best) return;
  if (best->single) route.kind = Route::Kind::kByLookup;
  route.by_value = route.by_value || best->by_value;
  route.lookup = std::make_shared<const LookupRead>(std::move(best->read));
}

Result<std::shared_ptr<const LookupChange>> plan_lookup_change(const FromClause& from, const ChangeForm& form,
                                                               const sql::Statement& statement,
                                                               const StatementTables& tables,
                                                               const PlanContext& context) {
  auto out = std::make_shared<LookupChange>();
  out->removes = form.removes;
  for (const auto& binding : from.tables) {
    for (size_t i = 0; i < binding.table->lookups.size(); ++i) {
      const auto& use = binding.table->lookups[i];
      const bool changes = form.removes ? use.is_owned : std::ranges::any_of(use.columns, [&](const auto& column) {
        return assignment_of(form.set, column) != nullptr;
      });
      if (!changes) continue;
      const std::string what = fmt::format("a change of table {}, whose vindex {} is a lookup vindex (type {})",
                                           binding.table->name, use.lookup->name, use.lookup->type);
      if (!use.is_owned) return unsupported(what + " that the table does not own: You can only UPDATE owned vindexes");
      if (!use.problem.empty()) return unsupported(what + ": " + use.problem);
      if (from.tables.size() > 1) return unsupported(what + ", together with other tables");
      if (form.ignore && !form.removes) return unsupported(what + ", with IGNORE");
      if (form.cut && !form.removes) return unsupported(what + ", with ORDER BY or LIMIT");
      if (form.returning) return unsupported(what + ", with RETURNING");
      out->table = binding.table;
      out->uses.push_back(i);
    }
  }
  if (out->uses.empty()) return std::shared_ptr<const LookupChange>();
  const auto options = server_options(statement, tables, context, true);
  out->rows = "select " + select_list(*out->table, out->uses);
  for (const size_t use : out->uses) {
    if (form.removes) break;
    for (const auto& column : out->table->lookups[use].columns) {
      const auto* assignment = assignment_of(form.set, column);
      if (assignment != nullptr && !is_repeatable(assignment->value, form.set)) {
        return unsupported(fmt::format("an expression as the new value of the lookup vindex column {}", column));
      }
      out->rows +=
          ", " + (assignment == nullptr ? sql::quote_identifier(column) : sql::print(*assignment->value, options));
    }
  }
  out->rows += " from " + sql::print(*from.tables.front().source, options);
  if (form.where != nullptr) out->rows += " where " + sql::print(*form.where, options);
  out->rows += " for update";
  return std::shared_ptr<const LookupChange>(std::move(out));
}

std::string watch_query(const LookupWatch& watch, std::string_view condition) {
  std::string out = "select " + select_list(*watch.table, watch.uses);
  for (const auto& column : watch.key) {
    out += ", " + schema::select_text(schema::form_of(column), sql::quote_identifier(column.name));
  }
  out += " from " + sql::quote_identifier(watch.table->name) + " where ";
  return out.append(condition) + " for update";
}

std::string conflict_condition(const LookupWatch& watch, const std::vector<std::string>& literals) {
  std::string out;
  for (const auto& key : watch.unique) {
    std::string all;
    bool known = true;
    for (const auto& [column, place] : key) {
      known = known && place < literals.size() && !literals[place].empty();
      if (!known) break;
      all += (all.empty() ? "(" : " and ") + sql::quote_identifier(column) + " = " + literals[place];
    }
    if (known) out += (out.empty() ? "" : " or ") + all + ")";
  }
  return out;
}

Result<mysql::Value> lookup_cell(const schema::Column& column, mysql::Value value, bool strict) {
  if (stores_unchanged(column, value)) return value;
  if (strict) {  // What does not fit is an error before the lookup's table is told of it.
    if (value.is_null()) return value;
    const bool whole = integer_type(column).bits != 0;
    if (whole && mysql::is_integer_type(value.type)) return value;
    if (whole) {
      const bool is_unsigned = column.type.contains("unsigned");
      const Storing storing{
          .type = KeyType::kInteger, .column = is_unsigned ? ::query::UINT64 : ::query::INT64, .strict = true};
      auto stored = stored_value(storing, value, column.name);
      if (stored.ok()) return stored;
    }
    if (is_sized_text(column) && mysql::is_string_type(value.type)) return value;
    const bool same = (column.data_type == "date" && value.type == mysql::FieldType::kDate) ||
                      (column.data_type == "datetime" && value.type == mysql::FieldType::kDatetime) ||
                      (column.data_type == "time" && value.type == mysql::FieldType::kTime) ||
                      (column.data_type == "decimal" && value.type == mysql::FieldType::kNewDecimal);
    if (same) return value;
  }
  return unsupported("a value of the lookup vindex column " + column.name +
                     " that the server may change to fit; write it as it is stored");
}

bool stores_unchanged(const schema::Column& column, const mysql::Value& value) {
  if (value.is_null()) return column.nullable;
  if (const IntegerType type = integer_type(column); type.bits != 0) {
    if (!mysql::is_integer_type(value.type)) return false;
    auto known = type.is_unsigned ? ::query::UINT64 : ::query::INT64;
    if (type.bits == 32) known = type.is_unsigned ? ::query::UINT32 : ::query::INT32;
    if (type.bits == 24) known = type.is_unsigned ? ::query::UINT24 : ::query::INT24;
    if (type.bits == 16) known = type.is_unsigned ? ::query::UINT16 : ::query::INT16;
    if (type.bits == 8) known = type.is_unsigned ? ::query::UINT8 : ::query::INT8;
    const Storing storing{.type = KeyType::kInteger, .column = known, .strict = false};
    return stored_value(storing, value, column.name).ok();
  }
  if (!is_sized_text(column) || !mysql::is_string_type(value.type)) return false;
  return value.bytes.size() <= length_of(column);
}

}  // namespace vitrail::plan
