// Which finished statements are joins of tables that are asked one after the other, and what each is asked.
#include "plan/join.h"

#include <gtest/gtest.h>

#include "sql/parser.h"
#include "vschema/proto_json.h"
#include "vschema/vschema.h"

namespace vitrail::plan {
namespace {

constexpr const char* kSharded = R"({"sharded":true,"vindexes":{"hash":{"type":"hash"}},"tables":{
  "a":{"column_vindexes":[{"column":"id","name":"hash"}],"columns":[{"name":"id","type":"INT64"}]},
  "b":{"column_vindexes":[{"column":"id","name":"hash"}],"columns":[{"name":"id","type":"INT64"}]},
  "c":{"column_vindexes":[{"column":"id","name":"hash"}],"columns":[{"name":"id","type":"INT64"}]}}})";

class JoinTest : public testing::Test {
 protected:
  JoinTest() {
    ::vschema::SrvVSchema record;
    EXPECT_TRUE(vschema::parse_json(kSharded, (*record.mutable_keyspaces())["sh"], nullptr).ok());
    vschema_ = vschema::VSchema::build(record, 1);
    const auto number = [](const char* name) {
      return schema::Column{.name = name, .type = "bigint(20)", .data_type = "bigint"};
    };
    const auto text = [](const char* name, const char* collation) {
      return schema::Column{
          .name = name, .type = "varchar(9)", .data_type = "varchar", .charset = "latin1", .collation = collation};
    };
    const auto other = [](const char* name, const char* type) {
      return schema::Column{.name = name, .type = type, .data_type = type};
    };
    schema::Keyspace tables;
    tables["a"].columns = {number("id"), number("x"), text("t", "latin1_bin")};
    tables["b"].columns = {number("id"), text("t", "latin1_bin"), other("d", "double")};
    tables["c"].columns = {number("id"), number("y"), text("u", "latin1_swedish_ci"), other("e", "enum"),
                           other("j", "text")};
    schema_["sh"] = std::make_shared<const schema::Keyspace>(std::move(tables));
  }

  // The texts of its parts, in their order, those of optional tables behind a "?"; "": it is none.
  std::string parts(const char* text, std::vector<mysql::Value> parameters = {}, bool has_parameters = false) {
    join_ = nullptr;
    auto ast = sql::parse(text);
    EXPECT_TRUE(ast.ok()) << text;
    PlanContext context;
    context.vschema = vschema_.get();
    context.schema = &schema_;
    context.keyspace = "sh";
    context.parameters = parameters;
    context.has_parameters = has_parameters;
    const auto planned = plan_statement(*ast, context);
    if (!planned.ok()) return planned.error().message();
    if ((*planned)->kind != Plan::Kind::kFinish) return "routed";
    join_ = (*planned)->finish->join;
    std::string out;
    if (join_ == nullptr) return out;
    for (const auto& part : join_->parts) {
      out += (out.empty() ? "" : "\n") + std::string(part.optional ? "? " : "") + *part.rows.rows->text;
      for (const auto& link : part.links) {
        out +=
            "; " + link.by_list.column + " in " + join_->parts[link.part].rows.shown + "." + std::to_string(link.place);
      }
    }
    return out;
  }

  std::shared_ptr<const vschema::VSchema> vschema_;
  schema::Snapshot schema_;
  std::shared_ptr<const RowJoin> join_;
};

struct Case {
  const char* text;
  const char* parts;
};

TEST_F(JoinTest, TablesAreAskedOneAfterTheOther) {
  const Case cases[] = {
      {"select p.t, q.d as n from a p join b q on q.id = p.x where p.id between 1 and 9",
       "select p.t, `p`.`x` from a as p where (p.id between 1 and 9)\n"
       "select q.d as `n`, `q`.`id` from b as q; `q`.`id` in p.1"},
      // The one that a value places comes first.
      {"select p.x, q.d from a p, b q where q.id = p.x and q.id = 3",
       "select q.d, `q`.`id` from b as q where (q.id = 3)\n"
       "select p.x, `p`.`x` from a as p where ((`p`.`x`) = 3); `p`.`x` in q.1"},
      {"select x, d, y from a join b on b.id = a.x join c on c.id = a.x and c.y = b.id where a.id = 1",
       "select x, `a`.`x` from a as a where (a.id = 1)\n"
       "select d, `b`.`id` from b as b; `b`.`id` in a.1\n"
       "select y, `c`.`id`, `c`.`y` from c as c; `c`.`id` in a.1; `c`.`y` in b.1"},
      {"select p.x, q.d from a p left join b q on q.id = p.x and q.d > 0 where p.id = 1",
       "select p.x, `p`.`x` from a as p where (p.id = 1)\n"
       "? select q.d, `q`.`id` from b as q where (q.d > 0); `q`.`id` in p.1"},
      {"select p.x, q.d from b q right join a p on q.id = p.x",
       "select p.x, `p`.`x` from a as p\n"
       "? select q.d, `q`.`id` from b as q; `q`.`id` in p.1"},
      {"select p.x, y from a p left join b q on q.id = p.x left join c on c.y = q.id",
       "select p.x, `p`.`x` from a as p\n"
       "? select `q`.`id` from b as q; `q`.`id` in p.1\n"
       "? select y, `c`.`y` from c as c; `c`.`y` in q.0"},
      {"select p.x + 1, concat(p.t, '-') as n from a p left join b q on q.id = p.x",
       "select p.x + 1 as `p.x + 1`, concat(p.t, '-') as `n`, `p`.`x` from a as p\n"
       "? select `q`.`id` from b as q; `q`.`id` in p.2"},
      {"select q.* from a p join b q on q.id = p.x",
       "select `p`.`x` from a as p\n"
       "select `q`.`id`, `q`.`t`, `q`.`d`, `q`.`id` from b as q; `q`.`id` in p.0"},
  };
  for (const auto& c : cases) EXPECT_EQ(parts(c.text), c.parts) << c.text;
  EXPECT_EQ(parts("select p.x from a p join b q on q.id = p.x where p.id = ?", {mysql::Value::of_int(3)}, true),
            "select p.x, `p`.`x` from a as p where (p.id = 3)\n"
            "select `q`.`id` from b as q; `q`.`id` in p.1");
}

