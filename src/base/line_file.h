#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace vitrail::base {

// A file to which lines are appended: query logs. Readable by its owner only, as it holds users' data. A moved or
// removed file is not noticed; nothing limits its size.
//   Threads: any. Each line is one write to the kernel, so lines never mix and nothing is lost when the process dies.
//   Errors : a line that cannot be written (full disk) is counted, not reported.
class LineFile {
 public:
  static Result<std::unique_ptr<LineFile>> open(const std::string& path);
  ~LineFile();
  LineFile(const LineFile&) = delete;
  LineFile& operator=(const LineFile&) = delete;

  // `line` ends with '\n'.
  void write(std::string_view line);
  uint64_t lost() const { return lost_.load(std::memory_order_relaxed); }

 private:
  explicit LineFile(int fd) : fd_(fd) {}
  const int fd_;
  std::atomic<uint64_t> lost_{0};
};

// One line of a query log: when it began (UTC), seconds it took, who asked, for which target, the statement as a JSON
// string, and the error's code or OK; separated by tabs.
std::string query_log_line(int64_t started_ns_since_epoch, double seconds, std::string_view who,
                           std::string_view target, std::string_view statement, std::string_view outcome);

}  // namespace vitrail::base
