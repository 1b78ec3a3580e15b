#include "movement/vdiff_compare.h"

#include <gtest/gtest.h>

namespace vitrail::movement {
namespace {

using Texts = std::vector<std::vector<std::optional<std::string>>>;

TableSchema schema() {
  TableSchema table;
  table.name = "t";
  table.columns = {{.name = "id", .type = ::query::INT64, .column_type = "bigint"},
                   {.name = "v", .type = ::query::VARBINARY, .column_type = "varbinary(20)"}};
  table.identity = {0};
  table.identity_index = "PRIMARY";
  return table;
}

TargetTable bound() {
  const TableSchema table = schema();
  google::protobuf::RepeatedPtrField<::query::Field> fields;
  for (const auto& column : table.columns) *fields.Add() = to_field(column, "t", "db");
  return *TargetTable::bind(table, "db", fields);
}

::binlogdata::VStreamRowsResponse response(const Texts& rows) {
  ::binlogdata::VStreamRowsResponse out;
  for (const auto& cells : rows) {
    auto& row = *out.add_rows();
    for (const auto& cell : cells) append_cell(row, cell ? mysql::Cell(*cell) : mysql::Cell());
  }
  return out;
}

TEST(VDiffCompare, ZeroHasNoSign) {
  TableSchema schema;
  schema.name = "t";
  schema.columns = {{.name = "id", .type = ::query::INT64, .column_type = "bigint"},
                    {.name = "f", .type = ::query::FLOAT64, .column_type = "double"},
                    {.name = "s", .type = ::query::VARBINARY, .column_type = "varbinary(20)"}};
  schema.identity = {0};
  schema.identity_index = "PRIMARY";
  google::protobuf::RepeatedPtrField<::query::Field> fields;
  for (const auto& column : schema.columns) *fields.Add() = to_field(column, "t", "db");
  const TargetTable table = *TargetTable::bind(schema, "db", fields);
  const struct {
    std::vector<std::optional<std::string>> source, target;
    bool equal;
  } cases[] = {{{"1", "-0", "x"}, {"1", "0", "x"}, true},
               {{"1", "0", "x"}, {"1", "-0.00", "x"}, true},
               {{"1", "-0", "x"}, {"1", "1", "x"}, false},
               {{"1", "-0", "x"}, {"1", std::nullopt, "x"}, false},
               {{"1", "0", "-0"}, {"1", "0", "0"}, false}};
  for (const auto& [source, target, equal] : cases) {
    const auto rows = response({source});
    Report report;
    ASSERT_TRUE(compare_rows(table, {&rows}, {target}, {}, report, nullptr).ok());
    EXPECT_EQ(report.matching, equal ? 1 : 0) << *source[1] << target[1].value_or("NULL");
  }
}

struct Case {
  const char* what;
  Texts first;   // Of one source.
  Texts second;  // Of another.
  Texts target;
  int64_t processed, matching, mismatched, extra_source, extra_target;
  std::vector<std::string> repair;
};

TEST(VDiffCompare, FindsAndMendsWhatDiffers) {
  const std::string insert = "INSERT INTO `db`.`t` (`id`, `v`) VALUES ";
  const std::string remove = "DELETE FROM `db`.`t` WHERE `id` IN (";
  const Case cases[] = {
      {"nothing", {}, {}, {}, 0, 0, 0, 0, 0, {}},
      {"equal", {{"1", "a"}}, {{"2", std::nullopt}}, {{"2", std::nullopt}, {"1", "a"}}, 2, 2, 0, 0, 0, {}},
      {"another value", {{"1", "a"}}, {}, {{"1", "b"}}, 1, 0, 1, 0, 0, {remove + "1)", insert + "(1,'a')"}},
      {"NULL is a value", {{"1", std::nullopt}}, {}, {{"1", ""}}, 1, 0, 1, 0, 0, {remove + "1)", insert + "(1,NULL)"}},
      {"missing on the target", {{"1", "a"}}, {}, {}, 1, 0, 0, 1, 0, {insert + "(1,'a')"}},
      {"nowhere on the sources", {}, {}, {{"1", "a"}, {"2", "b"}}, 2, 0, 0, 0, 2, {remove + "1, 2)"}},
      {"deletes before inserts",
       {{"1", "a"}},
       {{"2", "b"}},
       {{"3", "b"}, {"1", "x"}},
       3,
       0,
       1,
       1,
       1,
       {remove + "3, 1)", insert + "(1,'a'), (2,'b')"}},
      {"a row of two sources", {{"1", "a"}}, {{"1", "a"}}, {{"1", "a"}}, 1, 1, 0, 0, 0, {}},
      {"two rows for one place cannot be mended", {{"1", "a"}}, {{"1", "b"}}, {{"1", "a"}}, 2, 1, 0, 1, 0, {}},
  };
  const TargetTable table = bound();
  for (const Case& one : cases) {
    const auto first = response(one.first);
    const auto second = response(one.second);
    Report report;
    Repair repair;
    const Status done = compare_rows(table, {&first, &second}, one.target, {}, report, &repair);
    ASSERT_TRUE(done.ok()) << one.what;
    EXPECT_EQ(report.processed, one.processed) << one.what;
    EXPECT_EQ(report.matching, one.matching) << one.what;
    EXPECT_EQ(report.mismatched, one.mismatched) << one.what;
    EXPECT_EQ(report.extra_source, one.extra_source) << one.what;
    EXPECT_EQ(report.extra_target, one.extra_target) << one.what;
    EXPECT_EQ(repair.statements, one.repair) << one.what;
  }
}

TEST(VDiffCompare, ReportsAddUpAndSurviveTheirText) {
  const TargetTable table = bound();
  Report all;
  for (int i = 0; i < 3; ++i) {
    const auto source = response({{std::to_string(i), "a"}});
    Report report;
    ASSERT_TRUE(compare_rows(table, {&source}, {}, {}, report, nullptr).ok());
    report.repaired = 1;
    all.add(std::move(report), 2);
  }
  const Report again = Report::parse(all.to_json("t"));
  EXPECT_EQ(again.extra_source, 3);
  EXPECT_EQ(again.repaired, 3);
  EXPECT_EQ(again.source_samples.size(), 2u);
  EXPECT_TRUE(again.differs());
}

TEST(VDiffCompare, TheLastRowReadIsAKeyToReadOnFrom) {
  google::protobuf::RepeatedPtrField<::query::Field> pkfields;
  *pkfields.Add() = to_field(schema().columns[0], "t", "db");
  const auto key = bound().key_result({"17", "a"}, pkfields);
  ASSERT_EQ(key.rows_size(), 1);
  EXPECT_EQ(key.rows(0).values(), "17");
  EXPECT_EQ(key.fields(0).name(), "id");
}

}  // namespace
}  // namespace vitrail::movement
