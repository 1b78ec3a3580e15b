#pragma once

#include <string>
#include <string_view>

#include "control/tablet_client.h"
#include "net/loop.h"
#include "rpc/server.h"
#include "rpc/typed.h"

namespace vitrail::backup {
struct StorageOptions;
}

namespace vitrail::control {

// Registers methods of /vtctlservice.Vtctld. Handlers are captureless coroutines
// (TabletClient&, Request) -> Task<Result<Response>>, or plain functions returning one.
class Registrar {
 public:
  Registrar(rpc::Server& server, net::Loop& loop, TabletClient& tablets)
      : server_(server), loop_(loop), tablets_(tablets) {}

  template <typename Request, typename Response, typename Handler>
  void unary(std::string_view name, Handler handler) {
    rpc::handle_unary<Request, Response>(server_, std::string("/vtctlservice.Vtctld/").append(name), loop_,
                                         [tablets = &tablets_, handler](rpc::CallContext, Request request) {
                                           return handler(*tablets, std::move(request));
                                         });
  }
  // (TabletClient&, CallContext, Request, TypedWriter<Response>) -> Task<Status>
  template <typename Request, typename Response, typename Handler>
  void stream(std::string_view name, Handler handler) {
    rpc::handle_server_stream<Request, Response>(
        server_, std::string("/vtctlservice.Vtctld/").append(name), loop_,
        [tablets = &tablets_, handler](rpc::CallContext context, Request request, rpc::TypedWriter<Response> writer) {
          return handler(*tablets, std::move(context), std::move(request), writer);
        });
  }

 private:
  rpc::Server& server_;
  net::Loop& loop_;
  TabletClient& tablets_;
};

void register_cell_methods(Registrar& registrar);
void register_keyspace_methods(Registrar& registrar);
void register_shard_methods(Registrar& registrar);
void register_path_methods(Registrar& registrar);
void register_vschema_methods(Registrar& registrar);
void register_tablet_methods(Registrar& registrar);
void register_reparent_methods(Registrar& registrar);
void register_schema_methods(Registrar& registrar);
void register_validate_methods(Registrar& registrar);
void register_workflow_methods(Registrar& registrar);
void register_lookup_methods(Registrar& registrar);
void register_mount_methods(Registrar& registrar);
void register_throttler_methods(Registrar& registrar);
void register_backup_methods(Registrar& registrar, const backup::StorageOptions& storage);

}  // namespace vitrail::control
