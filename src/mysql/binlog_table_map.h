#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "mysql/binlog_event.h"
#include "mysql/protocol.h"

// TABLE_MAP events: which table, and the storage types of its columns, the rows events that follow are about.
//
// With binlog_row_metadata=FULL (MariaDB from 10.5, MySQL from 8.0) the event also names columns, primary key, enum and
// set members. With MINIMAL or NO_LOG a reader needs the schema from elsewhere: see RowColumnHint in binlog_rows.h.
//
// Sources: MariaDB knowledge base, "TABLE_MAP_EVENT"; MySQL source documentation of class Table_map_event.
namespace vitrail::mysql {

// Type codes in TABLE_MAP events; a superset of those of the client protocol.
enum class BinlogType : uint8_t {
  kDecimalOld = 0,
  kTiny = 1,
  kShort = 2,
  kLong = 3,
  kFloat = 4,
  kDouble = 5,
  kNull = 6,
  kTimestamp = 7,
  kLongLong = 8,
  kInt24 = 9,
  kDate = 10,
  kTime = 11,
  kDatetime = 12,
  kYear = 13,
  kNewDate = 14,
  kVarchar = 15,
  kBit = 16,
  kTimestamp2 = 17,
  kDatetime2 = 18,
  kTime2 = 19,
  kBlobCompressed = 140,     // MariaDB.
  kVarcharCompressed = 141,  // MariaDB.
  kVector = 242,             // MySQL 9.
  kJson = 245,               // MySQL.
  kDecimal = 246,
  kEnum = 247,
  kSet = 248,
  kTinyBlob = 249,
  kMediumBlob = 250,
  kLongBlob = 251,
  kBlob = 252,
  kVarString = 253,
  kString = 254,
  kGeometry = 255,
};

struct TableMapColumn {
  BinlogType type = BinlogType::kNull;  // kEnum and kSet are told from kString.
  bool nullable = false;

  // Meaning by type:
  //   kVarchar, kVarString, kVarcharCompressed  greatest size of a value in bytes
  //   kString                                   the same, 0 to 1023
  //   kEnum, kSet                               size of the number in bytes
  //   kBlob, kBlobCompressed, kJson, kGeometry  size of the length in bytes
  //   kFloat, kDouble                           size in bytes
  //   kTimestamp2, kDatetime2, kTime2           fractional digits
  //   kBit                                      bits
  //   kDecimal                                  precision << 8 | digits behind the point
  uint16_t meta = 0;

  // Optional metadata; absent where the server does not log it.
  std::optional<bool> is_unsigned;    // Numbers but kBit.
  std::optional<uint16_t> collation;  // Text, blobs, kEnum, kSet; 63 is binary.
  std::string name;                   // Empty when not logged.
  std::vector<std::string> members;   // kEnum and kSet, in the column's character set.
  std::optional<uint32_t> geometry_type;
  bool visible = true;  // MySQL 8.0.23.
};

struct TableMapPrimaryKeyPart {
  uint32_t column = 0;  // Index into columns.
  uint32_t prefix = 0;  // Length in bytes of an index prefix; 0 for the whole value.
};

struct TableMap {
  uint64_t table_id = 0;
  uint16_t flags = 0;
  std::string schema;
  std::string table;
  std::vector<TableMapColumn> columns;
  std::vector<TableMapPrimaryKeyPart> primary_key;  // Empty without FULL metadata and for tables without one.
  bool has_names = false;                           // binlog_row_metadata=FULL.
};

inline constexpr size_t kTableColumnsMax = 4096;  // Of both servers.

// The number that ties rows events to their table map; cheap. kDataLoss when the body is too short.
Result<uint64_t> parse_table_id(BinlogBytes body, const FormatDescription& format, EventType type);

// The result owns everything.
Result<TableMap> parse_table_map(BinlogBytes body, const FormatDescription& format);

}  // namespace vitrail::mysql
