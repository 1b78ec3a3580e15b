#include "control/workflow/partial.h"

#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

#include "vschema/routing_rules.h"

namespace vitrail::control {
namespace {

using engine::Record;

Record part(const std::string& name, std::vector<std::string> shards, const std::string& ends_by = "") {
  Record record;
  record.set_id(name);
  record.set_workflow(name);
  record.set_kind("MoveTables");
  record.set_source_keyspace("a");
  record.set_target_keyspace("b");
  (*record.mutable_options())[kPartialOption] = "true";
  for (auto& shard : shards) {
    record.add_source_shards(shard);
    record.add_target_shards(shard);
  }
  if (!ends_by.empty()) record.mutable_open()->set_kind(ends_by);
  return record;
}

std::vector<engine::StoredRecord> stored(std::vector<Record> records) {
  std::vector<engine::StoredRecord> out;
  for (auto& record : records) out.push_back({.record = std::move(record), .version = {}});
  return out;
}

// Exactly one of several workflows takes the rules along, in whichever order they end.
TEST(PartialMove, TheLastOneTakesTheRulesAlong) {
  const Record one = part("one", {"-80"});
  ::vschema::ShardRoutingRules none;
  ::vschema::ShardRoutingRules moved;
  vschema::route_shards(moved, "a", "b", std::vector<std::string>{"80-"});
  struct Case {
    const char* what;
    std::vector<Record> others;
    const ::vschema::ShardRoutingRules& rules;
    bool cancelled;
    bool last;
  };
  Record elsewhere = part("two", {"80-"});
  elsewhere.set_target_keyspace("c");
  Record whole = part("two", {"-80", "80-"});
  whole.mutable_options()->clear();
  const Case cases[] = {
      {"alone", {one}, none, true, true},
      {"another one lives", {one, part("two", {"80-"})}, none, true, false},
      {"another one is being switched", {one, part("two", {"80-"}, "switch")}, none, false, false},
      {"another one ends, too", {one, part("two", {"80-"}, "cancel")}, none, true, true},
      {"another one is being completed", {one, part("two", {"80-"}, "complete")}, moved, false, true},
      {"one that was completed before is served by the target", {one}, moved, true, false},
      {"all are served by the target", {one}, moved, false, true},
      {"to another keyspace", {one, elsewhere}, none, true, true},
      {"of all shards", {one, whole}, none, true, true},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(is_last(one, stored(c.others), c.rules, c.cancelled), c.last) << c.what;
  }
  EXPECT_TRUE(is_last(whole, stored({whole, one}), moved, true)) << "a workflow of all shards has its own rules";
}

TEST(PartialMove, AllShardsOfAWorkflowGoTogether) {
  const Record record = part("one", {"-40", "40-80"});
  EXPECT_TRUE(check_all_shards(record, {}).ok());
  EXPECT_TRUE(check_all_shards(record, {"40-80", "-40"}).ok());
  EXPECT_FALSE(check_all_shards(record, {"-40"}).ok());
  EXPECT_FALSE(check_all_shards(record, {"-40", "40-80", "80-"}).ok());
}

TEST(PartialMove, IsSwitchedWhenItsOwnShardsAre) {
  vschema::TrafficState state;
  state.is_partial = true;
  state.shards_switched = {"-40", "40-80"};
  state.shards_not_switched = {"80-"};
  EXPECT_TRUE(are_writes_switched(state, part("one", {"-40"})));
  EXPECT_TRUE(are_writes_switched(state, part("one", {"-40", "40-80"})));
  EXPECT_FALSE(are_writes_switched(state, part("one", {"40-80", "80-"})));
}

::vschema::Keyspace keyspace(const std::string& json) {
  ::vschema::Keyspace out;
  EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(json, &out).ok()) << json;
  return out;
}

TEST(PartialMove, RowsArePlacedTheSameWayOnBothSides) {
  const auto a = keyspace(R"({"sharded": true, "vindexes": {"h": {"type": "hash"}, "x": {"type": "xxhash"}},
      "tables": {"t": {"column_vindexes": [{"column": "id", "name": "h"}]}, "r": {"type": "reference"}}})");
  auto same = a;  // Names of vindexes mean nothing.
  (*same.mutable_vindexes())["other"] = same.vindexes().at("h");
  (*same.mutable_tables())["t"].mutable_column_vindexes(0)->set_name("other");
  EXPECT_TRUE(check_same_places(a, same, {"r", "t"}).ok());
  auto type = a;
  (*type.mutable_tables())["t"].mutable_column_vindexes(0)->set_name("x");
  auto column = a;
  (*column.mutable_tables())["t"].mutable_column_vindexes(0)->set_column("other_id");
  auto reference = a;
  (*reference.mutable_tables())["t"].set_type("reference");
  auto missing = a;
  missing.mutable_tables()->erase("t");
  for (const auto& other : {type, column, reference, missing}) {
    const Status refused = check_same_places(a, other, {"r", "t"});
    ASSERT_FALSE(refused.ok());
    EXPECT_NE(refused.error().message().find("table t "), std::string::npos) << refused.error().message();
    EXPECT_TRUE(check_same_places(a, other, {"r"}).ok());
  }
}

}  // namespace
}  // namespace vitrail::control
