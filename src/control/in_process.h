#pragma once

#include <memory>

#include "backup/storage.h"
#include "base/result.h"
#include "control/stream_caller.h"
#include "control/tablet_client.h"
#include "net/loop.h"
#include "net/task.h"
#include "rpc/caller.h"
#include "rpc/server.h"
#include "topo/server.h"

namespace vitrail::control {

// Vtctld's methods in this process, directly on the topology: for commands that run without a vtctld ("--server
// internal", vtctl). Opens no port.
// `tablets`: how to call them.
//   Threads: open, use and close on one loop. close() before destruction.
class InProcessVtctld {
 public:
  static net::Task<Result<std::unique_ptr<InProcessVtctld>>> open(topo::ServerOptions options,
                                                                  rpc::ChannelOptions tablets = {},
                                                                  backup::StorageOptions backups = {});
  topo::Server& topology() { return *topology_; }
  TabletClient& tablets() { return tablets_; }
  rpc::Caller caller() { return methods_.in_process(); }
  StreamCaller streams() { return streams_of(methods_); }
  net::Task<void> close();

 private:
  InProcessVtctld(std::unique_ptr<topo::Server> topology, rpc::ChannelOptions tablets,
                  const backup::StorageOptions& backups);

  std::unique_ptr<topo::Server> topology_;
  TabletClient tablets_;
  rpc::Server methods_;
};

}  // namespace vitrail::control
