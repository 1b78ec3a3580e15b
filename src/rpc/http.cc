#include "rpc/http.h"

#include <fmt/core.h>
#include <gnutls/gnutls.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/file.h"
#include "base/metrics.h"
#include "base/settings.h"
#include "base/text.h"
#include "base/version.h"
#include "rpc/listening.h"

namespace vitrail::rpc {
namespace {

// A request while it arrives.
struct Incoming {
  HttpRequest request;
  bool too_long = false;
  std::optional<HttpResponse> refusal;  // Whatever the request is.
};

// The certificates that the client sent, its own first, as PEM; "" for none.
std::string certificates_of(MHD_Connection* connection) {
  const MHD_ConnectionInfo* info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
  if (info == nullptr || info->tls_session == nullptr) return "";
  unsigned count = 0;
  const gnutls_datum_t* chain = gnutls_certificate_get_peers(static_cast<gnutls_session_t>(info->tls_session), &count);
  std::string out;
  for (unsigned i = 0; chain != nullptr && i < count; ++i) {
    gnutls_datum_t pem{};
    if (gnutls_pem_base64_encode2("CERTIFICATE", &chain[i], &pem) < 0) continue;
    out.append(reinterpret_cast<const char*>(pem.data), pem.size);
    gnutls_free(pem.data);
  }
  return out;
}

enum MHD_Result collect(void* out, enum MHD_ValueKind, const char* key, const char* value) {
  auto& map = *static_cast<std::map<std::string, std::string>*>(out);
  map[key] = value == nullptr ? "" : value;
  return MHD_YES;
}

enum MHD_Result collect_header(void* out, enum MHD_ValueKind kind, const char* key, const char* value) {
  return collect(out, kind, base::to_lower(key).c_str(), value);
}

// A response that goes on.
struct Stream {
  std::string piece;  // What is left of it.
  size_t sent = 0;
  std::function<std::optional<std::string>()> more;
  const std::atomic<bool>& stopping;
};

ssize_t next_piece(void* self, uint64_t, char* out, size_t room) {
  Stream& stream = *static_cast<Stream*>(self);
  while (stream.sent == stream.piece.size()) {
    if (stream.stopping) return MHD_CONTENT_READER_END_OF_STREAM;
    auto piece = stream.more();
    if (!piece) return MHD_CONTENT_READER_END_OF_STREAM;
    stream.piece = std::move(*piece);
    stream.sent = 0;
  }
  const size_t size = std::min(room, stream.piece.size() - stream.sent);
  stream.piece.copy(out, size, stream.sent);
  stream.sent += size;
  return static_cast<ssize_t>(size);
}

MHD_Response* response_of(const HttpResponse& answer, const std::atomic<bool>& stopping) {
  if (!answer.more) {
    return MHD_create_response_from_buffer(answer.body.size(), const_cast<char*>(answer.body.data()),  // Copied.
                                           MHD_RESPMEM_MUST_COPY);
  }
  auto* stream = new Stream{.piece = answer.body, .more = answer.more, .stopping = stopping};
  constexpr size_t kBlock = size_t{4} << 10;
  MHD_Response* response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, kBlock, next_piece, stream,
                                                             [](void* self) { delete static_cast<Stream*>(self); });
  if (response == nullptr) delete stream;
  return response;
}

enum MHD_Result send(MHD_Connection* connection, const HttpResponse& answer, bool close,
                     const std::atomic<bool>& stopping) {
  MHD_Response* response = response_of(answer, stopping);
  if (response == nullptr) return MHD_NO;
  MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, answer.content_type.c_str());
  MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
  for (const auto& [name, value] : answer.headers) MHD_add_response_header(response, name.c_str(), value.c_str());
  if (close) MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
  const enum MHD_Result queued = MHD_queue_response(connection, static_cast<unsigned>(answer.status), response);
  MHD_destroy_response(response);
  return queued;
}

struct FreeAddresses {
  void operator()(addrinfo* list) const { ::freeaddrinfo(list); }
};

// "/debug//vars" is "/debug/vars", as on servers that clean paths.
std::string without_repeated_slashes(std::string_view path) {
  std::string out;
  for (const char c : path) {
    if (c != '/' || !out.ends_with('/')) out += c;
  }
  return out;
}

}  // namespace

