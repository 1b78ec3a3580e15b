#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <thread>

#include "base/log.h"
#include "base/signals.h"
#include "base/startup.h"
#include "mysqlctl/flags.h"
#include "mysqlctl/service.h"
#include "net/loop.h"
#include "rpc/server.h"

// mysqlctld: owns the process of one MySQL or MariaDB server, for a vttablet that must not: in a container of its own,
// or under another account. It ends with the server, and the server with it.
int main(int argc, char** argv) {
  using namespace vitrail;
  mysqlctl::ServerFlags out;
  std::string socket;
  base::Settings settings("mysqlctld",
                          "makes or starts the MySQL or MariaDB server of one tablet, and stops and starts it for a "
                          "vttablet that was given --mysqlctl_socket");
  mysqlctl::declare(settings, out);
  settings.add("socket_file", &socket, "unix socket of the gRPC service (default mysqlctl.sock in the server's folder)")
      .alias("mysqlctl_socket");
  settings.add("init_db_sql_file", &out.init_db_sql_file,
               "SQL run in a new server; default: built-in accounts vt_dba, ...");
  settings.add("wait_time", &out.wait_time, "how long to wait for the server to start");
  settings
      .add("shutdown_wait_time", &out.shutdown_timeout,
           "how long to wait for an orderly stop before the server is killed")
      .alias("mysql_shutdown_timeout");
  settings.add_config_file();
  base::Startup startup(settings);
  if (const auto exit_code = startup.run(argc, argv)) return *exit_code;

  base::block_termination_signals();
  const auto refuse = [](const Error& error) {
    std::fprintf(stderr, "mysqlctld: %s\n", error.message().c_str());
    return 1;
  };
  auto options = mysqlctl::daemon_options(out);
  if (!options.ok()) return refuse(options.error());
  if (socket.empty()) socket = options->layout.root + "/mysqlctl.sock";
  auto service = mysqlctl::Service::create(std::move(*options));
  if (!service.ok()) return refuse(service.error());
  if (const Status opened = (*service)->open(); !opened.ok()) return refuse(opened.error());

  net::LoopThread loop("mysqlctld");
  rpc::ServerOptions listening;
  listening.host = "unix:" + socket;
  rpc::Server server(listening);
  (*service)->register_handlers(server, loop.loop());
  ::umask(0077);  // Whoever may use the socket stops the server.
  if (const Status started = server.start(); !started.ok()) {
    (void)(*service)->close();
    return refuse(started.error());
  }
  log_info("listening on {}", socket);

  std::atomic<bool> ending{false};
  std::atomic<bool> ended{false};
  std::thread watcher([&] {
    while (!ending) {
      std::this_thread::sleep_for(std::chrono::milliseconds(500));
      if (!(*service)->ended_by_itself()) continue;
      ended = true;
      ::kill(::getpid(), SIGTERM);
      return;
    }
  });
  base::wait_for_termination_signal();
  ending = true;
  watcher.join();
  net::block_on(loop.loop(), server.stop(std::chrono::seconds(1)));
  if (ended) return refuse(fail(Code::kUnavailable, "the server has ended"));
  const Status closed = (*service)->close();
  return closed.ok() ? 0 : refuse(closed.error());
}
