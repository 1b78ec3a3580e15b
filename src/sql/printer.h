#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "sql/ast.h"
#include "sql/statement.h"

namespace vitrail::sql {

// How a table is to be named in the output. Both start as the name in the statement.
struct TableRewrite {
  std::string qualifier;  // "" for none.
  std::string name;
};

// What the printer may be asked to change. All callbacks may be empty; the objects they refer to must outlive the call.
struct PrintOptions {
  // Called for every table name (and, with an empty `name`, for the schema part of a column or star `schema.table.col`,
  // where only the qualifier is used).
  std::function<void(const TableName& table, TableRewrite& rewrite)> table;
  // Called for every expression before it is printed. Returning true means that `out` got its text; the text is put in
  // parentheses unless it is a single token, so any expression may be appended. For a list bind variable (IN ::list)
  // the text is the whole list with its parentheses. Use it to put literals in the place of parameters and variables.
  std::function<bool(const Expr& expr, std::string& out)> expr;
  // A condition that is added (AND) to the WHERE clause of `where_of`: a Select, an Update or a Delete, by address. SQL
  // text, printed as given in parentheses.
  const void* where_of = nullptr;
  std::string_view extra_where;
  // sql_mode ANSI_QUOTES of the session that will read the output. Identifiers are quoted with ` in any case.
  // sql_mode HIGH_NOT_PRECEDENCE: NOT is printed with parentheses around it and its operand.
  bool high_not_precedence = false;
  // Every compound expression in parentheses: the structure of the tree as text, for comparisons and tests.
  bool full_parentheses = false;
};

// Canonical text: lower-case keywords, one blank between tokens, no comments but hints and directives, identifiers
// quoted only where needed, literals, parameters and bind variables as written. Parsing the output gives an equal tree.
std::string print(const Statement& statement, const PrintOptions& options = {});
std::string print(const Query& query, const PrintOptions& options = {});
std::string print(const Expr& expr, const PrintOptions& options = {});
std::string print(const TableRef& table, const PrintOptions& options = {});
std::string print(const TableName& name, const PrintOptions& options = {});

// `name` with quotes when needed / always.
std::string quote_identifier_if_needed(std::string_view name);
std::string quote_identifier(std::string_view name);

}  // namespace vitrail::sql
