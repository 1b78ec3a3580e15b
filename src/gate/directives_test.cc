#include "gate/directives.h"

#include <gtest/gtest.h>

namespace vitrail::gate {
namespace {

using namespace std::chrono_literals;

TEST(Directives, AreReadFromTheCommentsOfAStatement) {
  const struct {
    const char* statement;
    Directives directives;
  } cases[] = {
      {"select 1", {}},
      {"select /*vt+ QUERY_TIMEOUT_MS=250 */ 1", {.query_timeout = 250ms}},
      {"select /*vt+ query_timeout_ms=0 */ 1", {.query_timeout = 0ms}},
      {"/*vt+ QUERY_TIMEOUT_MS=1 */ select /*vt+ QUERY_TIMEOUT_MS=2 ALLOW_SCATTER */ 1",
       {.query_timeout = 2ms, .allow_scatter = true}},
      {"select /*vt+ SCATTER_ERRORS_AS_WARNINGS IGNORE_MAX_MEMORY_ROWS=1\n SKIP_QUERY_PLAN_CACHE=TRUE */ 1",
       {.scatter_errors_as_warnings = true, .ignore_max_memory_rows = true, .skip_plan_cache = true}},
      {"delete /*vt+ MULTI_SHARD_AUTOCOMMIT=1 WORKLOAD_NAME=batch PRIORITY=100 */ from t",
       {.multi_shard_autocommit = true}},
      {"delete /*vt+ MULTI_SHARD_AUTOCOMMIT=0 PLANNER=gen4 UNHEARD_OF */ from t", {}},
      {"select '/*vt+ QUERY_TIMEOUT_MS=1 */', `/*vt+ ALLOW_SCATTER */` /* vt+ ALLOW_SCATTER */ from t", {}},
  };
  for (const auto& c : cases) {
    const auto found = directives_of(c.statement);
    ASSERT_TRUE(found.ok()) << c.statement;
    EXPECT_EQ(*found, c.directives) << c.statement;
  }
}

TEST(Directives, RefuseValuesThatTheyDoNotTake) {
  const struct {
    const char* statement;
    const char* error;
  } cases[] = {
      {"select /*vt+ QUERY_TIMEOUT_MS */ 1", "directive QUERY_TIMEOUT_MS: '' is no number of milliseconds"},
      {"select /*vt+ QUERY_TIMEOUT_MS=1s */ 1", "directive QUERY_TIMEOUT_MS: '1s' is no number of milliseconds"},
      {"select /*vt+ QUERY_TIMEOUT_MS=-1 */ 1", "directive QUERY_TIMEOUT_MS: '-1' is no number of milliseconds"},
      {"select /*vt+ ALLOW_SCATTER=maybe */ 1", "directive ALLOW_SCATTER: 'maybe' is neither true nor false"},
      {"select /*vt+ PRIORITY=101 */ 1", "Invalid priority value specified in query: '101' is not between 0 and 100"},
      {"select /*vt+ PRIORITY=x */ 1", "Invalid priority value specified in query: 'x' is not between 0 and 100"},
  };
  for (const auto& c : cases) {
    const auto found = directives_of(c.statement);
    ASSERT_FALSE(found.ok()) << c.statement;
    EXPECT_EQ(found.error().message(), c.error);
    EXPECT_EQ(found.error().code(), Code::kInvalidArgument);
  }
}

}  // namespace
}  // namespace vitrail::gate
