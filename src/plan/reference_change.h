#pragma once

#include <memory>
#include <optional>

#include "plan/planner.h"
#include "plan/routing.h"

// Changes of reference tables, of which each shard has a copy.
namespace vitrail::plan {

// An INSERT, UPDATE or DELETE of one reference table. With a source (in the vschema), it is the source that changes,
// and whatever keeps the copies carries it on. Without one all copies change, by the same statement in one transaction;
// its values must be the same wherever they are computed.
//   nullopt         it changes no reference table. `tables`: of the whole statement, or of an INSERT's target.
//   kUnimplemented  the copies might not stay the same.
Result<std::optional<std::shared_ptr<const Plan>>> plan_reference_change(sql::Ast& ast, const StatementTables& tables,
                                                                         const PlanContext& context);

// Whether it is one of those statements, whose refusal is final then.
bool changes_reference_table(sql::Ast& ast, const PlanContext& context);

}  // namespace vitrail::plan
