#pragma once

#include <span>
#include <string>
#include <string_view>

#include "net/openssl.h"
#include "net/socket.h"
#include "net/tls.h"

namespace vitrail::net::internal {

// TLS between a socket and its user. Reads from the descriptor only when its flag says that there may be something.
// What is to be sent is collected and sent in as few writes as the descriptor takes, so only reading ever waits for the
// peer, and only writing for room.
//   Threads: the socket's loop. Does not move.
class TlsSession {
 public:
  enum class Step : uint8_t {
    kDone,
    kWaiting,  // For the descriptor: to become readable, in write() and flush() writable.
    kEnded,    // The peer has closed the stream.
    kFailed,   // error() says why; nothing works any more.
  };

  TlsSession(SSL* ssl, IoState& io, std::string received);
  ~TlsSession();
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;

  // As far as it goes without waiting. Flush what it leaves to send, whatever it returns.
  Step handshake();
  // As many bytes as are there, up to the buffer's size.
  Step read(std::span<char> buffer, size_t& got);
  // Takes from `data` what it has sent; done when that is all.
  Step write(std::string_view& data);
  Step flush();
  bool has_output() const { return sent_ < out_.size(); }
  // Whether read() may find something without the descriptor.
  bool has_input() const { return !received_.empty() || SSL_has_pending(ssl_) != 0; }
  // Tells the peer that the stream ends here, if that is possible at once.
  void say_goodbye();

  bool failed() const { return failed_; }
  Error error(std::string_view what) const;

 private:
  static const BIO_METHOD* transport();
  static int on_read(BIO* bio, char* data, int size);
  static int on_write(BIO* bio, const char* data, int size);
  static long on_control(BIO* bio, int command, long number, void* pointer);
  Step outcome(int rc);
  Step fail_with(std::string reason);

  SSL* const ssl_;
  IoState& io_;
  std::string received_;  // Read before TLS began.
  std::string out_;
  size_t sent_ = 0;     // Of out_.
  bool ended_ = false;  // The descriptor has reached its end.
  bool failed_ = false;
  std::string reason_;
};

}  // namespace vitrail::net::internal
