#include "tablet/statement_metrics.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tablet/query_guard.h"

namespace vitrail::tablet {
namespace {

using namespace std::chrono_literals;

TEST(StatementMetrics, CountsByTheFirstTableAndThePlan) {
  base::Metrics registry("vttablet");
  StatementMetrics metrics(registry);
  QueryGuard guard({}, &metrics);
  struct Case {
    const char* statement;
    const char* label;
  };
  for (const Case& c :
       {Case{"select * from t join u on t.id = u.id", "t.Select"}, Case{"replace into T values (1)", "t.Insert"},
        Case{"update t set a = 1", "t.Update"}, Case{"delete from t", "t.Delete"}, Case{"commit", ".Commit"},
        Case{"truncate table t", "t.DDL"}}) {
    guard.classify(c.statement)->counters.record(2ms, false, 3, 1);
    const auto document = nlohmann::json::parse(registry.to_json());
    EXPECT_EQ(document["QueryCounts"][c.label], 1) << c.statement << document["QueryCounts"];
    EXPECT_EQ(document["QueryRowsReturned"][c.label], 3) << c.statement;
    EXPECT_EQ(document["QueryTimesNs"][c.label], 2'000'000) << c.statement;
  }
  guard.classify("select * from t join u on t.id = u.id")->counters.record(1ms, true, 0, 0);
  metrics.count_error(base::Code::kNotFound);
  metrics.transaction_ended(1ms, false);
  const auto document = nlohmann::json::parse(registry.to_json());
  EXPECT_EQ(document["QueryCounts"]["t.Select"], 2);
  EXPECT_EQ(document["QueryErrorCounts"]["t.Select"], 1);
  EXPECT_EQ(document["Queries"]["Histograms"]["Select"]["Count"], 2);
  EXPECT_EQ(document["Errors"]["NOT_FOUND"], 1);
  EXPECT_EQ(document["Transactions"]["Histograms"]["Aborted"]["Count"], 1);
  EXPECT_EQ(document["Transactions"]["Histograms"]["Completed"]["Count"], 0);
}

}  // namespace
}  // namespace vitrail::tablet
