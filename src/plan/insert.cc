#include "plan/insert.h"

#include <algorithm>
#include <charconv>

#include <fmt/core.h>

#include "plan/change.h"
#include "plan/expr_walk.h"
#include "plan/key_condition.h"
#include "plan/key_value.h"
#include "plan/lookup.h"
#include "mysql/protocol.h"
#include "plan/routing.h"
#include "plan/stored_literal.h"
#include "sql/printer.h"
#include "sql/tables.h"
#include "sql/walk.h"

namespace vitrail::plan {

using sql::as;

uint64_t ShardedInsert::values_needed() const {
  return static_cast<uint64_t>(std::count_if(rows.begin(), rows.end(), [](const Row& row) { return row.needs_value; }));
}

namespace {

bool is_null_or_default(const sql::Expr* expr) {
  if (as<sql::DefaultValue>(expr) != nullptr) return true;
  const auto* literal = as<sql::Literal>(expr);
  return literal != nullptr && literal->literal == sql::LiteralKind::kNull;
}

// The value of a literal or parameter; nullopt for any other expression.
std::optional<mysql::Value> constant(const sql::Expr* expr, KeyType type, const PlanContext& context) {
  bool negative = false;
  if (const auto* unary = as<sql::Unary>(expr); unary != nullptr && unary->op == sql::UnaryOp::kMinus) {
    negative = true;
    expr = unary->operand;
  }
  if (const auto* parameter = as<sql::Parameter>(expr); parameter != nullptr && !negative) {
    if (parameter->index >= context.parameters.size()) return std::nullopt;
    return context.parameters[parameter->index];
  }
  const auto* literal = as<sql::Literal>(expr);
  if (literal == nullptr) return std::nullopt;
  auto value = literal_value(*literal, negative);
  // In a column of numbers 0x41 and b'1' are numbers everywhere; x'41' is one in MySQL, and a text in MariaDB.
  const bool number = literal->literal == sql::LiteralKind::kBit ||
                      (literal->literal == sql::LiteralKind::kHex && lower(literal->text).starts_with("0x"));
  if (value && number && type == KeyType::kInteger) {
    const auto as_number = shard::VindexValue::hex(value->bytes).to_u64();
    if (!as_number) return std::nullopt;
    return mysql::Value::of_uint(*as_number);
  }
  return value;
}

// Columns that an expression names outside of its subqueries.
bool names_columns(const sql::Expr* expr) {
  bool found = false;
  walk(expr, [&](const sql::Expr& node) {
    found = found || as<sql::Column>(&node) != nullptr;
    return true;
  });
  return found;
}

class InsertPlanner {
 public:
  InsertPlanner(sql::Ast& ast, const sql::Insert& insert, const StatementTables& tables, const PlanContext& context)
      : ast_(ast), insert_(insert), tables_(tables), context_(context), table_(*tables.tables.front()) {}

