#include "control/workflow/mirror.h"

#include <gtest/gtest.h>

namespace vitrail::control {
namespace {

using ::topodata::PRIMARY;
using ::topodata::RDONLY;
using ::topodata::REPLICA;

TEST(Mirror, WhatIsSwitchedIsNotMirrored) {
  vschema::TrafficState none;
  none.replica_cells_not_switched = none.rdonly_cells_not_switched = {"zone1"};
  vschema::TrafficState replicas = none;
  replicas.replica_cells_switched = {"zone1"};
  replicas.replica_cells_not_switched = {};
  vschema::TrafficState all = replicas;
  all.rdonly_cells_switched = {"zone1"};
  all.rdonly_cells_not_switched = {};
  all.writes_switched = true;
  const auto check = [](std::vector<::topodata::TabletType> types, float percent, const vschema::TrafficState& state) {
    const Status done = check_mirror({.workflow = "w", .types = std::move(types), .percent = percent}, state);
    return done.ok() ? "" : done.error().message();
  };
  EXPECT_EQ(check({PRIMARY, REPLICA, RDONLY}, 1, none), "");
  EXPECT_EQ(check({PRIMARY, RDONLY}, 1, replicas), "");
  EXPECT_EQ(check({PRIMARY, REPLICA}, 1, replicas).substr(0, 94),
            "cannot mirror traffic for workflow w at this time: the replica traffic is switched already: Re");
  EXPECT_NE(check({RDONLY}, 1, all), "");
  EXPECT_NE(check({PRIMARY}, 1, all), "");
  EXPECT_EQ(check({PRIMARY, REPLICA, RDONLY}, 0, all), "") << "ending it is always possible";
}

}  // namespace
}  // namespace vitrail::control
