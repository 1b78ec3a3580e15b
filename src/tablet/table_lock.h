#pragma once

#include <optional>

#include "net/mysql_pool.h"
#include "tablet/local_server.h"

namespace vitrail::tablet {

// A read lock on all tables of the server, held by a connection of its own. Threads: one loop.
class TableLock {
 public:
  explicit TableLock(LocalServer& server) : server_(server) {}

  bool held() const { return lease_.has_value(); }
  // Counts the locks, so that a timer knows whether it is still about the same one.
  uint64_t generation() const { return generation_; }
  // kFailedPrecondition: it is held already. Waits for statements that change tables.
  net::Task<Status> acquire(net::Wait wait);
  // kFailedPrecondition: it is not held.
  net::Task<Status> release(net::Wait wait);

 private:
  LocalServer& server_;
  std::optional<net::MysqlPool::Lease> lease_;
  uint64_t generation_ = 0;
};

}  // namespace vitrail::tablet
