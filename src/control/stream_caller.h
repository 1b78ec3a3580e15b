#pragma once

#include <functional>
#include <string>

#include "base/result.h"
#include "net/cancel.h"
#include "net/task.h"

namespace vitrail::rpc {
class Channel;
class Server;
}  // namespace vitrail::rpc

namespace vitrail::control {

// As rpc::Caller, for methods that answer with a stream: `take` gets each message.
using StreamCaller = std::function<net::Task<Status>(
    std::string method, std::string request, std::function<void(const std::string& message)> take, net::Wait wait)>;

// What they are made from outlives the calls.
StreamCaller streams_of(rpc::Channel& channel);
StreamCaller streams_of(rpc::Server& server);

}  // namespace vitrail::control
