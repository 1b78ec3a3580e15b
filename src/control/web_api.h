#pragma once

#include <string>

#include "base/result.h"
#include "control/vtctld.h"
#include "control/web_access.h"
#include "control/web_feed.h"
#include "control/web_views.h"
#include "net/loop.h"
#include "rpc/http.h"

namespace vitrail::control {

// vtctld's JSON API below /api/, for web pages and scripts: cells, keyspaces, keyspace, shards, srv_keyspace, tablets,
// topodata, topology_info, features to read; views (web_views.h) to read once, and events to be told of their changes;
// run (a vtctldclient command line), vtctl (an older one) and schema/apply to run commands (POST). access tells whether
// commands of this client are run: WebAccess decides. docs/operators/http.md lists what each takes and gives. Every
// request becomes calls of vtctld's own methods.
//
//   Threads: the HTTP server's; requests wait for the control loop. `vtctld` and `loop` outlive the HTTP server.
//   End    : stop() on the loop, when the HTTP server has ended and before vtctld does.
class WebApi {
 public:
  struct Options {
    std::string cell;       // "local" in paths.
    std::string http_host;  // Where HTTP listens.
    bool http_asks_certificates = false;
    rpc::ServerSecurity grpc_security;  // Of vtctld.
  };
  WebApi(Vtctld& vtctld, net::Loop& loop, Options options)
      : vtctld_(vtctld),
        loop_(loop),
        options_(std::move(options)),
        views_(vtctld, options_.cell),
        feed_(loop, [this](std::string name) { return views_.make(std::move(name)); }, kPause) {}

  // Before http.start(). This object outlives the server. The errors of rpc::secure().
  Status register_pages(rpc::HttpServer& http);
  net::Task<void> stop();

 private:
  rpc::HttpResponse answer(const rpc::HttpRequest& request);
  Result<std::string> read(const rpc::HttpRequest& request, std::string_view collection, std::string_view rest);
  rpc::HttpResponse run_command(const rpc::HttpRequest& request);
  rpc::HttpResponse run_older_command(const rpc::HttpRequest& request);
  Result<std::string> read_schema(const std::string& keyspace);
  Result<std::string> apply_schema(const rpc::HttpRequest& request);
  static constexpr base::Duration kPause = std::chrono::milliseconds(350);  // Between two looks at what is shown.

  template <typename Response, typename Request>
  Result<Response> ask(std::string_view method, const Request& request);

  Vtctld& vtctld_;
  net::Loop& loop_;
  const Options options_;
  WebAccess access_;
  WebViews views_;
  WebFeed feed_;
};

}  // namespace vitrail::control
