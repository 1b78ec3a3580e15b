#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/metrics.h"
#include "net/cancel.h"
#include "net/mysql_client.h"

namespace vitrail::tablet {

// Replication lag as it is, and not as a server says it: the primary writes the time into the sidecar's table
// heartbeat, replicas read how old it has become (--heartbeat-enable, on all tablets of a shard or on none).
//
//   Account : one that cannot write on a read-only server, so that a tablet that is no primary any more cannot part its
//             server from the others, whatever is still under way.
//   Clocks  : the primary's and the replica's; they have to agree.
//   Threads : the loop on which run() is awaited; lag() from any thread.
class Heartbeat {
 public:
  struct Options {
    net::MysqlAddress mysqld;
    std::string user = "vt_filtered";
    std::string password;
    std::string sidecar = "_vt";
    std::string keyspace_shard;  // "ks:shard": the row's key.
    uint32_t uid = 0;            // Of the tablet.
    base::Duration interval = std::chrono::seconds(1);
  };
  Heartbeat(Options options, base::Metrics& metrics);

  // Writes or reads every interval, until `cancel`. `is_primary` is asked each time.
  net::Task<void> run(std::function<bool()> is_primary, net::CancelToken cancel);
  // Of the last heartbeat that was read here; nullopt on a primary, and while there is none.
  std::optional<base::Duration> lag() const;

 private:
  net::Task<Status> write(net::Wait wait);
  net::Task<Status> read(net::Wait wait);
  net::Task<Status> need_connection(net::Wait wait);

  const Options options_;
  base::Counter& writes_;
  base::Counter& reads_;
  base::Counter& failures_;
  std::optional<net::MysqlClient> client_;
  std::atomic<int64_t> lag_ns_ = -1;  // Negative: unknown.
};

}  // namespace vitrail::tablet
