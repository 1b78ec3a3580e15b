#include "base/memory_budget.h"

#include <gtest/gtest.h>

#include <thread>

namespace vitrail::base {
namespace {

using Kind = MemoryBudget::Kind;

MemoryBudget::Limits limits(uint64_t session, uint64_t process) {
  return {.session = session, .process = process, .session_flag = "--one", .process_flag = "--all"};
}

TEST(MemoryBudget, BoundsASessionOverAllKinds) {
  Metrics metrics("test");
  MemoryBudget budget(limits(100, 1000), metrics);
  MemoryBudget::Session session(budget);
  EXPECT_TRUE(session.take(Kind::kResults, 60).ok());
  EXPECT_TRUE(session.take(Kind::kLongData, 40).ok());
  const Status refused = session.take(Kind::kPrepared, 1);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), Code::kResourceExhausted);
  EXPECT_NE(refused.error().message().find("--one"), std::string::npos) << refused.error().message();
  EXPECT_EQ(budget.held(), 100u);
  session.give(Kind::kResults, 10);
  EXPECT_TRUE(session.take(Kind::kPrepared, 10).ok());
  EXPECT_FALSE(session.take(Kind::kPrepared, ~uint64_t{0}).ok());
}

TEST(MemoryBudget, BoundsAllSessionsTogether) {
  Metrics metrics("test");
  MemoryBudget budget(limits(100, 150), metrics);
  MemoryBudget::Session first(budget);
  EXPECT_TRUE(first.take(Kind::kResults, 100).ok());
  {
    MemoryBudget::Session second(budget);
    EXPECT_TRUE(second.take(Kind::kResults, 50).ok());
    const Status refused = second.take(Kind::kStatements, 1);
    ASSERT_FALSE(refused.ok());
    EXPECT_NE(refused.error().message().find("--all"), std::string::npos) << refused.error().message();
  }
  EXPECT_EQ(budget.held(), 100u);
  EXPECT_NE(metrics.to_json().find(R"("results":100)"), std::string::npos) << metrics.to_json();
}

TEST(MemoryBudget, GivesBackWhatAHoldHas) {
  Metrics metrics("test");
  MemoryBudget budget(limits(0, 0), metrics);
  MemoryBudget::Session session(budget);
  {
    MemoryBudget::Hold hold(session, Kind::kResults);
    EXPECT_TRUE(hold.add(5).ok());
    EXPECT_TRUE(hold.add(7).ok());
    EXPECT_EQ(session.held(Kind::kResults), 12u);
  }
  EXPECT_EQ(budget.held(), 0u);
}

TEST(MemoryBudget, NeverExceedsItsLimitFromSeveralThreads) {
  Metrics metrics("test");
  MemoryBudget budget(limits(0, 1000), metrics);
  std::atomic<bool> over = false;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 2000; ++i) {
        MemoryBudget::Session session(budget);
        uint64_t own = 0;
        while (session.take(Kind::kResults, 50).ok()) own += 50;
        if (own > 1000) over = true;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_FALSE(over);
  EXPECT_EQ(budget.held(), 0u);
}

}  // namespace
}  // namespace vitrail::base
