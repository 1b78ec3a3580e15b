#include "base/memory_budget.h"

#include <fmt/core.h>

#include "base/check.h"

namespace vitrail::base {
namespace {

constexpr std::array<const char*, MemoryBudget::kKinds> kNames = {"results", "long_data", "prepared", "statements"};
constexpr std::array<const char*, MemoryBudget::kKinds> kWhat = {
    "rows that are put together here", "long data of prepared statements", "prepared statements", "statements"};

}  // namespace

MemoryBudget::MemoryBudget(Limits limits, Metrics& metrics)
    : limits_(std::move(limits)),
      refused_(metrics.counters("MemoryRefused", "statements that would have held more memory than allowed", {"kind"})),
      gauge_(metrics.gauges_function("MemoryHeldBytes", "bytes held for clients", {"kind"}, [this] {
        std::vector<Metrics::Sample> samples;
        for (size_t i = 0; i < kKinds; ++i) {
          samples.push_back({{kNames[i]}, static_cast<int64_t>(by_kind_[i].load(std::memory_order_relaxed))});
        }
        return samples;
      })) {}

Status MemoryBudget::refuse(Kind kind, uint64_t bytes, uint64_t limit, const char* of, const std::string& flag) {
  const auto index = static_cast<size_t>(kind);
  refused_.with({kNames[index]}).add();
  return fail(Code::kResourceExhausted,
              fmt::format("out of memory for {}: {} more bytes are over the {} bytes that {} may hold ({})",
                          kWhat[index], bytes, limit, of, flag))
      .with_mysql(kErrno, "HY000");
}

Status MemoryBudget::Session::take(Kind kind, uint64_t bytes) {
  MemoryBudget& budget = *budget_;
  const Limits& limits = budget.limits_;
  uint64_t own = 0;
  for (const uint64_t held : held_) own += held;
  if (limits.session != 0 && bytes > limits.session - std::min(own, limits.session)) {
    return budget.refuse(kind, bytes, limits.session, "one session", limits.session_flag);
  }
  const uint64_t before = budget.total_.fetch_add(bytes, std::memory_order_relaxed);
  if (limits.process != 0 && bytes > limits.process - std::min(before, limits.process)) {
    budget.total_.fetch_sub(bytes, std::memory_order_relaxed);
    return budget.refuse(kind, bytes, limits.process, "all sessions together", limits.process_flag);
  }
  held_[static_cast<size_t>(kind)] += bytes;
  budget.by_kind_[static_cast<size_t>(kind)].fetch_add(bytes, std::memory_order_relaxed);
  return {};
}

void MemoryBudget::Session::give(Kind kind, uint64_t bytes) {
  const auto index = static_cast<size_t>(kind);
  CHECK(bytes <= held_[index]);
  held_[index] -= bytes;
  budget_->by_kind_[index].fetch_sub(bytes, std::memory_order_relaxed);
  budget_->total_.fetch_sub(bytes, std::memory_order_relaxed);
}

MemoryBudget::Session::~Session() {
  for (size_t i = 0; i < kKinds; ++i) give(static_cast<Kind>(i), held_[i]);
}

Status MemoryBudget::Hold::add(uint64_t bytes) {
  Status taken = session_->take(kind_, bytes);
  if (taken.ok()) bytes_ += bytes;
  return taken;
}

}  // namespace vitrail::base