  Result<std::shared_ptr<const Plan>> plan() {
    if (insert_.with != nullptr) return unsupported("WITH before an INSERT into a sharded table");
    if (!insert_.partitions.empty()) return unsupported("INSERT into partitions of a sharded table");
    for (const auto& item : insert_.returning) {
      if (traits_of(item.expr).subquery) return unsupported("subqueries in RETURNING");
    }
    for (const auto& assignment : insert_.on_duplicate) {
      if (traits_of(assignment.value).subquery) return unsupported("subqueries in ON DUPLICATE KEY UPDATE");
    }
    RETURN_IF_ERROR(read_rows());
    const bool by_servers = insert_.query != nullptr || needs_servers();
    RETURN_IF_ERROR(add_lookup_columns());
    if (by_servers) return plan_rows();
    auto plan = std::make_shared<Plan>();
    plan->kind = Plan::Kind::kInsert;
    plan->returning = !insert_.returning.empty();
    auto& out = plan->insert.emplace();
    out.keyspace = table_.keyspace;
    const auto* primary = table_.sharded ? table_.primary_vindex() : nullptr;
    if (table_.sharded && primary == nullptr) {
      return fail(Code::kFailedPrecondition, "VT09001: table " + table_.name + " has no primary vindex");
    }
    if (primary != nullptr) out.vindex = primary->vindex;
    if (!table_.lookups.empty()) out.table = tables_.tables.front();
    ASSIGN_OR_RETURN(out.watch, watch_rows());
    for (size_t i = 1; i < table_.column_vindexes.size(); ++i) {
      out.secondary.push_back({table_.column_vindexes[i].vindex, table_.column_vindexes[i].columns});
    }
    out.conflict = conflict();
    // Where the vindex columns and the generated column stand.
    std::vector<size_t> key_places;
    for (const auto& name : primary == nullptr ? std::vector<std::string>() : primary->columns) {
      const auto place = find_column(name);
      const bool generated = table_.auto_increment && lower(table_.auto_increment->column) == lower(name);
      if (!place && !generated) {
        return no_key(name);
      }
      key_places.push_back(place.value_or(SIZE_MAX));
    }
    std::optional<size_t> generated_place;
    bool add_column = false;
    if (table_.auto_increment) {
      out.sequence_keyspace = table_.auto_increment->sequence_keyspace;
      out.sequence_table = table_.auto_increment->sequence_table;
      generated_place = find_column(table_.auto_increment->column);
      add_column = !generated_place;
    }
    if (primary != nullptr) RETURN_IF_ERROR(check_update(primary->columns, "primary"));
    RETURN_IF_ERROR(check_lookup_updates());

    for (const auto& values : rows_) {
      if (values.size() + added_ != columns_.size()) {
        return fail(Code::kInvalidArgument, "VT03006: column count does not match value count with the row")
            .with_mysql(1136, "21S01");
      }
      ShardedInsert::Row& row = out.rows.emplace_back();
      std::string text = "(";
      for (size_t i = 0; i < values.size(); ++i) {
        if (i > 0) text += ", ";
        const bool generate = generated_place && *generated_place == i && wants_value(values[i]);
        if (generate) {
          row.needs_value = true;
          row.text.push_back(std::move(text));
          text.clear();
          continue;
        }
        text += print(values[i]);
      }
      for (size_t i = 0; i < added_; ++i) text += values.empty() && i == 0 ? "null" : ", null";
      if (add_column) {
        if (!columns_.empty()) text += ", ";
        row.needs_value = true;
        row.text.push_back(std::move(text));
        text.clear();
      }
      text += ")";
      row.text.push_back(std::move(text));
      if (row.needs_value && !table_.auto_increment->problem.empty()) {
        return fail(Code::kFailedPrecondition, table_.auto_increment->problem);
      }
      for (size_t k = 0; k < key_places.size(); ++k) {
        const bool is_generated =
            row.needs_value && (key_places[k] == SIZE_MAX || (generated_place && key_places[k] == *generated_place));
        if (is_generated) {
          if (key_places.size() > 1) return unsupported("a generated value in a primary vindex of several columns");
          row.key_from_sequence = true;
          continue;
        }
        const KeyType type = type_of_key(*primary, k);
        auto value = constant(values[key_places[k]], type, context_);
        if (!value)
          return unsupported("an expression as the value of the primary vindex column " + primary->columns[k]);
        if (value->is_null() && (insert_.ignore || !context_.strict)) {
          return unsupported("NULL as the value of the primary vindex column " + primary->columns[k] +
                             ", which the server may change (INSERT IGNORE, or an sql_mode that is not strict)");
        }
        if (value->is_null()) {
          return fail(Code::kInvalidArgument, "VT03027: Column '" + primary->columns[k] + "' cannot be null")
              .with_mysql(1048, "23000");
        }
        const Storing storing{.type = type,
                              .column = column_type(primary->columns[k]),
                              .charset = context_.charset,
                              .strict = context_.strict && !insert_.ignore,
                              .integers = takes_integers(primary->vindex.get())};
        ASSIGN_OR_RETURN(auto stored, stored_value(storing, std::move(*value), primary->columns[k]));
        row.key.push_back(std::move(stored));
      }
      RETURN_IF_ERROR(read_lookups(values, row));
      RETURN_IF_ERROR(read_secondary(values, row));
      if (out.watch != nullptr) {
        ASSIGN_OR_RETURN(row.conflicts, conflicts_of(values, row, *out.watch));
      }
    }
    if (out.rows.empty()) return unsupported("an INSERT without rows into a sharded table");
    if (generated_place && out.values_needed() == 0) out.given_id = given_id(rows_.back()[*generated_place]);
    out.tells_found_id = out.rows.size() == 1 && out.rows[0].needs_value && !insert_.on_duplicate.empty() &&
                         insert_.returning.empty() && !names_generated();
    write_frame(out, add_column);
    return plan;
  }

 private:
  Status read_rows() {
    if (!insert_.set.empty()) {
      rows_.emplace_back();
      for (const auto& assignment : insert_.set) {
        columns_.push_back(std::string(assignment.column->name.text));
        rows_[0].push_back(assignment.value);
      }
      return {};
    }
    const bool all_preset = insert_.query == nullptr && !insert_.rows.empty() &&
                            std::ranges::all_of(insert_.rows, [](const auto& row) { return row.empty(); });
    if (insert_.has_columns || all_preset) {  // VALUES (): nothing is said of any column.
      for (const auto* column : insert_.columns) columns_.push_back(std::string(column->name.text));
    } else if (table_.column_list_authoritative) {
      for (const auto& column : table_.columns) {
        if (!column.invisible()) columns_.push_back(column.name());
      }
    } else {
      return without_columns(
          fail(Code::kFailedPrecondition,
               "VT09004: INSERT should contain column list or the table should have authoritative columns in vschema"),
          table_);
    }
    for (const auto& row : insert_.rows) rows_.emplace_back(row.begin(), row.end());
    return {};
  }

