#include "movement/source_probe.h"

#include <gtest/gtest.h>

namespace vitrail::movement {
namespace {

TEST(SourceProbe, JudgesByBothThreadsOfReplication) {
  struct Case {
    int io, sql;
    uint32_t lag;
    bool replicating;
  };
  // 0 unknown, 1 stopped, 2 connecting, 3 running.
  for (const auto& one : {Case{3, 3, 0, true}, Case{3, 3, 90, true}, Case{3, 1, 0, false}, Case{1, 3, 0, false},
                          Case{2, 3, 0, false}, Case{0, 0, 0, false}}) {
    ::replicationdata::Status status;
    status.set_io_state(one.io);
    status.set_sql_state(one.sql);
    status.set_replication_lag_seconds(one.lag);
    const SourceHealth health = judge_source(status);
    EXPECT_EQ(health.replicating, one.replicating) << one.io << " " << one.sql;
    EXPECT_EQ(health.lag, std::chrono::seconds(one.lag));
  }
}

}  // namespace
}  // namespace vitrail::movement
