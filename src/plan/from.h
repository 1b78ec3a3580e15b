#pragma once

#include <string>
#include <vector>

#include "plan/routing.h"

// The tables of a FROM clause: do their rows meet on one shard, and on which.
namespace vitrail::plan {

struct TableBinding {
  const sql::TableSource* source = nullptr;
  std::string alias;  // As columns name it, lower case.
  std::shared_ptr<const vschema::Table> table;
  KeyType key_type = KeyType::kUnknown;
  bool nullable = false;  // On the side of an outer join whose rows may be missing.
};

struct FromClause {
  std::vector<TableBinding> tables;
  // Conjuncts that every result row satisfies: WHERE, and ON of inner joins that are not inside of an outer join's
  // optional side.
  std::vector<const sql::Expr*> filters;
  size_t where_filters = 0;  // How many of them, the first ones, are WHERE's.
};

// Reads a FROM clause whose tables are named directly, and proves that each combination of rows that the joins make is
// made on one shard:
//   - Sharded tables of an inner join, and the two sides of an outer one, are joined by equality of their primary
//     vindex columns, of one vindex, directly or through further tables. What an outer join matches is decided by its
//     own ON, never by WHERE.
//   - A reference table meets everything, but is not the side of an outer join that is kept while the other is sharded:
//     each shard would keep its rows.
// kUnimplemented: not provable.
Result<FromClause> read_from(sql::List<sql::TableRef*> from, const sql::Expr* where, const StatementTables& tables);

// Where the rows of the FROM clause are.
Result<Route> route_rows(const FromClause& from, const std::string& keyspace, const PlanContext& context);

// Index of the table whose primary vindex column (of a single one) `expr` is. A key that is not NULL tells the shard of
// the row it stands in.
std::optional<size_t> vindex_column(const sql::Expr* expr, const std::vector<TableBinding>& tables);

// The conjuncts of a condition; none for null.
void add_conjuncts(const sql::Expr* expr, std::vector<const sql::Expr*>& out);

}  // namespace vitrail::plan
