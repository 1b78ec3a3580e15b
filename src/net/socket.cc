#include "net/socket.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "net/stream_mux.h"
#include "net/tls_session.h"

namespace vitrail::net {
namespace {

Error socket_error(int error, std::string_view what) {
  Code code = Code::kUnavailable;
  if (error == EADDRINUSE) code = Code::kAlreadyExists;
  if (error == EACCES || error == EPERM) code = Code::kPermissionDenied;
  return Error(code, std::string(what) + ": " + std::strerror(error)).with_retry(Retry::kSameTarget);
}

std::string peer_name(const sockaddr_storage& address) {
  char host[NI_MAXHOST];
  char port[NI_MAXSERV];
  if (address.ss_family == AF_UNIX) return reinterpret_cast<const sockaddr_un&>(address).sun_path;
  if (getnameinfo(reinterpret_cast<const sockaddr*>(&address), sizeof address, host, sizeof host, port, sizeof port,
                  NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return "unknown";
  }
  return std::string(host) + ":" + port;
}

struct Address {
  sockaddr_storage storage{};
  socklen_t length = 0;
  std::string text;
};

// Blocking: call through offload() unless `host` is numeric.
Result<std::vector<Address>> resolve(const std::string& host, uint16_t port, bool passive, bool numeric) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = (passive ? AI_PASSIVE : 0) | (numeric ? AI_NUMERICHOST : 0);
  addrinfo* list = nullptr;
  const int rc = getaddrinfo(host.empty() ? nullptr : host.c_str(), std::to_string(port).c_str(), &hints, &list);
  if (rc != 0) {
    return fail(Code::kUnavailable, "cannot find the address of host '" + host + "': " + gai_strerror(rc));
  }
  std::vector<Address> result;
  for (const addrinfo* item = list; item != nullptr; item = item->ai_next) {
    Address address;
    std::memcpy(&address.storage, item->ai_addr, item->ai_addrlen);
    address.length = item->ai_addrlen;
    address.text = peer_name(address.storage);
    result.push_back(std::move(address));
  }
  freeaddrinfo(list);
  return result;
}

Result<Address> unix_address(const std::string& path) {
  Address address;
  auto& un = reinterpret_cast<sockaddr_un&>(address.storage);
  un.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof un.sun_path) {
    return fail(Code::kInvalidArgument, "unix socket path '" + path + "' is empty or longer than " +
                                            std::to_string(sizeof un.sun_path - 1) + " bytes");
  }
  std::memcpy(un.sun_path, path.c_str(), path.size() + 1);
  address.length = sizeof un;
  address.text = path;
  return address;
}

// Small messages go out at once, and a peer whose machine or network is gone is noticed: an idle connection by probes
// after 30 s, every 10 s, six times; one with data under way when nothing was acknowledged (or taken in: a reader that
// stands still) for five minutes.
void set_tcp_options(int fd) {
  const auto set = [fd](int level, int option, int value) { setsockopt(fd, level, option, &value, sizeof value); };
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, 30);
  set(IPPROTO_TCP, TCP_KEEPINTVL, 10);
  set(IPPROTO_TCP, TCP_KEEPCNT, 6);
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, 300'000);
}

// Waits until the descriptor is writable: how a non-blocking connect() ends.
class ConnectOperation final : public internal::IoState::Operation {
 public:
  ConnectOperation(internal::IoState& io, const Wait& wait) : io_(io), wait_(wait) {}
  bool await_ready() { return false; }
  bool await_suspend(std::coroutine_handle<> handle) {
    io_.writer = this;
    Loop::current()->watch_writable(io_);
    return arm(*Loop::current(), handle, wait_);
  }
  void await_resume() {}

 private:
  bool perform() override { return true; }
  void abandon() override { io_.writer = nullptr; }
  internal::IoState& io_;
  const Wait& wait_;
};

