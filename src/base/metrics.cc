#include "base/metrics.h"

#include <fmt/core.h>

#include <algorithm>
#include <mutex>
#include <utility>

#include "base/check.h"
#include "base/text.h"

namespace vitrail::base {
namespace metrics_internal {
namespace {

// Hands out the owned cells. The lock orders the last increment of an ended owner before the first of the next.
class CellOwners {
 public:
  size_t take() {
    const std::scoped_lock lock(mutex_);
    for (size_t i = 0; i < kOwnedCells; ++i) {
      if (!taken_[i]) {
        taken_[i] = true;
        return i;
      }
    }
    return kOwnedCells;
  }
  void give_back(size_t index) {
    if (index >= kOwnedCells) return;
    const std::scoped_lock lock(mutex_);
    taken_[index] = false;
  }

 private:
  std::mutex mutex_;
  std::array<bool, kOwnedCells> taken_{};
};

CellOwners& cell_owners() {
  static auto* owners = new CellOwners;  // Outlives every thread.
  return *owners;
}

constexpr size_t kNotYet = SIZE_MAX;
thread_local size_t my_cell = kNotYet;

// After this object's end (late in a thread's life) the thread counts in the shared cell.
struct CellLease {
  size_t index = cell_owners().take();
  ~CellLease() {
    my_cell = kOwnedCells;
    cell_owners().give_back(index);
  }
};

}  // namespace

size_t cell_index() {
  if (my_cell == kNotYet) [[unlikely]] {
    thread_local CellLease lease;
    my_cell = lease.index;
  }
  return my_cell;
}

}  // namespace metrics_internal

using metrics_internal::add_to;
using metrics_internal::cell_index;

uint64_t Counter::value() const {
  uint64_t sum = 0;
  for (const Cell& cell : cells_) sum += cell.value.load(std::memory_order_relaxed);
  return sum;
}

void Timing::record(Duration took) {
  const int64_t ns = std::max<int64_t>(took.count(), 0);
  const auto bucket = static_cast<size_t>(std::ranges::lower_bound(kBoundsNs, ns) - kBoundsNs.begin());
  const size_t index = cell_index();
  add_to(cells_[index].buckets[bucket], 1, index);
  add_to(cells_[index].sum_ns, static_cast<uint64_t>(ns), index);
}

Timing::Snapshot Timing::snapshot() const {
  Snapshot result;
  uint64_t sum = 0;
  for (const Cell& cell : cells_) {
    for (size_t i = 0; i < result.buckets.size(); ++i) {
      result.buckets[i] += cell.buckets[i].load(std::memory_order_relaxed);
    }
    sum += cell.sum_ns.load(std::memory_order_relaxed);
  }
  for (const uint64_t bucket : result.buckets) result.count += bucket;
  result.sum_ns = static_cast<int64_t>(sum);
  return result;
}

template <typename Metric>
Metric& Family<Metric>::with(const Labels& values) {
  CHECK(values.size() == label_count_);
  {
    const std::shared_lock lock(mutex_);
    const auto found = series_.find(values);
    if (found != series_.end()) return *found->second;
  }
  const std::unique_lock lock(mutex_);
  if (auto gone = removed_.extract(values)) return *series_.insert(std::move(gone)).position->second;
  const bool full = series_.size() + removed_.size() >= kSeriesMax && !series_.contains(values);
  std::unique_ptr<Metric>& slot = series_[full ? Labels(label_count_, "_other") : values];
  if (slot == nullptr) slot = std::make_unique<Metric>();
  return *slot;
}

template <typename Metric>
void Family<Metric>::remove(const Labels& values) {
  const std::unique_lock lock(mutex_);
  if (auto gone = series_.extract(values)) removed_.insert(std::move(gone));
}

template <typename Metric>
std::vector<std::pair<typename Family<Metric>::Labels, const Metric*>> Family<Metric>::series() const {
  const std::shared_lock lock(mutex_);
  std::vector<std::pair<Labels, const Metric*>> all;
  all.reserve(series_.size());
  for (const auto& [labels, metric] : series_) all.emplace_back(labels, metric.get());
  return all;
}

template class Family<Counter>;
template class Family<Gauge>;
template class Family<Timing>;

namespace {

enum Kind : int { kCounters, kGauges, kTimings, kGaugeFunction, kTextFunction, kJsonFunction };

// "QueryExecutionsByTable" -> "query_executions_by_table"; "VReplicationQPS" -> "v_replication_qps".
std::string snake_case(std::string_view name) {
  const auto is_upper = [](char c) { return c >= 'A' && c <= 'Z'; };
  std::string out;
  for (size_t i = 0; i < name.size(); ++i) {
    const bool starts_word =
        i > 0 && is_upper(name[i]) && name[i - 1] != '_' &&
        (!is_upper(name[i - 1]) || (i + 1 < name.size() && name[i + 1] >= 'a' && name[i + 1] <= 'z'));
    if (starts_word) out.push_back('_');
    const char c = name[i];
    const bool allowed = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    out += allowed ? to_lower(std::string_view(&c, 1)) : "_";
  }
  return out;
}

std::string prometheus_name(const std::string& program, std::string_view name) {
  const std::string prefix = program + "_";
  std::string out = snake_case(name);
  return out.starts_with(prefix) ? out : prefix + out;
}

std::string joined_labels(const std::vector<std::string>& values) {
  std::string key;
  for (size_t i = 0; i < values.size(); ++i) {
    if (i > 0) key.push_back('.');
    for (const char c : values[i]) key.push_back(c == '.' ? '_' : c);
  }
  return key;
}

// {a="1",b="2"}, with `extra` ("le=...") behind; "" when there is nothing to print.
std::string label_block(const std::vector<std::string>& names, const std::vector<std::string>& values,
                        std::string_view extra = {}) {
  std::string block;
  for (size_t i = 0; i < names.size() && i < values.size(); ++i) {
    if (!block.empty()) block.push_back(',');
    block += names[i] + "=\"";
    for (const char c : values[i]) {
      if (c == '\n') {
        block += "\\n";
      } else {
        if (c == '"' || c == '\\') block.push_back('\\');
        block.push_back(c);
      }
    }
    block.push_back('"');
  }
  if (!extra.empty()) {
    if (!block.empty()) block.push_back(',');
    block += extra;
  }
  return block.empty() ? block : "{" + block + "}";
}

void append_member(std::string& object, std::string_view key, std::string_view value) {
  if (object.size() > 1) object.push_back(',');
  append_json_string(object, key);
  object.push_back(':');
  object += value;
}

// One histogram as /debug/vars prints it: cumulative counts by upper bound in nanoseconds.
std::string histogram_json(const Timing::Snapshot& timing) {
  std::string object = "{";
  uint64_t cumulative = 0;
  for (size_t i = 0; i < timing.buckets.size(); ++i) {
    cumulative += timing.buckets[i];
    const std::string bound = i < Timing::kBoundsNs.size() ? fmt::format("{}", Timing::kBoundsNs[i]) : "inf";
    append_member(object, bound, fmt::format("{}", cumulative));
  }
  append_member(object, "Count", fmt::format("{}", timing.count));
  append_member(object, "Time", fmt::format("{}", timing.sum_ns));
  return object + "}";
}

}  // namespace

struct Metrics::Entry {
  int kind;
  std::string help;
  std::vector<std::string> labels;
  std::unique_ptr<Family<Counter>> counters;
  std::unique_ptr<Family<Gauge>> gauges;
  std::unique_ptr<Family<Timing>> timings;
  std::function<std::vector<Sample>()> read_gauges;
  std::function<std::string()> read_text;

