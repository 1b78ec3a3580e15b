#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <set>

#include "net/loop.h"
#include "net/scope.h"
#include "net/sync.h"
#include "topo/etcd/client.h"

// Internal to topo/etcd.
namespace vitrail::topo::etcd {

// A lease that is being renewed.
class Lease {
 public:
  Lease(int64_t id, std::chrono::milliseconds ttl) : id_(id), ttl_(ttl) {}
  int64_t id() const { return id_; }
  std::chrono::milliseconds ttl() const { return ttl_; }
  // The server said so, or could not be asked for longer than the lease lives. Stays true.
  bool lost() const { return lost_.load(); }

 private:
  friend class LeaseKeeper;
  const int64_t id_;
  const std::chrono::milliseconds ttl_;
  std::atomic<bool> lost_ = false;
  net::Event dropped_;  // On the keeper's loop.
};

// Renews leases in the background, each every third of its life, and gives them back. Has a thread of its own, so that
// a busy loop does not cost it its locks.
//
//   Threads : any, but for the destructor's.
//   Owns    : its thread, which ends with it. Destruction ends the renewals and blocks for moments; leases that were
//             not dropped then end by themselves.
class LeaseKeeper {
 public:
  explicit LeaseKeeper(std::shared_ptr<Client> client);
  ~LeaseKeeper();
  LeaseKeeper(const LeaseKeeper&) = delete;
  LeaseKeeper& operator=(const LeaseKeeper&) = delete;

  std::shared_ptr<Lease> keep(int64_t id, std::chrono::milliseconds ttl);
  // Ends the renewal and revokes the lease, in the background.
  void drop(const std::shared_ptr<Lease>& lease);
  // Drops every lease and waits until etcd knows it, or kRevokeWait is over. No keep() afterwards.
  net::Task<void> drop_all();

 private:
  static constexpr std::chrono::seconds kRevokeWait{5};
  static net::Task<void> renew(LeaseKeeper& keeper, std::shared_ptr<Lease> lease);

  const std::shared_ptr<Client> client_;
  std::mutex mutex_;
  std::set<std::shared_ptr<Lease>> leases_;
  std::unique_ptr<net::Scope> scope_;  // On the loop.
  net::LoopThread thread_{"etcd leases"};
};

}  // namespace vitrail::topo::etcd
