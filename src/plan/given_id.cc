#include "plan/given_id.h"

#include <algorithm>

#include "base/text.h"
#include "plan/expr_walk.h"
#include "plan/key_value.h"

namespace vitrail::plan {
namespace {

using base::equals_ignoring_case;

// NULL, DEFAULT and 0 ask for a value. What else is computed is taken for one that is given.
bool is_given(const sql::Expr* expr, std::span<const mysql::Value> parameters) {
  if (sql::as<sql::DefaultValue>(expr) != nullptr) return false;
  std::optional<mysql::Value> value;
  if (const auto* parameter = sql::as<sql::Parameter>(expr)) {
    if (parameter->index >= parameters.size()) return false;
    value = parameters[parameter->index];
  } else if (const auto* literal = sql::as<sql::Literal>(expr)) {
    value = literal_value(*literal, false);
  }
  if (!value) return true;
  if (value->is_null()) return false;
  const bool zero = value->bytes.find_first_not_of("0.") == std::string::npos;
  return !zero;
}

bool sets_insert_id(const sql::Insert& insert) {
  bool found = false;
  const auto look = [&](const sql::Expr* expr) {
    walk(expr, [&](const sql::Expr& node) {
      const auto* call = sql::as<sql::FunctionCall>(&node);
      found =
          found || (call != nullptr && !call->args.empty() && equals_ignoring_case(call->name.text, "last_insert_id"));
      return true;
    });
  };
  for (const auto& row : insert.rows) std::ranges::for_each(row, look);
  for (const auto& assignment : insert.set) look(assignment.value);
  for (const auto& assignment : insert.on_duplicate) look(assignment.value);
  return found;
}

}  // namespace

bool makes_ids(const schema::Table* table) {
  return table == nullptr || std::ranges::any_of(table->columns, [](const schema::Column& column) {
           return column.extra.contains("auto_increment");
         });
}

std::optional<GivenId> given_id(const sql::Insert& insert, const schema::Table* table) {
  if (table == nullptr) return std::nullopt;
  GivenId id;
  for (const auto& column : table->columns) {
    if (column.extra.contains("auto_increment")) {
      id.column = column.name;
      break;
    }
    if (!column.invisible) ++id.place;
  }
  if (id.column.empty()) return std::nullopt;
  if (!insert.set.empty()) return id;
  if (!insert.has_columns) return id;
  for (id.place = 0; id.place < insert.columns.size(); ++id.place) {
    if (equals_ignoring_case(insert.columns[id.place]->name.text, id.column)) return id;
  }
  return std::nullopt;
}

bool gives_every_id(const sql::Insert& insert, const GivenId& id, std::span<const mysql::Value> parameters) {
  if (sets_insert_id(insert)) return false;
  if (!insert.set.empty()) {
    return std::ranges::any_of(insert.set, [&](const sql::Assignment& assignment) {
      return equals_ignoring_case(assignment.column->name.text, id.column) && is_given(assignment.value, parameters);
    });
  }
  if (insert.query != nullptr) return true;
  return std::ranges::all_of(
      insert.rows, [&](const auto& row) { return id.place < row.size() && is_given(row[id.place], parameters); });
}

}  // namespace vitrail::plan
