#pragma once

#include "plan/routing.h"

namespace vitrail::plan {

// An INSERT or REPLACE whose rows have to be placed, or that needs values of a sequence.
Result<std::shared_ptr<const Plan>> plan_insert(const sql::Insert& insert, const StatementTables& tables,
                                                const PlanContext& context);

}  // namespace vitrail::plan
