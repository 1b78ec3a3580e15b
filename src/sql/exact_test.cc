#include "sql/exact.h"

#include <gtest/gtest.h>

#include "sql/parser.h"

namespace vitrail::sql {
namespace {

std::string inexact(std::string_view text) {
  const auto ast = parse(text);
  return ast.ok() ? inexact_part(ast->statement()) : "not parsed: " + ast.error().message();
}

TEST(Exact, WhatIsAFunctionOfItsRowsAndTheClockIs) {
  for (const char* text : {
           "insert into t values (1, 'a')",
           "insert into t (id, v) values (?, ?), (3, now())",
           "insert ignore into t set id = 1, v = concat('a', 'b')",
           "replace into t (id, at) values (1, current_timestamp)",
           "insert into t (id, n) values (1, 1) on duplicate key update n = n + values(n)",
           "update t set n = n + 1, at = now(6) where id = 1",
           "update t set n = case when n > 3 then 1 else default(n) end where id in (1, 2) and v like 'a%'",
           "delete from t where id between 1 and 3",
           "insert into t (id) values (1) returning id",
           "update t set d = d + interval 1 day where id = 5",
       }) {
    EXPECT_EQ(inexact(text), "") << text;
  }
}

TEST(Exact, ALimitChoosesNothingWhereAKeyIsFixed) {
  const struct {
    const char* text;
    std::vector<std::string> columns;
  } cases[] = {
      {"update t set n = 1 where id = 5 limit 1", {"id"}},
      {"update t set n = 1 where ? = t.ID and n > 3 and (`b` = 'x' or n = 2) limit ?", {"id"}},
      {"delete from t where (a = 1 and b = 2) order by c limit 3", {"a", "b"}},
      {"delete from t where a = 1", {}},
      {"select * from t where a = 1 limit 1", {}},
      {"delete from t where a <=> 1 limit 1", {}},
      {"delete from t where a = 1 + 0 limit 1", {}},
  };
  for (const auto& one : cases) {
    const auto ast = parse(one.text);
    ASSERT_TRUE(ast.ok()) << one.text;
    EXPECT_EQ(fixed_columns(ast->statement()), one.columns) << one.text;
    if (!one.columns.empty()) EXPECT_EQ(inexact(one.text), "") << one.text;
  }
}

TEST(Exact, WhatIsNotKnownToBeIsNot) {
  const struct {
    const char* text;
    const char* why;
  } cases[] = {
      {"insert into t values (uuid())", "the function uuid"},
      {"update t set n = rand() where id = 1", "the function rand"},
      {"update t set n = last_insert_id() where id = 1", "the function last_insert_id"},
      {"update t set n = sysdate() where id = 1", "the function sysdate"},
      {"update t set n = mine(3) where id = 1", "the function mine"},
      {"update t set n = db.abs(3) where id = 1", "the function abs"},
      {"insert into t values (1, @a)", "a user variable"},
      {"insert into t values (1, @@server_id)", "a system variable"},
      {"insert into t select * from u", "a query in it"},
      {"update t set n = (select max(n) from u) where id = 1", "a query in it"},
      {"delete from t where id in (select id from u)", "a query in it"},
      {"delete from t where exists (select 1 from u)", "a query in it"},
      {"update t, u set t.n = u.n where t.id = u.id", "several tables"},
      {"update t join u on t.id = u.id set t.n = u.n", "several tables"},
      {"delete t from t join u on t.id = u.id", "several tables"},
      {"update t set n = 1 limit 1", "LIMIT"},
      {"delete from t order by id limit 1", "LIMIT"},
      {"delete from t where id > 5 limit 1", "LIMIT"},
      {"delete from t where id = 5 or v = 6 limit 1", "LIMIT"},
      {"delete from t where not (id = 5) limit 1", "LIMIT"},
      {"delete from t where id = v limit 1", "LIMIT"},
      {"delete from t where id = 5 limit rows examined 10", "LIMIT"},
      {"insert into t values (next value for s)", "a sequence"},
      {"call p()", "a statement that is no INSERT, REPLACE, UPDATE or DELETE"},
      {"load data infile 'x' into table t", "a statement that is no INSERT, REPLACE, UPDATE or DELETE"},
  };
  for (const auto& one : cases) EXPECT_EQ(inexact(one.text), one.why) << one.text;
}

TEST(Exact, KnowsWhoAsksForTheTime) {
  const auto asks = [](std::string_view text) {
    const auto ast = parse(text);
    return ast.ok() && uses_clock(ast->statement());
  };
  EXPECT_TRUE(asks("insert into t values (1, now())"));
  EXPECT_TRUE(asks("update t set a = concat('x', date_add(current_timestamp, interval 1 day))"));
  EXPECT_TRUE(asks("update t set a = curdate where id = 1") == false);
  EXPECT_TRUE(asks("update t set a = unix_timestamp() where id = 1"));
  EXPECT_TRUE(asks("delete from t where at < utc_timestamp(6)"));
  EXPECT_FALSE(asks("update t set a = concat('now()', date('2026-01-01')) where id = 1"));
}

TEST(Exact, IdsAreSkippedByRowsThatAreNotNew) {
  const auto skips = [](std::string_view text) {
    const auto ast = parse(text);
    return ast.ok() && skips_ids(ast->statement());
  };
  EXPECT_TRUE(skips("insert ignore into t (v) values (1), (2)"));
  EXPECT_TRUE(skips("insert into t (v) values (1), (2) on duplicate key update v = 3"));
  EXPECT_FALSE(skips("insert into t (v) values (1), (2)"));
  EXPECT_FALSE(skips("insert ignore into t (v) values (1)"));
  EXPECT_FALSE(skips("replace into t (v) values (1), (2)"));
}

}  // namespace
}  // namespace vitrail::sql
