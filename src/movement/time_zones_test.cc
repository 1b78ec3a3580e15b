#include "movement/time_zones.h"

#include <gtest/gtest.h>

#include "movement/table_schema.h"

namespace vitrail::movement {
namespace {

TEST(TimeZones, AreThoseOfTheSource) {
  ::binlogdata::BinlogSource source;
  EXPECT_FALSE(time_zones_of(source).differ());
  source.set_source_time_zone("Europe/Vienna");
  EXPECT_EQ(time_zones_of(source).from, "Europe/Vienna");
  EXPECT_EQ(time_zones_of(source).to, "UTC");
  source.set_target_time_zone("Europe/Vienna");
  EXPECT_FALSE(time_zones_of(source).differ());
  source.clear_source_time_zone();
  EXPECT_EQ(time_zones_of(source).from, "UTC");
  EXPECT_TRUE(time_zones_of(source).differ());
}

TEST(TimeZones, ReplaceTheValuesOfARow) {
  google::protobuf::RepeatedPtrField<::query::Field> fields;
  for (const auto type : {::query::INT64, ::query::DATETIME, ::query::TIMESTAMP, ::query::DATETIME, ::query::DATE}) {
    fields.Add()->set_type(type);
  }
  const auto dates = datetime_fields(fields);
  EXPECT_EQ(dates, (std::vector<size_t>{1, 3}));
  ::query::Row row;
  for (const char* cell : {"7", "2020-01-01 00:00:00", "t", "", "d"}) {
    append_cell(row, *cell == 0 ? mysql::Cell() : mysql::Cell(cell));
  }
  ASSERT_TRUE(replace_cells(row, 5, dates, {"2019-12-31 23:00:00", "not used"}).ok());
  std::vector<mysql::Cell> cells;
  ASSERT_TRUE(read_row(row, 5, cells).has_value());
  EXPECT_EQ(*cells[1], "2019-12-31 23:00:00");
  EXPECT_EQ(*cells[2], "t");
  EXPECT_FALSE(cells[3].has_value());
  EXPECT_EQ(*cells[4], "d");
  EXPECT_FALSE(replace_cells(row, 4, dates, {"a", "b"}).ok());
}

}  // namespace
}  // namespace vitrail::movement
