#include "mysqld/daemon.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>
#include <utility>

#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "base/random.h"
#include "base/text.h"

namespace vitrail::mysqld {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds kPollInterval{20};

base::TimePoint now() { return base::system_clock().now(); }
base::TimePoint deadline_after(base::Duration wait_max) {
  return now() + std::min<base::Duration>(wait_max, std::chrono::hours(24 * 365));
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_;
};

// The shell sets what posix_spawn cannot: no file for others than owner and group, and none of the variables by which
// the user's or the system's own set-up would reach this server. `exec` leaves the program's own command line visible.
std::vector<std::string> clean_command(std::vector<std::string> argv, std::string_view stdin_file = "") {
  std::vector<std::string> out = {"/bin/sh", "-c",
                                  "in=$1; shift; umask 027; unset MYSQL_HOME MYSQL_GROUP_SUFFIX MARIADB_GROUP_SUFFIX "
                                  "MYSQL_TCP_PORT MYSQL_UNIX_PORT "
                                  "MYSQL_PWD MYSQL_HOST MARIADB_HOME UMASK UMASK_DIR; MYSQL_TEST_LOGIN_FILE=/dev/null; "
                                  "export MYSQL_TEST_LOGIN_FILE; exec \"$@\" <\"$in\"",
                                  "sh", stdin_file.empty() ? "/dev/null" : std::string(stdin_file)};
  std::ranges::move(argv, std::back_inserter(out));
  return out;
}

std::string_view base_name(std::string_view path) { return path.substr(path.rfind('/') + 1); }

bool is_server_name(std::string_view program) {
  std::string_view name = base_name(program);
  return name == "mariadbd" || name == "mysqld" || name == "mysqld-debug";
}

// The scripts run as "/bin/sh /usr/bin/mariadbd-safe ...".
bool is_script_name(std::string_view program) {
  std::string_view name = base_name(program);
  return name == "mariadbd-safe" || name == "mysqld_safe" || name == "mariadb-install-db" || name == "mysql_install_db";
}

// Arguments of a process; empty when it is gone or a zombie.
std::vector<std::string> arguments_of(pid_t pid) {
  auto text = base::read_file(fmt::format("/proc/{}/cmdline", pid), 1 << 20);
  std::vector<std::string> out;
  if (!text.ok()) return out;
  for (std::string_view argument : base::split(*text, '\0')) out.emplace_back(argument);
  return out;
}

uint64_t file_size(const std::string& path) {
  struct stat info;
  return ::stat(path.c_str(), &info) == 0 ? static_cast<uint64_t>(info.st_size) : 0;
}

// What a log says from `offset` on: its error lines if it has any, else its last lines. At most 12 lines, 4 KiB.
std::string log_tail(const std::string& path, uint64_t offset) {
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return "(no error log)";
  constexpr uint64_t kReadMax = 64 << 10;
  uint64_t size = file_size(path);
  if (size < offset) offset = 0;
  if (size - offset > kReadMax) offset = size - kReadMax;
  std::string text(size - offset, '\0');
  ssize_t got = ::pread(file.get(), text.data(), text.size(), static_cast<off_t>(offset));
  text.resize(got > 0 ? static_cast<size_t>(got) : 0);

  std::vector<std::string_view> lines;
  std::vector<std::string_view> errors;
  for (std::string_view line : base::split(text, '\n')) {
    line = base::trim(line);
    if (line.empty()) continue;
    lines.push_back(line);
    if (line.find("[ERROR]") != std::string_view::npos || line.find("ERROR:") != std::string_view::npos) {
      errors.push_back(line);
    }
  }
  const auto& chosen = errors.empty() ? lines : errors;
  constexpr size_t kLinesMax = 12;
  std::string out;
  for (size_t i = chosen.size() > kLinesMax ? chosen.size() - kLinesMax : 0; i < chosen.size(); ++i) {
    out += fmt::format("{}{}", out.empty() ? "" : "\n", chosen[i].substr(0, 340));
  }
  return out.empty() ? "(the error log is empty)" : out;
}

Status sync_directory(const std::string& path) {
  Descriptor directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory || ::fsync(directory.get()) != 0) return base::system_error(errno, "sync " + path);
  return {};
}

