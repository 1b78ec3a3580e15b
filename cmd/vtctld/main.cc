#include <csignal>
#include <cstdio>

#include "base/log.h"
#include "base/metrics.h"
#include "base/signals.h"
#include "base/startup.h"
#include "control/http_client.h"
#include "control/vtctld.h"
#include "control/web_api.h"
#include "control/web_site.h"
#include "control/workflow/engine/runner.h"
#include "net/loop.h"
#include "rpc/http.h"
#include "topo/flags.h"
#include "topo/process.h"

// vtctld: the control plane.
int main(int argc, char** argv) {
  using namespace vitrail;
  base::Settings settings("vtctld", "the control plane: cells, keyspaces, shards, schemas and workflows");
  control::VtctldOptions options;
  topo::ServerOptions topology_options;
  rpc::HttpOptions http_options;
  std::string crash_point;
  std::string stop_point;
  topo::declare(settings, topology_options);
  control::declare(settings, options);
  rpc::declare(settings, http_options);
  control::HttpClientOptions http_client;
  control::declare(settings, http_client);
  settings
      .add("test_crash_at_step", &crash_point,
           "for tests: the process kills itself when this step of an operation was noted")
      .hidden();
  settings
      .add("test_stop_at_step", &stop_point,
           "for tests: the process stops itself (SIGSTOP) when this step of an operation was noted for the first time")
      .hidden();
  settings.add_config_file();
  base::Startup startup(settings);
  if (const auto exit_code = startup.run(argc, argv)) return *exit_code;
  control::engine::set_test_point(crash_point.empty() ? stop_point : crash_point,
                                  crash_point.empty() ? SIGSTOP : SIGKILL);

  base::Metrics metrics("vtctld");
  base::block_termination_signals();
  net::LoopThread control("control");
  const auto refuse = [](const Error& error) {
    std::fprintf(stderr, "vtctld: %s\n", error.message().c_str());
    return 1;
  };
  if (Status usable = control::set_http_client(http_client); !usable.ok()) return refuse(usable.error());
  auto topology = net::block_on(control.loop(), topo::Server::open(topology_options));
  if (!topology.ok()) return refuse(topology.error());
  http_options.program = "vtctld";
  http_options.metrics = &metrics;
  http_options.settings = &settings;
  rpc::HttpServer http(http_options);
  control::Vtctld vtctld(options, **topology, metrics);
  control::WebApi api(vtctld, control.loop(),
                      {.cell = options.cell,
                       .http_host = http_options.host,
                       .http_asks_certificates = !http_options.tls.ca_file.empty(),
                       .grpc_security = options.grpc_security});
  const control::WebSite site(control::built_web_files());
  site.register_pages(http);
  Status started = api.register_pages(http);
  if (started.ok()) started = net::block_on(control.loop(), vtctld.start());
  if (started.ok()) started = http.start();
  int exit_code = 0;
  topo::Announcement announcement(**topology,
                                  {.program = "vtctld",
                                   .port = http.port(),
                                   .http_tls = !http_options.tls.certificate_file.empty(),
                                   .cell = options.cell},
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
  net::block_on(control.loop(), api.stop());
  net::block_on(control.loop(), vtctld.stop());
  net::block_on(control.loop(), (*topology)->close());
  return exit_code;
}
