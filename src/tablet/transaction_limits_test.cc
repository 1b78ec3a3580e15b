#include "tablet/transaction_limits.h"

#include <gtest/gtest.h>

namespace vitrail::tablet {
namespace {

TEST(TransactionLimits, AShareOfThePool) {
  EXPECT_EQ(transactions_allowed(20, {.share = 0.4}), 8u);
  EXPECT_EQ(transactions_allowed(1, {.share = 0.4}), 1u);
  EXPECT_EQ(transactions_allowed(10, {.share = 2}), 10u);
  EXPECT_EQ(transactions_allowed(10, {.share = -1}), 1u);
}

TEST(TransactionLimits, OneCallerLeavesRoomForOthers) {
  base::Metrics metrics("test");
  TransactionLimits limits({.enabled = true, .share = 0.5}, 4, metrics);
  auto one = limits.enter("app");
  auto two = limits.enter("app");
  ASSERT_TRUE(one.ok() && two.ok());
  const auto three = limits.enter("app");
  ASSERT_FALSE(three.ok());
  EXPECT_EQ(three.error().code(), Code::kResourceExhausted);
  EXPECT_TRUE(limits.enter("other").ok());
  {
    const auto ends = std::move(*one);
  }
  EXPECT_TRUE(limits.enter("app").ok());
}

TEST(TransactionLimits, ADryRunCounts) {
  base::Metrics metrics("test");
  TransactionLimits limits({.enabled = true, .dry_run = true, .share = 0.25}, 4, metrics);
  const auto one = limits.enter("app"), two = limits.enter("app");
  EXPECT_TRUE(one.ok() && two.ok());
  EXPECT_EQ(metrics.counters("TransactionLimitRefused", "", {"user"}).with({"app"}).value(), 1u);
}

}  // namespace
}  // namespace vitrail::tablet
