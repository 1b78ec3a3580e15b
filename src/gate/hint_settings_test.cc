#include "gate/hint_settings.h"

#include <gtest/gtest.h>

#include "gate/vexplain.h"
#include "sql/parser.h"

namespace vitrail::gate {
namespace {

TEST(HintSettings, AreReadFromTheHintsOfAStatement) {
  using Hints = std::vector<std::pair<std::string, std::string>>;
  const struct {
    const char* statement;
    Hints hints;
  } cases[] = {
      {"select 1", {}},
      {"select /*+ SET_VAR(sort_buffer_size = 16) */ 1", {{"sort_buffer_size", "16"}}},
      {"update /*+ set_var(Foreign_Key_Checks=OFF) SET_VAR( sql_mode='ANSI_QUOTES' ) */ t set a = 1",
       {{"foreign_key_checks", "OFF"}, {"sql_mode", "'ANSI_QUOTES'"}}},
      {"select /*+ MAX_EXECUTION_TIME(5) */ 'SET_VAR(a=1)'", {}},
      {"select /* SET_VAR(a=1) */ 1", {}},
      {"select /*+ SET_VAR(a='x''y') SET_VAR(b) SET_VAR(=1) SET_VAR(c=1; drop) SET_VAR(d=-1.5) */ 1", {{"d", "-1.5"}}},
  };
  for (const auto& c : cases) EXPECT_EQ(set_var_hints(c.statement), c.hints) << c.statement;
}

TEST(Vexplain, ShowsTheWayAStatementTakes) {
  plan::Plan plan;
  plan.is_read = true;
  plan.route.keyspace = "ks";
  plan.route.kind = plan::Route::Kind::kByValues;
  EXPECT_EQ(way_of(plan), "relay");
  EXPECT_EQ(
      plan_json(plan, "select 'a'"),
      R"({"Way": "relay", "OperatorType": "Route", "Variant": "EqualUnique", "Keyspace": {"Name": "ks"}, "Query": "select 'a'"})");
  plan.route.kind = plan::Route::Kind::kAllShards;
  EXPECT_EQ(way_of(plan), "merge");
  plan.route.kind = plan::Route::Kind::kNoShard;
  plan.merge.limit = 1;
  EXPECT_EQ(way_of(plan), "merge");
  plan.kind = plan::Plan::Kind::kFinish;
  EXPECT_EQ(way_of(plan), "finish");
  plan.kind = plan::Plan::Kind::kRoute;
  plan.is_read = false;
  EXPECT_EQ(way_of(plan), "");
}

TEST(Vexplain, ShowsWhatIsDoneWithTheShardsRows) {
  plan::Plan plan;
  plan.is_read = true;
  plan.route.keyspace = "ks";
  plan.route.kind = plan::Route::Kind::kAllShards;
  plan.merge.aggregates = {{.column = 0}, {.column = 1, .function = plan::AggregateFunction::kCount}};
  plan.merge.group_by = {{.column = 0, .hidden = true}};
  plan.merge.order_by = {{.column = 1, .descending = true}};
  plan.merge.limit = 5;
  EXPECT_EQ(plan_json(plan, "q"),
            R"x({"Way": "merge", "OperatorType": "Limit", "Count": 5, "Inputs": [{"OperatorType": "Sort", )x"
            R"x("Variant": "Memory", "OrderBy": "1 DESC", "Inputs": [{"OperatorType": "Aggregate", "Aggregates": )x"
            R"x("any_value(0), sum_count(1)", "GroupBy": "hidden 0", "Inputs": [{"OperatorType": "Route", "Variant": )x"
            R"x("Scatter", "Keyspace": {"Name": "ks"}, "Query": "q"}]}]}]})x");
}

TEST(Vexplain, TracesCallsAndRows) {
  EXPECT_EQ(trace_json({{1, "ks", "a", 3}, {1, "ks", "a", 4}, {2, "ks", "b", 1}, {3, "ks", "a", 1}}),
            R"({"Keyspace": "ks", "Query": "a", "NoOfCalls": 2, "AvgNumberOfRows": 4, "MedianNumberOfRows": 7, )"
            R"("ShardsQueried": 3}, {"Keyspace": "ks", "Query": "b", "NoOfCalls": 1, "AvgNumberOfRows": 1, )"
            R"("MedianNumberOfRows": 1, "ShardsQueried": 1})");
}

TEST(Vexplain, NamesTheKeys) {
  const std::pair<const char*, const char*> cases[] = {
      {"select u.name, count(*) from user u join music m on u.id = m.user_id where u.age > 5 and 7 >= m.x group by "
       "u.name",
       R"({"statementType": "SELECT", "tableName": ["user", "music"], "groupingColumns": ["user.name"], "joinColumns": )"
       R"(["user.id =", "music.user_id ="], "filterColumns": ["user.age >", "music.x <="], "selectColumns": )"
       R"(["user.name"]})"},
      {"update t set a = 1 where b in (1, 2) and c like 'x%'",
       R"({"statementType": "UPDATE", "tableName": ["t"], "filterColumns": ["t.b in", "t.c like"]})"},
  };
  for (const auto& [text, expected] : cases) {
    const auto ast = sql::parse(text);
    ASSERT_TRUE(ast.ok());
    const auto keys = keys_json(ast->statement());
    EXPECT_EQ(keys.ok() ? *keys : keys.error().message(), expected);
  }
}

}  // namespace
}  // namespace vitrail::gate