Status remove_file(const std::string& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return base::system_error(errno, "remove " + path);
  return {};
}

}  // namespace

bool server_answers(const std::string& socket_path, base::Duration wait_max) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket_path.size() >= sizeof address.sun_path) return false;
  std::memcpy(address.sun_path, socket_path.data(), socket_path.size());
  Descriptor fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd || ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return false;
  // The server listens early in its start and greets when it is ready. Header of 4 bytes, then 10 (the protocol
  // version) or 255 (an error).
  base::TimePoint deadline = deadline_after(wait_max);
  unsigned char header[5];
  size_t have = 0;
  while (have < sizeof header) {
    auto rest = std::chrono::ceil<milliseconds>(deadline - now());
    pollfd entry{.fd = fd.get(), .events = POLLIN, .revents = 0};
    int ready = ::poll(&entry, 1, static_cast<int>(std::clamp<int64_t>(rest.count(), 0, 60'000)));
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0 || (ready == 0 && now() >= deadline)) return false;
    if (ready == 0) continue;
    ssize_t got = ::recv(fd.get(), header + have, sizeof header - have, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    have += static_cast<size_t>(got);
  }
  return header[4] == 10 || header[4] == 255;
}

// The lock of one folder; released when the object, or its process, ends.
class Daemon::Lock {
 public:
  explicit Lock(Descriptor fd) : fd_(std::move(fd)) {}

 private:
  Descriptor fd_;
};

Result<Daemon> Daemon::open(DaemonOptions options) {
  RETURN_IF_ERROR(options.layout.check());
  // mariadbd refuses to run as root unless it is told so.
  if (options.config.os_user.empty() && ::geteuid() == 0) options.config.os_user = "root";
  return Daemon(std::move(options));
}

Result<const Installation*> Daemon::load_installation() {
  if (!options_.installation) {
    ASSIGN_OR_RETURN(options_.installation, find_installation());
  }
  return &*options_.installation;
}

Result<const Flavor*> Daemon::load_flavor() {
  if (!flavor_) {
    ASSIGN_OR_RETURN(const Installation* installation, load_installation());
    ASSIGN_OR_RETURN(flavor_, Flavor::make(installation->version));
  }
  return flavor_.get();
}

Result<MyCnf> Daemon::load_my_cnf() const {
  const std::string path = layout().my_cnf();
  auto text = base::read_file(path, 1 << 20);
  if (!text.ok()) return std::move(text).error();
  auto cnf = parse_my_cnf(*text);
  if (!cnf.ok()) return std::move(cnf).error().with_context(path);
  return cnf;
}

Result<Daemon::Lock> Daemon::lock_folder() const {
  RETURN_IF_ERROR(base::make_directories(layout().root));
  std::string path = layout().root + "/.lock";
  Descriptor fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640));
  if (!fd) return base::system_error(errno, "open " + path);
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return base::system_error(errno, "lock " + path);
    return fail(Code::kAborted, fmt::format("another command works on {} at this moment", layout().root));
  }
  return Lock(std::move(fd));
}

std::vector<Daemon::Process> Daemon::find_processes() const {
  const std::string marker = "--defaults-file=" + layout().my_cnf();
  std::vector<Process> found;
  DIR* proc = ::opendir("/proc");
  if (proc == nullptr) return found;
  while (const dirent* entry = ::readdir(proc)) {
    auto pid = to_int(entry->d_name);
    if (!pid || *pid <= 0 || *pid == ::getpid()) continue;
    std::vector<std::string> arguments = arguments_of(static_cast<pid_t>(*pid));
    if (std::ranges::find(arguments, marker) == arguments.end()) continue;
    bool server = is_server_name(arguments[0]);
    // Not a client that reads the same file.
    if (server || std::ranges::any_of(arguments, is_script_name)) found.push_back({static_cast<pid_t>(*pid), server});
  }
  ::closedir(proc);

  // Started by somebody who spells the option file differently.
  auto text = base::read_file(layout().pid_file(), 64);
  auto pid = text.ok() ? to_int(base::trim(*text)) : std::nullopt;
  if (pid && *pid > 0 && std::ranges::none_of(found, [&](const Process& p) { return p.pid == *pid; })) {
    std::vector<std::string> arguments = arguments_of(static_cast<pid_t>(*pid));
    char folder[4096];
    ssize_t length = ::readlink(fmt::format("/proc/{}/cwd", *pid).c_str(), folder, sizeof folder);
    char* real = ::realpath(layout().data().c_str(), nullptr);
    bool ours = !arguments.empty() && is_server_name(arguments[0]) && length > 0 && real != nullptr &&
                std::string_view(folder, static_cast<size_t>(length)) == real;
    ::free(real);
    if (ours) found.push_back({static_cast<pid_t>(*pid), true});
  }
  return found;
}

