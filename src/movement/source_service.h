#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "binlogdata.pb.h"
#include "net/loop.h"
#include "net/mysql_client.h"
#include "query.pb.h"
#include "vschema.pb.h"

namespace vitrail::base {
class Metrics;
}
namespace vitrail::rpc {
class Server;
}

namespace vitrail::movement {

class Throttle;

struct SourceOptions {
  net::MysqlAddress mysqld;  // The tablet's own server; a unix socket.
  std::string user = "vt_filtered";
  std::string password;
  std::string sidecar = "_vt";  // The database of the tablet's own tables.
  std::string db_name;          // Only tables of this database are read.
  std::string keyspace;         // The tablet's own: which vschema the filter "-80" means.
  // Whether the tablet may serve this target now; the Error is the caller's answer. Empty: everything is served. Runs
  // on loop().
  std::function<Status(const ::query::Target&)> check_target;
  // The vschemas of all keyspaces, read when a stream with a key range filter begins (topo::get_srv_vschema). Empty:
  // such filters are refused unless they name a vindex type.
  std::function<net::Task<Result<::vschema::SrvVSchema>>()> load_vschema;
  // Before a table of this size is read, other copies of it are waited for.
  uint64_t share_from_bytes = 64u << 20;
  base::Duration share_wait = std::chrono::milliseconds(300);
  Throttle* throttle = nullptr;  // Asked before each chunk and each message of events; must outlive the service.
  base::Metrics* metrics = nullptr;
};

// The reading side of movement, in every tablet: the binary log as filtered events, and tables as rows in chunks.
//
//   VStream      events after a position, in the order of the log. A transaction is BEGIN, FIELD and ROW events, GTID,
//                COMMIT (it may be spread over several responses); one that has nothing for the filter is GTID, OTHER,
//                and of several in a row only the last is sent. HEARTBEAT after half a second of silence. Positions are
//                of the whole log: GTID holds the set up to and with its transaction.
//   VStreamRows  rows of one table in the order of its primary key, chunk after chunk. Each chunk is read in a short
//                consistent snapshot of its own, without locks: it begins with a response that has the gtid of that
//                snapshot (exact: the rows are those of the server after exactly these transactions), ends with one
//                that has lastpk, and the next one begins behind that key. The end of the stream is the end of the
//                table. Fields and pkfields are in the first response. The next chunk is read ahead while one is sent,
//                not more. Copies of one table for several key ranges that begin together share the reading
//                (row_share.h). options.config_overrides: see row_stream.h for the keys that bound a chunk.
//
//   A message with throttled set, each second, says why nothing comes: the tablet's throttler wants it so. Comparisons
//   (row_stream.h: chunks) are not held up here, they ask before they begin.
//
//   Threads : set up and registered on one thread; everything runs on the object's own loop().
//   Bounds  : a chunk of about 8 MiB three times for each row stream; 1 MiB of events for each event stream.
//   End     : stop() must have returned before destruction (checked); register_handlers' server is stopped before.
class SourceService {
 public:
  explicit SourceService(SourceOptions options);
  ~SourceService();
  SourceService(const SourceService&) = delete;
  SourceService& operator=(const SourceService&) = delete;

  net::Loop& loop();
  // Registers /queryservice.Query/VStream and /queryservice.Query/VStreamRows. Before the server starts.
  void register_handlers(rpc::Server& server);
  // Ends all streams and waits for them. From any loop.
  net::Task<void> stop();

 private:
  struct Core;
  std::unique_ptr<Core> core_;
};

}  // namespace vitrail::movement
