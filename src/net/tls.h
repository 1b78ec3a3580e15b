#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "net/certificates.h"

struct ssl_ctx_st;

namespace vitrail::base {
class Settings;
}

// TLS of MySQL connections: what both sides need to begin it. Socket::start_tls() does it.
namespace vitrail::net {

namespace internal {
class TlsSession;
struct IoState;
struct TlsDelete {
  void operator()(TlsSession* session) const;
};
using TlsSessionPtr = std::unique_ptr<TlsSession, TlsDelete>;
}  // namespace internal

struct ServerTlsOptions {
  TlsOptions files;  // With ca_file every client needs a certificate.
  std::string version_min = "TLSv1.2";
  bool required = false;  // Refuses clients in plain text (over TCP) with error 3159.
};

// What a client wants of a server: as MySQL's own clients name it (--ssl-mode).
enum class TlsMode : uint8_t {
  kDisabled,
  kPreferred,       // If the server offers it. Protects from listeners only.
  kRequired,        // Whoever the server is.
  kVerifyCa,        // The server's certificate is signed by an authority of ours.
  kVerifyIdentity,  // And bears the host's name.
};

struct ClientTlsOptions {
  TlsOptions files;  // Without ca_file the system's authorities count.
  std::string version_min = "TLSv1.2";
  TlsMode mode = TlsMode::kDisabled;
};

// Certificates and rules, read from their files once; connections made with it go on with it.
//   Threads: immutable; any.
//   TLS is 1.2 or later. Sessions are not resumed: connections live long, and each shows its certificate.
class TlsContext {
 public:
  // kInvalidArgument, kNotFound: a file that cannot be used; the message names it.
  static Result<std::shared_ptr<const TlsContext>> for_server(const ServerTlsOptions& options);
  // Null in the mode kDisabled.
  static Result<std::shared_ptr<const TlsContext>> for_client(const ClientTlsOptions& options);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  // Client: a server without TLS will do.
  bool optional() const { return optional_; }

  // For Socket. `host`: the server, as the client was told to reach it. `received`: bytes of the peer that were read
  // from the socket already. `io` must outlive the session.
  Result<internal::TlsSessionPtr> start(internal::IoState& io, const std::string& host, std::string received) const;

 private:
  explicit TlsContext(ssl_ctx_st* context) : context_(context) {}
  ssl_ctx_st* const context_;
  bool server_ = false;
  bool optional_ = false;
  bool check_host_ = false;
  std::string server_name_;  // Instead of the host.
};

// The certificate of a listener, which may be exchanged while it listens.
//   Threads: load() on one at a time; the others any.
class ServerTls {
 public:
  // `prefix`: of the flags, for messages ("mysql-server").
  ServerTls(ServerTlsOptions options, std::string prefix) : options_(std::move(options)), prefix_(std::move(prefix)) {}

  // Reads the files; later connections use what they say now. After an Error (flags that make no sense, files that
  // cannot be used) everything stays as it was.
  Status load();
  bool enabled() const { return !options_.files.certificate_file.empty(); }
  bool required() const { return options_.required; }
  // Null: no TLS.
  std::shared_ptr<const TlsContext> context() const { return context_.load(); }

 private:
  const ServerTlsOptions options_;
  const std::string prefix_;
  std::atomic<std::shared_ptr<const TlsContext>> context_;
};

// --<prefix>_ssl_cert, _ssl_key, _ssl_ca, _ssl_crl, _ssl_server_ca, _tls_min_version and _require_secure_transport of a
// MySQL listener. `port` names it in the descriptions.
void declare_server_tls(base::Settings& settings, const std::string& prefix, const std::string& port,
                        ServerTlsOptions& options);

}  // namespace vitrail::net