std::optional<pid_t> Daemon::find_pid() const {
  for (const Process& process : find_processes()) {
    if (process.is_server) return process.pid;
  }
  return std::nullopt;
}

Daemon::State Daemon::state() const {
  if (base::file_exists(in_progress_mark())) return State::kHalfInitialised;
  if (!base::file_exists(layout().data() + "/mysql")) return State::kAbsent;
  if (find_processes().empty()) return State::kStopped;
  auto cnf = load_my_cnf();
  bool answers = server_answers(cnf.ok() ? cnf->socket : layout().socket(), milliseconds(200));
  return answers ? State::kRunning : State::kStarting;
}

Status Daemon::make_folders() const {
  RETURN_IF_ERROR(base::make_directories(layout().root));
  for (const std::string& folder : layout().folders()) RETURN_IF_ERROR(base::make_directories(folder));
  return {};
}

namespace {

// Not a small number that somebody chose by hand for a server nearby.
uint32_t random_server_id() {
  constexpr uint64_t kLow = 1u << 20;
  constexpr uint64_t kHigh = 1u << 31;
  return static_cast<uint32_t>(kLow + base::system_random().below(kHigh - kLow));
}

}  // namespace

Status Daemon::write_config(ServerId server_id) {
  ASSIGN_OR_RETURN(const Flavor* flavor, load_flavor());
  ConfigOptions config = options_.config;
  if (config.server_id == 0 && server_id == ServerId::kKeep) {
    auto present = load_my_cnf();
    if (present.ok()) config.server_id = present->server_id;
  }
  if (config.server_id == 0) config.server_id = random_server_id();
  return base::write_file_atomically(layout().my_cnf(), generate_my_cnf(layout(), config, *flavor));
}

Status Daemon::init_config() {
  ASSIGN_OR_RETURN(Lock lock, lock_folder());
  RETURN_IF_ERROR(make_folders());
  return write_config(ServerId::kKeep);
}

Status Daemon::reinit_config(ServerId server_id) {
  ASSIGN_OR_RETURN(Lock lock, lock_folder());
  if (!base::file_exists(layout().my_cnf())) {
    return fail(Code::kNotFound, fmt::format("{} does not exist; use init_config or init", layout().my_cnf()));
  }
  return write_config(server_id);
}

Status Daemon::renew_server_id() {
  ASSIGN_OR_RETURN(Lock lock, lock_folder());
  ASSIGN_OR_RETURN(const std::string text, base::read_file(layout().my_cnf(), 1 << 20));
  return base::write_file_atomically(layout().my_cnf(), with_server_id(text, random_server_id()));
}

Status Daemon::check_port_free(const MyCnf& cnf) const {
  if (!cnf.networking || cnf.port == 0) return {};
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(cnf.port);
  address.sin_addr.s_addr = htonl(INADDR_ANY);
  // Names, IPv6 and lists are left to the server, whose own message is shown when it fails.
  bool any = cnf.bind_address.empty() || cnf.bind_address == "*" || cnf.bind_address == "::";
  if (!any && ::inet_pton(AF_INET, cnf.bind_address.c_str(), &address.sin_addr) != 1) return {};
  // A server that was killed this moment may still be giving its port back.
  const base::TimePoint deadline = deadline_after(seconds(1));
  for (;; std::this_thread::sleep_for(kPollInterval)) {
    Descriptor fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    int on = 1;
    if (!fd || ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) {
      return base::system_error(errno, "socket");
    }
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
        ::listen(fd.get(), 1) == 0) {
      return {};
    }
    int error_number = errno;
    if (error_number != EADDRINUSE) {
      return fail(Code::kFailedPrecondition,
                  fmt::format("cannot listen on {}:{}: {}", cnf.bind_address, cnf.port, std::strerror(error_number)));
    }
    if (now() >= deadline) break;
  }
  return fail(Code::kFailedPrecondition,
              fmt::format("port {} on {} is in use by another process; choose another --mysql_port or stop it",
                          cnf.port, cnf.bind_address.empty() ? "*" : cnf.bind_address));
}

