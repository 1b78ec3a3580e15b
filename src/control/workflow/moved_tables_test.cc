#include "control/workflow/moved_tables.h"

#include <gtest/gtest.h>

namespace vitrail::control {
namespace {

using Names = std::vector<std::string>;

TEST(ReadTableNames, TakesBackquotesAway) {
  const std::pair<Names, Names> kCases[] = {
      {{"a", "b c"}, {"a", "b c"}},
      {{"`a`", "b"}, {"a", "b"}},
      {{"`a", "b`", "c"}, {"a,b", "c"}},
      {{"`x``y`"}, {"x`y"}},
      {{"`a``", "``b`"}, {"a`,`b"}},
      {{"/a`.*/"}, {"/a`.*/"}},
      {{}, {}},
  };
  for (const auto& [pieces, names] : kCases) {
    const auto read = read_table_names(pieces);
    ASSERT_TRUE(read.ok()) << read.error().to_string();
    EXPECT_EQ(*read, names);
  }
  for (const Names& wrong : {Names{"`a"}, Names{"a`b`"}, Names{"`a`b"}, Names{"``"}, Names{"`a`.`b`"}, Names{"a`b"}}) {
    const auto read = read_table_names(wrong);
    ASSERT_FALSE(read.ok()) << wrong[0];
    EXPECT_EQ(read.error().code(), Code::kInvalidArgument);
  }
}

TEST(InternalTables, AreThoseOfTools) {
  for (const char* name : {"_vt_HOLD_6ace8bcef73211ea87e9f875a4d24e90_20200915120410",
                           "_vt_hld_6ace8bcef73211ea87e9f875a4d24e90_20200915120410_",
                           "_4e5dcf80_354b_11eb_82cd_f875a4d24e90_20201203114014_gho",
                           "_4e5dcf80_354b_11eb_82cd_f875a4d24e90_20201203114014_vrepl"}) {
    EXPECT_TRUE(is_internal_table_name(name)) << name;
  }
  for (const char* name : {"vt_t", "_t_old", "_orders_new", "_4e5dcf80_354b_11eb_82cd_f875a4d24e90_20201203114014_mine",
                           "_4e5dcf80_354b_11eb_82cd_f875a4d24e90", "", "_"}) {
    EXPECT_FALSE(is_internal_table_name(name)) << name;
  }
}

TEST(StripAutoIncrement, TakesTheAttributeAndTheOptionAway) {
  const auto stripped = strip_auto_increment(
      "CREATE TABLE `t` (\n  `k` int COMMENT ' AUTO_INCREMENT ',\n  `i``d` bigint NOT NULL AUTO_INCREMENT COMMENT "
      "'it''s',\n  PRIMARY KEY (`i``d`)\n) ENGINE=InnoDB AUTO_INCREMENT=42 COMMENT=' AUTO_INCREMENT '");
  EXPECT_EQ(stripped.column, "i`d");
  EXPECT_EQ(stripped.create,
            "CREATE TABLE `t` (\n  `k` int COMMENT ' AUTO_INCREMENT ',\n  `i``d` bigint NOT NULL COMMENT 'it''s',\n"
            "  PRIMARY KEY (`i``d`)\n) ENGINE=InnoDB COMMENT=' AUTO_INCREMENT '");
}

TEST(StripAutoIncrement, LeavesOtherTablesAlone) {
  for (const char* same : {"CREATE TABLE `t` (\n  `a AUTO_INCREMENT b` int,\n  `AUTO_INCREMENT` int\n) COMMENT='x\\' "
                           "AUTO_INCREMENT y'",
                           "", "CREATE VIEW `v` AS select 1"}) {
    const auto stripped = strip_auto_increment(same);
    EXPECT_EQ(stripped.create, same);
    EXPECT_EQ(stripped.column, "");
  }
}

TEST(StripAutoIncrement, ServesTheLastColumn) {
  const auto stripped =
      strip_auto_increment("CREATE TABLE `t` (\n  `id` int(11) NOT NULL AUTO_INCREMENT,\n  PRIMARY KEY (`id`)\n)");
  EXPECT_EQ(stripped.column, "id");
  EXPECT_EQ(stripped.create, "CREATE TABLE `t` (\n  `id` int(11) NOT NULL,\n  PRIMARY KEY (`id`)\n)");
}

}  // namespace
}  // namespace vitrail::control
