#include "gate/tablet_report.h"

#include <gtest/gtest.h>

#include "replicationdata.pb.h"
#include "tabletmanagerdata.pb.h"

namespace vitrail::gate {
namespace {

TEST(TabletReport, TellsWhetherAReplicaReceivesAndApplies) {
  ::replicationdata::Status status;
  status.set_io_state(3);
  status.set_sql_state(3);
  EXPECT_EQ(replication_health(status), R"({"EventStreamRunning":"Yes","EventApplierRunning":"Yes","LastError":""})");
  status.set_io_state(2);
  status.set_last_io_error("no \"route\"");
  EXPECT_EQ(replication_health(status),
            R"({"EventStreamRunning":"No","EventApplierRunning":"Yes","LastError":"no \"route\""})");
  status.set_sql_state(1);
  status.set_last_sql_error("a duplicate");
  EXPECT_EQ(replication_health(status),
            R"({"EventStreamRunning":"No","EventApplierRunning":"No","LastError":"no \"route\", a duplicate"})");
  EXPECT_EQ(replication_health(fail(Code::kUnavailable, "nobody is there")),
            R"({"EventStreamRunning":"No","EventApplierRunning":"No","LastError":"nobody is there"})");
}

TEST(TabletReport, TellsWhatTheThrottlerSays) {
  ::tabletmanagerdata::CheckThrottlerResponse check;
  check.set_response_code(::tabletmanagerdata::OK);
  check.set_value(0.128);
  EXPECT_EQ(throttler_state(check), R"({"state":"OK","load":0.13,"message":""})");
  check.set_response_code(::tabletmanagerdata::THRESHOLD_EXCEEDED);
  check.set_value(17);
  check.set_message("too late");
  EXPECT_EQ(throttler_state(check), R"({"state":"THRESHOLD_EXCEEDED","load":17.00,"message":"too late"})");
  check.set_error("threshold exceeded");
  EXPECT_EQ(throttler_state(check), R"({"state":"THRESHOLD_EXCEEDED","load":17.00,"message":"threshold exceeded"})");
  EXPECT_EQ(throttler_state(fail(Code::kUnavailable, "gone")), R"({"state":"UNKNOWN","load":0.00,"message":"gone"})");
}

TEST(TabletReport, ListsTheRulesThatAreInForce) {
  auto keyspace = std::make_shared<::topodata::SrvKeyspace>();
  auto& apps = *keyspace->mutable_throttler_config()->mutable_throttled_apps();
  apps["vreplication"].set_ratio(0.5);
  apps["vreplication"].mutable_expires_at()->set_seconds(1'800'000'000);
  apps["old"].mutable_expires_at()->set_seconds(1'000);
  apps["vdiff"].set_exempt(true);
  auto keyspaces = std::make_shared<topo::ServingState::Keyspaces>();
  (*keyspaces)["commerce"] = keyspace;
  auto state = std::make_shared<topo::ServingState>();
  state->keyspaces = keyspaces;
  View view;
  view.topology = state;
  const auto found = throttled_apps(view, "commerce", 1'799'999'999);
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->rows,
            (ShownRows{{"vdiff", std::nullopt, "0", "1"}, {"vreplication", "2027-01-15 08:00:00", "0.5", "0"}}));
  EXPECT_EQ(throttled_apps(view, "commerce", 1'800'000'000)->rows.size(), 1U);
  EXPECT_EQ(throttled_apps(view, "nowhere", 0).error().mysql_errno(), 1049);
  EXPECT_EQ(throttled_apps(view, "", 0).error().mysql_errno(), 1046);
}

}  // namespace
}  // namespace vitrail::gate
