// What goes to one server, and what runs there.
#include "plan/finish.h"

#include <gtest/gtest.h>

#include "sql/parser.h"
#include "vschema/proto_json.h"
#include "vschema/vschema.h"

namespace vitrail::plan {
namespace {

constexpr const char* kSharded = R"({"sharded":true,"vindexes":{"hash":{"type":"hash"}},"tables":{
  "a":{"column_vindexes":[{"column":"id","name":"hash"}],"columns":[{"name":"id","type":"INT64"}]},
  "b":{"column_vindexes":[{"column":"id","name":"hash"}],"columns":[{"name":"id","type":"INT64"}]},
  "c":{"column_vindexes":[{"column":"id","name":"hash"}],"columns":[{"name":"id","type":"INT64"}]},
  "new":{"column_vindexes":[{"column":"id","name":"hash"}]},
  "r":{"type":"reference"}}})";

class FinishTest : public testing::Test {
 protected:
  FinishTest() {
    ::vschema::SrvVSchema record;
    for (const auto& [name, json] : {std::pair("sh", kSharded), std::pair("un", R"({"tables":{"u":{}}})")}) {
      EXPECT_TRUE(vschema::parse_json(json, (*record.mutable_keyspaces())[name], nullptr).ok());
    }
    vschema_ = vschema::VSchema::build(record, 1);
    const auto table = [](std::initializer_list<const char*> names) {
      schema::Table out;
      for (const char* name : names) {
        out.columns.push_back({.name = name, .type = "bigint(20)", .data_type = "bigint", .nullable = false});
      }
      return out;
    };
    schema::Keyspace sharded = {{"a", table({"id", "x"})}, {"b", table({"id", "t"})}, {"r", table({"k"})}};
    sharded["b"].columns[1] = {
        .name = "t", .type = "varchar(9)", .data_type = "varchar", .charset = "latin1", .collation = "latin1_bin"};
    sharded["c"] = table({"id", "d"});
    sharded["c"].columns[1].type = sharded["c"].columns[1].data_type = "double";
    schema_["sh"] = std::make_shared<const schema::Keyspace>(std::move(sharded));
    schema_["un"] = std::make_shared<const schema::Keyspace>(schema::Keyspace{{"u", table({"id"})}});
  }

  Result<std::shared_ptr<const Plan>> plan(const char* text, std::vector<mysql::Value> parameters = {},
                                           bool has_parameters = false) {
    auto ast = sql::parse(text);
    EXPECT_TRUE(ast.ok()) << text;
    PlanContext context;
    context.vschema = vschema_.get();
    context.schema = &schema_;
    context.keyspace = "sh";
    context.parameters = parameters;
    context.has_parameters = has_parameters;
    return plan_statement(*ast, context);
  }

  // The texts of the inputs, each with where it goes, and of the rest.
  std::string texts(const char* text, std::vector<mysql::Value> parameters = {}, bool has_parameters = false) {
    const auto planned = plan(text, parameters, has_parameters);
    if (!planned.ok()) return planned.error().message();
    if ((*planned)->kind != Plan::Kind::kFinish) return "routed";
    std::string out;
    for (const auto& input : (*planned)->finish->inputs) {
      const Route& route = input.rows->route;
      out += input.keyspace + (route.kind == Route::Kind::kAllShards  ? " all"
                               : route.kind == Route::Kind::kByValues ? " value"
                               : route.kind == Route::Kind::kByList   ? " list"
                                                                      : " one");
      out += ": " + *input.rows->text + "\n";
    }
    return out + (*planned)->finish->text;
  }

  std::shared_ptr<const vschema::VSchema> vschema_;
  schema::Snapshot schema_;
};

struct Case {
  const char* text;
  const char* texts;
};

TEST_F(FinishTest, EachTableGivesWhatIsNeededOfIt) {
  const Case cases[] = {
      {"select std(x) from a where id > 3",
       "sh all: select `a`.`id`, `a`.`x` from a as a where (id > 3)\n"
       "select std(x) as `std(x)` from _vt_finish_1 as a where id > 3"},
      {"select p.x, t from a p join b q on p.x = q.id where q.id = 7 and t = 'w'",
       "sh all: select `p`.`x` from a as p where ((`p`.`x`) = 7)\n"
       "sh value: select `q`.`id`, cast(`q`.`t` as binary) from b as q where (q.id = 7) and (t = 'w')\n"
       "select p.x, t from _vt_finish_1 as p join _vt_finish_2 as q on p.x = q.id where q.id = 7 and t = 'w'"},
      {"select count(*), un.u.id from a, un.u group by u.id",
       "sh all: select 1 from a as a\n"
       "un one: select u.id from u as u\n"
       "select count(*) as `count(*)`, u.id from _vt_finish_1 as a, _vt_finish_2 as u group by u.id"},
      {"with t as (select x from a where id in (1, 2)) select * from t union select k from r",
       "sh list: select `a`.`id`, `a`.`x` from a as a where (id in (1, 2))\n"
       "sh one: select `r`.`k` from r as r\n"
       "with t as (select x from _vt_finish_1 as a where id in (1, 2)) select * from t union select k from "
       "_vt_finish_2 as r"},
      {"select x from a force index (i) where id = 3 union select 1",
       "sh value: select `a`.`id`, `a`.`x` from a as a force index (i) where (id = 3)\n"
       "select x from _vt_finish_1 as a where id = 3 union select 1"},
  };
  for (const auto& c : cases) EXPECT_EQ(texts(c.text), c.texts) << c.text;
}

