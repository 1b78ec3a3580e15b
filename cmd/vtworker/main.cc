#include <fmt/core.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <thread>

#include "base/log.h"
#include "base/metrics.h"
#include "base/signals.h"
#include "base/startup.h"
#include "control/client/tablet_text.h"
#include "net/loop.h"
#include "rpc/http.h"
#include "rpc/security.h"
#include "topo/flags.h"
#include "topo/process.h"
#include "worker/instance.h"
#include "worker/pages.h"

namespace {

using namespace vitrail;

net::Task<Status> print(::logutil::Event event) {
  const bool console = event.level() == ::logutil::CONSOLE;
  const std::string line = console ? event.value() : control::event_line(event);
  std::fwrite(line.data(), 1, line.size(), console ? stdout : stderr);
  co_return Status{};
}

// A job of the command line; a signal cancels it, and it gives back what it has taken.
Status run_job(net::Loop& loop, worker::Instance& instance, std::vector<std::string> words) {
  std::atomic<bool> signalled = false;
  std::thread signals([&] {
    base::wait_for_termination_signal();
    signalled = true;
    auto cancel = [](worker::Instance& worker) -> net::Task<void> {
      worker.cancel();
      co_return;
    };
    net::block_on(loop, cancel(instance));
  });
  Status done = net::block_on(loop, instance.execute(std::move(words), print, {}));
  if (!signalled) ::kill(::getpid(), SIGTERM);  // Ends the thread's wait.
  signals.join();
  return done;
}

}  // namespace

// vtworker: clones and comparisons of the older generation.
int main(int argc, char** argv) {
  base::Settings settings("vtworker",
                          "runs the older generation's clones and comparisons, one job at a time; without "
                          "a command it waits for vtworkerclient and its pages");
  worker::WorkerOptions options;
  topo::ServerOptions topology_options;
  rpc::HttpOptions http_options;
  std::string grpc_host = "127.0.0.1";
  uint16_t grpc_port = 0;
  rpc::ServerSecurity server_security;
  rpc::ClientSecurity client_security;
  rpc::TlsOptions tls;
  topo::declare(settings, topology_options);
  worker::declare(settings, options);
  rpc::declare(settings, http_options);
  settings.add("grpc_port", &grpc_port, "port of the gRPC service");
  settings.add("grpc_bind_address", &grpc_host, "address of the gRPC service");
  rpc::declare(settings, server_security);
  rpc::declare(settings, client_security, &server_security);
  rpc::declare_tls(settings, "tablet_manager", tls);
  settings.arguments("[<command> [<flags>] [<argument>]]", 0, SIZE_MAX).pass_through();
  settings.add_config_file();
  base::Startup startup(settings);
  if (const auto exit_code = startup.run(argc, argv)) return *exit_code;

  base::Metrics metrics("vtworker");
  base::block_termination_signals();
  net::LoopThread control("control");
  const auto refuse = [](const Error& error) {
    std::fprintf(stderr, "vtworker: %s\n", error.message().c_str());
    return 1;
  };
  client_security.message_size_max = server_security.message_size_max;
  auto channel = rpc::channel_options(client_security, tls);
  if (!channel.ok()) return refuse(channel.error());
  auto topology = net::block_on(control.loop(), topo::Server::open(topology_options));
  if (!topology.ok()) return refuse(topology.error());
  control::TabletClient tablets(**topology, *channel);
  rpc::ChannelPool channels(std::move(*channel));

  rpc::ServerOptions grpc_options;
  grpc_options.host = grpc_host;
  grpc_options.port = grpc_port;
  grpc_options.metrics = &metrics;
  http_options.program = "vtworker";
  http_options.metrics = &metrics;
  http_options.settings = &settings;
  std::array<char, 256> host{};
  if (gethostname(host.data(), host.size() - 1) != 0) host[0] = '?';
  options.url = fmt::format("http://{}:{}/", host.data(), http_options.port);
  worker::Instance instance(options, tablets, channels);
  const std::vector<std::string> command = settings.positional();
  rpc::HttpServer http(http_options);
  Status started = rpc::secure(server_security, grpc_options);
  worker::add_pages(http, control.loop(), instance,
                    {.http_host = http_options.host,
                     .asks_certificates = !http_options.tls.ca_file.empty(),
                     .grpc = server_security,
                     .authenticate = grpc_options.authenticate,
                     .remedy = "use vtworkerclient, or give vtworker --grpc-auth-mode, or --http-tls-ca, or "
                               "--grpc-allow-insecure where the network keeps strangers out"});
  auto grpc = std::make_unique<rpc::Server>(std::move(grpc_options));
  instance.register_method(*grpc, control.loop());
  // A job of the command line needs no ports.
  const bool listens = command.empty() || grpc_port != 0;
  if (started.ok() && listens) started = grpc->start();
  if (started.ok() && (command.empty() || http_options.port != 0)) started = http.start();
  int exit_code = 0;
  if (!started.ok()) {
    exit_code = refuse(started.error());
  } else if (command.empty()) {
    topo::Announcement announcement(
        **topology,
        {.program = "vtworker", .port = http.port(), .http_tls = !http_options.tls.certificate_file.empty()},
        http_options.host);
    net::block_on(control.loop(), announcement.start());
    base::wait_for_termination_signal();
    log_info("stopping");
    net::block_on(control.loop(), announcement.stop());
  } else if (Status done = run_job(control.loop(), instance, command); !done.ok()) {
    std::fprintf(stderr, "vtworker: %s: %s\n", command[0].c_str(), done.error().message().c_str());
    exit_code = 1;
  }
  http.stop();
  net::block_on(control.loop(), instance.stop());
  auto stop = [](rpc::Server& server) -> net::Task<void> { co_await server.stop(std::chrono::seconds(1)); };
  if (listens && started.ok()) net::block_on(control.loop(), stop(*grpc));
  net::block_on(control.loop(), (*topology)->close());
  return exit_code;
}
