#include "plan/view_change.h"

#include <gtest/gtest.h>

#include "sql/parser.h"
#include "vschema/proto_json.h"
#include "vschema/vschema.h"

namespace vitrail::plan {
namespace {

// With the sharded table ks.t.
std::shared_ptr<const vschema::VSchema> one_table() {
  ::vschema::SrvVSchema record;
  constexpr const char* kSharded = R"({"sharded": true, "vindexes": {"hash": {"type": "hash"}},
    "tables": {"t": {"column_vindexes": [{"column": "id", "name": "hash"}]}}})";
  EXPECT_TRUE(vschema::parse_json(kSharded, (*record.mutable_keyspaces())["ks"], nullptr).ok());
  return vschema::VSchema::build(record, 1);
}

// The text with "select 1" in the place of every table that is not known.
std::string expanded(const char* text) {
  const auto vschema = one_table();
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

// The change of a view's rows as that of the table's, or why not.
std::string changed(const char* text, const char* view, bool updatable = true, bool checked = false) {
  const auto vschema = one_table();
  PlanContext context;
  context.vschema = vschema.get();
  context.keyspace = "ks";
  const auto ast = sql::parse(text);
  EXPECT_TRUE(ast.ok()) << text;
  const auto target = changed_unknown(ast->statement(), context);
  if (!target) return "no view";
  EXPECT_EQ(target->keyspace, "ks");
  schema::Keyspace tables;
  for (const char* name : {"id", "a", "b", "c"}) tables["t"].columns.push_back({.name = name});
  tables["t"].columns.push_back({.name = "g", .extra = "virtual generated"});
  const schema::Snapshot schema = {{"ks", std::make_shared<const schema::Keyspace>(std::move(tables))}};
  const auto out = change_of_table(text, *target, {.query = view, .updatable = updatable, .checked = checked}, &schema);
  if (out.ok()) return *out;
  const auto number = out.error().mysql_errno();
  return number == 0 ? out.error().message() : std::to_string(number);
}

TEST(Views, AreChangedAsTheirTable) {
  constexpr const char* kView =
      "select `ks`.`t`.`id` AS `id`,`ks`.`t`.`a` AS `x`,`ks`.`t`.`a` * 2 AS `twice` from `ks`.`t` where `ks`.`t`.`b` > "
      "3 "
      "or `ks`.`t`.`c` is null";
  const std::pair<const char*, const char*> cases[] = {
      {"update v set x = x + twice where v.id = ? and `X` < 'x' order by twice desc limit 2",
       "update ks.t set `a` = `a` + (`a` * 2) where `id` = ? and `a` < 'x' and (`b` > 3 or `c` is null) order by (`a` "
       "* 2) "
       "desc limit 2"},
      {"update ks.v as w set w.x = 1", "update ks.t as w set `a` = 1 where (`b` > 3 or `c` is null)"},
      {"delete from v where twice = 4", "delete from ks.t where (`a` * 2) = 4 and (`b` > 3 or `c` is null)"},
      {"update v set twice = 1", "1348"},
      {"update v set a = 1", "1054"},
      {"update v set x = t.a", "1054"},
      {"delete from v where b = 1", "1054"},
      {"insert into v (id, x) values (1, 2)", "insert into ks.t (`id`, `a`) values (1, 2)"},
      {"insert into v (id, twice) values (1, 2)", "1471"},
      {"insert into v values (1, 2, 4)", "1471"},
      {"delete from v where id in (select id from t)", "VT12001: unsupported: subqueries in a change of the view v"},
      {"delete from v returning id", "VT12001: unsupported: RETURNING in a change of the view v"},
      // What is no view, and what does not change one table.
      {"update t set a = 1", "no view"},
      {"update t join v using (id) set t.a = 1", "no view"},
      {"delete v from v join t using (id)", "no view"},
      {"select * from v", "no view"},
  };
  for (const auto& [text, expected] : cases) EXPECT_EQ(changed(text, kView), expected) << text;
  EXPECT_EQ(changed("delete from v", kView, false), "1288");
  EXPECT_EQ(changed("insert into v (id) values (1)", kView, false), "1471");
  EXPECT_EQ(
      changed("insert into v (id) values (1)", "select `ks`.`t`.`id` AS `id`,`ks`.`t`.`id` AS `same` from `ks`.`t`"),
      "1471");
  EXPECT_EQ(changed("delete from v where id = 1", kView, true, true),
            "delete from ks.t where `id` = 1 and (`b` > 3 or `c` is null)");
  // A row that stays the view's.
  EXPECT_EQ(changed("update v set x = 1", kView, true, true), "update ks.t set `a` = 1 where (`b` > 3 or `c` is null)");
  constexpr const char* kOther =
      "select `ks`.`t`.`id` AS `id`,`ks`.`t`.`b` AS `y`,`ks`.`t`.`a` AS `x` from `ks`.`t` where `ks`.`t`.`b` > 3";
  constexpr const char* kGenerated = "select `ks`.`t`.`a` AS `x` from `ks`.`t` where `ks`.`t`.`g` > 3";
  constexpr const char* kOnView = "select `ks`.`u`.`a` AS `x` from `ks`.`u` where `ks`.`u`.`b` > 3";
  EXPECT_EQ(changed("update v set x = y", kOther, true, true), "update ks.t set `a` = `b` where (`b` > 3)");
  const char* refused = "VT12001: unsupported: a change of the view v, which is WITH CHECK OPTION";
  for (const auto& [text, view] : {std::pair("update v set x = 1, v.y = 2", kOther),
                                   {"insert into v (id) values (1)", kOther},
                                   {"update v set x = 1", kGenerated},
                                   {"update v set x = 1", kOnView}}) {
    EXPECT_EQ(changed(text, view, true, true), refused) << text;
  }
}

TEST(Views, TakeRowsForTheirTable) {
  constexpr const char* kView = "select `ks`.`t`.`b` AS `y`,`ks`.`t`.`id` AS `id` from `ks`.`t` where `ks`.`t`.`b` > 3";
  const std::pair<const char*, const char*> cases[] = {
      {"insert into v values (1, ?), (y + 1, default)",
       "insert into ks.t (`b`, `id`) values (1, ?), (`b` + 1, default)"},
      {"replace into ks.v (id, v.y) values (1, 2)", "replace into ks.t (`id`, `b`) values (1, 2)"},
      {"insert ignore into v set y = 3, id = 4", "insert ignore into ks.t set `b` = 3, `id` = 4"},
      {"insert into v select y, id from w on duplicate key update y = values(y)",
       "insert into ks.t (`b`, `id`) select y, id from w on duplicate key update `b` = values(`b`)"},
      {"insert into v (id) values (1) on duplicate key update y = y + values(id)",
       "insert into ks.t (`id`) values (1) on duplicate key update `b` = `b` + values(`id`)"},
      {"insert into v (b) values (1)", "1054"},
      {"insert into v (id) values (1) returning id", "VT12001: unsupported: RETURNING in a change of the view v"},
      {"insert into v (id, y) values (1, (select 2))", "VT12001: unsupported: subqueries in a change of the view v"},
  };
  for (const auto& [text, expected] : cases) EXPECT_EQ(changed(text, kView), expected) << text;
}

TEST(Views, OfMoreThanOneTablesRowsAreNotChanged) {
  for (const char* view :
       {"select `ks`.`t`.`id` AS `id` from (`ks`.`t` join `ks`.`u`)",
        "select distinct `ks`.`t`.`id` AS `id` from `ks`.`t`",
        "select `ks`.`t`.`id` AS `id` from `ks`.`t` order by `ks`.`t`.`a`",
        "select `ks`.`t`.`id` AS `id` from `ks`.`t` where `ks`.`t`.`a` in (select 1)",
        "select `ks`.`t`.`id` AS `id`,(select 1) AS `one` from `ks`.`t`", "select count(0) AS `id` from `ks`.`t`",
        "select `ks`.`t`.`id` AS `id` from `ks`.`t` union select 1"}) {
    EXPECT_EQ(changed("delete from v where id = 1", view),
              "VT12001: unsupported: a change of the view v, which is more than the rows of one table")
        << view;
  }
}

}  // namespace
}  // namespace vitrail::plan
