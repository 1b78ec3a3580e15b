#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/metrics.h"
#include "base/result.h"
#include "gate/discovery.h"
#include "gate/gate_loop.h"
#include "mysql/auth.h"
#include "net/loop.h"
#include "net/tls.h"
#include "rpc/security.h"

namespace vitrail::base {
class Settings;
}

namespace vitrail::gate {

struct Options {
  GateSettings serving;
  Discovery::Options discovery;
  std::vector<std::string> tablet_types_to_wait;
  base::Duration initial_tablet_timeout = std::chrono::seconds(30);
  std::string auth = "none";    // none or static.
  bool allow_insecure = false;  // Other machines may log in without being asked who they are.
  std::string auth_static_file;
  std::string auth_static_string;
  bool clear_text_without_tls = false;
  base::Duration auth_reload_interval = std::chrono::seconds(0);  // 0: at start only.
  net::ServerTlsOptions mysql_tls;
  net::ClientTlsOptions tablet_mysql_tls;  // To the tablets' data ports.
  std::string grpc_host = "127.0.0.1";
  uint16_t grpc_port = 0;  // 0: no gRPC service.
  rpc::ServerSecurity grpc_security;
  base::Duration grpc_session_timeout = std::chrono::minutes(5);
  base::Duration mysql_query_timeout{};  // 0: as serving.query_timeout says.
};

// A plan that is kept, and how often it was used.
struct PlanUse {
  std::string query;   // With :vtg1 in the place of literals.
  std::string target;  // "keyspace@type" of the session.
  std::string plan;    // "Passthrough", "Scatter" ...
  std::string keyspace;
  std::string vindex;  // That decides the shard; empty: none.
  std::string sent;    // What the shards get; empty: the statement as it is.
  uint64_t count = 0;
};

// Declares the settings of a vtgate.
void declare(base::Settings& settings, Options& options);

// The router: speaks MySQL to applications, and sends their statements to the tablets.
//   Threads: make, start and stop it on one loop (the control loop); clients live on loops of its own.
class Gate {
 public:
  Gate(Options options, topo::Server& topology, base::Metrics& metrics);
  ~Gate();  // stop() must have returned when start() did.

  // Reads the topology, waits for tablets (a while), listens.
  //   kAlreadyExists: the port is taken. kInvalidArgument: users or flags that make no sense.
  net::Task<Status> start();
  uint16_t mysql_port() const;
  net::Task<void> stop();

  // Reads the files with users and certificates again, for logins from now on; what cannot be used stays as it was, and
  // the log says so. After start(), any thread, one at a time.
  void reload();

  // For the debug pages; any thread but a gate's own. The newest view; null before the first one.
  std::shared_ptr<const View> view() const;
  // The plans that are kept, of all loops, sorted by statement; none before start().
  std::vector<PlanUse> plans() const;
  // What statements have cost, of all loops; none before start().
  std::vector<StatementUse> statements() const;
  base::QueryLog& query_log();

 private:
  struct Core;
  std::unique_ptr<Core> core_;
};

}  // namespace vitrail::gate