  KeyType type_of_key(const vschema::ColumnVindex& primary, size_t k) const {
    return primary.columns.size() == 1 ? key_type(table_) : column_key_type(table_, primary.columns[k]);
  }

  // Whether there are values that have to be computed before it is known where the rows go, or that read other tables.
  bool needs_servers() const {
    const auto* primary = table_.sharded ? table_.primary_vindex() : nullptr;
    for (const auto& values : rows_) {
      if (values.size() != columns_.size()) return false;  // An error to be told.
      for (size_t i = 0; i < values.size(); ++i) {
        if (traits_of(values[i]).subquery) return true;
        if (primary == nullptr) continue;
        for (size_t k = 0; k < primary->columns.size(); ++k) {
          if (lower(primary->columns[k]) != lower(columns_[i])) continue;
          if (!is_null_or_default(values[i]) && !constant(values[i], type_of_key(*primary, k), context_)) return true;
        }
        if (in_lookup(columns_[i]) && !is_null_or_default(values[i]) &&
            !constant(values[i], KeyType::kUnknown, context_)) {
          return true;
        }
      }
    }
    return false;
  }

  // Names in ON DUPLICATE KEY UPDATE that may be those of the query's tables, which are gone when the rows are
  // inserted.
  Status check_sources_columns() const {
    if (insert_.query == nullptr) return {};
    std::vector<const schema::Table*> sources;
    for (const auto& use : sql::collect_tables(*insert_.query)) {
      const std::string keyspace = use.qualifier.empty() ? context_.keyspace : std::string(use.qualifier);
      const auto routed = context_.vschema->find_table(keyspace, use.name, type_of(context_.tablet_type));
      if (routed.ok())
        sources.push_back(schema::find_table(*context_.schema, routed->table->keyspace, routed->table->name));
    }
    const auto* own = schema::find_table(*context_.schema, table_.keyspace, table_.name);
    bool unsure = false;
    for (const auto& assignment : insert_.on_duplicate) {
      walk(assignment.value, [&](const sql::Expr& node) {
        if (as<sql::ValuesFunction>(&node) != nullptr) return false;
        const auto* column = as<sql::Column>(&node);
        if (column == nullptr) return true;
        const std::string_view name = column->name.text;
        if (!column->table.empty()) {
          unsure = unsure || lower(column->table.text) != lower(insert_.table.name.text);
        } else {
          unsure = unsure || own->find(name) == nullptr || std::ranges::any_of(sources, [&](const auto* source) {
                     return source == nullptr || source->find(name) != nullptr;
                   });
        }
        return true;
      });
    }
    if (unsure)
      return unsupported(
          "columns of the query in ON DUPLICATE KEY UPDATE of an INSERT ... SELECT into a sharded table");
    return {};
  }

  Result<std::shared_ptr<const Plan>> plan_rows() {
    if (tables_.system_schema) return unsupported("system tables in an INSERT into a sharded table");
    const auto* known =
        context_.schema == nullptr ? nullptr : schema::find_table(*context_.schema, table_.keyspace, table_.name);
    if (known == nullptr) {
      return without_columns(
          unsupported("this INSERT while the columns of " + table_.keyspace + "." + table_.name +
                      " are not known (no primary tablet has told them, or --schema-change-signal is off)"),
          table_);
    }
    auto out = std::make_shared<InsertRows>();
    out->keyspace = table_.keyspace;
    out->table = table_.name;
    out->charset = context_.charset;
    out->strict = context_.strict && !insert_.ignore;
    out->ignore = insert_.ignore;
    out->zero_is_id = context_.zero_is_id;
    out->query = insert_.query != nullptr;
    out->strict_query = out->strict && !finds_by_keys();
    for (const auto& name : columns_) {
      const auto* column = known->find(name);
      if (column == nullptr) {
        return fail(Code::kInvalidArgument, "Unknown column '" + name + "' in 'field list'").with_mysql(1054, "42S22");
      }
      out->columns.push_back(*column);
    }
    RETURN_IF_ERROR(check_sources_columns());
    RETURN_IF_ERROR(find_keys(*out));
    RETURN_IF_ERROR(find_lookups(*out));
    if (insert_.query != nullptr) {
      RETURN_IF_ERROR(add_query(*out));
    } else {
      for (const auto& values : rows_) RETURN_IF_ERROR(add_values(values, *out));
    }
    ShardedInsert frame;
    write_frame(frame, table_.auto_increment && !out->generated);
    out->prefix = std::move(frame.prefix);
    out->suffix = std::move(frame.suffix);
    out->servers_insert_id = frame.servers_insert_id;
    auto plan = std::make_shared<Plan>();
    plan->kind = Plan::Kind::kInsertRows;
    plan->route.kind = Route::Kind::kAllShards;
    plan->route.keyspace = table_.keyspace;
    plan->returning = !insert_.returning.empty();
    plan->insert_rows = std::move(out);
    return plan;
  }

