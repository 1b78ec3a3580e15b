#include "movement/interval_sum.h"

#include <gtest/gtest.h>

namespace vitrail::movement {
namespace {

TableSchema wide() {
  TableSchema table;
  table.name = "t";
  table.columns = {{.name = "id", .type = ::query::INT64, .column_type = "bigint(20)"},
                   {.name = "name", .type = ::query::VARCHAR, .column_type = "varchar(9)", .character_set = "latin1"},
                   {.name = "raw", .type = ::query::VARBINARY, .column_type = "varbinary(9)"},
                   {.name = "f", .type = ::query::FLOAT32, .column_type = "float"},
                   {.name = "bits", .type = ::query::BIT, .column_type = "bit(3)"},
                   {.name = "doc", .type = ::query::JSON, .column_type = "json"},
                   {.name = "u", .type = ::query::CHAR, .column_type = "uuid"}};
  table.identity = {0};
  return table;
}

TEST(IntervalSum, TextsSayAllOfARow) {
  const TableSchema table = wide();
  const std::vector<size_t> columns = {0, 1, 2, 3, 4};
  const std::string text =
      "CONCAT_WS('#', `id`, COALESCE(LENGTH(CAST(`name` AS BINARY)), 'N'), COALESCE(CAST(`name` AS BINARY), ''), "
      "COALESCE(LENGTH(`raw`), 'N'), COALESCE(`raw`, ''), COALESCE(CAST(`f` AS DOUBLE), 'N'), COALESCE(`bits`+0, 'N'))";
  EXPECT_EQ(
      hash_expression(HashKind::kCrc, table, columns),
      "COALESCE(CRC32(@vitrail_row := " + text + ") * (CRC32C(@vitrail_row) + 1), CAST(RAND() * 1e18 AS UNSIGNED))");
  EXPECT_EQ(
      hash_expression(HashKind::kSha, table, columns),
      "COALESCE(CAST(CONV(LEFT(SHA2(" + text + ", 256), 16), 16, 10) AS UNSIGNED), CAST(RAND() * 1e18 AS UNSIGNED))");
}

TEST(IntervalSum, WhatHasNoCanonicalTextIsNotSummed) {
  const TableSchema table = wide();
  EXPECT_FALSE(hash_expression(HashKind::kCrc, table, std::vector<size_t>{0, 5}));
  EXPECT_FALSE(hash_expression(HashKind::kCrc, table, std::vector<size_t>{0, 6}));
  EXPECT_EQ(hash_form(::query::GEOMETRY, "geometry"), HashForm::kNone);
  EXPECT_EQ(hash_form(::query::ENUM, "enum('a')"), HashForm::kSized);
  EXPECT_EQ(hash_form(::query::DECIMAL, "decimal(9,2)"), HashForm::kPlain);
}

TEST(IntervalSum, KindsFollowTheServer) {
  const auto server = [](mysqld::FlavorKind kind, unsigned major, unsigned minor) {
    return mysqld::ServerVersion{.kind = kind, .version = {major, minor, 0}, .text = ""};
  };
  EXPECT_EQ(best_hash(server(mysqld::FlavorKind::kMariaDb, 10, 11)), HashKind::kCrc);
  EXPECT_EQ(best_hash(server(mysqld::FlavorKind::kMariaDb, 10, 6)), HashKind::kSha);
  EXPECT_EQ(best_hash(server(mysqld::FlavorKind::kMySql, 11, 4)), HashKind::kSha);
  EXPECT_EQ(parse_hash("crc"), HashKind::kCrc);
  EXPECT_FALSE(parse_hash("md5"));
}

TEST(IntervalSum, SumsAddUpOverShards) {
  IntervalSum all;
  IntervalSum left;
  IntervalSum right;
  for (uint64_t hash : {7u, 7u, 12u, 99u}) all.add(hash);
  left.add(99);
  left.add(7);
  right.add(12);
  right.add(7);
  left += right;
  EXPECT_EQ(left, all);
  right.add(0);
  EXPECT_NE(right, (IntervalSum{2, 12 ^ 7})) << "the number counts";
  EXPECT_TRUE(read_sum({.columns = {"a", "b"}, .rows = {{"3", "18446744073709551615"}}}).ok());
  EXPECT_FALSE(read_sum({.columns = {"a", "b"}, .rows = {{"3", std::nullopt}}}).ok());
  EXPECT_FALSE(read_sum({.columns = {"a", "b"}, .rows = {}}).ok());
}

TEST(IntervalSum, IntervalsAreAsLongAsSnapshotsStayYoung) {
  using namespace std::chrono_literals;
  EXPECT_EQ(next_interval_rows(20'000, 50ms), 80'000u);
  EXPECT_EQ(next_interval_rows(20'000, 200ms), 40'000u);
  EXPECT_EQ(next_interval_rows(20'000, 400ms), 20'000u);
  EXPECT_EQ(next_interval_rows(80'000, 2s), 40'000u);
  EXPECT_EQ(next_interval_rows(20'000, 2s), kIntervalRowsMin);
  EXPECT_EQ(next_interval_rows(900'000, 1ms), kIntervalRowsMax);
}

}  // namespace
}  // namespace vitrail::movement
