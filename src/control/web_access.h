#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/result.h"
#include "rpc/http.h"
#include "rpc/security.h"

namespace vitrail::control {

// Who may send commands to a program by HTTP. Whoever its gRPC keeps out, HTTP keeps out too.
struct WebAccess {
  std::string http_host;                                                     // Where HTTP listens.
  bool asks_certificates = false;                                            // HTTP asks clients for certificates.
  rpc::ServerSecurity grpc;                                                  // Of the program; none: leave it empty.
  std::function<Status(const rpc::CallContext& context)> authenticate = {};  // gRPC's; unset: it asks nobody.

  // What to do instead, where other machines reach the port and nobody is asked who he is.
  std::string remedy =
      "use vtctldclient, or give vtctld --grpc-auth-mode, or --http-tls-ca, or --grpc-allow-insecure where the network "
      "keeps strangers out";

  // Why the commands of this request are not run; OK when they are.
  //   kUnauthenticated   a user name and password (HTTP Basic) would help.
  //   kPermissionDenied  they would not, or another site's page sends this: its Origin is not our Host.
  Status check(const rpc::HttpRequest& request) const;
  // The same as an answer, which asks browsers for a password where one would help; nullopt: they are run.
  std::optional<rpc::HttpResponse> refuse(const rpc::HttpRequest& request) const;
  // Who sends a request that check() lets pass, for logs of what was done: the name of the password or certificate;
  // "an unnamed HTTP client" where neither is asked for.
  std::string caller_of(const rpc::HttpRequest& request) const;
};

// "Basic dXNlcjpwYXNz" -> "user", "pass". kInvalidArgument.
Result<std::pair<std::string, std::string>> parse_basic(std::string_view header);

}  // namespace vitrail::control
