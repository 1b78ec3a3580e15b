#pragma once

#include <fmt/core.h>

#include <atomic>
#include <concepts>
#include <cstdint>
#include <source_location>
#include <string>
#include <string_view>
#include <type_traits>

#include "base/clock.h"
#include "base/result.h"

namespace vitrail::base {

// The log of this process, one line per entry, in glog's form:
//     I0102 15:04:05.678901 12345 tablet_state.cc:42] commerce/0: serving
// that is level, month and day, local time, thread id, place, text. Line ends inside a text are written as "\n", so
// that an entry stays one line.
//
//   Threads : any. A call formats on the calling thread and writes under a lock: not for the path of a query.
//   Errors  : a log that cannot be written is silent; lines are counted in dropped_log_lines().
//   Content : never log what came from a query, a row or a server's error text.
//
//     log_info("{}: {} tables copied", shard, count);
enum class LogLevel : uint8_t { kInfo, kWarning, kError };

// A format string checked at compile time, with the place it stands.
template <typename... Args>
struct LogFormat {
  template <typename Text>
    requires std::convertible_to<const Text&, std::string_view>
  consteval LogFormat(const Text& text, std::source_location place = std::source_location::current())
      : format(text), where(place) {}
  fmt::format_string<Args...> format;
  std::source_location where;
};

bool log_enabled(LogLevel level);
void log_text(LogLevel level, const std::source_location& where, std::string_view text);

template <typename... Args>
void log_info(LogFormat<std::type_identity_t<Args>...> text, Args&&... args) {
  if (log_enabled(LogLevel::kInfo))
    log_text(LogLevel::kInfo, text.where, fmt::format(text.format, std::forward<Args>(args)...));
}
template <typename... Args>
void log_warning(LogFormat<std::type_identity_t<Args>...> text, Args&&... args) {
  if (log_enabled(LogLevel::kWarning)) {
    log_text(LogLevel::kWarning, text.where, fmt::format(text.format, std::forward<Args>(args)...));
  }
}
template <typename... Args>
void log_error(LogFormat<std::type_identity_t<Args>...> text, Args&&... args) {
  log_text(LogLevel::kError, text.where, fmt::format(text.format, std::forward<Args>(args)...));
}

// Lets one entry per interval through and counts the others. Usually a member or a static beside its one use:
//     if (log_limit_.allow()) log_warning("{}: no primary ({} similar before)", shard, log_limit_.suppressed());
class LogLimit {
 public:
  explicit LogLimit(Duration interval, const Clock& clock = system_clock()) : interval_(interval), clock_(clock) {}
  bool allow();
  // How many were refused between the last two allowed ones.
  uint64_t suppressed() const { return suppressed_.load(std::memory_order_relaxed); }

 private:
  const Duration interval_;
  const Clock& clock_;
  std::atomic<int64_t> next_ns_{INT64_MIN};
  std::atomic<uint64_t> refused_{0};
  std::atomic<uint64_t> suppressed_{0};
};

struct LogOptions {
  std::string program;       // Names the log file.
  std::string folder;        // Empty: stderr only. Else "<folder>/<program>.INFO", made if missing.
  bool also_stderr = false;  // With a folder: to stderr too.
  LogLevel level_min = LogLevel::kInfo;
  uint64_t file_size_max = 256u << 20;  // Bytes; then the file is rotated.
  uint32_t files_max = 8;               // Rotated files that are kept.
};

// Where entries go from now on; before the first call, to stderr. Call it at start, from one thread. On an Error the
// log stays as it was.
Status open_log(const LogOptions& options);

// Writes what is buffered. Errors and warnings are never buffered.
void flush_log();

uint64_t dropped_log_lines();

}  // namespace vitrail::base

namespace vitrail {
using base::log_error;
using base::log_info;
using base::log_warning;
}  // namespace vitrail
