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

// Every use of a table, view or sequence in a statement, in the order of the tree (roughly that of the text),
// duplicates included. Names of common table expressions in scope are left out, and so is an unqualified DUAL.
//
//   kWrite : the target of INSERT, REPLACE and LOAD DATA; of UPDATE the tables that assignments name, or all tables of
//            the join when an assignment is not qualified; of DELETE the targets (an alias stands for its table);
//            subjects and new names of DDL on tables, views, indexes and sequences; LOCK TABLES .. WRITE; REPAIR and
//            OPTIMIZE; sequences that are advanced (SELECT NEXT, NEXT VALUE FOR, NEXTVAL, SETVAL).
//   kRead  : everything else, tables read FOR UPDATE included.
//
// What stands in statements kept as text (kOther, bodies of stored programs) is not seen, and neither are columns.
// Texts belong to the Ast.
std::vector<TableUse> collect_tables(const Statement& statement);
std::vector<TableUse> collect_tables(const Query& query);

// The tables in FROM that a target of a multi-table DELETE stands for: those with this alias, or with this name and no
// alias. Case-insensitive, like aliases on a server that folds names; usually one.
std::vector<const TableSource*> delete_target_tables(const Delete& statement, const TableName& target);
// Whether the target is an alias in FROM, and not a table's own name.
bool is_alias_target(const Delete& statement, const TableName& target);

}  // namespace vitrail::sql
