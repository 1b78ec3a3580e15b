#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "mysql/binlog_reader.h"
#include "mysql/gtid.h"

// Binary log events, version 4, of MariaDB 10.x/11.x and MySQL 5.6 to 8.4: everything but table maps and rows, which
// are in binlog_table_map.h and binlog_rows.h.
//
// An event is a header of 19 bytes, a body and, if the log has checksums, 4 bytes of CRC32. In a file the events follow
// 4 bytes of magic; in the answer to a dump command each is one packet, behind a byte 0.
//
// Sources: MySQL internals manual, chapters "Binary Log" and "Replication Protocol"; MariaDB knowledge base,
// "Replication Protocol" (one page for each event); and what a MariaDB 10.11 server writes, which the integration test
// reads back.
//
//   Ownership : parsed events refer to the bytes they were parsed from.
//   Errors    : kDataLoss for malformed bytes and checksum mismatches, kUnimplemented for what is known but not read.
//   Threads   : free functions and plain values.
namespace vitrail::mysql {

inline constexpr std::array<uint8_t, 4> kBinlogMagic{0xfe, 'b', 'i', 'n'};
inline constexpr size_t kEventHeaderSize = 19;
inline constexpr size_t kChecksumSize = 4;

enum class EventType : uint8_t {
  kUnknown = 0,
  kStartV3 = 1,
  kQuery = 2,
  kStop = 3,
  kRotate = 4,
  kIntvar = 5,
  kLoad = 6,
  kSlave = 7,
  kCreateFile = 8,
  kAppendBlock = 9,
  kExecLoad = 10,
  kDeleteFile = 11,
  kNewLoad = 12,
  kRand = 13,
  kUserVar = 14,
  kFormatDescription = 15,
  kXid = 16,
  kBeginLoadQuery = 17,
  kExecuteLoadQuery = 18,
  kTableMap = 19,
  kWriteRowsV1 = 23,
  kUpdateRowsV1 = 24,
  kDeleteRowsV1 = 25,
  kIncident = 26,
  kHeartbeat = 27,
  kIgnorable = 28,
  kRowsQuery = 29,
  kWriteRowsV2 = 30,
  kUpdateRowsV2 = 31,
  kDeleteRowsV2 = 32,
  kGtid = 33,
  kAnonymousGtid = 34,
  kPreviousGtids = 35,
  kTransactionContext = 36,
  kViewChange = 37,
  kXaPrepare = 38,
  kPartialUpdateRows = 39,
  kTransactionPayload = 40,
  kHeartbeatV2 = 41,
  kGtidTagged = 42,
  kMariadbAnnotateRows = 160,
  kMariadbBinlogCheckpoint = 161,
  kMariadbGtid = 162,
  kMariadbGtidList = 163,
  kMariadbStartEncryption = 164,
  kMariadbQueryCompressed = 165,
  kMariadbWriteRowsCompressedV1 = 166,
  kMariadbUpdateRowsCompressedV1 = 167,
  kMariadbDeleteRowsCompressedV1 = 168,
  kMariadbWriteRowsCompressed = 169,
  kMariadbUpdateRowsCompressed = 170,
  kMariadbDeleteRowsCompressed = 171,
};

// "TABLE_MAP", or "event type 99".
std::string event_type_name(EventType type);

struct EventHeader {
  static constexpr uint16_t kFlagInUse = 0x01;       // FORMAT_DESCRIPTION of a log that is open or was not closed.
  static constexpr uint16_t kFlagArtificial = 0x20;  // Made for the dump; not in the log.
  static constexpr uint16_t kFlagIgnorable = 0x80;   // A reader that does not know the type may skip it.

  uint32_t timestamp = 0;  // Seconds since 1970 at the origin; 0 in most artificial events.
  EventType type = EventType::kUnknown;
  uint32_t server_id = 0;   // Of the server the event comes from originally.
  uint32_t event_size = 0;  // Header, body and checksum.
  uint32_t log_pos = 0;     // Offset of the following event in the log, modulo 2^32; 0 in artificial events.
  uint16_t flags = 0;

  bool artificial() const { return (flags & kFlagArtificial) != 0; }
};

enum class ChecksumAlgorithm : uint8_t {
  kNone = 0,
  kCrc32 = 1,
  kUnknown = 255,  // Before a FORMAT_DESCRIPTION: a checksum is recognized by being right.
};

struct BinlogEvent {
  EventHeader header;
  BinlogBytes body;  // Without header and checksum.
};

// Only the header. kDataLoss when fewer than 19 bytes are there or the size it names is below 19.
Result<EventHeader> parse_event_header(BinlogBytes bytes);

// One whole event: checks that `bytes` has the size that the header names, verifies the checksum and strips it.
// A FORMAT_DESCRIPTION is checked by the algorithm it names itself.
Result<BinlogEvent> parse_event(BinlogBytes bytes, ChecksumAlgorithm checksum);

// The bytes of the next event of a log file, taken off `rest` (which begins behind the magic, and may end anywhere).
// An empty span when `rest` is empty; kDataLoss when the event is not complete.
Result<BinlogBytes> take_event(BinlogBytes& rest);

// The CRC32 of events (that of zlib).
uint32_t event_crc32(BinlogBytes bytes);

struct FormatDescription {
  uint16_t binlog_version = 4;
  std::string server_version;
  uint32_t created = 0;  // Seconds; not 0 in the first log after a server start, which ends an unfinished transaction.
  ChecksumAlgorithm checksum = ChecksumAlgorithm::kNone;
  std::vector<uint8_t> post_header_sizes;  // [type - 1].

