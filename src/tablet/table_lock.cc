#include "tablet/table_lock.h"

namespace vitrail::tablet {

net::Task<Status> TableLock::acquire(net::Wait wait) {
  if (held()) co_return fail(Code::kFailedPrecondition, "the tables are locked already: UnlockTables first");
  CO_ASSIGN_OR_RETURN(auto lease, co_await server_.connection(wait));
  lease->settings = "locked";  // Reset before its next use, which unlocks.
  auto locked = co_await lease->client.query("FLUSH TABLES WITH READ LOCK", wait);
  if (!locked.ok()) co_return std::move(locked).error().with_context("lock the tables");
  if (held()) co_return fail(Code::kFailedPrecondition, "the tables are locked already: UnlockTables first");
  lease_.emplace(std::move(lease));
  ++generation_;
  co_return Status{};
}

net::Task<Status> TableLock::release(net::Wait wait) {
  if (!held()) co_return fail(Code::kFailedPrecondition, "the tables are not locked");
  net::MysqlPool::Lease lease = std::move(*lease_);
  lease_.reset();
  auto unlocked = co_await lease->client.query("UNLOCK TABLES", std::move(wait));
  if (!unlocked.ok()) {
    lease.discard();  // Its end unlocks.
    co_return std::move(unlocked).error().with_context("unlock the tables");
  }
  co_return Status{};
}

}  // namespace vitrail::tablet
