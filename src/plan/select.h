#pragma once

#include "plan/routing.h"

namespace vitrail::plan {

// A SELECT on tables of one sharded keyspace. `select` is changed: hidden columns and pushed limits go into its tree.
Result<std::shared_ptr<const Plan>> plan_select(sql::Ast& ast, sql::Query* query, const StatementTables& tables,
                                                const PlanContext& context);

// LIMIT's count or offset (null: there is none), when it is known now.
//   kUnimplemented  it is not.
Result<std::optional<uint64_t>> limit_value(const sql::Expr* expr, const PlanContext& context);

}  // namespace vitrail::plan