class AcceptOperation final : public internal::IoState::Operation {
 public:
  AcceptOperation(internal::IoState& io, const Wait& wait) : io_(io), wait_(wait) {}
  bool await_ready() { return perform(); }
  bool await_suspend(std::coroutine_handle<> handle) {
    io_.reader = this;
    return arm(*Loop::current(), handle, wait_);
  }
  Result<int> await_resume() {
    if (outcome() == Outcome::kTimedOut || outcome() == Outcome::kCancelled) return error("accept");
    if (fd_ < 0) return socket_error(errno_, "accept");
    return fd_;
  }

 private:
  bool perform() override {
    fd_ = accept4(io_.fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd_ >= 0) return true;
    if (errno == EAGAIN || errno == ECONNABORTED || errno == EINTR) return false;
    errno_ = errno;
    return true;
  }
  void abandon() override { io_.reader = nullptr; }
  internal::IoState& io_;
  const Wait& wait_;
  int fd_ = -1;
  int errno_ = 0;
};

// Goes on with a TLS handshake until it has ended or has something to send.
class HandshakeOperation final : public internal::IoState::Operation {
 public:
  HandshakeOperation(internal::IoState& io, internal::TlsSession& tls, const Wait& wait)
      : io_(io), tls_(tls), wait_(wait) {}
  bool await_ready() { return perform(); }
  bool await_suspend(std::coroutine_handle<> handle) {
    io_.reader = this;
    return arm(*Loop::current(), handle, wait_);
  }
  void await_resume() {}
  bool finished() const { return finished_; }

 private:
  bool perform() override {
    finished_ = tls_.handshake() != internal::TlsSession::Step::kWaiting;
    return finished_ || tls_.has_output();
  }
  void abandon() override { io_.reader = nullptr; }
  internal::IoState& io_;
  internal::TlsSession& tls_;
  const Wait& wait_;
  bool finished_ = false;
};

void wake_all(internal::IoState& io) {
  if (io.reader != nullptr && io.reader->perform()) std::exchange(io.reader, nullptr)->complete();
  if (io.writer != nullptr && io.writer->perform()) std::exchange(io.writer, nullptr)->complete();
}

Task<Result<int>> connect_address(const Address& address, const Wait& wait) {
  const int fd = socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) co_return socket_error(errno, "socket");
  int rc = connect(fd, reinterpret_cast<const sockaddr*>(&address.storage), address.length);
  if (rc != 0 && errno == EINPROGRESS) {
    internal::IoState io;
    io.fd = fd;
    Loop& loop = *Loop::current();
    Status watched = loop.watch(io);
    if (!watched.ok()) {
      ::close(fd);
      co_return std::move(watched).error();
    }
    ConnectOperation operation(io, wait);
    co_await operation;
    loop.unwatch(io);
    if (operation.outcome() != internal::Waiter::Outcome::kDone) {
      ::close(fd);
      co_return operation.error("connect to " + address.text);
    }
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
    rc = error == 0 ? 0 : -1;
    errno = error;
  }
  if (rc != 0) {
    const int error = errno;
    ::close(fd);
    co_return socket_error(error, "cannot connect to " + address.text);
  }
  co_return fd;
}

}  // namespace

Socket& Socket::operator=(Socket&& other) noexcept {
  if (this != &other) {
    close();
    io_ = std::move(other.io_);
    tls_ = std::move(other.tls_);
    carried_ = std::move(other.carried_);
    loop_ = other.loop_;
    peer_ = std::move(other.peer_);
    unix_ = other.unix_;
    carrier_encrypted_ = other.carrier_encrypted_;
  }
  return *this;
}

Result<Socket> Socket::adopt(int fd) {
  Socket socket;
  const int flags = fcntl(fd, F_GETFL);
  fcntl(fd, F_SETFL, flags | O_NONBLOCK);
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&address), &length) == 0) socket.peer_ = peer_name(address);
  socket.unix_ = address.ss_family == AF_UNIX;
  if (!socket.unix_) set_tcp_options(fd);
  socket.loop_ = Loop::current();
  CHECK(socket.loop_ != nullptr);
  socket.io_ = std::make_unique<internal::IoState>();
  socket.io_->fd = fd;
  socket.io_->readable = false;  // The first look at the descriptor reports what is there already.
  RETURN_IF_ERROR(socket.loop_->watch(*socket.io_));
  return socket;
}

