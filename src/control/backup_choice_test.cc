#include "control/backup_choice.h"

#include <gtest/gtest.h>

namespace vitrail::control {
namespace {

BackupCandidate tablet(uint32_t uid, ::topodata::TabletType type, uint32_t lag = 0) {
  BackupCandidate out{.answers = true, .replicates = type != ::topodata::PRIMARY, .lag_seconds = lag};
  out.tablet.mutable_alias()->set_cell("z");
  out.tablet.mutable_alias()->set_uid(uid);
  out.tablet.set_type(type);
  return out;
}

TEST(BackupChoice, TakesWhoIsMissedLeast) {
  struct Case {
    const char* what;
    const char* policy;
    std::vector<BackupCandidate> tablets;
    bool allow_primary;
    int chosen;  // uid; 0: nobody.
  };
  const auto primary = tablet(1, ::topodata::PRIMARY);
  auto silent = tablet(4, ::topodata::RDONLY);
  silent.answers = false;
  auto stopped = tablet(5, ::topodata::RDONLY);
  stopped.replicates = false;
  const Case cases[] = {
      {"rdonly before replica",
       "none",
       {primary, tablet(2, ::topodata::REPLICA), tablet(3, ::topodata::RDONLY, 9)},
       false,
       3},
      {"the one that lags least",
       "none",
       {primary, tablet(2, ::topodata::RDONLY, 7), tablet(3, ::topodata::RDONLY, 3)},
       false,
       3},
      {"not who does not answer or replicate",
       "none",
       {primary, tablet(2, ::topodata::REPLICA), silent, stopped},
       false,
       2},
      {"not another backup's", "none", {primary, tablet(2, ::topodata::BACKUP)}, false, 0},
      {"not the primary", "none", {primary}, false, 0},
      {"unless it is allowed to", "none", {primary}, true, 1},
      {"and then it is the last", "none", {primary, tablet(2, ::topodata::REPLICA, 100)}, true, 2},
      {"not the only one that acknowledges", "semi_sync", {primary, tablet(2, ::topodata::REPLICA)}, false, 0},
      {"one of two that acknowledge",
       "semi_sync",
       {primary, tablet(2, ::topodata::REPLICA, 5), tablet(3, ::topodata::REPLICA)},
       false,
       3},
      {"rdonly tablets do not acknowledge",
       "semi_sync",
       {primary, tablet(2, ::topodata::REPLICA), tablet(3, ::topodata::RDONLY)},
       false,
       3},
  };
  for (const Case& c : cases) {
    const auto chosen = choose_backup_tablet(*topo::Durability::parse(c.policy), c.tablets, c.allow_primary);
    EXPECT_EQ(chosen.ok() ? static_cast<int>(c.tablets[*chosen].tablet.alias().uid()) : 0, c.chosen)
        << c.what << ": " << (chosen.ok() ? "" : chosen.error().message());
  }
}

}  // namespace
}  // namespace vitrail::control
