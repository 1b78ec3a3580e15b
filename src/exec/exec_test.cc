#include <gtest/gtest.h>

#include "exec/compare.h"
#include "exec/merge.h"
#include "exec/number.h"
#include "exec/row_merge.h"
#include "exec/whole_order.h"

namespace vitrail::exec {
namespace {

using mysql::FieldType;
using plan::AggregateFunction;
using plan::Merge;

mysql::ColumnDef column(FieldType type, uint16_t flags = 0, uint8_t decimals = 0, uint16_t collation = 45) {
  mysql::ColumnDef out;
  out.name = "c";
  out.type = type;
  out.flags = flags;
  out.decimals = decimals;
  out.collation = collation;
  return out;
}

Result<int> compare(const KeyComparer& by, const Row& a, const Row& b) {
  std::vector<mysql::Cell> of_a, of_b;
  return by.compare(cells_of(a, of_a), cells_of(b, of_b));
}
Result<std::string> identity(const KeyComparer& by, const Row& row) {
  std::vector<mysql::Cell> room;
  return by.identity(cells_of(row, room));
}
Status add(RowMerge& merge, const Row& row, size_t shard = 0) {
  std::vector<mysql::Cell> room;
  return merge.add(cells_of(row, room), shard);
}

// Values in ascending order of the server, equal ones as one list; compares each with each.
void expect_order(const mysql::ColumnDef& of, const std::vector<std::vector<std::string>>& classes) {
  const std::vector<mysql::ColumnDef> columns = {of};
  const KeyComparer comparer({.column = 0}, columns, 1);
  for (size_t i = 0; i < classes.size(); ++i) {
    for (size_t j = 0; j < classes.size(); ++j) {
      for (const auto& x : classes[i]) {
        for (const auto& y : classes[j]) {
          const auto order = compare(comparer, {x}, {y});
          ASSERT_TRUE(order.ok()) << x << " " << y;
          EXPECT_EQ(*order, i < j ? -1 : i > j ? 1 : 0) << x << " " << y;
          EXPECT_EQ(*identity(comparer, {x}) == *identity(comparer, {y}), i == j) << x << " " << y;
        }
      }
    }
  }
}

TEST(KeyComparer, ComparesAsServersDo) {
  expect_order(column(FieldType::kLongLong), {{"-10"}, {"-9"}, {"0", "-0"}, {"9", "009"}, {"10"}});
  expect_order(column(FieldType::kNewDecimal), {{"-1.5", "-1.50"}, {"0.00", "0", "-0.0"}, {"0.5"}, {"10.1", "10.10"}});
  expect_order(column(FieldType::kDouble, 0, 31), {{"-1e30"}, {"-0", "0"}, {"1.5e-5", "0.000015"}, {"2e3", "2000"}});
  expect_order(column(FieldType::kYear), {{"0000"}, {"1999"}, {"2000"}});
  expect_order(column(FieldType::kTime),
               {{"-100:00:00"}, {"-01:00:00", "-01:00:00.000"}, {"00:00:00"}, {"10:00:00"}, {"100:00:00"}});
  expect_order(column(FieldType::kDatetime),
               {{"0000-00-00 00:00:00"}, {"2020-01-01 00:00:00"}, {"2020-01-01 00:00:01"}});
  expect_order(column(FieldType::kBit), {{std::string("\0\5", 2)}, {std::string("\1\0", 2)}});
  expect_order(column(FieldType::kString, mysql::kFieldUnsigned), {{"1.2.3.4"}, {"1.2.3.10"}, {"10.0.0.1"}});
  expect_order(column(FieldType::kString, mysql::kFieldUnsigned), {{"::1"}, {"::ffff"}, {"2001:db8::"}});
  expect_order(column(FieldType::kVarString, 0, 0, 63), {{""}, {"a"}, {"a "}, {"b"}});
}

TEST(KeyComparer, NullIsFirstAndEqualToItself) {
  const std::vector<mysql::ColumnDef> columns = {column(FieldType::kLong)};
  const KeyComparer comparer({.column = 0}, columns, 1);
  EXPECT_EQ(*compare(comparer, {std::nullopt}, {"-5"}), -1);
  EXPECT_EQ(*compare(comparer, {"-5"}, {std::nullopt}), 1);
  EXPECT_EQ(*compare(comparer, {std::nullopt}, {std::nullopt}), 0);
}

TEST(KeyComparer, ComparesTextsByTheirWeights) {
  const std::vector<mysql::ColumnDef> columns = {column(FieldType::kVarString), column(FieldType::kVarString),
                                                 column(FieldType::kVarString, 0, 0, 63),
                                                 column(FieldType::kVarString, 0, 0, 63)};
  const KeyComparer comparer({.column = 0, .hidden = true, .weight = 1}, columns, 1);
  const std::string blank("\0 ", 2);
  const auto row = [&](const char* weight, const std::string& pad) {
    std::string wide;
    for (const char* c = weight; *c != '\0'; ++c) wide += std::string("\0", 1) + *c;
    return Row{"", "text", wide, pad};
  };
  // A blank at the end counts for nothing, and less than any letter; more than a tabulator.
  EXPECT_EQ(*compare(comparer, row("A", blank), row("A  ", blank)), 0);
  EXPECT_EQ(*identity(comparer, row("A", blank)), *identity(comparer, row("A  ", blank)));
  EXPECT_EQ(*compare(comparer, row("A", blank), row("A\t", blank)), 1);
  EXPECT_EQ(*compare(comparer, row("A\t", blank), row("A", blank)), -1);
  EXPECT_EQ(*compare(comparer, row("A", blank), row("AB", blank)), -1);
  // Where it counts.
  EXPECT_EQ(*compare(comparer, row("A", ""), row("A ", "")), -1);
  EXPECT_NE(*identity(comparer, row("A", "")), *identity(comparer, row("A ", "")));
  // Weights of several levels cannot be compared so.
  Row none = row("A", blank);
  none[3] = std::nullopt;
  EXPECT_FALSE(compare(comparer, none, none).ok());
  EXPECT_FALSE(identity(comparer, none).ok());
}

TEST(KeyComparer, RefusesWhatItCannotKnow) {
  const auto refuses = [](const mysql::ColumnDef& of, const std::string& x, const std::string& y) {
    const std::vector<mysql::ColumnDef> columns = {of};
    return !compare(KeyComparer({.column = 0}, columns, 1), {x}, {y}).ok();
  };
  EXPECT_TRUE(refuses(column(FieldType::kVarString), "a", "b"));
  EXPECT_TRUE(refuses(column(FieldType::kString, mysql::kFieldEnum), "a", "b"));
  EXPECT_TRUE(refuses(column(FieldType::kBit), "5", "10"));
  const char* uuid = "8baabc25-ebcd-11f1-b4ff-02fc00000001";
  EXPECT_TRUE(refuses(column(FieldType::kString, mysql::kFieldUnsigned), uuid, uuid));
}

TEST(RefinedForms, AskForWhatOrdersEnumsAndFloats) {
  Merge merge;
  merge.hidden_columns = 2;
  merge.order_by = {{.column = 0, .hidden = true, .ordinal = 3}, {.column = 1, .hidden = true, .ordinal = 4}};
  using Forms = std::map<uint32_t, plan::KeyForm>;
  EXPECT_EQ(refined_forms(merge, {column(FieldType::kString, mysql::kFieldEnum), column(FieldType::kFloat, 0, 31)}),
            (Forms{{3, plan::KeyForm::kNumber}, {4, plan::KeyForm::kDouble}}));
  EXPECT_EQ(refined_forms(merge, {column(FieldType::kLong), column(FieldType::kDouble, 0, 31)}), Forms{});
  EXPECT_EQ(refined_forms(merge, {column(FieldType::kDouble, 0, 2), column(FieldType::kString)}),
            (Forms{{3, plan::KeyForm::kDouble}}));
  merge.group_by = std::exchange(merge.order_by, {});  // Members of an ENUM are equal as texts.
  EXPECT_EQ(refined_forms(merge, {column(FieldType::kString, mysql::kFieldEnum), column(FieldType::kLong)}), Forms{});
}

class Merging : public testing::Test {
 protected:
  Merging() { columns_ = {column(FieldType::kLong), column(FieldType::kNewDecimal)}; }
  // Two shards' rows; the merged ones as text.
  std::string merged(std::vector<Row> first, std::vector<Row> second, uint16_t warnings = 0) {
    std::vector<net::QueryResult> results(2);
    for (auto& result : results) result.columns = columns_;
    results[0].rows = std::move(first);
    results[1].rows = std::move(second);
    results[1].ok.warnings = warnings;
    auto out = merge_results(merge_, std::move(results), 100);
    if (!out.ok()) return out.error().message();
    found_rows_ = out->found_rows;
    std::string text;
    for (const auto& row : out->result.rows) {
      text += text.empty() ? "" : " ";
      for (size_t i = 0; i < row.size(); ++i) text += (i > 0 ? "," : "") + row[i].value_or("NULL");
    }
    return text;
  }
  std::vector<mysql::ColumnDef> columns_;
  Merge merge_;
  uint64_t found_rows_ = 0;
};

TEST_F(Merging, Concatenates) {
  EXPECT_EQ(merged({{"1", "a"}}, {{"2", "b"}}), "1,a 2,b");
  EXPECT_EQ(found_rows_, 2);
}

TEST_F(Merging, OrdersAndCuts) {
  merge_.order_by = {{.column = 0, .descending = true}};
  merge_.limit = 2;
  merge_.offset = 1;
  EXPECT_EQ(merged({{"10", "b"}, {"3", "a"}}, {{"4", "c"}, {std::nullopt, "d"}}), "4,c 3,a");
  EXPECT_EQ(found_rows_, 2);
  merge_.count_found_rows = true;
  merged({{"10", "b"}, {"3", "a"}}, {{"4", "c"}, {std::nullopt, "d"}});
  EXPECT_EQ(found_rows_, 4);
  merge_.limit = UINT64_MAX;
  EXPECT_EQ(merged({{"10", "b"}, {"3", "a"}}, {{"4", "c"}, {std::nullopt, "d"}}), "4,c 3,a NULL,d");
}

TEST_F(Merging, EqualRowsOfTheFirstShardComeFirst) {
  merge_.order_by = {{.column = 0}};
  EXPECT_EQ(merged({{"1", "a"}, {"1", "b"}, {"2", "c"}}, {{"1", "d"}, {"2", "e"}, {"3", "f"}}),
            "1,a 1,b 1,d 2,c 2,e 3,f");
  merge_.distinct = true;
  merge_.distinct_by = {{.column = 0}};
  EXPECT_EQ(merged({{"1", "a"}, {"2", "c"}}, {{"1", "d"}, {"2", "e"}, {"3", "f"}}), "1,a 2,c 3,f");
}

TEST(InOrder, MergesManyShards) {
  Merge merge;
  merge.order_by = {{.column = 0}};
  const RowMerge rows(merge, {column(FieldType::kLong)}, {.max_rows = 0});
  // Shard i has i, i + 17, i + 34 ...
  constexpr size_t kShards = 17;
  constexpr size_t kRows = 50;
  InOrder heads(rows, kShards);
  std::vector<size_t> next(kShards, 0);
  std::vector<std::string> texts(kShards);  // Of the head of each.
  const auto push = [&](size_t shard) {
    texts[shard] = std::to_string(shard + kShards * next[shard]++);
    const mysql::Cell cell(texts[shard]);
    return heads.push(shard, {&cell, 1});
  };
  for (size_t i = 0; i < kShards; ++i) ASSERT_TRUE(push(kShards - 1 - i).ok());
  for (size_t expected = 0; expected < kShards * kRows; ++expected) {
    ASSERT_FALSE(heads.empty());
    auto head = heads.pop();
    ASSERT_TRUE(head.ok());
    ASSERT_EQ(head->row[0], std::to_string(expected));
    if (next[head->shard] == kRows) continue;
    ASSERT_TRUE(push(head->shard).ok());
  }
  EXPECT_TRUE(heads.empty());
}

TEST(RowMerge, KeepsWhatItMustWithinItsLimits) {
  base::Metrics metrics("test");
  base::MemoryBudget budget({.session = 100'000, .session_flag = "--memory-per-session"}, metrics);
  base::MemoryBudget::Session session(budget);
  base::MemoryBudget::Hold memory(session, base::MemoryBudget::Kind::kResults);
  Merge merge;
  merge.aggregates = {{.column = 0}, {.column = 1, .function = AggregateFunction::kCount}};
  merge.group_by = {{.column = 0}};
  const std::vector<mysql::ColumnDef> columns = {column(FieldType::kLong), column(FieldType::kLongLong)};
  RowMerge groups(merge, columns, {.max_rows = 10'000, .memory = &memory});
  for (int i = 0; i < 100'000; ++i) ASSERT_TRUE(add(groups, {std::to_string(i % 10), "1"}).ok());  // Of 10 groups.
  Status full;
  int rows = 0;
  for (; full.ok() && rows < 10'000; ++rows) full = add(groups, {std::to_string(rows), "1"});
  EXPECT_EQ(full.error().code(), Code::kResourceExhausted);
  EXPECT_LT(rows, 1000);

  RowMerge few(merge, columns, {.max_rows = 2});
  EXPECT_TRUE(add(few, {"1", "1"}).ok());
  EXPECT_TRUE(add(few, {"2", "1"}).ok());
  EXPECT_TRUE(add(few, {"2", "1"}).ok());
  EXPECT_EQ(add(few, {"3", "1"}).error().message(), "in-memory row count exceeded allowed limit of 2");
}

// "a" and "A" are one group and one least text: which of them is shown is not for the fastest shard to say.
TEST(RowMerge, ShowsOfEqualTextsThoseOfTheFirstShard) {
  Merge merge;
  merge.aggregates = {{.column = 0}, {.column = 1, .function = AggregateFunction::kMin, .weight = 3}};
  merge.group_by = {{.column = 0, .hidden = true, .weight = 1}};
  merge.hidden_columns = 5;
  const auto text = column(FieldType::kVarString);
  const auto weight = column(FieldType::kVarString, 0, 0, 63);
  const std::vector<mysql::ColumnDef> columns = {text, text, text, weight, weight, weight, weight};
  const auto row = [](const char* group, const char* group_weight, const char* least, const char* least_weight) {
    return Row{group, least, group, group_weight, " ", least_weight, " "};
  };
  const std::vector<std::pair<size_t, Row>> rows = {{0, row("a", "A", "x", "X")},
                                                    {1, row("A", "A", "X", "X")},
                                                    {1, row("b", "B", "Y", "Y")},
                                                    {2, row("B", "B", "y", "Y")},
                                                    {2, row("á", "A", "w", "W")}};
  for (const auto& order : std::vector<std::vector<size_t>>{{0, 1, 2, 3, 4}, {3, 4, 1, 2, 0}, {1, 2, 3, 4, 0}}) {
    RowMerge groups(merge, columns, {.max_rows = 10});
    for (const size_t i : order) ASSERT_TRUE(add(groups, rows[i].second, rows[i].first).ok());
    const auto all = groups.groups();
    ASSERT_TRUE(all.ok());
    ASSERT_EQ(all->size(), 2u);
    EXPECT_EQ(*(*all)[0][0] + *(*all)[0][1] + *(*all)[1][0] + *(*all)[1][1], "awbY");
  }
  merge.group_by[0].descending = true;  // GROUP BY c DESC
  RowMerge groups(merge, columns, {.max_rows = 10});
  for (const auto& [shard, what] : rows) ASSERT_TRUE(add(groups, what, shard).ok());
  EXPECT_EQ(groups.groups()->front()[0], "b");
}

TEST(RowMerge, ShowsWhatTheFirstRowOfAGroupHas) {
  Merge merge;
  merge.aggregates = {{.column = 0}, {.column = 4, .function = AggregateFunction::kMin}};
  merge.group_by = {{.column = 0, .hidden = true, .weight = 1}};
  merge.hidden_columns = 4;
  merge.first_row = 4;
  const auto text = column(FieldType::kVarString);
  const auto weight = column(FieldType::kVarString, 0, 0, 63);
  const std::vector<mysql::ColumnDef> columns = {text, text, weight, weight, column(FieldType::kLongLong)};
  const std::vector<std::pair<size_t, Row>> rows = {{0, {"a", "a", "A", " ", "9"}},
                                                    {1, {"b", "b", "B", " ", "11"}},
                                                    {1, {"A", "A", "A", " ", "10"}},
                                                    {2, {"á", "á", "A", " ", "2"}}};
  for (const bool in_row_order : {false, true}) {
    merge.in_row_order = in_row_order;
    if (in_row_order) merge.group_by[0].descending = true;  // Of no matter then.
    for (const auto& order : std::vector<std::vector<size_t>>{{0, 1, 2, 3}, {3, 2, 1, 0}, {2, 3, 0, 1}}) {
      RowMerge groups(merge, columns, {.max_rows = 10});
      for (const size_t i : order) ASSERT_TRUE(add(groups, rows[i].second, rows[i].first).ok());
      const auto all = groups.groups();
      ASSERT_TRUE(all.ok());
      ASSERT_EQ(all->size(), 2u);
      EXPECT_EQ(*(*all)[0][0] + *(*all)[0][4] + *(*all)[1][0], "á2b");
    }
  }
}

TEST(WholeOrder, TakesRowsInTheOrderOfTheirNumbers) {
  const char* ascending[] = {"-9223372036854775808", "-10", "-9", "0", "007", "8", "9223372036854775808",
                             "18446744073709551615"};
  for (size_t i = 1; i < std::size(ascending); ++i) {
    EXPECT_LT(*whole_key(ascending[i - 1]), *whole_key(ascending[i])) << ascending[i];
  }
  EXPECT_FALSE(whole_key("1.5"));
  EXPECT_FALSE(whole_key(""));
  EXPECT_FALSE(whole_key("18446744073709551616"));
  const std::vector<std::vector<std::string>> sources = {{"2", "10"}, {"-1", "3", "4"}, {}, {"2"}};
  const auto taken = [&](std::optional<size_t> by) {
    WholeOrder order(sources.size(), by);
    std::vector<size_t> next(sources.size(), 0);
    std::string out;
    const auto push = [&](size_t source) {
      if (next[source] == sources[source].size()) return;
      const std::vector<mysql::Cell> row = {mysql::Cell("x"), mysql::Cell(sources[source][next[source]++])};
      EXPECT_TRUE(order.push(source, row).ok());
    };
    for (size_t source = 0; source < sources.size(); ++source) push(source);
    while (!order.empty()) {
      const size_t source = order.pop();
      out += sources[source][next[source] - 1] + " ";
      push(source);
    }
    return out;
  };
  EXPECT_EQ(taken(1), "-1 2 2 3 4 10 ");
  EXPECT_EQ(taken(std::nullopt), "2 10 -1 3 4 2 ");
  WholeOrder order(1, 0);
  EXPECT_FALSE(order.push(0, {mysql::Cell("x")}).ok());
}

TEST(RowMerge, TakesDistinctRowsInTheOrderOfShards) {
  Merge merge;
  merge.distinct = true;
  EXPECT_EQ(RowMerge(merge, {column(FieldType::kLong)}, {}).form(), RowMerge::Form::kInOrder);
  merge.distinct = false;
  EXPECT_EQ(RowMerge(merge, {column(FieldType::kLong)}, {}).form(), RowMerge::Form::kAsTheyCome);
}

TEST_F(Merging, AddsUpGroups) {
  merge_.aggregates = {{.column = 0}, {.column = 1, .function = AggregateFunction::kSum}};
  merge_.group_by = {{.column = 0}};
  EXPECT_EQ(merged({{"1", "0.5"}, {"2", std::nullopt}, {std::nullopt, "1"}},
                   {{"2", "3"}, {"01", "0.25"}, {std::nullopt, "1"}}),
            "NULL,2 1,0.75 2,3");
  merge_.aggregates[1].function = AggregateFunction::kMax;
  EXPECT_EQ(merged({{"1", "9"}}, {{"1", "10"}}), "1,10");
  merge_.warnings_refuse = true;
  EXPECT_EQ(merged({{"1", "9"}}, {{"1", "10"}}), "1,10");
  EXPECT_EQ(merged({{"1", "9"}}, {{"1", "10"}}, 1),
            "VT12001: unsupported: GROUP BY an alias that may be the name of a column too, over several shards");
}

TEST_F(Merging, TakesTheLeastTextByItsWeight) {
  columns_ = {column(FieldType::kVarString), column(FieldType::kVarString), column(FieldType::kVarString, 0, 0, 63),
              column(FieldType::kVarString, 0, 0, 63)};
  merge_.aggregates = {{.column = 0, .function = AggregateFunction::kMin, .weight = 1}};
  merge_.hidden_columns = 3;
  EXPECT_EQ(merged({{"b", "b", "B", " "}}, {{"A", "A", "A", " "}}), "A");
  EXPECT_EQ(merged({{std::nullopt, std::nullopt, std::nullopt, std::nullopt}}, {{"A", "A", "A", " "}}), "A");
}

TEST_F(Merging, TakesTheLeastMemberOfAnEnumAsText) {
  columns_ = {column(FieldType::kString, mysql::kFieldEnum), column(FieldType::kVarString),
              column(FieldType::kVarString, 0, 0, 63), column(FieldType::kVarString, 0, 0, 63)};
  merge_.aggregates = {{.column = 0, .function = AggregateFunction::kMin, .weight = 1}};
  merge_.hidden_columns = 3;
  EXPECT_EQ(merged({{"mid", "mid", "MID", " "}}, {{"alpha", "alpha", "ALPHA", " "}}), "alpha");
}

TEST_F(Merging, DividesSumsByCounts) {
  columns_ = {column(FieldType::kLong), column(FieldType::kNewDecimal, 0, 4), column(FieldType::kNewDecimal),
              column(FieldType::kLongLong)};
  merge_.aggregates = {{.column = 0}, {.column = 1, .function = AggregateFunction::kAvg, .sum = 0, .count = 1}};
  merge_.group_by = {{.column = 0}};
  merge_.hidden_columns = 2;
  const std::vector<Row> first = {
      {"1", "1.0000", "2", "2"}, {"2", std::nullopt, std::nullopt, "0"}, {"3", std::nullopt, std::nullopt, "0"}};
  const std::vector<Row> second = {{"1", "9.0000", "9", "1"}, {"2", "7.0000", "7", "1"}};
  EXPECT_EQ(merged(first, second), "1,3.6667 2,7.0000 3,NULL");
  merge_.having = {{.column = 1, .comparison = sql::BinaryOp::kGreater, .number = "3.66669"}};
  EXPECT_EQ(merged(first, second), "1,3.6667 2,7.0000");  // NULL is not greater.
  merge_.having.push_back({.column = 3, .comparison = sql::BinaryOp::kNotEqual, .number = "1"});
  EXPECT_EQ(merged(first, second), "1,3.6667");
  merge_.order_by = {{.column = 1, .descending = true}};
  merge_.having = {{.column = 1, .comparison = sql::BinaryOp::kLessEqual, .number = "7"}};
  EXPECT_EQ(merged(first, second), "2,7.0000 1,3.6667");
  // Of floating-point numbers: only where one shard has them all.
  columns_[1] = columns_[2] = column(FieldType::kDouble, 0, 31);
  merge_.having.clear();
  EXPECT_EQ(merged({{"1", "0.5", "1", "2"}}, {{"2", "0.25", "0.5", "2"}}), "1,0.5 2,0.25");
  EXPECT_EQ(merged({{"1", "0.5", "1", "2"}}, {{"1", "0.25", "0.5", "2"}}),
            "VT12001: unsupported: sums of floating-point numbers over several shards");
}

TEST_F(Merging, RefusesSumsThatDependOnTheirOrder) {
  columns_[1] = column(FieldType::kDouble, 0, 31);
  merge_.aggregates = {{.column = 0}, {.column = 1, .function = AggregateFunction::kSum}};
  EXPECT_EQ(merged({{"1", "0.1"}}, {{"1", "0.2"}}),
            "VT12001: unsupported: sums of floating-point numbers over several shards");
}

TEST_F(Merging, RemovesDuplicates) {
  merge_.distinct = true;
  EXPECT_EQ(merged({{"1", "2.0"}, {"1", std::nullopt}}, {{"1", "2.00"}, {"1", std::nullopt}, {"2", "2"}}),
            "1,2.0 1,NULL 2,2");
}

TEST_F(Merging, HoldsABoundedNumberOfRows) {
  std::vector<Row> many(101, {"1", "2"});
  EXPECT_EQ(merged(many, {}), "in-memory row count exceeded allowed limit of 100");
}

TEST(Numbers, HaveOnePlainText) {
  EXPECT_EQ(plain_decimal("-000.500"), "-0.5");
  EXPECT_EQ(plain_decimal("-0.0"), "0");
  EXPECT_EQ(plain_decimal("12"), "12");
  EXPECT_EQ(plain_decimal("0.05"), "0.05");
  EXPECT_EQ(plain_decimal("1e3"), std::nullopt);
  EXPECT_EQ(add_decimals("-0.5", "1.25"), "0.75");
  EXPECT_EQ(add_decimals("9223372036854775807", "9223372036854775807"), "18446744073709551614");
  EXPECT_EQ(divide_decimal("795", "38", 4), "20.9211");
  EXPECT_EQ(divide_decimal("-1", "3", 4), "-0.3333");
  EXPECT_EQ(divide_decimal("2", "3", 4), "0.6667");
  EXPECT_EQ(divide_decimal("2.000000", "3", 10), "0.6666666667");
  // Cut, and not rounded: as MariaDB's AVG of a DECIMAL(20,5) and of a DECIMAL(30,14).
  EXPECT_EQ(divide_decimal("2.00000", "3", 9), "0.666666666");
  EXPECT_EQ(divide_decimal("2.00000000000000", "3", 18), "0.666666666666666666");
  EXPECT_EQ(divide_decimal("2", "3", 0), "0");
  EXPECT_EQ(divide_decimal("1.00005", "1", 5), "1.00005");
  EXPECT_EQ(divide_decimal("0.0001", "2", 4), "0.0001");  // A half goes away from zero.
  EXPECT_EQ(divide_decimal("-0.0001", "2", 4), "-0.0001");
  EXPECT_EQ(divide_decimal("-0.0001", "3", 4), "0.0000");
  EXPECT_EQ(divide_decimal("2999.9999", "3", 3), std::nullopt);
  EXPECT_EQ(divide_decimal("2999.9999", "3.0", 4), std::nullopt);
  EXPECT_EQ(divide_decimal("29999.9998", "3", 4), "9999.9999");
  EXPECT_EQ(divide_decimal("29999.9999", "3", 4), "10000.0000");
  EXPECT_EQ(divide_decimal("5", "0", 4), std::nullopt);
  EXPECT_EQ(divide_decimal("1e3", "2", 4), std::nullopt);
}

}  // namespace
}  // namespace vitrail::exec
