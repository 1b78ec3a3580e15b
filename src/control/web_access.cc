#include "control/web_access.h"

#include "base/text.h"

namespace vitrail::control {
namespace {

// "localhost:15000" -> "localhost", "[::1]:15000" -> "::1".
std::string_view host_name(std::string_view host) {
  if (host.starts_with('[')) return host.substr(1, host.find(']') - 1);
  return host.substr(0, host.find(':'));
}

std::string_view header(const rpc::HttpRequest& request, const std::string& name) {
  const auto found = request.headers.find(name);
  return found == request.headers.end() ? std::string_view() : found->second;
}

// Pages of browsers name their origin. It must be ours, and by a name of this machine where only this machine can reach
// us: a page may have been given a name of its own that leads here.
bool is_foreign_page(const rpc::HttpRequest& request, std::string_view http_host) {
  const std::string_view site = header(request, "sec-fetch-site");
  if (!site.empty() && site != "same-origin" && site != "none") return true;
  const std::string_view origin = header(request, "origin");
  const std::string_view host = header(request, "host");
  if (origin.empty()) return !site.empty() && rpc::is_loopback(http_host) && !rpc::is_loopback(host_name(host));
  if (host.empty() || (origin != "http://" + std::string(host) && origin != "https://" + std::string(host))) {
    return true;
  }
  return rpc::is_loopback(http_host) && !rpc::is_loopback(host_name(host));
}

Result<std::string> decode_base64(std::string_view text) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  while (text.ends_with('=')) text.remove_suffix(1);
  std::string out;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const size_t digit = kDigits.find(c);
    if (digit == std::string_view::npos) return fail(Code::kInvalidArgument, "not base64");
    bits = bits << 6 | static_cast<uint32_t>(digit);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    out += static_cast<char>(bits >> count & 0xff);
  }
  return out;
}

}  // namespace

Result<std::pair<std::string, std::string>> parse_basic(std::string_view header) {
  constexpr std::string_view kScheme = "basic ";
  const Error bad = fail(Code::kInvalidArgument, "Authorization: expected Basic with a user name and a password");
  if (header.size() < kScheme.size() || !base::equals_ignoring_case(header.substr(0, kScheme.size()), kScheme)) {
    return bad;
  }
  const auto text = decode_base64(base::trim(header.substr(kScheme.size())));
  const size_t colon = text.ok() ? text->find(':') : std::string::npos;
  if (colon == std::string::npos) return bad;
  return std::pair(text->substr(0, colon), text->substr(colon + 1));
}

Status WebAccess::check(const rpc::HttpRequest& request) const {
  if (is_foreign_page(request, http_host)) {
    return fail(Code::kPermissionDenied, "commands are not taken from the pages of another site");
  }
  const bool by_certificate = grpc.auth_mode == "mtls" || (grpc.auth_mode.empty() && !grpc.tls.ca_file.empty());
  if (by_certificate && request.peer_subject.empty()) {
    return fail(Code::kPermissionDenied,
                "commands by HTTP are off, because gRPC asks callers for a certificate and HTTP does not: give this "
                "program --http-tls-cert, --http-tls-key and --http-tls-ca, or use its client");
  }
  if (!grpc.auth_mode.empty()) {
    rpc::CallContext caller;
    caller.peer_subject = request.peer_subject;
    if (grpc.auth_mode == "static") {
      const auto user = parse_basic(header(request, "authorization"));
      if (!user.ok()) {
        return fail(Code::kUnauthenticated,
                    "commands need a user name and a password of --grpc-auth-static-password-file");
      }
      caller.metadata = {{"username", user->first}, {"password", user->second}};
    }
    Status known = authenticate ? authenticate(caller) : fail(Code::kInternal, "nobody can be asked who calls");
    if (known.ok()) return known;
    const bool by_password = grpc.auth_mode == "static";  // Another one may be right.
    return fail(by_password ? Code::kUnauthenticated : Code::kPermissionDenied, known.error().message());
  }
  if (asks_certificates && !request.peer_subject.empty()) return {};
  if (!rpc::is_loopback(http_host) && !grpc.allow_insecure) {
    return fail(Code::kPermissionDenied,
                "commands by HTTP are off, because other machines can reach this port: " + remedy);
  }
  return {};
}

std::optional<rpc::HttpResponse> WebAccess::refuse(const rpc::HttpRequest& request) const {
  const Status allowed = check(request);
  if (allowed.ok()) return std::nullopt;
  auto refusal = rpc::HttpResponse::error(allowed.error());
  if (refusal.status == 401) refusal.headers["WWW-Authenticate"] = "Basic realm=\"vitrail\", charset=\"UTF-8\"";
  return refusal;
}

std::string WebAccess::caller_of(const rpc::HttpRequest& request) const {
  if (grpc.auth_mode == "static") {
    if (const auto user = parse_basic(header(request, "authorization")); user.ok()) return user->first;
  }
  return request.peer_subject.empty() ? "an unnamed HTTP client" : request.peer_subject;
}

}  // namespace vitrail::control
