#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "query.pb.h"
#include "rpc/client.h"
#include "rpc/typed.h"
#include "topo/server.h"
#include "topo/tablet.h"

namespace vitrail::control {

// Calls the TabletManager methods of tablets. Threads: any loop.
class TabletClient {
 public:
  // `topology` must outlive it.
  explicit TabletClient(topo::Server& topology, rpc::ChannelOptions channel = {})
      : topology_(topology), channels_(std::move(channel), kChannelsMax) {}

  // "PrimaryPosition" ... The error says which tablet it came from.
  template <typename Response, typename Request>
  net::Task<Result<Response>> call(::topodata::Tablet tablet, std::string_view method, Request request,
                                   net::Wait wait) {
    return internal_call<Response>(*this, std::move(tablet),
                                   std::string("/tabletmanagerservice.TabletManager/").append(method),
                                   std::move(request), std::move(wait));
  }

  // The same for a method that answers with a stream: `take` gets each message, and ends it with an Error.
  template <typename Response, typename Request>
  net::Task<Status> stream(::topodata::Tablet tablet, std::string method, Request request,
                           std::function<net::Task<Status>(Response)> take, net::Wait wait) {
    const std::string address = topo::tablet_address(tablet, topo::kPortGrpc);
    CO_ASSIGN_OR_RETURN(const auto channel, channels_.get(address));
    auto messages =
        rpc::open_stream<Response>(*channel, "/tabletmanagerservice.TabletManager/" + method, request, wait.deadline);
    for (;;) {
      auto message = co_await messages.next(wait);
      if (!message.ok()) {
        co_return std::move(message).error().with_context("tablet " + topo::alias_to_string(tablet.alias()));
      }
      if (!message->has_value()) co_return Status{};
      CO_RETURN_IF_ERROR(co_await take(std::move(**message)));
    }
  }

  // The Tablet record of a shard's primary. kFailedPrecondition when the shard has none.
  net::Task<Result<::topodata::Tablet>> primary_of(std::string keyspace, std::string shard);

  // What the tablet says of its health just now: the first message of its health stream.
  net::Task<Result<::query::StreamHealthResponse>> health_of(::topodata::Tablet tablet, net::Wait wait);

  topo::Server& topology() { return topology_; }

 private:
  template <typename Response, typename Request>
  static net::Task<Result<Response>> internal_call(TabletClient& self, ::topodata::Tablet tablet, std::string method,
                                                   Request request, net::Wait wait) {
    const std::string address = topo::tablet_address(tablet, topo::kPortGrpc);
    CO_ASSIGN_OR_RETURN(const auto channel, self.channels_.get(address));
    auto response = co_await rpc::call<Response>(*channel, method, request, std::move(wait));
    if (!response.ok()) {
      co_return std::move(response).error().with_context("tablet " + topo::alias_to_string(tablet.alias()));
    }
    co_return std::move(response);
  }

  // Each step of a switch asks all primaries of its keyspaces: with fewer it would connect anew to each of them.
  static constexpr size_t kChannelsMax = 8'000;

  topo::Server& topology_;
  rpc::ChannelPool channels_;
};

}  // namespace vitrail::control
