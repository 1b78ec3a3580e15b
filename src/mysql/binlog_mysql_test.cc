// MySQL's own ways of logging, in the bytes that a MySQL 9.7 server wrote.

#include <gtest/gtest.h>

#include <deque>
#include <string>
#include <vector>

#include "mysql/binlog_json_patch.h"
#include "mysql/binlog_rows.h"
#include "mysql/binlog_stream.h"

namespace vitrail::mysql {
namespace {

std::string bytes_of(std::string_view digits) {
  std::string out;
  for (size_t i = 0; i + 1 < digits.size(); i += 2) {
    out += static_cast<char>(std::stoi(std::string(digits.substr(i, 2)), nullptr, 16));
  }
  return out;
}

std::string event(EventType type, std::string_view body_digits) {
  const std::string body = bytes_of(body_digits);
  std::string out(4, '\0');
  out += static_cast<char>(type);
  out += std::string(4, '\1');
  const size_t size = kEventHeaderSize + body.size();
  for (int i = 0; i < 4; ++i) out += static_cast<char>(size >> (8 * i));
  return out + std::string(6, '\0') + body;
}

constexpr std::string_view kFormat =
    "0400392e372e342d3200000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
    "0000000013000d0008000000000400040000006300041a08000000000000020000000a0a0a2a2a001234000a280000";
constexpr std::string_view kTaggedPrevious =
    "01030000000000014cb7a58dec3d11f1b1d802fc0000000100010000000000000001000000000000000f000000000000004cb7a5"
    "8dec3d11f1b1d802fc000000010a6261725f320100000000000000010000000000000003000000000000004cb7a58dec3d11f1b1"
    "d802fc0000000106666f6f010000000000000001000000000000000600000000000000";
constexpr std::string_view kTaggedGtid =
    "0272000000"
    "0298dd029502350"
    "2b1037a22c503c5026103"
    "04f1030000000204140606666f6f08000a040c7f08472650716106107504128312"
    "0b";
constexpr std::string_view kGtid =
    "004cb7a58dec3d11f1b1d802fc000000010f000000000000000200000000000000000100000000000000";
// insert into j values (3, '[]', null, '{}', repeat('x', 10), 'u', 'x')
constexpr std::string_view kPayload =
    "0201000303fc06010101be0028b52ffd600600a50500728a232c7049930e5d84ffffffffff71ff7ff79d584fbc145d8904f44405"
    "7b591dc734124304d25997feb66637213205ffbfc540a354abe5fcf61fbfcb98dc06700ab23257a168d5762047cc2d10a53ad5a1"
    "116d2894682f6f72c49474b715bdf8e0253319d97b57bc5cf24487bdd23f08448c053128243c08c363c0f1e626e12439e4b136e8"
    "04dfdfcacebfd022c682021000a004e21e210c5c210896e5b2a005ec1433d801cd818b8fb083653d201e1879005e";
constexpr std::string_view kTableMap =
    "7300000000000100016400016a000703f5fff50f0ffe090404040a002800f7017e010100030408fcff00070100040f0269640161"
    "016701620174017501650a03fcff00060502017801790801000c01fe";
constexpr std::string_view kBegin =
    "0e00000000000000000000000000"
    "424547494e";
constexpr std::string_view kPartial[] = {
    // json_set(a, '$.name', 'xy', '$.list[1]', 9, '$.deep."x y"', 7, '$.deep.new', true)
    "7300000000001100020007ffff0001000000e0000000000400df002000030023000400270004002b0004000c2f0000940002ce00"
    "0cdb00626967646565706c6973746e616d65647a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a"
    "7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a"
    "7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a02003a0012000100130003000c16000501006b782079237676767676767676767676767676"
    "76767676767676767676767676767676767676767603000d00050100050200050300036162631900000000000000010100000000"
    "0000000000f03f00000000000000400800000002010007000501000174017501010300010000003d0000000006242e6e616d6504"
    "0c0278790009242e6c6973745b315d03050900000c242e646565702e227820792203050700010a242e646565702e6e6577020401"
    "19000000000000000101000000000000000000f03f0000000000000040000000000171017501",
    // json_remove(a, '$.list[0]', '$.deep.k'), json_array_append(b, '$', 2)
    "7300000000001100020007ffff0001000000e9000000000400e8002000030023000400270004002b0004000c2f0000940002d800"
    "0ce500626967646565706c6973746e616d65647a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a"
    "7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a"
    "7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a03004400190001001a0003001d0003000c20000401000507006b6e65777820792376767676"
    "7676767676767676767676767676767676767676767676767676767676767603000d000501000509000503000278791900000000"
    "0000000101000000000000000000f03f000000000000004008000000020100070005010001710175010101000100000015000000"
    "0209242e6c6973745b305d0208242e646565702e6b19000000000000000101000000000000000000f03f00000000000000400b00"
    "00000202000a000501000502000171017501",
    // json_replace(b, '$.a', 2.5)
    "7300000000001100020007ffff06020000001500000000010014000b0001000b0c0061000000000000f83f016201630201020602"
    "0000000d0000000003242e61070ff604020182050162016302",
    // Of another column.
    "7300000000001100020007ffff0001000000e9000000000400e8002000030023000400270004002b0004000c2f0000940002d800"
    "0ce500626967646565706c6973746e616d65647a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a"
    "7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a"
    "7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a020044001a0003001d000300040100050700000401000507006b6e65777820792376767676"
    "7676767676767676767676767676767676767676767676767676767676767602000d000509000503000503000278791900000000"
    "0000000101000000000000000000f03f00000000000000400b0000000202000a0005010005020001710175010103000100000000"
    "00000019000000000000000101000000000000000000f03f0000000000000040000000000171046f6e6c7901",
};

class MysqlLog : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(feed(EventType::kFormatDescription, std::string(kFormat) + "0000000000").ok()); }

