#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "net/loop.h"
#include "rpc/server.h"
#include "rpc/typed.h"
#include "tablet/tablet_manager.h"
#include "tabletmanagerdata.pb.h"
#include "topo/workflow_fence.h"

namespace vitrail::tablet {

// Operations of the control plane take what they take; without a deadline of the caller they still end.
inline net::Wait bounded(const rpc::CallContext& context) {
  net::Wait wait = context.wait();
  if (wait.deadline == base::TimePoint::max()) wait.deadline = base::system_clock().now() + std::chrono::minutes(10);
  return wait;
}

// Registers methods of /tabletmanagerservice.TabletManager for one manager.
class Registrar {
 public:
  Registrar(rpc::Server& server, net::Loop& loop, TabletManager& manager)
      : server_(server), loop_(loop), manager_(manager) {}

  // `handler`: a captureless coroutine (TabletManager&, CallContext, Request) -> Task<Result<Response>>.
  template <typename Request, typename Response, typename Handler>
  void unary(std::string_view name, Handler handler) {
    rpc::handle_unary<Request, Response>(
        server_, std::string("/tabletmanagerservice.TabletManager/").append(name), loop_,
        [manager = &manager_, handler](rpc::CallContext context, Request request) {
          return started<Response>(*manager, handler, std::move(context), std::move(request));
        });
  }
  // One that is answered also while the tablet starts.
  template <typename Request, typename Response, typename Handler>
  void unary_at_once(std::string_view name, Handler handler) {
    rpc::handle_unary<Request, Response>(server_, std::string("/tabletmanagerservice.TabletManager/").append(name),
                                         loop_,
                                         [manager = &manager_, handler](rpc::CallContext context, Request request) {
                                           return handler(*manager, std::move(context), std::move(request));
                                         });
  }

 private:
  template <typename Response, typename Handler, typename Request>
  static net::Task<Result<Response>> started(TabletManager& manager, Handler handler, rpc::CallContext context,
                                             Request request) {
    CO_RETURN_IF_ERROR(co_await manager.wait_started(bounded(context)));
    if (const auto fence = topo::find_fence(request)) {
      CO_RETURN_IF_ERROR(co_await topo::check_shard_fence(manager.topology(), manager.settings().keyspace,
                                                          manager.settings().shard, *fence));
    }
    co_return co_await handler(manager, std::move(context), std::move(request));
  }

  rpc::Server& server_;
  net::Loop& loop_;
  TabletManager& manager_;
};

void register_sql_rpcs(Registrar& registrar);
void register_replication_rpcs(Registrar& registrar);
void register_backup_rpcs(rpc::Server& server, net::Loop& loop, TabletManager& manager);

}  // namespace vitrail::tablet
