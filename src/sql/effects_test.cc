#include "sql/effects.h"

#include <gtest/gtest.h>

#include "sql/parser.h"

namespace vitrail::sql {
namespace {

constexpr Left kUnseen = Left::kAnything;

struct Case {
  const char* text;
  Left leaves;
  Left ends = Left::kNothing;
  bool unseen = false;
};

TEST(Effects, OfStatements) {
  const Case cases[] = {
      {"select id, count(*), max(v), concat(a, upper(b)) from t group by id", Left::kNothing},
      {"insert into t(id) values (1), (uuid_to_bin(uuid()))", Left::kNothing},
      {"select get_lock('a', 1)", Left::kUserLock},
      {"do GET_LOCK('a', 1)", Left::kUserLock},
      {"select id from t where get_lock(concat('a', id), 0)", Left::kUserLock},
      {"select release_lock('a')", Left::kNothing},
      {"select release_all_locks()", Left::kNothing, Left::kUserLock},
      {"select @x := 1", Left::kUserVariable},
      {"select id from t where (@x := id) > 3", Left::kUserVariable},
      {"select id into @a from t", Left::kUserVariable},
      {"select id from t into @a, @b", Left::kUserVariable},
      {"create temporary table x(id int)", Left::kTemporaryTable},
      {"create or replace temporary table x select 1", Left::kTemporaryTable},
      {"create table x(id int)", Left::kNothing},
      {"lock tables t write", Left::kTableLock},
      {"unlock tables", Left::kNothing, Left::kTableLock},
      {"flush tables with read lock", Left::kTableLock},
      {"flush tables t for export", Left::kTableLock},
      {"prepare s from 'select 1'", Left::kTextStatement},
      {"execute s", kUnseen, Left::kNothing, true},
      {"execute immediate 'set @a = 1'", kUnseen, Left::kNothing, true},
      {"call p(1)", kUnseen, Left::kNothing, true},
      {"select f(1)", kUnseen, Left::kNothing, true},
      {"select other.f(1)", kUnseen, Left::kNothing, true},
      {"insert into t(id) select f(id) from u", kUnseen, Left::kNothing, true},
      {"update t set v = f(id)", kUnseen, Left::kNothing, true},
      {"explain analyze select f(1)", kUnseen, Left::kNothing, true},
      {"handler t open", kUnseen | Left::kHandler, Left::kNothing, true},
      {"xa start 'x'", kUnseen, Left::kNothing, true},
      {"begin", Left::kNothing},
      {"select substring(a from 2 for 3), trim(both 'x' from b), cast(a as signed), extract(day from d) from t",
       Left::kNothing},
      {"select row_number() over (order by id), json_arrayagg(id) from t", Left::kNothing},
      {"select current_timestamp, now(6), date_add(d, interval 1 day), if(a, b, c), nextval(s) from t", Left::kNothing},
  };
  for (const auto& c : cases) {
    const auto ast = parse(c.text);
    ASSERT_TRUE(ast.ok()) << c.text << ": " << ast.error().message();
    const Effects effects = effects_of(ast->statement());
    EXPECT_EQ(effects.leaves, c.leaves) << c.text;
    EXPECT_EQ(effects.ends, c.ends) << c.text;
    EXPECT_EQ(effects.runs_unseen_code, c.unseen) << c.text;
  }
}

TEST(Effects, BuiltinFunctionsByAnyCase) {
  EXPECT_TRUE(is_builtin_function("COUNT"));
  EXPECT_TRUE(is_builtin_function("Json_Extract"));
  EXPECT_FALSE(is_builtin_function("my_function"));
  EXPECT_FALSE(is_builtin_function(""));
}

}  // namespace
}  // namespace vitrail::sql