  Result<std::span<const BinlogItem>> feed(EventType type, std::string_view digits) {
    bytes_.push_back(event(type, digits));
    return parser_.feed(as_bytes(bytes_.back()));
  }
  // Values behind a change; JSON and text of this table.
  static std::vector<std::string> values(const BinlogRows& rows) {
    const auto decoder = RowDecoder::create(*rows.map, {}, {});
    EXPECT_TRUE(decoder.ok());
    RowsReader reader(*decoder, rows.rows);
    RowChange change;
    const auto more = reader.next(change);
    EXPECT_TRUE(more.ok()) << more.error().to_string();
    std::vector<std::string> out;
    if (!more.ok() || !*more) return out;
    for (const RowValue& value : change.after.values()) {
      out.emplace_back(value.null() ? "NULL" : value.text);
    }
    EXPECT_FALSE(reader.next(change).value_or(true));
    return out;
  }

  std::deque<std::string> bytes_;
  BinlogStreamParser parser_{{.start = {"bin.000001", 4}, .checksum = ChecksumAlgorithm::kNone}};
};

TEST_F(MysqlLog, ReadsTags) {
  const auto before = feed(EventType::kPreviousGtids, kTaggedPrevious);
  ASSERT_TRUE(before.ok()) << before.error().to_string();
  ASSERT_EQ(before->size(), 1u);
  EXPECT_EQ(before->front().as<BinlogGtidList>()->before.to_string(),
            "4cb7a58d-ec3d-11f1-b1d8-02fc00000001:1-14:bar_2:1-2:foo:1-5");
  const auto begun = feed(EventType::kGtidTagged, kTaggedGtid);
  ASSERT_TRUE(begun.ok()) << begun.error().to_string();
  EXPECT_EQ(begun->front().as<BinlogBegin>()->gtid->to_string(), "4cb7a58d-ec3d-11f1-b1d8-02fc00000001:foo:5");
  for (size_t size = 0; size < kTaggedGtid.size(); size += 2) {
    BinlogStreamParser parser({.checksum = ChecksumAlgorithm::kNone});
    const std::string cut = event(EventType::kGtidTagged, kTaggedGtid.substr(0, size));
    EXPECT_FALSE(parser.feed(as_bytes(cut)).ok()) << size;
  }
}

TEST_F(MysqlLog, ReadsCompressedTransactions) {
  ASSERT_TRUE(feed(EventType::kGtid, kGtid).ok());
  const auto items = feed(EventType::kTransactionPayload, kPayload);
  ASSERT_TRUE(items.ok()) << items.error().to_string();
  ASSERT_EQ(items->size(), 3u);
  EXPECT_NE((*items)[0].as<BinlogTable>(), nullptr);
  ASSERT_NE((*items)[1].as<BinlogRows>(), nullptr);
  EXPECT_EQ(values(*(*items)[1].as<BinlogRows>()),
            (std::vector<std::string>{"3", "[]", "NULL", "{}", "xxxxxxxxxx", "u", "1"}));
  const auto* commit = (*items)[2].as<BinlogCommit>();
  ASSERT_NE(commit, nullptr);
  EXPECT_EQ(commit->kind, CommitKind::kCommit);
  EXPECT_EQ(parser_.position().to_string(), "4cb7a58d-ec3d-11f1-b1d8-02fc00000001:15");
  EXPECT_FALSE(parser_.in_transaction());
}

