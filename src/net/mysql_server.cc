#include "net/mysql_server.h"

#include <algorithm>

#include "mysql/errors.h"

namespace vitrail::net {

Task<Status> PendingLogin::accept(uint16_t status_flags, Wait wait) {
  std::string out;
  handshake_->accept(out, status_flags);
  co_return co_await stream_.write(out, wait);
}

Task<void> PendingLogin::refuse(mysql::ErrPacket err, Wait wait) {
  std::string out;
  handshake_->refuse(out, err);
  (void)co_await stream_.write(out, wait);
  stream_.socket().close();
}

Task<Result<PendingLogin>> accept_login(Socket socket, const mysql::ServerAuthSettings& settings,
                                        std::shared_ptr<const TlsContext> tls, uint32_t connection_id,
                                        size_t max_message, Wait wait) {
  CHECK(!settings.tls_available || tls != nullptr);
  mysql::Peer peer;
  peer.is_unix_socket = socket.is_unix();
  peer.host = peer.is_unix_socket ? "localhost" : socket.peer().substr(0, socket.peer().rfind(':'));
  // Who has not shown a password yet gets no memory to fill.
  constexpr size_t kLoginMax = size_t{128} << 10;
  PacketStream stream(std::move(socket), std::min(max_message, kLoginMax));
  auto handshake =
      std::make_unique<mysql::ServerHandshake>(settings, connection_id, std::move(peer), base::system_random());
  std::string out;
  handshake->start(out);
  for (;;) {
    if (!out.empty()) CO_RETURN_IF_ERROR(co_await stream.write(out, wait));
    out.clear();
    auto message = co_await stream.read_message(wait);
    if (!message.ok()) co_return std::move(message).error();
    if (!message->has_value()) co_return fail(Code::kCanceled, "the client left during the login");
    using Next = mysql::ServerHandshake::Next;
    const Next next = handshake->on_message((*message)->last_sequence, (*message)->payload, out);
    if (next == Next::kAccepted) {
      // What the plugin has to say ahead of the OK.
      if (!out.empty()) CO_RETURN_IF_ERROR(co_await stream.write(out, wait));
      break;
    }
    if (next == Next::kRefused) {
      (void)co_await stream.write(out, wait);
      co_return fail(Code::kUnauthenticated, handshake->error().message)
          .with_mysql(handshake->error().code, handshake->error().sqlstate);
    }
    if (next == Next::kStartTls) {
      Status started = co_await stream.start_tls(tls, "", wait);
      if (!started.ok()) co_return std::move(started).error().with_mysql(mysql::errnos::kClientTlsError, "HY000");
      handshake->tls_started();
    }
  }
  stream.set_max_message(max_message);
  co_return PendingLogin(std::move(stream), std::move(handshake));
}

}  // namespace vitrail::net