Status Daemon::bootstrap(const Installation& installation, const Flavor& flavor) {
  const std::string defaults = "--defaults-file=" + layout().my_cnf();
  std::vector<std::string> argv;
  if (flavor.kind() == FlavorKind::kMariaDb) {
    // --rpm keeps the script from touching the system's own plugin folder and from resolving host names;
    // --cross-bootstrap leaves this host's name out of the accounts.
    argv = {installation.install_db, defaults,         "--rpm",
            "--cross-bootstrap",     "--skip-test-db", "--auth-root-authentication-method=normal"};
  } else {
    argv = {installation.server, defaults, "--initialize-insecure"};
  }
  if (!installation.base_directory.empty()) argv.push_back("--basedir=" + installation.base_directory);
  uint64_t log_start = file_size(layout().error_log());
  auto output = base::run_program({.argv = clean_command(std::move(argv))}, options_.start_wait_max);
  if (!output.ok()) return std::move(output).error().with_context("making the system tables");
  if (!output->exit.success() || !base::file_exists(layout().data() + "/mysql")) {
    std::string said(base::trim(output->output));
    return fail(Code::kFailedPrecondition,
                fmt::format("making the system tables failed with {}:\n{}\n{}", output->exit.to_string(),
                            said.substr(said.size() > 2000 ? said.size() - 2000 : 0),
                            log_tail(layout().error_log(), log_start)));
  }
  return {};
}

Status Daemon::run_init_sql(const Installation& installation, const Flavor& flavor) {
  ASSIGN_OR_RETURN(const std::string client, installation.require_client());
  // A server of its own, which nobody but this account reaches, until the accounts are as they shall be.
  std::vector<std::string> argv = {installation.server, "--defaults-file=" + layout().my_cnf(), "--skip-networking"};
  argv.push_back(flavor.kind() == FlavorKind::kMySql ? "--super-read-only=OFF" : "--read-only=OFF");
  if (!installation.base_directory.empty()) argv.push_back("--basedir=" + installation.base_directory);
  RETURN_IF_ERROR(launch(std::move(argv), false));

  std::vector<std::string> run = {client, "--no-defaults", "--batch", "--user=root", "--socket=" + layout().socket()};
  const std::string script = layout().tmp() + "/init.sql";
  auto execute = [&](const std::string& file, std::string_view what) -> Status {
    auto output = base::run_program({.argv = clean_command(run, file)}, options_.start_wait_max);
    if (!output.ok()) return std::move(output).error().with_context(what);
    if (output->exit.success()) return {};
    return fail(Code::kFailedPrecondition, fmt::format("{}: {}", what, base::trim(output->output)));
  };
  auto execute_text = [&](const std::string& sql, std::string_view what) -> Status {
    RETURN_IF_ERROR(base::write_file_atomically(script, sql, 0600));
    RETURN_IF_ERROR(execute(script, what));
    return remove_file(script);
  };
  RETURN_IF_ERROR(execute_text(flavor.hardening_sql(), "removing the default accounts"));
  if (options_.init_sql_file.empty()) {
    RETURN_IF_ERROR(execute_text(flavor.default_init_sql(), "making the accounts"));
  } else {
    RETURN_IF_ERROR(execute(options_.init_sql_file, options_.init_sql_file));
  }
  // Whatever the file wrote into the binlog would make this server's history its own, and no other could follow it.
  std::string reset;
  for (const std::string& statement : flavor.reset_all()) reset += statement + ";\n";
  RETURN_IF_ERROR(execute_text(reset, "resetting the binlog"));
  return stop_locked(options_.shutdown_wait_max);
}

