#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "mysql/protocol.h"

// Messages of the connection phase. Encoders append one payload to `out`; decoders take one payload; malformed input
// gives kInvalidArgument with errno 1043 ("Bad handshake"). Source: MySQL 8 internals documentation, "Connection
// Phase"; MariaDB Knowledge Base, "Connection".
namespace vitrail::mysql {

inline constexpr std::string_view kNativePasswordPlugin = "mysql_native_password";
inline constexpr std::string_view kCachingSha2Plugin = "caching_sha2_password";
inline constexpr std::string_view kClearPasswordPlugin = "mysql_clear_password";

inline constexpr size_t kNonceSize = 20;

struct HandshakeV10 {
  std::string server_version;  // MariaDB prefixes "5.5.5-" for old replicas; kept as sent.
  uint32_t connection_id = 0;
  std::string nonce;  // kNonceSize bytes, none of them 0.
  Capabilities capabilities = 0;
  uint8_t collation = 45;
  uint16_t status_flags = kStatusAutocommit;
  std::string auth_plugin{kNativePasswordPlugin};
  bool operator==(const HandshakeV10&) const = default;
};
// MariaDB's extended capabilities are written (and kClientLongPassword left out) if any bit above 31 is set.
void encode_handshake_v10(std::string& out, const HandshakeV10& handshake);
Result<HandshakeV10> decode_handshake_v10(std::string_view payload);

using ConnectAttributes = std::vector<std::pair<std::string, std::string>>;

struct HandshakeResponse {
  Capabilities capabilities = 0;
  uint32_t max_packet_size = 1 << 24;
  uint8_t collation = 45;
  std::string user;
  std::string auth_response;
  std::string database;     // Empty: none.
  std::string auth_plugin;  // Empty: none sent.
  ConnectAttributes attributes;
  bool operator==(const HandshakeResponse&) const = default;
};
// Optional parts are written as `capabilities` says; kClientSsl says nothing about the form here.
void encode_handshake_response(std::string& out, const HandshakeResponse& response);
Result<HandshakeResponse> decode_handshake_response(std::string_view payload);

// A client that wants TLS sends the first 32 bytes of its response alone, starts TLS, and then sends all of it.
bool is_ssl_request(std::string_view payload);
void encode_ssl_request(std::string& out, const HandshakeResponse& response);
// Capabilities, max_packet_size and collation only.
Result<HandshakeResponse> decode_ssl_request(std::string_view payload);

struct AuthSwitchRequest {
  std::string plugin;
  std::string data;  // The new nonce, without the trailing 0 byte.
};
void encode_auth_switch(std::string& out, const AuthSwitchRequest& request);
Result<AuthSwitchRequest> decode_auth_switch(std::string_view payload);

// 0x01 and bytes that the plugin understands.
void encode_auth_more_data(std::string& out, std::string_view data);
Result<std::string_view> decode_auth_more_data(std::string_view payload);

// COM_CHANGE_USER, command byte included. `capabilities` are those of the connection.
struct ChangeUser {
  std::string user;
  std::string auth_response;
  std::string database;
  uint16_t collation = 45;
  std::string auth_plugin;
  ConnectAttributes attributes;
  bool operator==(const ChangeUser&) const = default;
};
void encode_change_user(std::string& out, const ChangeUser& change, Capabilities capabilities);
Result<ChangeUser> decode_change_user(std::string_view payload, Capabilities capabilities);

}  // namespace vitrail::mysql
