#pragma once

#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "rpc/client.h"
#include "rpc/server.h"

namespace vitrail::base {
class Settings;
}

// The settings by which operators secure gRPC, the same for every program; docs/operators/security.md shows them in
// use.
namespace vitrail::rpc {

// Of a program that listens.
struct ServerSecurity {
  TlsOptions tls;
  std::string auth_mode;  // "", "static" or "mtls".
  std::string static_password_file;
  std::string mtls_allowed_substrings;  // Separated by ':'.
  bool allow_insecure = false;
  uint64_t message_size_max = kMessageSizeMax;
  base::Duration ping_interval_min = std::chrono::seconds(10);
};
void declare(base::Settings& settings, ServerSecurity& security);

// Puts the settings into `options`, whose host must be final.
//   kFailedPrecondition  the host is not a loopback address, and neither TLS nor authentication nor allow_insecure is
//                        given.
//   kInvalidArgument, kNotFound: files and flags that make no sense; the message names the flag.
Status secure(const ServerSecurity& security, ServerOptions& options);

// Whether only processes of this machine can reach an address: 127.0.0.0/8, ::1, localhost.
bool is_loopback(std::string_view host);

// Of a program that calls others.
struct ClientSecurity {
  std::string static_credentials_file;
  uint64_t message_size_max = kMessageSizeMax;
  base::Duration keepalive_time = std::chrono::seconds(10);
  base::Duration keepalive_timeout = std::chrono::seconds(10);
};
// With `server` the program listens, too, and its ServerSecurity is declared on the same settings: both share
// --grpc_max_message_size. Copy its value before channel_options().
void declare(base::Settings& settings, ClientSecurity& security, const ServerSecurity* server = nullptr);
// --<prefix>_grpc_cert, _key, _ca and _server_name: for one kind of server ("vtctld", "tablet_manager", "tablet").
void declare_tls(base::Settings& settings, const std::string& prefix, TlsOptions& tls);

// kInvalidArgument, kNotFound: the file with the credentials cannot be used.
Result<ChannelOptions> channel_options(const ClientSecurity& security, TlsOptions tls);

}  // namespace vitrail::rpc
