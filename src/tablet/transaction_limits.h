#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/metrics.h"
#include "base/result.h"

// How many of the connections to the server one caller may hold with open transactions: one application that leaves its
// transactions open does not take all of them.
namespace vitrail::tablet {

struct TransactionLimitSettings {
  bool enabled = false;
  bool dry_run = false;  // Only count what would be refused.
  double share = 0.4;    // Of the pool.
};

// The number of transactions that one caller may have of a pool of `pool_size` connections; at least one.
size_t transactions_allowed(size_t pool_size, const TransactionLimitSettings& settings);

//   Threads: any. Must outlive its slots.
class TransactionLimits {
 public:
  // One open transaction, until it ends.
  class Slot {
   public:
    Slot() = default;
    Slot(TransactionLimits* limits, std::string user) : limits_(limits), user_(std::move(user)) {}
    Slot(Slot&& other) noexcept : limits_(std::exchange(other.limits_, nullptr)), user_(std::move(other.user_)) {}
    Slot& operator=(Slot&& other) noexcept {
      std::swap(limits_, other.limits_);
      std::swap(user_, other.user_);
      return *this;
    }
    ~Slot() {
      if (limits_ != nullptr) limits_->leave(user_);
    }
    bool held() const { return limits_ != nullptr; }

   private:
    TransactionLimits* limits_ = nullptr;
    std::string user_;
  };

  TransactionLimits(const TransactionLimitSettings& settings, size_t pool_size, base::Metrics& metrics);
  bool enabled() const { return settings_.enabled || settings_.dry_run; }

  //   kResourceExhausted: the caller has as many as it may have: to be tried again.
  Result<Slot> enter(const std::string& user);

 private:
  void leave(const std::string& user);

  const TransactionLimitSettings settings_;
  const size_t allowed_;
  base::Family<base::Counter>& refused_;
  mutable std::mutex mutex_;
  std::map<std::string, size_t> open_;
  base::Metrics::Subscription subscription_;
};

}  // namespace vitrail::tablet