TEST_F(FinishTest, OnlyRowsThatCanMeetAreAskedFor) {
  // Input, column, input and place of the values that it has to be among.
  const auto links = [&](const char* text) {
    const auto planned = plan(text);
    if (!planned.ok()) return planned.error().message();
    std::string out;
    const auto& inputs = (*planned)->finish->inputs;
    for (const auto& input : inputs) {
      for (const auto& link : input.links) {
        out += (out.empty() ? "" : "; ") + link.column + " in " + inputs[link.input].shown + "." +
               inputs[link.input].columns[link.place].name;
      }
    }
    return out;
  };
  const std::pair<const char*, const char*> cases[] = {
      {"select t from a p join b q on p.x = q.id where p.id > 7", "`p`.`x` in q.id; `q`.`id` in p.x"},
      {"select t from a p, b q where q.id = p.x", "`p`.`x` in q.id; `q`.`id` in p.x"},
      // An outer join keeps its one side's rows whatever the other has.
      {"select t from a p left join b q on p.x = q.id", "`q`.`id` in p.x"},
      {"select t from a p right join b q on p.x = q.id", "`p`.`x` in q.id"},
      {"select t from a p left join b q on true where p.x = q.id", "`p`.`x` in q.id"},
      {"select x from a where x in (select id from b)", "`a`.`x` in b.id; `b`.`id` in a.x"},
      {"select x from a where x not in (select id from b)", ""},
      {"select x in (select id from b) from a", ""},
      {"select (select max(t) from b where b.id = x) from a", "`b`.`id` in a.x"},
      {"select p.x from b p1, b p2, a p where p1.t = p2.t", "`p1`.`t` in p2.t; `p2`.`t` in p1.t"},
      {"select p.x from a p join b q on p.x < q.id", ""},
      {"select p.x from a p join b q on p.x = q.t", ""},
      {"select p.x from a p join b q on p.x = q.id or p.id = 1", ""},
      {"select p.x from a p where exists (select 1 from b q, r where q.id = p.x and q.id = r.k)",
       "`q`.`id` in r.k; `q`.`id` in p.x; `r`.`k` in q.id"},
  };
  for (const auto& [text, expected] : cases) EXPECT_EQ(links(text), expected) << text;

  const auto planned = plan("select t from a p join b q on p.x = q.id where q.t = 'w' and p.id > 7");
  ASSERT_TRUE(planned.ok());
  PlanContext context;
  context.vschema = vschema_.get();
  context.schema = &schema_;
  context.keyspace = "sh";
  const auto& input = (*planned)->finish->inputs[1];
  const std::vector<std::string> values = {"3", "-4"};
  const auto linked = plan_linked_input(input, input.links.at(0), values, context);
  ASSERT_TRUE(linked.ok()) << linked.error().message();
  EXPECT_EQ(*(*linked)->text,
            "select `q`.`id`, cast(`q`.`t` as binary) from b as q where (q.t = 'w') and `q`.`id` in (3,-4)");
  EXPECT_EQ((*linked)->route.kind, Route::Kind::kByList);
  EXPECT_EQ((*linked)->route.list_conjunct, 1u);
  const auto texts_too = plan("select p.t from b p join b q on p.t = q.t where q.id < 3");
  ASSERT_TRUE(texts_too.ok());
  const auto& by_text = (*texts_too)->finish->inputs[0];
  const std::vector<std::string> bytes = {"a'", "\xe4"};
  const auto of_text = plan_linked_input(by_text, by_text.links.at(0), bytes, context);
  ASSERT_TRUE(of_text.ok()) << of_text.error().message();
  EXPECT_EQ(*(*of_text)->text,
            "select cast(`p`.`t` as binary) from b as p where `p`.`t` in (_latin1 x'6127',_latin1 x'e4')");
}

