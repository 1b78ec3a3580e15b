#include "tablet/ack_doubt.h"

#include <gtest/gtest.h>

#include <optional>

namespace vitrail::tablet {
namespace {

TEST(AckDoubt, IsOfKillsThatMetTheStatement) {
  AckDoubt doubt;
  const auto believed = [&](uint64_t mark) { return doubt.begun() == mark; };
  const uint64_t before = doubt.mark();
  EXPECT_TRUE(believed(before));
  std::optional<AckDoubt::Kill> kill(&doubt);
  EXPECT_FALSE(believed(before)) << "killed while it ran";
  const uint64_t meanwhile = doubt.mark();
  EXPECT_FALSE(believed(meanwhile)) << "sent while a KILL was under way";
  kill.reset();
  EXPECT_FALSE(believed(before)) << "also when the KILL is over";
  EXPECT_FALSE(believed(meanwhile));
  EXPECT_TRUE(believed(doubt.mark())) << "sent behind it";
}

TEST(AckDoubt, DoesNotWaitForWhatRollsBackForLong) {
  AckDoubt doubt;
  const base::TimePoint start{};
  const AckDoubt::Kill kill(&doubt, start);
  EXPECT_EQ(doubt.mark(start), 0);
  EXPECT_EQ(doubt.mark(start + AckDoubt::kLasts), 0);
  EXPECT_EQ(doubt.mark(start + AckDoubt::kLasts * 2), 1);
  const AckDoubt::Kill another(&doubt, start + AckDoubt::kLasts * 2);
  EXPECT_EQ(doubt.mark(start + AckDoubt::kLasts * 2), 1) << "2 have begun";
}

TEST(AckDoubt, CountsEachKillOnce) {
  AckDoubt doubt;
  {
    AckDoubt::Kill first(&doubt), second(&doubt);
    AckDoubt::Kill moved = std::move(first);
    EXPECT_EQ(doubt.begun(), 2);
    EXPECT_EQ(doubt.mark(base::TimePoint{}), 0);
    moved = std::move(second);
  }
  EXPECT_EQ(doubt.mark(), 2);
  AckDoubt::Kill nobody(nullptr);
}

}  // namespace
}  // namespace vitrail::tablet
