#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "mysqld/config.h"
#include "mysqld/flavor.h"
#include "mysqld/installation.h"

namespace vitrail::mysqld {

struct DaemonOptions {
  Layout layout;
  ConfigOptions config;       // Read by init and the two config commands only; afterwards my.cnf is the truth.
  std::string init_sql_file;  // Accounts and whatever else a new server shall have; "": Flavor::default_init_sql().
  // Run the server under mysqld_safe, which restarts it after a crash. Without it (or where the script is not
  // installed) the server runs by itself and stays down after a crash.
  bool supervised = true;
  base::Duration start_wait_max = std::chrono::minutes(5);     // Crash recovery included.
  base::Duration shutdown_wait_max = std::chrono::minutes(5);  // Then SIGKILL; InnoDB recovers at the next start.
  std::optional<Installation> installation;                    // Found when it is needed, if not given.
};

// One mysqld or mariadbd and its folder.
//
// The server outlives this object and its process: it runs in a session of its own, with its output in error.log, and
// inherits nothing. Every command reads the facts anew (my.cnf, /proc, the socket), so that commands from different
// processes, and a kill -9 between any two steps, do no harm. Commands on one folder exclude each other by a lock on
// `<folder>/.lock`.
//
// "Our server" is a process that has `--defaults-file=<folder>/my.cnf` among its arguments, or that mysql.pid names and
// that works in our data directory. Process ids alone are never trusted: they are reused.
//
// Environment variables and option files of the user and of the system's own server have no influence.
//
//   Threads : one thread at a time. All commands block (milliseconds to minutes); not for an event loop.
class Daemon {
 public:
  enum class State : uint8_t {
    kAbsent,           // No data.
    kHalfInitialised,  // init was interrupted: init again.
    kStopped,
    kStarting,  // A process runs and does not answer yet (or is being restarted by mysqld_safe).
    kRunning,   // Answers on the socket.
  };

  //   kInvalidArgument  the layout is impossible (Layout::check()).
  static Result<Daemon> open(DaemonOptions options);

  const Layout& layout() const { return options_.layout; }
  State state() const;
  // The server process, not mysqld_safe.
  std::optional<pid_t> find_pid() const;
  //   kNotFound  no my.cnf yet.
  Result<MyCnf> load_my_cnf() const;
  // The flavor of the installed server.
  Result<const Flavor*> load_flavor();

  // Makes the folders and my.cnf; no data.
  Status init_config();
  // Writes my.cnf again. A running server takes it over at its next start. The server_id is kept, unless the data was
  // replaced (by a backup, for example): then it must be a new one, see ConfigOptions::server_id.
  enum class ServerId : uint8_t { kKeep, kNew };
  Status reinit_config(ServerId server_id = ServerId::kKeep);
  // Writes a new server_id into my.cnf and leaves the rest as it is: for a stopped server whose data was replaced.
  Status renew_server_id();

  // Makes folders, my.cnf, system tables and accounts, and starts the server. Repeats from the beginning what an
  // earlier init left half done; never touches data that an init finished.
  //   kAlreadyExists       there is data; start() is what is wanted.
  //   kFailedPrecondition  the port is taken, the server does not start (with the end of its error log), the init file
  //                        fails (with the client's message).
  //   kNotFound            server or client not installed, or no such init file.
  Status init();

  // Starts the server and waits until it answers on the socket.
  //   kNotFound            not initialised.
  //   kFailedPrecondition  it runs already, init was interrupted, the port is taken, or it ended again (with the end of
  //                        its error log).
  //   kDeadlineExceeded    it runs but does not answer yet, for example in a long recovery. It is left running.
  Status start();

  // Stops the server in good order, after shutdown_wait_max by force; nothing of it runs afterwards. Success when
  // nothing ran.
  Status shutdown();

  // Stops the server and removes its folder, data included. `force`: removes it even when the server cannot be stopped
  // in good order.
  Status teardown(bool force);

 private:
  struct Process {
    pid_t pid;
    bool is_server;  // Not mysqld_safe or a script.
  };
  class Lock;

  explicit Daemon(DaemonOptions options) : options_(std::move(options)) {}

  Result<const Installation*> load_installation();
  Result<Lock> lock_folder() const;
  std::vector<Process> find_processes() const;
  Status write_config(ServerId server_id);
  Status make_folders() const;
  Status check_port_free(const MyCnf& cnf) const;
  Status bootstrap(const Installation& installation, const Flavor& flavor);
  Status run_init_sql(const Installation& installation, const Flavor& flavor);
  Status launch(std::vector<std::string> argv, bool supervised);
  Status start_locked();
  Status stop_locked(base::Duration wait_max);
  std::string in_progress_mark() const { return options_.layout.root + "/.init-in-progress"; }

  DaemonOptions options_;
  std::unique_ptr<Flavor> flavor_;
};

// Whether a MySQL server greets on a unix socket within `wait_max`. A greeting with an error (too many connections)
// counts: the server answers. It logs nothing on the server's side beyond an aborted connection.
bool server_answers(const std::string& socket_path, base::Duration wait_max);

}  // namespace vitrail::mysqld
