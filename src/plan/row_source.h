#pragma once

#include <memory>
#include <set>
#include <string>

#include "base/result.h"
#include "plan/plan.h"
#include "plan/planner.h"

namespace vitrail::plan {

// A query whose rows a change needs before it can be sent. What it reads is locked until the transaction ends, as one
// server locks what a change reads.
struct RowSource {
  std::string query;              // Without the lock.
  std::string text;               // What `plan` was made of.
  std::set<std::string> changed;  // Aliases of the tables that are locked for a change; others are for reading.
  std::shared_ptr<const Plan> plan;
};

// Plans `query`, whose parameters have been replaced by their values.
Result<RowSource> plan_source(std::string query, std::set<std::string> changed, const PlanContext& context);

// The same by finish alone: where the rows that came back could not be merged.
Result<std::shared_ptr<const Plan>> plan_source_finish(const RowSource& source, const PlanContext& context);

}  // namespace vitrail::plan
