#include "combo/servers.h"

#include <fmt/core.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <memory>
#include <mutex>
#include <thread>

#include "base/file.h"
#include "base/signals.h"
#include "combo/ports.h"
#include "mysqld/daemon.h"

namespace vitrail::combo {

using namespace std::chrono_literals;

namespace {

constexpr auto kShutdownMax = 30s;
constexpr auto kKeeperReadyMax = 10s;

// By the keeper, as soon as it would notice the end of the process it watches.
std::string ready_note(const std::string& data_dir) { return data_dir + "/.keeper"; }

mysqld::DaemonOptions daemon_options(const std::string& root, uint32_t uid) {
  mysqld::DaemonOptions options;
  options.layout.root = root;
  options.config.uid = uid;
  options.supervised = false;
  options.shutdown_wait_max = kShutdownMax;
  // What is committed outlives every process; a crash of the machine may take the last second.
  options.config.flush_log_at_trx_commit = 2;
  options.config.sync_binlog = 0;
  return options;
}

// `port`: 0: no other server replicates from it.
Status start_server(const TabletSpec& tablet, uint16_t port, const std::string& data_dir) {
  mysqld::DaemonOptions options = daemon_options(layout_of(data_dir, tablet.uid).root, tablet.uid);
  options.config.networking = port != 0;
  options.config.port = port;
  ASSIGN_OR_RETURN(mysqld::Daemon daemon, mysqld::Daemon::open(std::move(options)));
  switch (daemon.state()) {
    case mysqld::Daemon::State::kAbsent:
    case mysqld::Daemon::State::kHalfInitialised: return daemon.init();
    case mysqld::Daemon::State::kStopped: return daemon.start();
    default: return {};
  }
}

}  // namespace

mysqld::Layout layout_of(const std::string& data_dir, uint32_t uid) {
  return mysqld::Layout::for_tablet(data_dir, uid);
}

Result<base::ChildProcess> spawn_keeper(const std::string& data_dir, bool persistent) {
  const std::string note = ready_note(data_dir);
  ::unlink(note.c_str());
  base::SpawnOptions options;
  options.argv = {"/proc/self/exe",
                  "--data-dir",
                  data_dir,
                  "--keeper-of",
                  std::to_string(::getpid()),
                  persistent ? "--persistent-mode=true" : "--persistent-mode=false"};
  options.stdout_path = options.stderr_path = "/dev/null";
  options.new_session = true;
  ASSIGN_OR_RETURN(auto child, base::ChildProcess::spawn(options));
  const auto end = std::chrono::steady_clock::now() + kKeeperReadyMax;
  while (!base::file_exists(note)) {
    const auto ended = child.wait(5ms);
    if (ended.ok() || std::chrono::steady_clock::now() > end) {
      return fail(Code::kInternal, "the process that stops the servers at the end could not be started");
    }
  }
  return child;
}

int keep(const std::string& data_dir, pid_t parent, bool persistent) {
  base::block_termination_signals();
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (!base::write_file_atomically(ready_note(data_dir), "").ok()) return 1;
  if (::getppid() == parent) base::wait_for_termination_signal();
  bool stopped = true;
  std::mutex mutex;
  {
    std::vector<std::jthread> threads;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(data_dir, error)) {
      const std::string root = entry.path().string();
      if (!entry.path().filename().string().starts_with("vt_")) continue;
      threads.emplace_back([&, root] {
        auto daemon = mysqld::Daemon::open(daemon_options(root, 0));
        const bool done = daemon.ok() && (persistent ? daemon->shutdown() : daemon->teardown(/*force=*/true)).ok();
        const std::scoped_lock lock(mutex);
        stopped = stopped && done;
      });
    }
  }
  ::unlink(ready_note(data_dir).c_str());
  if (!persistent) stopped = base::remove_tree(data_dir).ok() && stopped;
  return stopped ? 0 : 1;
}

Status start_servers(const Spec& spec, const std::string& data_dir) {
  const bool replicate = std::ranges::any_of(spec.tablets, [](const TabletSpec& tablet) { return !tablet.first; });
  ASSIGN_OR_RETURN(const auto ports, free_ports(replicate ? spec.tablets.size() : 0));
  std::mutex mutex;
  Status outcome;
  {
    std::vector<std::jthread> threads;
    for (size_t i = 0; i < spec.tablets.size(); ++i) {
      threads.emplace_back([&, i] {
        const TabletSpec& tablet = spec.tablets[i];
        Status started = start_server(tablet, replicate ? ports[i] : 0, data_dir);
        const std::scoped_lock lock(mutex);
        if (!started.ok() && outcome.ok()) {
          outcome = std::move(started).error().with_context(fmt::format("the server of tablet {}", tablet.uid));
        }
      });
    }
  }
  return outcome;
}

}  // namespace vitrail::combo
