#include "movement/stream_options.h"

#include <gtest/gtest.h>

namespace vitrail::movement {
namespace {

using namespace std::chrono_literals;

TEST(StreamOptions, AreTheEnginesUnlessOverridden) {
  EngineOptions engine;
  engine.retry_delay_max = 5s;
  engine.group_bytes_max = 1000;
  auto plain = read_stream_options("", engine);
  ASSERT_TRUE(plain.ok());
  EXPECT_EQ(plain->retry_delay_max, 5s);
  EXPECT_EQ(plain->group_bytes_max, 1000u);
  EXPECT_EQ(plain->tenant_id, "");
  const auto own = read_stream_options(
      R"({"tenant_id": "7", "config": {"vreplication_retry_delay": "50ms", "relay-log-max-size": "77",
          "vreplication-heartbeat-update-interval": "3", "vreplication-max-time-to-retry-on-error": "1m",
          "vreplication-replica-lag-tolerance": "2s", "vreplication-net-read-timeout": "9",
          "vreplication_net_write_timeout": "8", "vreplication_parallel_insert_workers": "2"}})",
      engine);
  ASSERT_TRUE(own.ok()) << own.error().to_string();
  EXPECT_EQ(own->tenant_id, "7");
  EXPECT_EQ(own->retry_delay_max, 50ms);
  EXPECT_EQ(own->retry_delay_min, 50ms);
  EXPECT_EQ(own->group_bytes_max, 77u);
  EXPECT_EQ(own->heartbeat_interval, 3s);
  EXPECT_EQ(own->retry_max, 1min);
  EXPECT_EQ(own->lag_tolerance, 2s);
  EXPECT_EQ(own->net_read_timeout, 9);
  EXPECT_EQ(own->net_write_timeout, 8);
  EXPECT_EQ(own->copy_lanes, 2u);
}

TEST(StreamOptions, RefuseWhatHasNoEffect) {
  EXPECT_TRUE(check_overrides({{"vreplication-retry-delay", "1s"}, {"relay_log_max_size", "250000"}}).ok());
  for (const auto& [name, value] : std::map<std::string, std::string>{{"vreplication-retry-delay", "soon"},
                                                                      {"relay-log-max-size", "0"},
                                                                      {"vreplication-net-read-timeout", "-1"}}) {
    const Status refused = check_overrides({{name, value}});
    ASSERT_FALSE(refused.ok()) << name;
    EXPECT_EQ(refused.error().code(), Code::kInvalidArgument) << name;
  }
  for (const char* name : {"vreplication-copy-phase-duration", "vstream-packet-size", "nonsense", ""}) {
    const Status refused = check_overrides({{name, "1"}});
    ASSERT_FALSE(refused.ok()) << name;
    EXPECT_EQ(refused.error().code(), Code::kUnimplemented) << name;
  }
  EXPECT_FALSE(read_stream_options("[]", {}).ok());
  EXPECT_FALSE(read_stream_options(R"({"config": {"nonsense": "1"}})", {}).ok());
}

}  // namespace
}  // namespace vitrail::movement
