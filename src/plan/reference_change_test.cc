#include "plan/reference_change.h"

#include <gtest/gtest.h>

#include "plan/planner.h"
#include "sql/parser.h"
#include "vschema/proto_json.h"
#include "vschema/vschema.h"

namespace vitrail::plan {
namespace {

constexpr const char* kSharded = R"({"sharded":true,"vindexes":{"hash":{"type":"hash"}},"tables":{
  "a":{"column_vindexes":[{"column":"id","name":"hash"}]},
  "r":{"type":"reference"}, "s":{"type":"reference"},
  "copy":{"type":"reference","source":"un.origin"}}})";

class ReferenceChangeTest : public testing::Test {
 protected:
  ReferenceChangeTest() {
    ::vschema::SrvVSchema record;
    for (const auto& [name, json] : {std::pair("sh", kSharded), std::pair("un", R"({"tables":{"origin":{}}})")}) {
      EXPECT_TRUE(vschema::parse_json(json, (*record.mutable_keyspaces())[name], nullptr).ok());
    }
    vschema_ = vschema::VSchema::build(record, 1);
    schema::Table table;
    table.columns = {
        {.name = "k", .type = "bigint(20)", .data_type = "bigint", .nullable = false, .has_default = false},
        {.name = "v", .type = "varchar(9)", .data_type = "varchar"},
        {.name = "n", .type = "int(11)", .data_type = "int", .nullable = false, .null_default = false}};
    schema::Table timed = table;
    timed.columns[0].extra = "auto_increment";
    timed.columns.push_back({.name = "t",
                             .type = "timestamp",
                             .data_type = "timestamp",
                             .extra = "on update current_timestamp()",
                             .nullable = false,
                             .null_default = false});
    schema_["sh"] = std::make_shared<const schema::Keyspace>(schema::Keyspace{{"r", table}, {"s", timed}});
  }

  std::string planned(std::string_view text) {
    auto ast = sql::parse(text);
    EXPECT_TRUE(ast.ok()) << text;
    PlanContext context;
    context.vschema = vschema_.get();
    context.schema = &schema_;
    context.keyspace = "sh";
    context.has_parameters = true;
    const auto plan = plan_statement(*ast, context);
    if (!plan.ok()) return plan.error().message();
    std::string out = (*plan)->copies ? "all " : "one ";
    return out + (*plan)->route.keyspace + ((*plan)->text ? ": " + *(*plan)->text : "");
  }

  std::shared_ptr<const vschema::VSchema> vschema_;
  schema::Snapshot schema_;
};

TEST_F(ReferenceChangeTest, CopiesChangeTogetherAndSourcesInTheirPlace) {
  const std::pair<const char*, const char*> cases[] = {
      {"insert into r(k, v) values (1, concat('a', 'b'))", "all sh"},
      {"insert into r values (1, null, 3), (2, 'x', 4)", "all sh"},
      {"replace into sh.r(k) values (1)", "all sh: replace into r (k) values (1)"},
      {"update r set v = upper(v), n = n + 1 where k in (1, 2)", "all sh"},
      {"delete from r", "all sh"},
      {"update s set v = 'x', t = '2020-01-01' where k = 1", "all sh"},
      {"insert into s(k, v, t) values (7, 'x', '2020-01-01')", "all sh"},
      {"insert into copy(x) values (1)", "one un: insert into origin (x) values (1)"},
      {"update copy set x = 1 where copy.y = 2", "one un: update origin as copy set x = 1 where copy.y = 2"},
      {"delete from sh.copy where x = 1", "one un: delete from origin where x = 1"},
  };
  for (const auto& [text, expected] : cases) EXPECT_EQ(planned(text), expected) << text;
}

TEST_F(ReferenceChangeTest, WhatMayDifferIsRefused) {
  for (const char* text :
       {"insert into r(k, v) values (1, uuid())", "update r set v = now()", "update r set n = rand() where k = 1",
        "update r set n = 1 limit 2", "delete from r limit 1", "insert into r(k) select id from a",
        "update r set v = @@hostname", "insert into s(v, t) values ('x', '2020-01-01')",
        "insert into s(k, v) values (1, 'x')", "insert into s(k, t) values (null, '2020-01-01')",
        "insert into s(k, t) values (0, '2020-01-01')", "insert into s(k, t) values (1, default)",
        "update s set v = 'x'", "insert into r(k) values (1) returning k",
        "insert into s(k, t) values (1, '2020-01-01') on duplicate key update v = 'x'",
        "update r set v = (select max(x) from a)"}) {
    EXPECT_TRUE(planned(text).starts_with("VT12001: unsupported: ")) << text << ": " << planned(text);
  }
}

}  // namespace
}  // namespace vitrail::plan
