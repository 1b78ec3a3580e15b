// Events made by hand: what a MariaDB server at hand does not write (MySQL's formats), and what none should.

#include <gtest/gtest.h>
#include <zlib.h>

#include <bit>
#include <cmath>
#include <deque>
#include <functional>

#include "mysql/binlog_command.h"
#include "mysql/binlog_json.h"
#include "mysql/binlog_rows.h"
#include "mysql/binlog_stream.h"
#include "mysql/binlog_value.h"

namespace vitrail::mysql {
namespace {

// --- bytes --------------------------------------------------------------------------------------------------------

std::string le(uint64_t value, size_t width) {
  std::string out;
  for (size_t i = 0; i < width; ++i, value >>= 8) out += static_cast<char>(value);
  return out;
}
std::string be(uint64_t value, size_t width) {
  const std::string out = le(value, width);
  return {out.rbegin(), out.rend()};
}
std::string hex(std::string_view digits) {
  std::string out;
  for (size_t i = 0; i + 1 < digits.size();) {
    if (digits[i] == ' ') {
      ++i;
      continue;
    }
    out += static_cast<char>(std::stoi(std::string(digits.substr(i, 2)), nullptr, 16));
    i += 2;
  }
  return out;
}
std::string short_text(std::string_view text) { return le(text.size(), 1) + std::string(text); }

// Builds events as a log would hold them, one behind the other.
class Log {
 public:
  explicit Log(bool checksums = true, std::string version = "8.0.36")
      : checksums_(checksums), version_(std::move(version)) {}

