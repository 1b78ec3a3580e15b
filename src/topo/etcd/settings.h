#pragma once

#include <cstdint>
#include <string>

namespace vitrail::topo {

// The settings of the kind "etcd2". Files are PEM.
struct EtcdSettings {
  std::string tls_ca;         // Who signs the servers' certificates; empty, with the others: no TLS.
  std::string tls_cert;       // Ours.
  std::string tls_key;        // Of tls_cert.
  std::string username;       // Empty: no login.
  std::string password_file;  // Its first line.
  uint32_t lease_ttl = 30;    // Seconds that a lock outlives its holder, unless the lock says otherwise.
};

}  // namespace vitrail::topo