  Status find_keys(InsertRows& out) const {
    const auto* primary = table_.sharded ? table_.primary_vindex() : nullptr;
    if (table_.sharded && primary == nullptr) {
      return fail(Code::kFailedPrecondition, "VT09001: table " + table_.name + " has no primary vindex");
    }
    if (table_.auto_increment) {
      out.sequence_keyspace = table_.auto_increment->sequence_keyspace;
      out.sequence_table = table_.auto_increment->sequence_table;
      out.sequence_problem = table_.auto_increment->problem;
      out.generated = find_column(table_.auto_increment->column);
    }
    if (primary == nullptr) return {};
    out.vindex = primary->vindex;
    for (size_t k = 0; k < primary->columns.size(); ++k) {
      const std::string& name = primary->columns[k];
      const bool generated = table_.auto_increment && lower(table_.auto_increment->column) == lower(name);
      const auto at = find_column(name);
      if (!at && !generated) return no_key(name);
      if (generated && primary->columns.size() > 1) {
        return unsupported("a generated value in a primary vindex of several columns");
      }
      out.key.push_back({at, name, type_of_key(*primary, k), column_type(name)});
    }
    return check_update(primary->columns, "primary");
  }

  static Error no_key(const std::string& name) {
    return fail(Code::kInvalidArgument,
                "VT09003: INSERT query does not have primary vindex column '" + name + "' in the column list")
        .with_mysql(1105, "HY000");
  }

  // Rows of one table, as they are, which a server finds before it inserts any.
  bool finds_by_keys() const {
    const auto* select = insert_.query == nullptr ? nullptr : as<sql::Select>(insert_.query);
    if (select == nullptr || select->from.size() != 1 || !select->group_by.empty() || select->having != nullptr ||
        select->with != nullptr || !select->order_by.empty()) {
      return false;
    }
    const auto* source = as<sql::TableSource>(select->from[0]);
    const bool plain = std::ranges::all_of(select->items, [](const sql::SelectItem& item) {
      return as<sql::Column>(item.expr) != nullptr || as<sql::Star>(item.expr) != nullptr ||
             as<sql::Literal>(item.expr) != nullptr;
    });
    if (source == nullptr || !plain) return false;
    const std::string keyspace =
        source->name.qualifier.empty() ? context_.keyspace : std::string(source->name.qualifier.text);
    const auto routed = context_.vschema->find_table(keyspace, source->name.name.text, type_of(context_.tablet_type));
    if (!routed.ok()) return false;
    const auto* known = schema::find_table(*context_.schema, routed->table->keyspace, routed->table->name);
    const auto alias = source->alias.empty() ? source->name.name.text : source->alias.text;
    return known != nullptr && compares_by_keys(select->where, *known, alias);
  }

  Status add_query(InsertRows& out) const {
    sql::PrintOptions options;
    if (context_.has_parameters) options.expr = parameter_printer(insert_, context_.parameters);
    auto& rows = out.rows.emplace_back();
    ASSIGN_OR_RETURN(rows.source, plan_source(sql::print(*insert_.query, options), {}, context_));
    for (size_t i = 0; i + added_ < columns_.size(); ++i) rows.cells.push_back({.at = i, .text = {}, .value = {}});
    add_nulls(rows);
    return {};
  }

  // In the columns of lookup vindexes that the statement leaves out.
  void add_nulls(InsertRows::Rows& rows) const {
    for (size_t i = 0; i < added_; ++i) rows.cells.push_back({.text = "null", .value = mysql::Value::null()});
  }

