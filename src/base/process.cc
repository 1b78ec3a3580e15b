#include "base/process.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/check.h"
#include "base/file.h"

namespace vitrail::base {
namespace {

// glibc 2.36 declares its wrappers without extern "C", so they do not link from C++.
int open_pidfd(pid_t pid) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)); }
int signal_pidfd(int pidfd, int signal) {
  return static_cast<int>(::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0));
}

class FileActions {
 public:
  FileActions() { CHECK(posix_spawn_file_actions_init(&actions_) == 0); }
  FileActions(const FileActions&) = delete;
  FileActions& operator=(const FileActions&) = delete;
  ~FileActions() { posix_spawn_file_actions_destroy(&actions_); }
  posix_spawn_file_actions_t* get() { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_;
};

class Attributes {
 public:
  Attributes() { CHECK(posix_spawnattr_init(&attributes_) == 0); }
  Attributes(const Attributes&) = delete;
  Attributes& operator=(const Attributes&) = delete;
  ~Attributes() { posix_spawnattr_destroy(&attributes_); }
  posix_spawnattr_t* get() { return &attributes_; }

 private:
  posix_spawnattr_t attributes_;
};

std::vector<std::string> merged_environment(const std::vector<std::string>& changes) {
  std::vector<std::string> merged = changes;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const std::string_view name = text.substr(0, text.find('=') + 1);
    const bool replaced = std::ranges::any_of(changes, [&](const std::string& c) { return c.starts_with(name); });
    if (!replaced) merged.emplace_back(text);
  }
  return merged;
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> out;
  out.reserve(strings.size() + 1);
  for (std::string& s : strings) out.push_back(s.data());
  out.push_back(nullptr);
  return out;
}

// Output of the child goes to `output_fd` when it is not negative, else to the files of the options.
Result<pid_t> spawn_process(const SpawnOptions& options, int output_fd) {
  if (options.argv.empty()) return fail(Code::kInvalidArgument, "no program to start");
  FileActions actions;
  posix_spawn_file_actions_addopen(actions.get(), 0, "/dev/null", O_RDONLY, 0);
  static constexpr int kAppend = O_WRONLY | O_CREAT | O_APPEND;
  if (output_fd >= 0) {
    posix_spawn_file_actions_adddup2(actions.get(), output_fd, 1);
    posix_spawn_file_actions_adddup2(actions.get(), output_fd, 2);
  } else {
    if (!options.stdout_path.empty()) {
      posix_spawn_file_actions_addopen(actions.get(), 1, options.stdout_path.c_str(), kAppend, 0640);
    }
    if (!options.stderr_path.empty()) {
      posix_spawn_file_actions_addopen(actions.get(), 2, options.stderr_path.c_str(), kAppend, 0640);
    }
  }
  posix_spawn_file_actions_addclosefrom_np(actions.get(), 3);
  if (!options.directory.empty()) posix_spawn_file_actions_addchdir_np(actions.get(), options.directory.c_str());

  Attributes attributes;
  sigset_t none;
  sigset_t all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(attributes.get(), &none);
  posix_spawnattr_setsigdefault(attributes.get(), &all);
  short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
  if (options.new_session) flags |= POSIX_SPAWN_SETSID;
  posix_spawnattr_setflags(attributes.get(), flags);

  std::vector<std::string> argv = options.argv;
  std::vector<std::string> environment = merged_environment(options.environment);
  pid_t pid = -1;
  const int error = posix_spawnp(&pid, argv[0].c_str(), actions.get(), attributes.get(), pointers(argv).data(),
                                 pointers(environment).data());
  if (error != 0) return system_error(error, "start " + argv[0]);
  return pid;
}

ExitStatus exit_status(int status) {
  if (WIFSIGNALED(status)) return {.code = 0, .signal = WTERMSIG(status)};
  return {.code = WEXITSTATUS(status), .signal = 0};
}

// Until `deadline`; false when it passed first.
Result<bool> wait_readable(int fd, TimePoint deadline) {
  for (;;) {
    const auto rest = std::chrono::ceil<std::chrono::milliseconds>(deadline - system_clock().now());
    pollfd entry{.fd = fd, .events = POLLIN, .revents = 0};
    const int ready = ::poll(&entry, 1, static_cast<int>(std::clamp<int64_t>(rest.count(), 0, 1'000'000)));
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return system_error(errno, "poll");
    if (ready == 0 && system_clock().now() >= deadline) return false;
  }
}

TimePoint deadline_after(Duration wait_max) {
  // A very long wait must not overflow the clock.
  return system_clock().now() + std::min<Duration>(wait_max, std::chrono::hours(24 * 365));
}

}  // namespace

void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

std::string ExitStatus::to_string() const {
  return signal != 0 ? fmt::format("signal {}", signal) : fmt::format("exit code {}", code);
}

