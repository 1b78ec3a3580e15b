#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "net/cancel.h"
#include "net/task.h"

// The topology: a tree of small records behind one interface, so that the rest of Vitrail does not know whether etcd,
// ZooKeeper, SQLite or plain memory keeps them. conformance/ holds the one test suite that every implementation passes.
namespace vitrail::topo {

// Which state of a record this is. Opaque: equal versions of one path mean equal contents; nothing else may be
// concluded (etcd: ModRevision, ZooKeeper: znode version, which starts again at 0 after a delete, SQLite and memory:
// revision).
struct Version {
  uint64_t value = 0;
  friend bool operator==(Version, Version) = default;
};

struct Record {
  std::string data;
  Version version;
};

struct PathRecord {
  std::string path;  // Relative to the store's root, without a leading slash.
  std::string data;
  Version version;
};

struct DirEntry {
  enum class Kind : uint8_t { kRecord, kDirectory };
  std::string name;
  Kind kind = Kind::kRecord;
  bool ephemeral = false;  // A lock or election entry: it goes away with its holder.
  friend bool operator==(const DirEntry&, const DirEntry&) = default;
};

// Names a held lock, so that a write can be refused by the store when the lock was lost in the meantime. The check and
// the write are one step (SQLite: same transaction; etcd: compare in the same Txn; ZooKeeper: check in the same multi).
// A fence is only good for the store that issued the lock.
struct Fence {
  std::string lock_path;  // Path of the lock's own entry, "<dir>/locks/<id>".
  uint64_t id = 0;
};

// How a write is done. All parts may be left out.
struct WriteOptions {
  std::optional<Fence> fence = {};
  net::Wait wait = {};
};

// What a watch reports: the present state of one record, or its absence.
struct Change {
  std::string path;
  std::optional<Record> record;  // Empty: there is no such record (never was, or was deleted).
};

// A stream of changes. It never misses the last state of a record; states in between may be skipped.
//
//   Bound   : one pending change per record, however slow the reader.
//   Threads : confined to the loop that made it. Destroy it there, at any time but during next().
//   After deletion it goes on, and reports the record when it is created again.
class Watch {
 public:
  virtual ~Watch() = default;
  // The first call gives the present state: for Store::watch one Change, for watch_recursive one per existing record
  // (perhaps none). Each later call waits and gives what changed since, at least one Change, at most one per record.
  //   kDeadlineExceeded, kCanceled: `wait` ended; the watch is intact, and nothing was lost.
  //   anything else (kUnavailable: the server went away or the store was closed): the watch is dead, make a new one.
  virtual net::Task<Result<std::vector<Change>>> next(net::Wait wait) = 0;
};

// A held lock: a lease that the store renews in the background until unlock() or the end of this object.
//
// Having this object is not proof of possession: a stalled process can lose the lease. So call check_held() just before
// a write, or pass fence() with the write.
//
//   Threads : confined to the loop that acquired it; must not outlive the store's close().
//   Destructor: never blocks; gives the lock back in the background.
class Lock {
 public:
  virtual ~Lock() = default;
  // Asks the store (not a local clock), and prolongs the lease.
  //   kFailedPrecondition: the lock was lost (expired, or removed by hand); it stays lost.
  //   kUnavailable, kDeadlineExceeded: cannot tell; do not write.
  virtual net::Task<Status> check_held(net::Wait wait = {}) = 0;
  // Gives the lock back. kFailedPrecondition when it had been lost before. Idempotent.
  virtual net::Task<Status> unlock(net::Wait wait = {}) = 0;
  // Returns OK as soon as this process knows that the lock is lost or given back: for leaders.
  virtual net::Task<Status> wait_lost(net::Wait wait) = 0;
  virtual Fence fence() const = 0;
};

inline constexpr std::chrono::milliseconds kDefaultLockTtl{30'000};

struct LockOptions {
  // How long to stand in the queue. Without a deadline: kDefaultLockWait.
  net::Wait wait = {};
  // How long the lock outlives a holder that stopped renewing (hangs, is cut off). A holder whose end the store notices
  // (same machine, closed session) loses it at once. A store may round it up, and may have a setting that replaces the
  // default.
  std::chrono::milliseconds ttl = kDefaultLockTtl;
  // Locking a directory that does not exist is kNotFound. Named locks are made on demand instead.
  bool require_dir = true;
  // false: do not queue, fail with kAlreadyExists when anybody holds the lock or waits for it.
  bool queue = true;
};

// One entry of a lock's queue; the first one holds the lock.
struct LockEntry {
  std::string path;      // "<dir>/locks/<id>"
  std::string contents;  // As passed to lock().
};

// One past state of a record, for tests and for people who look for the cause of something.
struct HistoryEntry {
  Version version;
  std::optional<std::string> data;  // Empty: the deletion.
};

// The interface of a topology server, bound to one root path on it.
//
//   Paths   : "keyspaces/commerce/Keyspace"; a leading slash is allowed, empty parts, "." and "..", control characters
//             and more than kMaxPathBytes are kInvalidArgument. Directories exist exactly while something is below
//             them: parents appear on demand and vanish when empty. Do not use one path both as a record and as a
//             directory.
//   Order   : a process reads its own writes. A completed write is durable and is seen by every later get() anywhere.
//   Threads : every method may be called on any loop, and resumes there. Returned objects stay on that loop.
//   Time    : a `wait` without a deadline means kDefaultOperationWait. A wait that ends during a write gives
//             Effect::kUnknown when the write may have been applied.
//   Errors  : kNotFound, kAlreadyExists, kAborted (the version is not the expected one), kFailedPrecondition (a fence's
//             lock is lost; removing a directory that is not empty), kInvalidArgument, kResourceExhausted (too large),
//             kUnavailable (safe to retry, Effect says whether blindly), kDeadlineExceeded, kCanceled.
class Store {
 public:
  virtual ~Store() = default;

  // Plain records.
  virtual net::Task<Result<Record>> get(std::string path, net::Wait wait = {}) = 0;
  // kAlreadyExists when there is one.
  virtual net::Task<Result<Version>> create(std::string path, std::string data, WriteOptions options = {}) = 0;
  // With a version: kNotFound without such a record, kAborted when it is in another state. Without: writes in any case,
  // and creates the record when it is missing.
  virtual net::Task<Result<Version>> update(std::string path, std::string data, std::optional<Version> expected,
                                            WriteOptions options = {}) = 0;
  // As update(); kNotFound when there is none, kFailedPrecondition when it is a directory.
  virtual net::Task<Status> remove(std::string path, std::optional<Version> expected, WriteOptions options = {}) = 0;

  // Names directly below a directory, sorted; "" is the root. kNotFound when it does not exist. `full` fills in kind
  // and ephemeral, which costs more in some stores; without it they are unspecified.
  virtual net::Task<Result<std::vector<DirEntry>>> list_dir(std::string path, bool full = false,
                                                            net::Wait wait = {}) = 0;
  // Every record below the directory `prefix` at any depth, sorted by path, lock entries left out; perhaps none. One
  // consistent state where the store can give it (all but ZooKeeper).
  virtual net::Task<Result<std::vector<PathRecord>>> list(std::string prefix, net::Wait wait = {}) = 0;

  // One record (which need not exist), or everything below a directory (lock entries left out).
  virtual net::Task<Result<std::unique_ptr<Watch>>> watch(std::string path, net::Wait wait = {}) = 0;
  virtual net::Task<Result<std::unique_ptr<Watch>>> watch_recursive(std::string prefix, net::Wait wait = {}) = 0;

  // Exclusive permission to change what is below `dir`. Waits in arrival order.
  //   kDeadlineExceeded / kAlreadyExists (queue = false): somebody else has it; lock_queue() tells who.
  //   kCanceled: left the queue, holds nothing.
  virtual net::Task<Result<std::unique_ptr<Lock>>> lock(std::string dir, std::string contents,
                                                        LockOptions options = {}) = 0;
  // The holder and those who wait, in order; empty when it is free.
  virtual net::Task<Result<std::vector<LockEntry>>> lock_queue(std::string dir, net::Wait wait = {}) = 0;

  // Leader election: waits until `id` leads `election`. Leadership is a lock: it ends with unlock() or a lost lease.
  // Stored under "elections/<election>". `options.require_dir` is ignored.
  virtual net::Task<Result<std::unique_ptr<Lock>>> campaign(std::string election, std::string id,
                                                            LockOptions options = {}) = 0;
  // Who leads; kNotFound when nobody does.
  virtual net::Task<Result<std::string>> leader(std::string election, net::Wait wait = {}) = 0;

  // Past states of one record, oldest first, as far as the store remembers (SQLite: the last few thousand writes of the
  // whole file). kUnimplemented where it remembers none.
  virtual net::Task<Result<std::vector<HistoryEntry>>> history(std::string path, net::Wait wait = {}) = 0;

  // Ends watches (kUnavailable) and gives back locks. Every later call is kUnavailable. Idempotent.
  virtual net::Task<void> close() = 0;

  // Convenience over lock().
  net::Task<Result<std::unique_ptr<Lock>>> try_lock(std::string dir, std::string contents, LockOptions options = {});
  // Locks "internal/named_locks/<name>", which need not exist before. Its lease outlives a stalled holder for
  // kNamedLockTtl.
  net::Task<Result<std::unique_ptr<Lock>>> lock_name(std::string name, std::string contents, LockOptions options = {});
};

inline constexpr size_t kMaxPathBytes = 1024;
inline constexpr size_t kMaxDataBytes = 16 << 20;  // A server may allow less (etcd: 1.5 MiB by default).
inline constexpr std::chrono::seconds kDefaultOperationWait{15};
inline constexpr std::chrono::seconds kDefaultLockWait{45};
inline constexpr std::chrono::hours kNamedLockTtl{24};

// Checks a path by the rule above and returns it without the leading slash. `allow_root`: "" and "/" are fine.
Result<std::string> normalize_path(std::string_view path, bool allow_root = false);

// The end of `wait`, or `fallback` from now on the real clock when it has none.
net::Wait bounded(net::Wait wait, base::Duration fallback);

}  // namespace vitrail::topo
