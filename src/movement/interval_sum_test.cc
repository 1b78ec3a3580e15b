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
                   {.name = "u", .type = ::query::CHAR, .column_type = "uuid"},
                   {.name = "n", .type = ::query::INT32, .column_type = "int(11)", .nullable = false},
                   {.name = "s", .type = ::query::VARBINARY, .column_type = "varbinary(9)", .nullable = false}};
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
      hash_expression(HashKind::kSha, table, columns),
      "COALESCE(CAST(CONV(LEFT(SHA2(" + text + ", 256), 16), 16, 10) AS UNSIGNED), CAST(RAND() * 1e18 AS UNSIGNED))");
}

TEST(IntervalSum, AMixTakesValuesAsTheyAre) {
  const auto mix = [](std::vector<size_t> columns) {
    return hash_expression(HashKind::kMix, wide(), columns).value_or("none");
  };
  EXPECT_EQ(mix({0, 7, 8}),
            "CRC32(MOD(`id` ^ (`n` * 1979887701), 4294967291), `s`) * CRC32C(`id` ^ (`n` * 1728166309), `s`)");
  EXPECT_EQ(mix({0}), "CRC32(MOD(2654435769 ^ `id`, 4294967291), 'vitrail') * CRC32C(`id`, 'vitrail')");
  EXPECT_EQ(mix({8, 1}),
            "CRC32(CRC32(2654435769 ^ LENGTH(`s`), `s`) ^ (`name` IS NULL), COALESCE(CAST(`name` AS BINARY), '')) * "
            "CRC32C(CRC32C(1367130551 ^ LENGTH(`s`), `s`) ^ (`name` IS NULL), COALESCE(CAST(`name` AS BINARY), ''))");
  EXPECT_TRUE(
      mix({0, 3, 4}).starts_with("CRC32(MOD(2654435769 ^ `id`, 4294967291), CONCAT_WS('#', COALESCE(CAST(`f` AS "
                                 "DOUBLE), 'N'), COALESCE(`bits`+0, 'N'), '')) * CRC32C(`id`, "))
      << mix({0, 3, 4});
}

TEST(IntervalSum, AMixOfMoreColumnsThanFitOnAStackIsNone) {
  TableSchema table = wide();
  EXPECT_TRUE(hash_expression(HashKind::kMix, table, std::vector<size_t>(200, 7)));
  EXPECT_FALSE(hash_expression(HashKind::kMix, table, std::vector<size_t>(201, 7)));
  EXPECT_TRUE(hash_expression(HashKind::kMix, table, std::vector<size_t>(50, 8)));
  EXPECT_FALSE(hash_expression(HashKind::kMix, table, std::vector<size_t>(51, 8)));
  EXPECT_TRUE(hash_expression(HashKind::kSha, table, std::vector<size_t>(201, 7)));
}

TEST(IntervalSum, FormsThatGiveTheSameHash) {
  const auto same = [](HashForm a, HashForm b) {
    return std::pair(same_form(HashKind::kMix, a, b), same_form(HashKind::kSha, a, b));
  };
  EXPECT_EQ(same(HashForm::kWide, HashForm::kWide), std::pair(true, true));
  EXPECT_EQ(same(HashForm::kNarrow, HashForm::kWide), std::pair(false, true));
  EXPECT_EQ(same(HashForm::kNarrow, HashForm::kPlain), std::pair(false, true));
  EXPECT_EQ(same(HashForm::kPlain, HashForm::kSized), std::pair(false, false));
  EXPECT_EQ(same(HashForm::kNone, HashForm::kNone), std::pair(false, false));
}

TEST(IntervalSum, ConditionsOfIntervals) {
  TableSchema table = wide();
  EXPECT_EQ(interval_condition(table, {}, {}), "");
  EXPECT_EQ(interval_condition(table, {"-7"}, {}), "(`id` > -7)");
  EXPECT_EQ(interval_condition(table, {}, {"9"}), "(`id` <= 9)");
  EXPECT_EQ(interval_condition(table, {"-7"}, {"9"}), "`id` BETWEEN -6 AND 9");
  EXPECT_EQ(interval_condition(table, {"18446744073709551615"}, {"18446744073709551615"}),
            "(`id` > 18446744073709551615) AND (`id` <= 18446744073709551615)");
  table.identity = {7, 8};
  EXPECT_EQ(
      interval_condition(table, {"1", "a"}, {"2", "b"}),
      "(`n` >= 1 AND (`n` > 1 OR (`n` = 1 AND `s` > 'a'))) AND (`n` <= 2 AND (`n` < 2 OR (`n` = 2 AND `s` <= 'b')))");
  table.identity = {8};
  EXPECT_EQ(interval_condition(table, {"1"}, {"2"}), "(`s` > '1') AND (`s` <= '2')");
}

TEST(IntervalSum, ValuesThatAreNeverNullAreTakenAsTheyAre) {
  const auto hash = hash_expression(HashKind::kSha, wide(), std::vector<size_t>{0, 7, 8});
  ASSERT_TRUE(hash);
  EXPECT_TRUE(hash->contains("CONCAT_WS('#', `id`, `n`, LENGTH(`s`), `s`)")) << *hash;
}

TEST(IntervalSum, WhatHasNoCanonicalTextIsNotSummed) {
  const TableSchema table = wide();
  EXPECT_FALSE(hash_expression(HashKind::kMix, table, std::vector<size_t>{0, 5}));
  EXPECT_FALSE(hash_expression(HashKind::kMix, table, std::vector<size_t>{0, 6}));
  EXPECT_EQ(hash_form(::query::GEOMETRY, "geometry"), HashForm::kNone);
  EXPECT_EQ(hash_form(::query::ENUM, "enum('a')"), HashForm::kSized);
  EXPECT_EQ(hash_form(::query::DECIMAL, "decimal(9,2)"), HashForm::kPlain);
  EXPECT_EQ(hash_form(::query::YEAR, "year(4)"), HashForm::kPlain);
  EXPECT_EQ(hash_form(::query::UINT32, "int(10) unsigned"), HashForm::kNarrow);
  EXPECT_EQ(hash_form(::query::UINT64, "bigint(20) unsigned"), HashForm::kWide);
}

TEST(IntervalSum, KindsFollowTheServer) {
  const auto server = [](mysqld::FlavorKind kind, unsigned major, unsigned minor) {
    return mysqld::ServerVersion{.kind = kind, .version = {major, minor, 0}, .text = ""};
  };
  EXPECT_EQ(best_hash(server(mysqld::FlavorKind::kMariaDb, 10, 11)), HashKind::kMix);
  EXPECT_EQ(best_hash(server(mysqld::FlavorKind::kMariaDb, 10, 6)), HashKind::kSha);
  EXPECT_EQ(best_hash(server(mysqld::FlavorKind::kMySql, 11, 4)), HashKind::kSha);
  EXPECT_EQ(parse_hash("mix"), HashKind::kMix);
  EXPECT_FALSE(parse_hash("crc")) << "of older versions: another expression";
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
