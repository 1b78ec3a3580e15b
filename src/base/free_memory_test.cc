#include "base/free_memory.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace vitrail::base {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

TEST(FreeMemory, GivesBackWhatIsWorthIt) {
  const struct {
    uint64_t resident, used, after;
    bool worth;
  } cases[] = {
      {50, 10, 0, false},    {74, 10, 0, false},   {75, 10, 0, true},    {200, 190, 0, false},
      {200, 10, 190, false}, {200, 10, 183, true}, {300, 400, 0, false},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(FreeMemory::worth(c.resident * kMiB, c.used * kMiB, c.after * kMiB), c.worth)
        << c.resident << " " << c.used;
  }
}

#if !defined(__SANITIZE_ADDRESS__) && !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer)
TEST(FreeMemory, OfAnotherThreadGoesBackToTheSystem) {
  constexpr size_t kPieces = 400'000;
  const uint64_t before = resident_bytes();
  ASSERT_GT(before, 0);
  FreeMemory memory;
  std::unique_ptr<std::string> last;  // Above all others: the end of the heap cannot move.
  std::thread([&] {
    std::vector<std::unique_ptr<std::string>> pieces;
    for (size_t i = 0; i < kPieces; ++i) pieces.push_back(std::make_unique<std::string>(300, 'x'));
    last = std::make_unique<std::string>(300, 'y');
    EXPECT_GT(resident_bytes(), before + 100 * kMiB);
    EXPECT_FALSE(memory.look());
  }).join();
  EXPECT_TRUE(memory.look());
  EXPECT_LT(resident_bytes(), before + 40 * kMiB);
  EXPECT_FALSE(memory.look());
}
#endif

}  // namespace
}  // namespace vitrail::base