Result<ChildProcess> ChildProcess::spawn(const SpawnOptions& options) {
  ASSIGN_OR_RETURN(const pid_t pid, spawn_process(options, -1));
  const int pidfd = open_pidfd(pid);
  if (pidfd < 0) {
    const int error_number = errno;
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    return system_error(error_number, "pidfd_open");
  }
  return ChildProcess(pid, pidfd);
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), pidfd_(std::exchange(other.pidfd_, -1)), ended_(other.ended_) {}

ChildProcess& ChildProcess::operator=(ChildProcess&& other) noexcept {
  if (this != &other) {
    if (pidfd_ >= 0) ::close(pidfd_);
    pid_ = std::exchange(other.pid_, -1);
    pidfd_ = std::exchange(other.pidfd_, -1);
    ended_ = other.ended_;
  }
  return *this;
}

ChildProcess::~ChildProcess() {
  if (pidfd_ < 0) return;
  if (!ended_) ::waitpid(pid_, nullptr, WNOHANG);  // Spare a zombie when it has ended already.
  ::close(pidfd_);
}

Status ChildProcess::collect() {
  int status = 0;
  for (;;) {
    const pid_t got = ::waitpid(pid_, &status, WNOHANG);
    if (got == pid_) {
      ended_ = exit_status(status);
      return {};
    }
    if (got == 0) return {};
    if (errno != EINTR) return system_error(errno, fmt::format("wait for process {}", pid_));
  }
}

Result<std::optional<ExitStatus>> ChildProcess::poll() {
  if (!ended_) RETURN_IF_ERROR(collect());
  return ended_;
}

Result<ExitStatus> ChildProcess::wait(Duration wait_max) {
  if (ended_) return *ended_;
  ASSIGN_OR_RETURN(const bool ended, wait_readable(pidfd_, deadline_after(wait_max)));
  if (ended) RETURN_IF_ERROR(collect());
  if (ended_) return *ended_;
  return fail(Code::kDeadlineExceeded, fmt::format("process {} is still running", pid_));
}

Status ChildProcess::kill(int signal) {
  if (ended_) return {};
  if (signal_pidfd(pidfd_, signal) == 0 || errno == ESRCH) return {};
  return system_error(errno, fmt::format("signal process {}", pid_));
}

Result<ExitStatus> ChildProcess::stop(Duration grace) {
  RETURN_IF_ERROR(kill(SIGTERM));
  Result<ExitStatus> ended = wait(grace);
  if (ended.ok() || ended.error().code() != Code::kDeadlineExceeded) return ended;
  RETURN_IF_ERROR(kill(SIGKILL));
  return wait(std::chrono::minutes(1));
}

Result<ProgramOutput> run_program(const SpawnOptions& options, Duration wait_max, size_t output_max) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return system_error(errno, "pipe");
  Result<pid_t> pid = spawn_process(options, ends[1]);
  ::close(ends[1]);
  if (!pid.ok()) {
    ::close(ends[0]);
    return pid.error();
  }
  const TimePoint deadline = deadline_after(wait_max);
  ProgramOutput result;
  Status failure;
  char buffer[16 << 10];
  for (;;) {
    const Result<bool> readable = wait_readable(ends[0], deadline);
    if (!readable.ok()) failure = readable.error();
    if (readable.ok() && !*readable) {
      failure = fail(Code::kDeadlineExceeded, fmt::format("{} did not end in time", options.argv[0]));
    }
    if (!failure.ok()) break;
    const ssize_t got = ::read(ends[0], buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    const size_t keep = std::min(static_cast<size_t>(got), output_max - std::min(output_max, result.output.size()));
    result.output.append(buffer, keep);
  }
  ::close(ends[0]);
  // The pipe ends when the last writer closes it, which may be before the end of the program (a daemon does so).
  int status = 0;
  while (failure.ok()) {
    const pid_t got = ::waitpid(*pid, &status, WNOHANG);
    if (got == *pid) {
      result.exit = exit_status(status);
      return result;
    }
    if (system_clock().now() >= deadline) {
      failure = fail(Code::kDeadlineExceeded, fmt::format("{} did not end in time", options.argv[0]));
    }
    ::poll(nullptr, 0, 1);
  }
  ::kill(*pid, SIGKILL);
  while (::waitpid(*pid, &status, 0) < 0 && errno == EINTR) {
  }
  return failure.error();
}

bool is_process_alive(pid_t pid) {
  if (pid <= 0 || (::kill(pid, 0) != 0 && errno != EPERM)) return false;
  const Result<std::string> stat = read_file(fmt::format("/proc/{}/stat", pid));
  if (!stat.ok()) return false;
  const size_t end_of_name = stat->rfind(") ");  // The state letter follows the name, which may hold anything.
  return end_of_name != std::string::npos && end_of_name + 2 < stat->size() && (*stat)[end_of_name + 2] != 'Z';
}

Status kill_process(pid_t pid, int signal) {
  if (pid <= 0) return fail(Code::kInvalidArgument, fmt::format("invalid process id {}", pid));
  if (::kill(pid, signal) == 0) return {};
  return system_error(errno, fmt::format("signal process {}", pid));
}

}  // namespace vitrail::base
