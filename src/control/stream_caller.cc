#include "control/stream_caller.h"

#include "rpc/client.h"
#include "rpc/server.h"

namespace vitrail::control {
namespace {

net::Task<Status> read_stream(rpc::Channel& channel, std::string method, std::string request,
                              std::function<void(const std::string& message)> take, net::Wait wait) {
  auto stream = channel.open_stream(std::move(method), std::move(request), wait.deadline);
  for (;;) {
    CO_ASSIGN_OR_RETURN(const auto message, co_await stream.next(wait));
    if (!message) co_return Status{};
    take(*message);
  }
}

}  // namespace

StreamCaller streams_of(rpc::Channel& channel) {
  return [&channel](std::string method, std::string request, std::function<void(const std::string&)> take,
                    net::Wait wait) {
    return read_stream(channel, std::move(method), std::move(request), std::move(take), std::move(wait));
  };
}

StreamCaller streams_of(rpc::Server& server) {
  return
      [&server](std::string method, std::string request, std::function<void(const std::string&)> take, net::Wait wait) {
        return server.stream_local(std::move(method), std::move(request), std::move(take), std::move(wait));
      };
}

}  // namespace vitrail::control
