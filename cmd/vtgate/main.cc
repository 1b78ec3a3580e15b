#include <fmt/core.h>
#include <unistd.h>

#include <array>
#include <cstdio>

#include "base/log.h"
#include "base/metrics.h"
#include "base/signals.h"
#include "base/startup.h"
#include "gate/gate.h"
#include "gate/older_errors.h"
#include "gate/pages.h"
#include "net/loop.h"
#include "rpc/http.h"
#include "rpc/security.h"
#include "topo/flags.h"
#include "topo/process.h"

// vtgate: routes the statements of MySQL clients to the shards.
int main(int argc, char** argv) {
  using namespace vitrail;
  base::Settings settings("vtgate", "routes the statements of MySQL clients to the shards that hold their rows");
  gate::Options options;
  topo::ServerOptions topology_options;
  rpc::HttpOptions http_options;
  gate::declare(settings, options);
  topo::declare(settings, topology_options);
  rpc::ClientSecurity grpc_client;
  rpc::TlsOptions tablet_tls;
  rpc::declare(settings, grpc_client, &options.grpc_security);
  rpc::declare_tls(settings, "tablet", tablet_tls);
  rpc::declare(settings, http_options);
  settings.add_config_file();
  base::Startup startup(settings);
  if (const auto exit_code = startup.run(argc, argv)) return *exit_code;

  base::Metrics metrics("vtgate");
  base::block_termination_signals();
  net::LoopThread control("control");
  auto topology = net::block_on(control.loop(), topo::Server::open(topology_options));
  if (!topology.ok()) {
    std::fprintf(stderr, "vtgate: %s\n", topology.error().message().c_str());
    return 1;
  }
  grpc_client.message_size_max = options.grpc_security.message_size_max;
  auto tablet_channel = rpc::channel_options(grpc_client, tablet_tls);
  if (!tablet_channel.ok()) {
    std::fprintf(stderr, "vtgate: %s\n", tablet_channel.error().message().c_str());
    return 1;
  }
  options.discovery.tablets = std::move(*tablet_channel);
  std::array<char, 256> host{};
  if (gethostname(host.data(), host.size() - 1) != 0) host[0] = '?';
  gate::set_own_url(fmt::format("http://{}:{}/", host.data(), http_options.port));
  if (options.auth == "none") gate::set_anonymous_caller("userData1");  // As that setting always called everybody.
  gate::Gate router(options, **topology, metrics);
  if (Status started = net::block_on(control.loop(), router.start()); !started.ok()) {
    std::fprintf(stderr, "vtgate: %s\n", started.error().message().c_str());
    return 1;
  }
  http_options.program = "vtgate";
  http_options.metrics = &metrics;
  http_options.settings = &settings;
  rpc::HttpServer http(http_options);
  gate::add_pages(http, router);
  if (Status started = http.start(); !started.ok()) {
    std::fprintf(stderr, "vtgate: %s\n", started.error().message().c_str());
    net::block_on(control.loop(), router.stop());
    return 1;
  }
  topo::Announcement announcement(**topology,
                                  {.program = "vtgate",
                                   .port = http.port(),
                                   .http_tls = !http_options.tls.certificate_file.empty(),
                                   .cell = options.serving.cell},
                                  http_options.host);
  net::block_on(control.loop(), announcement.start());
  log_info("vtgate serves MySQL clients on port {}", router.mysql_port());
  base::wait_for_termination_signal([&] { router.reload(); });
  log_info("stopping");
  net::block_on(control.loop(), announcement.stop());
  http.stop();
  net::block_on(control.loop(), router.stop());
  net::block_on(control.loop(), (*topology)->close());
  return 0;
}
