// Binary log bytes of any kind: single events, streams of them with rows decoded, binary JSON, GTIDs and their sets.
//
// The first byte of the input chooses. Checksums are made right, for a fuzzer will not find them.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "mysql/binlog_json.h"
#include "mysql/binlog_rows.h"
#include "mysql/binlog_stream.h"

namespace {

using namespace vitrail::mysql;

void require(bool holds) {
  if (!holds) std::abort();
}

// What is parsed prints to what parses to the same.
void fuzz_gtid(std::string_view text) {
  if (const auto position = Position::parse(text); position.ok()) {
    const auto again = Position::parse(position->prefixed_string());
    require(again.ok() && *again == *position);
    require(*position->at_least(*position));
    Position merged = *again;
    require(merged.merge(*position).ok() && merged == *position);
    if (position->file_position() == nullptr) require(position->difference(*again)->empty() || !position->flavor());
    if (const auto* set = position->mysql()) require(*MysqlGtidSet::parse_binary(set->to_binary()) == *set);
  }
  if (const auto gtid = Gtid::parse(text); gtid.ok()) {
    require(*Gtid::parse(gtid->prefixed_string()) == *gtid);
    Position position;
    require(position.add(*gtid).ok() && *position.contains(*gtid));
  }
  if (const auto set = MysqlGtidSet::parse_binary(as_bytes(text)); set.ok()) {
    require(*MysqlGtidSet::parse(set->to_string()) == *set);
  }
  (void)RowColumnHint::from_column_type(text);
}

std::vector<RowColumnHint> hints_for(const TableMap& map, uint8_t choice) {
  std::vector<RowColumnHint> hints(map.columns.size());
  for (size_t i = 0; i < hints.size(); ++i) {
    const auto bits = static_cast<uint8_t>(choice + i);
    hints[i].is_unsigned = (bits & 1) != 0;
    hints[i].is_binary = (bits & 2) != 0;
    hints[i].temporal_digits = bits % 7;
    if ((bits & 4) != 0) hints[i].float_digits = bits % 31;
    if ((bits & 8) != 0) hints[i].zerofill_width = bits;
    hints[i].special = static_cast<RowColumnHint::Special>(bits >> 4 & 3);
    for (unsigned member = 0; member < bits % 9u; ++member) hints[i].members.push_back(std::string(member, 'm'));
  }
  return hints;
}

void decode_rows(const BinlogRows& item, uint8_t choice) {
  const auto hints = hints_for(*item.map, choice);
  for (const bool with_hints : {true, false}) {
    std::span<const RowColumnHint> given;
    if (with_hints) given = hints;
    const auto decoder = RowDecoder::create(*item.map, given, {.member_names = (choice & 1) != 0});
    if (!decoder.ok()) continue;
    RowsReader reader(*decoder, item.rows);
    RowChange change;
    size_t bytes = 0;
    for (;;) {
      const auto more = reader.next(change);
      if (!more.ok() || !*more) break;
      for (const RowImage* image : {&change.before, &change.after}) {
        for (const RowValue& value : image->values()) {
          for (const char c : value.text) bytes += static_cast<uint8_t>(c);  // Touches every byte.
        }
      }
    }
    require(bytes != SIZE_MAX);
  }
}

// (type, flags, size of the body, body)...
void fuzz_stream(BinlogBytes input) {
  BinlogReader in(input);
  const uint8_t choice = in.u8();
  BinlogStreamParser::Options options;
  options.start.file = "bin.000001";
  options.checksum = (choice & 2) != 0 ? ChecksumAlgorithm::kNone : ChecksumAlgorithm::kCrc32;
  options.tables_max = 4;
  BinlogStreamParser parser(options);
  ChecksumAlgorithm checksum = options.checksum;
  while (in.ok() && in.remaining() > 0) {
    const uint8_t type = in.u8();
    const uint8_t flags = in.u8();
    const uint16_t size = in.u16();
    const BinlogBytes body = in.bytes(std::min<size_t>(size, in.remaining()));
    const bool format = type == static_cast<uint8_t>(EventType::kFormatDescription);
    const bool has_checksum = format || checksum == ChecksumAlgorithm::kCrc32;
    std::vector<uint8_t> event;
    const auto put = [&](uint64_t value, size_t width) {
      for (size_t i = 0; i < width; ++i, value >>= 8) event.push_back(static_cast<uint8_t>(value));
    };
    put(1, 4);
    put(type, 1);
    put(7, 4);
    put(kEventHeaderSize + body.size() + (has_checksum ? kChecksumSize : 0), 4);
    put(flags, 4);
    put(flags, 2);
    event.insert(event.end(), body.begin(), body.end());
    if (has_checksum) put(event_crc32(event), 4);
    const auto items = parser.feed(event);
    if (!items.ok()) break;
    if (format) checksum = parser.format().checksum;
    for (const BinlogItem& item : *items) {
      if (const auto* rows = item.as<BinlogRows>()) decode_rows(*rows, choice);
      const auto* commit = item.as<BinlogCommit>();
      if (commit != nullptr && commit->gtid && commit->kind != CommitKind::kRollback) {
        require(*parser.position().contains(*commit->gtid));
      }
    }
  }
}

// A table map and the rows of one event, without the frame around them.
void fuzz_rows(BinlogBytes input) {
  BinlogReader in(input);
  const uint8_t choice = in.u8();
  const BinlogBytes map_bytes = in.bytes(std::min<size_t>(in.u8(), in.remaining()));
  auto map = parse_table_map(map_bytes, FormatDescription());
  if (!map.ok()) return;
  BinlogEvent event;
  static constexpr uint8_t kTypes[] = {23, 24, 25, 30, 31, 32, 166, 167, 168, 169, 170, 171};
  event.header.type = static_cast<EventType>(kTypes[choice % sizeof(kTypes)]);
  event.body = in.rest();
  std::string scratch;
  const auto rows = parse_rows_event(event, FormatDescription(), scratch);
  if (!rows.ok()) return;
  decode_rows({std::make_shared<const TableMap>(std::move(*map)), *rows}, choice);
}

void fuzz_events(BinlogBytes input) {
  BinlogBytes rest = input;
  for (;;) {
    const auto event = take_event(rest);
    if (!event.ok() || event->empty()) break;
    for (const auto checksum : {ChecksumAlgorithm::kNone, ChecksumAlgorithm::kCrc32, ChecksumAlgorithm::kUnknown}) {
      (void)parse_event(*event, checksum);
    }
  }
  BinlogEvent event;
  event.body = input;
  std::string scratch;
  for (const EventType type : {EventType::kMariadbGtid, EventType::kGtid, EventType::kAnonymousGtid}) {
    event.header.type = type;
    (void)parse_gtid_event(event);
  }
  for (const EventType type : {EventType::kMariadbGtidList, EventType::kPreviousGtids}) {
    event.header.type = type;
    (void)parse_gtid_list(event);
  }
  for (const EventType type : {EventType::kQuery, EventType::kMariadbQueryCompressed}) {
    event.header.type = type;
    (void)parse_query(event, scratch);
  }
  event.header.type = EventType::kHeartbeatV2;
  (void)parse_heartbeat(event);
  event.header.type = EventType::kRowsQuery;
  (void)parse_statement_text(event);
  (void)parse_format_description(input);
  (void)parse_rotate(input);
  (void)parse_xa_prepare(input);
  (void)describe_incident(input);
}

void fuzz_json(BinlogBytes input) {
  std::string out;
  if (append_binary_json(input, out).ok()) require(out.size() <= input.size() * 16 + 64);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const BinlogBytes input(data + 1, size - 1);
  switch (data[0] % 5) {
    case 0: fuzz_gtid(as_text(input)); break;
    case 1: fuzz_stream(input); break;
    case 2: fuzz_rows(input); break;
    case 3: fuzz_events(input); break;
    default: fuzz_json(input);
  }
  return 0;
}