  bool mariadb() const { return server_version.find("MariaDB") != std::string::npos; }
  // Bytes of the fixed part of an event type, `fallback` for types the server does not list.
  uint8_t post_header_size(EventType type, uint8_t fallback) const;
};
Result<FormatDescription> parse_format_description(BinlogBytes body);

struct RotateEvent {
  std::string_view file;
  uint64_t offset = 4;
};
Result<RotateEvent> parse_rotate(BinlogBytes body);

// An XA transaction id.
struct XaId {
  uint32_t format = 0;
  std::string_view gtrid;
  std::string_view bqual;
  // X'616263',X'646566',3: as in XA statements.
  std::string to_sql() const;
};

struct GtidEvent {
  // What a MariaDB GTID event says of the event group that it begins.
  static constexpr uint8_t kStandalone = 1;  // One statement without a COMMIT at its end.
  static constexpr uint8_t kGroupCommitId = 2;
  static constexpr uint8_t kTransactional = 4;  // May be rolled back: no changes of non-transactional tables in it.
  static constexpr uint8_t kAllowParallel = 8;
  static constexpr uint8_t kWaited = 16;
  static constexpr uint8_t kDdl = 32;
  static constexpr uint8_t kPreparedXa = 64;
  static constexpr uint8_t kCompletedXa = 128;
  // Two-phase ALTER (binlog_alter_two_phase=1): only the committed one has taken effect.
  static constexpr uint8_t kExtraStartAlter = 2;
  static constexpr uint8_t kExtraCommitAlter = 4;
  static constexpr uint8_t kExtraRollbackAlter = 8;

  std::optional<Gtid> gtid;  // None for ANONYMOUS_GTID.
  // MariaDB only.
  uint8_t flags = 0;
  uint8_t extra_flags = 0;
  uint64_t commit_id = 0;
  uint64_t start_alter_sequence = 0;  // With kExtraCommitAlter and kExtraRollbackAlter.
  std::optional<XaId> xa;
  // MySQL only: logical clock, 0 when absent.
  int64_t last_committed = 0;
  int64_t commit_sequence = 0;
};
// MariaDB's GTID (162), MySQL's GTID (33), ANONYMOUS_GTID (34) and GTID_TAGGED (42). MariaDB's carries the server in
// the event header.
Result<GtidEvent> parse_gtid_event(const BinlogEvent& event);

// MariaDB's GTID_LIST or MySQL's PREVIOUS_GTIDS: the transactions before this place of the log.
Result<Position> parse_gtid_list(const BinlogEvent& event);

struct QueryEvent {
  uint32_t thread_id = 0;
  uint32_t execution_seconds = 0;
  uint16_t error_code = 0;
  std::string_view schema;  // Default database.
  std::string_view sql;     // In the character set of the client, see charset_client.
  // From the status variables; a server writes those that matter to the statement.
  std::optional<uint64_t> sql_mode;
  std::optional<uint16_t> charset_client;  // Collation numbers.
  std::optional<uint16_t> collation_connection;
  std::optional<uint16_t> collation_server;
  std::string_view time_zone;
};
// QUERY and QUERY_COMPRESSED; `scratch` receives the text of the latter and must outlive the result.
Result<QueryEvent> parse_query(const BinlogEvent& event, std::string& scratch);

// What a QUERY event does to the transaction around it. Only the forms that servers write themselves are recognized.
enum class QueryRole : uint8_t {
  kStatement,
  kBegin,
  kCommit,
  kRollback,
  kSavepoint,
  kRollbackToSavepoint,
  kXaStart,
  kXaEnd,
};
QueryRole query_role(std::string_view sql);

// XID: the commit of a transaction.
Result<uint64_t> parse_xid(BinlogBytes body);

struct XaPrepareEvent {
  bool one_phase = false;  // The transaction commits here.
  XaId xid;
};
Result<XaPrepareEvent> parse_xa_prepare(BinlogBytes body);

struct HeartbeatEvent {
  std::string_view file;
  uint64_t offset = 0;
};
// HEARTBEAT and HEARTBEAT_V2.
Result<HeartbeatEvent> parse_heartbeat(const BinlogEvent& event);

// Statement text of MariaDB's ANNOTATE_ROWS or MySQL's ROWS_QUERY.
Result<std::string_view> parse_statement_text(const BinlogEvent& event);

// "incident 1: the message".
std::string describe_incident(BinlogBytes body);

// The events that a TRANSACTION_PAYLOAD holds, one behind the other and without checksums: in the event, or inflated
// into `out` (zstd).
//   kUnimplemented: another compression. kResourceExhausted: more than a reader should hold at once.
Result<BinlogBytes> unpack_transaction(BinlogBytes body, std::string& out);

// Inflates the tail of a MariaDB compressed event (a byte 1aaallll: algorithm and size of the length; the length, big
// endian; a zlib stream) into `out`. Refuses lengths that the input cannot inflate to, so memory stays below about
// 1,100 times the input.
Status inflate_mariadb_event(BinlogBytes packed, std::string& out);

}  // namespace vitrail::mysql