  // One row of VALUES: what is known is written as it is, the rest is asked for.
  Status add_values(const std::vector<const sql::Expr*>& values, InsertRows& out) const {
    sql::PrintOptions options;
    if (context_.has_parameters) options.expr = parameter_printer(insert_, context_.parameters);
    InsertRows::Rows rows;
    std::string query;
    size_t asked = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      const auto key = std::ranges::find(out.key, std::optional(i), &InsertRows::Key::at);
      InsertRows::Cell cell;
      cell.wants_value = out.generated == i && wants_value(values[i]);
      bool ask = traits_of(values[i]).subquery;
      if (!cell.wants_value && key != out.key.end() && !ask) {
        auto value = is_null_or_default(values[i]) ? std::optional(mysql::Value::null())
                                                   : constant(values[i], key->type, context_);
        if (as<sql::DefaultValue>(values[i]) != nullptr)
          return unsupported("DEFAULT for the primary vindex column " + key->name);
        ask = !value;
        if (value) {
          ASSIGN_OR_RETURN(cell.value, stored_value(storing(out, *key), std::move(*value), key->name));
        }
      } else if (!cell.wants_value && !ask && in_lookup(columns_[i])) {
        ask = !is_null_or_default(values[i]) && !constant(values[i], KeyType::kUnknown, context_);
        if (!ask) {
          ASSIGN_OR_RETURN(cell.value, lookup_value(values[i], columns_[i]));
        }
      }
      if (ask && names_columns(values[i])) {
        return unsupported("a value that is made of other columns of its row, in an INSERT into a sharded table");
      }
      if (ask) {
        cell.at = asked++;
        query += (query.empty() ? "select " : ", ") + sql::print(*values[i], options);
      } else {
        cell.text = print(values[i]);
      }
      rows.cells.push_back(std::move(cell));
    }
    add_nulls(rows);
    if (asked > 0) {
      ASSIGN_OR_RETURN(rows.source, plan_source(std::move(query), {}, context_));
    }
    out.rows.push_back(std::move(rows));
    return {};
  }

  std::optional<size_t> find_column(const std::string& name) const {
    for (size_t i = 0; i < columns_.size(); ++i) {
      if (lower(columns_[i]) == lower(name)) return i;
    }
    return std::nullopt;
  }

  // NULL, DEFAULT and a parameter that is NULL ask for a generated value; so does 0, as in MySQL, unless sql_mode has
  // NO_AUTO_VALUE_ON_ZERO.
  bool wants_value(const sql::Expr* expr) const {
    if (is_null_or_default(expr)) return true;
    const auto value = constant(expr, KeyType::kInteger, context_);
    const bool zero = value && !context_.zero_is_id && !value->is_binary && value->bytes == "0";
    return zero || (value && value->is_null());
  }

  std::string print(const sql::Expr* expr) const {
    return sql::print(*expr, server_options(insert_, tables_, context_, true));
  }

  ::query::Type column_type(const std::string& name) const {
    for (const auto& column : table_.columns) {
      if (lower(column.name()) == lower(name)) return column.type();
    }
    return ::query::NULL_TYPE;
  }

  static Storing storing(const InsertRows& out, const InsertRows::Key& key) {
    return {.type = key.type,
            .column = key.column,
            .charset = out.charset,
            .strict = out.strict,
            .integers = takes_integers(out.vindex.get())};
  }

  const schema::Table* known_columns() const {
    return context_.schema == nullptr ? nullptr : schema::find_table(*context_.schema, table_.keyspace, table_.name);
  }

  const schema::Column* known_column(const std::string& name) const {
    const auto* known = known_columns();
    return known == nullptr ? nullptr : known->find(name);
  }

  std::optional<uint64_t> given_id(const sql::Expr* expr) const {
    const auto value = constant(expr, KeyType::kInteger, context_);
    if (!value || value->is_null() || value->is_binary) return std::nullopt;
    int64_t below = 0;
    uint64_t number = 0;
    const char* begin = value->bytes.data();
    const char* end = begin + value->bytes.size();
    if (std::from_chars(begin, end, number).ptr == end) return number;
    if (std::from_chars(begin, end, below).ptr == end) return static_cast<uint64_t>(below);
    return std::nullopt;
  }

  // Whether ON DUPLICATE KEY UPDATE has something to say of the generated column.
  bool names_generated() const {
    return std::ranges::any_of(insert_.on_duplicate, [&](const sql::Assignment& assignment) {
      return is_generated(std::string(assignment.column->name.text));
    });
  }

  bool is_generated(const std::string& column) const {
    return table_.auto_increment && lower(table_.auto_increment->column) == lower(column);
  }

  ShardedInsert::Conflict conflict() const {
    using enum ShardedInsert::Conflict;
    if (insert_.replace) return kReplace;
    if (!insert_.on_duplicate.empty()) return kUpdate;
    return insert_.ignore ? kIgnore : kError;
  }

  bool in_lookup(const std::string& column) const {
    return std::ranges::any_of(table_.lookups, [&](const vschema::LookupUse& use) {
      return std::ranges::any_of(use.columns, [&](const auto& name) { return lower(name) == lower(column); });
    });
  }

  Status find_lookups(InsertRows& out) const {
    if (table_.lookups.empty()) return {};
    out.with_lookups = tables_.tables.front();
    out.conflict = conflict();
    RETURN_IF_ERROR(check_lookup_updates());
    for (const auto& use : table_.lookups) {
      auto& places = out.lookups.emplace_back();
      for (const auto& name : use.columns) places.push_back(find_column(name));
    }
    ASSIGN_OR_RETURN(out.watch, watch_rows());
    return {};
  }

