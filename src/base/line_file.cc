#include "base/line_file.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>

#include "base/text.h"

namespace vitrail::base {

Result<std::unique_ptr<LineFile>> LineFile::open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return fail(Code::kInvalidArgument, fmt::format("cannot write {}: {}", path, std::strerror(errno)));
  return std::unique_ptr<LineFile>(new LineFile(fd));
}

LineFile::~LineFile() { ::close(fd_); }

void LineFile::write(std::string_view line) {
  if (::write(fd_, line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
    lost_.fetch_add(1, std::memory_order_relaxed);
  }
}

std::string query_log_line(int64_t started_ns_since_epoch, double seconds, std::string_view who,
                           std::string_view target, std::string_view statement, std::string_view outcome) {
  const std::time_t whole = started_ns_since_epoch / 1'000'000'000;
  std::tm utc{};
  ::gmtime_r(&whole, &utc);
  char time[32];
  std::strftime(time, sizeof time, "%Y-%m-%dT%H:%M:%S", &utc);
  std::string line = fmt::format("{}.{:06}Z\t{:.6f}\t{}\t{}\t", time, started_ns_since_epoch % 1'000'000'000 / 1000,
                                 seconds, who, target);
  append_json_string(line, statement);
  line.push_back('\t');
  line += outcome;
  line.push_back('\n');
  return line;
}

}  // namespace vitrail::base
