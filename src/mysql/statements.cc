#include "mysql/statements.h"

#include <fmt/core.h>

#include <bit>
#include <charconv>

#include "mysql/convert.h"
#include "mysql/errors.h"
#include "mysql/packet.h"

namespace vitrail::mysql {
namespace {

constexpr uint16_t kUnsignedTypeFlag = 0x8000;

Error malformed_command(std::string_view what) {
  return fail(Code::kInvalidArgument, fmt::format("Malformed communication packet: {}", what))
      .with_mysql(errnos::kMalformedPacket, "HY000");
}

bool is_set(std::string_view bitmap, size_t i) { return (static_cast<uint8_t>(bitmap[i / 8]) >> i % 8 & 1) != 0; }

void set_bit(std::string& out, size_t bitmap, size_t i) {
  out[bitmap + i / 8] = static_cast<char>(out[bitmap + i / 8] | 1 << i % 8);
}

// The wire type that carries a value in a parameter.
struct WireType {
  FieldType type;
  bool is_unsigned;
};
WireType wire_type(const Value& value) {
  if (value.is_null()) return {FieldType::kNull, false};
  if (is_integer_type(value.type)) {
    int64_t number = 0;
    uint64_t unsigned_number = 0;
    const char* const end = value.bytes.data() + value.bytes.size();
    if (value.is_unsigned || value.type == FieldType::kYear) {
      const auto parsed = std::from_chars(value.bytes.data(), end, unsigned_number);
      if (parsed.ec == std::errc() && parsed.ptr == end) return {FieldType::kLongLong, true};
    } else {
      const auto parsed = std::from_chars(value.bytes.data(), end, number);
      if (parsed.ec == std::errc() && parsed.ptr == end) return {FieldType::kLongLong, false};
    }
    return {FieldType::kVarString, false};
  }
  if (is_float_type(value.type)) {
    double number = 0;
    const char* const end = value.bytes.data() + value.bytes.size();
    const auto parsed = std::from_chars(value.bytes.data(), end, number);
    return {parsed.ec == std::errc() && parsed.ptr == end ? FieldType::kDouble : FieldType::kVarString, false};
  }
  if (is_decimal_type(value.type)) return {FieldType::kNewDecimal, false};
  if (value.is_binary || value.type == FieldType::kBit || value.type == FieldType::kGeometry)
    return {FieldType::kBlob, false};
  return {FieldType::kVarString, false};
}

void append_type(std::string& out, FieldType type, bool is_unsigned) {
  append_u16(out, static_cast<uint16_t>(static_cast<uint8_t>(type) | (is_unsigned ? kUnsignedTypeFlag : 0)));
}

void append_value(std::string& out, const Value& value, WireType type) {
  // wire_type() has made sure that the text is a value of the type.
  if (Status status = append_binary_value(out, type.type, type.is_unsigned, value.bytes); !status.ok()) {
    append_lenenc_string(out, value.bytes);
  }
}

}  // namespace

void encode_query(std::string& out, std::string_view text, std::span<const QueryAttribute> attributes,
                  Capabilities capabilities) {
  append_u8(out, static_cast<uint8_t>(Command::kQuery));
  if ((capabilities & kClientQueryAttributes) != 0) {
    append_lenenc_int(out, attributes.size());
    append_lenenc_int(out, 1);  // Sets of values; always one.
    if (!attributes.empty()) {
      const size_t bitmap = out.size();
      out.append((attributes.size() + 7) / 8, '\0');
      append_u8(out, 1);  // Types follow.
      for (size_t i = 0; i < attributes.size(); ++i) {
        const WireType type = wire_type(attributes[i].value);
        if (attributes[i].value.is_null()) set_bit(out, bitmap, i);
        append_type(out, type.type, type.is_unsigned);
        append_lenenc_string(out, attributes[i].name);
      }
      for (const QueryAttribute& attribute : attributes) {
        if (!attribute.value.is_null()) append_value(out, attribute.value, wire_type(attribute.value));
      }
    }
  }
  out.append(text);
}

Result<QueryCommand> decode_query(std::string_view payload, Capabilities capabilities) {
  ByteReader reader(payload);
  if (reader.u8() != static_cast<uint8_t>(Command::kQuery)) return malformed_command("COM_QUERY");
  QueryCommand query;
  if ((capabilities & kClientQueryAttributes) != 0) {
    const uint64_t count = reader.lenenc_int();
    const uint64_t sets = reader.lenenc_int();
    if (!reader.ok() || sets != 1 || count > kMaxParameters) return malformed_command("query attributes");
    if (count > 0) {
      const std::string_view bitmap = reader.bytes((count + 7) / 8);
      if (reader.u8() != 1) return malformed_command("query attributes without types");
      std::vector<Parameter> types;
      for (size_t i = 0; i < count && reader.ok(); ++i) {
        const uint16_t type = reader.u16();
        query.attributes.push_back({std::string(reader.lenenc_string()), Value::null()});
        types.push_back({static_cast<FieldType>(type & 0xff), (type & kUnsignedTypeFlag) != 0, false, false, {}});
      }
      if (!reader.ok()) return malformed_command("query attributes");
      for (size_t i = 0; i < count; ++i) {
        if (is_set(bitmap, i) || types[i].type == FieldType::kNull) continue;
        types[i].raw = skip_binary_value(types[i].type, reader);
        if (!reader.ok()) return malformed_command("query attributes");
        ASSIGN_OR_RETURN(query.attributes[i].value, parameter_value(types[i]));
      }
    }
  }
  query.text = reader.rest();
  return query;
}

void encode_stmt_prepare(std::string& out, std::string_view text) {
  append_u8(out, static_cast<uint8_t>(Command::kStmtPrepare));
  out.append(text);
}

void encode_prepare_ok(std::string& out, const PrepareOk& ok) {
  append_u8(out, kOkHeader);
  append_u32(out, ok.statement_id);
  append_u16(out, ok.columns);
  append_u16(out, ok.parameters);
  append_u8(out, 0);
  append_u16(out, ok.warnings);
}

Result<PrepareOk> decode_prepare_ok(std::string_view payload) {
  ByteReader reader(payload);
  if (reader.u8() != kOkHeader) return malformed("prepare answer");
  PrepareOk ok;
  ok.statement_id = reader.u32();
  ok.columns = reader.u16();
  ok.parameters = reader.u16();
  reader.skip(1);
  if (!reader.at_end()) ok.warnings = reader.u16();
  if (!reader.ok()) return malformed("prepare answer");
  return ok;
}

void encode_stmt_command(std::string& out, Command command, uint32_t statement_id) {
  append_u8(out, static_cast<uint8_t>(command));
  append_u32(out, statement_id);
}

Result<uint32_t> decode_stmt_command(std::string_view payload) { return decode_statement_id(payload); }

Result<StmtFetch> decode_stmt_fetch(std::string_view payload) {
  ByteReader reader(payload);
  reader.skip(1);
  StmtFetch fetch;
  fetch.statement_id = reader.u32();
  fetch.rows = reader.u32();
  if (!reader.ok()) return malformed_command("COM_STMT_FETCH");
  return fetch;
}

void encode_stmt_long_data(std::string& out, const StmtLongData& data) {
  append_u8(out, static_cast<uint8_t>(Command::kStmtSendLongData));
  append_u32(out, data.statement_id);
  append_u16(out, data.parameter);
  out.append(data.data);
}

Result<StmtLongData> decode_stmt_long_data(std::string_view payload) {
  ByteReader reader(payload);
  reader.skip(1);
  StmtLongData data;
  data.statement_id = reader.u32();
  data.parameter = reader.u16();
  data.data = reader.rest();
  if (!reader.ok()) return malformed_command("COM_STMT_SEND_LONG_DATA");
  return data;
}

Status StatementMemory::add_long_data(const StmtLongData& data, size_t parameters, Status room) {
  if (long_data_error) return *long_data_error;
  const auto refuse = [this](Error error) -> Status {
    clear_long_data();
    long_data_error = std::move(error);
    return *long_data_error;
  };
  if (data.parameter >= parameters) {
    return refuse(fail(Code::kInvalidArgument, "Incorrect arguments to mysqld_stmt_send_long_data")
                      .with_mysql(errnos::kWrongArguments, "HY000"));
  }
  if (!room.ok()) {
    return refuse(std::move(room).error().with_context(
        fmt::format("parameter {} of the prepared statement, sent in pieces", data.parameter + 1)));
  }
  if (long_data.size() < parameters) long_data.resize(parameters);
  std::optional<std::string>& slot = long_data[data.parameter];
  if (!slot) slot.emplace();
  slot->append(data.data);
  long_data_bytes += data.data.size();
  return {};
}

void StatementMemory::clear_long_data() {
  long_data.clear();
  long_data_bytes = 0;
  long_data_error.reset();
}

Result<uint32_t> decode_statement_id(std::string_view payload) {
  ByteReader reader(payload);
  reader.skip(kStatementIdOffset);
  const uint32_t id = reader.u32();
  if (!reader.ok()) return malformed_command("statement id");
  return id;
}

Result<StmtExecute> decode_stmt_execute(std::string_view payload, Capabilities capabilities, size_t parameters,
                                        StatementMemory& memory) {
  StmtExecute execute;
  RETURN_IF_ERROR(decode_stmt_execute_into(execute, payload, capabilities, parameters, memory));
  return execute;
}

Status decode_stmt_execute_into(StmtExecute& execute, std::string_view payload, Capabilities capabilities,
                                size_t parameters, StatementMemory& memory) {
  execute.parameters.clear();
  execute.attributes.clear();
  if (memory.long_data_error) return *memory.long_data_error;
  ByteReader reader(payload);
  if (reader.u8() != static_cast<uint8_t>(Command::kStmtExecute)) return malformed_command("COM_STMT_EXECUTE");
  execute.statement_id = reader.u32();
  const uint8_t flags = reader.u8();
  execute.cursor_flags = flags & static_cast<uint8_t>(~kParameterCountAvailable);
  execute.iterations = reader.u32();
  if (!reader.ok()) return malformed_command("COM_STMT_EXECUTE");
  const bool with_names = (capabilities & kClientQueryAttributes) != 0;
  size_t count = parameters;
  if (with_names && (parameters > 0 || (flags & kParameterCountAvailable) != 0)) {
    const uint64_t sent = reader.lenenc_int();
    if (!reader.ok() || sent > kMaxParameters || sent < parameters) return malformed_command("parameter count");
    count = static_cast<size_t>(sent);
  }
  if (count == 0) return {};

  const std::string_view bitmap = reader.bytes((count + 7) / 8);
  const uint8_t new_types = reader.u8();
  if (!reader.ok()) return malformed_command("COM_STMT_EXECUTE");
  if (new_types != 0) {
    ByteReader ahead = reader;  // Types that end too early change nothing.
    for (size_t i = 0; i < count && ahead.ok(); ++i) {
      ahead.skip(2);
      if (with_names) ahead.lenenc_string();
    }
    if (!ahead.ok()) return malformed_command("parameter types");
    memory.types.resize(count);
    for (StatementMemory::Type& type : memory.types) {
      const uint16_t code = reader.u16();
      type.type = static_cast<FieldType>(code & 0xff);
      type.is_unsigned = (code & kUnsignedTypeFlag) != 0;
      type.name = with_names ? reader.lenenc_string() : std::string_view();
    }
  } else if (memory.types.size() != count) {
    // NULLs need no types: Connector/J sends none then.
    for (size_t i = 0; i < count; ++i) {
      if (!is_set(bitmap, i)) return malformed_command("parameter types were never sent");
    }
    for (size_t i = 0; i < parameters; ++i) execute.parameters.push_back({.type = FieldType::kNull, .is_null = true});
    if (!reader.at_end()) return malformed_command("bytes behind the parameters");
    return {};
  }

  execute.parameters.resize(parameters);
  for (size_t i = 0; i < count; ++i) {
    const StatementMemory::Type& type = memory.types[i];
    Parameter parameter{type.type, type.is_unsigned, false, false, {}};
    if (i < parameters && i < memory.long_data.size() && memory.long_data[i]) {
      parameter.is_long_data = true;
      parameter.raw = *memory.long_data[i];
    } else if (is_set(bitmap, i) || type.type == FieldType::kNull) {
      parameter.is_null = true;
    } else {
      parameter.raw = skip_binary_value(type.type, reader);
    }
    if (!reader.ok()) return malformed_command("parameter values");
    if (i < parameters) {
      execute.parameters[i] = parameter;
    } else {
      ASSIGN_OR_RETURN(Value value, parameter_value(parameter));
      execute.attributes.push_back({type.name, std::move(value)});
    }
  }
  if (!reader.at_end()) return malformed_command("bytes behind the parameters");
  return {};
}

void encode_stmt_execute(std::string& out, const StmtExecute& execute, Capabilities capabilities) {
  encode_stmt_execute(out, execute, execute.statement_id, execute.attributes, capabilities);
}

void encode_stmt_execute(std::string& out, const StmtExecute& execute, uint32_t statement_id,
                         std::span<const QueryAttribute> attributes, Capabilities capabilities) {
  const bool with_names = (capabilities & kClientQueryAttributes) != 0;
  const size_t parameters = execute.parameters.size();
  const size_t count = parameters + (with_names ? attributes.size() : 0);
  append_u8(out, static_cast<uint8_t>(Command::kStmtExecute));
  append_u32(out, statement_id);
  append_u8(out, static_cast<uint8_t>(execute.cursor_flags | (with_names ? kParameterCountAvailable : 0)));
  append_u32(out, execute.iterations);
  if (with_names) append_lenenc_int(out, count);
  if (count == 0) return;
  const size_t bitmap = out.size();
  out.append((count + 7) / 8, '\0');
  append_u8(out, 1);  // Types follow.
  for (size_t i = 0; i < parameters; ++i) {
    const Parameter& parameter = execute.parameters[i];
    if (parameter.is_null) set_bit(out, bitmap, i);
    // Long data goes inline, which only the length-encoded types allow.
    const FieldType type =
        parameter.is_long_data && !is_string_type(parameter.type) ? FieldType::kBlob : parameter.type;
    append_type(out, type, parameter.is_unsigned);
    if (with_names) append_lenenc_string(out, {});
  }
  for (size_t i = parameters; i < count; ++i) {
    const QueryAttribute& attribute = attributes[i - parameters];
    if (attribute.value.is_null()) set_bit(out, bitmap, i);
    const WireType type = wire_type(attribute.value);
    append_type(out, type.type, type.is_unsigned);
    append_lenenc_string(out, attribute.name);
  }
  for (const Parameter& parameter : execute.parameters) {
    if (parameter.is_null) continue;
    if (parameter.is_long_data) append_lenenc_int(out, parameter.raw.size());
    out.append(parameter.raw);
  }
  for (size_t i = parameters; i < count; ++i) {
    const Value& value = attributes[i - parameters].value;
    if (!value.is_null()) append_value(out, value, wire_type(value));
  }
}

Result<Value> parameter_value(const Parameter& parameter) {
  if (parameter.is_null || parameter.type == FieldType::kNull) return Value::null();
  Value value{parameter.type, parameter.is_unsigned, false, {}};
  switch (parameter.type) {
    case FieldType::kTinyBlob:
    case FieldType::kMediumBlob:
    case FieldType::kLongBlob:
    case FieldType::kBlob:
    case FieldType::kBit:
    case FieldType::kGeometry:
      value.is_binary = true;
      if (parameter.type == FieldType::kBit) value.type = FieldType::kBlob;  // Its bytes are a string here, not bits.
      break;
    default: break;
  }
  if (parameter.is_long_data) {
    if (!is_string_type(value.type)) {
      value.type = FieldType::kBlob;
      value.is_binary = true;
    }
    value.bytes = parameter.raw;
    return value;
  }
  ByteReader reader(parameter.raw);
  if (parameter.type == FieldType::kFloat) {
    // A server widens the parameter before it computes with it; six digits would be another number.
    std::string wide;
    append_f64(wide, static_cast<double>(reader.f32()));
    value.type = FieldType::kDouble;
    ByteReader wide_reader(wide);
    RETURN_IF_ERROR(append_text_of_binary(value.bytes, FieldType::kDouble, false, 31, wide_reader));
  } else {
    RETURN_IF_ERROR(append_text_of_binary(value.bytes, parameter.type, parameter.is_unsigned, 31, reader));
  }
  if (!reader.ok() || !reader.at_end()) return malformed_command("parameter value");
  return value;
}

void encode_stmt_execute_values(std::string& out, uint32_t statement_id, std::span<const Value> values,
                                std::span<const QueryAttribute> attributes, Capabilities capabilities) {
  // Views into `storage` are made after it has stopped growing.
  std::string storage;
  std::vector<std::pair<size_t, size_t>> pieces;
  for (const Value& value : values) {
    const size_t offset = storage.size();
    if (!value.is_null()) append_value(storage, value, wire_type(value));
    pieces.emplace_back(offset, storage.size() - offset);
  }
  StmtExecute execute;
  execute.statement_id = statement_id;
  execute.attributes.assign(attributes.begin(), attributes.end());
  for (size_t i = 0; i < values.size(); ++i) {
    const WireType type = wire_type(values[i]);
    execute.parameters.push_back({type.type, type.is_unsigned, values[i].is_null(), false,
                                  std::string_view(storage).substr(pieces[i].first, pieces[i].second)});
  }
  encode_stmt_execute(out, execute, capabilities);
}

}  // namespace vitrail::mysql
