#include "base/startup.h"

#include <fmt/core.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <utility>

#include "base/file.h"
#include "base/log.h"

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

Startup::Startup(Settings& settings, LogLevel level_min) : settings_(settings), level_min_(level_min) {
  settings.add("log_dir", &log_folder_, "write the log to this folder instead of stderr");
  settings.add("log-format", &log_format_, "format of log lines").one_of({"text"});
  settings.add("logtostderr", &log_to_stderr_, "log to stderr, even when there is a --log_dir").hidden();
  settings.add("alsologtostderr", &also_log_to_stderr_, "log to stderr as well as to --log_dir");
  settings.add("pid-file", &pid_path_, "write the process id to this file, and remove it at the end");
  for (const char* name : {"v", "vmodule", "stderrthreshold", "log_backtrace_at", "log_err_stacks", "log_link",
                           "log_rotate_max_size", "keep_logs", "keep_logs_by_mtime", "purge_logs_interval", "log-level",
                           "pprof", "service_map", "stats_backend", "stats_emit_period", "tracer"}) {
    settings.ignore(name, true);
  }
  for (const char* name : {"pprof-http", "security_policy_none"}) settings.ignore(name, false);
  if (settings.has_commands()) settings.add_completion();
}

std::optional<int> Startup::run(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN);  // A peer that went away is an error of a write, not the end of the process.
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
  if (*outcome == Settings::Outcome::kHelp || *outcome == Settings::Outcome::kVersion) {
    return print(*outcome == Settings::Outcome::kHelp ? settings_.help() : settings_.version() + "\n");
  }
  if (const auto& path = settings_.command_path(); path.size() == 2 && path[0] == "completion") {
    return print(settings_.completion_script(path[1]));
  }
  const Status log_opened = open_log({.program = settings_.name(),
                                      .folder = log_to_stderr_ ? std::string() : log_folder_,
                                      .also_stderr = also_log_to_stderr_,
                                      .level_min = level_min_});
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
  return std::nullopt;
}

}  // namespace vitrail::base
