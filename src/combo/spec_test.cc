#include "combo/spec.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace vitrail::combo {
namespace {

std::string told(const Result<Spec>& spec) {
  if (!spec.ok()) return spec.error().message();
  std::string out;
  for (const TabletSpec& tablet : spec->tablets) {
    out += fmt::format("{}{} {}/{} {}{}", out.empty() ? "" : ", ", tablet.uid, tablet.keyspace, tablet.shard,
                       tablet.type, tablet.first ? "!" : "");
  }
  return out;
}

TEST(ComboSpec, TabletsOfEachShard) {
  EXPECT_EQ(told(make_spec({"a"}, {"1"}, 1, 0)), "100 a/0 replica!");
  EXPECT_EQ(told(make_spec({"a", "b"}, {"1", "2"}, 1, 0)), "100 a/0 replica!, 200 b/-80 replica!, 300 b/80- replica!");
  EXPECT_EQ(told(make_spec({"a", "b"}, {"1"}, 1, 0)), "100 a/0 replica!, 200 b/0 replica!");
  EXPECT_EQ(told(make_spec({"a"}, {"1"}, 2, 1)), "100 a/0 replica!, 101 a/0 replica, 102 a/0 rdonly");
}

TEST(ComboSpec, SaysWhatDoesNotFit) {
  EXPECT_EQ(told(make_spec({}, {"1"}, 1, 0)), "--keyspaces: name at least one");
  EXPECT_EQ(told(make_spec({"a", "a"}, {"1"}, 1, 0)), "--keyspaces names a twice");
  EXPECT_EQ(told(make_spec({"a", "b", "c"}, {"1", "2"}, 1, 0)),
            "--num-shards has 2 numbers for 3 keyspaces: give one for each, or one for all");
  EXPECT_EQ(told(make_spec({"a"}, {"1"}, 0, 3)), "--replica-count: at least 1, which is the primary");
  for (const char* wrong : {"", "0", "-1", "x", "2x", "99999999999"}) {
    EXPECT_EQ(told(make_spec({"a"}, {wrong}, 1, 0)), fmt::format("--num-shards: \"{}\" is no number of shards", wrong));
  }
  EXPECT_TRUE(told(make_spec({"a/b"}, {"1"}, 1, 0)).contains("keyspace"));
  EXPECT_TRUE(told(make_spec({"a"}, {"64"}, 1, 1)).starts_with("128 tablets"));
  EXPECT_TRUE(make_spec({"a"}, {"64"}, 1, 0).ok());
}

}  // namespace
}  // namespace vitrail::combo