HttpResponse HttpResponse::error(const Error& error) {
  int status = 500;
  switch (error.code()) {
    case Code::kInvalidArgument:
    case Code::kOutOfRange:
    case Code::kFailedPrecondition: status = 400; break;
    case Code::kUnauthenticated: status = 401; break;
    case Code::kPermissionDenied: status = 403; break;
    case Code::kNotFound: status = 404; break;
    case Code::kAlreadyExists:
    case Code::kAborted: status = 409; break;
    case Code::kResourceExhausted: status = 429; break;
    case Code::kUnimplemented: status = 501; break;
    case Code::kUnavailable:
    case Code::kClusterEvent: status = 503; break;
    case Code::kDeadlineExceeded: status = 504; break;
    default: break;
  }
  return {.status = status, .body = error.message() + "\n"};
}

HttpResponse HttpResponse::redirect(std::string location) {
  return {.status = 302, .body = "", .headers = {{"Location", std::move(location)}}};
}

std::string html_escape(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      default: out.push_back(c);
    }
  }
  return out;
}

void declare(base::Settings& settings, HttpOptions& options) {
  settings.add("port", &options.port, "port of the pages for people and tools");
  settings.add("bind_address", &options.host, "address of these pages");
  settings.add("http_tls_cert", &options.tls.certificate_file,
               "HTTP server: certificate (PEM); with it the port speaks TLS");
  settings.add("http_tls_key", &options.tls.key_file, "HTTP server: key of --http_tls_cert");
  settings.add("http_tls_ca", &options.tls.ca_file,
               "HTTP server: authorities of client certificates (PEM); with it every client needs one");
  settings.add("http_tls_crl", &options.tls.crl_file, "HTTP server: revoked client certificates (PEM)");
  settings.add("http_tls_server_ca", &options.tls.chain_file,
               "HTTP server: certificates to send behind --http_tls_cert (PEM)");
}

class HttpServer::Impl {
 public:
  explicit Impl(HttpOptions opts) : options(std::move(opts)), started(base::system_clock().now()) {}

  const Handler* find(const std::string& path) const {
    if (const auto exact = handlers.find(path); exact != handlers.end()) return &exact->second;
    // The longest prefix that ends with '/'; "/" alone is only itself.
    for (size_t slash = path.rfind('/'); slash != std::string::npos && slash > 0; slash = path.rfind('/', slash - 1)) {
      if (const auto below = handlers.find(path.substr(0, slash + 1)); below != handlers.end()) return &below->second;
    }
    return nullptr;
  }

  HttpResponse answer(const HttpRequest& request) const {
    const Handler* handler = find(request.path);
    if (handler == nullptr) return HttpResponse::error(fail(Code::kNotFound, "no such page: " + request.path));
    return (*handler)(request);
  }

  HttpResponse health() const {
    const Status well = options.health ? options.health() : Status{};
    if (well.ok()) return {.body = "ok"};
    return {.status = 500, .body = "not ok: " + well.error().message() + "\n"};
  }

  HttpResponse status_page() const {
    const auto up = std::chrono::duration_cast<std::chrono::seconds>(base::system_clock().now() - started);
    std::string html = fmt::format(
        "<!DOCTYPE html>\n<html><head><meta "
        "charset=\"utf-8\"><title>{0}</title>\n<style>body{{font-family:sans-serif;margin:1em 2em}}"
        "table{{border-collapse:collapse}}td,th{{border:1px solid #bbb;padding:.2em "
        ".6em;text-align:left}}</style></head><body>\n"
        "<h1>{0}</h1>\n<p>Version {1}, interfaces of {2}. Process {3}, up {4} s.</p>\n<p>",
        html_escape(options.program), base::kProjectVersion, base::kInterfaceVersion, ::getpid(), up.count());
    for (const auto& [path, handler] : handlers) {
      if (path != "/" && path != "/debug/status") html += fmt::format("<a href=\"{0}\">{0}</a> ", html_escape(path));
    }
    html += "</p>\n";
    for (const auto& [title, part] : status_parts) html += fmt::format("<h2>{}</h2>\n{}\n", html_escape(title), part());
    return HttpResponse::html(html + "</body></html>\n");
  }

