// Every decoder of this folder's messages takes any bytes: an Error or a value, never a crash. What decodes and can be
// encoded again must decode to the same value.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "mysql/convert.h"
#include "mysql/errors.h"
#include "base/random.h"
#include "mysql/handshake.h"
#include "mysql/messages.h"
#include "mysql/server_handshake.h"
#include "mysql/statements.h"

namespace {

using namespace vitrail;
using namespace vitrail::mysql;

constexpr Capabilities kCapabilities[] = {
    kClientProtocol41,
    kClientProtocol41 | kClientSessionTrack | kClientDeprecateEof,
    kClientProtocol41 | kClientQueryAttributes | kClientPluginAuth | kClientConnectAttrs,
    kSupportedCapabilities,
};

template <typename T, typename Encode, typename Decode>
void expect_same_again(const Result<T>& value, Encode encode, Decode decode) {
  if (!value.ok()) return;
  std::string bytes;
  encode(bytes, *value);
  const Result<T> again = decode(std::string_view(bytes));
  CHECK(again.ok() && *again == *value);
}

void frames(std::string_view bytes) {
  MessageReader reader(1 << 20);
  while (true) {
    const auto message = reader.next(bytes);
    if (!message.ok() || !message->has_value()) break;
    CHECK((*message)->consumed >= kPacketHeaderSize && (*message)->consumed <= bytes.size());
    bytes.remove_prefix((*message)->consumed);
  }
}

void login(std::string_view bytes) {
  expect_same_again(decode_handshake_response(bytes), encode_handshake_response, decode_handshake_response);
  (void)decode_handshake_v10(bytes);
  (void)decode_ssl_request(bytes);
  (void)decode_auth_switch(bytes);
  (void)decode_auth_more_data(bytes);
}

// A login as a stream of messages, the first of which may ask for TLS. It begins once at most, and whoever is let in
// has the transport that was asked of him.
void session(uint8_t shape, std::string_view bytes) {
  ServerAuthSettings settings;
  settings.tls_available = (shape & 1) != 0;
  settings.require_secure_transport = (shape & 2) != 0;
  if ((shape & 4) != 0) settings.auth_plugin = kCachingSha2Plugin;
  ServerHandshake server(settings, 1, {"host", false}, base::system_random());
  std::string out;
  server.start(out);
  MessageReader reader(1 << 20);
  int started = 0;
  for (;;) {
    const auto message = reader.next(bytes);
    if (!message.ok() || !message->has_value()) return;
    out.clear();
    const auto next = server.on_message((*message)->last_sequence, (*message)->payload, out);
    bytes.remove_prefix((*message)->consumed);
    if (next == ServerHandshake::Next::kStartTls) {
      CHECK(settings.tls_available && out.empty() && ++started == 1);
      server.tls_started();
    } else if (next != ServerHandshake::Next::kRead) {
      CHECK(next == ServerHandshake::Next::kRefused || started == 1 || !settings.require_secure_transport);
      return;
    }
  }
}

void generic(std::string_view bytes, Capabilities capabilities) {
  (void)decode_change_user(bytes, capabilities);
  (void)decode_ok(bytes, capabilities);
  (void)decode_result_end(bytes, capabilities);
  (void)decode_eof(bytes);
  (void)decode_local_infile(bytes);
  (void)decode_column_count(bytes);
  expect_same_again(
      decode_column(bytes, capabilities),
      [&](std::string& out, const ColumnDef& c) { encode_column(out, c, capabilities); },
      [&](std::string_view in) { return decode_column(in, capabilities); });
  if (const auto err = decode_err(bytes); err.ok()) {
    (void)from_err_packet(*err);
    (void)decode_tablet_error(*err);
    (void)to_err_packet(Error(Code::kUnknown, err->message));
  }
}

void rows(uint8_t shape, std::string_view bytes) {
  std::vector<Cell> cells;
  if (decode_text_row(bytes, shape, cells).ok()) {
    std::string again;
    encode_text_row(again, cells);
    std::vector<Cell> same;
    CHECK(decode_text_row(again, shape, same).ok() && same == cells);
  }
  // Column types come from the input too.
  const size_t count = std::min<size_t>(shape % 16, bytes.size() / 2);
  std::vector<ColumnDef> columns(count);
  for (size_t i = 0; i < count; ++i) {
    columns[i].type = static_cast<FieldType>(bytes[i * 2]);
    columns[i].flags = static_cast<uint8_t>(bytes[i * 2 + 1]);
    columns[i].decimals = static_cast<uint8_t>(bytes[i * 2 + 1]) % 40;
    columns[i].length = static_cast<uint8_t>(bytes[i * 2]);
  }
  bytes.remove_prefix(count * 2);
  std::string storage;
  if (!decode_binary_row(bytes, columns, storage, cells).ok()) return;
  std::string literal;
  for (size_t i = 0; i < count; ++i) append_sql_literal(literal, make_value(columns[i], cells[i]));
  std::string binary;
  if (!encode_binary_row(binary, columns, cells).ok()) return;  // Not every binary value is one ("month 77").
  std::string storage_again;
  std::vector<Cell> again;
  CHECK(decode_binary_row(binary, columns, storage_again, again).ok());
  CHECK(again == cells);
}

void statements(uint8_t parameters, std::string_view bytes, Capabilities capabilities) {
  if (const auto query = decode_query(bytes, capabilities); query.ok()) {
    std::string out;
    encode_query(out, query->text, query->attributes, capabilities);
    const auto again = decode_query(out, capabilities);
    CHECK(again.ok() && again->text == query->text && again->attributes.size() == query->attributes.size());
  }
  (void)decode_prepare_ok(bytes);
  (void)decode_stmt_fetch(bytes);
  (void)decode_statement_id(bytes);
  StatementMemory memory;
  if (const auto data = decode_stmt_long_data(bytes); data.ok()) (void)memory.add_long_data(*data, 4, {});
  const auto execute = decode_stmt_execute(bytes, capabilities, parameters, memory);
  if (!execute.ok()) return;
  std::string out;
  encode_stmt_execute(out, *execute, capabilities);
  StatementMemory fresh;
  const auto again = decode_stmt_execute(out, capabilities, parameters, fresh);
  CHECK(again.ok() && again->parameters.size() == execute->parameters.size());
  for (size_t i = 0; i < execute->parameters.size(); ++i) {
    const auto value = parameter_value(execute->parameters[i]);
    const auto same = parameter_value(again->parameters[i]);
    CHECK(value.ok() == same.ok() && (!value.ok() || value->bytes == same->bytes));
    if (!value.ok()) continue;
    std::string literal;
    append_sql_literal(literal, *value);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const Capabilities capabilities = kCapabilities[data[0] / 8 % 4];
  const std::string_view bytes(reinterpret_cast<const char*>(data + 2), size - 2);
  switch (data[0] % 6) {
    case 0: frames(bytes); break;
    case 1: login(bytes); break;
    case 2: generic(bytes, capabilities); break;
    case 3: rows(data[1], bytes); break;
    case 4: session(data[1], bytes); break;
    default: statements(data[1] % 8, bytes, capabilities);
  }
  return 0;
}
