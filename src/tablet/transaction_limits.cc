#include "tablet/transaction_limits.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

namespace vitrail::tablet {

size_t transactions_allowed(size_t pool_size, const TransactionLimitSettings& settings) {
  const double share = std::clamp(settings.share, 0.0, 1.0);
  return std::max<size_t>(static_cast<size_t>(std::floor(static_cast<double>(pool_size) * share)), 1);
}

TransactionLimits::TransactionLimits(const TransactionLimitSettings& settings, size_t pool_size, base::Metrics& metrics)
    : settings_(settings),
      allowed_(transactions_allowed(pool_size, settings)),
      refused_(
          metrics.counters("TransactionLimitRefused",
                           "transactions refused since their caller had as many open as it may have; in a dry run: "
                           "that would have been",
                           {"user"})) {
  if (!enabled()) return;
  subscription_ = metrics.gauges_function("TransactionLimitOpen", "open transactions", {"user"}, [this] {
    std::vector<base::Metrics::Sample> out;
    const std::scoped_lock lock(mutex_);
    for (const auto& [user, count] : open_) out.push_back({{user}, static_cast<int64_t>(count)});
    return out;
  });
}

Result<TransactionLimits::Slot> TransactionLimits::enter(const std::string& user) {
  size_t open = 0;
  {
    const std::scoped_lock lock(mutex_);
    open = open_[user];
    if (open < allowed_ || !settings_.enabled || settings_.dry_run) ++open_[user];
  }
  if (open < allowed_) return Slot(this, user);
  refused_.with({user}).add();
  if (!settings_.enabled || settings_.dry_run) return Slot(this, user);
  return fail(Code::kResourceExhausted,
              fmt::format("per-user transaction pool connection limit exceeded: {} has {} transactions open "
                          "(--transaction-limit-per-user)",
                          user, open))
      .with_retry(Retry::kSameTarget);
}

void TransactionLimits::leave(const std::string& user) {
  const std::scoped_lock lock(mutex_);
  const auto found = open_.find(user);
  if (--found->second == 0) open_.erase(found);
}

}  // namespace vitrail::tablet
