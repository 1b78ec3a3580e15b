#include "gate/statement_totals.h"

#include <gtest/gtest.h>

#include <array>
#include <nlohmann/json.hpp>

namespace vitrail::gate {
namespace {

using namespace std::chrono_literals;

std::string masked(std::string_view text, size_t max = 4096, size_t known = 64) {
  std::array<sql::LiteralPosition, 64> storage;
  const auto scan = sql::fingerprint(text, std::span(storage).first(known));
  return without_literals(text, scan.literals, scan.literal_count, max);
}

TEST(StatementTotals, NoLiteralIsShown) {
  struct {
    std::string_view text;
    std::string_view shown;
    size_t max = 4096;
    size_t known = 64;
  } const cases[] = {
      {"begin", "begin"},
      {"set @a = 'secret'", "set @a = :vtg1"},
      {"insert into t values (1, 'x'), (-2, N'y')", "insert into t values (:vtg1, :vtg2), (-:vtg3, :vtg4)"},
      {"select 1 limit 5 -- rest", "select :vtg1 limit :vtg2 -- rest"},
      // Cut within a literal, behind one, in the middle of a character.
      {"select 'abcdef', 2", "select :vtg1 ...", 10},
      {"select 1, name from t", "select :vtg1, name ...", 14},
      {"select ä, 1", "select  ...", 8},
      // More literals than are known.
      {"select 1, 2, 'secret'", "select :vtg1, :vtg2 ...", 4096, 2},
      {"select 'secret'", " ...", 4096, 0},
  };
  for (const auto& c : cases) EXPECT_EQ(masked(c.text, c.max, c.known), c.shown) << c.text;
}

StatementUse use(std::string query, base::Duration took, uint64_t rows, bool failed, int times = 1) {
  StatementUse out;
  out.totals.query = std::move(query);
  for (int i = 0; i < times; ++i) out.totals.add(took, rows, failed);
  return out;
}

TEST(StatementTotals, TheGreatestComeFirst) {
  const std::vector<StatementUse> all = {use("often", 1ms, 0, false, 9), use("slow", 50ms, 1, false),
                                         use("much", 2ms, 1000, false), use("wrong", 1ms, 0, true, 2)};
  const auto first = [&](StatementOrder order, size_t limit = 10) {
    std::string out;
    for (const auto& one : top_statements(all, order, limit)) out += one.totals.query + " ";
    return out;
  };
  EXPECT_EQ(first(StatementOrder::kTime), "slow often much wrong ");
  EXPECT_EQ(first(StatementOrder::kCount), "often wrong much slow ");
  EXPECT_EQ(first(StatementOrder::kRows), "much slow ");
  EXPECT_EQ(first(StatementOrder::kErrors), "wrong ");
  EXPECT_EQ(first(StatementOrder::kTime, 2), "slow often ");
  EXPECT_TRUE(parse_statement_order("rows").ok());
  EXPECT_EQ(parse_statement_order("speed").error().code(), Code::kInvalidArgument);
}

TEST(StatementTotals, AreToldAsJson) {
  auto one = use("select \"a\"", 3ms, 2, true, 2);
  one.totals.add(10ms, 0, false);
  one.target = "commerce@primary";
  const auto json = nlohmann::json::parse(statements_json({one}));
  ASSERT_EQ(json.size(), 1U);
  EXPECT_EQ(json[0]["Query"], "select \"a\"");
  EXPECT_EQ(json[0]["QueryCount"], 3);
  EXPECT_EQ(json[0]["ErrorCount"], 2);
  EXPECT_EQ(json[0]["RowCount"], 4);
  EXPECT_EQ(json[0]["TimeNs"], 16'000'000);
  EXPECT_EQ(json[0]["LongestNs"], 10'000'000);
  EXPECT_EQ(nlohmann::json::parse(statements_json({})), nlohmann::json::array());
}

TEST(StatementTotals, ThoseOfAllShardsAreToldApart) {
  std::vector<StatementUse> all = {use("one shard", 6ms, 1, false, 5), use("all", 10ms, 1, false, 4),
                                   use("merged", 30ms, 1, false, 1)};
  all[0].totals.plan = "Passthrough";
  all[1].totals.plan = "Scatter";
  all[2].totals.plan = "Complex";
  const auto json = nlohmann::json::parse(scatter_json(all, 10));
  EXPECT_EQ(json["TotalCount"], 10);
  EXPECT_EQ(json["TotalTimeNs"], 100'000'000);
  EXPECT_EQ(json["PercentTimeScatter"], 70);
  EXPECT_EQ(json["PercentCountScatter"], 50);
  ASSERT_EQ(json["Items"].size(), 2U);
  EXPECT_EQ(json["Items"][0]["Query"], "all");
  EXPECT_EQ(json["Items"][0]["AvgTimeNs"], 10'000'000);
  EXPECT_EQ(json["Items"][1]["PercentTimeOfAll"], 30);
  EXPECT_EQ(json["Items"][1]["PercentCountOfScatters"], 20);
  EXPECT_EQ(nlohmann::json::parse(scatter_json(all, 1))["Items"].size(), 1U);
  EXPECT_EQ(nlohmann::json::parse(scatter_json({}, 1))["PercentTimeScatter"], 0);
}

}  // namespace
}  // namespace vitrail::gate
