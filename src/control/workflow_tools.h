#pragma once

#include "control/legacy/legacy.h"
#include "control/manager/tasks.h"
#include "rpc/client.h"
#include "rpc/server.h"

namespace vitrail::control {

// The commands that the manager's workflows consist of: those of vtctlclient, carried out by this vtctld's own methods,
// and those of vtworkers.
//   Threads: one loop. `server` and `tablets` outlive it.
class WorkflowTools : public manager::Tools {
 public:
  WorkflowTools(rpc::Server& server, TabletClient& tablets, rpc::ChannelOptions vtworkers)
      : server_(server), tablets_(tablets), vtworkers_(std::move(vtworkers)) {}

  net::Task<Status> run(manager::Words words, manager::Say say, net::CancelToken cancel) override;
  net::Task<Status> run_on_vtworker(std::string address, manager::Words words, manager::Say say,
                                    net::CancelToken cancel) override;

 private:
  rpc::Server& server_;
  TabletClient& tablets_;
  rpc::ChannelPool vtworkers_;
};

}  // namespace vitrail::control
