#include "tablet/throttle_rules.h"

#include <gtest/gtest.h>

namespace vitrail::tablet {
namespace {

namespace tmd = ::tabletmanagerdata;
using namespace std::chrono_literals;

const base::WallTime kNow{1000s};

::topodata::ThrottlerConfig on() {
  ::topodata::ThrottlerConfig config;
  config.set_enabled(true);
  return config;
}

void add_rule(::topodata::ThrottlerConfig& config, const std::string& app, double ratio, bool exempt = false,
              int64_t expires_at = 2000) {
  auto& rule = (*config.mutable_throttled_apps())[app];
  rule.set_name(app);
  rule.set_ratio(ratio);
  rule.set_exempt(exempt);
  rule.mutable_expires_at()->set_seconds(expires_at);
}

tmd::CheckThrottlerResponseCode ask(const ::topodata::ThrottlerConfig& config, const Measured& measured,
                                    std::string_view app, std::string_view scope = "", double dice = 0.5) {
  return check_throttler(config, measured, app, scope, false, kNow, dice).response_code();
}

TEST(Throttler, LetsEverybodyThroughWhileItIsOff) {
  ::topodata::ThrottlerConfig config;
  add_rule(config, "vdiff", 1);
  EXPECT_EQ(ask(config, {.self = {{"lag", {100, ""}}}}, "vdiff"), tmd::OK);
}

TEST(Throttler, ComparesTheMetricWithItsThreshold) {
  const auto config = on();
  const struct {
    Measured measured;
    std::string_view scope;
    tmd::CheckThrottlerResponseCode code;
  } kCases[] = {
      {{.self = {{"lag", {4, ""}}}}, "", tmd::OK},
      {{.self = {{"lag", {5, ""}}}}, "", tmd::OK},
      {{.self = {{"lag", {5.1, ""}}}}, "", tmd::THRESHOLD_EXCEEDED},
      {{.self = {{"lag", {0, ""}}}, .shard = {{"lag", {9, ""}}}}, "", tmd::THRESHOLD_EXCEEDED},  // Lag is the shard's.
      {{.self = {{"lag", {0, ""}}}, .shard = {{"lag", {9, ""}}}}, "self", tmd::OK},
      {{.self = {{"lag", {9, ""}}}}, "shard", tmd::THRESHOLD_EXCEEDED},  // A replica knows only itself.
      {{.self = {{"lag", {0, "gone"}}}}, "", tmd::INTERNAL_ERROR},
      {{}, "", tmd::UNKNOWN_METRIC},
  };
  for (const auto& c : kCases) EXPECT_EQ(ask(config, c.measured, "vplayer", c.scope), c.code);
  EXPECT_EQ(check_throttler(config, {}, "vplayer", "", true, kNow, 0).response_code(), tmd::OK);
}

TEST(Throttler, ChecksTheMetricsOfTheApp) {
  auto config = on();
  const Measured measured{.self = {{"lag", {0, ""}}, {"threads_running", {500, ""}}}};
  EXPECT_EQ(ask(config, measured, "vcopier:wf:vreplication"), tmd::OK);
  (*config.mutable_app_checked_metrics())["vreplication"].add_names("lag");
  (*config.mutable_app_checked_metrics())["vreplication"].add_names("self/threads_running");
  EXPECT_EQ(ask(config, measured, "vcopier:wf:vreplication"), tmd::THRESHOLD_EXCEEDED);
  EXPECT_EQ(ask(config, measured, "vdiff:wf"), tmd::OK);
  const auto all = check_throttler(config, measured, "vreplication", "", false, kNow, 0);
  EXPECT_EQ(all.metrics().size(), 2u);
  EXPECT_EQ(all.value(), 500);
  EXPECT_EQ(all.threshold(), 100);
  (*config.mutable_app_checked_metrics())["all"].add_names("threads_running");
  EXPECT_EQ(ask(config, measured, "vdiff:wf"), tmd::THRESHOLD_EXCEEDED);
}

TEST(Throttler, ACustomQueryIsTheDefaultMetric) {
  auto config = on();
  config.set_custom_query("select 1");
  config.set_threshold(10);
  EXPECT_EQ(ask(config, {.self = {{"lag", {99, ""}}, {"custom", {9, ""}}}}, "vdiff"), tmd::OK);
  EXPECT_EQ(ask(config, {.self = {{"lag", {0, ""}}, {"custom", {11, ""}}}}, "vdiff"), tmd::THRESHOLD_EXCEEDED);
}

TEST(Throttler, FollowsRulesOfApps) {
  auto config = on();
  const Measured fine{.self = {{"lag", {0, ""}}}};
  const Measured slow{.self = {{"lag", {99, ""}}}};
  add_rule(config, "vreplication", 1);
  EXPECT_EQ(ask(config, fine, "vplayer:wf:vreplication"), tmd::APP_DENIED);
  EXPECT_EQ(ask(config, fine, "vdiff:wf"), tmd::OK);
  add_rule(config, "wf", 0, true);
  EXPECT_EQ(ask(config, slow, "vplayer:wf:vreplication"), tmd::OK);
  EXPECT_EQ(ask(config, fine, "vplayer:other:vreplication"), tmd::APP_DENIED);
  add_rule(config, "half", 0.4);
  EXPECT_EQ(ask(config, fine, "half", "", 0.39), tmd::APP_DENIED);
  EXPECT_EQ(ask(config, fine, "half", "", 0.4), tmd::OK);
  add_rule(config, "all", 1);
  EXPECT_EQ(ask(config, fine, "vdiff:x"), tmd::APP_DENIED);
  EXPECT_EQ(ask(config, fine, "half", "", 0.9), tmd::OK);  // Its own rule counts.
  add_rule(config, "all", 1, false, 999);                  // Expired.
  EXPECT_EQ(ask(config, fine, "vdiff:x"), tmd::OK);
}

TEST(Throttler, TellsTheCollectorEverything) {
  auto config = on();
  add_rule(config, "all", 1);
  const Measured measured{.self = {{"lag", {99, ""}}, {"threads_running", {3, ""}}}, .shard = {{"lag", {200, ""}}}};
  const auto told = check_throttler(config, measured, kCollectorApp, "self", false, kNow, 0);
  EXPECT_EQ(told.metrics().size(), 2u);
  EXPECT_EQ(told.metrics().at("lag").value(), 99);
  EXPECT_EQ(told.metrics().at("threads_running").value(), 3);
}

TEST(Throttler, TheLargestValueOfAShardCounts) {
  const auto all = largest({{{"lag", {1, ""}}, {"custom", {0, "gone"}}},
                            {{"lag", {7, ""}}, {"custom", {2, ""}}},
                            {{"lag", {0, "stopped"}}}});
  EXPECT_EQ(all.at("lag"), (Reading{7, ""}));
  EXPECT_EQ(all.at("custom"), (Reading{2, ""}));
  EXPECT_EQ(largest({{{"lag", {0, "stopped"}}}}).at("lag").error, "stopped");
  EXPECT_TRUE(largest({}).empty());
}

TEST(Throttler, ReadsNumbers) {
  EXPECT_EQ(read_number("12"), 12);
  EXPECT_EQ(read_number(" 0.25"), 0.25);
  for (const char* wrong : {"", "many", "1 2", "inf", "1x"}) EXPECT_EQ(read_number(wrong), std::nullopt) << wrong;
}

}  // namespace
}  // namespace vitrail::tablet
