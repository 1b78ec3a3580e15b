#include "tablet/pool_patience.h"

#include <gtest/gtest.h>

namespace vitrail::tablet {
namespace {

using namespace std::chrono_literals;

const base::TimePoint kStart = base::TimePoint(1h);

TEST(PoolPatience, TheFirstOfAQueueAlwaysWaits) {
  PoolPatience patience;
  EXPECT_TRUE(patience.worth_waiting(kStart, 0, 5s));
  EXPECT_TRUE(patience.worth_waiting(kStart + 1h, 0, 5s));
}

TEST(PoolPatience, AQueueThatMovesIsWorthIt) {
  PoolPatience patience;
  base::TimePoint now = kStart;
  (void)patience.worth_waiting(now, 0, 5s);
  for (int i = 0; i < 100; ++i) {
    now += 10ms;
    patience.served(now);
    EXPECT_TRUE(patience.worth_waiting(now, 400, 5s)) << i;  // 4 s.
  }
  EXPECT_FALSE(patience.worth_waiting(now, 600, 5s));  // 6 s.
  EXPECT_TRUE(patience.worth_waiting(now, 600, 10s));
}

TEST(PoolPatience, AFewServedSayNothingOfThePace) {
  PoolPatience patience;
  base::TimePoint now = kStart;
  (void)patience.worth_waiting(now, 0, 5s);
  for (int i = 0; i < 5; ++i) patience.served(now += 100ms);
  EXPECT_TRUE(patience.worth_waiting(now, 1000, 5s));
}

TEST(PoolPatience, ASilentServerIsNotWaitedFor) {
  PoolPatience patience;
  (void)patience.worth_waiting(kStart, 0, 5s);
  EXPECT_TRUE(patience.worth_waiting(kStart + 4s, 3, 5s));
  EXPECT_FALSE(patience.worth_waiting(kStart + 6s, 3, 5s));
  // When all have given up, the next one tries again.
  EXPECT_TRUE(patience.worth_waiting(kStart + 6s, 0, 5s));
  EXPECT_TRUE(patience.worth_waiting(kStart + 7s, 1, 5s));
}

TEST(PoolPatience, ThePaceIsThatOfNow) {
  PoolPatience patience;
  base::TimePoint now = kStart;
  (void)patience.worth_waiting(now, 0, 5s);
  for (int i = 0; i < 50; ++i) patience.served(now += 100ms);
  EXPECT_FALSE(patience.worth_waiting(now, 100, 5s));
  for (int i = 0; i < 50; ++i) patience.served(now += 1ms);
  EXPECT_TRUE(patience.worth_waiting(now, 100, 5s));
}

}  // namespace
}  // namespace vitrail::tablet