TEST_F(FinishTest, LocksGoWithTheTablesOfTheStatementItself) {
  const auto locks = [&](const char* text) {
    const auto planned = plan(text);
    if (!planned.ok()) return planned.error().message();
    EXPECT_FALSE((*planned)->is_read);
    EXPECT_EQ((*planned)->finish->text.find("lock"), std::string::npos) << (*planned)->finish->text;
    std::string out;
    for (const auto& input : (*planned)->finish->inputs) out += input.shown + ":" + input.lock + ";";
    return out;
  };
  const std::pair<const char*, const char*> cases[] = {
      {"select p.x from a p join b q on p.x = q.id for update", "p: for update;q: for update;"},
      {"select std(x) from a lock in share mode", "a: lock in share mode;"},
      {"select p.x from a p join b q on p.x = q.id for update skip locked",
       "p: for update skip locked;q: for update skip locked;"},
      {"select x from a where x in (select id from b) for update nowait", "a: for update nowait;b:;"},
      {"select x from a where x in (select id from b for update)",
       "VT12001: unsupported: a locking read in this place of a statement that one shard cannot answer alone"},
  };
  for (const auto& [text, expected] : cases) EXPECT_EQ(locks(text), expected) << text;
}

TEST_F(FinishTest, WhatOneShardOrAMergeAnswersIsNotFinished) {
  for (const char* text :
       {"select x from a where id = 1", "select count(*) from a", "select * from a order by x limit 3", "select 1",
        "select * from un.u u1, un.u u2", "select a.x from a join b on a.id = b.id"}) {
    EXPECT_EQ(texts(text), "routed") << text;
  }
}

// Rows of several shards go to one server in the order of their primary key, whether it is asked for or not.
TEST_F(FinishTest, RowsOfSeveralShardsComeInTheOrderOfTheirKey) {
  schema::Keyspace sharded = *schema_["sh"];
  for (const char* name : {"a", "r"}) {
    schema::set_key_flags(sharded[name], {{"PRIMARY", name == std::string("a") ? "id" : "k", 1, true}});
  }
  schema_["sh"] = std::make_shared<const schema::Keyspace>(std::move(sharded));
  const auto order = [&](const char* text) {
    const auto planned = plan(text);
    EXPECT_TRUE(planned.ok()) << text;
    std::string out;
    for (const auto& input : (*planned)->finish->inputs) {
      out += (input.order_place ? std::to_string(*input.order_place) : "-") + " " + input.order + "; ";
    }
    return out;
  };
  EXPECT_EQ(order("select std(x) from a"), "1 `a`.`id`; ");
  EXPECT_EQ(order("select std(id), std(x) from a p"), "0 `p`.`id`; ");
  EXPECT_EQ(order("select t, k from b, r, a"), "- ; - ; - ; ");  // Without a key; everywhere; only counted.
  EXPECT_EQ(texts("select std(x) from a"),
            "sh all: select `a`.`x`, `a`.`id` from a as a\n"
            "select std(x) as `std(x)` from _vt_finish_1 as a");
}

TEST_F(FinishTest, AssignedVariablesAreKnown) {
  const auto planned = plan("select @N := @n + x, @b := std(x) from a where x > (@n := 5) and x < 9");
  ASSERT_TRUE(planned.ok()) << planned.error().message();
  EXPECT_EQ((*planned)->finish->assigned, (std::vector<std::string>{"b", "n"}));
  EXPECT_EQ(*(*planned)->finish->inputs[0].rows->text, "select `a`.`x` from a as a where (x < 9)");
}

TEST_F(FinishTest, ParametersAreValuesOrStayWhereTheyAre) {
  EXPECT_EQ(
      texts("select std(x) from a where id > ? and x < ?", {mysql::Value::of_int(3), mysql::Value::of_int(9)}, true),
      "sh all: select `a`.`id`, `a`.`x` from a as a where (id > 3) and (x < 9)\n"
      "select std(x) as `std(x)` from _vt_finish_1 as a where id > 3 and x < 9");
  EXPECT_EQ(texts("select a.x from a, un.u where a.x = ? limit ?"),
            "sh all: select `a`.`x` from a as a\n"
            "un one: select 1 from u as u\n"
            "select a.x from _vt_finish_1 as a, _vt_finish_2 as u where a.x = ? limit ?");
}

