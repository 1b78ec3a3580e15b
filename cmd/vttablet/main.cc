#include <cstdio>

#include "base/log.h"
#include "base/metrics.h"
#include "base/signals.h"
#include "base/startup.h"
#include "net/loop.h"
#include "rpc/http.h"
#include "tablet/tablet.h"
#include "topo/flags.h"

// vttablet: guards and serves one MySQL server, and moves rows to and from it.
int main(int argc, char** argv) {
  using namespace vitrail;
  base::Settings settings("vttablet", "serves one MySQL or MariaDB server as a tablet of a shard");
  tablet::Options options;
  topo::ServerOptions topology_options;
  rpc::HttpOptions http_options;
  tablet::declare(settings, options);
  topo::declare(settings, topology_options);
  rpc::declare(settings, http_options);
  settings.add_config_file();
  base::Startup startup(settings);
  if (const auto exit_code = startup.run(argc, argv)) return *exit_code;

  base::Metrics metrics("vttablet");
  base::block_termination_signals();
  net::LoopThread control("control");
  const auto refuse = [](const Error& error) {
    std::fprintf(stderr, "vttablet: %s\n", error.message().c_str());
    return 1;
  };
  auto topology = net::block_on(control.loop(), topo::Server::open(topology_options));
  if (!topology.ok()) return refuse(topology.error());
  tablet::Tablet tablet(options, http_options.port, **topology, metrics);
  http_options.program = "vttablet";
  http_options.metrics = &metrics;
  http_options.settings = &settings;
  http_options.health = [&] { return tablet.health(); };
  rpc::HttpServer http(http_options);
  tablet.add_pages(http);
  Status started = http.start();
  if (started.ok()) started = net::block_on(control.loop(), tablet.start());
  int exit_code = 0;
  if (started.ok()) {
    base::wait_for_termination_signal([&] { tablet.reload(); });
    log_info("stopping");
  } else {
    exit_code = refuse(started.error());
  }
  http.stop();
  net::block_on(control.loop(), tablet.stop());
  net::block_on(control.loop(), (*topology)->close());
  return exit_code;
}
