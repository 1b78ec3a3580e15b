#include "control/workflow_tools.h"

#include "rpc/typed.h"
#include "vtworkerdata.pb.h"

namespace vitrail::control {
namespace {

using namespace std::chrono_literals;

constexpr auto kCommandTimeout = 24h;  // A copy takes what it takes; WorkflowStop ends it.

net::Task<Status> hear(const manager::Say& say, net::CancelToken cancel, std::string text) {
  if (cancel.cancelled()) co_return fail(Code::kCanceled, "the workflow does not go on here");
  say(text);
  co_return Status{};
}

}  // namespace

net::Task<Status> WorkflowTools::run(manager::Words words, manager::Say say, net::CancelToken cancel) {
  // Every call of the command ends with the task.
  const rpc::Caller vtctld = server_.in_process();
  const StreamCaller streams = streams_of(server_);
  const LegacyEnvironment environment{
      .tablets = tablets_,
      .vtctld =
          [vtctld, cancel](std::string method, std::string request, net::Wait wait) {
            wait.cancel = cancel;
            return vtctld(std::move(method), std::move(request), std::move(wait));
          },
      .action_timeout = kCommandTimeout,
      .report = [&say, cancel](LegacyLevel, std::string text) { return hear(say, cancel, std::move(text)); },
      .streams =
          [streams, cancel](std::string method, std::string request, std::function<void(const std::string&)> take,
                            net::Wait wait) {
            wait.cancel = cancel;
            return streams(std::move(method), std::move(request), std::move(take), std::move(wait));
          },
      .cancel = cancel};
  co_return co_await run_legacy_command(environment, std::move(words));
}

net::Task<Status> WorkflowTools::run_on_vtworker(std::string address, manager::Words words, manager::Say say,
                                                 net::CancelToken cancel) {
  CO_ASSIGN_OR_RETURN(const auto channel, vtworkers_.get(address));
  ::vtworkerdata::ExecuteVtworkerCommandRequest request;
  for (auto& word : words) request.add_args(std::move(word));
  const auto wait = net::Wait::within(kCommandTimeout, cancel);
  auto stream = rpc::open_stream<::vtworkerdata::ExecuteVtworkerCommandResponse>(
      *channel, "/vtworkerservice.Vtworker/ExecuteVtworkerCommand", request, wait.deadline);
  for (;;) {
    auto next = co_await stream.next(wait);
    if (!next.ok()) co_return std::move(next).error().with_context("vtworker " + address);
    if (!next->has_value()) co_return Status{};
    say((*next)->event().value());
  }
}

}  // namespace vitrail::control