  static enum MHD_Result on_request(void* self, MHD_Connection* connection, const char* url, const char* method,
                                    const char*, const char* data, size_t* data_size, void** state) {
    const Impl& impl = *static_cast<const Impl*>(self);
    if (*state == nullptr) {  // The head has arrived; the body follows in further calls.
      auto* incoming = new Incoming;
      incoming->request.method = method;
      incoming->request.path = without_repeated_slashes(url);
      MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND, collect, &incoming->request.query);
      MHD_get_connection_values(connection, MHD_HEADER_KIND, collect_header, &incoming->request.headers);
      if (impl.clients != nullptr) {
        const std::string certificates = certificates_of(connection);
        Result<std::string> subject =
            certificates.empty()
                ? fail(Code::kUnauthenticated, "this server lets in only clients with a certificate, and none was sent")
                : impl.clients->check(certificates);
        if (subject.ok()) {
          incoming->request.peer_subject = std::move(*subject);
        } else {
          incoming->refusal = HttpResponse{.status = 403, .body = subject.error().message() + "\n"};
        }
      }
      *state = incoming;
      return MHD_YES;
    }
    Incoming& incoming = *static_cast<Incoming*>(*state);
    if (*data_size > 0) {
      incoming.too_long = incoming.too_long || incoming.request.body.size() + *data_size > impl.options.body_size_max;
      if (!incoming.too_long) incoming.request.body.append(data, *data_size);
      *data_size = 0;
      return MHD_YES;
    }
    if (incoming.too_long) {
      return send(connection,
                  {.status = 413, .body = fmt::format("request of more than {} bytes\n", impl.options.body_size_max)},
                  true, impl.stopping);
    }
    if (incoming.refusal) return send(connection, *incoming.refusal, true, impl.stopping);
    return send(connection, impl.answer(incoming.request), false, impl.stopping);
  }

  Status load_tls() {
    const net::TlsOptions& tls = options.tls;
    if (tls.certificate_file.empty()) {
      if (tls.key_file.empty() && tls.ca_file.empty() && tls.crl_file.empty() && tls.chain_file.empty()) return {};
      return fail(Code::kInvalidArgument,
                  "--http-tls-key, --http-tls-ca, --http-tls-crl and --http-tls-server-ca need --http-tls-cert");
    }
    if (!tls.crl_file.empty() && tls.ca_file.empty()) {
      return fail(Code::kInvalidArgument, "--http-tls-crl needs --http-tls-ca");
    }
    ASSIGN_OR_RETURN(keys, net::load_key_pair(tls));
    if (tls.ca_file.empty()) return {};
    ASSIGN_OR_RETURN(trusted, base::read_file(tls.ca_file));
    ASSIGN_OR_RETURN(clients, net::ClientCertificates::load(tls.ca_file, tls.crl_file));
    return {};
  }

  static void on_end(void*, MHD_Connection*, void** state, enum MHD_RequestTerminationCode) {
    delete static_cast<Incoming*>(*state);
    *state = nullptr;
  }

  const HttpOptions options;
  const base::TimePoint started;
  std::map<std::string, Handler> handlers;
  std::vector<std::pair<std::string, std::function<std::string()>>> status_parts;
  net::KeyPair keys;                                 // With TLS.
  std::string trusted;                               // Authorities that clients are told of.
  std::unique_ptr<net::ClientCertificates> clients;  // Where every client needs a certificate.
  MHD_Daemon* daemon = nullptr;
  std::atomic<bool> stopping = false;
  uint16_t port = 0;
};

