#pragma once

#include <memory>
#include <string>

#include "topo/etcd/session.h"
#include "topo/store.h"

// Internal to topo/etcd. The layout is that of Vitess, so that both exclude each other: a lock is the key
// "<dir>/locks/<lease id in decimal>" with that lease; the key that was created first holds it.
namespace vitrail::topo::etcd {

struct LockRequest {
  std::string dir;  // What is locked, relative to the store's root.
  std::string contents;
  std::string must_exist;  // Directory, relative to the root, that must have something below it; empty: none.
  std::chrono::milliseconds ttl{};
  bool queue = true;
};

net::Task<Result<std::unique_ptr<Lock>>> acquire_lock(std::shared_ptr<Session> session, LockRequest request,
                                                      net::Wait wait);

// A condition of a Txn: the lock is still held.
etcdserverpb::Compare held_condition(const Session& session, const Fence& fence);

}  // namespace vitrail::topo::etcd
