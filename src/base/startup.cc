#include "base/startup.h"

#include <fmt/core.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <stop_token>
#include <thread>
#include <utility>

#include "base/file.h"
#include "base/known_flags.h"
#include "base/log.h"
#include "base/text.h"

namespace vitrail::base {

Result<PidFile> PidFile::create(const std::string& path) {
  RETURN_IF_ERROR(write_file_atomically(path, fmt::format("{}\n", ::getpid()), 0644));
  PidFile file;
  file.path_ = path;
  return file;
}

PidFile::PidFile(PidFile&& other) noexcept : path_(std::exchange(other.path_, {})) {}

PidFile& PidFile::operator=(PidFile&& other) noexcept {
  std::swap(path_, other.path_);
  return *this;
}

PidFile::~PidFile() {
  if (path_.empty()) return;
  const Result<std::string> content = read_file(path_, 64);
  if (content.ok() && *content == fmt::format("{}\n", ::getpid())) ::unlink(path_.c_str());
}

// Reads the config file again when it has become another one. By its state on disk, which also shows files that are
// replaced by renaming, and mounted ones behind changing links.
class ConfigWatch {
 public:
  explicit ConfigWatch(Settings& settings)
      : settings_(settings), thread_([this](const std::stop_token& stop) { run(stop); }) {}

 private:
  struct State {
    ino_t inode = 0;
    off_t size = -1;
    int64_t changed_ns = 0;
    friend bool operator==(const State&, const State&) = default;
  };

  State look() const {
    struct stat file{};
    if (::stat(settings_.config_file().c_str(), &file) != 0) return {};
    return {file.st_ino, file.st_size, file.st_mtim.tv_sec * 1'000'000'000 + file.st_mtim.tv_nsec};
  }

  void run(const std::stop_token& stop) {
    pthread_setname_np(pthread_self(), "config");
    std::unique_lock lock(mutex_);
    while (!wake_.wait_for(lock, stop, Startup::kConfigPoll, [] { return false; }) && !stop.stop_requested()) {
      const State now = look();
      if (now == seen_) continue;
      seen_ = now;
      if (now == State{}) continue;  // Gone, or between two renames: what is in force stays.
      const Result<std::vector<std::string>> changed = settings_.reload_config();
      if (!changed.ok()) log_warning("{}", changed.error().message());
      if (changed.ok() && !changed->empty()) log_info("config file: {} changed", join(*changed, ", "));
    }
  }

  Settings& settings_;
  State seen_;  // Of no file: the first look reads what may have changed since the start.
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::jthread thread_;
};

// Threads made while it lives take no signals: SIGTERM is for the main thread, which waits for it.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

Startup::~Startup() = default;

Startup::Startup(Settings& settings, LogLevel level_min) : settings_(settings) {
  if (level_min == LogLevel::kError) log_level_ = "error";
  settings.add("log_dir", &log_folder_, "write the log to this folder instead of stderr");
  settings.add("log-format", &log_format_, "format of log lines").one_of({"text"});
  settings.add("logtostderr", &log_to_stderr_, "log to stderr, even when there is a --log_dir").hidden();
  settings.add("alsologtostderr", &also_log_to_stderr_, "log to stderr as well as to --log_dir");
  settings.add("log_level", &log_level_, "least important messages that are logged")
      .one_of({"debug", "info", "warn", "error"});
  settings.add("log_rotate_max_size", &log_file_size_, "a log file that gets larger is put aside").unit("bytes");
  settings.add("pid-file", &pid_path_, "write the process id to this file, and remove it at the end");
  if (settings.has_commands()) settings.add_completion();
}

std::optional<int> Startup::run(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN);  // A peer that went away is an error of a write, not the end of the process.
  declare_known_flags(settings_);
  const std::vector<std::string> args(argv + 1, argv + argc);
  const auto print = [](const std::string& text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    return 0;
  };
  if (!args.empty() && settings_.has_commands() && (args[0] == "__complete" || args[0] == "__completeNoDesc")) {
    return print(settings_.complete(std::span(args).subspan(1), args[0] == "__complete"));
  }
  const Result<Settings::Outcome> outcome = settings_.parse(args);
  if (!outcome.ok()) {
    std::fprintf(stderr, "%s: %s\n", settings_.name().c_str(), outcome.error().message().c_str());
    return 1;
  }
  if (*outcome != Settings::Outcome::kRun) {
    return print(*outcome == Settings::Outcome::kHelp       ? settings_.help()
                 : *outcome == Settings::Outcome::kHelpJson ? settings_.describe_json()
                                                            : settings_.version() + "\n");
  }
  if (const auto& path = settings_.command_path(); path.size() == 2 && path[0] == "completion") {
    return print(settings_.completion_script(path[1]));
  }
  const SignalsBlocked blocked;
  const Status log_opened = open_log({.program = settings_.name(),
                                      .folder = log_to_stderr_ ? std::string() : log_folder_,
                                      .also_stderr = also_log_to_stderr_,
                                      .level_min = log_level_ == "error"  ? LogLevel::kError
                                                   : log_level_ == "warn" ? LogLevel::kWarning
                                                                          : LogLevel::kInfo,
                                      .file_size_max = log_file_size_});
  if (!log_opened.ok()) {
    std::fprintf(stderr, "%s: %s\n", settings_.name().c_str(), log_opened.error().message().c_str());
    return 1;
  }
  if (!pid_path_.empty()) {
    Result<PidFile> file = PidFile::create(pid_path_);
    if (!file.ok()) {
      std::fprintf(stderr, "%s: --pid-file: %s\n", settings_.name().c_str(), file.error().message().c_str());
      return 1;
    }
    pid_file_ = std::move(*file);
  }
  for (const std::string& warning : settings_.warnings()) log_warning("{}", warning);
  if (!settings_.config_file().empty()) watch_ = std::make_unique<ConfigWatch>(settings_);
  return std::nullopt;
}

}  // namespace vitrail::base
