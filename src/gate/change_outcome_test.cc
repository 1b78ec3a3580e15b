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

TEST(ChangeOutcome, TellsTheIdOfOneServer) {
  struct Case {
    const char* what;
    ChangeOutcome out;
    uint64_t told;
    bool remembered;
  };
  const Case cases[] = {
      {"of the sequence", {.affected = 2, .last_insert_id = 7}, 7, true},
      {"of the server", {.affected = 1, .servers_insert_id = 9}, 9, true},
      {"given by the statement", {.affected = 1, .servers_insert_id = 9, .id_given = true}, 9, false},
      {"id = last_insert_id(id)",
       {.affected = 2, .last_insert_id = 7, .servers_insert_id = 3, .takes_servers_insert_id = true},
       3,
       true},
      {"that, of a row that is new", {.affected = 1, .last_insert_id = 7, .takes_servers_insert_id = true}, 7, true},
      {"of a row that was there",
       {.affected = 2, .last_insert_id = 7, .servers_insert_id = 3, .tells_found_id = true},
       3,
       false},
      {"of a row that was not", {.affected = 1, .last_insert_id = 7, .tells_found_id = true}, 7, true},
      {"of rows that were left out", {.ignore = true, .affected = 0, .last_insert_id = 7}, 0, false},
      {"of rows one of which was left out", {.ignore = true, .affected = 1, .last_insert_id = 7}, 7, true},
      {"none", {.affected = 1}, 0, false},
      {"of a row that came with it", {.affected = 1, .given_id = 5}, 5, false},
      {"of one that was left out", {.ignore = true, .given_id = 5}, 0, false},
  };
  for (const auto& one : cases) {
    EXPECT_EQ(one.out.insert_id().told, one.told) << one.what;
    EXPECT_EQ(one.out.insert_id().remembered, one.remembered) << one.what;
  }
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
