#include "plan/views.h"

#include <gtest/gtest.h>

#include "sql/parser.h"
#include "vschema/proto_json.h"
#include "vschema/vschema.h"

namespace vitrail::plan {
namespace {

// The text with "select 1" in the place of every table that is not known.
std::string expanded(const char* text) {
  ::vschema::SrvVSchema record;
  constexpr const char* kSharded = R"({"sharded": true, "vindexes": {"hash": {"type": "hash"}},
    "tables": {"t": {"column_vindexes": [{"column": "id", "name": "hash"}]}}})";
  EXPECT_TRUE(vschema::parse_json(kSharded, (*record.mutable_keyspaces())["ks"], nullptr).ok());
  const auto vschema = vschema::VSchema::build(record, 1);
  const auto ast = sql::parse(text);
  EXPECT_TRUE(ast.ok()) << text;
  PlanContext context;
  context.vschema = vschema.get();
  context.keyspace = "ks";
  const auto tables = unknown_tables(ast->statement(), context);
  return with_views(text, tables, std::vector<std::optional<std::string>>(tables.size(), "select 1"));
}

TEST(Views, StandForTheirQueries) {
  const std::pair<const char*, const char*> cases[] = {
      {"select * from t", "select * from t"},
      {"select * from v", "select * from (select 1) as `v`"},
      {"select x.a from ks.v as x join v y on x.a = y.a",
       "select x.a from (select 1) as x join (select 1) y on x.a = y.a"},
      {"select a from t where id in (select id from `v`)",
       "select a from t where id in (select id from (select 1) as `v`)"},
      {"with v as (select 2) select * from v", "with v as (select 2) select * from v"},
      {"select * from v union select * from t, v",
       "select * from (select 1) as `v` union select * from t, (select 1) as `v`"},
      {"insert into t select * from v", "insert into t select * from (select 1) as `v`"},
      // What a statement writes is a table.
      {"update v set a = 1", "update v set a = 1"},
      {"delete from v", "delete from v"},
      {"select * from information_schema.v", "select * from information_schema.v"},
  };
  for (const auto& [text, expected] : cases) EXPECT_EQ(expanded(text), expected);
}

TEST(Views, QueriesNameTheKeyspace) {
  EXPECT_EQ(view_query("select `vt_ks`.`t`.`a` AS `a`,'`vt_ks`.' AS `vt_ks` from `vt_ks`.`t`", "vt_ks", "ks"),
            "select `ks`.`t`.`a` AS `a`,'`vt_ks`.' AS `vt_ks` from `ks`.`t`");
}

}  // namespace
}  // namespace vitrail::plan
