#include "mysql/handshake.h"

#include <algorithm>

#include "mysql/errors.h"
#include "mysql/packet.h"

namespace vitrail::mysql {
namespace {

constexpr uint8_t kProtocolVersion = 10;
constexpr size_t kSslRequestSize = 32;
constexpr size_t kFirstNoncePart = 8;
// Bound on what a client may tell about itself.
constexpr size_t kMaxAttributesSize = 64 * 1024;

Error bad_handshake() {
  return fail(Code::kInvalidArgument, "Bad handshake").with_mysql(errnos::kBadHandshake, "08S01");
}

// The 32 bytes that a TLS request and a full response have in common.
void append_response_head(std::string& out, const HandshakeResponse& response) {
  const auto extended = static_cast<uint32_t>(response.capabilities >> 32);
  auto low = static_cast<uint32_t>(response.capabilities);
  if (extended != 0) low &= ~static_cast<uint32_t>(kClientLongPassword);
  append_u32(out, low);
  append_u32(out, response.max_packet_size);
  append_u8(out, response.collation);
  out.append(19, '\0');
  append_u32(out, extended);
}

void read_response_head(ByteReader& reader, HandshakeResponse& response) {
  response.capabilities = reader.u32();
  response.max_packet_size = reader.u32();
  response.collation = reader.u8();
  reader.skip(19);
  const uint64_t extended = reader.u32();
  // MySQL's clients leave zeros or noise here; MariaDB's clear the first bit when they mean it.
  if ((response.capabilities & kClientLongPassword) == 0) response.capabilities |= extended << 32;
}

void append_attributes(std::string& out, const ConnectAttributes& attributes) {
  std::string all;
  for (const auto& [name, value] : attributes) {
    append_lenenc_string(all, name);
    append_lenenc_string(all, value);
  }
  append_lenenc_string(out, all);
}

void read_attributes(ByteReader& reader, ConnectAttributes& attributes) {
  ByteReader list(reader.lenenc_string());
  if (list.remaining() > kMaxAttributesSize) return reader.set_failed();
  while (list.ok() && !list.at_end()) {
    const std::string_view name = list.lenenc_string();
    const std::string_view value = list.lenenc_string();
    attributes.emplace_back(name, value);
  }
  if (!list.ok()) reader.set_failed();
}

}  // namespace

void encode_handshake_v10(std::string& out, const HandshakeV10& handshake) {
  Capabilities capabilities = handshake.capabilities;
  if (capabilities >> 32 != 0) capabilities &= ~kClientLongPassword;
  std::string nonce = handshake.nonce;
  nonce.resize(kNonceSize, '\0');
  append_u8(out, kProtocolVersion);
  append_null_terminated(out, handshake.server_version);
  append_u32(out, handshake.connection_id);
  out.append(nonce, 0, kFirstNoncePart);
  append_u8(out, 0);
  append_u16(out, static_cast<uint16_t>(capabilities));
  append_u8(out, handshake.collation);
  append_u16(out, handshake.status_flags);
  append_u16(out, static_cast<uint16_t>(capabilities >> 16));
  append_u8(out, (capabilities & kClientPluginAuth) != 0 ? kNonceSize + 1 : 0);
  out.append(6, '\0');
  append_u32(out, static_cast<uint32_t>(capabilities >> 32));
  append_null_terminated(out, std::string_view(nonce).substr(kFirstNoncePart));
  if ((capabilities & kClientPluginAuth) != 0) append_null_terminated(out, handshake.auth_plugin);
}

Result<HandshakeV10> decode_handshake_v10(std::string_view payload) {
  ByteReader reader(payload);
  if (reader.u8() != kProtocolVersion) return bad_handshake();
  HandshakeV10 handshake;
  handshake.server_version = reader.null_terminated();
  handshake.connection_id = reader.u32();
  handshake.nonce = reader.bytes(kFirstNoncePart);
  reader.skip(1);
  handshake.capabilities = reader.u16();
  handshake.collation = reader.u8();
  handshake.status_flags = reader.u16();
  handshake.capabilities |= static_cast<Capabilities>(reader.u16()) << 16;
  const size_t nonce_size = reader.u8();
  reader.skip(6);
  const Capabilities extended = reader.u32();
  if ((handshake.capabilities & kClientLongPassword) == 0) handshake.capabilities |= extended << 32;
  if ((handshake.capabilities & kClientSecureConnection) != 0) {
    const size_t second = nonce_size > kFirstNoncePart + 13 ? nonce_size - kFirstNoncePart : 13;
    std::string_view part = reader.bytes(std::min(second, reader.remaining()));
    if (part.ends_with('\0')) part.remove_suffix(1);
    handshake.nonce.append(part);
    if (handshake.nonce.size() < kNonceSize) return bad_handshake();
  }
  handshake.auth_plugin.clear();
  if ((handshake.capabilities & kClientPluginAuth) != 0) handshake.auth_plugin = reader.null_terminated_or_rest();
  if (!reader.ok()) return bad_handshake();
  return handshake;
}

void encode_handshake_response(std::string& out, const HandshakeResponse& response) {
  const Capabilities capabilities = response.capabilities;
  append_response_head(out, response);
  append_null_terminated(out, response.user);
  if ((capabilities & kClientPluginAuthLenencData) != 0) {
    append_lenenc_string(out, response.auth_response);
  } else if ((capabilities & kClientSecureConnection) != 0) {
    const std::string_view short_enough = std::string_view(response.auth_response).substr(0, 255);
    append_u8(out, static_cast<uint8_t>(short_enough.size()));
    out.append(short_enough);
  } else {
    append_null_terminated(out, response.auth_response);
  }
  if ((capabilities & kClientConnectWithDb) != 0) append_null_terminated(out, response.database);
  if ((capabilities & kClientPluginAuth) != 0) append_null_terminated(out, response.auth_plugin);
  if ((capabilities & kClientConnectAttrs) != 0) append_attributes(out, response.attributes);
}

Result<HandshakeResponse> decode_handshake_response(std::string_view payload) {
  ByteReader reader(payload);
  HandshakeResponse response;
  read_response_head(reader, response);
  if (!reader.ok() || (response.capabilities & kClientProtocol41) == 0) return bad_handshake();
  response.user = reader.null_terminated();
  if ((response.capabilities & kClientPluginAuthLenencData) != 0) {
    response.auth_response = reader.lenenc_string();
  } else if ((response.capabilities & kClientSecureConnection) != 0) {
    response.auth_response = reader.bytes(reader.u8());
  } else {
    response.auth_response = reader.null_terminated();
  }
  // Some clients announce the parts below and end the message before them.
  if ((response.capabilities & kClientConnectWithDb) != 0 && !reader.at_end()) {
    response.database = reader.null_terminated_or_rest();
  }
  if ((response.capabilities & kClientPluginAuth) != 0 && !reader.at_end()) {
    response.auth_plugin = reader.null_terminated_or_rest();
  }
  if ((response.capabilities & kClientConnectAttrs) != 0 && !reader.at_end())
    read_attributes(reader, response.attributes);
  if (!reader.ok()) return bad_handshake();
  return response;
}

bool is_ssl_request(std::string_view payload) {
  if (payload.size() != kSslRequestSize) return false;
  ByteReader reader(payload);
  return (reader.u32() & kClientSsl) != 0;
}

void encode_ssl_request(std::string& out, const HandshakeResponse& response) {
  HandshakeResponse head = response;
  head.capabilities |= kClientSsl;
  append_response_head(out, head);
}

Result<HandshakeResponse> decode_ssl_request(std::string_view payload) {
  if (!is_ssl_request(payload)) return bad_handshake();
  ByteReader reader(payload);
  HandshakeResponse response;
  read_response_head(reader, response);
  return response;
}

void encode_auth_switch(std::string& out, const AuthSwitchRequest& request) {
  append_u8(out, kEofHeader);
  append_null_terminated(out, request.plugin);
  append_null_terminated(out, request.data);
}

Result<AuthSwitchRequest> decode_auth_switch(std::string_view payload) {
  ByteReader reader(payload);
  if (reader.u8() != kEofHeader) return bad_handshake();
  AuthSwitchRequest request;
  request.plugin = reader.null_terminated();
  std::string_view data = reader.rest();
  if (data.ends_with('\0')) data.remove_suffix(1);
  request.data = data;
  if (!reader.ok()) return bad_handshake();
  return request;
}

void encode_auth_more_data(std::string& out, std::string_view data) {
  append_u8(out, 0x01);
  out.append(data);
}

Result<std::string_view> decode_auth_more_data(std::string_view payload) {
  if (payload.empty() || payload[0] != '\x01') return bad_handshake();
  return payload.substr(1);
}

void encode_change_user(std::string& out, const ChangeUser& change, Capabilities capabilities) {
  append_u8(out, static_cast<uint8_t>(Command::kChangeUser));
  append_null_terminated(out, change.user);
  const std::string_view auth = std::string_view(change.auth_response).substr(0, 255);
  append_u8(out, static_cast<uint8_t>(auth.size()));
  out.append(auth);
  append_null_terminated(out, change.database);
  append_u16(out, change.collation);
  if ((capabilities & kClientPluginAuth) != 0) append_null_terminated(out, change.auth_plugin);
  if ((capabilities & kClientConnectAttrs) != 0) append_attributes(out, change.attributes);
}

Result<ChangeUser> decode_change_user(std::string_view payload, Capabilities capabilities) {
  ByteReader reader(payload);
  if (reader.u8() != static_cast<uint8_t>(Command::kChangeUser)) return bad_handshake();
  ChangeUser change;
  change.user = reader.null_terminated();
  change.auth_response = reader.bytes(reader.u8());
  change.database = reader.null_terminated_or_rest();
  if (!reader.at_end()) change.collation = reader.u16();
  if ((capabilities & kClientPluginAuth) != 0 && !reader.at_end())
    change.auth_plugin = reader.null_terminated_or_rest();
  if ((capabilities & kClientConnectAttrs) != 0 && !reader.at_end()) read_attributes(reader, change.attributes);
  if (!reader.ok()) return bad_handshake();
  return change;
}

}  // namespace vitrail::mysql