  // ON DUPLICATE KEY UPDATE of what only the table's owner may say.
  Status check_lookup_updates() const {
    for (const auto& use : table_.lookups) {
      if (!use.is_owned || known_columns() == nullptr) RETURN_IF_ERROR(check_update(use.columns, "lookup"));
    }
    return {};
  }

  bool assigns(std::string_view column) const {
    return std::ranges::any_of(insert_.on_duplicate, [&](const sql::Assignment& assignment) {
      return lower(assignment.column->name.text) == lower(column) && !changes_nothing(assignment);
    });
  }

  // Rows that are there already, and may have other lookup rows afterwards. Null: there are none.
  Result<std::shared_ptr<const LookupWatch>> watch_rows() const {
    const auto* known = known_columns();
    auto watch = std::make_shared<LookupWatch>();
    for (size_t i = 0; i < table_.lookups.size() && known != nullptr; ++i) {
      const auto& use = table_.lookups[i];
      const bool updates = std::ranges::any_of(use.columns, [&](const auto& name) { return assigns(name); });
      if (use.is_owned && (insert_.replace || updates)) watch->uses.push_back(i);
    }
    if (watch->uses.empty()) return std::shared_ptr<const LookupWatch>();
    watch->table = tables_.tables.front();
    std::vector<std::pair<std::string, size_t>> primary;
    for (const auto& column : known->columns) {
      const std::pair place(column.name, find_column(column.name).value_or(SIZE_MAX));
      if ((column.key_flags & mysql::kFieldPrimaryKey) != 0) {
        watch->key.push_back(column);
        primary.push_back(place);
        if (!insert_.replace && assigns(column.name)) {
          return unsupported("ON DUPLICATE KEY UPDATE of the key column " + column.name +
                             " beside columns of lookup vindexes");
        }
      }
      if ((column.key_flags & mysql::kFieldUniqueKey) != 0) watch->unique.push_back({place});
      // The first column of a key, perhaps a unique one of several columns.
      const bool first = (column.key_flags & mysql::kFieldMultipleKey) != 0;
      if (first && !insert_.replace) watch->unique.push_back({place});
    }
    const bool keyed = !primary.empty() && std::ranges::all_of(watch->key, comparable);
    if (!keyed) {
      if (insert_.replace) return std::shared_ptr<const LookupWatch>();
      return unsupported("ON DUPLICATE KEY UPDATE of columns of lookup vindexes in the table " + table_.name +
                         ", which has no primary key, or one of a type whose values are not compared exactly");
    }
    watch->unique.push_back(std::move(primary));
    return std::shared_ptr<const LookupWatch>(std::move(watch));
  }

  // The condition of rows that are in this one's way.
  Result<std::string> conflicts_of(const std::vector<const sql::Expr*>& values, const ShardedInsert::Row& row,
                                   const LookupWatch& watch) const {
    std::vector<std::string> literals(columns_.size());
    for (const auto& key : watch.unique) {
      for (const auto& [name, place] : key) {
        if (place >= values.size()) {
          const auto* column = known_column(name);
          const bool null = place != SIZE_MAX || column->null_default;
          if (null || is_generated(name) || insert_.replace) continue;
          return unsupported("a default as the value of the key column " + name +
                             ", in an INSERT that updates columns of lookup vindexes");
        }
        if (is_generated(name) && row.needs_value && wants_value(values[place])) continue;
        if (is_null_or_default(values[place]) || constant(values[place], KeyType::kUnknown, context_)) {
          if (as<sql::DefaultValue>(values[place]) == nullptr) literals[place] = print(values[place]);
          continue;
        }
        if (insert_.replace) continue;
        return unsupported("an expression as the value of the key column " + name +
                           ", in an INSERT that updates columns of lookup vindexes");
      }
    }
    return conflict_condition(watch, literals);
  }

  // Columns of lookup vindexes that the statement leaves out: their NULL is written.
  Status add_lookup_columns() {
    for (const auto& use : table_.lookups) {
      if (!use.problem.empty()) {
        return unsupported(fmt::format("INSERT into table {}: its vindex {} cannot be used: {}", table_.name,
                                       use.lookup->name, use.problem));
      }
      for (const auto& name : use.columns) {
        if (find_column(name) || is_generated(name)) continue;
        const auto* known = known_column(name);
        if (known != nullptr && (!known->null_default || known->extra.contains("generated"))) {
          return unsupported("a default as the value of the lookup vindex column " + name + "; give it a value");
        }
        columns_.push_back(name);
        ++added_;
      }
    }
    return {};
  }

