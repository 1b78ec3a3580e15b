#pragma once

namespace vitrail::rpc::internal {

// Starts what the process needs of the gRPC library, once, until the process ends: every Server and Channel calls it
// first.
//
//   - gRPC's complaints go to our log, at most one a second.
//   - Its callback threads are kept awake. In gRPC 1.51 on Linux they look for work for one second and then sleep for a
//   tenth
//     of one, deaf (CallbackAlternativeCQ in its completion_queue_cc.cc): a call after a quiet second took up to 100
//     ms, as long as a whole switch of writes may take. A call that fails at once, four times a second, restarts their
//     second.
//   - They are kept alive. Who drops the last channel or server joins them, and would wait for itself on one of them.
void prepare_grpc();

}  // namespace vitrail::rpc::internal
