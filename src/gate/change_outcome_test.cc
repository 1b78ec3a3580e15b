#include "gate/change_outcome.h"

#include <gtest/gtest.h>

namespace vitrail::gate {
namespace {

net::QueryResult ok(uint64_t affected, const char* info = "") {
  net::QueryResult result;
  result.ok.affected_rows = affected;
  result.ok.info = info;
  return result;
}

TEST(ChangeOutcome, AddsUpWhatShardsTell) {
  ChangeOutcome update;
  update.add(ok(2, "Rows matched: 3  Changed: 2  Warnings: 0"), 0, false);
  update.add(ok(0, "Rows matched: 1  Changed: 0  Warnings: 1"), 0, false);
  EXPECT_EQ(update.affected, 2U);
  EXPECT_EQ(update.info(1), "Rows matched: 4  Changed: 2  Warnings: 1");

  ChangeOutcome insert;
  insert.add(ok(3, "Records: 3  Duplicates: 1  Warnings: 0"), 3, false);
  insert.add(ok(2), 1, false);  // One row, which took the place of another one.
  EXPECT_EQ(insert.info(0), "Records: 4  Duplicates: 2  Warnings: 0");

  ChangeOutcome ignored;
  ignored.add(ok(0), 1, true);
  ignored.add(ok(1), 1, true);
  EXPECT_EQ(ignored.info(2), "Records: 2  Duplicates: 1  Warnings: 2");

  ChangeOutcome one;
  one.add(ok(1), 1, false);
  EXPECT_EQ(one.info(0), "");
  one.tells_records = true;
  EXPECT_EQ(one.info(0), "Records: 1  Duplicates: 0  Warnings: 0");
}

TEST(ChangeOutcome, PutsReturnedRowsIntoTheStatementsOrder) {
  ChangeOutcome out;
  for (const auto& [places, cells] : {std::pair(std::vector<uint64_t>{0, 3}, std::vector{"a", "d"}),
                                      std::pair(std::vector<uint64_t>{1, 2}, std::vector{"b", "c"})}) {
    net::QueryResult result;
    result.columns.emplace_back();
    for (const char* cell : cells) result.rows.push_back({std::string(cell)});
    out.add(result, places.size(), false);
    out.note_places(places, result.rows.size());
  }
  out.order_returned();
  std::string order;
  for (const auto& row : out.returned->rows) order += *row[0];
  EXPECT_EQ(order, "abcd");
}

TEST(InsertBatches, AreBoundedAndKeepTheOrderOfEachShard) {
  InsertBatches batches("insert into t values ", " returning id");
  const shard::Target left{"ks", "-80", "primary"};
  const shard::Target right{"ks", "80-", "primary"};
  EXPECT_FALSE(batches.add(left, "(1)"));
  EXPECT_FALSE(batches.add(right, "(2)"));
  const auto full = batches.add(left, "(" + std::string(600'000, '7') + ")");
  ASSERT_TRUE(full);
  EXPECT_EQ(full->places, (std::vector<uint64_t>{0, 2}));
  EXPECT_TRUE(full->text.ends_with(" returning id"));
  const auto rest = batches.rest();
  ASSERT_EQ(rest.size(), 1U);
  EXPECT_EQ(rest[0].text, "insert into t values (2) returning id");
}

}  // namespace
}  // namespace vitrail::gate
