#pragma once

#include <memory>
#include <optional>

#include "base/random.h"
#include "base/result.h"
#include "mysql/server_handshake.h"
#include "net/packet_stream.h"

namespace vitrail::net {

// A client that has shown who it is and waits for the OK of the login: check its database, then accept() or refuse().
//   Owns: the stream; move it out after accept().
class PendingLogin {
 public:
  PendingLogin(PacketStream stream, std::unique_ptr<mysql::ServerHandshake> handshake)
      : stream_(std::move(stream)), handshake_(std::move(handshake)) {}

  const mysql::AuthenticatedClient& client() const { return handshake_->client(); }
  uint32_t connection_id() const { return handshake_->connection_id(); }
  Task<Status> accept(uint16_t status_flags, Wait wait);
  Task<void> refuse(mysql::ErrPacket err, Wait wait);
  PacketStream& stream() { return stream_; }
  // For who has moved the stream out: makes the last messages of the login.
  mysql::ServerHandshake& handshake() { return *handshake_; }

 private:
  PacketStream stream_;
  std::unique_ptr<mysql::ServerHandshake> handshake_;
};

// Server side of the connection phase on a fresh connection. A refused client has been told so when this returns its
// error.
//   `settings` must outlive the call. `peer.host` is filled from the socket.
//   `tls`: for clients that ask for it; not null when settings.tls_available. Its failures have errno 2026.
Task<Result<PendingLogin>> accept_login(Socket socket, const mysql::ServerAuthSettings& settings,
                                        std::shared_ptr<const TlsContext> tls, uint32_t connection_id,
                                        size_t max_message, Wait wait);

}  // namespace vitrail::net
