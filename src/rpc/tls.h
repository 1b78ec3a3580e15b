#pragma once

#include <string>

namespace vitrail::rpc {

// TLS of a gRPC server or client. Files are PEM and are read when the server starts or the channel is made. All empty:
// plain text.
struct TlsOptions {
  std::string certificate_file;  // Ours. A client needs one only where the server asks for it.
  std::string key_file;          // Of certificate_file.
  std::string ca_file;           // Who signs the peers' certificates. A server with one refuses clients without.
  std::string server_name;       // Client: the name the server's certificate must bear, when not the address.
  bool enabled() const { return !certificate_file.empty() || !ca_file.empty(); }
};

}  // namespace vitrail::rpc
