#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "net/loop.h"
#include "net/tls.h"

namespace vitrail::net {

class Carrier;
namespace internal {
class MuxStream;
struct MuxStreamDelete {
  void operator()(MuxStream* stream) const;
};
using MuxStreamPtr = std::unique_ptr<MuxStream, MuxStreamDelete>;
}  // namespace internal

// A connected stream socket (TCP or unix), non-blocking, bound to the loop on which it was made; or one of the streams
// that a Carrier has on one such socket, which behaves in the same way.
//
//   Owns    : the descriptor, or the stream. Move-only; must not be moved while an operation waits.
//   Threads : the loop's thread only. One read and one write may wait at the same time.
//   Errors  : kUnavailable when the peer is gone or refuses; kDeadlineExceeded and kCanceled as in Wait. After a failed
//             write an unknown part was sent: close the socket.
//   TLS     : from start_tls() on, what is read and written is encrypted on its way; callers do not change.
class Socket {
 public:
  Socket() = default;
  Socket(Socket&&) noexcept = default;
  Socket& operator=(Socket&& other) noexcept;
  ~Socket() { close(); }

  // `host` is a name or a numeric address; names are looked up on a helper thread.
  static Task<Result<Socket>> connect_tcp(std::string host, uint16_t port, Wait wait);
  static Task<Result<Socket>> connect_unix(std::string path, Wait wait);
  // Takes over a connected descriptor (accepted elsewhere); sets it non-blocking. Must run on the loop that will use
  // it.
  static Result<Socket> adopt(int fd);

  bool open() const { return io_ != nullptr; }
  // Begins TLS on the open connection, as client or server, as `context` says. `host`: as the client was told to reach
  // the server. `received`: bytes of the peer that were read already.
  //   kUnavailable: the peer does not speak TLS, or one side refuses the other: the message says why. Errors of Wait.
  //   After an error, close the socket.
  Task<Status> start_tls(std::shared_ptr<const TlsContext> context, std::string host, std::string received, Wait wait);
  bool encrypted() const { return tls_ != nullptr || carrier_encrypted_; }
  // It is a stream of a Carrier. It has no TLS of its own.
  bool carried() const { return carried_ != nullptr; }

  // Address of the other side, "127.0.0.1:4711" or the path of a unix socket.
  const std::string& peer() const { return peer_; }
  bool is_unix() const { return unix_; }
  void close();
  // Makes pending and future operations of this socket fail; for another coroutine of the same loop that wants it to
  // end.
  void abort();
  // Cancels `source` as soon as the peer closes its side or the connection breaks, also while nobody reads: how whoever
  // works for the peer learns that nobody waits any more. `source` must outlive the socket, or the next call (null:
  // none).
  void cancel_when_gone(CancelSource* source);
  // True when bytes or the end of the stream can be read without waiting (used to drop stale pooled connections).
  // `ask`: asks the kernel, which knows more than the loop has been told of; a system call.
  bool has_input(bool ask = true);

  class ReadOperation;
  class WriteOperation;

  // Reads at least one byte into `buffer`; 0 at the end of the stream. `wait` must outlive the await.
  ReadOperation read_some(std::span<char> buffer, const Wait& wait);
  // The same, into what `room` gives when there is something to read: who waits needs no buffer.
  class ReadRoom;
  ReadOperation read_some(ReadRoom& room, const Wait& wait);
  // Writes all of `data`, which must stay valid.
  WriteOperation write_all(std::string_view data, const Wait& wait);

 private:
  friend class Carrier;
  // What is there to be read: at least one byte, or 0 at the end. -1: nothing yet, where `error` is 0.
  ssize_t receive(std::span<char> buffer, int& error);
  // The other side has closed it, or it is broken, by what the kernel knows.
  bool ended() const;

  std::unique_ptr<internal::IoState> io_;
  internal::TlsSessionPtr tls_;     // Null: plain text. Refers to io_.
  internal::MuxStreamPtr carried_;  // Null: a descriptor. Refers to io_.
  Loop* loop_ = nullptr;
  std::string peer_;
  bool unix_ = false;
  bool carrier_encrypted_ = false;
};

class Socket::ReadRoom {
 public:
  virtual std::span<char> room() = 0;

 protected:
  ~ReadRoom() = default;
};

class Socket::ReadOperation final : public internal::IoState::Operation {
 public:
  ReadOperation(Socket& socket, std::span<char> buffer, ReadRoom* room, const Wait& wait)
      : socket_(socket), buffer_(buffer), room_(room), wait_(wait) {}
  bool await_ready();
  bool await_suspend(std::coroutine_handle<> handle);
  Result<size_t> await_resume();

 private:
  bool perform() override;
  void abandon() override;
  Socket& socket_;
  std::span<char> buffer_;
  ReadRoom* room_;  // Where `buffer_` is to come from; null: it is there.
  const Wait& wait_;
  ssize_t result_ = 0;
  int errno_ = 0;
};

class Socket::WriteOperation final : public internal::IoState::Operation {
 public:
  WriteOperation(Socket& socket, std::string_view data, const Wait& wait) : socket_(socket), data_(data), wait_(wait) {}
  bool await_ready();
  bool await_suspend(std::coroutine_handle<> handle);
  Status await_resume();

 private:
  bool perform() override;
  bool perform_tls();
  void abandon() override;
  Socket& socket_;
  std::string_view data_;
  const Wait& wait_;
  int errno_ = 0;
};

// A listening socket. accept() waits for the next connection and returns its descriptor, so that it can be adopted by
// another loop.
class Listener {
 public:
  Listener() = default;
  Listener(Listener&&) noexcept = default;
  Listener& operator=(Listener&&) noexcept = default;
  ~Listener() { close(); }

  // Port 0 takes a free one. kAlreadyExists when the port or path is taken: the message names it.
  static Result<Listener> listen_tcp(const std::string& host, uint16_t port, int backlog = 1024);
  static Result<Listener> listen_unix(const std::string& path, int backlog = 1024);

  uint16_t port() const { return port_; }
  Task<Result<int>> accept(Wait wait);
  void close();

 private:
  std::unique_ptr<internal::IoState> io_;
  Loop* loop_ = nullptr;
  uint16_t port_ = 0;
  std::string unlink_path_;
};

}  // namespace vitrail::net
