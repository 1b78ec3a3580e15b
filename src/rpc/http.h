#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "net/certificates.h"

namespace vitrail::base {
class Metrics;
class Settings;
}  // namespace vitrail::base

namespace vitrail::rpc {

struct HttpRequest {
  std::string method;                          // "GET", "POST" ...
  std::string path;                            // Decoded, without the query: "/api/keyspaces/".
  std::map<std::string, std::string> query;    // Decoded; the last of repeated names; form fields are not included.
  std::map<std::string, std::string> headers;  // Lower-case names.
  std::string body;
  std::string peer_subject;  // Of the client's certificate, where the server asks for one: "CN=operator,O=example".
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
  std::map<std::string, std::string> headers = {};  // Further ones.
  // Pieces that follow the body, until nullopt: for pages that go on. May block, a second at most; "" is nothing yet.
  std::function<std::optional<std::string>()> more = {};

  static HttpResponse json(std::string body) {
    return {.content_type = "application/json; charset=utf-8", .body = std::move(body)};
  }
  static HttpResponse html(std::string body) {
    return {.content_type = "text/html; charset=utf-8", .body = std::move(body)};
  }
  // Status by code: 404 for kNotFound, 400 for kInvalidArgument ..., and the message as text.
  static HttpResponse error(const Error& error);
  static HttpResponse redirect(std::string location);
};

// `text` with &, <, >, " and ' escaped, for HTML text and attributes.
std::string html_escape(std::string_view text);

struct HttpOptions {
  std::string program;                 // Shown in /debug/status.
  std::string host = "127.0.0.1";      // Address or name; "" and "0.0.0.0": every interface.
  uint16_t port = 0;                   // 0: a free one.
  uint32_t connections_max = 128;      // More are closed at once.
  uint64_t body_size_max = 16u << 20;  // Bytes; longer: 413.
  base::Duration idle_max = std::chrono::seconds(60);
  net::TlsOptions tls;                 // With a certificate the port speaks TLS; with ca_file every client needs one.
  base::Metrics* metrics = nullptr;    // For /debug/vars and /metrics.
  base::Settings* settings = nullptr;  // For /debug/config, /debug/env.
  std::function<Status()> health;      // For /healthz and its kin; unset: always well.
};

// Declares where a program serves its pages: --port, --bind-address, --http-tls-...
void declare(base::Settings& settings, HttpOptions& options);

// The HTTP server for operators and tools: debug pages, health checks, metrics, and what the roles add.
//
// Has of itself: /debug/vars, /metrics, /debug/config and /debug/env (the same), /debug/health, /healthz and /readyz
// ("ok" or 500 with the reason), /debug/liveness and /livez, /debug/status and "/".
//
//   Owns    : its port and its threads: one per connection, so these pages answer also when every loop hangs.
//   Threads : set up before start(). Handlers run on the server's threads, several at once, and may block.
//   Bounds  : connections_max, body_size_max.
class HttpServer {
 public:
  using Handler = std::function<HttpResponse(const HttpRequest& request)>;

  explicit HttpServer(HttpOptions options);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // Before start(). A path that ends with '/' also gets everything below it; the longest match wins. Replaces an
  // earlier handler of the same path, built-in ones included.
  void handle(std::string path, Handler handler);
  // A part of /debug/status: a heading and HTML, made anew for each visit.
  void add_status_part(std::string title, std::function<std::string()> html);

  // kUnavailable when the port is taken, kInvalidArgument when the host is not an address of ours; kInvalidArgument or
  // kNotFound for TLS files that do not fit.
  Status start();
  uint16_t port() const;
  // Closes the port and waits for running handlers. Idempotent; also done by the destructor.
  void stop();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace vitrail::rpc
