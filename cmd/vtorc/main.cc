#include <cstdio>

#include "base/log.h"
#include "base/metrics.h"
#include "base/signals.h"
#include "base/startup.h"
#include "control/web_access.h"
#include "net/loop.h"
#include "orc/orc.h"
#include "rpc/http.h"
#include "topo/flags.h"
#include "topo/process.h"

// vtorc: notices a dead or misconfigured primary and repairs it.
int main(int argc, char** argv) {
  using namespace vitrail;
  base::Settings settings("vtorc", "watches the tablets of all shards and replaces dead primaries");
  orc::OrcOptions options;
  topo::ServerOptions topology_options;
  rpc::HttpOptions http_options;
  topo::declare(settings, topology_options);
  orc::declare(settings, options);
  rpc::declare(settings, http_options);
  bool http_allow_insecure = false;
  settings.add("http_allow_insecure", &http_allow_insecure,
               "whoever reaches the HTTP port of another machine may switch recoveries on and off");
  settings.add_config_file();
  base::Startup startup(settings);
  if (const auto exit_code = startup.run(argc, argv)) return *exit_code;

  base::Metrics metrics("vtorc");
  base::block_termination_signals();
  net::LoopThread control("control");
  const auto refuse = [](const Error& error) {
    std::fprintf(stderr, "vtorc: %s\n", error.message().c_str());
    return 1;
  };
  auto topology = net::block_on(control.loop(), topo::Server::open(topology_options));
  if (!topology.ok()) return refuse(topology.error());
  http_options.program = "vtorc";
  http_options.metrics = &metrics;
  http_options.settings = &settings;
  orc::Orc orc(options, **topology, metrics);
  http_options.health = [&] { return orc.health(); };
  rpc::HttpServer http(http_options);
  orc.add_pages(http, {.http_host = http_options.host,
                       .asks_certificates = !http_options.tls.ca_file.empty(),
                       .grpc = {.allow_insecure = http_allow_insecure},
                       .remedy = "send them from this machine with --bind-address 127.0.0.1, or give vtorc "
                                 "--http-tls-ca, or --http-allow-insecure where the network keeps strangers out"});
  Status started = net::block_on(control.loop(), orc.start());
  if (started.ok()) started = http.start();
  int exit_code = 0;
  topo::Announcement announcement(
      **topology, {.program = "vtorc", .port = http.port(), .http_tls = !http_options.tls.certificate_file.empty()},
      http_options.host);
  if (started.ok()) {
    net::block_on(control.loop(), announcement.start());
    base::wait_for_termination_signal();
    log_info("stopping");
  } else {
    exit_code = refuse(started.error());
  }
  net::block_on(control.loop(), announcement.stop());
  http.stop();
  net::block_on(control.loop(), orc.stop());
  net::block_on(control.loop(), (*topology)->close());
  return exit_code;
}