  std::string to_json() const;
  void print(std::string& out, const std::string& name) const;
};

std::string Metrics::Entry::to_json() const {
  std::string object = "{";
  switch (kind) {
    case kTextFunction: return json_string(read_text());
    case kJsonFunction: return read_text();
    case kCounters:
      for (const auto& [values, counter] : counters->series()) {
        if (labels.empty()) return fmt::format("{}", counter->value());
        append_member(object, joined_labels(values), fmt::format("{}", counter->value()));
      }
      break;
    case kGauges:
      for (const auto& [values, gauge] : gauges->series()) {
        if (labels.empty()) return fmt::format("{}", gauge->value());
        append_member(object, joined_labels(values), fmt::format("{}", gauge->value()));
      }
      break;
    case kGaugeFunction:
      for (const Sample& sample : read_gauges()) {
        if (labels.empty()) return fmt::format("{}", sample.value);
        append_member(object, joined_labels(sample.labels), fmt::format("{}", sample.value));
      }
      break;
    case kTimings: {
      uint64_t count = 0;
      int64_t sum_ns = 0;
      std::string histograms = "{";
      for (const auto& [values, timing] : timings->series()) {
        const Timing::Snapshot snapshot = timing->snapshot();
        count += snapshot.count;
        sum_ns += snapshot.sum_ns;
        append_member(histograms, labels.empty() ? "All" : joined_labels(values), histogram_json(snapshot));
      }
      append_member(object, "TotalCount", fmt::format("{}", count));
      append_member(object, "TotalTime", fmt::format("{}", sum_ns));
      append_member(object, "Histograms", histograms + "}");
      break;
    }
    default: break;
  }
  return object + "}";
}

void Metrics::Entry::print(std::string& out, const std::string& name) const {
  if (kind == kTextFunction || kind == kJsonFunction) return;
  std::string help_line;
  for (const char c : help) {
    if (c == '\\')
      help_line += "\\\\";
    else if (c == '\n')
      help_line += "\\n";
    else
      help_line.push_back(c);
  }
  const std::string_view type = kind == kCounters ? "counter" : kind == kTimings ? "histogram" : "gauge";
  out += fmt::format("# HELP {0} {1}\n# TYPE {0} {2}\n", name, help_line, type);
  if (kind == kCounters) {
    for (const auto& [values, c] : counters->series())
      out += fmt::format("{}{} {}\n", name, label_block(labels, values), c->value());
  } else if (kind == kGauges) {
    for (const auto& [values, g] : gauges->series())
      out += fmt::format("{}{} {}\n", name, label_block(labels, values), g->value());
  } else if (kind == kGaugeFunction) {
    for (const Sample& s : read_gauges()) out += fmt::format("{}{} {}\n", name, label_block(labels, s.labels), s.value);
  } else {
    for (const auto& [values, timing] : timings->series()) {
      const Timing::Snapshot snapshot = timing->snapshot();
      uint64_t cumulative = 0;
      for (size_t i = 0; i < snapshot.buckets.size(); ++i) {
        cumulative += snapshot.buckets[i];
        const std::string bound = i < Timing::kBoundsNs.size()
                                      ? fmt::format("le=\"{}\"", static_cast<double>(Timing::kBoundsNs[i]) / 1e9)
                                      : "le=\"+Inf\"";
        out += fmt::format("{}_bucket{} {}\n", name, label_block(labels, values, bound), cumulative);
      }
      out +=
          fmt::format("{}_sum{} {}\n", name, label_block(labels, values), static_cast<double>(snapshot.sum_ns) / 1e9);
      out += fmt::format("{}_count{} {}\n", name, label_block(labels, values), snapshot.count);
    }
  }
}

Metrics::Metrics(std::string program) : program_(std::move(program)) {}
Metrics::~Metrics() = default;

Metrics::Entry& Metrics::declare(std::string_view name, std::string_view help, int kind,
                                 std::vector<std::string> labels, bool& made) {
  const std::unique_lock lock(mutex_);
  const auto [position, inserted] = entries_.try_emplace(std::string(name));
  made = inserted;
  if (!inserted) {
    CHECK(position->second->kind == kind && position->second->labels == labels);
    return *position->second;
  }
  position->second = std::make_unique<Entry>();
  Entry& entry = *position->second;
  entry.kind = kind;
  entry.help = help;
  entry.labels = std::move(labels);
  switch (kind) {
    case kCounters: entry.counters.reset(new Family<Counter>(entry.labels.size())); break;
    case kGauges: entry.gauges.reset(new Family<Gauge>(entry.labels.size())); break;
    case kTimings: entry.timings.reset(new Family<Timing>(entry.labels.size())); break;
    default: break;
  }
  return entry;
}

Family<Counter>& Metrics::counters(std::string_view name, std::string_view help, std::vector<std::string> labels) {
  bool made = false;
  return *declare(name, help, kCounters, std::move(labels), made).counters;
}

Family<Gauge>& Metrics::gauges(std::string_view name, std::string_view help, std::vector<std::string> labels) {
  bool made = false;
  return *declare(name, help, kGauges, std::move(labels), made).gauges;
}

Family<Timing>& Metrics::timings(std::string_view name, std::string_view help, std::vector<std::string> labels) {
  bool made = false;
  return *declare(name, help, kTimings, std::move(labels), made).timings;
}

Counter& Metrics::counter(std::string_view name, std::string_view help) { return counters(name, help, {}).with({}); }
Gauge& Metrics::gauge(std::string_view name, std::string_view help) { return gauges(name, help, {}).with({}); }
Timing& Metrics::timing(std::string_view name, std::string_view help) { return timings(name, help, {}).with({}); }

Metrics::Subscription Metrics::subscribe(std::string_view name) {
  Subscription subscription;
  subscription.metrics_ = this;
  subscription.name_ = name;
  return subscription;
}

Metrics::Subscription Metrics::gauges_function(std::string_view name, std::string_view help,
                                               std::vector<std::string> labels,
                                               std::function<std::vector<Sample>()> read) {
  const std::unique_lock lock(mutex_);
  auto entry = std::make_unique<Entry>();
  entry->kind = kGaugeFunction;
  entry->help = help;
  entry->labels = std::move(labels);
  entry->read_gauges = std::move(read);
  CHECK(entries_.try_emplace(std::string(name), std::move(entry)).second);
  return subscribe(name);
}

Metrics::Subscription Metrics::gauge_function(std::string_view name, std::string_view help,
                                              std::function<int64_t()> read) {
  return gauges_function(name, help, {}, [read = std::move(read)] { return std::vector<Sample>{{{}, read()}}; });
}

Metrics::Subscription Metrics::text_function(std::string_view name, std::function<std::string()> read) {
  const std::unique_lock lock(mutex_);
  auto entry = std::make_unique<Entry>();
  entry->kind = kTextFunction;
  entry->read_text = std::move(read);
  CHECK(entries_.try_emplace(std::string(name), std::move(entry)).second);
  return subscribe(name);
}

Metrics::Subscription Metrics::json_function(std::string_view name, std::function<std::string()> read) {
  const std::unique_lock lock(mutex_);
  auto entry = std::make_unique<Entry>();
  entry->kind = kJsonFunction;
  entry->read_text = std::move(read);
  CHECK(entries_.try_emplace(std::string(name), std::move(entry)).second);
  return subscribe(name);
}

void Metrics::forget(const std::string& name) {
  const std::unique_lock lock(mutex_);
  entries_.erase(name);
}

Metrics::Subscription::Subscription(Subscription&& other) noexcept
    : metrics_(std::exchange(other.metrics_, nullptr)), name_(std::move(other.name_)) {}

Metrics::Subscription& Metrics::Subscription::operator=(Subscription&& other) noexcept {
  std::swap(metrics_, other.metrics_);
  std::swap(name_, other.name_);
  return *this;
}

Metrics::Subscription::~Subscription() {
  if (metrics_ != nullptr) metrics_->forget(name_);
}

std::string Metrics::to_json() const {
  const std::shared_lock lock(mutex_);
  std::string document = "{";
  for (const auto& [name, entry] : entries_) {
    document += document.size() > 1 ? ",\n" : "\n";
    append_json_string(document, name);
    document += ": " + entry->to_json();
  }
  return document + "\n}\n";
}

std::string Metrics::to_prometheus() const {
  const std::shared_lock lock(mutex_);
  std::string document;
  for (const auto& [name, entry] : entries_) entry->print(document, prometheus_name(program_, name));
  return document;
}

}  // namespace vitrail::base
