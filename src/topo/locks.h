#pragma once

#include <memory>
#include <optional>
#include <string>

#include "topo/server.h"

// Cluster-wide locks of the control plane. Functions that change what a lock protects take it by reference, so that "am
// I allowed to write here?" is a parameter that the compiler checks.
//
// Order, where several are held: workflow (NamedLock) before keyspace before shard; two keyspaces in the order of their
// names, unless a command's documented order says otherwise.
namespace vitrail::topo {

struct LockSettings {
  std::optional<std::chrono::milliseconds> wait_max;  // Time in the queue, not time held. Absent: --lock-timeout.
  std::chrono::milliseconds lease{30'000};  // Renewed in the background; how long a stalled holder keeps others out.
  net::CancelToken cancel = {};
  bool queue = true;  // false: fail at once with kAlreadyExists.
};

// What a lock entry says about its holder, as JSON {Action,HostName,UserName,Time,Options,Status}.
struct LockContents {
  std::string action;
  std::string host_name;
  std::string user_name;
  std::string time;    // RFC 3339, UTC.
  std::string status;  // "Running".

  std::string to_json() const;
  // Text that is not such JSON gives the text as `action`: any client may write locks.
  static LockContents from_json(std::string_view json);
  // "SwitchTraffic by root@host since 2026-01-02T03:04:05Z", for error messages.
  std::string describe() const;
};

// Common part of the locks below; not used by itself.
//
//   Owns      : the lease. Move-only. The destructor never blocks; call release() when the outcome matters.
//   Threads   : confined to the loop that acquired it. The Server must outlive it.
//   Errors of acquire():
//     kDeadlineExceeded, kAlreadyExists (queue = false): somebody else has it; the message names the holder.
//     kNotFound: the locked object does not exist. kCanceled: left the queue. kUnavailable: nothing is held.
class HeldLock {
 public:
  HeldLock(HeldLock&&) noexcept = default;
  HeldLock& operator=(HeldLock&&) noexcept = default;

  // Ask just before a write that cannot carry fence() (a cell's record). kFailedPrecondition: lost.
  net::Task<Status> check_held() const;
  // kFailedPrecondition when the lock had been lost before.
  net::Task<Status> release();
  net::Task<Status> wait_lost(net::Wait wait) const { return lock_->wait_lost(std::move(wait)); }
  // For writes to the global store.
  Fence fence() const { return lock_->fence(); }
  WriteOptions write_options() const { return {.fence = fence()}; }

 protected:
  explicit HeldLock(std::unique_ptr<Lock> lock) : lock_(std::move(lock)) {}
  static net::Task<Result<std::unique_ptr<Lock>>> acquire_dir(Server& server, std::string dir, std::string what,
                                                              bool require_dir, std::string action,
                                                              LockSettings settings, std::chrono::milliseconds lease);

 private:
  std::unique_ptr<Lock> lock_;
};

// Permission to change a keyspace: its record, its shards' records, its serving graph and VSchema.
class KeyspaceLock : public HeldLock {
 public:
  // `action` says to other operators what is going on ("SwitchTraffic"). `server` must outlive the lock.
  static net::Task<Result<KeyspaceLock>> acquire(Server& server, std::string keyspace, std::string action,
                                                 LockSettings settings = {});
  const std::string& keyspace() const { return keyspace_; }

 private:
  KeyspaceLock(std::unique_ptr<Lock> lock, std::string keyspace)
      : HeldLock(std::move(lock)), keyspace_(std::move(keyspace)) {}
  std::string keyspace_;
};

// Permission to change the primary of a shard.
class ShardLock : public HeldLock {
 public:
  static net::Task<Result<ShardLock>> acquire(Server& server, std::string keyspace, std::string shard,
                                              std::string action, LockSettings settings = {});
  const std::string& keyspace() const { return keyspace_; }
  const std::string& shard() const { return shard_; }

 private:
  ShardLock(std::unique_ptr<Lock> lock, std::string keyspace, std::string shard)
      : HeldLock(std::move(lock)), keyspace_(std::move(keyspace)), shard_(std::move(shard)) {}
  std::string keyspace_;
  std::string shard_;
};

// Permission to do what a name stands for; the name need not exist. A stalled holder keeps it for kNamedLockTtl.
class NamedLock : public HeldLock {
 public:
  static net::Task<Result<NamedLock>> acquire(Server& server, std::string name, std::string action,
                                              LockSettings settings = {});
  // "<target keyspace>/<workflow>": one command at a time acts on a workflow.
  static net::Task<Result<NamedLock>> acquire_workflow(Server& server, std::string keyspace, std::string workflow,
                                                       std::string action, LockSettings settings = {});
  const std::string& name() const { return name_; }

 private:
  NamedLock(std::unique_ptr<Lock> lock, std::string name) : HeldLock(std::move(lock)), name_(std::move(name)) {}
  std::string name_;
};

// Permission to change the routing rules (all kinds).
class RoutingRulesLock : public HeldLock {
 public:
  static net::Task<Result<RoutingRulesLock>> acquire(Server& server, std::string action, LockSettings settings = {});

 private:
  explicit RoutingRulesLock(std::unique_ptr<Lock> lock) : HeldLock(std::move(lock)) {}
};

}  // namespace vitrail::topo
