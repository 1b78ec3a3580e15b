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

TEST(ReplacesRows, WhereTheLogHasNoEventsOfThem) {
  for (const char* statement :
       {"DROP TABLE t", "drop table if exists a, t", "CREATE OR REPLACE TABLE t (id INT PRIMARY KEY)",
        "RENAME TABLE t TO old, new TO t", "ALTER TABLE t RENAME TO u", "ALTER TABLE t RENAME u",
        "ALTER TABLE t DROP PARTITION p0", "alter table t truncate partition p0, p1",
        "ALTER TABLE t TRUNCATE PARTITION ALL", "ALTER TABLE t EXCHANGE PARTITION p WITH TABLE u",
        "ALTER TABLE t CONVERT PARTITION p TO TABLE u",
        "ALTER TABLE t CONVERT TABLE u TO PARTITION p VALUES LESS THAN (5)", "ALTER TABLE t IMPORT TABLESPACE",
        "ALTER TABLE t DISCARD /* and then */ TABLESPACE"}) {
    EXPECT_TRUE(replaces_rows(statement)) << statement;
  }
  for (const char* statement :
       {"TRUNCATE TABLE t", "DROP TEMPORARY TABLE t", "DROP /*!40005 TEMPORARY */ TABLE IF EXISTS `t`",
        "CREATE TABLE t (id INT PRIMARY KEY)", "CREATE TEMPORARY TABLE t (id INT)",
        "CREATE OR REPLACE TEMPORARY TABLE t (id INT)", "CREATE OR REPLACE VIEW t AS SELECT 1", "DROP VIEW t",
        "ALTER TABLE t ADD COLUMN `drop` INT, ADD KEY `partition` (`drop`)", "ALTER TABLE t DROP COLUMN `partition`",
        "ALTER TABLE t RENAME COLUMN a TO b", "ALTER TABLE t RENAME KEY a TO b",
        "ALTER TABLE t COMMENT 'drop partition p'", "ALTER TABLE t ADD PARTITION (PARTITION p3 VALUES LESS THAN (9))",
        "ALTER TABLE t REORGANIZE PARTITION p INTO (PARTITION "
        "q VALUES LESS THAN (1))",
        "ALTER TABLE t REMOVE PARTITIONING", "ALTER TABLE t CONVERT TO CHARACTER SET utf8mb4", "DROP INDEX i ON t",
        "something else entirely"}) {
    EXPECT_FALSE(replaces_rows(statement)) << statement;
  }
}

}  // namespace
}  // namespace vitrail::movement
