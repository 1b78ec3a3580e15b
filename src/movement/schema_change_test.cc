#include "movement/schema_change.h"

#include <gtest/gtest.h>

namespace vitrail::movement {
namespace {

TEST(ChangedObjects, AreTheNamesOfTheStatement) {
  struct Case {
    const char* statement;
    std::vector<ChangedObjects::Name> tables;
    bool others = false;
    bool is_exchange = false;
    bool is_drop = false;
  };
  const Case cases[] = {
      {"ALTER TABLE t ADD COLUMN x INT", {{"", "t"}}},
      {"alter table `d b`.`t``s` add key (a)", {{"d b", "t`s"}}},
      {"CREATE TABLE t (id INT PRIMARY KEY)", {{"", "t"}}},
      {"CREATE INDEX i ON t (a)", {{"", "t"}}},
      {"DROP INDEX i ON t", {{"", "t"}}},
      {"DROP TABLE a, b", {{"", "a"}, {"", "b"}}, false, false, true},
      {"CREATE VIEW v AS SELECT 1", {{"", "v"}}},
      {"RENAME TABLE a TO b", {{"", "a"}, {"", "b"}}},
      {"RENAME TABLE a TO tmp, b TO a, tmp TO b",
       {{"", "a"}, {"", "tmp"}, {"", "b"}, {"", "a"}, {"", "tmp"}, {"", "b"}},
       false,
       true},
      {"ALTER TABLE t EXCHANGE PARTITION p WITH TABLE u", {{"", "t"}, {"", "u"}}, false, true},
      {"CREATE TRIGGER r BEFORE INSERT ON t FOR EACH ROW SET @a = 1", {}, true},
      {"something else entirely", {}, true},
  };
  for (const auto& one : cases) {
    const auto objects = changed_objects(one.statement);
    EXPECT_EQ(objects.tables, one.tables) << one.statement;
    EXPECT_EQ(objects.others, one.others) << one.statement;
    EXPECT_EQ(objects.is_exchange, one.is_exchange) << one.statement;
    EXPECT_EQ(objects.is_drop, one.is_drop) << one.statement;
  }
}

}  // namespace
}  // namespace vitrail::movement
