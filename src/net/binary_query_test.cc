#include "net/binary_query.h"

#include <gtest/gtest.h>

#include "mysql/convert.h"

namespace vitrail::net {
namespace {

mysql::ColumnDef column(mysql::FieldType type, uint8_t decimals = 0) {
  mysql::ColumnDef out;
  out.type = type;
  out.decimals = decimals;
  return out;
}

TEST(BinaryRow, NumbersKeepTheirDigits) {
  const std::vector<mysql::ColumnDef> columns = {column(mysql::FieldType::kDouble, 4),
                                                 column(mysql::FieldType::kFloat, 31), column(mysql::FieldType::kLong),
                                                 column(mysql::FieldType::kVarString)};
  std::string payload = std::string(1, '\0') + std::string(1, '\x10');  // The third one is NULL.
  const std::pair<mysql::FieldType, const char*> values[] = {{mysql::FieldType::kDouble, "28.273993087661093"},
                                                             {mysql::FieldType::kFloat, "16777216"},
                                                             {mysql::FieldType::kVarString, "x"}};
  for (const auto& [type, text] : values) ASSERT_TRUE(mysql::append_binary_value(payload, type, false, text).ok());
  std::vector<std::optional<std::string>> row;
  ASSERT_TRUE(decode_binary_row(payload, columns, row).ok());
  ASSERT_EQ(row.size(), 4u);
  EXPECT_EQ(row[0], "28.273993087661093");
  EXPECT_EQ(row[1], "16777216");
  EXPECT_EQ(row[2], std::nullopt);
  EXPECT_EQ(row[3], "x");
}

TEST(BinaryRow, OtherBytesAreRefused) {
  const std::vector<mysql::ColumnDef> columns = {column(mysql::FieldType::kLong)};
  std::vector<std::optional<std::string>> row;
  for (const std::string& payload : {std::string(), std::string("\x01\x00", 2), std::string("\x00\x00\x01", 3),
                                     std::string("\x00\x00\x01\x02\x03\x04\x05", 7)}) {
    EXPECT_FALSE(decode_binary_row(payload, columns, row).ok());
  }
}

}  // namespace
}  // namespace vitrail::net
