#pragma once

#include <string_view>
#include <vector>

#include "sql/ast.h"
#include "sql/statement.h"

namespace vitrail::sql {

enum class TableAccess : uint8_t { kRead, kWrite };

struct TableUse {
  std::string_view qualifier;  // "" when not qualified.
  std::string_view name;
  Span span;            // qualifier.name in the text.
  Span qualifier_span;  // Without the dot; empty when not qualified.
  Span name_span;
  TableAccess access = TableAccess::kRead;
};

// Every use of a table, view or sequence in a statement, in the order of the tree (roughly that of the text), duplicates
// included. Names of common table expressions in scope are left out, and so is DUAL. Written tables are: targets of
// INSERT, REPLACE, UPDATE (single table, or those a qualified assignment names; all tables of the join when an assignment
// is not qualified), DELETE, LOAD DATA, DDL (subjects and new names), LOCK TABLES .. WRITE, sequences, REPAIR and
// OPTIMIZE, and tables read FOR UPDATE are not. A name that DELETE's or UPDATE's target list gives by alias is resolved to
// its table. Statements kept as text (kOther) contribute nothing.
// Texts belong to the Ast.
std::vector<TableUse> collect_tables(const Statement& statement);
std::vector<TableUse> collect_tables(const Query& query);

}  // namespace vitrail::sql
