#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "mysql/binlog_table_map.h"
#include "mysql/protocol.h"

// Rows events, and the values in them as text.
//
//     ASSIGN_OR_RETURN(auto decoder, RowDecoder::create(table_map, hints, {}));
//     RowChange change;                                     // Reused: no allocation per row once it is warm.
//     RowsReader rows(decoder, rows_event);
//     for (;;) {
//       ASSIGN_OR_RETURN(const bool more, rows.next(change));
//       if (!more) break;
//       ... change.before.values(), change.after.values() ...
//     }
//
// Each value comes as the text a server sends in a text result set:
//   - numbers in decimal; FLOAT with all its digits, where a SELECT would round to 6;
//   - DATE, TIME, DATETIME with the column's fractional digits; TIMESTAMP likewise, in UTC (time_zone='+00:00');
//   - BIT, BINARY, BLOB, GEOMETRY as raw bytes; CHAR, VARCHAR, TEXT as bytes in the column's character set;
//   - ENUM and SET as number, or as member names (Options::member_names);
//   - JSON of MySQL as text; JSON of MariaDB is a LONGTEXT;
//   - UUID, INET4 and INET6 as text if the hint says so, otherwise as the 16 or 4 bytes of a BINARY in network order,
//     for nothing in the log tells them apart.
//
// Sources: MySQL internals manual, "ROWS_EVENT" and "Event Content Writing Conventions"; MariaDB knowledge base, "Rows
// Event V1/V2" and "Storage-Engine Independent Column Compression".
namespace vitrail::mysql {

// --- events -------------------------------------------------------------------------------------------------------

enum class RowsKind : uint8_t { kInsert, kUpdate, kDelete };

struct RowsEvent {
  static constexpr uint16_t kFlagStatementEnd = 1;  // The last rows event of its statement.
  static constexpr uint16_t kFlagNoForeignKeyChecks = 2;
  static constexpr uint16_t kFlagRelaxedUniqueChecks = 4;
  // Ends a statement whose events were filtered out; has no table and no rows.
  static constexpr uint64_t kDummyTableId = 0xff'ffff;

  RowsKind kind = RowsKind::kInsert;
  uint64_t table_id = 0;
  uint16_t flags = 0;
  uint32_t column_count = 0;
  // One bit for each column, lowest first: which columns the images hold. `before` is empty for inserts, `after` for
  // deletes.
  BinlogBytes present_before;
  BinlogBytes present_after;
  // Images after a change may have JSON values as changes to those before it (PARTIAL_UPDATE_ROWS).
  bool json_changes = false;
  BinlogBytes rows;

  bool statement_end() const { return (flags & kFlagStatementEnd) != 0; }
};

// WRITE_ROWS, UPDATE_ROWS and DELETE_ROWS of version 1 and 2, and MariaDB's compressed ones, whose rows are inflated
// into `scratch`; and PARTIAL_UPDATE_ROWS. The result refers to the event and to `scratch`.
Result<RowsEvent> parse_rows_event(const BinlogEvent& event, const FormatDescription& format, std::string& scratch);

bool is_rows_event(EventType type);

// --- columns ------------------------------------------------------------------------------------------------------

// What a reader knows of a column from information_schema.columns. Nothing is needed where the log has FULL metadata,
// except to get UUID and INET as text, zero fill, and the fixed digits of FLOAT(m,d).
struct RowColumnHint {
  enum class Special : uint8_t { kNone, kUuid, kInet6, kInet4 };

  std::optional<bool> is_unsigned;         // Integers. Required without metadata.
  std::optional<bool> is_binary;           // BINARY (true) or CHAR (false). Required without metadata.
  std::optional<uint8_t> temporal_digits;  // Required for formats of before MySQL 5.6 (mysql56_temporal_format=OFF).
  std::optional<uint8_t> float_digits;     // FLOAT(m,d), DOUBLE(m,d).
  uint8_t zerofill_width = 0;              // 0: no ZEROFILL.
  bool two_digit_year = false;             // YEAR(2).
  Special special = Special::kNone;
  // Of ENUM and SET. information_schema has them in UTF-8, the log in the column's character set; the log's win, and
  // names come out in the spelling they came in.
  std::vector<std::string> members;

