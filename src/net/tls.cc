#include "net/tls.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/settings.h"
#include "net/openssl.h"
#include "net/tls_session.h"

namespace vitrail::net {
namespace {

Result<int> version_of(const std::string& name) {
  if (name.empty() || name == "TLSv1.2") return TLS1_2_VERSION;
  if (name == "TLSv1.3") return TLS1_3_VERSION;
  return fail(Code::kInvalidArgument, "the lowest version of TLS is TLSv1.2 or TLSv1.3, not " + name);
}

// Shows our certificate, which load_key_pair() has found good.
Status show_certificate(SSL_CTX* context, const TlsOptions& files) {
  ASSIGN_OR_RETURN(const KeyPair pair, load_key_pair(files));
  const auto chain = internal::certificates_of(pair.chain);
  const internal::Key key = internal::key_of(pair.key);
  bool good =
      SSL_CTX_use_certificate(context, chain.front().get()) == 1 && SSL_CTX_use_PrivateKey(context, key.get()) == 1;
  for (size_t i = 1; good && i < chain.size(); ++i) good = SSL_CTX_add1_chain_cert(context, chain[i].get()) == 1;
  if (good) return {};
  const char* reason = ERR_reason_error_string(ERR_peek_last_error());
  return fail(Code::kInvalidArgument,
              files.certificate_file + " cannot be used: " + (reason == nullptr ? "no reason given" : reason));
}

Status set_rules(SSL_CTX* context, const std::string& version_min) {
  CHECK(context != nullptr);
  ASSIGN_OR_RETURN(const int version, version_of(version_min));
  SSL_CTX_set_min_proto_version(context, version);
  // The end of a stream needs no alert: MySQL's messages have lengths.
  SSL_CTX_set_options(
      context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
  SSL_CTX_set_read_ahead(context, 1);
  return {};
}

}  // namespace

TlsContext::~TlsContext() { SSL_CTX_free(context_); }

Result<std::shared_ptr<const TlsContext>> TlsContext::for_server(const ServerTlsOptions& options) {
  const std::shared_ptr<TlsContext> out(new TlsContext(SSL_CTX_new(TLS_server_method())));
  SSL_CTX* context = out->context_;
  out->server_ = true;
  RETURN_IF_ERROR(set_rules(context, options.version_min));
  SSL_CTX_set_num_tickets(context, 0);
  RETURN_IF_ERROR(show_certificate(context, options.files));
  if (!options.files.ca_file.empty()) {
    ASSIGN_OR_RETURN(const auto trusted, internal::load_authorities(options.files.ca_file, options.files.crl_file));
    SSL_CTX_set1_verify_cert_store(context, trusted.get());
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  }
  return out;
}

Result<std::shared_ptr<const TlsContext>> TlsContext::for_client(const ClientTlsOptions& options) {
  if (options.mode == TlsMode::kDisabled) return std::shared_ptr<const TlsContext>();
  const std::shared_ptr<TlsContext> out(new TlsContext(SSL_CTX_new(TLS_client_method())));
  SSL_CTX* context = out->context_;
  out->optional_ = options.mode == TlsMode::kPreferred;
  out->check_host_ = options.mode == TlsMode::kVerifyIdentity;
  out->server_name_ = options.files.server_name;
  RETURN_IF_ERROR(set_rules(context, options.version_min));
  if (!options.files.certificate_file.empty() || !options.files.key_file.empty()) {
    RETURN_IF_ERROR(show_certificate(context, options.files));
  }
  if (options.files.ca_file.empty()) {
    SSL_CTX_set_default_verify_paths(context);
  } else {
    ASSIGN_OR_RETURN(const auto trusted, internal::load_authorities(options.files.ca_file, ""));
    SSL_CTX_set1_verify_cert_store(context, trusted.get());
  }
  if (options.mode >= TlsMode::kVerifyCa) SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  return out;
}

Result<internal::TlsSessionPtr> TlsContext::start(internal::IoState& io, const std::string& host,
                                                  std::string received) const {
  SSL* ssl = SSL_new(context_);
  CHECK(ssl != nullptr);
  internal::TlsSessionPtr session(new internal::TlsSession(ssl, io, std::move(received)));
  if (server_) {
    SSL_set_accept_state(ssl);
    return session;
  }
  SSL_set_connect_state(ssl);
  const std::string& name = server_name_.empty() ? host : server_name_;
  in6_addr numeric{};
  const bool is_address =
      inet_pton(AF_INET, name.c_str(), &numeric) == 1 || inet_pton(AF_INET6, name.c_str(), &numeric) == 1;
  if (!is_address && !name.empty()) SSL_set_tlsext_host_name(ssl, name.c_str());
  if (!check_host_) return session;
  const bool set = is_address ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name.c_str()) == 1
                              : !name.empty() && SSL_set1_host(ssl, name.c_str()) == 1;
  if (!set) return fail(Code::kInvalidArgument, "'" + name + "' is no name that a certificate could bear");
  return session;
}

Status ServerTls::load() {
  const TlsOptions& files = options_.files;
  if (!enabled()) {
    if (files.key_file.empty() && files.ca_file.empty() && files.crl_file.empty() && files.chain_file.empty() &&
        !options_.required) {
      return {};
    }
    return fail(Code::kInvalidArgument, "--" + prefix_ + "-ssl-key, -ssl-ca, -ssl-crl, -ssl-server-ca and --" +
                                            prefix_ + "-require-secure-transport need --" + prefix_ + "-ssl-cert");
  }
  if (!files.crl_file.empty() && files.ca_file.empty()) {
    return fail(Code::kInvalidArgument, "--" + prefix_ + "-ssl-crl needs --" + prefix_ + "-ssl-ca");
  }
  auto read = TlsContext::for_server(options_);
  if (!read.ok()) return std::move(read).error().with_context("--" + prefix_ + "-ssl-*");
  context_.store(std::move(*read));
  return {};
}

void declare_server_tls(base::Settings& settings, const std::string& prefix, const std::string& port,
                        ServerTlsOptions& options) {
  settings.add(prefix + "_ssl_cert", &options.files.certificate_file,
               port + ": certificate (PEM); with it clients may use TLS");
  settings.add(prefix + "_ssl_key", &options.files.key_file, port + ": key of that certificate");
  settings.add(prefix + "_ssl_ca", &options.files.ca_file,
               port + ": authorities of client certificates (PEM); with it every client that uses TLS needs one");
  settings.add(prefix + "_ssl_crl", &options.files.crl_file, port + ": revoked client certificates (PEM)");
  settings.add(prefix + "_ssl_server_ca", &options.files.chain_file,
               port + ": certificates to send behind the own one (PEM)");
  settings.add(prefix + "_tls_min_version", &options.version_min, port + ": lowest version of TLS")
      .one_of({"TLSv1.2", "TLSv1.3", ""});
  settings.add(prefix + "_require_secure_transport", &options.required,
               port + ": refuse clients that use neither TLS nor a unix socket");
}

}  // namespace vitrail::net
