#include "movement/secondary_keys.h"

#include <gtest/gtest.h>

namespace vitrail::movement {
namespace {

std::vector<std::string> names(std::string_view create) {
  std::vector<std::string> out;
  for (const auto& key : deferrable_keys(create)) out.push_back(key.name);
  return out;
}

TEST(DeferrableKeys, ArePlainSecondaryKeysOnly) {
  const std::string_view create =
      "CREATE TABLE `t` (\n"
      "  `id` bigint(20) NOT NULL AUTO_INCREMENT,\n"
      "  `a` varchar(10) DEFAULT NULL COMMENT 'KEY `x` (`y`)',\n"
      "  `p` point NOT NULL,\n"
      "  PRIMARY KEY (`id`),\n"
      "  UNIQUE KEY `u` (`a`),\n"
      "  KEY `a` (`a`(5),`id`) USING BTREE COMMENT 'first, second',\n"
      "  KEY `odd``name` (`a`),\n"
      "  SPATIAL KEY `p` (`p`),\n"
      "  FULLTEXT KEY `f` (`a`)\n"
      ") ENGINE=InnoDB";
  EXPECT_EQ(names(create), (std::vector<std::string>{"a", "odd`name"}));
  EXPECT_EQ(deferrable_keys(create)[0].definition, "KEY `a` (`a`(5),`id`) USING BTREE COMMENT 'first, second'");
}

TEST(DeferrableKeys, AreNotTheOneOfAnAutoIncrementColumn) {
  EXPECT_EQ(names("CREATE TABLE `t` (\n  `k` int(11) NOT NULL,\n  `n` int(11) NOT NULL AUTO_INCREMENT,\n"
                  "  PRIMARY KEY (`k`),\n  KEY `n` (`n`),\n  KEY `kn` (`k`,`n`)\n) ENGINE=InnoDB"),
            std::vector<std::string>{"kn"});
}

TEST(DeferrableKeys, AreNoneWithForeignKeys) {
  EXPECT_TRUE(names("CREATE TABLE `t` (\n  `k` int(11) NOT NULL,\n  `o` int(11),\n  PRIMARY KEY (`k`),\n"
                    "  KEY `o` (`o`),\n  CONSTRAINT `c` FOREIGN KEY (`o`) REFERENCES `p` (`id`)\n) ENGINE=InnoDB")
                  .empty());
}

TEST(DeferrableKeys, AreNoneInOtherTexts) {
  EXPECT_TRUE(names("").empty());
  EXPECT_TRUE(names("CREATE VIEW `v` AS select 1").empty());
  EXPECT_TRUE(names("CREATE TABLE \"t\" (\n  \"k\" int,\n  KEY \"k\" (\"k\")\n)").empty());
}

TEST(PostCopyAction, KeepsKeysOfAnyName) {
  const std::vector<SecondaryKey> keys = {{"a", "KEY `a` (`a`)"}, {"o`d\"d", "KEY `o``d\"d` (`b`) COMMENT 'it''s'"}};
  const std::string action = keys_to_action("`db`.`t`", keys);
  EXPECT_EQ(keys_from_action(action), keys);
  EXPECT_NE(action.find("ALTER TABLE `db`.`t` ADD KEY `a` (`a`), ADD KEY"), std::string::npos) << action;
  EXPECT_TRUE(keys_from_action("{}").empty());
  EXPECT_TRUE(keys_from_action("nonsense").empty());
}

}  // namespace
}  // namespace vitrail::movement
