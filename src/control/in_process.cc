#include "control/in_process.h"

#include "control/vtctld.h"

namespace vitrail::control {

InProcessVtctld::InProcessVtctld(std::unique_ptr<topo::Server> topology, rpc::ChannelOptions tablets,
                                 const backup::StorageOptions& backups)
    : topology_(std::move(topology)), tablets_(*topology_, std::move(tablets)), methods_(rpc::ServerOptions{}) {
  register_vtctld_handlers(methods_, *net::Loop::current(), tablets_, backups);
}

net::Task<Result<std::unique_ptr<InProcessVtctld>>> InProcessVtctld::open(topo::ServerOptions options,
                                                                          rpc::ChannelOptions tablets,
                                                                          backup::StorageOptions backups) {
  CO_ASSIGN_OR_RETURN(auto topology, co_await topo::Server::open(std::move(options)));
  co_return std::unique_ptr<InProcessVtctld>(new InProcessVtctld(std::move(topology), std::move(tablets), backups));
}

net::Task<void> InProcessVtctld::close() { co_await topology_->close(); }

}  // namespace vitrail::control
