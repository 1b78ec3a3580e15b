#pragma once

#include <string>

#include "base/result.h"
#include "control/vtctld.h"
#include "net/loop.h"
#include "rpc/http.h"

namespace vitrail::control {

// vtctld's JSON API below /api/, for web pages and scripts: cells, keyspaces, keyspace, shards, srv_keyspace, tablets,
// topodata, topology_info, features to read; vtctl and schema/apply to run commands (POST). docs/operators/http.md
// lists what each takes and gives. Every request becomes calls of vtctld's own methods.
//
// Commands are refused where HTTP would let in whom gRPC keeps out: when gRPC asks who calls, when HTTP is reachable
// from other machines and gRPC is not meant to be, and when another site's page sends them (its Origin is not our
// Host).
//
//   Threads: the HTTP server's; requests wait for the control loop. `vtctld` and `loop` outlive the HTTP server.
class WebApi {
 public:
  struct Options {
    std::string cell;                   // "local" in paths.
    std::string http_host;              // Where HTTP listens.
    rpc::ServerSecurity grpc_security;  // Of vtctld.
  };
  WebApi(Vtctld& vtctld, net::Loop& loop, Options options)
      : vtctld_(vtctld), loop_(loop), options_(std::move(options)) {}

  // Before http.start(). This object outlives the server.
  void register_pages(rpc::HttpServer& http);

 private:
  rpc::HttpResponse answer(const rpc::HttpRequest& request);
  Result<std::string> read(const rpc::HttpRequest& request, std::string_view collection, std::string_view rest);
  rpc::HttpResponse run_command(const rpc::HttpRequest& request);
  Result<std::string> apply_schema(const rpc::HttpRequest& request);
  // Why commands are not run for this request; OK when they are.
  Status check_allowed(const rpc::HttpRequest& request) const;

  template <typename Response, typename Request>
  Result<Response> ask(std::string_view method, const Request& request);

  Vtctld& vtctld_;
  net::Loop& loop_;
  const Options options_;
};

}  // namespace vitrail::control
