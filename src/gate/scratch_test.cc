#include "gate/scratch.h"

#include <gtest/gtest.h>

namespace vitrail::gate {
namespace {

TEST(Scratch, ASessionIsTheClientsAgain) {
  EXPECT_EQ(scratch_client_settings(45, ""),
            "set @@session.character_set_client = utf8mb4, @@session.character_set_results = utf8mb4, "
            "@@session.collation_connection = utf8mb4_general_ci, @@session.sql_mode = default, @@session.time_zone = "
            "default, @@session.max_heap_table_size = default");
  EXPECT_EQ(scratch_client_settings(8, "set @@session.sql_mode = ''"),
            "set @@session.character_set_client = latin1, @@session.character_set_results = latin1, "
            "@@session.collation_connection = latin1_swedish_ci, @@session.sql_mode = default, @@session.time_zone = "
            "default, @@session.max_heap_table_size = default, "
            "@@session.sql_mode = ''");
}

TEST(Scratch, ValuesGoAsWhatTheyAre) {
  using schema::Form;
  EXPECT_TRUE(scratch_value(Form::kText, std::nullopt).is_null());
  EXPECT_EQ(scratch_value(Form::kText, "1.5"), mysql::Value::of_text("1.5"));
  EXPECT_EQ(scratch_value(Form::kCharacters, "\xe4"), mysql::Value::of_binary("\xe4"));
  EXPECT_EQ(scratch_value(Form::kBytes, ""), mysql::Value::of_binary(""));
  EXPECT_EQ(scratch_value(Form::kNumber, "18446744073709551615"), mysql::Value::of_uint(UINT64_MAX));
  EXPECT_EQ(scratch_value(Form::kUnixTime, "86400"), mysql::Value::of_text("1970-01-02 00:00:00"));
}

TEST(Scratch, LiteralsAreTheSameValues) {
  using schema::Form;
  const auto literal = [](Form form, mysql::Cell cell) {
    std::string out;
    append_scratch_literal(out, form, cell);
    return out;
  };
  EXPECT_EQ(literal(Form::kText, std::nullopt), "null");
  EXPECT_EQ(literal(Form::kText, "1.5"), "'1.5'");
  EXPECT_EQ(literal(Form::kJson, R"({"a": "it's \n"})"), R"('{"a": "it''s \\n"}')");
  EXPECT_EQ(literal(Form::kCharacters, "\xe4'\\"), "_binary'\xe4''\\\\'");
  EXPECT_EQ(literal(Form::kBytes, std::string_view("\0\xff", 2)), "_binary'\\0\xff'");
  EXPECT_EQ(literal(Form::kBytes, ""), "_binary''");
  EXPECT_EQ(literal(Form::kNumber, "18446744073709551615"), "18446744073709551615");
  EXPECT_EQ(literal(Form::kUnixTime, "86400"), "'1970-01-02 00:00:00'");
}

TEST(Scratch, PlainTextsGoAsTheyAre) {
  using schema::Form;
  const auto literal = [](Form form, mysql::Cell cell, PlainText plain) {
    std::string out;
    append_scratch_literal(out, form, cell, plain);
    return out;
  };
  EXPECT_EQ(literal(Form::kCharacters, "it's", PlainText::kAscii), "'it''s'");
  EXPECT_EQ(literal(Form::kCharacters, "\xc3\xa4", PlainText::kAscii), "_binary'\xc3\xa4'");
  EXPECT_EQ(literal(Form::kBytes, std::string_view("a\0", 2), PlainText::kAscii), "'a\\0'");
  EXPECT_EQ(literal(Form::kText, "42", PlainText::kDigits), "42");
  EXPECT_EQ(literal(Form::kText, "0000042", PlainText::kDigits), "0000042");
  EXPECT_EQ(literal(Form::kText, "-42", PlainText::kDigits), "'-42'");
  EXPECT_EQ(literal(Form::kText, "18446744073709551615", PlainText::kDigits), "'18446744073709551615'");
  EXPECT_EQ(literal(Form::kText, std::nullopt, PlainText::kDigits), "null");
  const auto of = [](const char* type, const char* charset) {
    schema::Column column;
    column.data_type = type;
    column.charset = charset;
    return plain_text_of(column);
  };
  EXPECT_EQ(of("bigint", ""), PlainText::kDigits);
  EXPECT_EQ(of("decimal", ""), PlainText::kNone);
  EXPECT_EQ(of("varchar", "utf8mb4"), PlainText::kAscii);
  EXPECT_EQ(of("varchar", "latin1"), PlainText::kAscii);
  EXPECT_EQ(of("varchar", "utf16"), PlainText::kNone);  // Two bytes of ASCII are one character there.
  EXPECT_EQ(of("text", "swe7"), PlainText::kNone);
  EXPECT_EQ(of("varbinary", ""), PlainText::kAscii);
  EXPECT_EQ(of("point", ""), PlainText::kNone);
}

TEST(Scratch, ColumnsAreThoseOfTheTables) {
  plan::Finish finish;
  finish.inputs.push_back({.keyspace = "ks", .table = "t", .shown = "p", .scratch = "_vt_finish_1"});
  finish.inputs[0].columns.push_back({.name = "id", .key_flags = mysql::kFieldPrimaryKey | schema::kPartOfKey});
  std::vector<mysql::ColumnDef> columns(3);
  columns[0] = {.schema = "vt_ks",
                .table = "p",
                .org_table = "_vt_finish_1",
                .name = "i",
                .org_name = "id",
                .flags = mysql::kFieldNotNull | mysql::kFieldMultipleKey};
  columns[1] = {
      .schema = "vt_ks", .table = "_vt_finish_1", .org_table = "_vt_finish_1", .name = "id", .org_name = "id"};
  columns[2] = {.name = "1"};
  const auto expression = columns[2];
  restore_columns(finish, columns);
  EXPECT_EQ(columns[0].schema, "ks");
  EXPECT_EQ(columns[0].org_table, "t");
  EXPECT_EQ(columns[0].flags, mysql::kFieldNotNull | mysql::kFieldPrimaryKey | schema::kPartOfKey);
  EXPECT_EQ(columns[1].table, "p");
  EXPECT_EQ(columns[2], expression);
}

}  // namespace
}  // namespace vitrail::gate
