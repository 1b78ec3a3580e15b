// What Vitess's vtctldclient 24.0.4 prints for the same results; tests/e2e/vitess_programs.py compares with the
// program.
#include "control/client/tablet_text.h"

#include <gtest/gtest.h>

#include <optional>
#include <vector>

namespace vitrail::control {
namespace {

using Row = std::vector<std::optional<std::string>>;

::query::QueryResult result(const std::vector<std::pair<std::string, ::query::Type>>& fields,
                            const std::vector<Row>& rows) {
  ::query::QueryResult out;
  for (const auto& [name, type] : fields) {
    auto& field = *out.add_fields();
    field.set_name(name);
    field.set_type(type);
  }
  for (const auto& values : rows) {
    auto& row = *out.add_rows();
    for (const auto& value : values) {
      row.add_lengths(value ? static_cast<int64_t>(value->size()) : -1);
      row.mutable_values()->append(value.value_or(""));
    }
  }
  return out;
}

TEST(AsciiTable, CentresNamesAndLeavesNullEmpty) {
  EXPECT_EQ(ascii_table(result({{"a", ::query::INT32}, {"c", ::query::VARCHAR}}, {{"1", std::nullopt}, {"2", "xyz"}})),
            "+---+-----+\n| a |  c  |\n+---+-----+\n| 1 |     |\n+---+-----+\n| 2 | xyz |\n+---+-----+\n");
  EXPECT_EQ(ascii_table(result({{"a", ::query::INT32}}, {})), "");
  EXPECT_EQ(ascii_table(::query::QueryResult()), "");
}

TEST(AsciiTable, BreaksLongTextEvenlyBetweenWords) {
  EXPECT_EQ(
      ascii_table(result({{"x", ::query::VARCHAR}}, {{") ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_x"}})),
      "+-------------------------+\n|            x            |\n+-------------------------+\n"
      "| ) ENGINE=InnoDB         |\n| DEFAULT CHARSET=utf8mb4 |\n| COLLATE=utf8mb4_x       |\n"
      "+-------------------------+\n");
  // Lines and blanks; a word that is too long; characters of two columns.
  EXPECT_EQ(ascii_table(result({{"x", ::query::VARCHAR}, {"y", ::query::VARCHAR}}, {{"l1\n\n  l3\n", "a\tb  c"}})),
            "+----+-------+\n| x  |   y   |\n+----+-------+\n| l1 | a b c |\n| l3 |       |\n+----+-------+\n");
  const std::string word(31, 'w');
  EXPECT_EQ(ascii_table(result({{"x", ::query::VARCHAR}}, {{word + " a"}})),
            "+" + std::string(33, '-') + "+\n|" + std::string(16, ' ') + "x" + std::string(16, ' ') + "|\n+" +
                std::string(33, '-') + "+\n| " + word + " |\n| a" + std::string(31, ' ') + "|\n+" +
                std::string(33, '-') + "+\n");
  EXPECT_EQ(ascii_table(result({{"x", ::query::VARCHAR}}, {{"\u65e5\u672c"}})),
            "+------+\n|  x   |\n+------+\n| \u65e5\u672c |\n+------+\n");
}

TEST(ResultJson, PrintsNumbersBareAndTextQuoted) {
  const auto json = result_json(result({{"a", ::query::INT32}, {"b", ::query::VARCHAR}, {"c", ::query::DECIMAL}},
                                       {{"1", "x\"<", "3.10"}, {"2", std::nullopt, std::nullopt}}));
  ASSERT_TRUE(json.ok());
  EXPECT_TRUE(json->starts_with("{\n  \"fields\": [\n    {\n      \"name\": \"a\",\n      \"type\": 263\n    },\n"))
      << *json;
  EXPECT_TRUE(
      json->ends_with("  \"rows_affected\": 0,\n  \"insert_id\": 0,\n  \"insert_id_changed\": false,\n"
                      "  \"rows\": [\n    [\n      1,\n      \"x\\\"\\u003c\",\n      3.10\n    ],\n"
                      "    [\n      2,\n      null,\n      null\n    ]\n  ],\n"
                      "  \"session_state_changes\": \"\",\n  \"status_flags\": 0,\n  \"info\": \"\"\n}\n"))
      << *json;
  EXPECT_EQ(*result_json(::query::QueryResult()),
            "{\n  \"fields\": null,\n  \"rows_affected\": 0,\n  \"insert_id\": 0,\n  \"insert_id_changed\": false,\n"
            "  \"rows\": [],\n  \"session_state_changes\": \"\",\n  \"status_flags\": 0,\n  \"info\": \"\"\n}\n");
}

}  // namespace
}  // namespace vitrail::control