HttpServer::HttpServer(HttpOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {
  Impl& impl = *impl_;
  const auto health = [&impl](const HttpRequest&) { return impl.health(); };
  handle("/healthz", health);
  handle("/readyz", health);
  handle("/debug/health", health);
  const auto liveness = [](const HttpRequest&) { return HttpResponse{.body = "ok"}; };
  handle("/livez", liveness);
  handle("/debug/liveness", liveness);
  handle("/debug/status", [&impl](const HttpRequest&) { return impl.status_page(); });
  handle("/", [](const HttpRequest&) { return HttpResponse::redirect("/debug/status"); });
  if (impl.options.metrics != nullptr) {
    handle("/debug/vars", [&impl](const HttpRequest&) { return HttpResponse::json(impl.options.metrics->to_json()); });
    handle("/metrics", [&impl](const HttpRequest&) {
      return HttpResponse{.content_type = "text/plain; version=0.0.4; charset=utf-8",
                          .body = impl.options.metrics->to_prometheus()};
    });
  }
  if (impl.options.settings != nullptr) {
    const auto show = [&impl](const HttpRequest& request) {
      constexpr int kNotAllowed = 405;
      if (request.method == "GET" || request.method == "HEAD") {
        return HttpResponse::json(impl.options.settings->to_json() + "\n");
      }
      return HttpResponse{.status = kNotAllowed,
                          .body =
                              "settings are not changed by HTTP: write them into the config file (--config-file), "
                              "which is followed while the server runs\n",
                          .headers = {{"Allow", "GET"}}};
    };
    handle("/debug/config", show);
    handle("/debug/env", show);
  }
}

HttpServer::~HttpServer() { stop(); }

void HttpServer::handle(std::string path, Handler handler) {
  CHECK(impl_->daemon == nullptr && path.starts_with('/'));
  impl_->handlers[std::move(path)] = std::move(handler);
}

void HttpServer::add_status_part(std::string title, std::function<std::string()> html) {
  CHECK(impl_->daemon == nullptr);
  impl_->status_parts.emplace_back(std::move(title), std::move(html));
}

Status HttpServer::start() {
  Impl& impl = *impl_;
  const HttpOptions& options = impl.options;
  if (Status loaded = impl.load_tls(); !loaded.ok()) return std::move(loaded).error().with_context("TLS of HTTP");
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_family = options.host.empty() ? AF_INET : AF_UNSPEC;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* list = nullptr;
  const std::string service = fmt::format("{}", options.port);
  const int failure =
      ::getaddrinfo(options.host.empty() ? nullptr : options.host.c_str(), service.c_str(), &hints, &list);
  if (failure != 0) {
    return fail(Code::kInvalidArgument,
                fmt::format("cannot listen for HTTP on {}: {}", options.host, ::gai_strerror(failure)));
  }
  const std::unique_ptr<addrinfo, FreeAddresses> addresses(list);
  unsigned flags = MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL;
  if (addresses->ai_family == AF_INET6) flags |= MHD_USE_IPv6;
  const auto idle_seconds =
      static_cast<unsigned>(std::chrono::duration_cast<std::chrono::seconds>(options.idle_max).count());
  std::vector<MHD_OptionItem> tls;
  if (!impl.keys.chain.empty()) {
    flags |= MHD_USE_TLS;
    tls.push_back({MHD_OPTION_HTTPS_MEM_CERT, 0, impl.keys.chain.data()});
    tls.push_back({MHD_OPTION_HTTPS_MEM_KEY, 0, impl.keys.key.data()});
    tls.push_back({MHD_OPTION_HTTPS_PRIORITIES, 0, const_cast<char*>("NORMAL:-VERS-ALL:+VERS-TLS1.2:+VERS-TLS1.3")});
    if (!impl.trusted.empty()) tls.push_back({MHD_OPTION_HTTPS_MEM_TRUST, 0, impl.trusted.data()});
  }
  tls.push_back({MHD_OPTION_END, 0, nullptr});
  impl.daemon =
      MHD_start_daemon(flags, options.port, nullptr, nullptr, &Impl::on_request, &impl, MHD_OPTION_SOCK_ADDR,
                       addresses->ai_addr, MHD_OPTION_NOTIFY_COMPLETED, &Impl::on_end, nullptr,
                       MHD_OPTION_CONNECTION_LIMIT, static_cast<unsigned>(options.connections_max),
                       MHD_OPTION_CONNECTION_TIMEOUT, idle_seconds, MHD_OPTION_ARRAY, tls.data(), MHD_OPTION_END);
  if (impl.daemon == nullptr) {
    return fail(Code::kUnavailable, fmt::format("cannot listen for HTTP on {}:{}: {}", options.host, options.port,
                                                internal::why_not_listening(options.host, options.port)));
  }
  impl.port = MHD_get_daemon_info(impl.daemon, MHD_DAEMON_INFO_BIND_PORT)->port;
  return {};
}

uint16_t HttpServer::port() const { return impl_->port; }

void HttpServer::stop() {
  impl_->stopping = true;
  if (impl_->daemon != nullptr) MHD_stop_daemon(std::exchange(impl_->daemon, nullptr));
}

}  // namespace vitrail::rpc