  // The values of the columns of lookup vindexes.
  Status read_lookups(const std::vector<const sql::Expr*>& values, ShardedInsert::Row& row) const {
    for (const auto& use : table_.lookups) {
      auto& out = row.lookups.emplace_back();
      for (const auto& name : use.columns) {
        const auto place = find_column(name);
        if (is_generated(name) && row.needs_value) {
          out.emplace_back();
          continue;
        }
        if (*place >= values.size()) {
          out.emplace_back(mysql::Value::null());
          continue;
        }
        ASSIGN_OR_RETURN(auto value, lookup_value(values[*place], name));
        out.emplace_back(std::move(value));
      }
    }
    return {};
  }

  // The values of the columns of the other functions; columns that are left out are not looked at.
  Status read_secondary(const std::vector<const sql::Expr*>& values, ShardedInsert::Row& row) const {
    for (size_t i = 1; i < table_.column_vindexes.size(); ++i) {
      const auto& use = table_.column_vindexes[i];
      auto& out = row.secondary.emplace_back();
      for (const auto& name : use.columns) {
        const auto place = find_column(name);
        if (is_generated(name) && row.needs_value) {
          out.emplace_back();
          continue;
        }
        if (!place || *place >= values.size()) {
          out.clear();
          break;
        }
        const bool integers = use.vindex->integer_function().function != nullptr;
        const KeyType type = integers ? KeyType::kInteger : column_key_type(table_, name);
        auto value = constant(values[*place], type, context_);
        if (!value) return unsupported("an expression as the value of the vindex column " + name);
        if (value->is_null()) {
          out.clear();
          break;
        }
        const Storing storing{.type = type,
                              .column = column_type(name),
                              .charset = context_.charset,
                              .strict = context_.strict && !insert_.ignore,
                              .integers = integers};
        ASSIGN_OR_RETURN(auto stored, stored_value(storing, std::move(*value), name));
        out.emplace_back(std::move(stored));
      }
    }
    return {};
  }

  Result<mysql::Value> lookup_value(const sql::Expr* expr, const std::string& name) const {
    const auto* literal = as<sql::Literal>(expr);
    const bool other_charset = literal != nullptr && !literal->charset.empty();
    const bool bits = literal != nullptr &&
                      (literal->literal == sql::LiteralKind::kHex || literal->literal == sql::LiteralKind::kBit);
    auto value = constant(expr, KeyType::kUnknown, context_);
    if (!value || other_charset || bits) {
      return unsupported("an expression as the value of the lookup vindex column " + name);
    }
    if (context_.strict && !insert_.ignore) return std::move(*value);
    const auto* known = known_column(name);
    if (known == nullptr || !stores_unchanged(*known, *value)) {
      return unsupported("a value of the lookup vindex column " + name +
                         " that the server may change to fit (INSERT IGNORE, or an sql_mode that is not strict)");
    }
    return std::move(*value);
  }

  // Whether an assignment gives its column what the row to be inserted has in it: `a = values(a)`, `a = alias.a`.
  bool takes_the_rows_own(const sql::Assignment& assignment) const {
    const auto* values = as<sql::ValuesFunction>(assignment.value);
    const auto* column = as<sql::Column>(values == nullptr ? assignment.value : values->column);
    if (column == nullptr || lower(column->name.text) != lower(assignment.column->name.text)) return false;
    return values != nullptr || (!insert_.row_alias.empty() && insert_.row_alias_columns.empty() &&
                                 lower(column->table.text) == lower(insert_.row_alias.text));
  }

  // The same where the value is written out once more: `values (5) on duplicate key update a = 5`.
  bool repeats_the_rows_own(const sql::Assignment& assignment) const {
    const auto place = find_column(std::string(assignment.column->name.text));
    const auto value = constant(assignment.value, KeyType::kUnknown, context_);
    if (!place || !value || value->is_null() || rows_.empty()) return false;
    const std::string text = print(assignment.value);
    return std::ranges::all_of(rows_,
                               [&](const auto& row) { return *place < row.size() && print(row[*place]) == text; });
  }

  // `a = a`, as "do nothing" is written, and `a = last_insert_id(a)`, which tells the client which row is there.
  bool changes_nothing(const sql::Assignment& assignment) const {
    const auto* call = as<sql::FunctionCall>(assignment.value);
    const bool tells =
        call != nullptr && call->schema.empty() && call->args.size() == 1 && lower(call->name.text) == "last_insert_id";
    const auto* column = as<sql::Column>(tells ? call->args[0] : assignment.value);
    return column != nullptr && lower(column->name.text) == lower(assignment.column->name.text) &&
           (column->table.empty() || (insert_.row_alias.empty() && lower(column->table.text) == lower(table_.name)));
  }