Status Daemon::init() {
  ASSIGN_OR_RETURN(const Installation* installation, load_installation());  // Without a server no folder either.
  ASSIGN_OR_RETURN(Lock lock, lock_folder());
  const bool resumed = base::file_exists(in_progress_mark());
  if (!resumed && base::file_exists(layout().data() + "/mysql")) {
    return fail(Code::kAlreadyExists,
                fmt::format("{} is initialised already; use start, or teardown to remove it", layout().root));
  }
  ASSIGN_OR_RETURN(const Flavor* flavor, load_flavor());
  RETURN_IF_ERROR(installation->require_client());
  if (!options_.init_sql_file.empty() && ::access(options_.init_sql_file.c_str(), R_OK) != 0) {
    return base::system_error(errno, "init file " + options_.init_sql_file);
  }
  if (resumed) {
    log_info("{}: init was interrupted, beginning anew", layout().root);
    RETURN_IF_ERROR(stop_locked(seconds(0)));  // What it made is thrown away.
    for (const std::string& folder : layout().folders()) RETURN_IF_ERROR(base::remove_tree(folder));
  }
  RETURN_IF_ERROR(base::write_file_atomically(in_progress_mark(), "init is not finished\n"));
  RETURN_IF_ERROR(make_folders());
  RETURN_IF_ERROR(write_config(ServerId::kNew));
  ASSIGN_OR_RETURN(const MyCnf cnf, load_my_cnf());
  RETURN_IF_ERROR(check_port_free(cnf));
  Status made = bootstrap(*installation, *flavor);
  if (made.ok()) made = run_init_sql(*installation, *flavor);
  if (!made.ok()) {
    Status stopped = stop_locked(seconds(0));
    return std::move(made).error().with_context(fmt::format("init of {}", layout().root));
  }
  RETURN_IF_ERROR(remove_file(in_progress_mark()));
  RETURN_IF_ERROR(sync_directory(layout().root));
  return start_locked();
}

Status Daemon::launch(std::vector<std::string> argv, bool supervised) {
  ASSIGN_OR_RETURN(const MyCnf cnf, load_my_cnf());
  const std::string log = cnf.error_log.empty() ? layout().error_log() : cnf.error_log;
  RETURN_IF_ERROR(remove_file(cnf.pid_file));
  RETURN_IF_ERROR(remove_file(cnf.socket));
  // MySQL's. A server that was killed leaves it, and none starts while whoever has its process id now lives.
  RETURN_IF_ERROR(remove_file(cnf.socket + ".lock"));
  uint64_t log_start = file_size(log);
  auto child = base::ChildProcess::spawn({.argv = clean_command(std::move(argv)),
                                          .directory = "/",
                                          .stdout_path = log,
                                          .stderr_path = log,
                                          .new_session = true});
  if (!child.ok()) return std::move(child).error().with_context("starting the server");
  base::TimePoint deadline = deadline_after(options_.start_wait_max);
  while (!server_answers(cnf.socket, milliseconds(500))) {
    ASSIGN_OR_RETURN(auto ended, child->poll());
    if (ended) {
      return fail(Code::kFailedPrecondition,
                  fmt::format("the server did not start ({} ended with {}); {} says:\n{}",
                              supervised ? "mysqld_safe" : "it", ended->to_string(), log, log_tail(log, log_start)));
    }
    if (now() >= deadline) {
      return fail(Code::kDeadlineExceeded,
                  fmt::format("the server (process {}) does not answer on {} yet and is left running; {} says:\n{}",
                              child->pid(), cnf.socket, log, log_tail(log, log_start)));
    }
    std::this_thread::sleep_for(kPollInterval);
  }
  // The server makes it world-writable; the folder protects it, but tools look at the file.
  ::chmod(cnf.socket.c_str(), 0770);
  return {};
}

Status Daemon::start_locked() {
  if (base::file_exists(in_progress_mark())) {
    return fail(Code::kFailedPrecondition, fmt::format("init of {} was interrupted; run init again", layout().root));
  }
  if (!base::file_exists(layout().my_cnf()) || !base::file_exists(layout().data() + "/mysql")) {
    return fail(Code::kNotFound, fmt::format("{} is not initialised; run init first", layout().root));
  }
  ASSIGN_OR_RETURN(const MyCnf cnf, load_my_cnf());
  if (auto processes = find_processes(); !processes.empty()) {
    auto server = std::ranges::find_if(processes, &Process::is_server);
    return fail(
        Code::kFailedPrecondition,
        server != processes.end()
            ? fmt::format("the server of {} is already running (process {})", layout().root, server->pid)
            : fmt::format("mysqld_safe of {} is already running (process {})", layout().root, processes[0].pid));
  }
  if (server_answers(cnf.socket, milliseconds(200))) {
    return fail(Code::kFailedPrecondition, fmt::format("a server already answers on {}", cnf.socket));
  }
  RETURN_IF_ERROR(check_port_free(cnf));
  ASSIGN_OR_RETURN(const Installation* installation, load_installation());
  const std::string defaults = "--defaults-file=" + layout().my_cnf();
  bool supervised = options_.supervised && !installation->safe.empty();
  std::vector<std::string> argv = {supervised ? installation->safe : installation->server, defaults};
  if (!installation->base_directory.empty()) argv.push_back("--basedir=" + installation->base_directory);
  return launch(std::move(argv), supervised);
}

