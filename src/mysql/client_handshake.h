#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "mysql/handshake.h"
#include "mysql/messages.h"

namespace vitrail::mysql {

struct ClientAuthSettings {
  std::string user;
  std::string password;
  std::string database;  // Empty: none.
  // Asked for; what the server lacks is dropped. kClientConnectWithDb and kClientSsl are derived from the other fields.
  Capabilities capabilities = kClientLongPassword | kClientLongFlag | kClientProtocol41 | kClientTransactions |
                              kClientSecureConnection | kClientMultiResults | kClientPsMultiResults |
                              kClientPluginAuth | kClientConnectAttrs | kClientPluginAuthLenencData |
                              kClientDeprecateEof | kClientSessionTrack;
  uint8_t collation = 45;
  uint32_t max_packet_size = uint32_t{1} << 30;
  ConnectAttributes attributes;
  bool secure_transport = false;  // The stream is a unix socket: clear passwords may be sent where a plugin asks.
  bool use_tls = false;           // Asks for TLS; a server without it is refused ...
  bool tls_optional = false;      // ... unless this says that it will do.
  bool allow_cleartext = false;   // mysql_clear_password without secure transport.
  std::string server_public_key;  // PEM; empty: asked from the server when needed.
};

// Client side of the connection phase. No I/O: messages in, framed bytes out.
//
//   Wait for the server's first message; then on_message(...) for each -> send `out`, and act on the returned Next.
//   Plugins: mysql_native_password, caching_sha2_password (fast; full over TLS, unix socket or RSA),
//   mysql_clear_password (secure transport or allow_cleartext), auth_socket / unix_socket (nothing to send).
//   Errors: the server's ERR becomes an Error with its errno (kUnauthenticated for 1045 and kin, kResourceExhausted
//   for 1040); an unknown plugin is kUnimplemented with errno 2059.
class ClientHandshake {
 public:
  enum class Next : uint8_t {
    kRead,
    kStartTls,  // Send `out`, start TLS on the stream, call tls_started(out), send `out`, wait for a message.
    kDone,      // Logged in: server(), capabilities(), ok() are valid.
    kFailed,    // error() is valid; close.
  };

  // `settings` are copied: a handshake may outlive the caller's temporary.
  explicit ClientHandshake(ClientAuthSettings settings) : settings_(std::move(settings)) {}

  Next on_message(uint8_t sequence, std::string_view payload, std::string& out);
  void tls_started(std::string& out);

  const HandshakeV10& server() const { return server_; }
  Capabilities capabilities() const { return capabilities_; }  // Negotiated.
  const OkPacket& ok() const { return ok_; }
  const Error& error() const { return *error_; }

 private:
  enum class Step : uint8_t { kGreeting, kTls, kResult, kSha2Key, kFinished };

  Next on_greeting(std::string_view payload, std::string& out);
  void send_response(std::string& out);
  Next on_result(std::string_view payload, std::string& out);
  Next on_switch(std::string_view payload, std::string& out);
  Next on_more_data(std::string_view payload, std::string& out);
  Result<std::string> first_answer(std::string_view plugin);
  Next send_encrypted(std::string_view public_key, std::string& out);
  Next fail_with(Error error);
  bool secure() const { return settings_.secure_transport || tls_; }
  void send(std::string& out, std::string_view payload);

  ClientAuthSettings settings_;
  Step step_ = Step::kGreeting;
  bool tls_ = false;
  uint8_t sequence_ = 0;  // Of the next message we send.
  HandshakeV10 server_;
  Capabilities capabilities_ = 0;
  std::string plugin_;
  std::string nonce_;
  OkPacket ok_;
  std::optional<Error> error_;
};

}  // namespace vitrail::mysql
