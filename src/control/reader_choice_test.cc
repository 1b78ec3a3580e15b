#include "control/reader_choice.h"

#include <gtest/gtest.h>

namespace vitrail::control {
namespace {

using ::topodata::PRIMARY;
using ::topodata::RDONLY;
using ::topodata::REPLICA;

std::vector<uint32_t> ranked(const ReaderChoice& choice) {
  std::vector<::topodata::Tablet> tablets;
  for (const auto& [uid, type] : std::map<uint32_t, ::topodata::TabletType>{
           {1, PRIMARY}, {2, RDONLY}, {3, REPLICA}, {4, ::topodata::DRAINED}, {5, RDONLY}}) {
    auto& tablet = tablets.emplace_back();
    tablet.mutable_alias()->set_cell("zone1");
    tablet.mutable_alias()->set_uid(6 - uid);
    tablet.set_type(type);
  }
  std::vector<uint32_t> out;
  for (const auto& tablet : rank_readers(choice, tablets)) out.push_back(6 - tablet.alias().uid());
  return out;
}

TEST(ReaderChoice, TabletsOfTheWantedTypesInTheWantedOrder) {
  using Uids = std::vector<uint32_t>;
  EXPECT_EQ(ranked({}), Uids{1});
  EXPECT_EQ(ranked({.types = {PRIMARY}}), Uids{1});
  EXPECT_EQ(ranked({.types = {REPLICA, PRIMARY}}), (Uids{3, 1}));
  EXPECT_EQ(ranked({.types = {RDONLY, REPLICA, PRIMARY}}), (Uids{5, 2, 3, 1}));
  EXPECT_EQ(ranked({.types = {RDONLY, REPLICA, PRIMARY}, .in_order = false}), (Uids{5, 3, 2, 1})) << "by alias alone";
  EXPECT_EQ(ranked({.types = {::topodata::BACKUP}}), Uids{});
}

TEST(ReaderChoice, PrimariesAreWhatIsReadWhenNothingElseIsWanted) {
  EXPECT_TRUE(ReaderChoice{}.only_primaries());
  EXPECT_TRUE(ReaderChoice{.types = {PRIMARY}}.only_primaries());
  EXPECT_FALSE((ReaderChoice{.types = {PRIMARY, REPLICA}}).only_primaries());
  EXPECT_FALSE((ReaderChoice{.cells = {"zone1"}, .types = {PRIMARY}}).only_primaries());
}

TEST(ReaderChoice, ATabletThatIsNotWellIsLeftForAnother) {
  ::query::StreamHealthResponse health;
  EXPECT_EQ(why_not_read(health), "it does not serve");
  health.set_serving(true);
  EXPECT_EQ(why_not_read(health), "");
  health.mutable_realtime_stats()->set_replication_lag_seconds(61);
  EXPECT_EQ(why_not_read(health), "it is 61 s behind");
  health.mutable_realtime_stats()->set_health_error("replication has stopped");
  EXPECT_EQ(why_not_read(health), "replication has stopped");
}

}  // namespace
}  // namespace vitrail::control
