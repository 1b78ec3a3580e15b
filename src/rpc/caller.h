#pragma once

#include <functional>
#include <string>

#include "base/result.h"
#include "net/cancel.h"
#include "net/task.h"

namespace vitrail::rpc {

// Whatever runs unary methods: a Channel to a server, or a Server of this process (Server::in_process). What it was
// made from must outlive the calls.
using Caller = std::function<net::Task<Result<std::string>>(std::string method, std::string request, net::Wait wait)>;

}  // namespace vitrail::rpc
