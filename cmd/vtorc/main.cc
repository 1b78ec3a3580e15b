#include <cstdio>

#include "base/log.h"
#include "base/metrics.h"
#include "base/signals.h"
#include "base/startup.h"
#include "net/loop.h"
#include "orc/orc.h"
#include "rpc/http.h"
#include "topo/flags.h"

// vtorc: notices a dead or misconfigured primary and repairs it.
int main(int argc, char** argv) {
  using namespace vitrail;
  base::Settings settings("vtorc", "watches the tablets of all shards and replaces dead primaries");
  orc::OrcOptions options;
  topo::ServerOptions topology_options;
  rpc::HttpOptions http_options;
  topo::declare(settings, topology_options);
  orc::declare(settings, options);
  settings.add("port", &http_options.port, "port of the API and the debug pages");
  settings.add("bind_address", &http_options.host, "address of the API and the debug pages");
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
  orc.add_pages(http);
  Status started = net::block_on(control.loop(), orc.start());
  if (started.ok()) started = http.start();
  int exit_code = 0;
  if (started.ok()) {
    base::wait_for_termination_signal();
    log_info("stopping");
  } else {
    exit_code = refuse(started.error());
  }
  http.stop();
  net::block_on(control.loop(), orc.stop());
  net::block_on(control.loop(), (*topology)->close());
  return exit_code;
}
