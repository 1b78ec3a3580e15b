#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "base/result.h"
#include "mysql/auth.h"
#include "mysql/handshake.h"
#include "mysql/messages.h"

namespace vitrail::mysql {

// Settings shared by all connections of a listener. Must outlive the handshakes that use them.
struct ServerAuthSettings {
  std::string server_version = "8.4.6-Vitrail";
  Capabilities capabilities = kSupportedCapabilities & ~kClientSsl & ~kMariadbClientExtendedMetadata;
  uint8_t collation = 45;                          // Announced; 45 is utf8mb4_general_ci.
  std::string auth_plugin{kNativePasswordPlugin};  // Announced first; others are reached by a switch.
  bool tls_available = false;                      // Announces kClientSsl.
  bool require_secure_transport = false;           // Refuses clients on plain TCP with error 3159.
  bool allow_cleartext_without_tls = false;        // Lets mysql_clear_password through on plain TCP.
  const AuthProvider* provider = &allow_everyone();
  // For caching_sha2_password's full path on plain TCP. Null: such logins are refused there.
  std::shared_ptr<const RsaKeyPair> rsa_key;
};

// Who the client turned out to be, and what was negotiated.
struct AuthenticatedClient {
  std::string user;
  std::string user_data;
  std::vector<std::string> groups;
  std::string database;           // Not checked to exist; empty: none.
  Capabilities capabilities = 0;  // Client's and server's.
  uint32_t max_packet_size = 0;
  uint16_t collation = 0;
  ConnectAttributes attributes;
  std::string auth_plugin;  // The one that was used.
};

// Server side of the connection phase, and of COM_CHANGE_USER. No I/O: messages in, framed bytes out.
//
//   start(out) -> send; then for each message on_message(...) -> send `out`, and act on the returned Next.
//   kAccepted leaves the final OK to the caller, who may first check the database: finish with accept() or refuse().
//   A refusal's ERR is in `out` already: send it, then close.
class ServerHandshake {
 public:
  enum class Next : uint8_t {
    kRead,      // Wait for another message.
    kStartTls,  // Start TLS on the stream, call tls_started(), then wait for the message.
    kAccepted,  // client() is valid.
    kRefused,   // error() is valid; send and close.
  };

  ServerHandshake(const ServerAuthSettings& settings, uint32_t connection_id, Peer peer, base::Random& random);

  // Appends the greeting.
  void start(std::string& out);
  // `sequence`: the message's (last) sequence number.
  Next on_message(uint8_t sequence, std::string_view payload, std::string& out);
  void tls_started() { secure_ = true; }

  // For a connection that another handshake accepted: as if this one had. `secure`: TLS is on.
  void resume(AuthenticatedClient client, bool secure);
  // Begins COM_CHANGE_USER on a connection that was accepted. `payload` starts with the command byte.
  Next on_change_user(uint8_t sequence, std::string_view payload, std::string& out);

  void accept(std::string& out, uint16_t status_flags);
  void refuse(std::string& out, const ErrPacket& err);

  const AuthenticatedClient& client() const { return client_; }
  const ErrPacket& error() const { return error_; }
  // The nonce and id of the greeting (for tests and KILL).
  uint32_t connection_id() const { return connection_id_; }

 private:
  enum class Step : uint8_t { kGreeting, kResponse, kSwitched, kSha2KeyOrPassword, kSha2Encrypted, kFinished };

  Next on_response(std::string_view payload, std::string& out);
  Next negotiate(std::string client_plugin, std::string auth_response, std::string& out);
  Next check(std::string_view auth_response, std::string& out);
  Next check_sha2_fast(std::string_view auth_response, std::string& out);
  Next on_sha2_full(std::string_view payload, std::string& out);
  Next check_clear(std::string_view password, std::string& out);
  Next switch_to(std::string_view plugin, std::string& out);
  Next accepted(const Credentials& credentials);
  Next deny(std::string& out, bool using_password);
  Next fail_with(std::string& out, uint16_t code, std::string_view sqlstate, std::string message);
  bool plugin_usable(std::string_view plugin) const;
  std::string_view best_plugin() const;
  bool secure() const { return secure_ || peer_.is_unix_socket; }
  void send(std::string& out, std::string_view payload);

  const ServerAuthSettings& settings_;
  uint32_t connection_id_;
  Peer peer_;
  base::Random& random_;
  Step step_ = Step::kGreeting;
  bool secure_ = false;
  uint8_t sequence_ = 0;  // Of the next message we send.
  std::string nonce_;
  std::string plugin_;
  std::vector<Credentials> entries_;
  bool used_password_ = false;
  AuthenticatedClient client_;
  ErrPacket error_;
};

}  // namespace vitrail::mysql
