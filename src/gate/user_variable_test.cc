#include "gate/user_variable.h"

#include <gtest/gtest.h>

namespace vitrail::gate {
namespace {

std::string written(const mysql::Value& value, TextOrigin origin, VariablePlace place = VariablePlace::kStatement) {
  std::string out;
  append_text_variable(out, value, origin, place, "utf8mb4");
  return out;
}

TEST(UserVariable, IsWrittenInItsCharacterSetAndCollation) {
  const auto ab = mysql::Value::of_text("ab");
  EXPECT_EQ(written(ab, {}), "'ab'");
  EXPECT_EQ(written(ab, {.collation = "utf8mb4_bin"}), "(convert('ab' using utf8mb4) collate `utf8mb4_bin`)");
  EXPECT_EQ(written(ab, {.collation = "latin1_swedish_ci"}), "convert('ab' using latin1)");
  EXPECT_EQ(written(ab, {.collation = "latin1_bin"}), "(convert('ab' using latin1) collate `latin1_bin`)");
  EXPECT_EQ(written(ab, {.collation = "no_such_ci"}), "('ab' collate `no_such_ci`)");  // The server knows better.
  EXPECT_EQ(written(mysql::Value::of_binary("ab"), {}), "_binary X'6162'");
  EXPECT_EQ(written(mysql::Value::of_int(7), {}), "7");
  EXPECT_EQ(written(mysql::Value::null(), {.collation = "latin1_bin"}), "NULL");
}

TEST(UserVariable, NamesOfTheServerAreLiteralsInStatements) {
  const auto name = mysql::Value::of_text("ks");
  const TextOrigin origin{.collation = "utf8mb3_general_ci"};
  EXPECT_EQ(written(name, origin), "'ks'");
  EXPECT_EQ(written(name, origin, VariablePlace::kVariable), "convert('ks' using utf8mb3)");
}

TEST(UserVariable, WhatDecidesAboutAShardIsALiteral) {
  EXPECT_EQ(written(mysql::Value::of_text("ab"), {.collation = "latin1_bin"}, VariablePlace::kRow), "'ab'");
}

TEST(UserVariable, BytesOfAnotherCharacterSetSayOfWhich) {
  EXPECT_EQ(written(mysql::Value::of_text("ab"), {.written_in = "latin1"}), "'ab'");
  EXPECT_EQ(written(mysql::Value::of_text("\xe9"), {.written_in = "latin1"}), "_latin1 X'e9'");
  EXPECT_EQ(written(mysql::Value::of_text("\xe9"), {.collation = "latin1_swedish_ci", .written_in = "latin1"}),
            "convert(_latin1 X'e9' using latin1)");
  EXPECT_EQ(written(mysql::Value::of_text("\xc3\xa9"), {.written_in = "utf8mb4"}), "'\xc3\xa9'");
}

TEST(UserVariable, TellsWhatItIs) {
  const auto text = mysql::Value::of_text("ab");
  const TextOrigin latin1{.collation = "latin1_bin"};
  EXPECT_EQ(told_of_variable("charset", text, latin1), "convert('latin1' using utf8mb3)");
  EXPECT_EQ(told_of_variable("collation", text, latin1), "convert('latin1_bin' using utf8mb3)");
  EXPECT_EQ(told_of_variable("coercibility", text, latin1), "2");
  EXPECT_EQ(told_of_variable("collation", text, {}), "");
  EXPECT_EQ(told_of_variable("coercibility", mysql::Value::null(), {}), "2");
  EXPECT_EQ(told_of_variable("coercibility", mysql::Value::of_int(1), {}), "5");
  EXPECT_EQ(told_of_variable("charset", mysql::Value::of_int(1), {}), "");
  EXPECT_EQ(told_of_variable("charset", mysql::Value::of_binary("x"), latin1), "");
}

}  // namespace
}  // namespace vitrail::gate
