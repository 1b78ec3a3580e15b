#pragma once

#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "control/legacy/legacy.h"
#include "net/task.h"
#include "rpc/client.h"

// The terminal's side of older commands: log lines go to standard error as they come, console output to standard
// output.
namespace vitrail::control {

// Runs a command line on a vtctld. Its local files are read, and written, here.
net::Task<Status> run_legacy_remotely(rpc::Channel& channel, std::vector<std::string> line,
                                      base::Duration action_timeout);
// The same on the topology of this process. `vtctld`: methods of Vtctld.
net::Task<Status> run_legacy_here(TabletClient& tablets, rpc::Caller vtctld, StreamCaller streams,
                                  std::vector<std::string> line, base::Duration action_timeout);

}  // namespace vitrail::control
