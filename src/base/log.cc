#include "base/log.h"

#include <spdlog/sinks/rotating_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <vector>

#include "base/file.h"

namespace vitrail::base {
namespace {

std::atomic<uint64_t> dropped{0};
std::atomic<LogLevel> level_min{LogLevel::kInfo};

std::shared_ptr<spdlog::logger> make_logger(std::vector<spdlog::sink_ptr> sinks) {
  auto logger = std::make_shared<spdlog::logger>("vitrail", sinks.begin(), sinks.end());
  logger->set_pattern("%L%m%d %H:%M:%S.%f %t %s:%#] %v");
  logger->set_level(spdlog::level::info);
  logger->flush_on(spdlog::level::warn);
  logger->set_error_handler([](const std::string&) { dropped.fetch_add(1, std::memory_order_relaxed); });
  return logger;
}

// Replaced by open_log() at start, then constant. Never destroyed: threads may log while the process ends.
std::shared_ptr<spdlog::logger>& logger() {
  static auto* instance =
      new std::shared_ptr<spdlog::logger>(make_logger({std::make_shared<spdlog::sinks::stderr_sink_mt>()}));
  return *instance;
}

spdlog::level::level_enum spdlog_level(LogLevel level) {
  switch (level) {
    case LogLevel::kInfo: return spdlog::level::info;
    case LogLevel::kWarning: return spdlog::level::warn;
    case LogLevel::kError: return spdlog::level::err;
  }
  return spdlog::level::err;
}

const char* file_name(const char* path) {
  const char* slash = std::strrchr(path, '/');
  return slash == nullptr ? path : slash + 1;
}

}  // namespace

bool log_enabled(LogLevel level) { return level >= level_min.load(std::memory_order_relaxed); }

void log_text(LogLevel level, const std::source_location& where, std::string_view text) {
  const spdlog::source_loc place(file_name(where.file_name()), static_cast<int>(where.line()), where.function_name());
  if (text.find_first_of("\r\n") == std::string_view::npos) {
    logger()->log(place, spdlog_level(level), spdlog::string_view_t(text.data(), text.size()));
    return;
  }
  std::string line;
  line.reserve(text.size() + 16);
  for (const char c : text) {
    if (c == '\n') {
      line += "\\n";
    } else if (c == '\r') {
      line += "\\r";
    } else {
      line.push_back(c);
    }
  }
  logger()->log(place, spdlog_level(level), spdlog::string_view_t(line.data(), line.size()));
}

bool LogLimit::allow() {
  const int64_t now = clock_.now().time_since_epoch().count();
  int64_t next = next_ns_.load(std::memory_order_relaxed);
  if (now >= next && next_ns_.compare_exchange_strong(next, now + interval_.count(), std::memory_order_relaxed)) {
    suppressed_.store(refused_.exchange(0, std::memory_order_relaxed), std::memory_order_relaxed);
    return true;
  }
  refused_.fetch_add(1, std::memory_order_relaxed);
  return false;
}

Status open_log(const LogOptions& options) {
  std::vector<spdlog::sink_ptr> sinks;
  if (options.folder.empty() || options.also_stderr) sinks.push_back(std::make_shared<spdlog::sinks::stderr_sink_mt>());
  if (!options.folder.empty()) {
    RETURN_IF_ERROR(make_directories(options.folder));
    try {
      sinks.push_back(std::make_shared<spdlog::sinks::rotating_file_sink_mt>(
          options.folder + "/" + options.program + ".INFO", options.file_size_max, options.files_max));
    } catch (const spdlog::spdlog_ex& error) {
      return fail(Code::kPermissionDenied, std::string("log file: ") + error.what());
    }
  }
  level_min.store(options.level_min);
  logger() = make_logger(std::move(sinks));
  if (!options.folder.empty()) spdlog::flush_every(std::chrono::seconds(1));
  return {};
}

void flush_log() { logger()->flush(); }

uint64_t dropped_log_lines() { return dropped.load(std::memory_order_relaxed); }

}  // namespace vitrail::base