Task<Result<Socket>> Socket::connect_tcp(std::string host, uint16_t port, Wait wait) {
  Result<std::vector<Address>> addresses = resolve(host, port, false, true);
  if (!addresses.ok()) {
    addresses = co_await offload([host, port] { return resolve(host, port, false, false); });
  }
  if (!addresses.ok()) co_return std::move(addresses).error();
  Error last(Code::kUnavailable, "host '" + host + "' has no address");
  for (const Address& address : *addresses) {
    auto fd = co_await connect_address(address, wait);
    if (fd.ok()) co_return adopt(*fd);
    last = std::move(fd).error();
  }
  co_return last;
}

Task<Result<Socket>> Socket::connect_unix(std::string path, Wait wait) {
  CO_ASSIGN_OR_RETURN(const Address address, unix_address(path));
  CO_ASSIGN_OR_RETURN(const int fd, co_await connect_address(address, wait));
  auto socket = adopt(fd);
  if (socket.ok()) socket->peer_ = path;
  co_return std::move(socket);
}

void Socket::close() {
  if (io_ == nullptr) return;
  if (carried_ != nullptr) {
    carried_->abort();
    wake_all(*io_);
    carried_.reset();
    io_.reset();
    return;
  }
  if (tls_ != nullptr) tls_->say_goodbye();
  abort();
  loop_->unwatch(*io_);
  ::close(io_->fd);
  tls_.reset();
  io_.reset();
}

Task<Status> Socket::start_tls(std::shared_ptr<const TlsContext> context, std::string host, std::string received,
                               Wait wait) {
  if (io_ == nullptr) co_return socket_error(ENOTCONN, "TLS handshake with " + peer_);
  CHECK(tls_ == nullptr && carried_ == nullptr);
  CO_ASSIGN_OR_RETURN(tls_, context->start(*io_, host, std::move(received)));
  for (bool finished = false; !finished;) {
    HandshakeOperation step(*io_, *tls_, wait);
    co_await step;
    if (io_ == nullptr) co_return socket_error(ENOTCONN, "TLS handshake with " + peer_);
    using Outcome = internal::Waiter::Outcome;
    if (step.outcome() == Outcome::kTimedOut || step.outcome() == Outcome::kCancelled) {
      co_return step.error("TLS handshake with " + peer_);
    }
    finished = step.finished();
    // Also after a failure: the peer is told why.
    Status sent = co_await write_all({}, wait);
    if (io_ != nullptr && tls_->failed()) co_return tls_->error("TLS handshake with " + peer_);
    CO_RETURN_IF_ERROR(std::move(sent));
  }
  co_return Status{};
}

void Socket::abort() {
  if (io_ == nullptr) return;
  if (carried_ != nullptr) {
    carried_->abort();
    if (io_->on_hang_up != nullptr) io_->on_hang_up->cancel();
  } else {
    ::shutdown(io_->fd, SHUT_RDWR);
  }
  io_->readable = io_->hung_up = true;
  wake_all(*io_);
}

void Socket::cancel_when_gone(CancelSource* source) {
  if (io_ == nullptr) return;
  io_->on_hang_up = source;
  if (source != nullptr && io_->hung_up) source->cancel();
}

bool Socket::has_input(bool ask) {
  if (io_ == nullptr || io_->hung_up || (tls_ != nullptr && tls_->has_input())) return true;
  if (carried_ != nullptr) return carried_->has_input() || (ask && carried_->mux().connection_ended());
  if (!io_->readable && !ask) return false;
  char byte;
  const ssize_t got = recv(io_->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  if (got >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK)) return true;
  io_->readable = false;
  return false;
}

