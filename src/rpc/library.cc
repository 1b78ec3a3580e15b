#include "rpc/library.h"

#include <grpc/grpc.h>
#include <grpc/support/log.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>
#include <pthread.h>

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <stop_token>
#include <thread>

#include "base/log.h"
#include "rpc/status.h"

namespace vitrail::rpc::internal {
namespace {

void log_grpc(gpr_log_func_args* args) {
  static auto* const limit = new base::LogLimit(std::chrono::seconds(1));
  if (args->severity == GPR_LOG_SEVERITY_ERROR && limit->allow()) {
    base::log_warning("gRPC: {} ({} more before)", args->message, limit->suppressed());
  }
}

// Ends with the process' static objects, before those of the library.
class CallbackThreads {
 public:
  CallbackThreads() : thread_([this](const std::stop_token& stop) { run(stop); }) {}

 private:
  void run(const std::stop_token& stop) {
    pthread_setname_np(pthread_self(), "grpc_awake");
    // A channel without credentials is one on which every call fails locally.
    grpc::GenericStub stub(grpc::CreateCustomChannel("", nullptr, grpc::ChannelArguments()));
    std::unique_lock lock(mutex_);
    while (!stop.stop_requested()) {
      struct Call {
        grpc::ClientContext context;
        grpc::ByteBuffer request = to_buffer("");
        grpc::ByteBuffer response;
      } call;
      bool done = false;
      stub.UnaryCall(&call.context, "/", grpc::StubOptions(), &call.request, &call.response,
                     [this, &done](const grpc::Status&) {
                       const std::scoped_lock inner(mutex_);
                       done = true;
                       changed_.notify_all();
                     });
      changed_.wait(lock, [&done] { return done; });
      changed_.wait_for(lock, stop, std::chrono::milliseconds(250), [] { return false; });
    }
  }

  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::jthread thread_;
};

}  // namespace

void prepare_grpc() {
  static const bool log_installed = [] {
    gpr_set_log_function(log_grpc);
    grpc_init();
    return true;
  }();
  (void)log_installed;
  static const CallbackThreads threads;
}

}  // namespace vitrail::rpc::internal
