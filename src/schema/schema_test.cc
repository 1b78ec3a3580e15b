#include "schema/schema.h"

#include <gtest/gtest.h>

#include "mysql/protocol.h"

namespace vitrail::schema {
namespace {

Column column(std::string type, std::string data_type, std::string charset = "", std::string collation = "",
              bool nullable = true) {
  return {.name = "c",
          .type = std::move(type),
          .data_type = std::move(data_type),
          .charset = std::move(charset),
          .collation = std::move(collation),
          .nullable = nullable};
}

TEST(Schema, ColumnsAreDefinedWithTheirTypesAndTakeAnyValue) {
  const struct {
    Column column;
    const char* definition;
  } cases[] = {
      {column("int(10) unsigned", "int"), "int(10) unsigned null default null"},
      {column("varchar(20)", "varchar", "latin1", "latin1_bin", false),
       "varchar(20) character set latin1 collate latin1_bin not null"},
      {column("enum('a','it''s')", "enum", "utf8mb4", "utf8mb4_general_ci"),
       "enum('a','it''s') character set utf8mb4 collate utf8mb4_general_ci null default null"},
      {column("timestamp(3)", "timestamp", "", "", false), "timestamp(3) not null default 0"},
      {column("timestamp", "timestamp"), "timestamp null default null"},
      {column("point", "point", "", "", false), "point not null"},
      {column("json", "json", "utf8mb4", "utf8mb4_bin"), "json null default null"},
  };
  for (const auto& c : cases) EXPECT_EQ(definition(c.column), c.definition);
}

TEST(Schema, ValuesTravelInAFormThatLosesNothing) {
  const struct {
    const char* type;
    const char* asked;
  } cases[] = {
      {"int", "x"},
      {"decimal", "x"},
      {"date", "x"},
      {"uuid", "x"},
      {"varbinary", "x"},
      {"longblob", "x"},
      {"point", "x"},
      {"varchar", "cast(x as binary)"},
      {"longtext", "cast(x as binary)"},
      {"enum", "cast(x as unsigned)"},
      {"set", "cast(x as unsigned)"},
      {"bit", "cast(x as unsigned)"},
      {"float", "x * 1e0"},
      {"timestamp", "unix_timestamp(x)"},
      {"json", "cast(convert(x using utf8mb4) as binary)"},
  };
  for (const auto& c : cases) EXPECT_EQ(select_text(form_of(column(c.type, c.type)), "x"), c.asked) << c.type;
}

TEST(Schema, TimestampsAreStoredAsUtc) {
  const struct {
    const char* unix_time;
    const char* stored;
  } cases[] = {
      {"1", "1970-01-01 00:00:01"},          {"0", "0000-00-00 00:00:00"},
      {"0.000000", "0000-00-00 00:00:00"},   {"0.500000", "1970-01-01 00:00:00.500000"},
      {"951782400", "2000-02-29 00:00:00"},  {"1603593000.123", "2020-10-25 02:30:00.123"},
      {"2147483647", "2038-01-19 03:14:07"}, {"4102444799.999999", "2099-12-31 23:59:59.999999"},
  };
  for (const auto& c : cases) EXPECT_EQ(stored_text(Form::kUnixTime, c.unix_time), c.stored);
  EXPECT_EQ(stored_text(Form::kText, "1"), "1");
}

TEST(Schema, WhatHasALimitCanBeIndexed) {
  EXPECT_TRUE(indexable(column("bigint(20)", "bigint")));
  EXPECT_TRUE(indexable(column("varchar(190)", "varchar")));
  EXPECT_FALSE(indexable(column("varchar(191)", "varchar")));
  EXPECT_FALSE(indexable(column("text", "text")));
  Column unpadded = column("varchar(20)", "varchar");
  unpadded.collation = "utf8mb4_general_nopad_ci";
  EXPECT_FALSE(indexable(unpadded));
  EXPECT_FALSE(indexable(column("year(4)", "year")));
  EXPECT_FALSE(indexable(column("set('a')", "set")));
  EXPECT_FALSE(indexable(column("point", "point")));
}

TEST(Schema, FlagsOfKeysAreTheServers) {
  using namespace mysql;
  Table table;
  for (const char* name : {"id", "a", "b", "c"}) table.columns.push_back({.name = name});
  set_key_flags(table, {{"PRIMARY", "id", 1, true},
                        {"u", "A", 1, true},
                        {"two", "b", 1, true},
                        {"two", "c", 2, true},
                        {"f", "", 1, false}});
  EXPECT_EQ(table.columns[0].key_flags, kFieldPrimaryKey | kPartOfKey);
  EXPECT_EQ(find_whole_key(table), nullptr);  // Of a type that is not known.
  table.columns[0].data_type = "bigint";
  EXPECT_EQ(find_whole_key(table), &table.columns[0]);
  Table two = table;
  set_key_flags(two, {{"PRIMARY", "id", 1, true}, {"PRIMARY", "a", 2, true}});
  EXPECT_EQ(find_whole_key(two), nullptr);
  EXPECT_EQ(table.columns[1].key_flags, kFieldUniqueKey | kPartOfKey);
  EXPECT_EQ(table.columns[2].key_flags, kFieldMultipleKey | kPartOfKey);
  EXPECT_EQ(table.columns[3].key_flags, kPartOfKey);
  table.columns[0].extra = "auto_increment";
  EXPECT_EQ(origin_flags(table.columns[0]), kFieldPrimaryKey | kPartOfKey | kFieldAutoIncrement);
  const uint16_t updated = kFieldOnUpdateNow;
  Column by_clock = {.name = "t", .data_type = "timestamp", .extra = "default_generated"};
  EXPECT_EQ(origin_flags(by_clock), kFieldTimestamp);
  by_clock.extra = "on update current_timestamp()";
  EXPECT_EQ(origin_flags(by_clock), kFieldTimestamp | updated);
  by_clock.data_type = "datetime";
  EXPECT_EQ(origin_flags(by_clock), updated);
  table.columns[3].has_default = false;
  EXPECT_EQ(origin_flags(table.columns[3]), kPartOfKey | kFieldNoDefaultValue);
}

TEST(Schema, NamesAreFoundInAnyCase) {
  Table table;
  table.columns.push_back({.name = "Id"});
  EXPECT_NE(table.find("iD"), nullptr);
  EXPECT_EQ(table.find("x"), nullptr);
  const Snapshot snapshot = {{"ks", std::make_shared<const Keyspace>(Keyspace{{"t", table}})}};
  EXPECT_NE(find_table(snapshot, "ks", "t"), nullptr);
  EXPECT_EQ(find_table(snapshot, "ks", "u"), nullptr);
  EXPECT_EQ(find_table(snapshot, "other", "t"), nullptr);
}

}  // namespace
}  // namespace vitrail::schema
