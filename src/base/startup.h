#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "base/settings.h"

namespace vitrail::base {

// The file that tells others our process id.
//   Owns : the file; the destructor removes it unless another process has replaced it.
class PidFile {
 public:
  PidFile() = default;
  static Result<PidFile> create(const std::string& path);
  PidFile(PidFile&& other) noexcept;
  PidFile& operator=(PidFile&& other) noexcept;
  ~PidFile();

 private:
  std::string path_;
};

class ConfigWatch;

// What every binary does before its own work: declares the settings that all share (log, pid file) and the flags that
// have no effect here (known_flags.h), reads the command line, answers --help and --version, reports mistakes, opens
// the log, writes the pid file, and from then on puts changes of the config file into force (live settings; looks at it
// every kConfigPoll, on a thread of its own). Lives as long as main():
//
//     base::Settings settings("vtgate", "routes queries to shards");
//     gate::declare(settings, gate_settings);
//     base::Startup startup(settings);
//     if (const auto exit_code = startup.run(argc, argv)) return *exit_code;
//
//   Log    : `level_min` is the default of --log_level; kError is for clients, whose standard error says that something
//   failed. Output : help and version to stdout; mistakes to stderr, exit code 1.
class Startup {
 public:
  static constexpr std::chrono::milliseconds kConfigPoll{500};

  explicit Startup(Settings& settings, LogLevel level_min = LogLevel::kInfo);
  ~Startup();
  // The exit code to end with, or nothing: go on.
  std::optional<int> run(int argc, char** argv);

 private:
  Settings& settings_;
  std::string log_folder_;
  std::string log_format_ = "text";
  bool log_to_stderr_ = false;
  bool also_log_to_stderr_ = false;
  std::string log_level_ = "info";
  uint64_t log_file_size_ = LogOptions().file_size_max;
  std::string pid_path_;
  PidFile pid_file_;
  std::unique_ptr<ConfigWatch> watch_;
};

}  // namespace vitrail::base
