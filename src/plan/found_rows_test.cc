#include "plan/found_rows.h"

#include <gtest/gtest.h>

#include "sql/parser.h"

namespace vitrail::plan {
namespace {

// As MariaDB 10.11 was seen to answer.
TEST(FoundRows, ByStatement) {
  using enum FoundRows;
  const std::pair<const char*, FoundRows> cases[] = {
      {"select * from t", kAnswer},
      {"select * from t limit 2", kAnswer},
      {"select * from t limit 0, 2", kUnknown},
      {"select * from t limit 2 offset 1", kUnknown},
      {"select * from t order by id fetch first 1 rows with ties", kUnknown},
      {"select sql_calc_found_rows * from t limit 1, 2", kAnswer},  // Asked for by itself.
      {"(select id from t) limit 2", kAnswer},
      {"select id from t union select 1", kAnswer},
      {"select id from t union select 1 limit 2", kUnknown},
      {"(select id from t limit 1) union all select 1", kUnknown},
      {"with d as (select 1 limit 1) select * from d", kAnswer},
      {"select (select id from t limit 1, 1), id from t", kAnswer},
      {"values (1), (2)", kUnknown},
      {"insert into u values (1), (2)", kKept},
      {"insert into u values (1) returning id", kKept},
      {"insert into u values ((select max(id) from t))", kUnknown},
      {"insert into u values (my_function())", kUnknown},
      {"insert into u select id from t", kChanged},
      {"insert into u select id from t union select 8", kChanged},
      {"insert into u select id, count(*) from t group by id", kChanged},
      {"insert into u select max(id) from t", kUnknown},
      {"insert into u select 5", kUnknown},
      {"insert into u select id from t limit 1, 1", kUnknown},
      {"insert into u select id from t returning id", kUnknown},
      {"insert ignore into u select id from t", kUnknown},
      {"replace into u select id from t", kUnknown},
      {"insert into u select id from t on duplicate key update v = 1", kUnknown},
      {"replace into u values (1)", kKept},
      {"update t set v = 1", kKept},
      {"update t set v = (select max(id) from u)", kUnknown},
      {"update t set v = my_function()", kUnknown},
      {"update t, u set t.v = 1 where t.id = u.id", kUnknown},
      {"update t join u using (id) set t.v = 1", kUnknown},
      {"delete from t where id = 1 returning v", kKept},
      {"delete from t where id in (select id from u)", kUnknown},
      {"delete t from t join u using (id)", kUnknown},
      {"set @a = 1, sql_mode = ''", kKept},
      {"set @a = (select id from t where id = 1)", kUnknown},
      {"set statement sql_mode = '' for select * from t", kAnswer},
      {"set statement sql_mode = '' for update t set v = 1", kKept},
      {"do 1", kKept},
      {"do (select 1)", kUnknown},
      {"do my_function()", kUnknown},
      {"show tables", kAnswer},
      {"show variables like 'auto%'", kAnswer},
      {"show count(*) warnings", kOne},
      {"show warnings", kKept},
      {"show create table t", kKept},
      {"show processlist", kKept},
      {"describe t", kAnswer},
      {"explain select * from t", kKept},
      {"analyze select * from t", kUnknown},
      {"analyze table t", kKept},
      {"checksum table t", kKept},
      {"create table m (id int)", kKept},
      {"create table m as select id from t", kUnknown},
      {"create view w as select id from t", kKept},
      {"begin", kKept},
      {"call p()", kUnknown},
      {"execute s", kUnknown},
      {"execute immediate @a", kUnknown},
      {"execute immediate 'select 1'", kAnswer},
      {"execute immediate 'select sql_calc_found_rows 1'", kUnknown},
      {"execute immediate 'insert into u select id from t'", kChanged},
      {"execute immediate 'update t set v = 1'", kKept},
      {"execute immediate 'call p()'", kUnknown},
      {"prepare s from 'select 1'", kKept},
      {"handler t read first", kKept},
      {"get diagnostics @n = number", kKept},
      {"signal sqlstate '45000'", kKept},
      {"begin not atomic select 1; end", kUnknown},
      {"if @a then select 1; end if", kUnknown},
  };
  for (const auto& [text, expected] : cases) {
    const auto ast = sql::parse(text);
    ASSERT_TRUE(ast.ok()) << text << ": " << ast.error().message();
    EXPECT_EQ(found_rows_of(ast->statement()), expected) << text;
  }
}

}  // namespace
}  // namespace vitrail::plan