TEST_F(JoinTest, TextsMeetByTheirWeights) {
  const std::string of_text = parts("select p.id, q.id from a p join b q on q.t = p.t where p.id = 1");
  EXPECT_NE(of_text.find("weight_string(`p`.`t`)"), std::string::npos) << of_text;
  EXPECT_NE(of_text.find("cast(`p`.`t` as binary)"), std::string::npos) << of_text;
  ASSERT_NE(join_, nullptr);
  const auto& link = join_->parts[1].links.at(0);
  EXPECT_EQ(link.by_list.charset, "latin1");
  EXPECT_EQ(link.own.weight, link.own.column + 1);
  EXPECT_EQ(link.other.weight, link.other.column + 1);
  EXPECT_EQ(link.place, link.other.column + 3);
}

TEST_F(JoinTest, IsSortedAndCutBehindIt) {
  EXPECT_NE(parts("select p.x as n, e from a p join c on c.id = p.x order by n desc, c.e, u limit 5, 10"), "");
  ASSERT_NE(join_, nullptr);
  EXPECT_EQ(join_->columns.size(), 7u);
  EXPECT_EQ(join_->merge.hidden_columns, 5u);
  ASSERT_EQ(join_->merge.order_by.size(), 3u);
  EXPECT_TRUE(join_->merge.order_by[0].descending);
  EXPECT_EQ(join_->merge.order_by[1].column, 1u);
  EXPECT_EQ(join_->merge.order_by[2].column, 2u);
  EXPECT_EQ(join_->merge.order_by[2].weight, 3u);
  EXPECT_EQ(join_->merge.offset, 5u);
  EXPECT_EQ(join_->merge.limit, 10u);
  EXPECT_NE(join_->parts[1].rows.rows->text->find("cast(`c`.`e` as unsigned)"), std::string::npos);
}

TEST_F(JoinTest, WhatSaysMoreIsLeftToAServer) {
  for (const char* text : {
           "select p.x + q.d from a p join b q on q.id = p.x",  // Computes,
           "select p.x + rand() from a p join b q on q.id = p.x",
           "select p.x + @v from a p join b q on q.id = p.x",
           "select (select 1) + p.x from a p join b q on q.id = p.x",
           "select p.x, coalesce(q.d, 0) from a p left join b q on q.id = p.x",
           "select count(*) from a p join b q on q.id = p.x",                 // groups,
           "select distinct p.x from a p join b q on q.id = p.x",             // compares,
           "select sql_calc_found_rows p.x from a p join b q on q.id = p.x",  // counts,
           "select p.x from a p join b q on q.id = p.x for update",           // locks.
           "select p.x from a p join b q on q.d = p.x",                       // Of other types;
           "select p.id from a p join c on c.u = p.t",                        // of other collations.
           "select p.x from a p join b q on q.id > p.x",
           "select p.x from a p join b q on q.id <=> p.x",
           "select p.x from a p join b q on q.id = p.x or p.id = 1",
           "select p.x from a p join b q on q.id = p.x where p.id + q.d > 1",
           "select p.x from a p join b q on q.id = p.x where 1",
           "select p.x from a p, b q where p.id = 1",
           "select p.x from a p join b q using (id) join c on c.id = p.x",
           "select p.x from a p join b q on q.id = p.x where p.t = @v",
           // About rows that an outer join has made.
           "select p.x from a p left join b q on q.id = p.x where q.id is null",
           "select p.x from a p left join b q on q.id = p.x where q.d = 3",
           "select p.x from a p left join b q on q.id = p.x and p.x > 3",
           "select p.x from a p left join b q on q.id = p.x join c on c.y = q.id",
           "select p.x from a p left join (b q join c on c.id = q.d) on q.id = p.x",
           "select p.x from a p join b q on q.id = p.x order by p.x + 1",
           "select c.id from a p join c on c.id = p.x order by j",
           "select p.x from a p join (select id from b) q on q.id = p.x",
           "select p.x from a p join b q on q.id = p.x where p.x in (select id from c)",
           "select p.x from a p join b q on q.id = p.x union select 1",
       }) {
    EXPECT_EQ(parts(text), "") << text;
  }
}

}  // namespace
}  // namespace vitrail::plan
