#include <cstdio>

#include "base/log.h"
#include "base/metrics.h"
#include "base/startup.h"
#include "control/client/client.h"
#include "control/vtctld.h"
#include "net/loop.h"
#include "rpc/security.h"
#include "topo/flags.h"

namespace {

// The topology of --topo_*, opened once.
vitrail::net::Task<vitrail::Result<vitrail::topo::Server*>> open_topology(
    const vitrail::topo::ServerOptions& options, std::unique_ptr<vitrail::topo::Server>& topology) {
  if (topology == nullptr) {
    CO_ASSIGN_OR_RETURN(topology, co_await vitrail::topo::Server::open(options));
  }
  co_return topology.get();
}

}  // namespace

// vtctldclient: commands for the control plane. With --server internal the command runs in this process, directly on
// the topology.
int main(int argc, char** argv) {
  using namespace vitrail;
  base::Settings settings("vtctldclient", "commands for a Vitrail cluster");
  std::string server;
  base::Duration action_timeout = std::chrono::hours(1);
  bool compact = false;
  topo::ServerOptions topology_options;
  settings.add("server", &server, "host:port of a vtctld's gRPC service, or internal").required();
  settings.add("action_timeout", &action_timeout, "how long a command may take");
  settings.add("compact", &compact, "leave empty fields out of JSON");
  topo::declare(settings, topology_options);
  rpc::ClientSecurity security;
  rpc::TlsOptions vtctld_tls;
  rpc::TlsOptions tablet_manager_tls;
  rpc::declare(settings, security);
  rpc::declare_tls(settings, "vtctld", vtctld_tls);
  rpc::declare_tls(settings, "tablet_manager", tablet_manager_tls);
  control::CommandSet commands(settings);
  base::Startup startup(settings);
  if (const auto exit_code = startup.run(argc, argv)) return *exit_code;

  net::LoopThread loop("client");
  const auto fail_with = [](const Error& error) {
    std::fprintf(stderr, "vtctldclient: %s\n", error.to_string().c_str());
    return 1;
  };
  std::unique_ptr<topo::Server> topology;
  std::unique_ptr<base::Metrics> metrics;
  std::unique_ptr<control::TabletClient> tablets;
  std::unique_ptr<rpc::Server> internal;
  if (server == "internal") {
    auto opened = net::block_on(loop.loop(), open_topology(topology_options, topology));
    if (!opened.ok()) return fail_with(opened.error());
    topology = std::move(*opened);
    auto tablet_channel = rpc::channel_options(security, tablet_manager_tls);
    if (!tablet_channel.ok()) return fail_with(tablet_channel.error());
    tablets = std::make_unique<control::TabletClient>(*topology, std::move(*tablet_channel));
    internal = std::make_unique<rpc::Server>(rpc::ServerOptions{});
    control::register_vtctld_handlers(*internal, loop.loop(), *tablets);
    if (Status started = internal->start(); !started.ok()) return fail_with(started.error());
    server = "127.0.0.1:" + std::to_string(internal->port());
  }
  int exit_code = 0;
  {
    auto channel_options = rpc::channel_options(security, internal == nullptr ? vtctld_tls : rpc::TlsOptions());
    if (!channel_options.ok()) return fail_with(channel_options.error());
    auto channel = rpc::Channel::create(server, std::move(*channel_options));
    if (!channel.ok()) return fail_with(channel.error());
    control::ClientContext context{**channel, action_timeout, compact, settings.positional()};
    context.topology = [&] { return open_topology(topology_options, topology); };
    auto output = net::block_on(loop.loop(), commands.run(context));
    if (output.ok()) {
      std::fwrite(output->data(), 1, output->size(), stdout);
    } else {
      exit_code = fail_with(output.error());
    }
  }
  if (internal != nullptr) net::block_on(loop.loop(), internal->stop(std::chrono::seconds(1)));
  if (topology != nullptr) net::block_on(loop.loop(), topology->close());
  return exit_code;
}