  // The columns of a primary vindex may take the values of the row that was to be inserted: the row that is there is on
  // the shard which these values lead to, and stays on it.
  Status check_update(const std::vector<std::string>& key_columns, std::string_view kind) const {
    size_t taken = 0;
    std::string changed;
    for (const auto& name : key_columns) {
      const auto of_column = [&](const auto& assignment) {
        return lower(assignment.column->name.text) == lower(name) && !changes_nothing(assignment);
      };
      const auto found = std::ranges::find_if(insert_.on_duplicate, of_column);
      if (found == insert_.on_duplicate.end()) continue;
      if (changed.empty()) changed = name;
      if (std::ranges::count_if(insert_.on_duplicate, of_column) != 1) continue;
      if (takes_the_rows_own(*found) || repeats_the_rows_own(*found)) ++taken;
    }
    if (changed.empty() || (kind == "primary" && taken == key_columns.size())) return {};
    return unsupported(fmt::format("ON DUPLICATE KEY UPDATE of the {} vindex column {}", kind, changed));
  }

  void write_frame(ShardedInsert& out, bool add_column) const {
    std::string prefix = insert_.replace ? "replace " : "insert ";
    if (insert_.ignore) prefix += "ignore ";
    prefix += "into " + sql::quote_identifier_if_needed(table_.name) + "(";
    bool first = true;
    for (const auto& column : columns_) {
      if (!first) prefix += ", ";
      first = false;
      prefix += sql::quote_identifier_if_needed(column);
    }
    if (add_column) prefix += (first ? "" : ", ") + sql::quote_identifier_if_needed(table_.auto_increment->column);
    out.prefix = prefix + ") values ";
    if (!insert_.row_alias.empty()) {
      out.suffix = " as " + sql::quote_identifier_if_needed(insert_.row_alias.text);
      for (size_t i = 0; i < insert_.row_alias_columns.size(); ++i) {
        out.suffix += (i == 0 ? "(" : ", ") + sql::quote_identifier_if_needed(insert_.row_alias_columns[i].text);
      }
      if (!insert_.row_alias_columns.empty()) out.suffix += ")";
    }
    if (!insert_.on_duplicate.empty()) write_update(out);
    out.suffix += returning_text(insert_.returning, server_options(insert_, tables_, context_, true), ast_.text());
  }

  void write_update(ShardedInsert& out) const {
    out.suffix += " on duplicate key update ";
    bool first = true;
    for (const auto& assignment : insert_.on_duplicate) {
      if (!first) out.suffix += ", ";
      first = false;
      out.suffix += sql::quote_identifier_if_needed(assignment.column->name.text) + " = " + print(assignment.value);
      walk(assignment.value, [&](const sql::Expr& node) {
        const auto* call = as<sql::FunctionCall>(&node);
        out.servers_insert_id = out.servers_insert_id ||
                                (call != nullptr && !call->args.empty() && lower(call->name.text) == "last_insert_id");
        return true;
      });
    }
    out.tells_found_id = out.tells_found_id && !out.servers_insert_id;  // The statement says what is told.
    if (!out.tells_found_id) return;
    const std::string id = sql::quote_identifier(table_.auto_increment->column);
    out.suffix += fmt::format(", {} = last_insert_id({}.{})", id, sql::quote_identifier(table_.name), id);
  }

  sql::Ast& ast_;
  const sql::Insert& insert_;
  const StatementTables& tables_;
  const PlanContext& context_;
  const vschema::Table& table_;
  std::vector<std::string> columns_;
  std::vector<std::vector<const sql::Expr*>> rows_;
  size_t added_ = 0;  // Columns at the end that the statement does not name.
};

}  // namespace

Result<StatementTables> route_insert_target(const sql::Insert& insert, const PlanContext& context) {
  const std::string keyspace =
      insert.table.qualifier.empty() ? context.keyspace : std::string(insert.table.qualifier.text);
  if (is_system_schema(keyspace)) return unsupported("an INSERT into a system table");
  ASSIGN_OR_RETURN(const auto routed,
                   context.vschema->find_table(keyspace, insert.table.name.text, type_of(context.tablet_type)));
  StatementTables out;
  out.keyspace = routed.table->keyspace;
  out.sharded = routed.table->sharded;
  out.rewrite = true;
  out.renames.emplace_back(name_key(insert.table.qualifier.text, insert.table.name.text), routed.table->name);
  out.tables.push_back(routed.table);
  return out;
}

Result<std::shared_ptr<const Plan>> plan_insert(sql::Ast& ast, const sql::Insert& insert, const StatementTables& tables,
                                                const PlanContext& context) {
  InsertPlanner planner(ast, insert, tables, context);
  return planner.plan();
}

}  // namespace vitrail::plan
