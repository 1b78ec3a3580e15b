#include "movement/row_share.h"

#include <gtest/gtest.h>

namespace vitrail::movement {
namespace {

TEST(RowShare, KnowsWhenAllKeysAreWanted) {
  struct Case {
    std::vector<std::string> ranges;
    bool all;
  };
  for (const Case& c : {Case{{}, false}, Case{{"-"}, true}, Case{{"-80"}, false}, Case{{"80-", "-80"}, true},
                        Case{{"-40", "80-"}, false}, Case{{"-40", "40-80", "80-"}, true},
                        Case{{"-c0", "20-40", "80-"}, true}, Case{{"40-", "40-"}, false}}) {
    std::vector<shard::KeyRange> ranges;
    for (const std::string& range : c.ranges) ranges.push_back(*shard::KeyRange::parse(range));
    EXPECT_EQ(cover_all_keys(ranges), c.all) << ::testing::PrintToString(c.ranges);
  }
}

}  // namespace
}  // namespace vitrail::movement
