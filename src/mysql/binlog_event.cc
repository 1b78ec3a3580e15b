#include "mysql/binlog_event.h"

#include <fmt/core.h>
#include <zlib.h>

#include <algorithm>
#include <bit>

#include "mysql/binlog_compress.h"

namespace vitrail::mysql {
namespace {

Error malformed(std::string_view what) {
  return fail(Code::kDataLoss, fmt::format("malformed {} event in the binary log", what));
}

void append_hex(std::string& out, std::string_view bytes) {
  static constexpr char kHex[] = "0123456789abcdef";
  for (const char c : bytes) {
    out += kHex[static_cast<uint8_t>(c) >> 4];
    out += kHex[static_cast<uint8_t>(c) & 15];
  }
}

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) {
           return (x >= 'a' && x <= 'z' ? x - 32 : x) == (y >= 'a' && y <= 'z' ? y - 32 : y);
         });
}

bool starts_with_ignoring_case(std::string_view text, std::string_view prefix) {
  return text.size() >= prefix.size() && equals_ignoring_case(text.substr(0, prefix.size()), prefix);
}

// MySQL has checksums from 5.6.1 on, MariaDB from 5.3 on; both list them behind the post-header sizes.
bool version_has_checksums(std::string_view version) {
  unsigned parts[3] = {0, 0, 0};
  size_t part = 0;
  for (const char c : version) {
    if (c == '.' && part < 2) {
      ++part;
    } else if (c >= '0' && c <= '9' && parts[part] < 1000) {
      parts[part] = parts[part] * 10 + static_cast<unsigned>(c - '0');
    } else {
      break;
    }
  }
  const unsigned number = (parts[0] * 1000 + parts[1]) * 1000 + parts[2];
  return number >= (version.find("MariaDB") != std::string_view::npos ? 5'003'000u : 5'006'001u);
}

constexpr size_t kServerVersionSize = 50;
constexpr size_t kFormatFixedSize = 2 + kServerVersionSize + 4 + 1;

// Whether a FORMAT_DESCRIPTION body ends with the algorithm byte and room for a checksum.
bool format_has_checksum_field(BinlogBytes body_and_checksum) {
  if (body_and_checksum.size() < kFormatFixedSize + 1 + kChecksumSize) return false;
  std::string_view version = as_text(body_and_checksum.subspan(2, kServerVersionSize));
  version = version.substr(0, version.find('\0'));
  return version_has_checksums(version);
}

}  // namespace

std::string event_type_name(EventType type) {
  switch (type) {
    case EventType::kQuery: return "QUERY";
    case EventType::kStop: return "STOP";
    case EventType::kRotate: return "ROTATE";
    case EventType::kIntvar: return "INTVAR";
    case EventType::kRand: return "RAND";
    case EventType::kUserVar: return "USER_VAR";
    case EventType::kFormatDescription: return "FORMAT_DESCRIPTION";
    case EventType::kXid: return "XID";
    case EventType::kAppendBlock: return "APPEND_BLOCK";
    case EventType::kDeleteFile: return "DELETE_FILE";
    case EventType::kBeginLoadQuery: return "BEGIN_LOAD_QUERY";
    case EventType::kExecuteLoadQuery: return "EXECUTE_LOAD_QUERY";
    case EventType::kTableMap: return "TABLE_MAP";
    case EventType::kWriteRowsV1: return "WRITE_ROWS_V1";
    case EventType::kUpdateRowsV1: return "UPDATE_ROWS_V1";
    case EventType::kDeleteRowsV1: return "DELETE_ROWS_V1";
    case EventType::kIncident: return "INCIDENT";
    case EventType::kHeartbeat: return "HEARTBEAT";
    case EventType::kIgnorable: return "IGNORABLE";
    case EventType::kRowsQuery: return "ROWS_QUERY";
    case EventType::kWriteRowsV2: return "WRITE_ROWS";
    case EventType::kUpdateRowsV2: return "UPDATE_ROWS";
    case EventType::kDeleteRowsV2: return "DELETE_ROWS";
    case EventType::kGtid: return "GTID";
    case EventType::kAnonymousGtid: return "ANONYMOUS_GTID";
    case EventType::kPreviousGtids: return "PREVIOUS_GTIDS";
    case EventType::kTransactionContext: return "TRANSACTION_CONTEXT";
    case EventType::kViewChange: return "VIEW_CHANGE";
    case EventType::kXaPrepare: return "XA_PREPARE";
    case EventType::kPartialUpdateRows: return "PARTIAL_UPDATE_ROWS";
    case EventType::kTransactionPayload: return "TRANSACTION_PAYLOAD";
    case EventType::kHeartbeatV2: return "HEARTBEAT_V2";
    case EventType::kGtidTagged: return "GTID_TAGGED";
    case EventType::kMariadbAnnotateRows: return "ANNOTATE_ROWS";
    case EventType::kMariadbBinlogCheckpoint: return "BINLOG_CHECKPOINT";
    case EventType::kMariadbGtid: return "GTID";
    case EventType::kMariadbGtidList: return "GTID_LIST";
    case EventType::kMariadbStartEncryption: return "START_ENCRYPTION";
    case EventType::kMariadbQueryCompressed: return "QUERY_COMPRESSED";
    case EventType::kMariadbWriteRowsCompressedV1: return "WRITE_ROWS_COMPRESSED_V1";
    case EventType::kMariadbUpdateRowsCompressedV1: return "UPDATE_ROWS_COMPRESSED_V1";
    case EventType::kMariadbDeleteRowsCompressedV1: return "DELETE_ROWS_COMPRESSED_V1";
    case EventType::kMariadbWriteRowsCompressed: return "WRITE_ROWS_COMPRESSED";
    case EventType::kMariadbUpdateRowsCompressed: return "UPDATE_ROWS_COMPRESSED";
    case EventType::kMariadbDeleteRowsCompressed: return "DELETE_ROWS_COMPRESSED";
    default: return fmt::format("event type {}", static_cast<unsigned>(type));
  }
}

