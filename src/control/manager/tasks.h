#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "control/manager/plan.h"
#include "net/cancel.h"
#include "net/task.h"
#include "topo/server.h"

// What the tasks of the manager's workflows do: command lines of the older commands and of vtworkers.
namespace vitrail::control::manager {

using Words = std::vector<std::string>;
// Gets what a command says, in order: lines or parts of them.
using Say = std::function<void(std::string_view text)>;

// Runs the commands.
class Tools {
 public:
  virtual ~Tools() = default;
  // A command line of vtctlclient, in this process.
  virtual net::Task<Status> run(Words words, Say say, net::CancelToken cancel) = 0;
  // A command line of a vtworker, "host:port". kUnavailable: nobody answers, or another job runs.
  virtual net::Task<Status> run_on_vtworker(std::string address, Words words, Say say, net::CancelToken cancel) = 0;
};

// The command line of a task. An empty `vtworker`: one of vtctlclient.
struct Job {
  std::string vtworker;
  Words words;
};
// kInvalidArgument: no such task, or one that is no command (sleep).
Result<Job> job_of(const Record& record, const std::string& id);

// Carries a task out. It may have been carried out before, in whole or in part, by a process that is gone. Returns
// before its end only when `cancel` says so.
net::Task<Status> carry_out(topo::Server& topology, Tools& tools, Record record, std::string id, Say say,
                            net::CancelToken cancel);

}  // namespace vitrail::control::manager
