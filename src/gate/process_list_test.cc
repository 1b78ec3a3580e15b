#include "gate/process_list.h"

#include <gtest/gtest.h>

#include "sql/parser.h"

namespace vitrail::gate {
namespace {

using namespace std::chrono_literals;

schema::Table table_with(std::vector<std::string> columns) {
  schema::Table table;
  for (auto& name : columns) table.columns.push_back({.name = std::move(name)});
  return table;
}

Process running(std::string text) {
  return {.id = 7,
          .user = "ann",
          .host = "127.0.0.1:4711",
          .database = "shop",
          .command = "Query",
          .time = 2500ms,
          .state = "Executing",
          .info = process_info(text),
          .memory = 12};
}
const Process kIdle = {.id = 9, .user = "ann", .host = "localhost", .command = "Sleep", .time = 61s};

TEST(ProcessList, IsTheAnswerToShow) {
  const auto result = process_table({running("select 1"), kIdle}, false, true);
  ASSERT_EQ(result.columns.size(), 9U);
  EXPECT_EQ(result.columns[3].name, "db");
  EXPECT_EQ(result.columns[0].type, mysql::FieldType::kLongLong);
  ASSERT_EQ(result.rows.size(), 2U);
  const std::vector<std::optional<std::string>> first = {"7", "ann",       "127.0.0.1:4711", "shop", "Query",
                                                         "2", "Executing", "select 1",       "0.000"};
  EXPECT_EQ(result.rows[0], first);
  EXPECT_EQ(result.rows[1][3], std::nullopt);  // db
  EXPECT_EQ(result.rows[1][7], std::nullopt);  // Info
  EXPECT_EQ(process_table({kIdle}, false, false).rows[0].size(), 8U);
}

TEST(ProcessList, CutsWhatRunsAtCharacters) {
  std::string text;
  for (int i = 0; i < 150; ++i) text += "ü";
  EXPECT_EQ(process_table({running(text)}, false, true).rows[0][7]->size(), 200U);
  EXPECT_EQ(process_table({running(text)}, true, true).rows[0][7], text);
  EXPECT_EQ(process_info(std::string(kInfoMax - 1, 'a') + "ü").size(), kInfoMax - 1);
}

TEST(ProcessList, ShowsNoBytesThatAreNoText) {
  const struct {
    const char* text;
    const char* shown;
  } kCases[] = {{"plain", "plain"},
                {"\xff", "?"},
                {"a\xc3", "a?"},
                {"\xc3\xa9t\xe9",
                 "é"
                 "t?"},
                {"\xe0\x80\x80", "???"},
                {"\xed\xa0\x80", "???"},
                {"\xf0\x9f\x98\x80", "😀"},
                {"\xc0\xaf", "??"}};
  for (const auto& c : kCases) EXPECT_EQ(process_info(c.text), c.shown);
}

TEST(ProcessList, HasTheServersColumns) {
  const schema::Table mariadb = table_with({"ID", "DB", "INFO", "TIME_MS", "PROGRESS", "MEMORY_USED"});
  EXPECT_EQ(process_query({running("a'\\"), kIdle}, &mariadb),
            "select ID, DB, INFO, TIME_MS, PROGRESS, MEMORY_USED from information_schema.processlist where 1 = 0 union "
            "all values (7, _utf8mb4 x'73686f70', _utf8mb4 x'61275c', 2500.000, 0, 12), (9, null, null, 61000.000, 0, "
            "0)");
  const schema::Table mysql = table_with({"ID", "USER"});
  EXPECT_EQ(process_query({kIdle}, &mysql),
            "select ID, USER from information_schema.processlist where 1 = 0 union all values row(9, _utf8mb4 "
            "x'616e6e')");
  for (const auto* table : {&mariadb, &mysql}) {
    EXPECT_TRUE(sql::parse(process_query({running("x"), kIdle}, table)).ok());
    EXPECT_TRUE(sql::parse(process_query({}, table)).ok());
  }
  EXPECT_TRUE(has_progress(&mariadb));
  EXPECT_FALSE(has_progress(&mysql));
}

TEST(ProcessList, IsLookedForInTheText) {
  EXPECT_TRUE(mentions_processlist("select * from information_schema.`ProcessList`"));
  EXPECT_FALSE(mentions_processlist("select * from processes"));
  EXPECT_FALSE(mentions_processlist(""));
}

}  // namespace
}  // namespace vitrail::gate
