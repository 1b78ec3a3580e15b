#pragma once

#include <string>
#include <vector>

#include "workflowdata.pb.h"

namespace vitrail::control {

// The JSON of GetWorkflows with what the records say of each workflow: "open_operation" (what it is, since when, by
// whom, its steps, why it waits) when there is one, and "past_operations" when there are any. Text that is no such JSON
// comes back as it is.
std::string with_operations(std::string json, const std::vector<::workflowdata::Record>& records);

}  // namespace vitrail::control
