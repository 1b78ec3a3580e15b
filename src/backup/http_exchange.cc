#include "backup/http_exchange.h"

#include <fmt/core.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <mutex>

#include "backup/descriptor.h"
#include "base/text.h"

namespace vitrail::backup {
namespace {

constexpr size_t kHeadMax = 64 << 10;

Error away(const HttpEndpoint& endpoint, std::string_view what) {
  return fail(Code::kUnavailable, fmt::format("{}:{}: {}", endpoint.host, endpoint.port, what));
}

struct FreeContext {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
struct FreeSession {
  void operator()(SSL* session) const { SSL_free(session); }
};

// One for each way of checking; the authorities of the system are read once.
SSL_CTX* context_of(bool skip_verify) {
  static std::mutex mutex;
  static std::unique_ptr<SSL_CTX, FreeContext> contexts[2];
  const std::scoped_lock lock(mutex);
  auto& context = contexts[skip_verify ? 1 : 0];
  if (context == nullptr) {
    context.reset(SSL_CTX_new(TLS_client_method()));
    SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
    SSL_CTX_set_default_verify_paths(context.get());
    SSL_CTX_set_verify(context.get(), skip_verify ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, nullptr);
    SSL_CTX_set_options(context.get(), SSL_OP_IGNORE_UNEXPECTED_EOF);  // Lengths say where a body ends.
  }
  return context.get();
}

std::string tls_trouble() {
  char text[256] = "TLS failed";
  if (const auto code = ERR_get_error(); code != 0) ERR_error_string_n(code, text, sizeof text);
  ERR_clear_error();
  return text;
}

class Connection {
 public:
  static Result<std::unique_ptr<Connection>> open(const HttpEndpoint& endpoint) {
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* list = nullptr;
    const int found = ::getaddrinfo(endpoint.host.c_str(), std::to_string(endpoint.port).c_str(), &hints, &list);
    if (found != 0) return away(endpoint, ::gai_strerror(found));
    const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> addresses(list, ::freeaddrinfo);
    const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(endpoint.timeout).count();
    const timeval limit{.tv_sec = micros / 1'000'000, .tv_usec = micros % 1'000'000};
    std::string trouble = "no address";
    for (const addrinfo* at = list; at != nullptr; at = at->ai_next) {
      Descriptor fd(::socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol));
      if (!fd) continue;
      ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
      ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
      if (::connect(fd.get(), at->ai_addr, at->ai_addrlen) == 0) {
        auto connection = std::make_unique<Connection>(endpoint, std::move(fd));
        RETURN_IF_ERROR(connection->start_tls());
        return connection;
      }
      trouble = std::strerror(errno);
    }
    return away(endpoint, trouble);
  }

  Connection(HttpEndpoint endpoint, Descriptor fd) : endpoint_(std::move(endpoint)), fd_(std::move(fd)) {}

  Status write(std::string_view bytes) {
    while (!bytes.empty()) {
      const size_t piece = std::min<size_t>(bytes.size(), 1u << 20);
      const ssize_t sent = tls_ != nullptr ? SSL_write(tls_.get(), bytes.data(), static_cast<int>(piece))
                                           : ::send(fd_.get(), bytes.data(), piece, MSG_NOSIGNAL);
      if (sent < 0 && tls_ == nullptr && errno == EINTR) continue;
      if (sent <= 0) return away(endpoint_, tls_ != nullptr ? tls_trouble() : std::strerror(errno));
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return {};
  }

  Result<size_t> read(std::span<char> buffer) {
    for (;;) {
      const ssize_t got = tls_ != nullptr ? SSL_read(tls_.get(), buffer.data(),
                                                     static_cast<int>(std::min<size_t>(buffer.size(), 1u << 20)))
                                          : ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
      if (got >= 0) return static_cast<size_t>(got);
      if (tls_ != nullptr) {
        if (SSL_get_error(tls_.get(), static_cast<int>(got)) == SSL_ERROR_ZERO_RETURN) return size_t{0};
        return away(endpoint_, tls_trouble());
      }
      if (errno == EINTR) continue;
      return away(endpoint_, errno == EAGAIN ? "nothing came for too long" : std::strerror(errno));
    }
  }

  const HttpEndpoint& endpoint() const { return endpoint_; }

 private:
  Status start_tls() {
    if (!endpoint_.tls) return {};
    tls_.reset(SSL_new(context_of(endpoint_.skip_verify)));
    if (tls_ == nullptr) return away(endpoint_, tls_trouble());
    SSL_set_tlsext_host_name(tls_.get(), endpoint_.host.c_str());
    SSL_set1_host(tls_.get(), endpoint_.host.c_str());
    SSL_set_fd(tls_.get(), fd_.get());
    if (SSL_connect(tls_.get()) != 1) return away(endpoint_, tls_trouble());
    return {};
  }

  const HttpEndpoint endpoint_;
  const Descriptor fd_;
  std::unique_ptr<SSL, FreeSession> tls_;
};

// The body of an answer, by its length, in chunks, or up to the end of the connection.
class Answer final : public HttpAnswer {
 public:
  explicit Answer(std::unique_ptr<Connection> connection) : connection_(std::move(connection)) {}

  Status read_head(bool no_body) {
    for (size_t end; (end = rest_.find("\r\n\r\n")) == std::string::npos || !parse_head(end, no_body);) {
      if (rest_.size() > kHeadMax) return away(connection_->endpoint(), "the answer's head is too long");
      RETURN_IF_ERROR(fill());
    }
    if (status == 0) return away(connection_->endpoint(), "the answer is not HTTP");
    return {};
  }

