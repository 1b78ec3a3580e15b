#include <cstdio>

#include "base/startup.h"
#include "control/client/client.h"
#include "control/in_process.h"
#include "control/legacy/client.h"
#include "net/loop.h"
#include "rpc/security.h"
#include "topo/flags.h"

namespace vitrail {
namespace {

struct Options {
  std::string server;
  base::Duration action_timeout = std::chrono::hours(1);
  bool compact = false;
  topo::ServerOptions topology;
  rpc::ClientSecurity security;
  rpc::TlsOptions vtctld_tls;
  rpc::TlsOptions tablet_manager_tls;
  backup::StorageOptions backups;  // With --server internal.
};

constexpr const char* kLegacyCommand = "LegacyVtctlCommand";

// Runs the chosen command with the methods of a vtctld, or of this process (then without `channel`).
net::Task<Status> run(control::CommandSet& commands, const Options& options, control::ClientContext context,
                      rpc::Channel* channel, control::InProcessVtctld* here) {
  const auto& path = commands.root().command_path();
  if (!path.empty() && path[0] == kLegacyCommand) {
    if (channel != nullptr) {
      co_return co_await control::run_legacy_remotely(*channel, context.arguments, options.action_timeout);
    }
    co_return co_await control::run_legacy_here(here->tablets(), here->caller(), here->streams(), context.arguments,
                                                options.action_timeout);
  }
  CO_ASSIGN_OR_RETURN(const std::string output, co_await commands.run(context));
  std::fwrite(output.data(), 1, output.size(), stdout);
  co_return Status{};
}

// The topology of --topo_*, opened once.
net::Task<Result<topo::Server*>> open_topology(const topo::ServerOptions& options,
                                               std::unique_ptr<topo::Server>& topology) {
  if (topology == nullptr) {
    CO_ASSIGN_OR_RETURN(topology, co_await topo::Server::open(options));
  }
  co_return topology.get();
}
net::Task<Result<topo::Server*>> opened_topology(topo::Server& topology) { co_return &topology; }

net::Task<Status> run_remotely(control::CommandSet& commands, const Options& options, control::ClientContext context) {
  CO_ASSIGN_OR_RETURN(auto secured, rpc::channel_options(options.security, options.vtctld_tls));
  CO_ASSIGN_OR_RETURN(const auto channel, rpc::Channel::create(options.server, std::move(secured)));
  std::unique_ptr<topo::Server> topology;
  context.vtctld = rpc::caller_of(*channel);
  context.streams = control::streams_of(*channel);
  context.topology = [&] { return open_topology(options.topology, topology); };
  Status done = co_await run(commands, options, std::move(context), channel.get(), nullptr);
  if (topology != nullptr) co_await topology->close();
  co_return done;
}

net::Task<Status> run_internally(control::CommandSet& commands, const Options& options,
                                 control::ClientContext context) {
  CO_ASSIGN_OR_RETURN(auto tablets, rpc::channel_options(options.security, options.tablet_manager_tls));
  CO_ASSIGN_OR_RETURN(const auto here,
                      co_await control::InProcessVtctld::open(options.topology, std::move(tablets), options.backups));
  context.vtctld = here->caller();
  context.streams = here->streams();
  context.topology = [&here] { return opened_topology(here->topology()); };
  Status done = co_await run(commands, options, std::move(context), nullptr, here.get());
  co_await here->close();
  co_return done;
}

}  // namespace
}  // namespace vitrail

// vtctldclient: commands for the control plane. With --server internal the command runs in this process, directly on
// the topology.
int main(int argc, char** argv) {
  using namespace vitrail;
  base::Settings settings("vtctldclient", "commands for a Vitrail cluster");
  Options options;
  settings.add("server", &options.server, "host:port of a vtctld's gRPC service, or internal").required();
  settings.add("action_timeout", &options.action_timeout, "how long a command may take");
  settings.add("compact", &options.compact, "leave empty fields out of JSON");
  topo::declare(settings, options.topology);
  rpc::declare(settings, options.security);
  rpc::declare_tls(settings, "vtctld", options.vtctld_tls);
  rpc::declare_tls(settings, "tablet_manager", options.tablet_manager_tls);
  backup::declare(settings, options.backups);
  control::CommandSet commands(settings);
  commands.add(settings, kLegacyCommand, "runs a command of the older vtctlclient; its command help lists them", {})
      .arguments("<command> [-- <flags>] [<argument> ...]", 1, SIZE_MAX)
      .pass_through();
  base::Startup startup(settings, base::LogLevel::kError);
  if (const auto exit_code = startup.run(argc, argv)) return *exit_code;

  net::LoopThread loop("client");
  control::ClientContext context;
  context.action_timeout = options.action_timeout;
  context.compact = options.compact;
  context.arguments = settings.positional();
  context.show = [](std::string_view text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);  // What happens is seen when it happens.
  };
  const Status done =
      net::block_on(loop.loop(), options.server == "internal" ? run_internally(commands, options, std::move(context))
                                                              : run_remotely(commands, options, std::move(context)));
  if (done.ok()) return 0;
  std::fprintf(stderr, "vtctldclient: %s\n", done.error().to_string().c_str());
  return 1;
}
