#pragma once

#include <map>
#include <string>
#include <vector>

#include "control/manager/plan.h"

namespace vitrail::control::manager {

// A workflow as the tree of nodes that operators and pages see, as one line of JSON. Fields: name, pathName, path,
// state (0 not started, 1 running, 2 done), failed, message, log, progress, progressMsg, createTime and lastChanged
// (seconds), actions ([{name, state (1 enabled, 2 disabled), style, message}]), children.
// `said`: what tasks that are under way said last, by "<uuid>/<task>".
std::string tree_of(const Record& record, const std::map<std::string, std::string>& said = {});

// What WorkflowTree prints: {"nodes": [...]}.
std::string forest_of(const std::vector<Record>& records);

}  // namespace vitrail::control::manager
