#include "plan/schema_names.h"

#include <gtest/gtest.h>

#include "sql/tables.h"

namespace vitrail::plan {
namespace {

const std::map<std::string, std::string, std::less<>> kDatabases = {
    {"book", "vt_book"}, {"shop", "vt_shop"}, {"same", "same"}};

// "keyspace: text", and " *" behind it when the answer is translated too.
std::string planned(std::string_view sql, std::string keyspace = "shop", std::vector<mysql::Value> values = {}) {
  auto ast = sql::parse(sql);
  EXPECT_TRUE(ast.ok()) << sql;
  auto plan = plan_information_schema(*ast, {.databases = &kDatabases, .keyspace = std::move(keyspace)}, values);
  if (!plan.ok()) return plan.error().message();
  if (!*plan) return "not ours";
  return (*plan)->route.keyspace + ": " + *(*plan)->text + ((*plan)->names.empty() ? "" : " *");
}

TEST(SchemaNames, AreTheKeyspaces) {
  const struct {
    const char* sql;
    const char* expected;
  } kCases[] = {
      {"select table_name from information_schema.tables where table_schema = 'shop'",
       "shop: select table_name from information_schema.tables where (table_schema = 'vt_shop')"},
      {"select table_name from information_schema.tables where database() = table_schema and table_name = 't'",
       "shop: select table_name from information_schema.tables where (table_schema = 'vt_shop') and table_name = 't'"},
      {"select table_name from information_schema.tables where table_schema = 'book'",
       "book: select table_name from information_schema.tables where (table_schema = 'vt_book')"},
      {"select table_name from information_schema.tables where table_schema = 'nowhere'",
       "shop: select table_name from information_schema.tables where (table_schema = 'nowhere')"},
      {"select TABLE_SCHEMA from information_schema.columns where table_schema like 'sh%'",
       "shop: select (if(TABLE_SCHEMA = 'vt_shop', 'shop', TABLE_SCHEMA)) as TABLE_SCHEMA from "
       "information_schema.columns where (if(table_schema = 'vt_shop', 'shop', table_schema)) like 'sh%'"},
      {"select * from information_schema.tables t where t.table_schema in ('book', 'x')",
       "book: select * from information_schema.tables as t where (if(t.table_schema = 'vt_book', 'book', "
       "t.table_schema)) in ('book', 'x') *"},
      {"select concat(table_schema, '.') from information_schema.tables",
       "shop: select concat((if(table_schema = 'vt_shop', 'shop', table_schema)), '.') as `concat(table_schema, '.')` "
       "from "
       "information_schema.tables"},
      {"select table_schema from information_schema.tables union select table_schema from information_schema.views",
       "shop: select (if(table_schema = 'vt_shop', 'shop', table_schema)) as table_schema from "
       "information_schema.tables union select (if(table_schema = 'vt_shop', 'shop', table_schema)) as table_schema "
       "from information_schema.views"},
      {"select t.table_schema from (select table_schema from information_schema.tables) t",
       "shop: select (if(t.table_schema = 'vt_shop', 'shop', t.table_schema)) as table_schema from (select "
       "(if(table_schema = 'vt_shop', 'shop', table_schema)) as table_schema from information_schema.tables) as t"},
      {"select id from note", "not ours"},
      {"select 1", "not ours"},
      {"select 1 from information_schema.tables, note", "not ours"},
  };
  for (const auto& c : kCases) EXPECT_EQ(planned(c.sql), c.expected) << c.sql;
}

TEST(SchemaNames, TheProcessListIsTheRouters) {
  auto ast =
      sql::parse("select p.id, t.table_schema from information_schema.PROCESSLIST p, information_schema.tables t");
  ASSERT_TRUE(ast.ok());
  const SchemaNames names{.databases = &kDatabases, .keyspace = "same", .processlist = "select 7 as ID"};
  auto plan = plan_information_schema(*ast, names, {});
  ASSERT_TRUE(plan.ok() && *plan);
  EXPECT_EQ((*plan)->text,
            "select p.id, t.table_schema as table_schema from (select 7 as ID) as p, information_schema.tables as t");
  EXPECT_FALSE((*plan)->cacheable);
}

TEST(SchemaNames, SchemataIsReplacedInEveryQuery) {
  for (const char* sql :
       {"select exists(select 1 from information_schema.schemata where schema_name = 'book')",
        "select 1 from information_schema.tables where table_schema in (select schema_name from "
        "information_schema.schemata)",
        "select (select max(schema_name) from (select * from information_schema.SCHEMATA) x)",
        "with s as (select * from information_schema.schemata) select * from s",
        "(select 1 from information_schema.schemata) union (select 2 from information_schema.schemata)"}) {
    EXPECT_NE(planned(sql).find("'book'"), std::string::npos) << sql << ": " << planned(sql);
  }
}

TEST(SchemaNames, OfSeveralKeyspacesAreOnNoServer) {
  const std::string refused =
      "VT12001: unsupported: a query on information_schema for several keyspaces (book, shop), each of which is on "
      "servers of its own; ask for one at a time";
  const struct {
    const char* condition;
    bool refused;
  } kCases[] = {
      {"table_schema in ('shop', 'book')", true},
      {"table_schema in (database(), 'book')", true},
      {"table_schema = 'book' or table_schema = schema()", true},
      {"table_schema = 'book' and constraint_schema = 'shop'", true},
      {"table_schema in ('book', 'mysql', 'nowhere')", false},
      {"table_schema in ('book', 'book')", false},
      {"table_schema not in ('book', 'shop')", false},
  };
  for (const auto& c : kCases) {
    const std::string plan = planned(std::string("select 1 from information_schema.tables where ") + c.condition);
    EXPECT_EQ(plan == refused, c.refused) << c.condition << ": " << plan;
  }
  EXPECT_TRUE(
      planned("select 1 from information_schema.tables where table_schema not in ('book')").starts_with("shop: "));
  // A server's files are of no keyspace: mysqldump --databases asks for tablespaces so.
  EXPECT_TRUE(planned("select file_name from information_schema.files where tablespace_name in (select tablespace_name "
                      "from information_schema.partitions where table_schema in ('shop', 'book'))")
                  .starts_with("book: "));
}

TEST(SchemaNames, OfParametersDecideWhereAStatementGoes) {
  const char* sql = "select count(*) from information_schema.tables where table_schema = ?";
  const std::string text =
      "select count(*) as `count(*)` from information_schema.tables where (if(table_schema = 'vt_shop', 'shop', "
      "table_schema)) = ?";
  EXPECT_EQ(planned(sql), "shop: " + text);
  EXPECT_EQ(planned(sql, "shop", {mysql::Value::of_text("shop")}), "shop: " + text);
  EXPECT_TRUE(planned(sql, "shop", {mysql::Value::of_text("book")}).starts_with("book: "));
}

TEST(SchemaNames, AreLeftAloneWhereTheyAreTheSame) {
  EXPECT_EQ(planned("select * from information_schema.tables where table_schema = database()", "same"),
            "same: select * from information_schema.tables where (table_schema = 'same')");
}

TEST(SchemaNames, NeedNoQualifierAtHome) {
  EXPECT_EQ(planned("select table_name from tables where table_schema = 'shop'", "information_schema"),
            "shop: select table_name from information_schema.tables where (table_schema = 'vt_shop')");
}

TEST(SchemaNames, AllStandInSchemata) {
  const std::string text = planned("select schema_name from information_schema.schemata where schema_name like 's%'");
  for (const char* part : {"'book'", "'shop'", "'same'", "'information_schema'", ") as schemata where"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " in " << text;
  }
}

TEST(SchemaNames, LeaveTheStatementWithItsTables) {
  for (const char* sql : {"select * from information_schema.schemata",
                          "select 1 from (select 1 from information_schema.schemata as a) as d join "
                          "information_schema.schemata as b union select 1 from information_schema.schemata"}) {
    auto ast = sql::parse(sql);
    ASSERT_TRUE(ast.ok());
    ASSERT_TRUE(plan_information_schema(*ast, {.databases = &kDatabases, .keyspace = "shop"}, {})->has_value());
    for (const auto& use : sql::collect_tables(ast->statement())) EXPECT_EQ(use.name, "schemata");
  }
}

TEST(SchemaNames, HaveNoRoutines) {
  const struct {
    const char* sql;
    const char* missing;
  } kCases[] = {
      {"select f()", "FUNCTION information_schema.f does not exist"},
      {"do 1, 2 + g(1)", "FUNCTION information_schema.g does not exist"},
      {"select 1 from tables where table_name = f(table_schema)", "FUNCTION information_schema.f does not exist"},
      {"call p(1)", "PROCEDURE information_schema.p does not exist"},
      {"select shop.f(), concat('a', database()), count(*) from tables", ""},
      {"call shop.p()", ""},
      {"select 1", ""},
  };
  for (const auto& c : kCases) {
    const auto ast = sql::parse(c.sql);
    ASSERT_TRUE(ast.ok()) << c.sql;
    const Status status = check_routines(ast->statement());
    EXPECT_EQ(status.ok() ? "" : status.error().message(), c.missing) << c.sql;
  }
}

std::string shown(std::string_view sql, std::string keyspace) {
  auto ast = sql::parse(sql);
  EXPECT_TRUE(ast.ok()) << sql;
  const auto& show = *sql::statement_as<sql::Show>(&ast->statement());
  const SchemaNames names{.databases = &kDatabases, .keyspace = keyspace};
  if (auto plan = plan_show_create_database(show, names)) return plan->route.keyspace + ": " + *plan->text;
  Plan plan;
  plan.route.keyspace = std::move(keyspace);
  name_show(show, names, plan);
  return plan.text.value_or("as it is");
}

TEST(SchemaNames, StandInShow) {
  EXPECT_EQ(shown("show tables", "shop"), "as it is");
  EXPECT_EQ(shown("show tables where tables_in_shop = 'shop'", "shop"),
            "show tables where `Tables_in_vt_shop` = 'shop'");
  EXPECT_EQ(shown("show tables where tables_in_same = 'x'", "same"), "as it is");
  EXPECT_EQ(shown("show create database if not exists book", "shop"),
            "book: show create database if not exists `vt_book`");
  EXPECT_EQ(shown("show create database information_schema", "shop"), "as it is");
}

TEST(SchemaNames, StandInErrors) {
  EXPECT_EQ(with_keyspaces("Table 'vt_shop.t' doesn't exist", kDatabases), "Table 'shop.t' doesn't exist");
  EXPECT_EQ(with_keyspaces("a foreign key constraint fails (`vt_shop`.`t`, 'vt_book')", kDatabases),
            "a foreign key constraint fails (`shop`.`t`, 'book')");
  EXPECT_EQ(with_keyspaces("FUNCTION vt_shop.f does not exist", kDatabases), "FUNCTION shop.f does not exist");
  EXPECT_EQ(with_keyspaces("At line 2 in vt_shop.p", kDatabases), "At line 2 in shop.p");
  EXPECT_EQ(with_keyspaces("Duplicate entry 'vt_shopping' for 'vt_shop2.t'", kDatabases),
            "Duplicate entry 'vt_shopping' for 'vt_shop2.t'");
}

}  // namespace
}  // namespace vitrail::plan
