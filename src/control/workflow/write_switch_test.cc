#include "control/workflow/write_switch.h"

#include <gtest/gtest.h>

namespace vitrail::control {
namespace {

google::protobuf::Map<std::string, std::string> stored(const SwitchPlan& plan) {
  google::protobuf::Map<std::string, std::string> out;
  for (const auto& [name, value] : plan.to_settings()) out[name] = value;
  return out;
}

// Whoever goes on with a switch that another has begun reads these.
TEST(SwitchPlan, IsWhatItsSettingsSay) {
  SwitchPlan plan;
  for (const bool flag : {true, false}) {
    plan.reverse = plan.writes = plan.enable_reverse_replication = plan.initialize_sequences = plan.skip_refresh = flag;
    plan.read_types = {::topodata::REPLICA, ::topodata::RDONLY};
    plan.cells = {"zone1", "zone2"};
    plan.moving_reads = {"REPLICA@zone1", "RDONLY@zone2"};
    plan.timeout = std::chrono::milliseconds(1500);
    const SwitchPlan read = SwitchPlan::from_settings(stored(plan));
    EXPECT_EQ(stored(read).size(), stored(plan).size());
    for (const auto& [name, value] : plan.to_settings()) EXPECT_EQ(stored(read).at(name), value) << name;
    EXPECT_EQ(read.skip_refresh, flag);
    EXPECT_EQ(read.timeout, plan.timeout);
  }
  EXPECT_FALSE(SwitchPlan::from_settings({}).skip_refresh);  // Of an older vtctld.
}

}  // namespace
}  // namespace vitrail::control
