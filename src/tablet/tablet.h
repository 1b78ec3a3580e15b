#pragma once

#include <memory>
#include <string>

#include "base/metrics.h"
#include "base/result.h"
#include "rpc/security.h"
#include "tablet/query_service.h"
#include "tablet/tablet_manager.h"

namespace vitrail::base {
class Settings;
}
namespace vitrail::rpc {
class HttpServer;
}

namespace vitrail::tablet {

struct Options {
  TabletSettings tablet;
  QueryServiceSettings queries;
  std::string rules_path;             // --topocustomrule-path; empty: none.
  std::string rules_cell = "global";  // Whose topology has it.
  std::string grpc_host = "127.0.0.1";
  uint16_t grpc_port = 0;
  uint16_t data_port = 0;
  std::string data_host = "127.0.0.1";
  std::string db_socket;  // Empty: $VTDATAROOT/vt_<uid>/mysql.sock
  std::string db_host;
  uint16_t db_port = 0;
  net::ClientTlsOptions db_tls;  // Over TCP.
  // Whether an account may use it: what cannot be had for one alone is refused at start.
  bool db_use_ssl_app = true, db_use_ssl_dba = true, db_use_ssl_allprivs = true, db_use_ssl_filtered = true;
  rpc::ServerSecurity grpc_security;
  rpc::ClientSecurity grpc_client;
  rpc::TlsOptions tablet_tls;  // For the sources of streams.
  uint32_t copy_lanes = 4;     // Pieces of copies that are inserted at the same time.
  bool signal_schema = true;   // Tell vtgates of tables that have changed: see SchemaWatch.
  bool watch_schema = false;   // Look at every health check what others have changed.
  base::Duration schema_reload = std::chrono::minutes(30);  // Else this often.
  std::vector<std::string> throttle_tablet_types = {"replica"};
  base::Duration twopc_abandon_age = std::chrono::seconds(15);
};

// Declares the settings of a vttablet.
void declare(base::Settings& settings, Options& options);

// One vttablet: the query service, the manager, and both sides of movement, behind one gRPC server.
//   Threads: make, start and stop it on one loop (the control loop).
class Tablet {
 public:
  Tablet(Options options, uint16_t http_port, topo::Server& topology, base::Metrics& metrics);
  ~Tablet();  // stop() must have returned when start() was called.

  //   kInvalidArgument: settings that make no sense. kAlreadyExists, kUnavailable: a port is taken, or the MySQL server
  //   does not answer.
  net::Task<Status> start();
  net::Task<void> stop();
  // Reads the certificate of the data port again. After start(), any thread, one at a time.
  void reload();
  std::string status_html() const;
  // [{"Key": "Query Service", "Class": "healthy"|"unhappy"|"unhealthy", "Value": ..}]
  std::string status_details_json() const;
  // The pages of this tablet's own. Before `http` is started, which may be before start().
  void add_pages(rpc::HttpServer& http);
  // OK when the tablet serves, for /healthz.
  Status health() const;

 private:
  struct Core;
  std::unique_ptr<Core> core_;
};

}  // namespace vitrail::tablet
