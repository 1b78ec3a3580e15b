#include "control/states/methods.h"

#include "control/caller_name.h"
#include "control/states/runner.h"
#include "rpc/typed.h"

namespace vitrail::control::states {

namespace sw = ::shardingworkflow;

void register_methods(rpc::Server& server, net::Loop& loop, TabletClient& tablets) {
  const auto runner = std::make_shared<Runner>(Plane{.vtctld = server.in_process(), .tablets = tablets});
  rpc::handle_unary<sw::CreateRequest, sw::Record>(server, "/vtctlservice.Vtctld/ShardingWorkflowCreate", loop,
                                                   [runner](rpc::CallContext context, sw::CreateRequest q) {
                                                     return runner->create(std::move(*q.mutable_record()),
                                                                           caller_of(context, q.who()));
                                                   });
  rpc::handle_unary<sw::ActRequest, sw::Record>(server, "/vtctlservice.Vtctld/ShardingWorkflowAct", loop,
                                                [runner](rpc::CallContext context, sw::ActRequest q) {
                                                  q.set_who(caller_of(context, q.who()));
                                                  return runner->act(std::move(q));
                                                });
  rpc::handle_unary<sw::ShowRequest, sw::View>(
      server, "/vtctlservice.Vtctld/ShardingWorkflowShow", loop,
      [runner](rpc::CallContext, sw::ShowRequest q) { return runner->show(q.branch(), q.name()); });
  rpc::handle_unary<sw::ListRequest, sw::ListResponse>(
      server, "/vtctlservice.Vtctld/ShardingWorkflowList", loop,
      [runner](rpc::CallContext, sw::ListRequest q) { return runner->list(q.branch()); });
}

}  // namespace vitrail::control::states
