#pragma once

#include "worker/commands.h"

// Commands that show whether a worker works.
namespace vitrail::worker {

Result<std::unique_ptr<Job>> make_ping(JobSettings settings, std::string message);
Result<std::unique_ptr<Job>> make_block(JobSettings settings, std::string argument);
Result<std::unique_ptr<Job>> make_panic(JobSettings settings, std::string argument);

}  // namespace vitrail::worker