  std::string event(EventType type, const std::string& body, uint16_t flags = 0) {
    const bool format = type == EventType::kFormatDescription;
    const size_t size = kEventHeaderSize + body.size() + (checksums_ || format ? kChecksumSize : 0);
    position_ += size;
    std::string bytes = le(1'700'000'000, 4) + le(static_cast<uint8_t>(type), 1) + le(server_id, 4) + le(size, 4) +
                        le((flags & EventHeader::kFlagArtificial) != 0 ? 0 : position_, 4) + le(flags, 2) + body;
    if (checksums_ || format) bytes += le(event_crc32(as_bytes(bytes)), 4);
    return bytes;
  }
  std::string format() {
    std::string sizes(42, '\0');
    sizes[18] = 8;  // TABLE_MAP.
    for (const size_t type : {23, 24, 25}) sizes[type - 1] = 8;
    for (const size_t type : {30, 31, 32}) sizes[type - 1] = 10;
    std::string version = version_;
    version.resize(50);
    return event(EventType::kFormatDescription, le(4, 2) + version + le(0, 4) + le(19, 1) + sizes + le(checksums_, 1));
  }
  std::string query(std::string_view sql, std::string_view schema = "d", const std::string& status = "") {
    return event(EventType::kQuery, le(1, 4) + le(0, 4) + le(schema.size(), 1) + le(0, 2) + le(status.size(), 2) +
                                        status + std::string(schema) + '\0' + std::string(sql));
  }
  std::string xid() { return event(EventType::kXid, le(5, 8)); }
  std::string mysql_gtid(int64_t sequence) {
    return event(EventType::kGtid,
                 le(1, 1) + hex("00112233445566778899aabbccddeeff") + le(sequence, 8) + le(2, 1) + le(3, 8) + le(4, 8));
  }
  std::string mariadb_gtid(uint64_t sequence, uint8_t flags) {
    return event(EventType::kMariadbGtid, le(sequence, 8) + le(0, 4) + le(flags, 1) + std::string(6, '\0'));
  }
  // Table d.t(a INT, b VARCHAR(20)), without optional metadata unless given.
  std::string table(uint64_t id, const std::string& metadata = hex("01 01 00")) {
    return event(EventType::kTableMap, le(id, 6) + le(1, 2) + short_text("d") + '\0' + short_text("t") + '\0' +
                                           hex("02 03 0f 02 14 00 03") + metadata);
  }
  std::string insert(uint64_t id, uint32_t a, std::string_view b, uint16_t flags = 1) {
    return event(EventType::kWriteRowsV2,
                 le(id, 6) + le(flags, 2) + le(2, 2) + hex("02 03 00") + le(a, 4) + short_text(b));
  }

  uint32_t server_id = 7;
  uint64_t position_ = 4;

 private:
  bool checksums_;
  std::string version_;
};

Result<std::span<const BinlogItem>> feed(BinlogStreamParser& parser, const std::string& event) {
  static std::deque<std::string> alive;  // Items refer to the bytes.
  alive.push_back(event);
  return parser.feed(as_bytes(alive.back()));
}

// Names of the items that some events give; "error" at the first failure.
std::string kinds(BinlogStreamParser& parser, const std::vector<std::string>& events) {
  std::string text;
  for (const std::string& event : events) {
    const auto items = feed(parser, event);
    if (!items.ok()) return text + "error " + std::string(base::code_name(items.error().code()));
    for (const BinlogItem& item : *items) {
      static constexpr std::string_view kNames[] = {"begin",  "query",  "table",     "rows",  "annotation",
                                                    "commit", "rotate", "heartbeat", "gtids", "format"};
      text += std::string(kNames[item.what.index()]) + " ";
    }
  }
  if (!text.empty()) text.pop_back();
  return text;
}

// --- events -------------------------------------------------------------------------------------------------------

TEST(BinlogEvent, HeaderNamesTypeSizeAndPlace) {
  Log log;
  const std::string bytes = log.xid();
  const auto event = parse_event(as_bytes(bytes), ChecksumAlgorithm::kCrc32);
  ASSERT_TRUE(event.ok());
  EXPECT_EQ(event->header.type, EventType::kXid);
  EXPECT_EQ(event->header.server_id, 7u);
  EXPECT_EQ(event->header.timestamp, 1'700'000'000u);
  EXPECT_EQ(event->header.event_size, bytes.size());
  EXPECT_EQ(event->header.log_pos, 4 + bytes.size());
  EXPECT_EQ(*parse_xid(event->body), 5u);
}

TEST(BinlogEvent, RefusesWrongSizesAndChecksums) {
  Log log;
  std::string bytes = log.xid();
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(parse_event(as_bytes(bytes).first(size), ChecksumAlgorithm::kCrc32).ok()) << size;
  }
  EXPECT_FALSE(parse_event(as_bytes(bytes + "x"), ChecksumAlgorithm::kCrc32).ok());
  bytes[20] ^= 1;
  const auto event = parse_event(as_bytes(bytes), ChecksumAlgorithm::kCrc32);
  ASSERT_FALSE(event.ok());
  EXPECT_EQ(event.error().code(), Code::kDataLoss);
  // The size in a header cannot be less than the header.
  const std::string small = le(0, 4) + le(16, 1) + le(7, 4) + le(18, 4) + le(0, 4) + le(0, 2);
  EXPECT_FALSE(parse_event_header(as_bytes(small)).ok());
}

TEST(BinlogEvent, RecognizesAChecksumBeforeItKnowsOfOne) {
  const std::string rotate = le(4, 8) + "bin.000001";
  for (const bool checksums : {true, false}) {
    Log log(checksums);
    const std::string bytes = log.event(EventType::kRotate, rotate, EventHeader::kFlagArtificial);
    const auto event = parse_event(as_bytes(bytes), ChecksumAlgorithm::kUnknown);
    ASSERT_TRUE(event.ok());
    EXPECT_EQ(parse_rotate(event->body)->file, "bin.000001");
  }
}

TEST(BinlogEvent, FormatDescriptionTellsChecksumsAndSizes) {
  for (const bool checksums : {true, false}) {
    Log log(checksums, "10.11.6-MariaDB-log");
    const std::string bytes = log.format();
    const auto event = parse_event(as_bytes(bytes), ChecksumAlgorithm::kUnknown);
    ASSERT_TRUE(event.ok());
    const auto format = parse_format_description(event->body);
    ASSERT_TRUE(format.ok());
    EXPECT_EQ(format->checksum, checksums ? ChecksumAlgorithm::kCrc32 : ChecksumAlgorithm::kNone);
    EXPECT_EQ(format->server_version, "10.11.6-MariaDB-log");
    EXPECT_TRUE(format->mariadb());
    EXPECT_EQ(format->post_header_size(EventType::kTableMap, 0), 8);
    EXPECT_EQ(format->post_header_size(EventType::kMariadbWriteRowsCompressed, 10), 10);
  }
  // From before there were checksums.
  const std::string body = le(4, 2) + "5.5.60" + std::string(44, '\0') + le(0, 4) + le(19, 1) + std::string(27, '\1');
  EXPECT_EQ(parse_format_description(as_bytes(body))->checksum, ChecksumAlgorithm::kNone);
  EXPECT_EQ(parse_format_description(as_bytes(body))->post_header_sizes.size(), 27u);
}

TEST(BinlogEvent, MysqlGtidsCarryTheirServer) {
  Log log;
  const std::string bytes = log.mysql_gtid(12);
  const auto event = parse_event(as_bytes(bytes), ChecksumAlgorithm::kCrc32);
  const auto gtid = parse_gtid_event(*event);
  ASSERT_TRUE(gtid.ok());
  EXPECT_EQ(gtid->gtid->prefixed_string(), "MySQL56/00112233-4455-6677-8899-aabbccddeeff:12");
  EXPECT_EQ(gtid->last_committed, 3);
  EXPECT_EQ(gtid->commit_sequence, 4);
}

TEST(BinlogEvent, MariadbGtidsTellGroupsAndXa) {
  const auto parse = [](const std::string& body) {
    BinlogEvent event;
    event.header.type = EventType::kMariadbGtid;
    event.header.server_id = 3;
    static std::string alive;
    alive = body;
    event.body = as_bytes(alive);
    return parse_gtid_event(event);
  };
  const auto group =
      parse(le(5, 8) + le(2, 4) + le(GtidEvent::kGroupCommitId | GtidEvent::kTransactional, 1) + le(99, 8));
  ASSERT_TRUE(group.ok());
  EXPECT_EQ(group->gtid->to_string(), "2-3-5");
  EXPECT_EQ(group->commit_id, 99u);
  const auto xa = parse(le(5, 8) + le(0, 4) + le(GtidEvent::kPreparedXa, 1) + le(1, 4) + le(3, 1) + le(2, 1) + "abcde");
  ASSERT_TRUE(xa.ok());
  EXPECT_EQ(xa->xa->to_sql(), "X'616263',X'6465',1");
  const auto alter =
      parse(le(5, 8) + le(0, 4) + le(GtidEvent::kStandalone | GtidEvent::kDdl, 1) + le(4, 1) + le(34, 8));
  ASSERT_TRUE(alter.ok());
  EXPECT_EQ(alter->extra_flags, GtidEvent::kExtraCommitAlter);
  EXPECT_EQ(alter->start_alter_sequence, 34u);
  EXPECT_FALSE(parse(le(5, 8) + le(0, 4)).ok());
  EXPECT_FALSE(parse(le(5, 8) + le(0, 4) + le(GtidEvent::kGroupCommitId, 1) + le(1, 4)).ok());
  EXPECT_FALSE(
      parse(le(5, 8) + le(0, 4) + le(GtidEvent::kPreparedXa, 1) + le(1, 4) + le(9, 1) + le(2, 1) + "abcde").ok());
}

TEST(BinlogEvent, GtidListsAreTheStateBefore) {
  BinlogEvent event;
  event.header.type = EventType::kMariadbGtidList;
  const std::string list = le(0x1000'0003, 4) + le(0, 4) + le(1, 4) + le(4, 8) + le(0, 4) + le(2, 4) + le(9, 8) +  //
                           le(1, 4) + le(1, 4) + le(2, 8);
  event.body = as_bytes(list);
  EXPECT_EQ(parse_gtid_list(event)->prefixed_string(), "MariaDB/0-2-9,1-1-2");
  event.body = as_bytes(list).first(list.size() - 1);
  EXPECT_FALSE(parse_gtid_list(event).ok());
  event.header.type = EventType::kPreviousGtids;
  const auto set = MysqlGtidSet::parse("00112233-4455-6677-8899-aabbccddeeff:1-7");
  const std::vector<uint8_t> binary = set->to_binary();
  event.body = binary;
  EXPECT_EQ(parse_gtid_list(event)->to_string(), set->to_string());
}

TEST(BinlogEvent, QueriesTellSchemaModeAndCharset) {
  Log log;
  const std::string status =
      hex("00 00000000 01 0000205400000000 06 03 737464 04 2d00 2d00 0800 05 03 555443 0c 01 64");
  const std::string bytes = log.query("select 1", "shop", status);
  const auto event = parse_event(as_bytes(bytes), ChecksumAlgorithm::kCrc32);
  std::string scratch;
  const auto query = parse_query(*event, scratch);
  ASSERT_TRUE(query.ok());
  EXPECT_EQ(query->sql, "select 1");
  EXPECT_EQ(query->schema, "shop");
  EXPECT_EQ(query->sql_mode, 0x54200000u);
  EXPECT_EQ(query->charset_client, 45);
  EXPECT_EQ(query->collation_server, 8);
  EXPECT_EQ(query->time_zone, "UTC");
}

TEST(BinlogEvent, KnowsStatementsThatMarkTransactions) {
  EXPECT_EQ(query_role("BEGIN"), QueryRole::kBegin);
  EXPECT_EQ(query_role("COMMIT"), QueryRole::kCommit);
  EXPECT_EQ(query_role("commit"), QueryRole::kCommit);
  EXPECT_EQ(query_role("ROLLBACK"), QueryRole::kRollback);
  EXPECT_EQ(query_role("ROLLBACK /* added by mysqlbinlog */"), QueryRole::kRollback);
  EXPECT_EQ(query_role("SAVEPOINT `a`"), QueryRole::kSavepoint);
  EXPECT_EQ(query_role("ROLLBACK TO `a`"), QueryRole::kRollbackToSavepoint);
  EXPECT_EQ(query_role("XA START X'01',X'',1"), QueryRole::kXaStart);
  EXPECT_EQ(query_role("XA END X'01',X'',1"), QueryRole::kXaEnd);
  EXPECT_EQ(query_role("XA COMMIT X'01',X'',1"), QueryRole::kStatement);
  EXPECT_EQ(query_role("BEGIN NOT ATOMIC"), QueryRole::kStatement);
  EXPECT_EQ(query_role("create table t(a int)"), QueryRole::kStatement);
  EXPECT_EQ(query_role(""), QueryRole::kStatement);
}

TEST(BinlogEvent, InflatesOnlyWhatCanBe) {
  const std::string text(1000, 'x');
  uLongf size = compressBound(text.size());
  std::string packed(size, '\0');
  ASSERT_EQ(compress(reinterpret_cast<Bytef*>(packed.data()), &size, reinterpret_cast<const Bytef*>(text.data()),
                     text.size()),
            Z_OK);
  packed.resize(size);
  std::string out;
  ASSERT_TRUE(inflate_mariadb_event(as_bytes(hex("82") + be(1000, 2) + packed), out).ok());
  EXPECT_EQ(out, text);
  for (const std::string& bad :
       {std::string(), hex("82"), hex("82 03"), hex("82") + be(999, 2) + packed, hex("82") + be(1001, 2) + packed,
        hex("84") + be(0xffffffff, 4) + packed, hex("02") + be(1000, 2) + packed, hex("80") + packed,
        hex("82") + be(1000, 2) + packed.substr(0, size - 1)}) {
    EXPECT_FALSE(inflate_mariadb_event(as_bytes(bad), out).ok());
  }
  EXPECT_LT(out.capacity(), 100'000u);
  EXPECT_EQ(inflate_mariadb_event(as_bytes(hex("92") + be(1000, 2) + packed), out).error().code(),
            Code::kUnimplemented);
}

TEST(BinlogEvent, HeartbeatsNameThePlace) {
  BinlogEvent event;
  event.header.type = EventType::kHeartbeatV2;
  const std::string body = hex("01 03") + "a.1" + hex("02 05 fd 000010 00 00");
  event.body = as_bytes(body).first(body.size() - 1);
  const auto malformed = parse_heartbeat(event);
  const std::string good = hex("01 03") + "a.1" + hex("02 04 fd 000010 00");
  event.body = as_bytes(good);
  const auto heartbeat = parse_heartbeat(event);
  ASSERT_TRUE(heartbeat.ok());
  EXPECT_EQ(heartbeat->file, "a.1");
  EXPECT_EQ(heartbeat->offset, 0x100000u);
  EXPECT_TRUE(malformed.ok());  // A longer value than is needed is not an error.
  const std::string cut = hex("01 09") + "a.1";
  event.body = as_bytes(cut);
  EXPECT_FALSE(parse_heartbeat(event).ok());
}

// --- values -------------------------------------------------------------------------------------------------------

std::string text_of(char* (*write)(char*, double), double value) {
  char text[kFloatTextMax];
  char* end = write(text, value);
  return end == nullptr ? "none" : std::string(text, end);
}

TEST(BinlogValue, DoublesLookLikeTheServersOwn) {
  const std::pair<double, const char*> cases[] = {{0, "0"},
                                                  {-0.0, "-0"},
                                                  {1, "1"},
                                                  {-1.5, "-1.5"},
                                                  {1e14, "100000000000000"},
                                                  {1e15, "1e15"},
                                                  {1e-15, "0.000000000000001"},
                                                  {1e-16, "1e-16"},
                                                  {1.5e-16, "1.5e-16"},
                                                  {123456789012345.678, "123456789012345.67"},
                                                  {1234567890123456.75, "1234567890123456.8"},
                                                  {12345678901234567890.0, "1.2345678901234567e19"},
                                                  {1.7976931348623157e308, "1.7976931348623157e308"},
                                                  {5e-324, "5e-324"},
                                                  {-2.2250738585072014e-308, "-2.2250738585072014e-308"},
                                                  {INFINITY, "none"},
                                                  {NAN, "none"}};
  for (const auto& [value, text] : cases) EXPECT_EQ(text_of(write_double, value), text);
}

TEST(BinlogValue, RefusesDecimalsOutOfRange) {
  char text[kDecimalTextMax];
  // 9 digits in 4 bytes hold at most 999999999.
  const std::string good = be(999'999'999 | 0x8000'0000u, 4);
  EXPECT_EQ(std::string(text, write_decimal(text, as_bytes(good), 9, 0)), "999999999");
  const std::string bad = be(1'000'000'000 | 0x8000'0000u, 4);
  EXPECT_EQ(write_decimal(text, as_bytes(bad), 9, 0), nullptr);
  EXPECT_EQ(decimal_size(65, 30), 30u);
  EXPECT_EQ(decimal_size(14, 4), 7u);
}

TEST(BinlogValue, RefusesTimesOutOfRange) {
  char text[kTemporalTextMax];
  const auto time2 = [&](const std::string& bytes, unsigned digits) {
    BinlogReader in(as_bytes(bytes));
    char* end = write_time2(text, in, digits);
    return end == nullptr ? "none" : std::string(text, end);
  };
  EXPECT_EQ(time2(hex("800000"), 0), "00:00:00");
  EXPECT_EQ(time2(hex("7fffff f6"), 2), "-00:00:00.10");
  EXPECT_EQ(time2(hex("7fffff f6"), 1), "-00:00:00.1");
  EXPECT_EQ(time2(hex("800000 64"), 2), "none");      // 100 hundredths.
  EXPECT_EQ(time2(hex("800000 0f4240"), 6), "none");  // A million microseconds.
  const auto datetime2 = [&](const std::string& bytes, unsigned digits) {
    BinlogReader in(as_bytes(bytes));
    char* end = write_datetime2(text, in, digits);
    return end == nullptr ? "none" : std::string(text, end);
  };
  EXPECT_EQ(datetime2(hex("8000000000"), 0), "0000-00-00 00:00:00");
  EXPECT_EQ(datetime2(hex("7fffffffff"), 0), "none");
  EXPECT_EQ(datetime2(hex("ffffffffff"), 0), "none");
  EXPECT_EQ(write_date(text, 0xffffff), nullptr);
}

TEST(BinlogValue, TimestampsFollowTheCalendar) {
  char text[kTemporalTextMax];
  const auto at = [&](uint32_t seconds) {
    const std::string bytes = be(seconds, 4);
    BinlogReader in(as_bytes(bytes));
    return std::string(text, write_timestamp2(text, in, 0));
  };
  EXPECT_EQ(at(0), "0000-00-00 00:00:00");
  EXPECT_EQ(at(1), "1970-01-01 00:00:01");
  EXPECT_EQ(at(951'782'400), "2000-02-29 00:00:00");
  EXPECT_EQ(at(1'709'251'199), "2024-02-29 23:59:59");
  EXPECT_EQ(at(2'147'483'647), "2038-01-19 03:14:07");
  EXPECT_EQ(at(4'107'542'399), "2100-02-28 23:59:59");
  EXPECT_EQ(at(4'107'542'400), "2100-03-01 00:00:00");
  EXPECT_EQ(at(4'294'967'295), "2106-02-07 06:28:15");
}

// --- JSON ---------------------------------------------------------------------------------------------------------

std::string json(const std::string& bytes) {
  std::string out;
  const Status status = append_binary_json(as_bytes(bytes), out);
  return status.ok() ? out : "error";
}

TEST(BinaryJson, PrintsScalars) {
  EXPECT_EQ(json(""), "null");
  EXPECT_EQ(json(hex("04 00")), "null");
  EXPECT_EQ(json(hex("04 01")), "true");
  EXPECT_EQ(json(hex("04 02")), "false");
  EXPECT_EQ(json(hex("05 ffff")), "-1");
  EXPECT_EQ(json(hex("06 ffff")), "65535");
  EXPECT_EQ(json(hex("07 00000080")), "-2147483648");
  EXPECT_EQ(json(hex("08 ffffffff")), "4294967295");
  EXPECT_EQ(json(hex("09") + le(1ull << 63, 8)), "-9223372036854775808");
  EXPECT_EQ(json(hex("0a") + le(~0ull, 8)), "18446744073709551615");
  EXPECT_EQ(json(hex("0b") + le(std::bit_cast<uint64_t>(1.5), 8)), "1.5");
  EXPECT_EQ(json(hex("0b") + le(std::bit_cast<uint64_t>(3.0), 8)), "3.0");
  EXPECT_EQ(json(hex("0b") + le(std::bit_cast<uint64_t>(1e300), 8)), "1e300");
  EXPECT_EQ(json(hex("0c 06") + "a\"\\\n\x01/"), "\"a\\\"\\\\\\n\\u0001/\"");
  EXPECT_EQ(json(hex("0c 80 01") + std::string(128, 'x')), "\"" + std::string(128, 'x') + "\"");
}

TEST(BinaryJson, PrintsOpaqueValues) {
  EXPECT_EQ(json(hex("0f f6 04 04 02 8c 22")), "12.34");  // DECIMAL(4,2).
  const uint64_t day = (uint64_t{2024 * 13 + 2} << 5 | 29) << 17 | (12 << 12 | 34 << 6 | 56);
  EXPECT_EQ(json(hex("0f 0c 08") + le(day << 24 | 789, 8)), "\"2024-02-29 12:34:56.000789\"");
  EXPECT_EQ(json(hex("0f 0a 08") + le(day >> 17 << 41, 8)), "\"2024-02-29\"");
  EXPECT_EQ(json(hex("0f 0b 08") + le(-(static_cast<uint64_t>(1 << 12 | 2 << 6 | 3) << 24), 8)),
            "\"-01:02:03.000000\"");
  EXPECT_EQ(json(hex("0f fc 03") + "abc"), "\"base64:type252:YWJj\"");
  EXPECT_EQ(json(hex("0f fc 01") + "a"), "\"base64:type252:YQ==\"");
}

TEST(BinaryJson, PrintsNestedContainers) {
  // {"a": 1, "bc": [true, "x"]}: two keys, values of which the second is an array behind the keys.
  const std::string array = hex("0200 0c00 04 0100 0c 0a00") + hex("01") + "x";
  const std::string object =
      hex("00 0200") + le(0x15 + array.size(), 2) + hex("1200 0100 1300 0200 05 0100 02 1500") + "abc" + array;
  EXPECT_EQ(json(object), "{\"a\": 1, \"bc\": [true, \"x\"]}");
  EXPECT_EQ(json(hex("02 0000 0400")), "[]");
  EXPECT_EQ(json(hex("00 0000 0400")), "{}");
  // Large containers inline 4-byte numbers.
  EXPECT_EQ(json(hex("03 01000000 0d000000 07 ffffffff")), "[-1]");
  for (size_t size = 1; size < object.size(); ++size) EXPECT_EQ(json(object.substr(0, size)), "error") << size;
}

TEST(BinaryJson, RefusesDepthAndMultiplication) {
  // Each array holds two references to the next one: 2^n elements.
  const auto doubled = [](int levels) {
    std::string bytes = hex("02");
    for (int i = levels; i > 0; --i) bytes += le(2, 2) + le(i * 10 + 4, 2) + hex("02 0a00 02 0a00");
    return bytes + hex("0000 0400");
  };
  EXPECT_EQ(json(doubled(2)), "[[[], []], [[], []]]");
  EXPECT_EQ(json(doubled(40)), "error");
  std::string deep;
  for (int i = 0; i < 150; ++i) deep += le(1, 2) + le((150 - i) * 7 + 4, 2) + hex("02 0700");
  deep += le(0, 2) + le(4, 2);
  EXPECT_EQ(json(hex("02") + deep), "error");
  const std::string shallow = deep.substr(7 * 60);
  EXPECT_EQ(json(hex("02") + shallow).substr(0, 5), "[[[[[");
}

// --- table maps and rows ------------------------------------------------------------------------------------------

TEST(TableMapEvent, EveryCutIsNoticed) {
  const FormatDescription format;
  const std::string body = le(9, 6) + le(1, 2) + short_text("d") + '\0' + short_text("t") + '\0' +
                           hex("02 03 0f 02 14 00 03") + hex("01 01 80") + hex("04 04 01 61 01 62") + hex("08 01 00");
  const auto map = parse_table_map(as_bytes(body), format);
  ASSERT_TRUE(map.ok());
  EXPECT_EQ(map->table_id, 9u);
  EXPECT_EQ(map->columns[0].is_unsigned, true);
  EXPECT_EQ(map->columns[1].name, "b");
  EXPECT_EQ(map->columns[1].meta, 20);
  size_t whole = 0;
  for (size_t size = 0; size < body.size(); ++size) {
    if (parse_table_map(as_bytes(body).first(size), format).ok()) ++whole;
  }
  EXPECT_EQ(whole, 3u);  // Before each of the optional fields.
  std::string bad = body;
  bad[body.size() - 1] = 2;  // A primary key of column 2 of 0 and 1.
  EXPECT_FALSE(parse_table_map(as_bytes(bad), format).ok());
  // Fields of later servers are skipped.
  EXPECT_TRUE(parse_table_map(as_bytes(body + hex("63 02 0000")), format).ok());
}

TEST(RowColumnHint, ReadsColumnTypes) {
  const auto hint = [](std::string_view type) {
    auto parsed = RowColumnHint::from_column_type(type);
    EXPECT_TRUE(parsed.ok()) << type;
    return parsed.ok() ? *parsed : RowColumnHint();
  };
  EXPECT_EQ(hint("int(11)").is_unsigned, false);
  EXPECT_EQ(hint("bigint(20) unsigned").is_unsigned, true);
  EXPECT_EQ(hint("int").is_unsigned, false);
  EXPECT_EQ(hint("int(8) unsigned zerofill").zerofill_width, 8);
  EXPECT_EQ(hint("decimal(10,2) unsigned zerofill").zerofill_width, 11);
  EXPECT_EQ(hint("double(10,3)").float_digits, 3);
  EXPECT_EQ(hint("double").float_digits, std::nullopt);
  EXPECT_EQ(hint("time(3) /* mariadb-5.3 */").temporal_digits, 3);
  EXPECT_EQ(hint("datetime").temporal_digits, 0);
  EXPECT_EQ(hint("binary(16)").is_binary, true);
  EXPECT_EQ(hint("char(3)").is_binary, false);
  EXPECT_EQ(hint("UUID").special, RowColumnHint::Special::kUuid);
  EXPECT_EQ(hint("inet6").special, RowColumnHint::Special::kInet6);
  EXPECT_EQ(hint("point").is_unsigned, std::nullopt);
  EXPECT_EQ(hint("year(2)").two_digit_year, true);
  EXPECT_EQ(hint("enum('a','it''s','','b,)','x\\\\y')").members,
            (std::vector<std::string>{"a", "it's", "", "b,)", "x\\y"}));
  EXPECT_EQ(hint("varchar(20) /*M!100301 COMPRESSED*/").is_binary, false);
  for (const std::string_view bad : {"enum", "enum(", "enum('a'", "enum('a", "enum(a)", "int(11"}) {
    EXPECT_FALSE(RowColumnHint::from_column_type(bad).ok()) << bad;
  }
}

TEST(RowDecoder, RefusesHintsForAnotherTable) {
  const auto map = parse_table_map(
      as_bytes(le(9, 6) + le(1, 2) + short_text("d") + '\0' + short_text("t") + '\0' + hex("02 03 0f 02 14 00 03")),
      FormatDescription());
  ASSERT_TRUE(map.ok());
  const std::vector<RowColumnHint> one(1);
  EXPECT_EQ(RowDecoder::create(*map, one, {}).error().code(), Code::kFailedPrecondition);
  std::vector<RowColumnHint> two(2);
  const auto lacking = RowDecoder::create(*map, two, {});
  ASSERT_FALSE(lacking.ok());
  EXPECT_NE(lacking.error().message().find("column 1 of table d.t"), std::string::npos) << lacking.error().message();
  two[0].is_unsigned = true;
  EXPECT_TRUE(RowDecoder::create(*map, two, {}).ok());
}

TEST(RowDecoder, EveryCutOfARowIsNoticed) {
  const auto map = parse_table_map(as_bytes(le(9, 6) + le(1, 2) + short_text("d") + '\0' + short_text("t") + '\0' +
                                            hex("02 03 0f 02 14 00 03 01 01 00")),
                                   FormatDescription());
  const auto decoder = RowDecoder::create(*map, {}, {});
  ASSERT_TRUE(decoder.ok());
  const std::string present = hex("03");
  const std::string bytes = hex("00 05000000 02") + "xy" + hex("00 06000000 00");
  for (size_t size = 0; size <= bytes.size(); ++size) {
    RowsEvent event;
    event.column_count = 2;
    event.present_after = as_bytes(present);
    event.rows = as_bytes(bytes).first(size);
    RowsReader reader(*decoder, event);
    RowChange change;
    size_t rows = 0;
    Result<bool> more = true;
    while (more.ok() && *more) {
      more = reader.next(change);
      if (more.ok() && *more) ++rows;
    }
    EXPECT_EQ(more.ok(), size == 0 || size == 8 || size == bytes.size()) << size;
    EXPECT_EQ(rows, size < 8 ? 0u : size < bytes.size() ? 1u : 2u) << size;
    if (rows == 1) EXPECT_EQ(change.after.values().size(), 2u);
  }
}

TEST(RowDecoder, RowsOfNoColumnsDoNotLoop) {
  const auto map = parse_table_map(as_bytes(le(9, 6) + le(1, 2) + short_text("d") + '\0' + short_text("t") + '\0' +
                                            hex("02 03 0f 02 14 00 03 01 01 00")),
                                   FormatDescription());
  const auto decoder = RowDecoder::create(*map, {}, {});
  const std::string present = hex("00");
  const std::string rows = hex("00");
  RowsEvent event;
  event.column_count = 2;
  event.present_after = as_bytes(present);
  event.rows = as_bytes(rows);
  RowsReader reader(*decoder, event);
  RowChange change;
  EXPECT_FALSE(reader.next(change).ok());
}

TEST(RowDecoder, DecodesMysqlJsonColumns) {
  const auto map = parse_table_map(
      as_bytes(le(9, 6) + le(1, 2) + short_text("d") + '\0' + short_text("t") + '\0' + hex("01 f5 01 04 01")),
      FormatDescription());
  ASSERT_TRUE(map.ok());
  const auto decoder = RowDecoder::create(*map, {}, {});
  ASSERT_TRUE(decoder.ok());
  const std::string present = hex("01");
  const std::string rows = hex("00 03000000 05 2a00") + hex("01") + hex("00 00000000");
  RowsEvent event;
  event.column_count = 1;
  event.present_after = as_bytes(present);
  event.rows = as_bytes(rows);
  RowsReader reader(*decoder, event);
  RowChange change;
  ASSERT_TRUE(*reader.next(change));
  EXPECT_EQ(change.after[0].text, "42");
  ASSERT_TRUE(*reader.next(change));
  EXPECT_TRUE(change.after[0].null());
  ASSERT_TRUE(*reader.next(change));
  EXPECT_EQ(change.after[0].text, "null");
  EXPECT_FALSE(*reader.next(change));
}

// --- stream -------------------------------------------------------------------------------------------------------

TEST(BinlogStream, MysqlTransactionsBeginAndEnd) {
  Log log;
  BinlogStreamParser parser({});
  EXPECT_EQ(kinds(parser, {log.format()}), "format");
  EXPECT_EQ(kinds(parser, {log.mysql_gtid(1), log.query("BEGIN"), log.table(9), log.insert(9, 5, "x"), log.xid()}),
            "begin table rows commit");
  EXPECT_EQ(kinds(parser, {log.mysql_gtid(2), log.query("create table t(a int)")}), "begin query commit");
  EXPECT_EQ(kinds(parser, {log.mysql_gtid(3), log.query("BEGIN"), log.query("create table t(a int) START TRANSACTION"),
                           log.table(9), log.insert(9, 5, "x"), log.query("COMMIT")}),
            "begin query table rows commit");
  EXPECT_EQ(kinds(parser, {log.mysql_gtid(4), log.query("XA START X'01',X'',1"), log.table(9), log.insert(9, 1, ""),
                           log.query("XA END X'01',X'',1"),
                           log.event(EventType::kXaPrepare, hex("00 01000000 01000000 00000000 01")), log.mysql_gtid(5),
                           log.query("XA COMMIT X'01',X'',1")}),
            "begin table rows commit begin query commit");
  EXPECT_EQ(parser.position().prefixed_string(), "MySQL56/00112233-4455-6677-8899-aabbccddeeff:1-5");
  EXPECT_EQ(parser.place().offset, log.position_);
  EXPECT_FALSE(parser.in_transaction());
}

TEST(BinlogStream, RowsComeWithTheirTable) {
  Log log;
  BinlogStreamParser parser({});
  EXPECT_EQ(kinds(parser, {log.format(), log.mysql_gtid(1), log.query("BEGIN"), log.table(9)}), "format begin table");
  const auto items = feed(parser, log.insert(9, 5, "xy"));
  ASSERT_TRUE(items.ok());
  const auto* rows = (*items)[0].as<BinlogRows>();
  ASSERT_NE(rows, nullptr);
  EXPECT_EQ(rows->map->table, "t");
  EXPECT_TRUE(rows->rows.statement_end());
  const auto decoder = RowDecoder::create(*rows->map, {}, {});
  RowsReader reader(*decoder, rows->rows);
  RowChange change;
  ASSERT_TRUE(*reader.next(change));
  EXPECT_EQ(change.after[0].text, "5");
  EXPECT_EQ(change.after[1].text, "xy");
  EXPECT_TRUE(change.before.empty());
}

TEST(BinlogStream, SourcesWithoutGtidsHaveFilePositions) {
  Log log;
  BinlogStreamParser parser({});
  const std::string rotate = le(4, 8) + "bin.000042";
  EXPECT_EQ(kinds(parser, {log.event(EventType::kRotate, rotate, EventHeader::kFlagArtificial)}), "rotate");
  log.position_ = 4;
  EXPECT_EQ(kinds(parser, {log.format(), log.query("BEGIN"), log.table(9), log.insert(9, 5, "x"), log.xid()}),
            "format begin table rows commit");
  EXPECT_EQ(parser.position().prefixed_string(), "FilePos/bin.000042:" + std::to_string(log.position_));
  const auto before = parser.position();
  EXPECT_EQ(kinds(parser,
                  {log.event(EventType::kAnonymousGtid, le(0, 1) + std::string(24, '\0')), log.query("drop table t")}),
            "begin query commit");
  EXPECT_TRUE(*parser.position().at_least(before));
  EXPECT_NE(parser.position(), before);
}

TEST(BinlogStream, OffsetsGoBeyondFourGigabytes) {
  Log log;
  BinlogStreamParser parser({.start = {"bin.000001", 0xffff'fff0}, .checksum = ChecksumAlgorithm::kCrc32});
  log.position_ = 0xffff'fff0;
  EXPECT_EQ(kinds(parser, {log.query("BEGIN"), log.xid()}), "begin commit");
  EXPECT_GT(parser.place().offset, uint64_t{1} << 32);
  EXPECT_EQ(parser.place().offset, log.position_);
}

TEST(BinlogStream, ACrashOfTheSourceRollsBack) {
  Log log;
  BinlogStreamParser parser({});
  EXPECT_EQ(kinds(parser, {log.format(), log.mysql_gtid(1), log.query("BEGIN"), log.table(9)}), "format begin table");
  EXPECT_TRUE(parser.in_transaction());
  const auto items = feed(parser, log.format());
  ASSERT_TRUE(items.ok());
  ASSERT_EQ(items->size(), 2u);
  EXPECT_EQ((*items)[0].as<BinlogCommit>()->kind, CommitKind::kRollback);
  EXPECT_FALSE(parser.in_transaction());
  EXPECT_TRUE(parser.position().empty());
  // Its tables are gone, too.
  EXPECT_EQ(kinds(parser, {log.mysql_gtid(1), log.query("BEGIN"), log.insert(9, 1, "")}), "begin error DATA_LOSS");
}

TEST(BinlogStream, RefusesRowsThatBelongToNothing) {
  const auto after = [](const std::vector<std::function<std::string(Log&)>>& steps) {
    Log log;
    BinlogStreamParser parser({.tables_max = 2});
    std::vector<std::string> events{log.format()};
    for (const auto& step : steps) events.push_back(step(log));
    return kinds(parser, events);
  };
  const auto begin = [](Log& log) { return log.mariadb_gtid(1, GtidEvent::kTransactional); };
  const auto table = [](Log& log) { return log.table(9); };
  const auto rows = [](Log& log) { return log.insert(9, 1, ""); };
  EXPECT_EQ(after({rows}), "format error DATA_LOSS");
  EXPECT_EQ(after({table}), "format error DATA_LOSS");
  EXPECT_EQ(after({begin, rows}), "format begin error DATA_LOSS");
  EXPECT_EQ(after({begin, begin}), "format begin error DATA_LOSS");
  EXPECT_EQ(after({[](Log& log) { return log.xid(); }}), "format error DATA_LOSS");
  EXPECT_EQ(after({[](Log& log) { return log.query("COMMIT"); }}), "format error DATA_LOSS");
  EXPECT_EQ(after({begin, table, [](Log& log) { return log.xid(); },
                   [](Log& log) { return log.mariadb_gtid(2, GtidEvent::kTransactional); }, rows}),
            "format begin table commit begin error DATA_LOSS");
  EXPECT_EQ(after({begin, table, [](Log& log) { return log.table(10); }, [](Log& log) { return log.table(11); }}),
            "format begin table table error RESOURCE_EXHAUSTED");
  // The end of a statement whose rows were filtered out.
  EXPECT_EQ(after({begin,
                   [](Log& log) {
                     return log.event(EventType::kWriteRowsV2,
                                      le(RowsEvent::kDummyTableId, 6) + le(1, 2) + le(2, 2) + hex("00"));
                   }}),
            "format begin");
}

TEST(BinlogStream, NamesWhatItDoesNotRead) {
  const std::pair<EventType, Code> cases[] = {{EventType::kMariadbStartEncryption, Code::kUnimplemented},
                                              {EventType::kTransactionPayload, Code::kDataLoss},
                                              {EventType::kPartialUpdateRows, Code::kDataLoss},
                                              {EventType::kExecuteLoadQuery, Code::kFailedPrecondition},
                                              {EventType::kIncident, Code::kDataLoss},
                                              {static_cast<EventType>(99), Code::kUnimplemented}};
  for (const auto& [type, code] : cases) {
    Log log;
    BinlogStreamParser parser({.start = {"bin.000007", 4}});
    ASSERT_TRUE(feed(parser, log.format()).ok());
    const auto items = feed(parser, log.event(type, hex("0100 04") + "gone"));
    ASSERT_FALSE(items.ok()) << event_type_name(type);
    EXPECT_EQ(items.error().code(), code) << event_type_name(type);
    EXPECT_NE(items.error().message().find("bin.000007"), std::string::npos) << items.error().message();
  }
  Log log;
  BinlogStreamParser parser({});
  EXPECT_EQ(kinds(parser, {log.format(), log.event(static_cast<EventType>(99), "x", EventHeader::kFlagIgnorable),
                           log.event(EventType::kStop, ""), log.event(EventType::kViewChange, "x")}),
            "format");
}

TEST(BinlogStream, HeartbeatsDoNotMoveThePlace) {
  Log log;
  BinlogStreamParser parser({.start = {"bin.000001", 4}});
  ASSERT_TRUE(feed(parser, log.format()).ok());
  const uint64_t place = parser.place().offset;
  log.position_ = 5000;
  const auto items = feed(parser, log.event(EventType::kHeartbeat, "bin.000001"));
  ASSERT_TRUE(items.ok());
  EXPECT_EQ((*items)[0].as<BinlogHeartbeat>()->at.file, "bin.000001");
  EXPECT_GT((*items)[0].as<BinlogHeartbeat>()->at.offset, 5000u);
  EXPECT_EQ(parser.place().offset, place);
}

// --- commands -----------------------------------------------------------------------------------------------------

TEST(BinlogCommand, DumpsByFileOrGtid) {
  EXPECT_EQ(encode_binlog_dump({"bin.000003", 0x12345}, 0x0a0b0c0d, kDumpNonBlocking),
            hex("12 45230100 0100 0d0c0b0a") + "bin.000003");
  EXPECT_EQ(encode_binlog_dump({"", 0}, 1, 0), hex("12 04000000 0000 01000000"));
  const auto set = MysqlGtidSet::parse("00112233-4455-6677-8899-aabbccddeeff:1-5");
  EXPECT_EQ(encode_binlog_dump_gtid(*set, 1, 0),
            hex("1e 0400 01000000 00000000 0400000000000000 30000000 0100000000000000"
                "00112233445566778899aabbccddeeff 0100000000000000 0100000000000000 0600000000000000"));
}

TEST(BinlogCommand, RegistersAReader) {
  EXPECT_EQ(encode_register_slave({.server_id = 5, .host = "h", .user = "us", .password = "", .port = 3306}),
            hex("15 05000000 01 68 02 7573 00 ea0c 00000000 00000000"));
  EXPECT_EQ(encode_register_slave({.server_id = 5, .host = std::string(300, 'h')}).size(),
            1u + 4 + 1 + 60 + 1 + 1 + 2 + 8);
}

TEST(BinlogCommand, PreparesASession) {
  const auto sql =
      mariadb_dump_session(*Position::parse("MariaDB/0-1-5,1-1-7"), {.heartbeat = std::chrono::seconds(5)});
  ASSERT_TRUE(sql.ok());
  EXPECT_EQ(*sql, (std::vector<std::string>{"SET @master_binlog_checksum=@@global.binlog_checksum",
                                            "SET @master_heartbeat_period=5000000000",
                                            "SET @mariadb_slave_capability=4", "SET @slave_connect_state='0-1-5,1-1-7'",
                                            "SET @slave_gtid_strict_mode=1", "SET @slave_gtid_ignore_duplicates=0"}));
  EXPECT_EQ(mariadb_dump_session(*Position::parse("FilePos/b.1:4"), {})->size(), 3u);
  EXPECT_FALSE(mariadb_dump_session(*Position::parse("MySQL56/"), {}).ok());
  EXPECT_EQ(mysql_dump_session({}, true)[0], "SET @source_binlog_checksum=@@global.binlog_checksum");
}

}  // namespace
}  // namespace vitrail::mysql
