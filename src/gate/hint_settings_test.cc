#include "gate/hint_settings.h"

#include <gtest/gtest.h>

#include "gate/vexplain.h"

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

}  // namespace
}  // namespace vitrail::gate
