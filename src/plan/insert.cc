#include "plan/insert.h"

#include <algorithm>

#include "plan/expr_walk.h"
#include "plan/key_value.h"
#include "plan/routing.h"
#include "sql/printer.h"

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

class InsertPlanner {
 public:
  InsertPlanner(const sql::Insert& insert, const StatementTables& tables, const PlanContext& context)
      : insert_(insert), tables_(tables), context_(context), table_(*tables.tables.front()) {}

  Result<std::shared_ptr<const Plan>> plan() {
    if (insert_.query != nullptr || insert_.with != nullptr)
      return unsupported("INSERT ... SELECT into a sharded table");
    if (!insert_.returning.empty()) return unsupported("INSERT ... RETURNING into a sharded table");
    if (!insert_.partitions.empty()) return unsupported("INSERT into partitions of a sharded table");
    if (tables_.tables.size() > 1 || tables_.system_schema)
      return unsupported("subqueries in an INSERT into a sharded table");
    RETURN_IF_ERROR(read_rows());
    auto plan = std::make_shared<Plan>();
    plan->kind = Plan::Kind::kInsert;
    auto& out = plan->insert.emplace();
    out.keyspace = table_.keyspace;
    const auto* primary = table_.sharded ? table_.primary_vindex() : nullptr;
    if (table_.sharded && primary == nullptr) {
      return fail(Code::kFailedPrecondition, "VT09001: table " + table_.name + " has no primary vindex");
    }
    if (primary != nullptr) out.vindex = primary->vindex;
    // Where the vindex columns and the generated column stand.
    std::vector<size_t> key_places;
    for (const auto& name : primary == nullptr ? std::vector<std::string>() : primary->columns) {
      const auto place = find_column(name);
      const bool generated = table_.auto_increment && lower(table_.auto_increment->column) == lower(name);
      if (!place && !generated) {
        return fail(Code::kInvalidArgument,
                    "VT09003: INSERT query does not have primary vindex column '" + name + "' in the column list")
            .with_mysql(1105, "HY000");
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
    if (primary != nullptr) RETURN_IF_ERROR(check_update(primary->columns));

    for (const auto& values : rows_) {
      if (values.size() != columns_.size()) {
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
      if (add_column) {
        if (!values.empty()) text += ", ";
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
        const KeyType type = key_places.size() == 1 ? key_type(table_) : column_key_type(table_, primary->columns[k]);
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
                              .integers = primary->vindex->integer_function().function != nullptr};
        ASSIGN_OR_RETURN(auto stored, stored_value(storing, std::move(*value), primary->columns[k]));
        row.key.push_back(std::move(stored));
      }
    }
    if (out.rows.empty()) return unsupported("an INSERT without rows into a sharded table");
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
    if (insert_.has_columns) {
      for (const auto* column : insert_.columns) columns_.push_back(std::string(column->name.text));
    } else if (table_.column_list_authoritative) {
      for (const auto& column : table_.columns) {
        if (!column.invisible()) columns_.push_back(column.name());
      }
    } else {
      return fail(
          Code::kFailedPrecondition,
          "VT09004: INSERT should contain column list or the table should have authoritative columns in vschema");
    }
    for (const auto& row : insert_.rows) rows_.emplace_back(row.begin(), row.end());
    return {};
  }

  std::optional<size_t> find_column(const std::string& name) const {
    for (size_t i = 0; i < columns_.size(); ++i) {
      if (lower(columns_[i]) == lower(name)) return i;
    }
    return std::nullopt;
  }

  // NULL, DEFAULT and a parameter that is NULL ask for a generated value; so does 0, as in MySQL.
  bool wants_value(const sql::Expr* expr) const {
    if (is_null_or_default(expr)) return true;
    const auto value = constant(expr, KeyType::kInteger, context_);
    return value && (value->is_null() || (!value->is_binary && value->bytes == "0"));
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

  Status check_update(const std::vector<std::string>& key_columns) const {
    for (const auto& assignment : insert_.on_duplicate) {
      for (const auto& name : key_columns) {
        if (lower(assignment.column->name.text) == lower(name)) {
          return unsupported("ON DUPLICATE KEY UPDATE of the primary vindex column " + name);
        }
      }
    }
    return {};
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
    if (insert_.on_duplicate.empty()) return;
    out.suffix += " on duplicate key update ";
    first = true;
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
  }

  const sql::Insert& insert_;
  const StatementTables& tables_;
  const PlanContext& context_;
  const vschema::Table& table_;
  std::vector<std::string> columns_;
  std::vector<std::vector<const sql::Expr*>> rows_;
};

}  // namespace

Result<std::shared_ptr<const Plan>> plan_insert(const sql::Insert& insert, const StatementTables& tables,
                                                const PlanContext& context) {
  InsertPlanner planner(insert, tables, context);
  return planner.plan();
}

}  // namespace vitrail::plan