uint32_t event_crc32(BinlogBytes bytes) {
  return static_cast<uint32_t>(crc32_z(crc32_z(0, nullptr, 0), bytes.data(), bytes.size()));
}

Result<EventHeader> parse_event_header(BinlogBytes bytes) {
  BinlogReader in(bytes);
  EventHeader header;
  header.timestamp = in.u32();
  header.type = static_cast<EventType>(in.u8());
  header.server_id = in.u32();
  header.event_size = in.u32();
  header.log_pos = in.u32();
  header.flags = in.u16();
  if (!in.ok()) return fail(Code::kDataLoss, "a binary log event is shorter than its header");
  if (header.event_size < kEventHeaderSize) {
    return fail(Code::kDataLoss, fmt::format("a binary log event names its size as {}", header.event_size));
  }
  return header;
}

Result<BinlogEvent> parse_event(BinlogBytes bytes, ChecksumAlgorithm checksum) {
  ASSIGN_OR_RETURN(const EventHeader header, parse_event_header(bytes));
  if (header.event_size != bytes.size()) {
    return fail(Code::kDataLoss, fmt::format("{} event names its size as {} but has {} bytes",
                                             event_type_name(header.type), header.event_size, bytes.size()));
  }
  BinlogBytes body = bytes.subspan(kEventHeaderSize);
  if (header.type == EventType::kFormatDescription) {
    checksum = ChecksumAlgorithm::kNone;
    if (format_has_checksum_field(body)) {
      const uint8_t named = body[body.size() - kChecksumSize - 1];
      if (named > 1) return fail(Code::kUnimplemented, fmt::format("unknown binary log checksum algorithm {}", named));
      checksum = static_cast<ChecksumAlgorithm>(named);
      // The room for the checksum is there even when checksums are off.
      if (checksum == ChecksumAlgorithm::kNone) return BinlogEvent{header, body.first(body.size() - kChecksumSize)};
    }
  }
  if (checksum == ChecksumAlgorithm::kNone) return BinlogEvent{header, body};
  const auto wrong = [&](std::string_view how) {
    return fail(Code::kDataLoss,
                fmt::format("{} event before position {} {}", event_type_name(header.type), header.log_pos, how));
  };
  if (body.size() < kChecksumSize) {
    if (checksum == ChecksumAlgorithm::kUnknown) return BinlogEvent{header, body};
    return wrong("has no room for its checksum");
  }
  const BinlogBytes covered = bytes.first(bytes.size() - kChecksumSize);
  const uint32_t stored = BinlogReader(bytes.last(kChecksumSize)).u32();
  uint32_t computed = 0;
  if (header.type == EventType::kFormatDescription && (header.flags & EventHeader::kFlagInUse) != 0) {
    // The flag is set and cleared in place while the log is open; the checksum is that of the closed log.
    constexpr size_t kFlagsAt = 17;
    uint8_t flags[2] = {static_cast<uint8_t>(covered[kFlagsAt] & ~EventHeader::kFlagInUse), covered[kFlagsAt + 1]};
    uLong crc = crc32_z(crc32_z(0, nullptr, 0), covered.data(), kFlagsAt);
    crc = crc32_z(crc, flags, 2);
    computed =
        static_cast<uint32_t>(crc32_z(crc, covered.data() + kEventHeaderSize, covered.size() - kEventHeaderSize));
  } else {
    computed = event_crc32(covered);
  }
  if (stored != computed) {
    if (checksum == ChecksumAlgorithm::kUnknown) return BinlogEvent{header, body};
    return wrong("has a wrong checksum");
  }
  return BinlogEvent{header, body.first(body.size() - kChecksumSize)};
}

