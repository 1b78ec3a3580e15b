#include "mysql/messages.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/hex.h"
#include "mysql/collations.h"
#include "mysql/convert.h"
#include "mysql/errors.h"
#include "mysql/statements.h"

namespace vitrail::mysql {
namespace {

using namespace std::string_literals;

constexpr Capabilities kPlain = kClientProtocol41;
constexpr Capabilities kTrack = kClientProtocol41 | kClientSessionTrack | kClientDeprecateEof;
constexpr Capabilities kAttributes = kTrack | kClientQueryAttributes;

std::string hex(std::string_view digits) {
  std::string packed;
  for (const char c : digits) {
    if (c != ' ') packed.push_back(c);
  }
  return base::hex_decode(packed).value();
}

// --- OK, ERR, EOF ---

TEST(OkPacket, HasTheDocumentedBytes) {
  OkPacket ok;
  ok.status_flags = kStatusAutocommit;
  std::string out;
  encode_ok(out, ok, kPlain);
  EXPECT_EQ(out, hex("00 00 00 02 00 00 00"));  // The example of the protocol's documentation.
}

TEST(OkPacket, RoundTripsWithAndWithoutSessionTracking) {
  OkPacket ok{300, 1ull << 40, kStatusInTransaction, 7, "Rows matched: 1", {}};
  for (const Capabilities capabilities : {kPlain, kTrack}) {
    std::string out;
    encode_ok(out, ok, capabilities);
    const auto decoded = decode_ok(out, capabilities);
    ASSERT_TRUE(decoded.ok());
    EXPECT_EQ(*decoded, ok);
  }
}

TEST(OkPacket, CarriesEveryKindOfSessionChange) {
  using Kind = SessionChange::Kind;
  OkPacket ok;
  ok.status_flags = kStatusAutocommit | kStatusSessionStateChanged;
  ok.session_changes = {{Kind::kSystemVariable, "autocommit", "OFF"},
                        {Kind::kSchema, "", "commerce"},
                        {Kind::kStateChanged, "", "1"},
                        {Kind::kGtids, "", "0-1-77"},
                        {Kind::kTransactionCharacteristics, "", ""},
                        {Kind::kTransactionState, "", "T_______"}};
  std::string out;
  encode_ok(out, ok, kTrack);
  EXPECT_EQ(decode_ok(out, kTrack).value(), ok);
  // A client that did not ask for them gets neither the changes nor the flag.
  std::string plain;
  encode_ok(plain, ok, kPlain);
  EXPECT_EQ(decode_ok(plain, kPlain)->status_flags, kStatusAutocommit);
  EXPECT_LT(plain.size(), out.size());
}

TEST(OkPacket, ReadsInfoWithoutLengthToo) {
  EXPECT_EQ(decode_ok(hex("00 01 00 02 00 00 00") + "Records: 1", kPlain)->info, "Records: 1");
}

TEST(OkPacket, RefusesEveryTruncation) {
  OkPacket ok;
  ok.session_changes = {{SessionChange::Kind::kSystemVariable, "a", "b"}};
  std::string out;
  encode_ok(out, ok, kTrack);
  for (size_t size = 0; size < out.size(); ++size) {
    // Only the cut right behind the fixed part looks like an OK, which it is.
    const auto decoded = decode_ok(std::string_view(out).substr(0, size), kTrack);
    EXPECT_EQ(decoded.ok(), size == 7 || size == 8) << size;
  }
}

TEST(ResultEnd, HasTheFormThatWasNegotiated) {
  OkPacket ok;
  ok.warnings = 3;
  std::string old_form, new_form;
  encode_result_end(old_form, ok, kPlain);
  encode_result_end(new_form, ok, kTrack);
  EXPECT_EQ(old_form, hex("fe 03 00 02 00"));
  EXPECT_EQ(new_form, hex("fe 00 00 02 00 03 00"));
  EXPECT_EQ(decode_result_end(old_form, kPlain).value(), ok);
  EXPECT_EQ(decode_result_end(new_form, kTrack).value(), ok);
  EXPECT_TRUE(is_result_end(0xfe, 5, kPlain));
  EXPECT_FALSE(is_result_end(0xfe, 9, kPlain));
  EXPECT_TRUE(is_result_end(0xfe, 100, kTrack));
  EXPECT_FALSE(is_result_end(0xfe, kMaxFramePayload, kTrack));
  EXPECT_FALSE(is_result_end(0xfb, 5, kPlain));
}

TEST(ErrPacket, HasTheDocumentedBytes) {
  std::string out;
  encode_err(out, {1096, "HY000", "No tables used"}, kPlain);
  EXPECT_EQ(out, hex("ff 48 04 23 48 59 30 30 30") + "No tables used");
  EXPECT_EQ(decode_err(out).value(), (ErrPacket{1096, "HY000", "No tables used"}));
}

TEST(ErrPacket, MayLackTheStateBeforeLogin) {
  EXPECT_EQ(decode_err(hex("ff 10 04") + "Too many connections").value(),
            (ErrPacket{1040, "", "Too many connections"}));
  EXPECT_FALSE(decode_err("\xff\x01").ok());
  EXPECT_FALSE(decode_err("").ok());
}

// --- Columns and rows ---

TEST(ColumnDef, RoundTripsAlsoWithMariadbMetadata) {
  ColumnDef column{
      "db", "t", "orders", "c", "customer_id", 45, 80, FieldType::kVarString, kFieldNotNull | kFieldMultipleKey, 0, ""};
  for (const Capabilities capabilities : {kPlain, kPlain | kMariadbClientExtendedMetadata}) {
    column.extended_info = (capabilities & kMariadbClientExtendedMetadata) != 0 ? "\0\4json"s : "";
    std::string out;
    encode_column(out, column, capabilities);
    EXPECT_EQ(decode_column(out, capabilities).value(), column);
    for (size_t size = 0; size < out.size(); ++size) {
      EXPECT_FALSE(decode_column(std::string_view(out).substr(0, size), capabilities).ok());
    }
  }
}

TEST(ColumnDef, HasTheBytesThatServersSend) {
  // "select @@version_comment" of the documentation's example.
  const std::string bytes =
      hex("03 64 65 66 00 00 00 11 40 40 76 65 72 73 69 6f 6e 5f 63 6f 6d 6d 65 6e 74 00 0c 08 00 1c 00 00 00 fd 00 00 "
          "1f 00 00");
  const auto column = decode_column(bytes, kPlain);
  ASSERT_TRUE(column.ok());
  EXPECT_EQ(column->name, "@@version_comment");
  EXPECT_EQ(column->collation, 8);
  EXPECT_EQ(column->length, 28u);
  EXPECT_EQ(column->type, FieldType::kVarString);
  EXPECT_EQ(column->decimals, 31);
  std::string out;
  encode_column(out, *column, kPlain);
  EXPECT_EQ(out, bytes);
}

TEST(TextRow, RoundTripsAndRefusesWrongCounts) {
  const std::vector<Cell> cells = {"1", std::nullopt, "", "caf\xc3\xa9"};
  std::string out;
  encode_text_row(out, cells);
  std::vector<Cell> decoded;
  ASSERT_TRUE(decode_text_row(out, 4, decoded).ok());
  EXPECT_EQ(decoded, cells);
  EXPECT_FALSE(decode_text_row(out, 3, decoded).ok());
  EXPECT_FALSE(decode_text_row(out, 5, decoded).ok());
  EXPECT_FALSE(decode_text_row(out, size_t{1} << 60, decoded).ok());
}

struct BinaryCase {
  FieldType type;
  bool is_unsigned;
  uint8_t decimals;
  std::string text;
  std::string bytes;
};
class BinaryValues : public testing::TestWithParam<BinaryCase> {};
INSTANTIATE_TEST_SUITE_P(
    AllTypes, BinaryValues,
    testing::Values(
        BinaryCase{FieldType::kTiny, false, 0, "-128", "80"}, BinaryCase{FieldType::kTiny, true, 0, "255", "ff"},
        BinaryCase{FieldType::kShort, false, 0, "-1", "ffff"}, BinaryCase{FieldType::kShort, true, 0, "65535", "ffff"},
        BinaryCase{FieldType::kYear, true, 0, "2024", "e807"}, BinaryCase{FieldType::kYear, true, 0, "0000", "0000"},
        BinaryCase{FieldType::kInt24, false, 0, "-8388608", "000080ff"},
        BinaryCase{FieldType::kInt24, true, 0, "16777215", "ffffff00"},
        BinaryCase{FieldType::kLong, false, 0, "-2147483648", "00000080"},
        BinaryCase{FieldType::kLong, true, 0, "4294967295", "ffffffff"},
        BinaryCase{FieldType::kLongLong, false, 0, "-9223372036854775808", "0000000000000080"},
        BinaryCase{FieldType::kLongLong, true, 0, "18446744073709551615", "ffffffffffffffff"},
        BinaryCase{FieldType::kFloat, false, 31, "10.2", "33332341"},
        BinaryCase{FieldType::kFloat, false, 2, "1.50", "0000c03f"},
        BinaryCase{FieldType::kDouble, false, 31, "10.2", "6666666666662440"},
        BinaryCase{FieldType::kDouble, false, 31, "-0.00001", "f168e388b5f8e4be"},
        BinaryCase{FieldType::kDouble, false, 3, "0.100", "9a9999999999b93f"},
        BinaryCase{FieldType::kNewDecimal, false, 2, "-123.40", "072d3132332e3430"},
        BinaryCase{FieldType::kVarString, false, 0, "abc", "03616263"},
        BinaryCase{FieldType::kBlob, false, 0, "", "00"}, BinaryCase{FieldType::kJson, false, 0, "{}", "027b7d"},
        BinaryCase{FieldType::kBit, false, 0, "\x05", "0105"},
        BinaryCase{FieldType::kEnum, false, 0, "red", "03726564"},
        BinaryCase{FieldType::kDate, false, 0, "2010-10-17", "04da070a11"},
        BinaryCase{FieldType::kDate, false, 0, "0000-00-00", "00"},
        BinaryCase{FieldType::kDatetime, false, 6, "2010-10-17 19:27:30.000001", "0bda070a11131b1e01000000"},
        BinaryCase{FieldType::kDatetime, false, 0, "2010-10-17 19:27:30", "07da070a11131b1e"},
        BinaryCase{FieldType::kTimestamp, false, 3, "2010-10-17 19:27:30.120", "0bda070a11131b1ec0d40100"},
        BinaryCase{FieldType::kDatetime, false, 0, "2010-10-17 00:00:00", "04da070a11"},
        BinaryCase{FieldType::kDatetime, false, 3, "0000-00-00 00:00:00.000", "00"},
        BinaryCase{FieldType::kTime, false, 6, "-120:19:27.000001",
                   "0c01050000000013"
                   "1b01000000"},
        BinaryCase{FieldType::kTime, false, 0, "-838:59:59", "080122000000163b3b"},
        BinaryCase{FieldType::kTime, false, 0, "00:00:00", "00"},
        BinaryCase{FieldType::kTime, false, 2, "01:02:03.50", "0c000000000001020320a10700"}));

TEST_P(BinaryValues, ConvertBothWays) {
  const BinaryCase& c = GetParam();
  std::string bytes;
  ASSERT_TRUE(append_binary_value(bytes, c.type, c.is_unsigned, c.text).ok());
  EXPECT_EQ(base::hex_encode(bytes), c.bytes);
  ByteReader reader(bytes);
  std::string text;
  ASSERT_TRUE(append_text_of_binary(text, c.type, c.is_unsigned, c.decimals, reader).ok());
  EXPECT_EQ(text, c.text);
  EXPECT_TRUE(reader.at_end());
  ByteReader skipping(bytes);
  EXPECT_EQ(skip_binary_value(c.type, skipping), bytes);
  EXPECT_TRUE(skipping.ok() && skipping.at_end());
}

TEST_P(BinaryValues, RefuseEveryTruncation) {
  const BinaryCase& c = GetParam();
  const std::string bytes = hex(c.bytes);
  for (size_t size = 0; size < bytes.size(); ++size) {
    ByteReader reader(std::string_view(bytes).substr(0, size));
    std::string text;
    EXPECT_FALSE(append_text_of_binary(text, c.type, c.is_unsigned, c.decimals, reader).ok()) << size;
    ByteReader skipping(std::string_view(bytes).substr(0, size));
    skip_binary_value(c.type, skipping);
    EXPECT_FALSE(skipping.ok()) << size;
  }
}

TEST(BinaryValue, RefusesTextThatIsNoValueOfTheType) {
  struct Case {
    FieldType type;
    bool is_unsigned;
    std::string_view text;
  };
  for (const Case& c :
       {Case{FieldType::kTiny, false, "128"}, Case{FieldType::kTiny, true, "-1"}, Case{FieldType::kTiny, true, "256"},
        Case{FieldType::kInt24, false, "8388608"}, Case{FieldType::kLong, false, "abc"},
        Case{FieldType::kLong, false, ""}, Case{FieldType::kLong, false, "1 "}, Case{FieldType::kDouble, false, "1e"},
        Case{FieldType::kDate, false, "2010-13-01"}, Case{FieldType::kDate, false, "today"},
        Case{FieldType::kDatetime, false, "2010-10-10 25:00:00"}, Case{FieldType::kDatetime, false, "2010-10-10 "},
        Case{FieldType::kTime, false, "1:2"}, Case{FieldType::kTime, false, "00:00:00.1234567"},
        Case{FieldType::kTime, false, "00:61:00"}}) {
    std::string out;
    EXPECT_FALSE(append_binary_value(out, c.type, c.is_unsigned, c.text).ok()) << c.text;
  }
}

// What MariaDB 10.11 prints for the same numbers.
TEST(FloatText, IsWhatServersPrint) {
  const auto print = [](double value) {
    std::string bytes, text;
    append_f64(bytes, value);
    ByteReader reader(bytes);
    EXPECT_TRUE(append_text_of_binary(text, FieldType::kDouble, false, 31, reader).ok());
    return text;
  };
  EXPECT_EQ(print(1e20), "1e20");
  EXPECT_EQ(print(1e15), "1e15");
  EXPECT_EQ(print(1e14), "100000000000000");
  EXPECT_EQ(print(123456789012345.0), "123456789012345");
  EXPECT_EQ(print(1234567890123456.0), "1.234567890123456e15");
  EXPECT_EQ(print(1e-5), "0.00001");
  EXPECT_EQ(print(1.5e-15), "0.0000000000000015");
  EXPECT_EQ(print(1e-16), "1e-16");
  EXPECT_EQ(print(1.7976931348623157e308), "1.7976931348623157e308");
  EXPECT_EQ(print(12345.678), "12345.678");
  EXPECT_EQ(print(0), "0");
  const auto print_float = [](float value) {
    std::string bytes, text;
    append_f32(bytes, value);
    ByteReader reader(bytes);
    EXPECT_TRUE(append_text_of_binary(text, FieldType::kFloat, false, 31, reader).ok());
    return text;
  };
  EXPECT_EQ(print_float(3.14159274f), "3.14159");
  EXPECT_EQ(print_float(16777216.f), "16777200");
  EXPECT_EQ(print_float(1e20f), "1e20");
  EXPECT_EQ(print_float(123456789.f), "123457000");
  EXPECT_EQ(print_float(0.1f), "0.1");
}

TEST(BinaryRow, RoundTripsWithNulls) {
  std::vector<ColumnDef> columns(10);
  columns[0].type = FieldType::kLong;
  columns[1].type = FieldType::kVarString;
  columns[2].type = FieldType::kDatetime;
  columns[3].type = FieldType::kDouble;
  columns[3].decimals = 31;
  columns[9].type = FieldType::kLong;
  columns[9].flags = kFieldUnsigned | kFieldZerofill;
  columns[9].length = 6;
  const std::vector<Cell> cells = {"-5", std::nullopt, "2024-01-02 03:04:05", "1.5", "e", std::nullopt, "g", "h",
                                   "i",  "000042"};
  std::string out;
  ASSERT_TRUE(encode_binary_row(out, columns, cells).ok());
  std::string storage;
  std::vector<Cell> decoded;
  ASSERT_TRUE(decode_binary_row(out, columns, storage, decoded).ok());
  EXPECT_EQ(decoded, cells);
  for (size_t size = 0; size < out.size(); ++size) {
    EXPECT_FALSE(decode_binary_row(std::string_view(out).substr(0, size), columns, storage, decoded).ok());
  }
  EXPECT_FALSE(decode_binary_row(out + "x", columns, storage, decoded).ok());
}

TEST(ResultSetWriter, TakesBackARowThatCannotBeEncoded) {
  ColumnDef column;
  column.type = FieldType::kLong;
  std::string out;
  PacketWriter writer(out, 1);
  ResultSetWriter result(writer, kTrack, true);
  result.begin(std::span(&column, 1));
  const std::string before = out;
  const Cell bad = "abc";
  EXPECT_FALSE(result.row(std::span(&bad, 1)).ok());
  EXPECT_EQ(out, before);
  const Cell good = "7";
  EXPECT_TRUE(result.row(std::span(&good, 1)).ok());
  EXPECT_EQ(out.substr(before.size()), hex("06 00 00 03 00 00 07 00 00 00"));
}

TEST(LocalInfile, RoundTrips) {
  std::string out;
  encode_local_infile(out, "/etc/passwd");
  EXPECT_EQ(out, "\xfb/etc/passwd");
  EXPECT_EQ(decode_local_infile(out).value(), "/etc/passwd");
  EXPECT_FALSE(decode_local_infile("").ok());
}

// --- Statements ---

TEST(Query, CarriesAttributesOnlyWhereTheyAreNegotiated) {
  const std::vector<QueryAttribute> attributes = {{"caller", Value::of_text("app")},
                                                  {"timeout_ms", Value::of_uint(250)},
                                                  {"nothing", Value::null()},
                                                  {"", Value::of_int(-1)}};
  std::string out;
  encode_query(out, "select 1", attributes, kAttributes);
  const auto decoded = decode_query(out, kAttributes);
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(decoded->text, "select 1");
  EXPECT_EQ(decoded->attributes, attributes);
  std::string stripped;
  encode_query(stripped, decoded->text, decoded->attributes, kTrack);
  EXPECT_EQ(stripped, "\x03select 1");
  EXPECT_EQ(decode_query(stripped, kTrack)->text, "select 1");
}

TEST(Query, WithoutAttributesCostsTwoBytes) {
  std::string out;
  encode_query(out, "select 1", {}, kAttributes);
  EXPECT_EQ(out, hex("03 00 01") + "select 1");
  EXPECT_TRUE(decode_query(out, kAttributes)->attributes.empty());
}

TEST(Query, HasTheBytesOfTheProtocolsExample) {
  // One string attribute n1=v1, as mysql's client sends it.
  const std::string bytes = hex("03 01 01 00 01 fe00 02 6e31 02 7631") + "select";
  const auto decoded = decode_query(bytes, kAttributes);
  ASSERT_TRUE(decoded.ok());
  ASSERT_EQ(decoded->attributes.size(), 1u);
  EXPECT_EQ(decoded->attributes[0].name, "n1");
  EXPECT_EQ(decoded->attributes[0].value.bytes, "v1");
  EXPECT_EQ(decoded->text, "select");
}

TEST(Query, RefusesBrokenAttributes) {
  for (const char* bytes :
       {"03", "03 01", "03 01 02", "03 01 01 00 00", "03 01 01 00 01 fe00 02 6e", "03 01 01 00 01 fe00 00 05 61",
        "03 ff 01", "03 fe ffffffffffffffff 01", "03 01 01 00 01 f400 00 01"}) {
    EXPECT_FALSE(decode_query(hex(bytes), kAttributes).ok()) << bytes;
  }
  EXPECT_FALSE(decode_query("", kPlain).ok());
}

TEST(Prepare, AnswerRoundTrips) {
  const PrepareOk ok{0x01020304, 3, 2, 1};
  std::string out;
  encode_prepare_ok(out, ok);
  EXPECT_EQ(out, hex("00 04030201 0300 0200 00 0100"));
  EXPECT_EQ(decode_prepare_ok(out).value(), ok);
  EXPECT_FALSE(decode_prepare_ok(out.substr(0, 9)).ok());
}

class Executes : public testing::TestWithParam<Capabilities> {};
INSTANTIATE_TEST_SUITE_P(Capabilities, Executes, testing::Values(kTrack, kAttributes));

TEST_P(Executes, RoundTripEveryKindOfValue) {
  const std::vector<Value> values = {Value::of_int(-7),
                                     Value::of_uint(~0ull),
                                     Value::null(),
                                     Value::of_text("it's"),
                                     Value::of_binary("\0\xff"s),
                                     {FieldType::kDouble, false, false, "1.5"},
                                     {FieldType::kNewDecimal, false, false, "12.340"},
                                     {FieldType::kDatetime, false, false, "2024-01-02 03:04:05"},
                                     Value::of_text(std::string(70'000, 'x'))};
  const std::vector<QueryAttribute> attributes = {{"a", Value::of_text("b")}};
  std::string out;
  encode_stmt_execute_values(out, 5, values, attributes, GetParam());
  EXPECT_EQ(decode_statement_id(out).value(), 5u);
  StatementMemory memory;
  const auto execute = decode_stmt_execute(out, GetParam(), values.size(), memory);
  ASSERT_TRUE(execute.ok()) << execute.error().to_string();
  ASSERT_EQ(execute->parameters.size(), values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    const auto value = parameter_value(execute->parameters[i]);
    ASSERT_TRUE(value.ok());
    EXPECT_EQ(value->bytes, values[i].bytes);
    EXPECT_EQ(value->is_null(), values[i].is_null());
    EXPECT_EQ(value->is_binary, values[i].is_binary);
    EXPECT_EQ(value->is_unsigned, values[i].is_unsigned);
  }
  EXPECT_EQ(execute->attributes,
            (GetParam() & kClientQueryAttributes) != 0 ? attributes : std::vector<QueryAttribute>());
  // Passing it on gives the same bytes again.
  std::string again;
  encode_stmt_execute(again, *execute, GetParam());
  EXPECT_EQ(again, out);
  // So it does with another id and without attributes, and into an execute that has held another one.
  StmtExecute used = *execute;
  ASSERT_TRUE(decode_stmt_execute_into(used, again, GetParam(), values.size(), memory).ok());
  std::string other;
  encode_stmt_execute(other, used, 6, {}, GetParam());
  std::string expected;
  encode_stmt_execute_values(expected, 6, values, {}, GetParam());
  EXPECT_EQ(other, expected);
}

TEST_P(Executes, RefuseEveryTruncation) {
  const std::vector<Value> values = {Value::of_int(1), Value::of_text("abc")};
  std::string out;
  encode_stmt_execute_values(out, 5, values, {}, GetParam());
  for (size_t size = 0; size < out.size(); ++size) {
    StatementMemory memory;
    EXPECT_FALSE(decode_stmt_execute(std::string_view(out).substr(0, size), GetParam(), 2, memory).ok()) << size;
  }
  StatementMemory memory;
  EXPECT_FALSE(decode_stmt_execute(out + "x", GetParam(), 2, memory).ok());
}

TEST_P(Executes, RememberTypesOfEarlierOnes) {
  const std::string counts = (GetParam() & kClientQueryAttributes) != 0 ? "01" : "";
  const std::string types = (GetParam() & kClientQueryAttributes) != 0 ? "0380 00" : "0380";
  StatementMemory memory;
  const std::string second = hex("17 05000000 00 01000000" + counts + "00 00 feffffff");
  EXPECT_FALSE(decode_stmt_execute(second, GetParam(), 1, memory).ok());
  ASSERT_TRUE(
      decode_stmt_execute(hex("17 05000000 00 01000000" + counts + "00 01" + types + "ffffffff"), GetParam(), 1, memory)
          .ok());
  const auto execute = decode_stmt_execute(second, GetParam(), 1, memory);
  ASSERT_TRUE(execute.ok());
  EXPECT_EQ(parameter_value(execute->parameters[0])->bytes, "4294967294");  // Unsigned LONG, as the first one said.
  // Sent on, it carries the types: another connection has not seen them.
  std::string out;
  encode_stmt_execute(out, *execute, GetParam());
  StatementMemory fresh;
  EXPECT_TRUE(decode_stmt_execute(out, GetParam(), 1, fresh).ok());
}

TEST_P(Executes, NeedNoTypesForNulls) {
  const std::string counts = GetParam() == kAttributes ? "02" : "";
  StatementMemory memory;
  const auto execute = decode_stmt_execute(hex("17 05000000 00 01000000" + counts + "03 00"), GetParam(), 2, memory);
  ASSERT_TRUE(execute.ok()) << execute.error().message();
  ASSERT_EQ(execute->parameters.size(), 2u);
  EXPECT_TRUE(execute->parameters[0].is_null && execute->parameters[1].is_null);
  // A value has no type by that.
  EXPECT_FALSE(decode_stmt_execute(hex("17 05000000 00 01000000" + counts + "01 00 05"), GetParam(), 2, memory).ok());
}

TEST_P(Executes, PutLongDataInline) {
  StatementMemory memory;
  for (const std::string_view piece : {"hello ", "world"}) {
    std::string command;
    encode_stmt_long_data(command, {5, 1, piece});
    const auto data = decode_stmt_long_data(command);
    ASSERT_TRUE(data.ok());
    ASSERT_TRUE(memory.add_long_data(*data, 2, {}).ok());
  }
  EXPECT_EQ(memory.long_data_bytes, 11);
  // Parameter 0 is an INT in the message, parameter 1 came before.
  const std::string counts = (GetParam() & kClientQueryAttributes) != 0 ? "02" : "";
  const std::string name = (GetParam() & kClientQueryAttributes) != 0 ? "00" : "";
  const std::string bytes = hex("17 05000000 00 01000000" + counts + "00 01 0300" + name + "fc00" + name + "07000000");
  const auto execute = decode_stmt_execute(bytes, GetParam(), 2, memory);
  ASSERT_TRUE(execute.ok());
  std::string out;
  encode_stmt_execute(out, *execute, GetParam());
  memory.clear_long_data();
  StatementMemory fresh;
  const auto forwarded = decode_stmt_execute(out, GetParam(), 2, fresh);
  ASSERT_TRUE(forwarded.ok());
  EXPECT_EQ(parameter_value(forwarded->parameters[0])->bytes, "7");
  EXPECT_EQ(parameter_value(forwarded->parameters[1])->bytes, "hello world");
}

TEST(Execute, WithoutParametersHasNoParameterBlock) {
  StatementMemory memory;
  EXPECT_TRUE(decode_stmt_execute(hex("17 05000000 00 01000000"), kTrack, 0, memory).ok());
  EXPECT_TRUE(decode_stmt_execute(hex("17 05000000 00 01000000"), kAttributes, 0, memory).ok());
  const auto with_count = decode_stmt_execute(hex("17 05000000 08 01000000 00"), kAttributes, 0, memory);
  ASSERT_TRUE(with_count.ok());
  EXPECT_EQ(with_count->cursor_flags, 0);
}

TEST(Execute, RefusesFewerParametersThanTheStatementHas) {
  StatementMemory memory;
  EXPECT_FALSE(
      decode_stmt_execute(hex("17 05000000 08 01000000 01 00 01 0300 00 07000000"), kAttributes, 2, memory).ok());
}

TEST(Parameter, WidensFloatsAsServersDo) {
  std::string raw;
  append_f32(raw, 0.1f);
  const auto value = parameter_value({FieldType::kFloat, false, false, false, raw});
  EXPECT_EQ(value->bytes, "0.10000000149011612");
  EXPECT_EQ(value->type, FieldType::kDouble);
}

// --- Literals ---

std::string literal(const Value& value, LiteralOptions options = {}) {
  std::string out;
  append_sql_literal(out, value, options);
  return out;
}

TEST(SqlLiteral, PrintsEachKind) {
  EXPECT_EQ(literal(Value::null()), "NULL");
  EXPECT_EQ(literal(Value::of_int(-5)), "-5");
  EXPECT_EQ(literal({FieldType::kNewDecimal, false, false, "1.50"}), "1.50");
  EXPECT_EQ(literal({FieldType::kDouble, false, false, "1.5"}), "1.5e0");
  EXPECT_EQ(literal({FieldType::kDouble, false, false, "1e20"}), "1e20");
  EXPECT_EQ(literal(Value::of_text("it's")), "'it''s'");
  EXPECT_EQ(literal({FieldType::kDatetime, false, false, "2024-01-02 03:04:05"}), "'2024-01-02 03:04:05'");
  EXPECT_EQ(literal(Value::of_binary("\0\xab"s)), "_binary X'00AB'");
  EXPECT_EQ(literal(Value::of_binary("")), "_binary X''");
  EXPECT_EQ(literal({FieldType::kBit, false, false, "\x05"}), "b'00000101'");
}

TEST(SqlLiteral, EscapesAsTheSqlModeWants) {
  const Value nasty = Value::of_text("a\\'\"\n\r\x1a\0b"s);
  EXPECT_EQ(literal(nasty), "'a\\\\''\"\\n\\r\\Z\\0b'");
  EXPECT_EQ(literal(nasty, {.no_backslash_escapes = true}), "'a\\''\"\n\r\x1a\0b'"s);
}

TEST(SqlLiteral, NeverLetsAFalseNumberOut) {
  for (const char* text : {"1; drop table t", "", "-", "1e", "0x10", "1 or 1=1", ".", "nan"}) {
    const std::string printed = literal({FieldType::kLong, false, false, text});
    EXPECT_EQ(printed, "'" + std::string(text) + "'");
  }
}

TEST(SqlIdentifier, DoublesBackticks) {
  std::string out;
  append_sql_identifier(out, "a`b");
  EXPECT_EQ(out, "`a``b`");
}

TEST(Value, OfAColumnKnowsBinaryStrings) {
  ColumnDef column;
  column.type = FieldType::kBlob;
  column.collation = kBinaryCollation;
  EXPECT_TRUE(make_value(column, "x").is_binary);
  column.type = FieldType::kJson;
  EXPECT_FALSE(make_value(column, "{}").is_binary);
  column.type = FieldType::kLong;
  EXPECT_FALSE(make_value(column, "1").is_binary);
  EXPECT_TRUE(make_value(column, std::nullopt).is_null());
}

// The command has no answer: the next execute tells what was wrong with it, until the statement is reset.
TEST(LongData, ThatCannotBeKeptFailsTheExecute) {
  const std::string execute = hex("17 05000000 00 01000000 00 01 fc00 0161");
  const Status full = fail(Code::kResourceExhausted, "full").with_mysql(errnos::kPacketTooLarge, "08S01");
  StatementMemory memory;
  ASSERT_TRUE(memory.add_long_data({5, 0, "abc"}, 1, {}).ok());
  EXPECT_EQ(memory.add_long_data({5, 0, "d"}, 1, full).error().mysql_errno(), errnos::kPacketTooLarge);
  EXPECT_EQ(memory.long_data_bytes, 0);
  EXPECT_FALSE(memory.add_long_data({5, 0, "e"}, 1, {}).ok());
  EXPECT_EQ(decode_stmt_execute(execute, 0, 1, memory).error().mysql_errno(), errnos::kPacketTooLarge);
  memory.clear_long_data();
  EXPECT_TRUE(decode_stmt_execute(execute, 0, 1, memory).ok());
  EXPECT_EQ(memory.add_long_data({5, 1, "d"}, 1, {}).error().mysql_errno(), errnos::kWrongArguments);
  EXPECT_EQ(decode_stmt_execute(execute, 0, 1, memory).error().mysql_errno(), errnos::kWrongArguments);
}

// --- Collations ---

TEST(Collations, AreFoundByIdNameAndCharset) {
  EXPECT_EQ(find_collation(45)->name, "utf8mb4_general_ci");
  EXPECT_EQ(find_collation(255)->name, "utf8mb4_0900_ai_ci");
  EXPECT_EQ(find_collation(63)->charset, "binary");
  EXPECT_EQ(find_collation(33)->max_bytes, 3);
  EXPECT_EQ(find_collation(17), nullptr);
  EXPECT_EQ(find_collation("UTF8MB4_BIN")->id, 46);
  EXPECT_EQ(find_collation("utf8_general_ci")->id, 33);
  EXPECT_EQ(find_collation("no_such"), nullptr);
  EXPECT_EQ(default_collation("utf8mb4")->id, kUtf8mb4GeneralCi);
  EXPECT_EQ(default_collation("utf8")->id, 33);
  EXPECT_EQ(default_collation("latin1")->id, 8);
  EXPECT_EQ(default_collation("binary")->id, 63);
  EXPECT_EQ(default_collation("klingon"), nullptr);
  EXPECT_EQ(find_collation(309)->name, "utf8mb4_0900_bin");
}

TEST(Collations, TellWhichCharsetsHideBackslashes) {
  for (const char* charset : {"gbk", "GBK", "big5", "cp932", "sjis", "gb18030", "utf16le", "ucs2", "utf32"}) {
    EXPECT_FALSE(backslash_safe(charset)) << charset;
    EXPECT_EQ(check_client_charset(charset).error().mysql_errno(), 1231) << charset;
  }
  // In these the second byte of a character is never below 0x80, or below 0x80 only where letters are.
  for (const char* charset :
       {"utf8mb4", "utf8", "latin1", "ascii", "binary", "gb2312", "euckr", "ujis", "eucjpms", "swe7"}) {
    EXPECT_TRUE(backslash_safe(charset)) << charset;
    EXPECT_TRUE(check_client_charset(charset).ok()) << charset;
  }
}

// --- Errors ---

TEST(Errors, GetTheirNumbersInTheDocumentedOrder) {
  EXPECT_EQ(to_err_packet(fail(Code::kInternal, "x").with_mysql(1146, "42S02")), (ErrPacket{1146, "42S02", "x"}));
  EXPECT_EQ(to_err_packet(fail(Code::kUnknown, "dup (errno 1062) (sqlstate 23000) during query: insert")).code, 1062);
  EXPECT_EQ(to_err_packet(fail(Code::kNotFound, "VT05003: unknown database 'x' in vschema")),
            (ErrPacket{1049, "42000", "VT05003: unknown database 'x' in vschema"}));
  EXPECT_EQ(to_err_packet(fail(Code::kUnimplemented, "VT12001: unsupported: x")),
            (ErrPacket{1235, "42000", "VT12001: unsupported: x"}));
  const Error duplicate =
      without_values(from_err_packet({1062, "23000", "Duplicate entry 'secret' for key 'PRIMARY'"}));
  EXPECT_EQ(to_err_packet(duplicate),
            (ErrPacket{1062, "23000", "(errno 1062) (sqlstate 23000): the text is left out, for it may hold values"}));
  EXPECT_EQ(without_values(fail(Code::kUnimplemented, "VT12001: unsupported: x").with_mysql(1235, "42000")).message(),
            "VT12001: unsupported: x");
  EXPECT_EQ(without_values(fail(Code::kUnavailable, "no tablet")).message(), "no tablet");
  EXPECT_EQ(to_err_packet(fail(Code::kDeadlineExceeded, "slow")), (ErrPacket{1317, "70100", "slow"}));
  EXPECT_EQ(to_err_packet(fail(Code::kResourceExhausted, "pool full")).code, 1203);
  EXPECT_EQ(to_err_packet(fail(Code::kPermissionDenied, "no")), (ErrPacket{1045, "28000", "no"}));
  EXPECT_EQ(to_err_packet(fail(Code::kClusterEvent, "moving")), (ErrPacket{1105, "HY000", "moving"}));
}

// S3-53 and S3-62: these two keep 1105.
TEST(Errors, OfDeniedAndMissingTablesStayUnknownErrors) {
  EXPECT_EQ(to_err_packet(fail(Code::kFailedPrecondition, "disallowed due to rule: enforce blacklisted tables")).code,
            1105);
  EXPECT_EQ(to_err_packet(fail(Code::kInvalidArgument, "table customer not found in schema")).code, 1105);
}

TEST(Errors, OfServersKeepNumberStateAndText) {
  const ErrPacket dup{1062, "23000", "Duplicate entry '1' for key 'PRIMARY'"};
  const Error error = from_err_packet(dup);
  EXPECT_EQ(error.code(), Code::kAlreadyExists);
  EXPECT_EQ(error.effect(), Effect::kNone);
  EXPECT_EQ(to_err_packet(error), dup);
  EXPECT_EQ(from_err_packet({1213, "40001", "Deadlock"}).code(), Code::kAborted);
  EXPECT_EQ(from_err_packet({29999, "HY000", "?"}).code(), Code::kUnknown);
  EXPECT_EQ(from_err_packet({1053, "08S01", "shutdown"}).effect(), Effect::kUnknown);
}

TEST(Errors, OfReadOnlyServersAskForTheNewPrimary) {
  const Error demoted = from_err_packet(
      {1290, "HY000", "The MariaDB server is running with the --read-only option so it cannot execute this statement"});
  EXPECT_EQ(demoted.code(), Code::kClusterEvent);
  EXPECT_EQ(demoted.retry(), Retry::kAfterTopologyRefresh);
  EXPECT_EQ(from_err_packet({1290, "HY000", "running with the --secure-file-priv option"}).retry(), Retry::kNever);
}

TEST(Errors, FindEmbeddedNumbersOnlyInFullForm) {
  EXPECT_EQ(find_embedded_errno("a (errno 1062) (sqlstate 23000)")->mysql_errno, 1062);
  EXPECT_EQ(find_embedded_errno("(errno 1) (sqlstate HY000) b (errno 2) (sqlstate 42S02) c")->mysql_errno, 2);
  EXPECT_EQ(find_embedded_errno("(errno 7) (sqlstate HY000) (errno x)")->mysql_errno, 7);
  for (const char* text :
       {"", "(errno 5)", "(errno 5) (sqlstate", "(errno 5) (sqlstate 42)", "(errno 0) (sqlstate HY000)",
        "(errno 99999) (sqlstate HY000)", "(errno 5) (sqlstate hy000)"}) {
    EXPECT_FALSE(find_embedded_errno(text)) << text;
  }
}

TEST(TabletErrors, CarryCodeRetryAndEffectOverTheDataPort) {
  for (int code = 1; code <= 18; ++code) {
    const Error error =
        fail(static_cast<Code>(code), "why").with_retry(Retry::kOtherTarget).with_effect(Effect::kUnknown);
    const ErrPacket err = encode_tablet_error(error);
    EXPECT_EQ(err.code, 19000 + code);
    const auto decoded = decode_tablet_error(err);
    ASSERT_TRUE(decoded);
    EXPECT_EQ(decoded->code(), error.code());
    EXPECT_EQ(decoded->retry(), Retry::kOtherTarget);
    EXPECT_EQ(decoded->effect(), Effect::kUnknown);
    EXPECT_EQ(decoded->mysql_errno(), 0);
  }
}

TEST(TabletErrors, CarryReasonAndOriginAsValues) {
  const Origin origin{"commerce", "-80", "zone1-0000000100", "customer"};
  for (uint8_t number = 0; number < base::kReasons; ++number) {
    const ErrPacket err = encode_tablet_error(fail(Code::kFailedPrecondition, "why")
                                                  .with_reason(static_cast<Reason>(number))
                                                  .with_origin(origin)
                                                  .with_mysql(1290, "HY000"));
    const auto decoded = decode_tablet_error(err);
    ASSERT_TRUE(decoded);
    EXPECT_EQ(decoded->reason(), static_cast<Reason>(number));
    EXPECT_EQ(decoded->origin(), origin);
    EXPECT_EQ(decoded->mysql_errno(), 1290);
    EXPECT_EQ(decoded->message(),
              "vttablet: rpc error: code = FailedPrecondition desc = why (errno 1290) (sqlstate HY000)");
  }
  // Parts that are missing, and separators in a part, do not shift the others.
  const auto decoded = decode_tablet_error(
      encode_tablet_error(fail(Code::kUnavailable, "\x1e?\x1f").with_origin({.shard = "0\x1f\x1e", .rule = "t"})));
  EXPECT_EQ(decoded->origin(), (Origin{"", "0", "", "t"}));
  EXPECT_EQ(decode_tablet_error({19014, "VT00Z",
                                 "vttablet: rpc error: code = x desc = a\x1e"
                                 "b"})
                ->reason(),
            Reason::kNone);
}

TEST(TabletErrors, ReadAsUsersKnowThem) {
  const ErrPacket err =
      encode_tablet_error(fail(Code::kFailedPrecondition, "disallowed due to rule: enforce blacklisted tables"));
  EXPECT_EQ(decode_tablet_error(err)->message(),
            "vttablet: rpc error: code = FailedPrecondition desc = disallowed due to rule: enforce blacklisted tables");
}

TEST(TabletErrors, KeepAMysqlNumberOfTheirOwn) {
  const auto decoded =
      decode_tablet_error(encode_tablet_error(fail(Code::kCanceled, "killed").with_mysql(1317, "70100")));
  EXPECT_EQ(decoded->mysql_errno(), 1317);
  EXPECT_EQ(decoded->sqlstate(), "70100");
}

TEST(TabletErrors, AreNotTakenFromServers) {
  EXPECT_FALSE(decode_tablet_error({1146, "42S02", "Table 'a.b' doesn't exist"}));
  EXPECT_FALSE(decode_tablet_error({19009, "HY000", "SIGNAL of a user's procedure"}));
}

TEST(Ok, ReadsAChangedStateAsEitherFlavorSendsIt) {
  const std::string fixed("\x00\x00\x00\x02\x40\x00\x00\x00", 8);
  for (const std::string& state : {std::string("\x03\x02\x01"
                                               "1",
                                               4),
                                   std::string("\x04\x02\x02\x01"
                                               "1",
                                               5)}) {
    const auto ok = decode_ok(fixed + state, kClientSessionTrack);
    ASSERT_TRUE(ok.ok()) << ok.error().message();
    ASSERT_EQ(ok->session_changes.size(), 1U);
    EXPECT_EQ(ok->session_changes[0].value, "1");
  }
}

TEST(Ok, LosesItsSessionChangesForClientsThatDoNotKnowOfThem) {
  const auto framed = [](std::string payload) {
    std::string out;
    PacketWriter(out, 3).message(payload);
    return out;
  };
  const std::string fixed("\x00\x01\x00\x02\x40\x00\x00", 7);
  const std::string info("\x0cRecords: 1 a", 13);
  const std::string changes(
      "\x04\x02\x02\x01"
      "1",
      5);
  EXPECT_EQ(without_session_track(framed(fixed + info + changes)), framed(fixed + info));
  EXPECT_EQ(without_session_track(framed(fixed + std::string("\0", 1) + changes)), framed(fixed));
  EXPECT_EQ(without_session_track(framed(fixed + info)), std::nullopt);
  EXPECT_EQ(without_session_track(framed(fixed)), std::nullopt);
  EXPECT_EQ(without_session_track(framed(std::string("\xfe\x00\x00\x02\x00", 5))), std::nullopt);
}

}  // namespace
}  // namespace vitrail::mysql