bool Socket::ended() const {
  if (io_ == nullptr || io_->hung_up) return true;
  char byte;
  const ssize_t got = recv(io_->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return got == 0 || (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK);
}

ssize_t Socket::receive(std::span<char> buffer, int& error) {
  if (tls_ != nullptr) [[unlikely]] {
    size_t got = 0;
    const auto step = tls_->read(buffer, got);
    if (step == internal::TlsSession::Step::kFailed) error = EPROTO;
    return step == internal::TlsSession::Step::kWaiting || error != 0 ? -1 : static_cast<ssize_t>(got);
  }
  internal::IoState& io = *io_;
  for (;;) {
    const ssize_t got = recv(io.fd, buffer.data(), buffer.size(), 0);
    if (got >= 0) {
      // A short read has drained the socket: the next bytes raise a new event. Not so when the peer has hung up, whose
      // event may already be behind us.
      if (static_cast<size_t>(got) < buffer.size() && !io.hung_up) io.readable = false;
      return got;
    }
    if (errno == EINTR) continue;
    if (errno == EAGAIN) {
      io.readable = false;
    } else {
      error = errno;
    }
    return -1;
  }
}

Socket::ReadOperation Socket::read_some(std::span<char> buffer, const Wait& wait) {
  return {*this, buffer, nullptr, wait};
}
Socket::ReadOperation Socket::read_some(ReadRoom& room, const Wait& wait) { return {*this, {}, &room, wait}; }
Socket::WriteOperation Socket::write_all(std::string_view data, const Wait& wait) { return {*this, data, wait}; }

bool Socket::ReadOperation::await_ready() {
  if (socket_.io_ == nullptr) {
    errno_ = ENOTCONN;
    return true;
  }
  // They may hold bytes that were read ahead.
  if (socket_.tls_ != nullptr || socket_.carried_ != nullptr) return perform();
  return socket_.io_->readable && perform();
}

bool Socket::ReadOperation::await_suspend(std::coroutine_handle<> handle) {
  CHECK(socket_.io_->reader == nullptr);
  socket_.io_->reader = this;
  return arm(*socket_.loop_, handle, wait_);
}

bool Socket::ReadOperation::perform() {
  if (socket_.carried_ != nullptr && !socket_.carried_->has_input() && !socket_.io_->hung_up) return false;
  if (room_ != nullptr) buffer_ = std::exchange(room_, nullptr)->room();
  if (socket_.carried_ != nullptr) {
    result_ = static_cast<ssize_t>(socket_.carried_->read(buffer_));
    return true;
  }
  result_ = socket_.receive(buffer_, errno_);
  return result_ >= 0 || errno_ != 0;
}

void Socket::ReadOperation::abandon() { socket_.io_->reader = nullptr; }

Result<size_t> Socket::ReadOperation::await_resume() {
  if (outcome() == Outcome::kTimedOut || outcome() == Outcome::kCancelled) return error("read from " + socket_.peer());
  if (errno_ != 0) {
    const std::string what = "read from " + socket_.peer();
    if (socket_.tls_ != nullptr && socket_.tls_->failed()) return socket_.tls_->error(what);
    return socket_error(errno_, what);
  }
  return static_cast<size_t>(result_);
}

bool Socket::WriteOperation::await_ready() {
  if (socket_.io_ == nullptr) {
    errno_ = ENOTCONN;
    return true;
  }
  return perform();
}

bool Socket::WriteOperation::await_suspend(std::coroutine_handle<> handle) {
  CHECK(socket_.io_->writer == nullptr);
  socket_.io_->writer = this;
  if (socket_.carried_ == nullptr) socket_.loop_->watch_writable(*socket_.io_);
  return arm(*socket_.loop_, handle, wait_);
}

bool Socket::WriteOperation::perform() {
  if (socket_.carried_ != nullptr) {
    const auto step = socket_.carried_->write(data_);
    if (step == internal::MuxStream::Step::kFailed) errno_ = EPIPE;
    return step != internal::MuxStream::Step::kWaiting;
  }
  if (socket_.tls_ != nullptr) [[unlikely]]
    return perform_tls();
  while (!data_.empty()) {
    const ssize_t sent = send(socket_.io_->fd, data_.data(), data_.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      data_.remove_prefix(static_cast<size_t>(sent));
      continue;
    }
    if (errno == EINTR) continue;
    if (errno == EAGAIN) return false;
    errno_ = errno;
    return true;
  }
  return true;
}

bool Socket::WriteOperation::perform_tls() {
  const auto step = socket_.tls_->write(data_);
  if (step == internal::TlsSession::Step::kFailed) errno_ = EPROTO;
  return step != internal::TlsSession::Step::kWaiting;
}

void Socket::WriteOperation::abandon() { socket_.io_->writer = nullptr; }

Status Socket::WriteOperation::await_resume() {
  if (outcome() == Outcome::kTimedOut || outcome() == Outcome::kCancelled) return error("write to " + socket_.peer());
  if (errno_ != 0) {
    const std::string what = "write to " + socket_.peer();
    if (socket_.tls_ != nullptr && socket_.tls_->failed()) return socket_.tls_->error(what);
    return socket_error(errno_, what);
  }
  return {};
}

Result<Listener> Listener::listen_tcp(const std::string& host, uint16_t port, int backlog) {
  ASSIGN_OR_RETURN(const auto addresses, resolve(host, port, true, false));
  if (addresses.empty()) return fail(Code::kUnavailable, "host '" + host + "' has no address");
  const Address& address = addresses.front();
  const int fd = socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return socket_error(errno, "socket");
  const int one = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(fd, reinterpret_cast<const sockaddr*>(&address.storage), address.length) != 0 || listen(fd, backlog) != 0) {
    const int error = errno;
    ::close(fd);
    std::string what = "cannot listen on " + address.text;
    if (error == EADDRINUSE) what += " (another process uses this port; choose a free one)";
    return socket_error(error, what);
  }
  sockaddr_storage bound{};
  socklen_t length = sizeof bound;
  getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &length);
  Listener listener;
  listener.port_ = ntohs(bound.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(bound).sin6_port
                                                     : reinterpret_cast<sockaddr_in&>(bound).sin_port);
  listener.io_ = std::make_unique<internal::IoState>();
  listener.io_->fd = fd;
  return listener;
}

