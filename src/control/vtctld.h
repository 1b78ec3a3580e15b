#pragma once

#include <memory>
#include <string>

#include "base/metrics.h"
#include "base/result.h"
#include "control/tablet_client.h"
#include "net/loop.h"
#include "net/scope.h"
#include "rpc/server.h"
#include "topo/server.h"

namespace vitrail::control {

struct VtctldOptions {
  std::string cell;
  std::string grpc_host = "127.0.0.1";
  uint16_t grpc_port = 0;
};

// The control plane: /vtctlservice.Vtctld by gRPC. Keeps no state of its own: what is under way is in the topology.
//   Threads: make, start and stop it on one loop.
class Vtctld {
 public:
  Vtctld(VtctldOptions options, topo::Server& topology, base::Metrics& metrics);
  ~Vtctld();  // stop() must have returned when start() did.

  // Listens, and brings interrupted traffic switches to their end in the background.
  net::Task<Status> start();
  net::Task<void> stop();
  uint16_t grpc_port() const { return grpc_.port(); }  // After start().

 private:
  const VtctldOptions options_;
  topo::Server& topology_;
  TabletClient tablets_;
  net::Scope scope_;
  rpc::Server grpc_;
  bool started_ = false;
};

// Registers every method on a server that has not started yet. `tablets` must outlive it. Handlers run on `loop`.
void register_vtctld_handlers(rpc::Server& server, net::Loop& loop, TabletClient& tablets);

}  // namespace vitrail::control
