#pragma once

#include <string>
#include <string_view>

#include "plan/plan.h"

namespace vitrail::gate {

// "relay": one shard answers alone. "merge": answers of several are put together. "finish": see plan/finish.h. What is
// no query has none: "".
std::string_view way_of(const plan::Plan& plan);

// The plan of `text`, as VEXPLAIN PLAN shows it.
std::string plan_json(const plan::Plan& plan, std::string_view text);

}  // namespace vitrail::gate
