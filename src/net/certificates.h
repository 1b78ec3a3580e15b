#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace vitrail::net {

// Files of a server or client that speaks TLS, gRPC or MySQL, in PEM form. All empty: plain text.
struct TlsOptions {
  std::string certificate_file;  // Ours. A client needs one only where the server asks for it.
  std::string key_file;          // Of certificate_file.
  std::string ca_file;           // Who signs the peers' certificates. A server with one refuses clients without.
  std::string crl_file;          // Server: certificates of clients that are not good any more.
  std::string chain_file;        // Server: certificates sent behind ours, up to one that clients know.
  std::string server_name;       // Client: the name the server's certificate must bear, when not the address.
  bool enabled() const { return !certificate_file.empty() || !ca_file.empty(); }
};

// What certificate_file, key_file and chain_file hold. kInvalidArgument when one is missing among the settings, is no
// PEM, or when the key is not the certificate's; kNotFound names a file that is not there.
struct KeyPair {
  std::string chain;
  std::string key;
};
Result<KeyPair> load_key_pair(const TlsOptions& options);

// Decides whether a client's certificate is good: signed (perhaps through others that the client sent) by an authority
// of `ca_file`, valid today, for clients, and not in `crl_file`. gRPC itself could check it during the handshake; then
// a refused client would only see its connection break, and nobody could count it.
//   Threads: any.
class ClientCertificates {
 public:
  static Result<std::unique_ptr<ClientCertificates>> load(const std::string& ca_file, const std::string& crl_file);
  ~ClientCertificates();

  // `pem_chain`: what the client sent, its own certificate first. Returns the subject, as RFC 2253 writes it
  // ("CN=vtctld,O=example"). kUnauthenticated with the reason.
  Result<std::string> check(std::string_view pem_chain) const;

 private:
  ClientCertificates();
  struct Store;
  std::unique_ptr<Store> store_;
};

}  // namespace vitrail::net