Result<Listener> Listener::listen_unix(const std::string& path, int backlog) {
  ASSIGN_OR_RETURN(const Address address, unix_address(path));
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return socket_error(errno, "socket");
  if (bind(fd, reinterpret_cast<const sockaddr*>(&address.storage), address.length) != 0 && errno == EADDRINUSE) {
    // A socket file that nobody answers on is left from a killed process: take its place.
    const int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const bool answered = connect(probe, reinterpret_cast<const sockaddr*>(&address.storage), address.length) == 0;
    ::close(probe);
    if (answered || ::unlink(path.c_str()) != 0 ||
        bind(fd, reinterpret_cast<const sockaddr*>(&address.storage), address.length) != 0) {
      ::close(fd);
      return socket_error(EADDRINUSE, "cannot listen on " + path);
    }
  }
  if (listen(fd, backlog) != 0) {
    const int error = errno;
    ::close(fd);
    return socket_error(error, "cannot listen on " + path);
  }
  Listener listener;
  listener.unlink_path_ = path;
  listener.io_ = std::make_unique<internal::IoState>();
  listener.io_->fd = fd;
  return listener;
}

Task<Result<int>> Listener::accept(Wait wait) {
  if (loop_ == nullptr) {
    loop_ = Loop::current();
    CO_RETURN_IF_ERROR(loop_->watch(*io_));
  }
  co_return co_await AcceptOperation(*io_, wait);
}

void Listener::close() {
  if (io_ == nullptr) return;
  if (loop_ != nullptr) loop_->unwatch(*io_);
  ::close(io_->fd);
  io_.reset();
  if (!unlink_path_.empty()) ::unlink(unlink_path_.c_str());
}

}  // namespace vitrail::net
