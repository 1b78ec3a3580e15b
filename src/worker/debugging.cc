#include "worker/debugging.h"

#include <fmt/core.h>

namespace vitrail::worker {
namespace {

class Ping final : public Job {
 public:
  explicit Ping(std::string message) : message_(std::move(message)) {}
  net::Task<Status> run(JobContext& context) override {
    context.progress.set_state(State::kDebugging);
    context.progress.info(fmt::format("Ping command was called with message: '{}'.", message_));
    co_return Status{};
  }

 private:
  const std::string message_;
};

class Block final : public Job {
 public:
  net::Task<Status> run(JobContext& context) override {
    context.progress.set_state(State::kDebugging);
    context.progress.info("Block command was called and will block infinitely until the RPC context is canceled.");
    while (!context.cancel.cancelled()) (void)co_await net::sleep_for(std::chrono::hours(1), context.cancel);
    context.progress.info("Block command finished because the context is done.");
    co_return fail(Code::kCanceled, "command 'Block' was canceled");
  }
};

// The older generation's died and was caught. Here no job can take the worker with it: it ends in an error.
class Panic final : public Job {
 public:
  net::Task<Status> run(JobContext& context) override {
    context.progress.set_state(State::kDebugging);
    co_return fail(Code::kUnknown,
                   "uncaught vtworker panic: Panic command was called. This should be caught by the "
                   "vtworker framework and logged as an error.");
  }
};

}  // namespace

Result<std::unique_ptr<Job>> make_ping(JobSettings, std::string message) {
  return std::make_unique<Ping>(message.empty() ? "pong" : std::move(message));
}
Result<std::unique_ptr<Job>> make_block(JobSettings, std::string) { return std::make_unique<Block>(); }
Result<std::unique_ptr<Job>> make_panic(JobSettings, std::string) { return std::make_unique<Panic>(); }

}  // namespace vitrail::worker
