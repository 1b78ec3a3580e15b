#include "mysql/messages.h"

#include <fmt/core.h>

#include "mysql/convert.h"
#include "mysql/errors.h"

namespace vitrail::mysql {
namespace {

constexpr uint8_t kFixedColumnFieldsSize = 0x0c;
// An EOF packet has 5 bytes (1 before 4.1); a row may start with 0xfe only if it is longer than this.
constexpr size_t kEofSizeLimit = 9;

void append_session_changes(std::string& out, const std::vector<SessionChange>& changes) {
  std::string all;
  for (const SessionChange& change : changes) {
    std::string data;
    if (change.kind == SessionChange::Kind::kSystemVariable) {
      append_lenenc_string(data, change.name);
    } else if (change.kind == SessionChange::Kind::kGtids) {
      append_u8(data, 0);  // Encoding specification: the text itself.
    }
    append_lenenc_string(data, change.value);
    append_u8(all, static_cast<uint8_t>(change.kind));
    append_lenenc_string(all, data);
  }
  append_lenenc_string(out, all);
}

Status read_session_changes(std::string_view bytes, std::vector<SessionChange>& changes) {
  ByteReader reader(bytes);
  while (reader.ok() && !reader.at_end()) {
    const uint8_t kind = reader.u8();
    ByteReader data(reader.lenenc_string());
    if (!reader.ok()) break;
    if (kind > static_cast<uint8_t>(SessionChange::Kind::kTransactionState)) continue;  // Of a newer server.
    do {
      SessionChange change{static_cast<SessionChange::Kind>(kind), {}, {}};
      if (change.kind == SessionChange::Kind::kSystemVariable) change.name = data.lenenc_string();
      if (change.kind == SessionChange::Kind::kGtids) data.skip(1);
      // MariaDB sends the flag of a changed state as it is, MySQL with a length of its own.
      const bool bare = change.kind == SessionChange::Kind::kStateChanged && data.remaining() == 1;
      change.value = bare ? data.rest() : data.lenenc_string();
      if (!data.ok()) return malformed("session state");
      changes.push_back(std::move(change));
    } while (kind == 0 && !data.at_end());
  }
  if (!reader.ok()) return malformed("session state");
  return {};
}

void encode_ok_with(std::string& out, uint8_t header, const OkPacket& ok, Capabilities capabilities) {
  const bool track = (capabilities & kClientSessionTrack) != 0;
  const bool changed = track && !ok.session_changes.empty();
  const auto flags = static_cast<uint16_t>(changed ? ok.status_flags | kStatusSessionStateChanged
                                                   : ok.status_flags & ~kStatusSessionStateChanged);
  append_u8(out, header);
  append_lenenc_int(out, ok.affected_rows);
  append_lenenc_int(out, ok.last_insert_id);
  append_u16(out, flags);
  append_u16(out, ok.warnings);
  // Documents say that the text runs to the end without session tracking; servers and client libraries write and read a
  // length in both cases.
  if (changed || !ok.info.empty()) append_lenenc_string(out, ok.info);
  if (changed) append_session_changes(out, ok.session_changes);
}

void append_column(std::string& out, const ColumnDef& column, Capabilities capabilities) {
  append_lenenc_string(out, "def");
  append_lenenc_string(out, column.schema);
  append_lenenc_string(out, column.table);
  append_lenenc_string(out, column.org_table);
  append_lenenc_string(out, column.name);
  append_lenenc_string(out, column.org_name);
  if ((capabilities & kMariadbClientExtendedMetadata) != 0) append_lenenc_string(out, column.extended_info);
  append_u8(out, kFixedColumnFieldsSize);
  append_u16(out, column.collation);
  append_u32(out, column.length);
  append_u8(out, static_cast<uint8_t>(column.type));
  append_u16(out, column.flags);
  append_u8(out, column.decimals);
  append_u16(out, 0);
}

}  // namespace

Error malformed(std::string_view what) {
  return fail(Code::kInvalidArgument, fmt::format("malformed {}", what))
      .with_mysql(errnos::kClientMalformedPacket, "HY000");
}

void encode_ok(std::string& out, const OkPacket& ok, Capabilities capabilities) {
  encode_ok_with(out, kOkHeader, ok, capabilities);
}

void encode_err(std::string& out, const ErrPacket& err, Capabilities capabilities) {
  append_u8(out, kErrHeader);
  append_u16(out, err.code);
  if ((capabilities & kClientProtocol41) != 0 && !err.sqlstate.empty()) {
    std::string state = err.sqlstate;
    state.resize(5, '0');
    out.push_back('#');
    out.append(state);
  }
  out.append(err.message);
}

void encode_result_end(std::string& out, const OkPacket& ok, Capabilities capabilities) {
  if ((capabilities & kClientDeprecateEof) != 0) {
    encode_ok_with(out, kEofHeader, ok, capabilities);
  } else {
    encode_eof(out, {ok.warnings, ok.status_flags});
  }
}

void encode_eof(std::string& out, const EofPacket& eof) {
  append_u8(out, kEofHeader);
  append_u16(out, eof.warnings);
  append_u16(out, static_cast<uint16_t>(eof.status_flags & ~kStatusSessionStateChanged));
}

Result<OkPacket> decode_ok(std::string_view payload, Capabilities capabilities) {
  ByteReader reader(payload);
  const uint8_t header = reader.u8();
  if (header != kOkHeader && header != kEofHeader) return malformed("OK packet");
  OkPacket ok;
  ok.affected_rows = reader.lenenc_int();
  ok.last_insert_id = reader.lenenc_int();
  ok.status_flags = reader.u16();
  ok.warnings = reader.u16();
  if (!reader.ok()) return malformed("OK packet");
  const bool has_state =
      (capabilities & kClientSessionTrack) != 0 && (ok.status_flags & kStatusSessionStateChanged) != 0;
  if (reader.at_end()) return ok;
  if (has_state) {
    ok.info = reader.lenenc_string();
    const std::string_view state = reader.at_end() ? std::string_view() : reader.lenenc_string();
    if (!reader.ok()) return malformed("OK packet");
    RETURN_IF_ERROR(read_session_changes(state, ok.session_changes));
    return ok;
  }
  ByteReader with_length = reader;
  const std::string_view info = with_length.lenenc_string();
  ok.info = with_length.ok() && with_length.at_end() ? info : reader.rest();
  return ok;
}

Result<ErrPacket> decode_err(std::string_view payload) {
  ByteReader reader(payload);
  if (reader.u8() != kErrHeader) return malformed("ERR packet");
  ErrPacket err;
  err.code = reader.u16();
  err.sqlstate.clear();
  if (!reader.ok()) return malformed("ERR packet");
  if (reader.remaining() >= 6 && reader.peek() == '#') {
    reader.skip(1);
    err.sqlstate = reader.bytes(5);
  }
  err.message = reader.rest();
  return err;
}

Result<EofPacket> decode_eof(std::string_view payload) {
  ByteReader reader(payload);
  if (reader.u8() != kEofHeader || payload.size() != 5) return malformed("EOF packet");
  EofPacket eof;
  eof.warnings = reader.u16();
  eof.status_flags = reader.u16();
  return eof;
}

Result<OkPacket> decode_result_end(std::string_view payload, Capabilities capabilities) {
  // Five bytes are an EOF packet even when EOF is deprecated: an OK has at least seven.
  if (payload.size() != 5) return decode_ok(payload, capabilities);
  ASSIGN_OR_RETURN(const EofPacket eof, decode_eof(payload));
  OkPacket ok;
  ok.warnings = eof.warnings;
  ok.status_flags = eof.status_flags;
  return ok;
}

std::optional<std::string> without_session_track(std::string_view framed) {
  if (framed.size() <= kPacketHeaderSize) return std::nullopt;
  const std::string_view payload = framed.substr(kPacketHeaderSize);
  ByteReader reader(payload);
  const uint8_t header = reader.u8();
  if (header != kOkHeader && (header != kEofHeader || payload.size() <= 5)) return std::nullopt;
  reader.lenenc_int();
  reader.lenenc_int();
  reader.skip(4);
  const size_t fixed = reader.position();
  if (!reader.ok() || reader.at_end()) return std::nullopt;
  const std::string_view info = reader.lenenc_string();
  // Servers write the info with its length in either form, and clients expect that; only what is behind it goes.
  if (!reader.ok() || (reader.at_end() && !info.empty())) return std::nullopt;
  std::string out(kPacketHeaderSize, '\0');
  out += payload.substr(0, info.empty() ? fixed : reader.position());
  PacketHeader head = decode_packet_header(framed.data());
  head.length = static_cast<uint32_t>(out.size() - kPacketHeaderSize);
  encode_packet_header(head, out.data());
  return out;
}

bool is_ok(std::string_view payload) { return !payload.empty() && static_cast<uint8_t>(payload[0]) == kOkHeader; }

bool is_err(std::string_view payload) { return !payload.empty() && static_cast<uint8_t>(payload[0]) == kErrHeader; }

bool is_result_end(uint8_t first_byte, size_t payload_size, Capabilities capabilities) {
  if (first_byte != kEofHeader) return false;
  return payload_size < ((capabilities & kClientDeprecateEof) != 0 ? kMaxFramePayload : kEofSizeLimit);
}

void encode_column(std::string& out, const ColumnDef& column, Capabilities capabilities) {
  append_column(out, column, capabilities);
}

void encode_field_list_column(std::string& out, const ColumnDef& column, Cell default_value,
                              Capabilities capabilities) {
  append_column(out, column, capabilities);
  append_text_cell(out, default_value);
}

Result<ColumnDef> decode_column(std::string_view payload, Capabilities capabilities) {
  ByteReader reader(payload);
  ColumnDef column;
  reader.lenenc_string();  // Catalog, always "def".
  column.schema = reader.lenenc_string();
  column.table = reader.lenenc_string();
  column.org_table = reader.lenenc_string();
  column.name = reader.lenenc_string();
  column.org_name = reader.lenenc_string();
  if ((capabilities & kMariadbClientExtendedMetadata) != 0) column.extended_info = reader.lenenc_string();
  if (reader.lenenc_int() < kFixedColumnFieldsSize) return malformed("column definition");
  column.collation = reader.u16();
  column.length = reader.u32();
  column.type = static_cast<FieldType>(reader.u8());
  column.flags = reader.u16();
  column.decimals = reader.u8();
  reader.skip(2);
  if (!reader.ok()) return malformed("column definition");
  return column;
}

void append_text_cell(std::string& out, Cell cell) {
  if (cell) {
    append_lenenc_string(out, *cell);
  } else {
    append_u8(out, 0xfb);
  }
}

void encode_text_row(std::string& out, std::span<const Cell> cells) {
  for (const Cell& cell : cells) append_text_cell(out, cell);
}

Status decode_text_row(std::string_view payload, size_t columns, std::vector<Cell>& cells) {
  cells.clear();
  if (columns > payload.size()) return malformed("text row");  // A cell takes a byte at least.
  cells.reserve(columns);
  ByteReader reader(payload);
  for (size_t i = 0; i < columns; ++i) cells.push_back(reader.lenenc_cell());
  if (!reader.ok() || !reader.at_end()) return malformed("text row");
  return {};
}

Status encode_binary_row(std::string& out, std::span<const ColumnDef> columns, std::span<const Cell> cells) {
  if (columns.size() != cells.size()) return malformed("binary row");
  append_u8(out, kOkHeader);
  const size_t bitmap = out.size();
  out.append((columns.size() + 2 + 7) / 8, '\0');
  for (size_t i = 0; i < cells.size(); ++i) {
    if (!cells[i]) {
      out[bitmap + (i + 2) / 8] = static_cast<char>(out[bitmap + (i + 2) / 8] | 1 << (i + 2) % 8);
      continue;
    }
    RETURN_IF_ERROR(append_binary_value(out, columns[i].type, columns[i].is_unsigned(), *cells[i]));
  }
  return {};
}

Status decode_binary_row(std::string_view payload, std::span<const ColumnDef> columns, std::string& storage,
                         std::vector<Cell>& cells) {
  storage.clear();
  cells.clear();
  cells.resize(columns.size());
  ByteReader reader(payload);
  const uint8_t header = reader.u8();
  const std::string_view bitmap = reader.bytes((columns.size() + 2 + 7) / 8);
  if (!reader.ok() || header != kOkHeader) return malformed("binary row");
  // Numbers and times get their text in `storage`, which grows: views into it are made when it is complete.
  struct Piece {
    size_t column, offset, size;
  };
  std::vector<Piece> pieces;
  for (size_t i = 0; i < columns.size(); ++i) {
    if ((static_cast<uint8_t>(bitmap[(i + 2) / 8]) >> (i + 2) % 8 & 1) != 0) continue;
    const ColumnDef& column = columns[i];
    if (is_string_type(column.type) || is_decimal_type(column.type) || column.type == FieldType::kBit) {
      cells[i] = reader.lenenc_string();
      continue;
    }
    const size_t offset = storage.size();
    RETURN_IF_ERROR(append_text_of_binary(storage, column.type, column.is_unsigned(), column.decimals, reader));
    const size_t width = std::min<size_t>(column.length, 255);  // The most that a column can be declared with.
    if ((column.flags & kFieldZerofill) != 0 && storage.size() - offset < width) {
      storage.insert(offset, width - (storage.size() - offset), '0');
    }
    pieces.push_back({i, offset, storage.size() - offset});
  }
  if (!reader.ok() || !reader.at_end()) return malformed("binary row");
  for (const Piece& piece : pieces) cells[piece.column] = std::string_view(storage).substr(piece.offset, piece.size);
  return {};
}

void encode_column_count(std::string& out, uint64_t columns) { append_lenenc_int(out, columns); }

Result<uint64_t> decode_column_count(std::string_view payload) {
  ByteReader reader(payload);
  const uint64_t columns = reader.lenenc_int();
  if (!reader.ok() || !reader.at_end()) return malformed("column count");
  return columns;
}

void encode_local_infile(std::string& out, std::string_view file_name) {
  append_u8(out, kLocalInfileHeader);
  out.append(file_name);
}

Result<std::string> decode_local_infile(std::string_view payload) {
  ByteReader reader(payload);
  if (reader.u8() != kLocalInfileHeader) return malformed("LOCAL INFILE request");
  return std::string(reader.rest());
}

void ResultSetWriter::begin(std::span<const ColumnDef> columns, uint16_t status_flags) {
  encode_column_count(writer_.begin(), columns.size());
  writer_.end();
  for (const ColumnDef& column : columns) {
    encode_column(writer_.begin(), column, capabilities_);
    writer_.end();
  }
  if ((capabilities_ & kClientDeprecateEof) == 0) {
    encode_eof(writer_.begin(), {0, status_flags});
    writer_.end();
  }
  if (binary_) columns_.assign(columns.begin(), columns.end());
}

Status ResultSetWriter::row(std::span<const Cell> cells) {
  std::string& out = writer_.begin();
  if (!binary_) {
    encode_text_row(out, cells);
  } else {
    const size_t before = out.size();
    if (Status status = encode_binary_row(out, columns_, cells); !status.ok()) {
      out.resize(before - kPacketHeaderSize);  // As if the row had not been begun.
      return status;
    }
  }
  writer_.end();
  return {};
}

void ResultSetWriter::end(const OkPacket& ok) {
  encode_result_end(writer_.begin(), ok, capabilities_);
  writer_.end();
}

}  // namespace vitrail::mysql
