#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "movement/table_schema.h"
#include "query.pb.h"
#include "sql/ast.h"

// A column of a target that is computed from one row of the source: upper(name), price * quantity.
//
// The target's server computes it, from literals that have the types of the source's columns. So that this is what the
// source's server would give for the columns (in a session of utf8mb4 and UTC), only functions are taken whose value
// depends on the values of their arguments and on nothing else, not on how long a column may be nor on a setting, and
// only columns of types whose values literals have: whole numbers, decimals, texts with their collations, bytes, dates.
namespace vitrail::movement {

struct RowExpression {
  std::vector<std::string> pieces;   // SQL around the columns: one more than there are columns.
  std::vector<std::string> columns;  // Of the source, as they occur.

  // With the columns' names.
  std::string to_sql() const;
};

// kUnimplemented: the message is what is not taken ("an expression with now()").
Result<RowExpression> read_row_expression(const sql::Expr& expr);

// Whether an expression may use a column of this kind. kUnimplemented names it.
Status check_input(const ::query::Field& field);
// The value of such a column as a literal of its type. `field` as to_field() makes it.
Status append_input(std::string& out, const ::query::Field& field, mysql::Cell cell);
// The value of `expression` as the text that is read back from `column`. kUnimplemented names the column's type.
Result<std::string> as_column(const Column& column, std::string_view expression);

}  // namespace vitrail::movement
