#include "net/tls_session.h"

#include <openssl/err.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace vitrail::net::internal {
namespace {

// Encrypted before it is sent: more than a record, to save writes; not much more, since it is a copy.
constexpr size_t kPiece = size_t{64} << 10;
constexpr size_t kKeptOutput = size_t{4} << 10;

}  // namespace

void TlsDelete::operator()(TlsSession* session) const { delete session; }

const BIO_METHOD* TlsSession::transport() {
  static const BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "vitrail socket");
    CHECK(made != nullptr);
    BIO_meth_set_read(made, on_read);
    BIO_meth_set_write(made, on_write);
    BIO_meth_set_ctrl(made, on_control);
    return made;
  }();
  return method;
}

TlsSession::TlsSession(SSL* ssl, IoState& io, std::string received)
    : ssl_(ssl), io_(io), received_(std::move(received)) {
  BIO* bio = BIO_new(transport());
  CHECK(bio != nullptr);
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_, bio, bio);
}

TlsSession::~TlsSession() { SSL_free(ssl_); }

int TlsSession::on_read(BIO* bio, char* data, int size) {
  auto& self = *static_cast<TlsSession*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  const auto room = static_cast<size_t>(size);
  if (!self.received_.empty()) {
    const size_t here = std::min(room, self.received_.size());
    std::memcpy(data, self.received_.data(), here);
    self.received_.erase(0, here);
    return static_cast<int>(here);
  }
  while (self.io_.readable) {
    const ssize_t got = recv(self.io_.fd, data, room, 0);
    if (got >= 0) {
      // As in Socket::ReadOperation.
      if (static_cast<size_t>(got) < room && !self.io_.hung_up) self.io_.readable = false;
      self.ended_ = got == 0;
      return static_cast<int>(got);
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return -1;
    self.io_.readable = false;
  }
  BIO_set_retry_read(bio);
  return -1;
}

int TlsSession::on_write(BIO* bio, const char* data, int size) {
  auto& self = *static_cast<TlsSession*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  self.out_.append(data, static_cast<size_t>(size));
  return size;
}

long TlsSession::on_control(BIO* bio, int command, long, void*) {
  if (command == BIO_CTRL_EOF) return static_cast<TlsSession*>(BIO_get_data(bio))->ended_ ? 1 : 0;
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

TlsSession::Step TlsSession::fail_with(std::string reason) {
  failed_ = true;
  reason_ = std::move(reason);
  return Step::kFailed;
}

TlsSession::Step TlsSession::outcome(int rc) {
  const int system_error = errno;
  switch (SSL_get_error(ssl_, rc)) {
    case SSL_ERROR_WANT_READ: return Step::kWaiting;
    case SSL_ERROR_ZERO_RETURN: return Step::kEnded;
    case SSL_ERROR_SYSCALL: return fail_with(system_error == 0 ? "the stream ended" : std::strerror(system_error));
    default: break;
  }
  const unsigned long code = ERR_peek_last_error();
  if (const long verified = SSL_get_verify_result(ssl_);
      verified != X509_V_OK && ERR_GET_REASON(code) == SSL_R_CERTIFICATE_VERIFY_FAILED) {
    return fail_with(std::string("the peer's certificate is refused: ") + X509_verify_cert_error_string(verified));
  }
  const char* reason = ERR_reason_error_string(code);
  return fail_with(reason == nullptr ? "protocol error" : reason);
}

TlsSession::Step TlsSession::handshake() {
  if (failed_) return Step::kFailed;
  ERR_clear_error();
  errno = 0;
  const int rc = SSL_do_handshake(ssl_);
  if (rc == 1) return Step::kDone;
  const Step step = outcome(rc);
  return step == Step::kEnded ? fail_with("the peer closed the connection") : step;
}

TlsSession::Step TlsSession::read(std::span<char> buffer, size_t& got) {
  got = 0;
  while (got < buffer.size()) {
    if (failed_) return got > 0 ? Step::kDone : Step::kFailed;
    ERR_clear_error();
    errno = 0;
    size_t here = 0;
    const int rc = SSL_read_ex(ssl_, buffer.data() + got, buffer.size() - got, &here);
    got += here;
    if (rc == 1) continue;
    const Step step = outcome(rc);
    if (has_output()) (void)flush();  // An answer to a change of keys.
    return got > 0 ? Step::kDone : step;
  }
  return Step::kDone;
}

TlsSession::Step TlsSession::write(std::string_view& data) {
  for (;;) {
    if (const Step step = flush(); step != Step::kDone || data.empty()) return step;
    ERR_clear_error();
    errno = 0;
    size_t taken = 0;
    const int rc = SSL_write_ex(ssl_, data.data(), std::min(data.size(), kPiece), &taken);
    if (rc != 1) {
      // Nothing is ever waited for here: what is sent has room, and keys are not negotiated again.
      const Step step = outcome(rc);
      return step == Step::kFailed ? step : fail_with("the stream cannot be written to");
    }
    data.remove_prefix(taken);
  }
}

TlsSession::Step TlsSession::flush() {
  while (has_output()) {
    const ssize_t sent = send(io_.fd, out_.data() + sent_, out_.size() - sent_, MSG_NOSIGNAL);
    if (sent >= 0) {
      sent_ += static_cast<size_t>(sent);
      continue;
    }
    if (errno == EINTR) continue;
    if (errno == EAGAIN) return Step::kWaiting;
    // The reason of an earlier failure says more: this is its alert, which nobody reads.
    return failed_ ? Step::kFailed : fail_with(std::strerror(errno));
  }
  out_.clear();
  sent_ = 0;
  if (out_.capacity() > kKeptOutput) out_.shrink_to_fit();
  return failed_ ? Step::kFailed : Step::kDone;
}

void TlsSession::say_goodbye() {
  if (failed_ || SSL_is_init_finished(ssl_) == 0) return;
  ERR_clear_error();
  (void)SSL_shutdown(ssl_);
  (void)flush();
}

Error TlsSession::error(std::string_view what) const {
  return fail(Code::kUnavailable, std::string(what) + ": " + reason_);
}

}  // namespace vitrail::net::internal
