#include "control/http_client.h"

#include <atomic>

#include "base/settings.h"
#include "net/socket.h"
#include "net/tls.h"

namespace vitrail::control {
namespace {

constexpr size_t kAnswerBytesMax = 8 << 20;

// Null: plain text only.
std::atomic<std::shared_ptr<const net::TlsContext>>& client_tls() {
  static std::atomic<std::shared_ptr<const net::TlsContext>> context;
  return context;
}

}  // namespace

void declare(base::Settings& settings, HttpClientOptions& options) {
  settings.add("http_client_ca", &options.tls.ca_file,
               "PEM file with the authorities of vtgates and vttablets whose HTTP ports speak TLS; their versions and "
               "statements are read from there");
  settings.add("http_client_cert", &options.tls.certificate_file,
               "PEM file with the certificate to show there, where they ask for one");
  settings.add("http_client_key", &options.tls.key_file, "PEM file with its key");
}

Status set_http_client(const HttpClientOptions& options) {
  if (options.tls.ca_file.empty()) {
    if (options.tls.certificate_file.empty() && options.tls.key_file.empty()) return {};
    return fail(Code::kInvalidArgument, "--http-client-cert and --http-client-key need --http-client-ca");
  }
  auto context = net::TlsContext::for_client({.files = options.tls, .mode = net::TlsMode::kVerifyIdentity});
  if (!context.ok()) return std::move(context).error().with_context("--http-client-*");
  client_tls().store(std::move(*context));
  return {};
}

bool http_client_has_tls() { return client_tls().load() != nullptr; }

// By HTTP/1.0: the server closes the connection behind the body.
net::Task<Result<std::string>> http_get(std::string host, uint16_t port, bool tls, std::string path, net::Wait wait) {
  const auto context = client_tls().load();
  if (tls && context == nullptr) {
    co_return fail(Code::kFailedPrecondition,
                   "its HTTP port speaks TLS: give vtctld --http-client-ca, the authority of its certificate");
  }
  CO_ASSIGN_OR_RETURN(auto socket, co_await net::Socket::connect_tcp(host, port, wait));
  if (tls) CO_RETURN_IF_ERROR(co_await socket.start_tls(context, host, "", wait));
  const std::string request = "GET " + path + " HTTP/1.0\r\nHost: " + host + "\r\nConnection: close\r\n\r\n";
  CO_RETURN_IF_ERROR(co_await socket.write_all(request, wait));
  std::string answer;
  std::string buffer(16'384, '\0');
  for (;;) {
    CO_ASSIGN_OR_RETURN(const size_t read, co_await socket.read_some(buffer, wait));
    if (read == 0) break;
    answer.append(buffer, 0, read);
    if (answer.size() > kAnswerBytesMax) co_return fail(Code::kResourceExhausted, "the answer is too long");
  }
  if (!answer.starts_with("HTTP/1.")) {
    co_return fail(Code::kUnavailable,
                   context == nullptr
                       ? "the answer is not HTTP: where the port speaks TLS, vtctld needs --http-client-ca"
                       : "the answer is not HTTP");
  }
  const size_t head_end = answer.find("\r\n\r\n");
  const size_t blank = answer.find(' ');
  if (head_end == std::string::npos || answer.compare(blank + 1, 3, "200") != 0) {
    co_return fail(Code::kUnavailable, "the answer is not HTTP 200: " + answer.substr(0, answer.find('\r')));
  }
  co_return answer.substr(head_end + 4);
}

}  // namespace vitrail::control
