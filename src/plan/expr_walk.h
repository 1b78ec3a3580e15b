#pragma once

#include <functional>

#include "sql/ast.h"

namespace vitrail::plan {

// Calls `visit` for every expression of a tree, parents first, without going into subqueries; false stops the descent
// below that node.
void walk(const sql::Expr* expr, const std::function<bool(const sql::Expr&)>& visit);

// What makes an expression more than a function of one row.
struct ExprTraits {
  bool aggregate = false;
  bool window = false;
  bool subquery = false;
  bool relevance = false;  // MATCH ... AGAINST, whose value depends on all rows of the table.
  bool other = false;      // A kind of node that this walk does not look into.
};
ExprTraits traits_of(const sql::Expr* expr);

}  // namespace vitrail::plan
