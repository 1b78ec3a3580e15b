// Rows of two and three tables that meet, or do not.
#include "exec/row_join.h"

#include <gtest/gtest.h>

#include "mysql/messages.h"

namespace vitrail::exec {
namespace {

mysql::ColumnDef of(mysql::FieldType type, const char* name, uint16_t flags = 0) {
  mysql::ColumnDef out;
  out.name = name;
  out.type = type;
  out.flags = flags;
  out.collation = type == mysql::FieldType::kVarString ? 8 : 63;
  return out;
}
mysql::ColumnDef number(const char* name) { return of(mysql::FieldType::kLongLong, name, mysql::kFieldNotNull); }
mysql::ColumnDef text(const char* name) { return of(mysql::FieldType::kVarString, name); }

Status add(RowJoin& join, const std::vector<Row>& rows) {
  std::string bytes;
  std::vector<size_t> ends;
  std::vector<mysql::Cell> room;
  for (const auto& row : rows) {
    mysql::encode_text_row(bytes, cells_of(row, room));
    ends.push_back(bytes.size());
  }
  return join.add(std::move(bytes), ends);
}

std::string shown(const RowJoin& join) {
  const auto rows = join.rows();
  if (!rows.ok()) return rows.error().message();
  std::string out;
  for (const auto& row : *rows) {
    for (const auto& cell : row) out += cell ? std::string(*cell) + " " : "- ";
    out += "; ";
  }
  return out;
}

// a (n, key) joined with b (key, m).
plan::RowJoin two_tables(bool optional) {
  plan::RowJoin how;
  how.parts.resize(2);
  how.parts[0].rows.keyspace = "ks";
  how.parts[1].rows.table = "b";
  how.parts[1].optional = optional;
  how.parts[1].links = {{.own = {.column = 0}, .part = 0, .other = {.column = 1}, .place = 1}};
  how.columns = {{0, 0}, {1, 1}};
  return how;
}

TEST(RowJoin, RowsMeetByEqualNumbers) {
  const auto how = two_tables(false);
  RowJoin join(how, 100, nullptr);
  join.begin({number("n"), number("k")});
  ASSERT_TRUE(add(join, {{"1", "007"}, {"2", "-3"}, {"3", std::nullopt}, {"4", "7"}, {"5", "000"}}).ok());
  ASSERT_TRUE(join.end().ok());
  const auto keys = join.keys();
  ASSERT_TRUE(keys.ok());
  EXPECT_EQ(keys->values, (std::vector<std::string>{"-3", "0", "7", "7"}));
  join.begin({number("k"), number("m")});
  ASSERT_TRUE(add(join, {{"7", "70"}, {"9", "90"}}).ok());  // In several pieces.
  ASSERT_TRUE(add(join, {{"7", "71"}, {std::nullopt, "72"}, {"-3", std::nullopt}}).ok());
  ASSERT_TRUE(join.end().ok());
  EXPECT_FALSE(join.full());
  EXPECT_EQ(shown(join), "1 70 ; 1 71 ; 2 - ; 4 70 ; 4 71 ; ");
  const auto columns = join.columns();
  EXPECT_EQ(columns[0].schema, "ks");
  EXPECT_EQ(columns[1].org_table, "b");
  EXPECT_EQ(columns[1].flags & mysql::kFieldNotNull, mysql::kFieldNotNull);
}

TEST(RowJoin, AnOuterJoinKeepsRowsThatMeetNone) {
  const auto how = two_tables(true);
  RowJoin join(how, 100, nullptr);
  join.begin({number("n"), number("k")});
  ASSERT_TRUE(add(join, {{"1", "7"}, {"2", std::nullopt}, {"3", "8"}}).ok());
  ASSERT_TRUE(join.end().ok());
  join.begin({number("k"), number("m")});
  ASSERT_TRUE(add(join, {{"7", "70"}, {std::nullopt, "71"}}).ok());
  ASSERT_TRUE(join.end().ok());
  EXPECT_EQ(shown(join), "1 70 ; 2 - ; 3 - ; ");
  EXPECT_EQ(join.columns()[0].flags & mysql::kFieldNotNull, mysql::kFieldNotNull);
  EXPECT_EQ(join.columns()[1].flags & mysql::kFieldNotNull, 0);
}

TEST(RowJoin, ATableMeetsSeveralBeforeIt) {
  auto how = two_tables(true);
  how.parts.resize(3);
  how.parts[2].optional = true;
  how.parts[2].links = {{.own = {.column = 0}, .part = 0, .other = {.column = 0}, .place = 0},
                        {.own = {.column = 1}, .part = 1, .other = {.column = 1}, .place = 1}};
  how.columns.push_back({2, 1});
  RowJoin join(how, 100, nullptr);
  join.begin({number("n"), number("k")});
  ASSERT_TRUE(add(join, {{"1", "7"}, {"2", "8"}, {"3", "7"}}).ok());
  ASSERT_TRUE(join.end().ok());
  join.begin({number("k"), number("m")});
  ASSERT_TRUE(add(join, {{"7", "70"}}).ok());
  ASSERT_TRUE(join.end().ok());
  const auto keys = join.keys();
  ASSERT_TRUE(keys.ok());
  EXPECT_EQ(keys->link, &how.parts[2].links[1]);  // Of one value, where the other has three.
  EXPECT_EQ(keys->values, (std::vector<std::string>{"70"}));
  join.begin({number("n"), number("m")});
  ASSERT_TRUE(add(join, {{"1", "70"}, {"2", "70"}, {"3", "71"}}).ok());
  ASSERT_TRUE(join.end().ok());
  EXPECT_EQ(shown(join), "1 70 70 ; 2 - - ; 3 70 - ; ");
}

TEST(RowJoin, TextsMeetByTheirWeightsWithoutBlanks) {
  plan::RowJoin how;
  how.parts.resize(2);
  const plan::Merge::Key key{.column = 0, .weight = 1};
  how.parts[1].links = {{.own = key, .part = 0, .other = key, .place = 0, .by_list = {.charset = "latin1"}}};
  how.columns = {{0, 0}, {1, 0}};
  RowJoin join(how, 100, nullptr);
  join.begin({text("t"), text("w"), text("b")});
  ASSERT_TRUE(add(join, {{"a", "A", " "}, {"b ", "B ", " "}, {"c", "C", " "}}).ok());
  ASSERT_TRUE(join.end().ok());
  EXPECT_EQ(join.keys()->values, (std::vector<std::string>{"a", "b ", "c"}));
  join.begin({text("t"), text("w"), text("b")});
  ASSERT_TRUE(add(join, {{"A  ", "A  ", " "}, {"B", "B", " "}, {"d", "D", " "}}).ok());
  ASSERT_TRUE(join.end().ok());
  EXPECT_EQ(shown(join), "a A   ; b  B ; ");
}

TEST(RowJoin, WhatCannotBeComparedIsRefused) {
  auto how = two_tables(false);
  RowJoin join(how, 100, nullptr);
  join.begin({number("n"), text("k")});
  ASSERT_TRUE(add(join, {{"1", "x"}}).ok());
  ASSERT_TRUE(join.end().ok());
  join.begin({text("k"), number("m")});
  ASSERT_TRUE(add(join, {{"x", "1"}}).ok());
  const Status ended = join.end();
  ASSERT_FALSE(ended.ok());
  EXPECT_EQ(ended.error().code(), Code::kUnimplemented);
}

TEST(RowJoin, IsSortedAndCut) {
  auto how = two_tables(true);
  how.columns.push_back({1, 1});
  how.merge.hidden_columns = 1;
  how.merge.order_by = {{.column = 0, .hidden = true, .descending = true}};
  how.merge.offset = 1;
  how.merge.limit = 2;
  RowJoin join(how, 100, nullptr);
  join.begin({number("n"), number("k")});
  ASSERT_TRUE(add(join, {{"1", "7"}, {"2", "8"}, {"3", "9"}, {"4", "10"}}).ok());
  ASSERT_TRUE(join.end().ok());
  join.begin({number("k"), number("m")});
  ASSERT_TRUE(add(join, {{"7", "9"}, {"9", "100"}, {"10", "20"}}).ok());
  ASSERT_TRUE(join.end().ok());
  EXPECT_EQ(shown(join), "4 20 20 ; 1 9 9 ; ");
}

TEST(RowJoin, TellsWhenThereAreTooManyRows) {
  const auto how = two_tables(false);
  {
    RowJoin join(how, 3, nullptr);
    join.begin({number("n"), number("k")});
    ASSERT_TRUE(add(join, {{"1", "7"}, {"2", "7"}, {"3", "7"}, {"4", "7"}}).ok());
    EXPECT_TRUE(join.full());
  }
  RowJoin join(how, 3, nullptr);
  join.begin({number("n"), number("k")});
  ASSERT_TRUE(add(join, {{"1", "7"}, {"2", "7"}}).ok());
  ASSERT_TRUE(join.end().ok());
  join.begin({number("k"), number("m")});
  ASSERT_TRUE(add(join, {{"7", "1"}, {"7", "2"}}).ok());
  ASSERT_TRUE(join.end().ok());
  EXPECT_TRUE(join.full());
}

}  // namespace
}  // namespace vitrail::exec
