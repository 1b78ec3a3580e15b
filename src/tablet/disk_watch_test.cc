#include "tablet/disk_watch.h"

#include <errno.h>
#include <gtest/gtest.h>

namespace vitrail::tablet {
namespace {

using namespace std::chrono_literals;

TEST(DiskWatch, ARefusedWriteOrOneThatHangsIsAStall) {
  const base::TimePoint now{100s};
  const struct {
    DiskProbe probe;
    bool stalled;
  } cases[] = {{{}, false},
               {{.begun = now}, false},
               {{.begun = now - 30s}, false},
               {{.begun = now - 31s}, true},
               {{.refused = true}, true},
               {{.begun = now - 1s, .refused = true}, true}};  // Until a write succeeds.
  for (const auto& [probe, stalled] : cases) EXPECT_EQ(disk_stalled(probe, now, 30s), stalled);
}

TEST(DiskWatch, WhoMayNotWriteSaysNothingAboutTheDisk) {
  for (const int number : {ENOSPC, EDQUOT, EIO, EROFS}) EXPECT_TRUE(is_disk_error(number)) << number;
  for (const int number : {0, EACCES, EPERM, ENOENT, EMFILE}) EXPECT_FALSE(is_disk_error(number)) << number;
}

}  // namespace
}  // namespace vitrail::tablet
