#pragma once

#include <cstdint>
#include <string>

#include "net/mysql_pool.h"
#include "tablet/ack_doubt.h"

namespace vitrail::tablet {

// Ends statements and connections inside the MySQL server: closing a socket does not, a server goes on with what it has
// begun and commits it.
//
//   Threads: the loop of `pool`, whose account may see and kill the connections of all others. Must outlive every call.
class ServerKiller {
 public:
  // `doubt`: hears of each KILL; may be null. `sidecar`: the database of the tablet's own tables.
  explicit ServerKiller(net::MysqlPool& pool, AckDoubt* doubt = nullptr, std::string sidecar = "_vt")
      : pool_(pool), doubt_(doubt), sidecar_(std::move(sidecar)) {}

  // Asks the server to end the statement that connection `id` runs. Its answer comes on that connection: 1317, or its
  // result when it was faster. The caller keeps the connection until then, and pings it before it goes to somebody
  // else.
  // The caller keeps an AckDoubt::Kill until the statement has ended.
  net::Task<Status> kill_query(uint64_t id, net::Wait wait);

  // Ends connection `id` and waits until the server has forgotten it: what it had not committed is rolled back then,
  // and nothing of it can take effect any more.
  //   kDeadlineExceeded: it still runs. Errors of the pool: nothing is known.
  net::Task<Status> end_connection(uint64_t id, net::Wait wait);

  // The same for a connection that was given up at `since`, and may be one of a server that has been restarted since
  // then: its number is another one's now.
  //   kDeadlineExceeded, kResourceExhausted: it may be there still. Else there is no server, and so no connection.
  net::Task<Status> end_abandoned(uint64_t id, base::TimePoint since, net::Wait wait);

  // Whether a replica has acknowledged every commit that was answered before this was called: waits for the
  // acknowledgement of one more.
  //   kUnavailable: nobody says so.
  net::Task<Status> confirm_commits(net::Wait wait);

 private:
  net::MysqlPool& pool_;
  AckDoubt* doubt_;
  const std::string sidecar_;
};

}  // namespace vitrail::tablet