Result<BinlogBytes> take_event(BinlogBytes& rest) {
  if (rest.empty()) return BinlogBytes{};
  ASSIGN_OR_RETURN(const EventHeader header, parse_event_header(rest));
  if (header.event_size > rest.size()) {
    return fail(Code::kDataLoss, fmt::format("the binary log ends inside a {} event", event_type_name(header.type)));
  }
  const BinlogBytes event = rest.first(header.event_size);
  rest = rest.subspan(header.event_size);
  return event;
}

uint8_t FormatDescription::post_header_size(EventType type, uint8_t fallback) const {
  const size_t index = static_cast<size_t>(type);
  return index == 0 || index > post_header_sizes.size() ? fallback : post_header_sizes[index - 1];
}

Result<FormatDescription> parse_format_description(BinlogBytes body) {
  FormatDescription format;
  BinlogReader in(body);
  format.binlog_version = in.u16();
  const std::string_view version = in.text(kServerVersionSize);
  format.server_version = version.substr(0, version.find('\0'));
  format.created = in.u32();
  const uint8_t header_size = in.u8();
  if (!in.ok()) return malformed("FORMAT_DESCRIPTION");
  if (format.binlog_version != 4 || header_size != kEventHeaderSize) {
    return fail(Code::kUnimplemented,
                fmt::format("binary log version {} with event headers of {} bytes is not supported",
                            format.binlog_version, header_size));
  }
  BinlogBytes sizes = in.rest();
  if (version_has_checksums(format.server_version)) {
    if (sizes.empty()) return malformed("FORMAT_DESCRIPTION");
    const uint8_t named = sizes.back();
    if (named > 1) return fail(Code::kUnimplemented, fmt::format("unknown binary log checksum algorithm {}", named));
    format.checksum = static_cast<ChecksumAlgorithm>(named);
    sizes = sizes.first(sizes.size() - 1);
  }
  if (sizes.size() > 255) return malformed("FORMAT_DESCRIPTION");
  format.post_header_sizes.assign(sizes.begin(), sizes.end());
  return format;
}

Result<RotateEvent> parse_rotate(BinlogBytes body) {
  BinlogReader in(body);
  RotateEvent rotate;
  rotate.offset = in.u64();
  rotate.file = as_text(in.rest());
  constexpr size_t kFileNameMax = 512;
  if (!in.ok() || rotate.file.empty() || rotate.file.size() > kFileNameMax) return malformed("ROTATE");
  return rotate;
}

std::string XaId::to_sql() const {
  std::string text = "X'";
  append_hex(text, gtrid);
  text += "',X'";
  append_hex(text, bqual);
  text += fmt::format("',{}", format);
  return text;
}

