#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/line_file.h"
#include "base/result.h"

namespace vitrail::base {

// Where the lines of statements go (query_log_line): to a file, and to whoever listens right now. While nobody wants
// them, a statement costs one look at a flag.
//   Threads: any.
//   Bounds : kListenersMax listeners; each keeps kLinesMax lines that it has not taken yet, and loses what is over.
class QueryLog {
 public:
  static constexpr size_t kListenersMax = 16;
  static constexpr size_t kLinesMax = 1000;

  // Lines go to this file too, from now on; empty: to none. Before the first line.
  Status open(const std::string& path);

  bool wanted() const { return wanted_.load(std::memory_order_relaxed); }
  // `line` ends with '\n'.
  void write(std::string_view line);

  // Gets the lines that are written from now on, until it is destroyed. The log must outlive it.
  class Listener {
   public:
    explicit Listener(QueryLog& log) : log_(log) {}
    ~Listener();
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;
    // The next line; nullopt when none came for so long.
    std::optional<std::string> next(Duration wait);

   private:
    friend class QueryLog;
    QueryLog& log_;
    std::condition_variable arrived_;
    std::deque<std::string> lines_;  // Guarded by the log's mutex.
  };
  // kResourceExhausted: kListenersMax are there.
  Result<std::unique_ptr<Listener>> listen();
  size_t listeners();

 private:
  std::unique_ptr<LineFile> file_;  // Null: none.
  std::atomic<bool> wanted_{false};
  std::mutex mutex_;
  std::vector<Listener*> listeners_;
};

}  // namespace vitrail::base
