#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"

namespace vitrail::base {

// Counters, gauges and timings of one process, and their two printed forms: Prometheus' text format (exposition format
// 0.0.4) for /metrics and the JSON of /debug/vars. Names are CamelCase as /debug/vars shows them ("QueryExecutions");
// /metrics prints "<program>_query_executions", and the program's name once where the metric's begins with it
// ("VtgateApi" of vtgate is "vtgate_api"). A metric with labels is printed in /debug/vars as a map keyed by the
// label values joined with '.' (a '.' inside a value becomes '_'): {"commerce.0.primary": 1}.
//
// No library: the text writer is shorter than the glue to one, none prints the second form, and cells per thread keep
// an increment at about a nanosecond.
//
//   Owns    : the Metrics object owns every metric; references stay valid as long as it lives.
//   Threads : everything may be called from any thread. Increments take no lock. with() takes a shared lock: keep the
//             reference it returns on hot paths.
//   Bounds  : a family keeps at most kSeriesMax label combinations; all others share one, labelled "_other".

namespace metrics_internal {

// The first kOwnedCells threads that count own a cell and need no atomic read-modify-write; the others share the last.
inline constexpr size_t kOwnedCells = 15;
inline constexpr size_t kCells = kOwnedCells + 1;
// Index of this thread's cell. An index is given to another thread only after its owner has ended.
size_t cell_index();

inline void add_to(std::atomic<uint64_t>& cell, uint64_t amount, size_t index) {
  if (index < kOwnedCells) {
    cell.store(cell.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
  } else {
    cell.fetch_add(amount, std::memory_order_relaxed);
  }
}

}  // namespace metrics_internal

// Only grows.
class Counter {
 public:
  void add(uint64_t amount = 1) {
    const size_t index = metrics_internal::cell_index();
    metrics_internal::add_to(cells_[index].value, amount, index);
  }
  uint64_t value() const;

 private:
  struct alignas(64) Cell {
    std::atomic<uint64_t> value{0};
  };
  std::array<Cell, metrics_internal::kCells> cells_;
};

class Gauge {
 public:
  void set(int64_t value) { value_.store(value, std::memory_order_relaxed); }
  void add(int64_t amount) { value_.fetch_add(amount, std::memory_order_relaxed); }
  int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> value_{0};
};

// How long something took: count, sum and a histogram with upper bounds 0.5 ms, 1 ms, 5 ms ... 10 s, infinity.
class Timing {
 public:
  static constexpr std::array<int64_t, 10> kBoundsNs = {500'000,       1'000'000,     5'000'000,   10'000'000,
                                                        50'000'000,    100'000'000,   500'000'000, 1'000'000'000,
                                                        5'000'000'000, 10'000'000'000};
  struct Snapshot {
    std::array<uint64_t, kBoundsNs.size() + 1> buckets{};  // Not cumulative; the last has no upper bound.
    uint64_t count = 0;
    int64_t sum_ns = 0;
  };

  void record(Duration took);
  Snapshot snapshot() const;

 private:
  struct alignas(64) Cell {
    std::array<std::atomic<uint64_t>, kBoundsNs.size() + 1> buckets{};
    std::atomic<uint64_t> sum_ns{0};
  };
  std::array<Cell, metrics_internal::kCells> cells_;
};

// Metrics that differ in label values.
template <typename Metric>
class Family {
 public:
  static constexpr size_t kSeriesMax = 10'000;
  using Labels = std::vector<std::string>;

  // The metric of these label values, one per label name; made when new.
  Metric& with(const Labels& values);
  // Stops printing a series. References to it stay valid; a later with() brings it back, with its value.
  void remove(const Labels& values);
  std::vector<std::pair<Labels, const Metric*>> series() const;

 private:
  friend class Metrics;
  explicit Family(size_t label_count) : label_count_(label_count) {}
  const size_t label_count_;
  mutable std::shared_mutex mutex_;
  std::map<Labels, std::unique_ptr<Metric>> series_;
  std::map<Labels, std::unique_ptr<Metric>> removed_;
};

extern template class Family<Counter>;
extern template class Family<Gauge>;
extern template class Family<Timing>;

class Metrics {
 public:
  struct Sample {
    std::vector<std::string> labels;
    int64_t value;
  };

  // `program` prefixes the Prometheus names.
  explicit Metrics(std::string program);
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  // A second declaration of a name returns the first one's metric if kind and labels agree, else it breaks an
  // invariant.
  Counter& counter(std::string_view name, std::string_view help);
  Gauge& gauge(std::string_view name, std::string_view help);
  Timing& timing(std::string_view name, std::string_view help);
  // `labels` are lower-case names with '_', for Prometheus.
  Family<Counter>& counters(std::string_view name, std::string_view help, std::vector<std::string> labels);
  Family<Gauge>& gauges(std::string_view name, std::string_view help, std::vector<std::string> labels);
  Family<Timing>& timings(std::string_view name, std::string_view help, std::vector<std::string> labels);

  // Computed when printed. The functions run on the thread that prints, may run at the same time on several, must not
  // block or declare metrics, and must not outlive what they read: keep the Subscription and end it first.
  class [[nodiscard]] Subscription {
   public:
    Subscription() = default;
    Subscription(Subscription&& other) noexcept;
    Subscription& operator=(Subscription&& other) noexcept;
    ~Subscription();  // Waits for a print that is under way.

   private:
    friend class Metrics;
    Metrics* metrics_ = nullptr;
    std::string name_;
  };
  Subscription gauge_function(std::string_view name, std::string_view help, std::function<int64_t()> read);
  Subscription gauges_function(std::string_view name, std::string_view help, std::vector<std::string> labels,
                               std::function<std::vector<Sample>()> read);
  // Text and ready-made JSON appear in /debug/vars only.
  Subscription text_function(std::string_view name, std::function<std::string()> read);
  Subscription json_function(std::string_view name, std::function<std::string()> read);

  // The /debug/vars document.
  std::string to_json() const;
  // The /metrics document.
  std::string to_prometheus() const;

 private:
  struct Entry;
  Entry& declare(std::string_view name, std::string_view help, int kind, std::vector<std::string> labels, bool& made);
  Subscription subscribe(std::string_view name);
  void forget(const std::string& name);

  const std::string program_;
  mutable std::shared_mutex mutex_;
  std::map<std::string, std::unique_ptr<Entry>, std::less<>> entries_;
};

}  // namespace vitrail::base