namespace {

// Whole numbers of MySQL's later events: as many bytes follow the first as that has ones at its lower end.
uint64_t variable_number(BinlogReader& in) {
  const uint8_t first = in.u8();
  const auto more = static_cast<size_t>(std::countr_one(first));
  const uint64_t high = in.little_endian(more);
  if (more >= 7) return high;
  return high << (7 - more) | first >> (more + 1);
}
int64_t variable_signed_number(BinlogReader& in) {
  const uint64_t number = variable_number(in);
  return (number & 1) != 0 ? static_cast<int64_t>(~(number >> 1)) : static_cast<int64_t>(number >> 1);
}

// A message of numbered fields, which may end with ones of later servers.
Result<GtidEvent> parse_tagged_gtid_event(BinlogBytes body) {
  enum : uint64_t { kFlags, kUuid, kSequence, kTag, kLastCommitted, kCommitSequence };
  constexpr uint64_t kVersion = 1;
  BinlogReader in(body);
  GtidEvent out;
  MysqlGtid gtid;
  if (variable_number(in) != kVersion) return fail(Code::kUnimplemented, "GTID event of an unknown version");
  if (variable_number(in) != body.size()) return malformed("GTID");
  variable_number(in);  // The last field that a reader must know.
  bool known = true;
  while (known && in.remaining() > 0) {
    switch (variable_number(in)) {
      case kFlags: variable_number(in); break;
      case kUuid:
        for (uint8_t& byte : gtid.server.bytes) byte = static_cast<uint8_t>(variable_number(in));
        break;
      case kSequence: gtid.sequence = variable_signed_number(in); break;
      case kTag: gtid.tag = in.text(variable_number(in)); break;
      case kLastCommitted: out.last_committed = variable_signed_number(in); break;
      case kCommitSequence: out.commit_sequence = variable_signed_number(in); break;
      default: known = false;
    }
  }
  if (!in.ok() || gtid.sequence < 1 || gtid.sequence == INT64_MAX || gtid.tag.size() > 32) return malformed("GTID");
  out.gtid = std::move(gtid);
  return out;
}

}  // namespace

Result<GtidEvent> parse_gtid_event(const BinlogEvent& event) {
  if (event.header.type == EventType::kGtidTagged) return parse_tagged_gtid_event(event.body);
  GtidEvent out;
  BinlogReader in(event.body);
  if (event.header.type == EventType::kMariadbGtid) {
    MariadbGtid gtid;
    gtid.sequence = in.u64();
    gtid.domain = in.u32();
    gtid.server = event.header.server_id;
    out.flags = in.u8();
    if (!in.ok()) return malformed("GTID");
    out.gtid = gtid;
    if ((out.flags & GtidEvent::kGroupCommitId) != 0) out.commit_id = in.u64();
    if ((out.flags & (GtidEvent::kPreparedXa | GtidEvent::kCompletedXa)) != 0) {
      XaId xa;
      xa.format = in.u32();
      const uint8_t gtrid = in.u8();
      const uint8_t bqual = in.u8();
      xa.gtrid = in.text(gtrid);
      xa.bqual = in.text(bqual);
      out.xa = xa;
    }
    if (in.remaining() > 0) {
      constexpr uint8_t kExtraMultiEngine = 1;
      out.extra_flags = in.u8();
      if ((out.extra_flags & kExtraMultiEngine) != 0) in.skip(1);
      if ((out.extra_flags & (GtidEvent::kExtraCommitAlter | GtidEvent::kExtraRollbackAlter)) != 0) {
        out.start_alter_sequence = in.u64();
      }
    }
    if (!in.ok()) return malformed("GTID");
    return out;
  }
  in.skip(1);  // Flags: may contain statement-based changes.
  MysqlGtid gtid;
  const BinlogBytes uuid = in.bytes(16);
  gtid.sequence = static_cast<int64_t>(in.u64());
  if (!in.ok()) return malformed("GTID");
  std::copy(uuid.begin(), uuid.end(), gtid.server.bytes.begin());
  if (event.header.type == EventType::kGtid) {
    if (gtid.sequence < 1 || gtid.sequence == INT64_MAX) return malformed("GTID");
    out.gtid = gtid;
  }
  constexpr uint8_t kLogicalClock = 2;
  if (in.remaining() >= 17 && in.u8() == kLogicalClock) {
    out.last_committed = static_cast<int64_t>(in.u64());
    out.commit_sequence = static_cast<int64_t>(in.u64());
  }
  return out;
}

