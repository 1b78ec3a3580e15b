#include "control/client/workflow_report.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace vitrail::control {
namespace {

TEST(WorkflowReport, ShowsWhatIsOpenAndWhatHasBeen) {
  ::workflowdata::Record record;
  record.set_workflow("w");
  auto& past = *record.add_history();
  past.set_kind("create");
  past.set_outcome("done");
  past.set_started_ms(1'000);
  auto& open = *record.mutable_open();
  open.set_kind("switch");
  open.set_owner("x");
  open.set_owner_text("process 17 on a");
  open.set_undoing(true);
  open.set_error("step catch_up: too slow");
  auto& step = *open.add_steps();
  step.set_name("fence");
  step.set_state(::workflowdata::DONE);
  step.set_started_ms(86'400'000);
  const std::string text = R"({"workflows": [{"name": "v"}, {"name": "w", "workflow_type": "MoveTables"}]})";
  const auto shown = nlohmann::json::parse(with_operations(text, {record}));
  EXPECT_FALSE(shown["workflows"][0].contains("open_operation"));
  const auto& found = shown["workflows"][1];
  EXPECT_EQ(found["workflow_type"], "MoveTables");
  EXPECT_EQ(found["open_operation"]["operation"], "switch");
  EXPECT_EQ(found["open_operation"]["state"], "UNDOING");
  EXPECT_EQ(found["open_operation"]["owner"], "process 17 on a");
  EXPECT_EQ(found["open_operation"]["error"], "step catch_up: too slow");
  EXPECT_EQ(found["open_operation"]["steps"][0]["name"], "fence");
  EXPECT_EQ(found["open_operation"]["steps"][0]["state"], "DONE");
  EXPECT_EQ(found["open_operation"]["steps"][0]["started_at"], "1970-01-02T00:00:00Z");
  EXPECT_EQ(found["past_operations"][0]["outcome"], "done");
  // One that nobody carries out now waits for its next attempt.
  record.mutable_open()->clear_owner();
  EXPECT_EQ(nlohmann::json::parse(with_operations(text, {record}))["workflows"][1]["open_operation"]["state"],
            "WAITING");
}

TEST(WorkflowReport, LeavesOthersAsTheyAre) {
  EXPECT_EQ(with_operations("{\"workflows\": []}\n", {}), "{\"workflows\": []}\n");
  EXPECT_EQ(with_operations("no json", {::workflowdata::Record()}), "no json");
}

}  // namespace
}  // namespace vitrail::control
