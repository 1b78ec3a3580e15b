#include "control/external_reparent.h"

#include <gtest/gtest.h>

namespace vitrail::control {
namespace {

TEST(ExternalReparent, WhatIsDoneInWhateverOrderTheOtherToolWorks) {
  struct Case {
    const char* when;
    AdoptionFacts facts;
    Adoption want;
  };
  const Case cases[] = {
      {"the command is repeated", {.named = true, .read_only = false}, Adoption::kNothing},
      {"it comes before anything was done", {.follows = true, .old_answers = true}, Adoption::kRefuse},
      {"only the old primary was made read-only",
       {.follows = true, .old_answers = true, .old_read_only = true},
       Adoption::kRefuse},
      {"only the old primary is dead", {.follows = true}, Adoption::kRefuse},
      {"both are writable, and it follows",
       {.follows = true, .read_only = false, .old_answers = true},
       Adoption::kRefuse},
      {"it stands alone, and is not writable yet", {.old_answers = true}, Adoption::kStopOld},
      {"both stand alone and are writable", {.read_only = false, .old_answers = true}, Adoption::kStopOld},
      {"all is done", {.read_only = false, .old_answers = true, .old_read_only = true}, Adoption::kStopOld},
      {"it is writable, and follows one that is not",
       {.follows = true, .read_only = false, .old_answers = true, .old_read_only = true},
       Adoption::kStopOld},
      {"the old primary is dead", {.read_only = false}, Adoption::kTake},
      {"the old primary is dead, and it is not writable yet", {}, Adoption::kTake},
      {"the old primary is dead, and its replication was not ended",
       {.follows = true, .read_only = false},
       Adoption::kTake},
  };
  for (const Case& c : cases) EXPECT_EQ(judge_adoption(c.facts), c.want) << c.when;
}

TEST(ExternalReparent, WhatAServerHasOfAnothers) {
  struct Case {
    const char* when;
    const char *position, *state, *old_position, *old_state;
    Holding want;
  };
  const char* kUuid = "MySQL56/00000000-0000-0000-0000-000000000001:1-9";
  const char* kMore = "MySQL56/00000000-0000-0000-0000-000000000001:1-9,00000000-0000-0000-0000-000000000002:1";
  const char* kOther = "MySQL56/00000000-0000-0000-0000-000000000001:1-8,00000000-0000-0000-0000-000000000002:1";
  const Case cases[] = {
      {"the same", "MariaDB/0-100-9", "0-100-9", "MariaDB/0-100-9", "0-100-9", Holding::kAll},
      {"restored, without a log", "MariaDB/0-100-9", "", "MariaDB/0-100-9", "0-100-9", Holding::kAll},
      {"behind", "MariaDB/0-100-7", "0-100-7", "MariaDB/0-100-9", "0-100-9", Holding::kLess},
      {"nothing yet", "", "", "MariaDB/0-100-9", "0-100-9", Holding::kLess},
      {"went on from there", "MariaDB/0-101-12", "0-100-9,0-101-12", "MariaDB/0-100-9", "0-100-9", Holding::kAll},
      {"went on from before that, and is ahead by numbers", "MariaDB/0-101-12", "0-100-8,0-101-12", "MariaDB/0-100-9",
       "0-100-9", Holding::kDiverged},
      {"went on from before that, and has as many", "MariaDB/0-101-9", "0-100-8,0-101-9", "MariaDB/0-100-9", "0-100-9",
       Holding::kDiverged},
      {"went on from before that, and is behind by numbers", "MariaDB/0-101-9", "0-100-8,0-101-9", "MariaDB/0-100-12",
       "0-100-12", Holding::kDiverged},
      {"follows what was the primary", "MariaDB/0-101-12", "0-100-9,0-101-12", "MariaDB/0-101-11", "0-100-9,0-101-11",
       Holding::kAll},
      {"was the primary before", "MariaDB/0-101-7", "0-101-7", "MariaDB/0-100-9", "0-101-7,0-100-9", Holding::kLess},
      {"a domain more", "MariaDB/0-100-9,1-101-3", "0-100-9,1-101-3", "MariaDB/0-100-9", "0-100-9", Holding::kAll},
      {"each has a domain of its own", "MariaDB/0-100-9,1-101-3", "0-100-9,1-101-3", "MariaDB/0-100-9,2-100-1",
       "0-100-9,2-100-1", Holding::kDiverged},
      {"MySQL: the same", kUuid, "", kUuid, "", Holding::kAll},
      {"MySQL: more", kMore, "", kUuid, "", Holding::kAll},
      {"MySQL: less", kUuid, "", kMore, "", Holding::kLess},
      {"MySQL: both", kOther, "", kUuid, "", Holding::kDiverged},
  };
  for (const Case& c : cases) {
    const auto got = compare_logs({*mysql::Position::parse(c.position), c.state},
                                  {*mysql::Position::parse(c.old_position), c.old_state});
    ASSERT_TRUE(got.ok()) << c.when;
    EXPECT_EQ(*got, c.want) << c.when;
  }
  EXPECT_FALSE(compare_logs({*mysql::Position::parse(kUuid)}, {*mysql::Position::parse("MariaDB/0-100-9")}).ok());
}

}  // namespace
}  // namespace vitrail::control
