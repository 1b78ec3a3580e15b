#include "control/process_views.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace vitrail::control {
namespace {

TEST(MergeStatements, AddsUpWhatSeveralGatesSay) {
  const std::vector<GateAnswer> answers = {
      {"a:1", R"([{"Query":"select :vtg1","Target":"ks@primary","Plan":"Scatter","QueryCount":2,"ErrorCount":1,
                   "RowCount":4,"TimeNs":10,"LongestNs":7,"Keyspace":"","Vindex":"","Sent":""},
                  {"Query":"begin","Target":"ks@primary","Plan":"Local","QueryCount":9,"TimeNs":1}])"},
      {"b:1", R"([{"Query":"select :vtg1","Target":"ks@primary","Plan":"Passthrough","QueryCount":3,"ErrorCount":0,
                   "RowCount":1,"TimeNs":5,"LongestNs":5,"Keyspace":"ks","Vindex":"hash","Sent":"select 1"},
                  {"Query":"select :vtg1","Target":"ks@replica","Plan":"Scatter","QueryCount":1,"TimeNs":3}])"},
      {"c:1", fail(Code::kUnavailable, "nobody answers")},
      {"d:1", std::string("<html>")},
      {"e:1", std::string(R"([1, {"Query": 5, "TimeNs": -1}])")}};
  const auto merged = merge_statements(answers, "time", 3);
  ASSERT_EQ(merged["statements"].size(), 3U);
  const auto& first = merged["statements"][0];
  EXPECT_EQ(first["query"], "select :vtg1");
  EXPECT_EQ(first["count"], 5);
  EXPECT_EQ(first["errors"], 1);
  EXPECT_EQ(first["rows"], 5);
  EXPECT_EQ(first["time_ns"], 15);
  EXPECT_EQ(first["longest_ns"], 7);
  EXPECT_EQ(first["plan"], "Passthrough");
  EXPECT_EQ(first["vindex"], "hash");
  EXPECT_EQ(first["gates"], (nlohmann::json{"a:1", "b:1"}));
  EXPECT_EQ(merged["statements"][1]["target"], "ks@replica");  // Another target is another statement.
  EXPECT_EQ(merge_statements(answers, "count", 1)["statements"][0]["query"], "begin");
  ASSERT_EQ(merged["gates"].size(), 5U);
  EXPECT_EQ(merged["gates"][0]["error"], "");
  EXPECT_EQ(merged["gates"][2]["error"], "nobody answers");
  EXPECT_EQ(merged["gates"][3]["error"], "its answer cannot be read");
}

TEST(ShortVersion, IsThatOfTheProject) {
  EXPECT_EQ(short_version("Version: 24.0.0 (Vitrail 0.1.0)"), "0.1.0");
  EXPECT_EQ(short_version("Version: 24.0.0 (Git revision abc)"), "Version: 24.0.0 (Git revision abc)");
  EXPECT_EQ(short_version("(Vitrail 0.1"), "(Vitrail 0.1");
  EXPECT_EQ(short_version(""), "");
}

TEST(MergeStatements, NoGateIsNoStatement) {
  EXPECT_EQ(merge_statements({}, "time", 10).dump(), R"({"gates":[],"statements":[]})");
}

}  // namespace
}  // namespace vitrail::control