Result<Position> parse_gtid_list(const BinlogEvent& event) {
  if (event.header.type == EventType::kPreviousGtids) {
    ASSIGN_OR_RETURN(MysqlGtidSet set, MysqlGtidSet::parse_binary(event.body));
    return Position(std::move(set));
  }
  BinlogReader in(event.body);
  MariadbGtidSet set;
  uint32_t count = in.u32() & 0x0fff'ffff;  // The top bits are flags for replicas.
  if (count > in.remaining() / 16) return malformed("GTID_LIST");
  for (; count > 0; --count) {
    MariadbGtid gtid;
    gtid.domain = in.u32();
    gtid.server = in.u32();
    gtid.sequence = in.u64();
    set.add(gtid);  // A log lists every server of a domain, the last writer at the end.
  }
  if (!in.ok()) return malformed("GTID_LIST");
  return Position(std::move(set));
}

namespace {

// Status variables are (code, value) pairs. The size of an unknown one is unknown, so reading stops there; servers
// write the ones that were added later at the end.
bool parse_status_variables(BinlogBytes bytes, QueryEvent& query) {
  BinlogReader in(bytes);
  while (in.remaining() > 0) {
    switch (in.u8()) {
      case 0: in.skip(4); break;  // Session flags.
      case 1: query.sql_mode = in.u64(); break;
      case 2: in.skip(in.u8() + uint64_t{1}); break;  // Catalog with a NUL.
      case 3: in.skip(4); break;                      // auto_increment_increment and _offset.
      case 4:
        query.charset_client = in.u16();
        query.collation_connection = in.u16();
        query.collation_server = in.u16();
        break;
      case 5: query.time_zone = in.text(in.u8()); break;
      case 6: in.skip(in.u8()); break;  // Catalog.
      case 7: in.skip(2); break;        // lc_time_names.
      case 8: in.skip(2); break;        // Collation of the database.
      case 9: in.skip(8); break;        // Tables for multi-table update.
      case 10: in.skip(4); break;       // Bytes written.
      case 11:                          // Invoker: user and host.
        in.skip(in.u8());
        in.skip(in.u8());
        break;
      case 128: in.skip(3); break;  // MariaDB: microseconds of the start.
      case 129: in.skip(8); break;  // MariaDB: xid of a DDL statement.
      default: return in.ok();
    }
  }
  return in.ok();
}

}  // namespace

Result<QueryEvent> parse_query(const BinlogEvent& event, std::string& scratch) {
  QueryEvent query;
  BinlogReader in(event.body);
  query.thread_id = in.u32();
  query.execution_seconds = in.u32();
  const uint8_t schema_size = in.u8();
  query.error_code = in.u16();
  const uint16_t status_size = in.u16();
  const BinlogBytes status = in.bytes(status_size);
  query.schema = in.text(schema_size);
  in.skip(1);
  if (!in.ok() || !parse_status_variables(status, query)) return malformed("QUERY");
  query.sql = as_text(in.rest());
  if (event.header.type == EventType::kMariadbQueryCompressed) {
    RETURN_IF_ERROR(inflate_mariadb_event(in.rest(), scratch));
    query.sql = scratch;
  }
  return query;
}

QueryRole query_role(std::string_view sql) {
  if (equals_ignoring_case(sql, "BEGIN") || equals_ignoring_case(sql, "START TRANSACTION")) return QueryRole::kBegin;
  if (equals_ignoring_case(sql, "COMMIT")) return QueryRole::kCommit;
  // mysqlbinlog-style and server-made rollbacks may carry a comment.
  if (equals_ignoring_case(sql, "ROLLBACK") || starts_with_ignoring_case(sql, "ROLLBACK /*"))
    return QueryRole::kRollback;
  if (starts_with_ignoring_case(sql, "SAVEPOINT ")) return QueryRole::kSavepoint;
  if (starts_with_ignoring_case(sql, "ROLLBACK TO ")) return QueryRole::kRollbackToSavepoint;
  if (starts_with_ignoring_case(sql, "XA START ") || starts_with_ignoring_case(sql, "XA BEGIN ")) {
    return QueryRole::kXaStart;
  }
  if (starts_with_ignoring_case(sql, "XA END ")) return QueryRole::kXaEnd;
  return QueryRole::kStatement;
}

Result<uint64_t> parse_xid(BinlogBytes body) {
  if (body.size() < 8) return malformed("XID");
  return BinlogReader(body).u64();
}

