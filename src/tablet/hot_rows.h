#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/metrics.h"
#include "base/result.h"
#include "mysql/statements.h"
#include "net/sync.h"
#include "tablet/query_guard.h"

// Changes of one row by very many clients at once. In the server each of them would hold a connection while it waits
// for the row's lock, until there is none left for statements about anything else. Here they wait without one.
namespace vitrail::tablet {

struct HotRowSettings {
  bool enabled = false;
  bool dry_run = false;      // Only count what would happen.
  size_t queue_max = 20;     // Statements about one row, those in the server among them.
  size_t global_max = 1000;  // About all rows.
  size_t concurrent = 5;     // About one row in the server at the same time.
};

// What tells the rows that a statement changes: the table, and the condition as it is written. nullopt: not an UPDATE
// or DELETE of one table with a condition. `parameters`: of a prepared statement.
std::optional<std::string> hot_row_key(const StatementInfo& info, std::string_view text,
                                       const std::vector<mysql::Parameter>* parameters);

enum class HotRowVerdict : uint8_t { kGo, kWait, kRowFull, kAllFull };
// `running` and `waiting`: about this row; `everywhere`: about all rows.
HotRowVerdict judge_hot_row(size_t running, size_t waiting, size_t everywhere, const HotRowSettings& settings);

// The queues of one event loop.
//   Threads: that loop; seen() any. Must outlive its places.
class HotRows {
 public:
  struct Counters {
    explicit Counters(base::Metrics& metrics);
    base::Family<base::Counter>&waits, &row_full, &all_full;  // By table.
  };
  // The right to be in the server, until it ends.
  class Place {
   public:
    Place() = default;
    Place(HotRows* rows, std::string key) : rows_(rows), key_(std::move(key)) {}
    Place(Place&& other) noexcept : rows_(std::exchange(other.rows_, nullptr)), key_(std::move(other.key_)) {}
    Place& operator=(Place&& other) noexcept {
      std::swap(rows_, other.rows_);
      std::swap(key_, other.key_);
      return *this;
    }
    ~Place() {
      if (rows_ != nullptr) rows_->leave(key_);
    }

   private:
    HotRows* rows_ = nullptr;
    std::string key_;
  };

  HotRows(const HotRowSettings& settings, Counters& counters) : settings_(settings), counters_(counters) {}
  bool enabled() const { return settings_.enabled || settings_.dry_run; }

  //   kResourceExhausted: too many wait, or it took too long: to be tried again.
  net::Task<Result<Place>> enter(std::string key, std::string table, net::Wait wait);

  // How often each row was waited for; the most waited for are kept. Any thread.
  std::vector<std::pair<std::string, uint64_t>> seen() const;

 private:
  struct Row {
    size_t running = 0, waiting = 0;
    net::Signal left;
  };
  void leave(const std::string& key);
  void note(const std::string& key);

  const HotRowSettings settings_;
  Counters& counters_;
  std::map<std::string, std::unique_ptr<Row>> rows_;
  size_t everywhere_ = 0;
  mutable std::mutex mutex_;  // Guards seen_.
  std::map<std::string, uint64_t> seen_;
};

}  // namespace vitrail::tablet
