#include "mysqlctl/client.h"

#include "mysqlctl.pb.h"
#include "net/loop.h"
#include "rpc/client.h"
#include "rpc/typed.h"

namespace vitrail::mysqlctl {
namespace {

using namespace std::chrono_literals;

template <typename Response>
Status ask(const std::string& socket, const std::string& method, const google::protobuf::MessageLite& request,
           base::Duration timeout) {
  net::LoopThread thread("mysqlctl");
  ASSIGN_OR_RETURN(const auto channel, rpc::Channel::create("unix:" + socket));
  auto done = net::block_on(thread.loop(), rpc::call<Response>(*channel, "/mysqlctl.MysqlCtl/" + method, request,
                                                               net::Wait::within(timeout)));
  if (!done.ok()) return std::move(done).error().with_context("mysqlctld at " + socket);
  return {};
}

}  // namespace

Status ask_start(const std::string& socket, base::Duration timeout) {
  return ask<::mysqlctl::StartResponse>(socket, "Start", ::mysqlctl::StartRequest(), timeout);
}

Status ask_shutdown(const std::string& socket, base::Duration patience) {
  ::mysqlctl::ShutdownRequest request;
  request.set_wait_for_mysqld(true);
  request.mutable_mysql_shutdown_timeout()->set_seconds(
      std::chrono::duration_cast<std::chrono::seconds>(patience).count());
  return ask<::mysqlctl::ShutdownResponse>(socket, "Shutdown", request, patience + 1min);
}

}  // namespace vitrail::mysqlctl
