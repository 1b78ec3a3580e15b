#pragma once

#include <functional>
#include <string>

#include "base/result.h"
#include "rpc/http.h"
#include "rpc/security.h"

namespace vitrail::control {

// Who may send commands to vtctld by HTTP. Whoever gRPC keeps out, HTTP keeps out too.
struct WebAccess {
  std::string http_host;                                                     // Where HTTP listens.
  bool asks_certificates = false;                                            // HTTP asks clients for certificates.
  rpc::ServerSecurity grpc;                                                  // Of vtctld.
  std::function<Status(const rpc::CallContext& context)> authenticate = {};  // gRPC's; unset: it asks nobody.

  // Why the commands of this request are not run; OK when they are.
  //   kUnauthenticated   a user name and password (HTTP Basic) would help.
  //   kPermissionDenied  they would not, or another site's page sends this: its Origin is not our Host.
  Status check(const rpc::HttpRequest& request) const;
};

// "Basic dXNlcjpwYXNz" -> "user", "pass". kInvalidArgument.
Result<std::pair<std::string, std::string>> parse_basic(std::string_view header);

}  // namespace vitrail::control