Status Daemon::start() {
  if (!base::file_exists(layout().root)) {
    return fail(Code::kNotFound, fmt::format("{} does not exist; run init first", layout().root));
  }
  ASSIGN_OR_RETURN(Lock lock, lock_folder());
  return start_locked();
}

Status Daemon::stop_locked(base::Duration wait_max) {
  auto cnf = load_my_cnf();
  const std::string socket = cnf.ok() ? cnf->socket : layout().socket();
  const std::string pid_file = cnf.ok() ? cnf->pid_file : layout().pid_file();
  std::vector<Process> processes = find_processes();
  if (processes.empty() && server_answers(socket, milliseconds(200))) {
    return fail(Code::kFailedPrecondition,
                fmt::format("a server answers on {} but its process cannot be seen; is it another account's?", socket));
  }
  const base::TimePoint deadline = deadline_after(wait_max);
  const base::TimePoint give_up = deadline + seconds(30);
  std::vector<pid_t> asked;
  bool forced = false;
  std::optional<base::TimePoint> alone_since;
  std::vector<pid_t> ending;  // A process loses its command line before it has closed its files.
  while (!processes.empty() || std::ranges::any_of(ending, base::is_process_alive)) {
    for (const Process& process : processes) {
      if (std::ranges::find(ending, process.pid) == ending.end()) ending.push_back(process.pid);
    }
    bool force = now() >= deadline;
    bool has_server = std::ranges::any_of(processes, &Process::is_server);
    // mysqld_safe ends by itself after an orderly stop, and ignores SIGTERM. Without a server for a while it is between
    // two attempts to restart a crashed one.
    if (has_server) alone_since.reset();
    if (!has_server && !alone_since) alone_since = now();
    bool stray = alone_since && now() - *alone_since > seconds(1);
    // Supervisors first: they would start the server again.
    if (force || stray) {
      for (const Process& process : processes) {
        if (!process.is_server) (void)base::kill_process(process.pid, SIGKILL);
      }
    }
    for (const Process& process : processes) {
      if (!process.is_server) continue;
      if (force) {
        if (wait_max > base::Duration(0) && !forced) {
          log_warning("{}: the server (process {}) did not stop in time, killing it", layout().root, process.pid);
        }
        forced = true;
        (void)base::kill_process(process.pid, SIGKILL);
      } else if (std::ranges::find(asked, process.pid) == asked.end()) {
        Status sent = base::kill_process(process.pid, SIGTERM);
        if (!sent.ok() && sent.error().code() != Code::kNotFound) return sent;
        asked.push_back(process.pid);
      }
    }
    if (now() >= give_up) {
      return fail(Code::kDeadlineExceeded,
                  fmt::format("process {} of {} cannot be stopped", ending.back(), layout().root));
    }
    std::this_thread::sleep_for(kPollInterval);
    processes = find_processes();
  }
  RETURN_IF_ERROR(remove_file(pid_file));
  return remove_file(socket);
}

Status Daemon::shutdown() {
  if (!base::file_exists(layout().root)) return {};
  ASSIGN_OR_RETURN(Lock lock, lock_folder());
  return stop_locked(options_.shutdown_wait_max);
}

Status Daemon::teardown(bool force) {
  if (!base::file_exists(layout().root)) return {};
  ASSIGN_OR_RETURN(Lock lock, lock_folder());
  Status stopped = stop_locked(options_.shutdown_wait_max);
  if (!stopped.ok() && !force) return stopped;
  return base::remove_tree(layout().root);
}

}  // namespace vitrail::mysqld
