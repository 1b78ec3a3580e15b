#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/metrics.h"
#include "base/result.h"
#include "base/settings.h"
#include "combo/schema_dir.h"
#include "combo/spec.h"
#include "net/loop.h"
#include "rpc/http.h"

namespace vitrail::control {
class WebSite;
}

namespace vitrail::combo {

// What a vtcombo is told; the names and meanings of its flags are those of vttestserver.
struct Options {
  std::vector<std::string> keyspaces = {"test_keyspace"};
  std::vector<std::string> num_shards = {"1"};
  uint32_t replica_count = 1;
  uint32_t rdonly_count = 0;
  std::string cell = "test";
  // A folder with one folder for each keyspace: vschema.json, and *.sql that are run in the order of their names.
  std::string schema_dir;
  std::string data_dir;  // Empty: a temporary folder.
  bool persistent = false;
  std::string mysql_host = "127.0.0.1";
  bool mysql_insecure = false;  // As vtgate's --mysql-server-allow-insecure.
  uint16_t port = 0;            // HTTP; the next three: vtgate's gRPC, vtctld's gRPC, MySQL. 0: free ones.
};
void declare(base::Settings& settings, Options& options);

// A topology, a vtctld, a vtgate and the tablets of a Spec, all in this process; their MySQL servers are processes of
// their own, see servers.h.
//
//   Order   : start_servers() before start().
//   Threads : one that is no event loop. start() and stop() block.
//   Again   : in a folder with the data of an earlier run (persistent) what is there is used as it is: keyspaces,
//             primaries, tables. Schema files are only run in keyspaces that this start has made.
class Combo {
 public:
  // `site`: the web UI's pages; outlives this, as `settings` does.
  Combo(Options options, Spec spec, std::map<std::string, KeyspaceSchema> schemas, std::string data_dir,
        base::Settings& settings, const control::WebSite& site);
  ~Combo();  // stop() must have returned when start() was called.

  //   The errors of statements in schema files, with the file's name. kAlreadyExists, kUnavailable: a port is taken.
  Status start();
  // {"port": .., "grpc_port": .., "vtctld_grpc_port": .., "mysql_port": ..}; after start().
  std::string ports_json() const;
  void stop();

 private:
  struct Core;
  std::unique_ptr<Core> core_;
};

}  // namespace vitrail::combo
