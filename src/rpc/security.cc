#include "rpc/security.h"

#include <arpa/inet.h>
#include <fmt/core.h>
#include <openssl/crypto.h>

#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/log.h"
#include "base/settings.h"
#include "base/text.h"

namespace vitrail::rpc {
namespace {

using Passwords = std::multimap<std::string, std::string, std::less<>>;

Result<nlohmann::json> load_json(const std::string& file) {
  ASSIGN_OR_RETURN(const std::string text, base::read_file(file));
  nlohmann::json document = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (document.is_discarded()) return fail(Code::kInvalidArgument, file + " is not valid JSON");
  return document;
}

// One {"Username": "...", "Password": "..."}.
Result<std::pair<std::string, std::string>> credentials_of(const nlohmann::json& entry, const std::string& file) {
  const auto text = [&](const char* key) {
    return entry.is_object() && entry.contains(key) && entry[key].is_string() ? entry[key].get<std::string>() : "";
  };
  std::pair out(text("Username"), text("Password"));
  if (out.first.empty() || out.second.empty()) {
    return fail(Code::kInvalidArgument, file + ": expected {\"Username\": \"...\", \"Password\": \"...\"}");
  }
  return out;
}

Result<Passwords> load_passwords(const std::string& file) {
  ASSIGN_OR_RETURN(const nlohmann::json document, load_json(file));
  if (!document.is_array() || document.empty()) {
    return fail(Code::kInvalidArgument, file + ": expected a list of users with passwords");
  }
  Passwords out;
  for (const nlohmann::json& entry : document) {
    ASSIGN_OR_RETURN(auto user, credentials_of(entry, file));
    out.insert(std::move(user));
  }
  return out;
}

// In a time that does not tell where they differ; it tells the length.
bool same_secret(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

Status check_password(const Passwords& passwords, const CallContext& context) {
  const std::string_view user = context.find_metadata("username");
  const std::string_view password = context.find_metadata("password");
  if (user.empty() || password.empty()) {
    return fail(Code::kUnauthenticated,
                "this server asks for a username and a password (client side: --grpc-auth-static-client-creds)");
  }
  const auto [first, last] = passwords.equal_range(user);
  for (auto known = first; known != last; ++known) {
    if (same_secret(known->second, password)) return {};
  }
  return fail(Code::kPermissionDenied, fmt::format("auth failure: caller \"{}\" provided invalid credentials", user));
}

Status check_subject(const std::vector<std::string>& allowed, const CallContext& context) {
  for (const std::string& part : allowed) {
    if (context.peer_subject.find(part) != std::string::npos) return {};
  }
  return fail(Code::kUnauthenticated, fmt::format("client certificate not authorized: {} has none of the names in "
                                                  "--grpc-auth-mtls-allowed-substrings of the server",
                                                  context.peer_subject));
}

}  // namespace

bool is_loopback(std::string_view host) {
  in_addr address{};  // A name like 127.example.com is none.
  const bool numeric = ::inet_pton(AF_INET, std::string(host).c_str(), &address) == 1;
  return (numeric && host.starts_with("127.")) || host == "::1" || host == "localhost";
}

void declare(base::Settings& settings, ServerSecurity& security) {
  settings.add("grpc_cert", &security.tls.certificate_file,
               "gRPC server: certificate (PEM); with it the port speaks TLS");
  settings.add("grpc_key", &security.tls.key_file, "gRPC server: key of --grpc_cert");
  settings.add("grpc_ca", &security.tls.ca_file,
               "gRPC server: authorities of client certificates (PEM); with it every client needs one");
  settings.add("grpc_crl", &security.tls.crl_file, "gRPC server: revoked client certificates (PEM)");
  settings.add("grpc_server_ca", &security.tls.chain_file,
               "gRPC server: certificates to send behind --grpc_cert (PEM)");
  settings.add("grpc_auth_mode", &security.auth_mode, "gRPC server: who may call; empty: whoever reaches the port")
      .one_of({"", "static", "mtls"});
  settings.add("grpc_auth_static_password_file", &security.static_password_file,
               "gRPC server: users of the mode static, JSON [{\"Username\": \"...\", \"Password\": \"...\"}]");
  settings.add("grpc_auth_mtls_allowed_substrings", &security.mtls_allowed_substrings,
               "gRPC server: mode mtls lets in certificates whose subject has one of these, separated by ':'");
  settings.add("grpc_allow_insecure", &security.allow_insecure,
               "gRPC server: listen on more than the loopback address without TLS or authentication");
  settings.add("grpc_max_message_size", &security.message_size_max, "largest gRPC message").unit("bytes");
  settings.add("grpc_server_keepalive_enforcement_policy_min_time", &security.ping_interval_min,
               "gRPC server: clients that ping more often are dropped");
}

Status secure(const ServerSecurity& security, ServerOptions& options) {
  options.tls = security.tls;
  options.message_size_max = security.message_size_max;
  options.ping_interval_min = security.ping_interval_min;
  const bool has_tls = !security.tls.certificate_file.empty();
  if (!has_tls && (!security.tls.key_file.empty() || !security.tls.ca_file.empty() || !security.tls.crl_file.empty() ||
                   !security.tls.chain_file.empty())) {
    return fail(Code::kInvalidArgument, "--grpc-key, --grpc-ca, --grpc-crl and --grpc-server-ca need --grpc-cert");
  }
  if (!security.tls.crl_file.empty() && security.tls.ca_file.empty()) {
    return fail(Code::kInvalidArgument, "--grpc-crl needs --grpc-ca");
  }
  if (security.auth_mode == "static") {
    if (security.static_password_file.empty()) {
      return fail(Code::kInvalidArgument, "--grpc-auth-mode static needs --grpc-auth-static-password-file");
    }
    auto loaded = load_passwords(security.static_password_file);
    if (!loaded.ok()) return std::move(loaded).error().with_context("--grpc-auth-static-password-file");
    options.authenticate = [known = std::make_shared<const Passwords>(std::move(*loaded))](const CallContext& context) {
      return check_password(*known, context);
    };
    if (!has_tls && !is_loopback(options.host)) {
      log_warning("gRPC on {}: passwords travel in clear text, as there is no --grpc-cert", options.host);
    }
  } else if (!security.static_password_file.empty()) {
    return fail(Code::kInvalidArgument, "--grpc-auth-static-password-file needs --grpc-auth-mode static");
  }
  if (security.auth_mode == "mtls") {
    std::vector<std::string> allowed;
    for (const std::string_view part : base::split(security.mtls_allowed_substrings, ':')) {
      if (!part.empty()) allowed.emplace_back(part);
    }
    if (security.tls.ca_file.empty() || allowed.empty()) {
      return fail(
          Code::kInvalidArgument,
          "--grpc-auth-mode mtls needs --grpc-cert, --grpc-key, --grpc-ca and --grpc-auth-mtls-allowed-substrings");
    }
    options.authenticate = [allowed = std::move(allowed)](const CallContext& context) {
      return check_subject(allowed, context);
    };
  } else if (!security.mtls_allowed_substrings.empty()) {
    return fail(Code::kInvalidArgument, "--grpc-auth-mtls-allowed-substrings needs --grpc-auth-mode mtls");
  }
  if (has_tls || !security.auth_mode.empty() || is_loopback(options.host)) return {};
  if (!security.allow_insecure) {
    return fail(
        Code::kFailedPrecondition,
        fmt::format("gRPC on {}: whoever reaches this port could do everything. Give --grpc-cert and --grpc-key "
                    "(TLS), or --grpc-auth-mode, or --grpc-allow-insecure where the network keeps strangers out",
                    options.host.empty() ? "every address" : options.host));
  }
  options.insecure = true;
  log_warning("gRPC on {} has neither TLS nor authentication (--grpc-allow-insecure)", options.host);
  return {};
}

void declare(base::Settings& settings, ClientSecurity& security, const ServerSecurity* server) {
  settings.add("grpc_auth_static_client_creds", &security.static_credentials_file,
               "gRPC client: user to call as, JSON {\"Username\": \"...\", \"Password\": \"...\"}");
  if (server == nullptr) {
    settings.add("grpc_max_message_size", &security.message_size_max, "largest gRPC message").unit("bytes");
  }
  settings.add("grpc_keepalive_time", &security.keepalive_time,
               "gRPC client: pause after which a quiet server is pinged");
  settings.add("grpc_keepalive_timeout", &security.keepalive_timeout,
               "gRPC client: how long an answer to that may take");
}

void declare_tls(base::Settings& settings, const std::string& prefix, TlsOptions& tls) {
  settings.add(prefix + "_grpc_cert", &tls.certificate_file,
               "gRPC client: our certificate (PEM), for servers that ask for one");
  settings.add(prefix + "_grpc_key", &tls.key_file, "gRPC client: key of that certificate");
  settings.add(prefix + "_grpc_ca", &tls.ca_file,
               "gRPC client: authorities of servers' certificates (PEM); with it connections use TLS");
  settings.add(prefix + "_grpc_server_name", &tls.server_name,
               "gRPC client: name that the server's certificate must bear, when not the address");
}

Result<ChannelOptions> channel_options(const ClientSecurity& security, TlsOptions tls) {
  ChannelOptions options;
  options.tls = std::move(tls);
  options.message_size_max = security.message_size_max;
  options.keepalive_time = security.keepalive_time;
  options.keepalive_timeout = security.keepalive_timeout;
  if (security.static_credentials_file.empty()) return options;
  const auto load = [&]() -> Result<std::pair<std::string, std::string>> {
    ASSIGN_OR_RETURN(const nlohmann::json document, load_json(security.static_credentials_file));
    return credentials_of(document, security.static_credentials_file);
  };
  auto user = load();
  if (!user.ok()) return std::move(user).error().with_context("--grpc-auth-static-client-creds");
  options.metadata = {{"username", std::move(user->first)}, {"password", std::move(user->second)}};
  return options;
}

}  // namespace vitrail::rpc
