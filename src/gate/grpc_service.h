#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <unordered_map>

#include "base/clock.h"
#include "exec/bind_variables.h"
#include "gate/gate_loop.h"
#include "query.pb.h"
#include "rpc/client.h"

namespace vitrail::rpc {
class Server;
}

namespace vitrail::gate {

using exec::with_bind_variables;

// The gRPC service vtgateservice.Vitess (docs/users/grpc.md): Execute, ExecuteBatch, StreamExecute, Prepare,
// CloseSession, VStream.
//
// A call's statement runs in a ClientSession, as those of MySQL clients do; the service is its client, over a pair of
// sockets inside the process. The vtgate.Session of the call is put into a fresh ClientSession and taken out again
// afterwards. With an open transaction the ClientSession is kept for the calls to come, and SessionUUID names it.
//
//   Owns   : the kept sessions. One without a call for idle_timeout is rolled back.
//   Threads: one event loop of the gate, also for its handlers.
//   Bounds : kept sessions count as client connections (max_connections).
class GrpcService {
 public:
  // `next_id`: of connections. Both outlive the service. `tablets`: how their gRPC services are called, for VStream.
  GrpcService(GateLoop& home, std::atomic<uint32_t>& next_id, base::Duration idle_timeout, rpc::ChannelOptions tablets);
  ~GrpcService();

  // Before the server is started; stop it before the service ends.
  void register_handlers(rpc::Server& server);
  // Ends the sessions that have been idle for too long.
  void trim();

 private:
  struct Live;
  class Core;
  std::unique_ptr<Core> core_;
};

}  // namespace vitrail::gate
