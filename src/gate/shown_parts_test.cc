#include "gate/shown_parts.h"

#include <gtest/gtest.h>

#include "gate/show_table.h"

namespace vitrail::gate {
namespace {

net::QueryResult status_of(ShownRows rows) {
  return table_of({"Name", "Rows", "Avg_row_length", "Data_length", "Max_data_length", "Index_length", "Data_free",
                   "Auto_increment", "Create_time", "Update_time"},
                  std::move(rows));
}

std::vector<std::optional<std::string>> status(std::string name, std::string rows, std::string average,
                                               std::string length, std::string id, std::string created,
                                               std::optional<std::string> updated) {
  return {name, rows, average, length, "0", "100", "0", id, created, updated};
}

TEST(ShownParts, RowsAndSizesOfTableStatusAreAddedUp) {
  const auto all =
      unite_shown({}, {status_of({status("t", "10", "100", "1000", "9", "2026-01-02 00:00:00", "2026-03-01 00:00:00")}),
                       status_of({status("t", "30", "100", "5000", "11", "2026-01-01 00:00:00", std::nullopt)})});
  ASSERT_EQ(all.rows.size(), 1U);
  const std::vector<std::optional<std::string>> expected = {
      "t", "40", "150", "6000", "0", "200", "0", "11", "2026-01-01 00:00:00", "2026-03-01 00:00:00"};
  EXPECT_EQ(all.rows[0], expected);
}

TEST(ShownParts, ViewsHaveNoRowsAndCopiesAreOneTable) {
  ShownRows one = {{"v", std::nullopt, std::nullopt, std::nullopt, std::nullopt, std::nullopt, std::nullopt,
                    std::nullopt, "2026-01-01 00:00:00", std::nullopt},
                   status("Ref", "5", "20", "100", "9", "2026-01-02 00:00:00", std::nullopt)};
  const auto all = unite_shown({.copies = {"ref"}}, {status_of(one), status_of(one)});
  EXPECT_EQ(all.rows, one);
}

TEST(ShownParts, ChecksumsAreAddedUpIn32Bits) {
  const auto sums = [](std::optional<std::string> t, std::optional<std::string> none) {
    return table_of({"Table", "Checksum"}, {{"ks.t", std::move(t)}, {"ks.Ref", "7"}, {"ks.x", std::move(none)}});
  };
  const auto all = unite_shown({.of = plan::ShownParts::Of::kChecksum, .copies = {"ref"}},
                               {sums("4294967295", std::nullopt), sums("3", std::nullopt)});
  const ShownRows expected = {{"ks.t", "2"}, {"ks.Ref", "7"}, {"ks.x", std::nullopt}};
  EXPECT_EQ(all.rows, expected);
}

TEST(ShownParts, TablesOfOneShardAloneAreShown) {
  const auto all = unite_shown({}, {status_of({}), status_of({status("new", "1", "5", "5", "2", "x", "y")})});
  ASSERT_EQ(all.rows.size(), 1U);
  EXPECT_EQ(all.rows[0][0], "new");
}

TEST(ShownParts, AnEmptyTableHasNoAverage) {
  const auto row = status("t", "0", "0", "16384", "1", "2026-01-01 00:00:00", std::nullopt);
  EXPECT_EQ(unite_shown({}, {status_of({row}), status_of({row})}).rows[0][2], "0");
}

struct Part {
  std::string repeats;
  std::string key;
  std::string number;
  std::string column;
  std::optional<std::string> values;
};

net::QueryResult index_of(const std::vector<Part>& parts) {
  ShownRows rows;
  for (const auto& part : parts) {
    rows.push_back({"t", part.repeats, part.key, part.number, part.column, "A", part.values});
  }
  return table_of({"Table", "Non_unique", "Key_name", "Seq_in_index", "Column_name", "Collation", "Cardinality"},
                  std::move(rows));
}

TEST(ShownParts, CardinalitiesOfAnIndex) {
  struct Case {
    const char* what;
    std::vector<std::string> key;
    std::string repeats;
    std::optional<std::string> first;  // On each of two shards, whose tables have 100 rows each.
    std::optional<std::string> second;
    std::optional<std::string> all;
  };
  const std::vector<Case> cases = {
      {"a unique one", {}, "0", "100", "60", "160"},
      {"the sharding column's", {"c"}, "1", "20", "20", "40"},
      {"another column is among those that place the row", {"c", "d"}, "1", "20", "20", "24"},
      {"each row has a value of its own", {}, "1", "100", "100", "200"},
      {"two values, everywhere the same", {}, "1", "2", "2", "2"},
      {"half as many as rows", {}, "1", "50", "50", "75"},
      {"unknown", {}, "1", std::nullopt, std::nullopt, std::nullopt},
  };
  for (const auto& one : cases) {
    const Part primary{"0", "PRIMARY", "1", "id", "100"};
    const auto all = unite_shown({.of = plan::ShownParts::Of::kIndex, .key = one.key},
                                 {index_of({primary, {one.repeats, "k", "1", "C", one.first}}),
                                  index_of({primary, {one.repeats, "k", "1", "C", one.second}})});
    ASSERT_EQ(all.rows.size(), 2U);
    EXPECT_EQ(all.rows[0][6], "200") << one.what;
    EXPECT_EQ(all.rows[1][6], one.all) << one.what;
  }
}

TEST(ShownParts, APartOfAUniqueIndexMayRepeat) {
  const std::vector<Part> one = {{"0", "PRIMARY", "1", "a", "2"}, {"0", "PRIMARY", "2", "b", "100"}};
  const auto all = unite_shown({.of = plan::ShownParts::Of::kIndex}, {index_of(one), index_of(one)});
  EXPECT_EQ(all.rows[0][6], "2");
  EXPECT_EQ(all.rows[1][6], "200");
}

TEST(ShownParts, TheIndexOfACopyIsThatOfOneShard) {
  const std::vector<Part> one = {{"0", "PRIMARY", "1", "a", "2"}};
  EXPECT_EQ(
      unite_shown({.of = plan::ShownParts::Of::kIndex, .copies = {"t"}}, {index_of(one), index_of(one)}).rows[0][6],
      "2");
}

}  // namespace
}  // namespace vitrail::gate
