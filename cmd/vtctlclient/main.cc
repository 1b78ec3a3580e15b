#include <cstdio>

#include "base/startup.h"
#include "control/legacy/client.h"
#include "net/loop.h"
#include "rpc/security.h"

// vtctlclient: commands of the older generation, run by a vtctld.
int main(int argc, char** argv) {
  using namespace vitrail;
  base::Settings settings("vtctlclient", "older commands for a Vitrail cluster; the command help lists them");
  std::string server;
  base::Duration action_timeout = std::chrono::hours(1);
  settings.add("server", &server, "host:port of a vtctld's gRPC service").required();
  settings.add("action_timeout", &action_timeout, "how long a command may take");
  rpc::ClientSecurity security;
  rpc::TlsOptions tls;
  rpc::declare(settings, security);
  rpc::declare_tls(settings, "vtctld", tls);
  settings.arguments("<command> [-- <flags>] [<argument> ...]", 1, SIZE_MAX).pass_through();
  base::Startup startup(settings, base::LogLevel::kError);
  if (const auto exit_code = startup.run(argc, argv)) return *exit_code;

  net::LoopThread loop("client");
  auto secured = rpc::channel_options(security, tls);
  auto channel = secured.ok() ? rpc::Channel::create(server, std::move(*secured))
                              : Result<std::shared_ptr<rpc::Channel>>(secured.error());
  Status done =
      channel.ok()
          ? net::block_on(loop.loop(), control::run_legacy_remotely(**channel, settings.positional(), action_timeout))
          : Status(channel.error());
  if (done.ok()) return 0;
  std::fprintf(stderr, "vtctlclient: %s: %s\n", settings.positional()[0].c_str(), done.error().message().c_str());
  return 1;
}
