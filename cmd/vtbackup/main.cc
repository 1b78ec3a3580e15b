#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <thread>

#include "base/log.h"
#include "base/signals.h"
#include "base/startup.h"
#include "net/loop.h"
#include "tablet/backup_job.h"
#include "topo/flags.h"

// vtbackup: makes the next backup of a shard, with a server of its own.
int main(int argc, char** argv) {
  using namespace vitrail;
  base::Settings settings("vtbackup",
                          "makes the next backup of a shard with a server of its own, and removes old ones");
  tablet::BackupJobOptions options;
  topo::ServerOptions topology_options;
  tablet::declare(settings, options);
  topo::declare(settings, topology_options);
  settings.add_config_file();
  base::Startup startup(settings);
  if (const auto exit_code = startup.run(argc, argv)) return *exit_code;

  base::block_termination_signals();
  net::LoopThread control("control");
  const auto refuse = [](const Error& error) {
    std::fprintf(stderr, "vtbackup: %s\n", error.message().c_str());
    return 1;
  };
  auto topology = net::block_on(control.loop(), topo::Server::open(topology_options));
  if (!topology.ok()) return refuse(topology.error());
  tablet::BackupJob job(options, **topology);
  net::CancelSource cancel;
  std::thread watcher([&] {
    base::wait_for_termination_signal();
    job.stop();
    control.loop().post([&] { cancel.cancel(); });
  });
  const Status done = net::block_on(control.loop(), job.run(cancel.token()));
  ::kill(::getpid(), SIGTERM);  // Ends the watcher's wait.
  watcher.join();
  net::block_on(control.loop(), (*topology)->close());
  return done.ok() ? 0 : refuse(done.error());
}