TEST_F(FinishTest, TemporaryTablesAreOfTheSameTypesAndHaveIndexesToJoinBy) {
  const auto planned = plan("select t from a, b where b.id = a.x");
  ASSERT_TRUE(planned.ok());
  ASSERT_EQ((*planned)->kind, Plan::Kind::kFinish);
  const auto& inputs = (*planned)->finish->inputs;
  EXPECT_EQ(inputs[0].create, "create temporary table _vt_finish_1 (`x` bigint(20) not null, key using btree (`x`))");
  EXPECT_EQ(
      inputs[1].create,
      "create temporary table _vt_finish_2 (`id` bigint(20) not null, `t` varchar(9) character set latin1 collate "
      "latin1_bin null default null, key using btree (`id`))");
  EXPECT_EQ(insert_text(inputs[1], 2), "insert into _vt_finish_2 values (?,?),(?,?)");
  const auto counted = plan("select count(*) from a, b where b.id < 3");
  ASSERT_TRUE(counted.ok());
  EXPECT_EQ((*counted)->finish->inputs[0].create, "create temporary table _vt_finish_1 (_vt_row tinyint not null)");
  EXPECT_EQ(insert_text((*counted)->finish->inputs[0], 1), "insert into _vt_finish_1 values (?)");
}

TEST_F(FinishTest, WholeNumbersAreNotIndexedBesideFractions) {
  for (const char* text :
       {"select t from a, b where b.id = a.x and a.x = 2.5", "select t from a, b where b.id = a.x and a.x = '2.5'",
        "select t from a, b where b.id = a.x and a.x = 25e-1", "select t + 0.5 from a, b where b.id = a.x"}) {
    const auto planned = plan(text);
    ASSERT_TRUE(planned.ok()) << text;
    for (const auto& input : (*planned)->finish->inputs)
      EXPECT_FALSE(input.create.contains("key using")) << input.create;
  }
  const auto planned = plan("select t from a, b where b.id = a.x and a.x = 25 and t = 'a.b'");
  ASSERT_TRUE(planned.ok());
  EXPECT_TRUE((*planned)->finish->inputs[0].create.contains("key using btree (`x`)"));
}

TEST_F(FinishTest, WholeNumbersAreIndexedWhereWholeNumbersAloneLookThemUp) {
  const struct {
    const char* text;
    bool indexed;  // b.id
  } cases[] = {
      {"select t from a, b where b.id = a.x", true},
      {"select t from c, b where b.id = c.d", false},  // A DOUBLE.
      {"select std(c.d) from c, b where b.id = c.d and b.id = c.id", false},
      {"select t from a, b, c where b.id = a.x and c.d = 2", true},
      {"select a.x from a where a.x in (select id from b)", true},
      {"select c.d from c where c.d in (select id from b)", false},
      {"select t from b join (select x as y from a) as q on q.y = b.id", false},  // Whatever y is.
      {"select t from b join (select x, count(*) from a group by x) as q on q.x = b.id", true},
      {"select t from b join (select avg(id) as x from a) as q on q.x = b.id", false},
      {"select std(c.d) from c join b using (id)", true},
  };
  for (const auto& one : cases) {
    const auto planned = plan(one.text);
    ASSERT_TRUE(planned.ok()) << one.text << ": " << planned.error().message();
    ASSERT_EQ((*planned)->kind, Plan::Kind::kFinish) << one.text;
    for (const auto& input : (*planned)->finish->inputs) {
      if (input.table != "b") continue;
      EXPECT_EQ(input.create.contains("key using btree (`id`)"), one.indexed) << one.text << ": " << input.create;
    }
  }
}

TEST_F(FinishTest, WhatShowsTheOrderOfRowsIsNotSortedByAddresses) {
  for (const char* text :
       {"select x, group_concat(id) from a group by x", "select x, JSON_ARRAYAGG(id) from a group by x",
        "select id, (select json_objectagg(b.id, 1) from b where b.id = a.x) from a"}) {
    const auto planned = plan(text);
    ASSERT_TRUE(planned.ok()) << text;
    for (const auto& input : (*planned)->finish->inputs) EXPECT_FALSE(input.in_memory) << text;
  }
  const auto planned = plan("select std(x) from a");
  ASSERT_TRUE(planned.ok());
  EXPECT_TRUE((*planned)->finish->inputs[0].in_memory);
}

TEST_F(FinishTest, IsRefusedWithTheReason) {
  const Case cases[] = {
      {"select std(y) from new",
       "VT12001: unsupported: a statement that one shard cannot answer alone, while the columns of sh.new are not "
       "known "
       "(no primary tablet has told them, or --schema-change-signal is off)"},
      {"select std(x) from a, information_schema.tables",
       "VT12001: unsupported: system tables beside tables of several shards or keyspaces"},
  };
  for (const auto& c : cases) EXPECT_EQ(texts(c.text), c.texts) << c.text;
  EXPECT_EQ(texts("select std(x) from nowhere, a"), "table nowhere not found");
}

}  // namespace
}  // namespace vitrail::plan
