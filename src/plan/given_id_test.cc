#include "plan/given_id.h"

#include <gtest/gtest.h>

#include "sql/parser.h"

namespace vitrail::plan {
namespace {

schema::Table auto_table() {
  schema::Table table;
  table.columns.push_back({.name = "v"});
  table.columns.push_back({.name = "hidden", .invisible = true});
  table.columns.push_back({.name = "id", .extra = "auto_increment"});
  return table;
}

TEST(GivenId, IsTheStatementsOnlyWhereEveryRowHasOne) {
  const schema::Table table = auto_table();
  const std::vector<mysql::Value> parameters = {mysql::Value::of_int(7), mysql::Value::null(), mysql::Value::of_int(0)};
  const struct {
    const char* sql;
    bool given;
  } kCases[] = {
      {"insert into t(v) values (1)", false},
      {"insert into t(id, v) values (5, 1)", true},
      {"insert into t(v, ID) values (1, 5), (2, 6)", true},
      {"insert into t(v, id) values (1, 5), (2, null)", false},
      {"insert into t(v, id) values (1, default)", false},
      {"insert into t(v, id) values (1, 0)", false},
      {"insert into t(v, id) values (1, '0')", false},
      {"insert into t(v, id) values (1, -5)", true},
      {"insert into t(v, id) values (1, 2 + 3)", true},
      {"insert into t(v, id) values (1, ?)", true},
      {"insert into t(v, id) values (?, ?)", false},
      {"insert into t(v, id) values (?, 1), (?, 1), (1, ?)", false},
      {"insert into t values (1, 5)", true},
      {"insert into t values (1, null)", false},
      {"insert into t() values ()", false},
      {"insert into t set v = 1", false},
      {"insert into t set id = 5", true},
      {"insert into t set id = null", false},
      {"replace into t(id, v) values (5, 1)", true},
      {"insert into t(id, v) select 1, 2", true},
      {"insert into t(v) select 2", false},
      {"insert into t(id, v) values (5, last_insert_id(66))", false},
      {"insert into t(id, v) values (5, 1) on duplicate key update id = last_insert_id(id)", false},
      {"insert into t(id, v) values (5, last_insert_id())", true},
  };
  for (const auto& c : kCases) {
    const auto ast = sql::parse(c.sql);
    ASSERT_TRUE(ast.ok()) << c.sql;
    const auto& insert = *sql::statement_as<sql::Insert>(&ast->statement());
    const auto id = given_id(insert, &table);
    EXPECT_EQ(id && gives_every_id(insert, *id, parameters), c.given) << c.sql;
    EXPECT_FALSE(given_id(insert, nullptr)) << c.sql;
  }
}

TEST(GivenId, NeedsAColumnThatCounts) {
  schema::Table table = auto_table();
  table.columns.back().extra = "on update current_timestamp()";
  const auto ast = sql::parse("insert into t(id, v) values (5, 1)");
  EXPECT_FALSE(given_id(*sql::statement_as<sql::Insert>(&ast->statement()), &table));
}

}  // namespace
}  // namespace vitrail::plan
