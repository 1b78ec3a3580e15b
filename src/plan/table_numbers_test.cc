// Which statements ask for what each shard knows of its own part, and what they get in its place.
#include "plan/table_numbers.h"

#include <gtest/gtest.h>

#include "plan/schema_names.h"
#include "sql/parser.h"

namespace vitrail::plan {
namespace {

TEST(TableNumbers, AreAskedForByNamesAndByStars) {
  const struct {
    const char* text;
    bool tables;
    bool statistics;
  } cases[] = {
      {"select table_rows from information_schema.tables", true, false},
      {"select sum(t.Data_Length) from information_schema.TABLES t group by table_schema", true, false},
      {"select table_name from information_schema.tables order by index_length", true, false},
      {"select * from information_schema.tables", true, false},
      {"select table_name from information_schema.tables where table_schema = 'ks'", false, false},
      {"select cardinality from information_schema.statistics", false, true},
      {"select t.table_rows, s.cardinality from information_schema.tables t, information_schema.statistics s", true,
       true},
      {"select index_name from information_schema.statistics", false, false},
      {"select * from information_schema.columns", false, false},
      {"select table_rows from tables", false, false},
      {"select table_rows from information_schema.tables, customer", false, false},
      {"insert into t select table_rows from information_schema.tables", false, false},
  };
  for (const auto& one : cases) {
    const auto ast = sql::parse(one.text);
    ASSERT_TRUE(ast.ok()) << one.text;
    const auto asked = asked_numbers(ast->statement(), "ks");
    EXPECT_EQ(asked.tables, one.tables) << one.text;
    EXPECT_EQ(asked.statistics, one.statistics) << one.text;
  }
  const auto ast = sql::parse("select table_rows from tables");
  EXPECT_TRUE(asked_numbers(ast->statement(), "INFORMATION_SCHEMA").tables);
}

TEST(TableNumbers, StandInThePlaceOfTheServers) {
  schema::Table columns;
  for (const char* name : {"TABLE_SCHEMA", "TABLE_NAME", "TABLE_ROWS"}) columns.columns.push_back({.name = name});
  const std::string query =
      numbers_query(columns, false, "vt_ks",
                    {{{"'a'"}, {"7", "1", "2", "3", "4", "null"}}, {{"'b'"}, {"0", "0", "0", "0", "0", "0"}}});
  EXPECT_EQ(
      query,
      "select _vt_own.`TABLE_SCHEMA` as `TABLE_SCHEMA`, _vt_own.`TABLE_NAME` as `TABLE_NAME`, if(n.k0 is null, "
      "_vt_own.`TABLE_ROWS`, n.n0) as `TABLE_ROWS` from information_schema.TABLES _vt_own left join (select 'a' as "
      "k0, cast(7 as unsigned) as n0, cast(1 as unsigned) as n1, cast(2 as unsigned) as n2, cast(3 as unsigned) as "
      "n3, cast(4 as unsigned) as n4, cast(null as unsigned) as n5 union all select 'b', cast(0 as unsigned), cast(0 "
      "as unsigned), cast(0 as unsigned), cast(0 as unsigned), cast(0 as unsigned), cast(0 as unsigned)) n on "
      "_vt_own.TABLE_SCHEMA = 'vt_ks' and _vt_own.TABLE_NAME = n.k0");
  EXPECT_TRUE(sql::parse(query).ok());
  EXPECT_TRUE(sql::parse(numbers_query(columns, true, "vt_ks", {})).ok());

  // The statement around it speaks of keyspaces, the query of databases.
  static const std::map<std::string, std::string, std::less<>> kDatabases = {{"ks", "vt_ks"}};
  const auto planned = [&](const char* of) {
    auto ast = sql::parse("select table_schema, table_rows from information_schema.tables where table_schema = 'ks'");
    const SchemaNames names{.databases = &kDatabases, .keyspace = "ks", .tables = query, .numbers_of = of};
    auto plan = plan_information_schema(*ast, names, {});
    return plan.ok() && *plan ? (*plan)->text.value_or("") : "";
  };
  const std::string text = planned("ks");
  EXPECT_TRUE(
      text.starts_with("select (if(table_schema = 'vt_ks', 'ks', table_schema)) as table_schema, table_rows from "
                       "(select _vt_own.TABLE_SCHEMA as TABLE_SCHEMA, "))
      << text;
  EXPECT_TRUE(text.ends_with("_vt_own.TABLE_NAME = n.k0) as tables where (table_schema = 'vt_ks')")) << text;
  EXPECT_EQ(planned("other").find("_vt_own"), std::string::npos);
}

}  // namespace
}  // namespace vitrail::plan
