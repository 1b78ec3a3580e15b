#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "tablet/local_server.h"

namespace vitrail::tablet {

// Statements that concern this server alone: they are not in its binary log. Also while it is read-only.
net::Task<Status> run_unlogged(LocalServer& server, std::vector<std::string> statements, net::Wait wait);

// The error of a statement on a table of `_vt` that nobody has made yet.
bool is_missing_table(const Error& error);

}  // namespace vitrail::tablet
