#include <cstdio>

#include "base/startup.h"
#include "control/in_process.h"
#include "control/legacy/client.h"
#include "net/loop.h"
#include "rpc/security.h"
#include "topo/flags.h"

// vtctl: commands of the older generation, run in this process directly on the topology.
int main(int argc, char** argv) {
  using namespace vitrail;
  base::Settings settings("vtctl", "older commands, directly on the topology; the command help lists them");
  base::Duration action_timeout = std::chrono::hours(1);
  topo::ServerOptions topology_options;
  topo::declare(settings, topology_options);
  settings.add("action_timeout", &action_timeout, "how long a command may take").alias("wait-time");
  settings.arguments("<command> [-- <flags>] [<argument> ...]", 1, SIZE_MAX).pass_through();
  rpc::ClientSecurity security;
  rpc::TlsOptions tls;
  rpc::declare(settings, security);
  rpc::declare_tls(settings, "tablet_manager", tls);
  backup::StorageOptions backups;
  backup::declare(settings, backups);
  base::Startup startup(settings, base::LogLevel::kError);
  if (const auto exit_code = startup.run(argc, argv)) return *exit_code;

  net::LoopThread loop("client");
  auto tablets = rpc::channel_options(security, tls);
  if (!tablets.ok()) {
    std::fprintf(stderr, "vtctl: %s\n", tablets.error().message().c_str());
    return 1;
  }
  auto vtctld =
      net::block_on(loop.loop(), control::InProcessVtctld::open(topology_options, std::move(*tablets), backups));
  Status done;
  if (vtctld.ok()) {
    done = net::block_on(loop.loop(),
                         control::run_legacy_here((*vtctld)->tablets(), (*vtctld)->caller(), (*vtctld)->streams(),
                                                  settings.positional(), action_timeout));
    net::block_on(loop.loop(), (*vtctld)->close());
  } else {
    done = vtctld.error();
  }
  if (done.ok()) return 0;
  std::fprintf(stderr, "vtctl: %s: %s\n", settings.positional()[0].c_str(), done.error().message().c_str());
  return 1;
}
