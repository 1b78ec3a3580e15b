#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "mysql/packet.h"
#include "mysql/types.h"

// Messages from server to client: OK, ERR, EOF, column definitions, rows. Encoders append one payload (no header) to
// `out`; decoders take one payload. Malformed input gives kInvalidArgument with errno 2027 ("Malformed packet").
// Source: MySQL 8 internals documentation, "Generic Response Packets", "Text Resultset", "Binary Protocol Resultset".
namespace vitrail::mysql {

// kInvalidArgument, errno 2027 SQLSTATE HY000: "malformed <what>".
Error malformed(std::string_view what);

// One change announced in an OK packet (CLIENT_SESSION_TRACK).
struct SessionChange {
  enum class Kind : uint8_t {
    kSystemVariable = 0,
    kSchema = 1,
    kStateChanged = 2,
    kGtids = 3,
    kTransactionCharacteristics = 4,
    kTransactionState = 5,
  };
  Kind kind = Kind::kStateChanged;
  std::string name;   // kSystemVariable only.
  std::string value;  // The variable's value, the schema, "1", the GTIDs, the statement, the state.
  bool operator==(const SessionChange&) const = default;
};

struct OkPacket {
  uint64_t affected_rows = 0;
  uint64_t last_insert_id = 0;
  uint16_t status_flags = kStatusAutocommit;
  uint16_t warnings = 0;
  std::string info;
  // Written only when CLIENT_SESSION_TRACK is negotiated; kStatusSessionStateChanged is set and cleared by the encoder.
  std::vector<SessionChange> session_changes;
  bool operator==(const OkPacket&) const = default;
};

struct ErrPacket {
  uint16_t code = 1105;
  std::string sqlstate = "HY000";  // Five characters; empty in errors sent before the handshake is complete.
  std::string message;
  bool operator==(const ErrPacket&) const = default;
};

struct EofPacket {
  uint16_t warnings = 0;
  uint16_t status_flags = kStatusAutocommit;
  bool operator==(const EofPacket&) const = default;
};

void encode_ok(std::string& out, const OkPacket& ok, Capabilities capabilities);
void encode_err(std::string& out, const ErrPacket& err, Capabilities capabilities);
// Ends rows (or columns in COM_FIELD_LIST): an EOF packet, or with CLIENT_DEPRECATE_EOF an OK packet headed 0xfe.
void encode_result_end(std::string& out, const OkPacket& ok, Capabilities capabilities);
// A real EOF packet whatever the capabilities (after column definitions when CLIENT_DEPRECATE_EOF is off).
void encode_eof(std::string& out, const EofPacket& eof);

// Accepts header 0x00 and the 0xfe form.
Result<OkPacket> decode_ok(std::string_view payload, Capabilities capabilities);
Result<ErrPacket> decode_err(std::string_view payload);
Result<EofPacket> decode_eof(std::string_view payload);
// Either form of the end of rows, as an OkPacket.
Result<OkPacket> decode_result_end(std::string_view payload, Capabilities capabilities);

// The framed OK (or end of rows headed 0xfe) of a connection with CLIENT_SESSION_TRACK as one without it: for relaying
// to a client that has not asked for session tracking. nullopt when it is the same, or no OK.
std::optional<std::string> without_session_track(std::string_view framed);

bool is_ok(std::string_view payload);
bool is_err(std::string_view payload);
// Whether a message met where a row may stand ends the rows (both forms). `payload_size` counts the whole message.
bool is_result_end(uint8_t first_byte, size_t payload_size, Capabilities capabilities);

// Column definitions. `default_value`: COM_FIELD_LIST only.
void encode_column(std::string& out, const ColumnDef& column, Capabilities capabilities);
void encode_field_list_column(std::string& out, const ColumnDef& column, Cell default_value, Capabilities capabilities);
Result<ColumnDef> decode_column(std::string_view payload, Capabilities capabilities);

// Text rows.
void append_text_cell(std::string& out, Cell cell);
void encode_text_row(std::string& out, std::span<const Cell> cells);
// Replaces `cells` with `columns` views into `payload`.
Status decode_text_row(std::string_view payload, size_t columns, std::vector<Cell>& cells);

// Binary rows. `cells` are text forms; kInvalidArgument when one is not a value of its column's type.
Status encode_binary_row(std::string& out, std::span<const ColumnDef> columns, std::span<const Cell> cells);
// Replaces `cells` with text forms. They point into `payload` or into `storage`, which is overwritten.
Status decode_binary_row(std::string_view payload, std::span<const ColumnDef> columns, std::string& storage,
                         std::vector<Cell>& cells);

// First message of a result set.
void encode_column_count(std::string& out, uint64_t columns);
Result<uint64_t> decode_column_count(std::string_view payload);

// LOCAL INFILE request: the server asks for a file. The client sends its bytes as messages, then an empty one.
void encode_local_infile(std::string& out, std::string_view file_name);
Result<std::string> decode_local_infile(std::string_view payload);

// Writes a whole result set (column count, definitions, EOF when due; then rows; then the end) through `writer`.
//   Usage: begin(columns); row(...)*; end(ok).
class ResultSetWriter {
 public:
  // `binary`: answers COM_STMT_EXECUTE. `writer` must outlive this object.
  ResultSetWriter(PacketWriter& writer, Capabilities capabilities, bool binary = false)
      : writer_(writer), capabilities_(capabilities), binary_(binary) {}

  // Precondition: at least one column. `status_flags` goes into the EOF after the definitions.
  void begin(std::span<const ColumnDef> columns, uint16_t status_flags = kStatusAutocommit);
  // Fails for binary rows only (see encode_binary_row); nothing of the row is written then.
  Status row(std::span<const Cell> cells);
  void end(const OkPacket& ok);

 private:
  PacketWriter& writer_;
  Capabilities capabilities_;
  bool binary_;
  std::vector<ColumnDef> columns_;  // Kept for binary rows only.
};

}  // namespace vitrail::mysql
