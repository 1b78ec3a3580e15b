#include "topo/throttler_config.h"

#include <gtest/gtest.h>

namespace vitrail::topo {
namespace {

using namespace std::chrono_literals;

const base::WallTime kNow{1000s};

::topodata::ThrottledAppRule rule(const std::string& name, double ratio, int64_t expires_at) {
  ::topodata::ThrottledAppRule out;
  out.set_name(name);
  out.set_ratio(ratio);
  out.mutable_expires_at()->set_seconds(expires_at);
  return out;
}

TEST(ThrottlerConfig, ThresholdsAreTheMetricsOwnThenTheDefaultOnes) {
  ::topodata::ThrottlerConfig config;
  EXPECT_EQ(throttler_threshold(config, "lag"), 5);
  EXPECT_EQ(throttler_threshold(config, "threads_running"), 100);
  ASSERT_TRUE(apply_throttler_update(config, {.threshold = 2.5}, kNow).ok());
  EXPECT_EQ(throttler_threshold(config, "lag"), 2.5);
  EXPECT_EQ(throttler_threshold(config, "threads_running"), 100);
  ASSERT_TRUE(apply_throttler_update(config, {.threshold = 7, .metric_name = "threads_running"}, kNow).ok());
  EXPECT_EQ(throttler_threshold(config, "threads_running"), 7);
  ASSERT_TRUE(apply_throttler_update(config, {.custom_query = "show global status like 'x'"}, kNow).ok());
  EXPECT_EQ(default_throttler_metric(config), "custom");
  EXPECT_EQ(throttler_threshold(config, "custom"), 2.5);
  EXPECT_EQ(throttler_threshold(config, "lag"), 5);
  ASSERT_TRUE(apply_throttler_update(config, {.custom_query = ""}, kNow).ok());
  EXPECT_EQ(default_throttler_metric(config), "lag");
}

TEST(ThrottlerConfig, RulesOfAppsComeAndGo) {
  ::topodata::ThrottlerConfig config;
  ASSERT_TRUE(apply_throttler_update(config, {.enable = true, .app = rule("vdiff", 1, 2000)}, kNow).ok());
  EXPECT_TRUE(config.enabled());
  EXPECT_EQ(config.throttled_apps().size(), 1u);
  ASSERT_TRUE(apply_throttler_update(config, {.app = rule("vplayer", 0.5, 1500)}, kNow).ok());
  EXPECT_EQ(config.throttled_apps().size(), 2u);
  ASSERT_TRUE(apply_throttler_update(config, {.app = rule("vdiff", 0, 999)}, kNow).ok());  // What unthrottles.
  EXPECT_EQ(config.throttled_apps().size(), 1u);
  ASSERT_TRUE(apply_throttler_update(config, {.disable = true}, kNow + 600s).ok());
  EXPECT_TRUE(config.throttled_apps().empty());
  EXPECT_FALSE(config.enabled());
}

TEST(ThrottlerConfig, MetricsOfAppsAreReplaced) {
  ::topodata::ThrottlerConfig config;
  ASSERT_TRUE(
      apply_throttler_update(config, {.app_name = "vdiff", .app_metrics = {"lag", "self/threads_running"}}, kNow).ok());
  EXPECT_EQ(config.app_checked_metrics().at("vdiff").names_size(), 2);
  ASSERT_TRUE(apply_throttler_update(config, {.app_name = "vdiff"}, kNow).ok());
  EXPECT_TRUE(config.app_checked_metrics().empty());
}

TEST(ThrottlerConfig, RefusesWhatMakesNoSense) {
  const ThrottlerUpdate kWrong[] = {
      {.enable = true, .disable = true},
      {.threshold = -1},
      {.threshold = 1, .metric_name = "nonsense"},
      {.metric_name = "lag"},
      {.custom_query = "delete from t"},
      {.app = rule("", 1, 2000)},
      {.app = rule("vdiff", 1.5, 2000)},
      {.app_metrics = {"lag"}},
      {.app_name = "vdiff", .app_metrics = {"cell/lag"}},
      {.app_name = "vdiff", .app_metrics = {"nonsense"}},
      {.app_name = "vdiff", .app_metrics = {""}},
  };
  for (const auto& update : kWrong) {
    ::topodata::ThrottlerConfig config;
    const Status refused = apply_throttler_update(config, update, kNow);
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code(), Code::kInvalidArgument);
    EXPECT_EQ(config.SerializeAsString(), "");
  }
}

TEST(ScopedMetric, IsRead) {
  const auto read = [](std::string_view text) {
    const auto scoped = parse_scoped_metric(text);
    return scoped.ok() ? scoped->scope + "|" + scoped->metric : "refused";
  };
  EXPECT_EQ(read("lag"), "|lag");
  EXPECT_EQ(read("self/lag"), "self|lag");
  EXPECT_EQ(read("shard/threads_running"), "shard|threads_running");
  EXPECT_EQ(read("self"), "self|");
  EXPECT_EQ(read("shard/default"), "shard|");
  EXPECT_EQ(read("default"), "|");
  EXPECT_EQ(read("shard/"), "refused");
  EXPECT_EQ(read("/lag"), "refused");
}

}  // namespace
}  // namespace vitrail::topo
