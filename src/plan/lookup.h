#pragma once

#include <memory>

#include "plan/from.h"
#include "plan/plan.h"
#include "schema/schema.h"

// Lookup vindexes: what a statement asks their tables, and what it does to them.
namespace vitrail::plan {

// Whether every two values that are equal in a vindex column are equal in the lookup's column that stands for it, and
// whatever the vindex column stores the other one stores as well. Only then the lookup's table may be asked.
bool follows(shard::Lookup::Form form, const schema::Column& column, const schema::Column& from);

// Of a route to all shards: sets what a lookup vindex knows better, by the conditions that all rows fulfil.
void narrow(const FromClause& from, const PlanContext& context, Route& route);

// What an UPDATE (`set`) or a DELETE (`removes`) does to the lookup vindexes of its table; null: nothing.
// kUnimplemented: what cannot be maintained.
struct ChangeForm {
  sql::List<sql::Assignment> set;
  const sql::Expr* where = nullptr;
  bool removes = false;
  bool cut = false;  // LIMIT or ORDER BY.
  bool ignore = false;
  bool returning = false;
};
Result<std::shared_ptr<const LookupChange>> plan_lookup_change(const FromClause& from, const ChangeForm& form,
                                                               const sql::Statement& statement,
                                                               const StatementTables& tables,
                                                               const PlanContext& context);

// Whether the value, as it is written, is what the column will store: else what the lookup's table is told may be
// another one.
bool stores_unchanged(const schema::Column& column, const mysql::Value& value);

}  // namespace vitrail::plan