  Result<size_t> read(std::span<char> buffer) override {
    if (chunked_ && left_ == 0 && !done_) RETURN_IF_ERROR(next_chunk());
    if (done_ || left_ == 0) return size_t{0};
    size_t got = std::min<uint64_t>({buffer.size(), rest_.size(), left_});
    if (got > 0) {
      std::copy_n(rest_.begin(), got, buffer.begin());
      rest_.erase(0, got);
    } else {
      ASSIGN_OR_RETURN(got, connection_->read(buffer.first(std::min<uint64_t>(buffer.size(), left_))));
      if (got == 0 && left_ == UINT64_MAX) done_ = true;
      if (got == 0 && !done_) return away(connection_->endpoint(), "the connection ended within an answer");
    }
    if (left_ != UINT64_MAX) left_ -= got;
    if (chunked_ && left_ == 0) RETURN_IF_ERROR(skip_line());
    return got;
  }

 private:
  Status fill() {
    char bytes[16 << 10];
    ASSIGN_OR_RETURN(const size_t got, connection_->read(bytes));
    if (got == 0) return away(connection_->endpoint(), "the connection ended within an answer");
    rest_.append(bytes, got);
    return {};
  }

  // False: it was an intermediate answer (100 Continue), which is dropped.
  bool parse_head(size_t end, bool no_body) {
    const std::string head = rest_.substr(0, end);
    rest_.erase(0, end + 4);
    const auto lines = base::split(head, '\n');
    if (!head.starts_with("HTTP/1.") || head.size() < 12) return true;
    std::from_chars(head.data() + 9, head.data() + 12, status);
    if (status < 200 && status >= 100) return false;
    for (size_t i = 1; i < lines.size(); ++i) {
      const size_t colon = lines[i].find(':');
      if (colon == std::string_view::npos) continue;
      headers[base::to_lower(base::trim(lines[i].substr(0, colon)))] = base::trim(lines[i].substr(colon + 1));
    }
    left_ = UINT64_MAX;
    if (no_body || status == 204 || status == 304) {
      left_ = 0;
    } else if (base::to_lower(headers["transfer-encoding"]) == "chunked") {
      chunked_ = true;
      left_ = 0;
    } else if (const auto length = headers.find("content-length"); length != headers.end()) {
      std::from_chars(length->second.data(), length->second.data() + length->second.size(), left_);
    }
    return true;
  }

  Result<std::string> take_line() {
    size_t end;
    while ((end = rest_.find("\r\n")) == std::string::npos) RETURN_IF_ERROR(fill());
    std::string line = rest_.substr(0, end);
    rest_.erase(0, end + 2);
    return line;
  }
  Status skip_line() {
    ASSIGN_OR_RETURN(const std::string line, take_line());
    return {};
  }
  Status next_chunk() {
    ASSIGN_OR_RETURN(const std::string line, take_line());
    const auto parsed = std::from_chars(line.data(), line.data() + line.size(), left_, 16);
    if (parsed.ec != std::errc()) return away(connection_->endpoint(), "the answer is damaged");
    done_ = left_ == 0;
    return {};
  }

  const std::unique_ptr<Connection> connection_;
  std::string rest_;   // Read and not yet given.
  uint64_t left_ = 0;  // Of the body, or of the chunk; UINT64_MAX: up to the end.
  bool chunked_ = false, done_ = false;
};

}  // namespace

Result<HttpEndpoint> HttpEndpoint::parse(std::string_view text) {
  HttpEndpoint out;
  if (text.starts_with("http://")) {
    out.tls = false;
    out.port = 80;
    text.remove_prefix(7);
  } else if (text.starts_with("https://")) {
    text.remove_prefix(8);
  }
  while (text.ends_with('/')) text.remove_suffix(1);
  const size_t colon = text.rfind(':');
  if (colon != std::string_view::npos && !text.ends_with(']')) {
    const std::string_view port = text.substr(colon + 1);
    const auto parsed = std::from_chars(port.data(), port.data() + port.size(), out.port);
    if (parsed.ec != std::errc() || parsed.ptr != port.data() + port.size() || out.port == 0) {
      return fail(Code::kInvalidArgument, fmt::format("'{}' is not a port", port));
    }
    text = text.substr(0, colon);
  }
  out.host = text;
  if (out.host.empty() || out.host.find_first_of("/?#@ ") != std::string::npos) {
    return fail(Code::kInvalidArgument, fmt::format("'{}' is not a host: give https://host:port", out.host));
  }
  return out;
}

std::string HttpEndpoint::authority() const {
  return port == (tls ? 443 : 80) ? host : fmt::format("{}:{}", host, port);
}

Result<std::string> HttpAnswer::read_all(size_t max) {
  std::string out, buffer(16 << 10, '\0');
  for (;;) {
    ASSIGN_OR_RETURN(const size_t got, read(buffer));
    if (got == 0) return out;
    out.append(buffer, 0, got);
    if (out.size() > max) return fail(Code::kResourceExhausted, "the answer is too long");
  }
}

Result<std::unique_ptr<HttpAnswer>> http_exchange(const HttpEndpoint& endpoint, const HttpRequest& request) {
  ASSIGN_OR_RETURN(auto connection, Connection::open(endpoint));
  std::string head = request.method + " " + request.target + " HTTP/1.1\r\nConnection: close\r\n";
  for (const auto& [name, value] : request.headers) head += name + ": " + value + "\r\n";
  if (request.method != "GET" && request.method != "HEAD") {
    head += fmt::format("Content-Length: {}\r\n", request.body.size());
  }
  RETURN_IF_ERROR(connection->write(head + "\r\n"));
  RETURN_IF_ERROR(connection->write(request.body));
  auto answer = std::make_unique<Answer>(std::move(connection));
  RETURN_IF_ERROR(answer->read_head(request.method == "HEAD"));
  return std::unique_ptr<HttpAnswer>(std::move(answer));
}

}  // namespace vitrail::backup