  // From the COLUMN_TYPE of information_schema.columns: "int(10) unsigned", "enum('a','it''s')", "uuid", "time(3)".
  // Names that mean nothing to a decoder are accepted. kInvalidArgument for unbalanced quotes and brackets.
  static Result<RowColumnHint> from_column_type(std::string_view column_type);
};

// A column as the decoder has settled it from table map and hint.
struct RowColumn {
  std::string name;  // Empty when the log does not have it.
  BinlogType type = BinlogType::kNull;
  uint16_t meta = 0;  // See TableMapColumn.
  bool is_unsigned = false;
  bool is_binary = false;  // Bytes without a character set.
  std::optional<uint16_t> collation;
  RowColumnHint::Special special = RowColumnHint::Special::kNone;
  uint8_t temporal_digits = 0;
  std::optional<uint8_t> float_digits;
  uint8_t zerofill_width = 0;
  bool two_digit_year = false;
  std::vector<std::string> members;

  // The text is a number as SQL writes it: needs no quotes.
  bool is_number() const;
  // How the client protocol names the type; kEnum and kSet stay what they are.
  FieldType field_type() const;
};

// --- values -------------------------------------------------------------------------------------------------------

struct RowValue {
  // Absent: not in this image (binlog_row_image=MINIMAL, NOBLOB).
  enum class State : uint8_t { kAbsent, kNull, kValue };

  State state = State::kAbsent;
  std::string_view text;  // Refers to the event or to the image.

  bool absent() const { return state == State::kAbsent; }
  bool null() const { return state == State::kNull; }
};

// Room for the values of one row. Valid until the next row is read into it, and as long as the event's bytes.
class RowImage {
 public:
  RowImage() = default;
  RowImage(RowImage&&) = default;
  RowImage& operator=(RowImage&&) = default;

  // One for each column of the table; empty when the change has no such image.
  std::span<const RowValue> values() const { return values_; }
  const RowValue& operator[](size_t column) const { return values_[column]; }
  bool empty() const { return values_.empty(); }
  void clear() { values_.clear(); }  // Keeps the memory.

 private:
  friend class RowDecoder;

  std::vector<RowValue> values_;
  std::vector<char> text_;          // Of values with a bounded text.
  std::vector<std::string> large_;  // Of values that are inflated, or JSON.
  std::vector<BinlogBytes> json_;   // Binary JSON as the log has it, by column; only where there are JSON columns.
};

struct RowChange {
  RowImage before;  // Empty for inserts.
  RowImage after;   // Empty for deletes.
};

// Decodes the rows of one table. Immutable after creation; safe to share between threads.
class RowDecoder {
 public:
  struct Options {
    bool member_names = false;  // ENUM and SET as names; requires members for every such column.
  };

  // `hints` is empty or has one entry for each column. A hint does not override the log's own metadata.
  //   kFailedPrecondition : neither the log nor a hint tells what is needed (names the column and the setting
  //                         binlog_row_metadata), or the number of hints differs from the number of columns.
  static Result<RowDecoder> create(const TableMap& map, std::span<const RowColumnHint> hints, Options options);

  const std::vector<RowColumn>& columns() const { return columns_; }

  // Reads one image with the columns of `present` off `rows`. kDataLoss for malformed bytes. `before`: that before it,
  // where JSON values may be changes to its own; else null.
  //   kFailedPrecondition: a value is changes to one that is not in `before`.
  Status decode_image(BinlogReader& rows, BinlogBytes present, RowImage& image, const RowImage* before = nullptr) const;

 private:
  RowDecoder() = default;

  Status json_text(size_t column, BinlogBytes bytes, const RowImage* before, std::string& json) const;
  Status decode_value(const RowColumn& column, BinlogReader& rows, char*& text, size_t& large, RowImage& image,
                      RowValue& value) const;
  Status enum_text(const RowColumn& column, uint64_t number, RowValue& value) const;
  Status set_text(const RowColumn& column, uint64_t number, char*& text, RowValue& value) const;

  std::vector<RowColumn> columns_;
  Options options_;
  size_t text_max_ = 0;     // Of all bounded texts of a row.
  size_t large_count_ = 0;  // Columns that may need a string of their own.
  size_t json_count_ = 0;   // Columns of MySQL's JSON.
};

// The rows of one event, front to back.
class RowsReader {
 public:
  // Both must outlive the reader. The event's column count is checked by the first next().
  RowsReader(const RowDecoder& decoder, const RowsEvent& event) : decoder_(decoder), event_(event), in_(event.rows) {}

  // False at the end. After an error the reader must not be used again.
  Result<bool> next(RowChange& change);

 private:
  const RowDecoder& decoder_;
  const RowsEvent& event_;
  BinlogReader in_;
};

}  // namespace vitrail::mysql