Result<XaPrepareEvent> parse_xa_prepare(BinlogBytes body) {
  XaPrepareEvent event;
  BinlogReader in(body);
  event.one_phase = in.u8() != 0;
  event.xid.format = in.u32();
  const uint32_t gtrid = in.u32();
  const uint32_t bqual = in.u32();
  event.xid.gtrid = in.text(gtrid);
  event.xid.bqual = in.text(bqual);
  if (!in.ok() || gtrid > 64 || bqual > 64) return malformed("XA_PREPARE");
  return event;
}

Result<HeartbeatEvent> parse_heartbeat(const BinlogEvent& event) {
  HeartbeatEvent heartbeat;
  if (event.header.type == EventType::kHeartbeat) {
    heartbeat.file = as_text(event.body);
    heartbeat.offset = event.header.log_pos;
    return heartbeat;
  }
  // (type, length, value) fields up to type 0.
  BinlogReader in(event.body);
  while (in.remaining() > 0) {
    const uint64_t type = in.lenenc();
    if (type == 0) break;
    BinlogReader value(in.bytes(in.lenenc()));
    if (type == 1) heartbeat.file = as_text(value.rest());
    if (type == 2) heartbeat.offset = value.lenenc();
    if (!value.ok()) return malformed("HEARTBEAT_V2");
  }
  if (!in.ok()) return malformed("HEARTBEAT_V2");
  return heartbeat;
}

Result<std::string_view> parse_statement_text(const BinlogEvent& event) {
  if (event.header.type == EventType::kMariadbAnnotateRows) return as_text(event.body);
  // ROWS_QUERY begins with one byte of a length that is too small for long texts and therefore ignored.
  if (event.body.empty()) return malformed("ROWS_QUERY");
  return as_text(event.body.subspan(1));
}

std::string describe_incident(BinlogBytes body) {
  BinlogReader in(body);
  const uint16_t number = in.u16();
  const std::string_view message = in.text(in.u8());
  return fmt::format("incident {}: {}", number, in.ok() ? message : "no message");
}

Result<BinlogBytes> unpack_transaction(BinlogBytes body, std::string& out) {
  enum : uint64_t { kEnd, kPackedSize, kCompression, kSize };
  constexpr uint64_t kZstd = 0;
  constexpr uint64_t kNone = 255;
  constexpr uint64_t kSizeMax = uint64_t{1} << 30;
  BinlogReader in(body);
  std::optional<uint64_t> packed_size;
  uint64_t compression = kNone;
  uint64_t size = 0;
  for (;;) {
    const uint64_t field = in.lenenc();
    if (field == kEnd || !in.ok()) break;
    BinlogReader value(in.bytes(in.lenenc()));
    if (field == kPackedSize) packed_size = value.lenenc();
    // The number 255 is written as one byte that elsewhere is no number.
    if (field == kCompression) compression = value.remaining() == 1 ? value.u8() : value.lenenc();
    if (field == kSize) size = value.lenenc();
    if (!value.ok()) return malformed("TRANSACTION_PAYLOAD");
  }
  const BinlogBytes packed = in.rest();
  if (!in.ok() || packed_size.value_or(packed.size()) != packed.size()) return malformed("TRANSACTION_PAYLOAD");
  if (compression == kNone) return packed;
  if (compression != kZstd) {
    return fail(Code::kUnimplemented,
                fmt::format("transactions compressed by method {} are not supported", compression));
  }
  if (size > kSizeMax) {
    return fail(
        Code::kResourceExhausted,
        fmt::format("a compressed transaction of {} bytes is too large; set binlog_transaction_compression=OFF", size));
  }
  RETURN_IF_ERROR(inflate_zstd(packed, size, out));
  return as_bytes(out);
}

Status inflate_mariadb_event(BinlogBytes packed, std::string& out) {
  BinlogReader in(packed);
  const uint8_t head = in.u8();
  const uint8_t algorithm = head >> 4 & 7;
  const uint8_t length_size = head & 15;
  if (!in.ok() || (head & 0x80) == 0 || length_size < 1 || length_size > 4) return malformed("compressed");
  if (algorithm != 0) {
    return fail(Code::kUnimplemented, fmt::format("unknown compression {} of a binary log event", algorithm));
  }
  const uint64_t size = in.big_endian(length_size);
  if (!in.ok()) return malformed("compressed");
  return inflate_exactly(in.rest(), size, false, out);
}

}  // namespace vitrail::mysql