TEST_F(MysqlLog, RefusesDamagedTransactions) {
  for (size_t size = 0; size + 2 < kPayload.size(); size += 2) {
    BinlogStreamParser parser({.checksum = ChecksumAlgorithm::kNone});
    const std::string format = event(EventType::kFormatDescription, std::string(kFormat) + "0000000000");
    const std::string gtid = event(EventType::kGtid, kGtid);
    ASSERT_TRUE(parser.feed(as_bytes(format)).ok());
    ASSERT_TRUE(parser.feed(as_bytes(gtid)).ok());
    const std::string cut = event(EventType::kTransactionPayload, kPayload.substr(0, size));
    const auto items = parser.feed(as_bytes(cut));
    ASSERT_FALSE(items.ok()) << size;
    EXPECT_EQ(items.error().code(), Code::kDataLoss) << size;
  }
}

TEST_F(MysqlLog, AppliesChangesOfJsonValues) {
  const std::string big(100, 'z');
  const std::string deep(35, 'v');
  const std::vector<std::vector<std::string>> expected = {
      {"1",
       "{\"big\": \"" + big + "\", \"deep\": {\"k\": \"" + deep +
           "\", \"new\": true, \"x y\": 7}, \"list\": [1, 9, 3], \"name\": \"xy\"}",
       "[1]", "q", "u"},
      {"1", "{\"big\": \"" + big + "\", \"deep\": {\"new\": true, \"x y\": 7}, \"list\": [9, 3], \"name\": \"xy\"}",
       "[1, 2]", "q", "u"},
      {"2", "NULL", "{\"a\": 2.5}", "b", "c"},
      {"1", "{\"big\": \"" + big + "\", \"deep\": {\"new\": true, \"x y\": 7}, \"list\": [9, 3], \"name\": \"xy\"}",
       "[1, 2]", "q", "only"},
  };
  ASSERT_TRUE(feed(EventType::kGtid, kGtid).ok());
  ASSERT_TRUE(feed(EventType::kQuery, kBegin).ok());
  ASSERT_TRUE(feed(EventType::kTableMap, kTableMap).ok());
  for (size_t i = 0; i < expected.size(); ++i) {
    const auto items = feed(EventType::kPartialUpdateRows, kPartial[i]);
    ASSERT_TRUE(items.ok()) << items.error().to_string();
    auto got = values(*items->front().as<BinlogRows>());
    ASSERT_EQ(got.size(), 7u);
    got.erase(got.begin() + 2);  // The point.
    got.pop_back();
    EXPECT_EQ(got, expected[i]) << i;
  }
}

TEST(JsonPatch, RefusesWhatDoesNotFit) {
  const std::string object = bytes_of(
      "0001000e000b0001000c0c0061"
      "0141");  // {"a": "A"}
  std::string out;
  ASSERT_TRUE(append_changed_json(as_bytes(object), {}, out).ok());
  EXPECT_EQ(out, "{\"a\": \"A\"}");
  const struct {
    const char* what;
    std::string changes;
  } cases[] = {
      {"an unknown operation", bytes_of("03") + "\x03$.a"},
      {"a path without its value", bytes_of("00") + "\x03$.a"},
      {"replacing what is not there", bytes_of("00") + "\x03$.b" + bytes_of("03050100")},
      {"inserting what is there", bytes_of("01") + "\x03$.a" + bytes_of("03050100")},
      {"a cell of an object", bytes_of("02") + "\x04$[0]"},
      {"removing all", bytes_of("02") + "\x01$"},
      {"no path", bytes_of("02") + "\x02.a"},
      {"a path that does not end", bytes_of("02") + "\x04$.\"a"},
      {"a path longer than the rest", bytes_of("02") + "\x09$.a"},
  };
  for (const auto& [what, changes] : cases) {
    const Status status = append_changed_json(as_bytes(object), as_bytes(changes), out);
    ASSERT_FALSE(status.ok()) << what;
    EXPECT_EQ(status.error().code(), Code::kDataLoss) << what;
  }
}

}  // namespace
}  // namespace vitrail::mysql
