#include <cstdio>

#include "base/startup.h"
#include "control/client/tablet_text.h"
#include "net/loop.h"
#include "rpc/security.h"
#include "rpc/typed.h"
#include "vtworkerdata.pb.h"

namespace {

using namespace vitrail;

// Log lines go to standard error as they come, console output to standard output.
net::Task<Status> run(rpc::Channel& channel, std::vector<std::string> words, base::Duration timeout) {
  ::vtworkerdata::ExecuteVtworkerCommandRequest request;
  for (auto& word : words) request.add_args(std::move(word));
  const base::TimePoint deadline = base::system_clock().now() + timeout;
  auto stream = rpc::open_stream<::vtworkerdata::ExecuteVtworkerCommandResponse>(
      channel, "/vtworkerservice.Vtworker/ExecuteVtworkerCommand", request, deadline);
  for (;;) {
    CO_ASSIGN_OR_RETURN(const auto next, co_await stream.next(net::Wait::until(deadline)));
    if (!next) co_return Status{};
    const bool console = next->event().level() == ::logutil::CONSOLE;
    const std::string text = console ? next->event().value() : control::event_line(next->event());
    std::fwrite(text.data(), 1, text.size(), console ? stdout : stderr);
    std::fflush(stdout);
  }
}

}  // namespace

// vtworkerclient: has a vtworker run a command, and shows what that says.
int main(int argc, char** argv) {
  base::Settings settings("vtworkerclient", "runs a command on a vtworker; the command help lists them");
  std::string server;
  base::Duration timeout = std::chrono::hours(24 * 30);
  settings.add("server", &server, "host:port of a vtworker's gRPC service").required();
  settings.add("vtworker_client_timeout", &timeout, "how long a command may take").alias("action_timeout");
  rpc::ClientSecurity security;
  rpc::TlsOptions tls;
  rpc::declare(settings, security);
  rpc::declare_tls(settings, "vtworker_client", tls);
  settings.arguments("<command> [-- <flags>] [<argument>]", 1, SIZE_MAX).pass_through();
  base::Startup startup(settings, base::LogLevel::kError);
  if (const auto exit_code = startup.run(argc, argv)) return *exit_code;

  net::LoopThread loop("client");
  auto secured = rpc::channel_options(security, tls);
  auto channel = secured.ok() ? rpc::Channel::create(server, std::move(*secured))
                              : Result<std::shared_ptr<rpc::Channel>>(secured.error());
  Status done = channel.ok() ? net::block_on(loop.loop(), run(**channel, settings.positional(), timeout))
                             : Status(channel.error());
  if (done.ok()) return 0;
  std::fprintf(stderr, "vtworkerclient: %s: %s\n", settings.positional()[0].c_str(), done.error().message().c_str());
  return 1;
}
