#pragma once

#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "topo/store.h"
#include "topo/watch_hub.h"

// Internal to topo: what the memory and the SQLite store have in common. A LocalBackend is a tree with leases;
// LocalStore puts paths, watches, locks and elections on top of it.
namespace vitrail::topo::internal {

// A lock entry that was made.
struct Lease {
  Fence fence;         // Full path.
  bool first = false;  // Head of the queue: the lock is held.
};

struct LeaseRequest {
  std::string dir;  // Directory of the entries, "<root>/<dir>/locks".
  std::string contents;
  std::chrono::milliseconds ttl{};
  std::string must_exist;  // Directory that must have something below it; empty: none.
  bool queue = true;
};

// One tree, shared by all stores of this process on it. Every method may be called on any loop and resumes there. Paths
// are full and normalized. Changes are published to hub() after they are committed.
class LocalBackend {
 public:
  virtual ~LocalBackend() = default;

  virtual net::Task<Result<Record>> get(std::string path, net::Wait wait) = 0;
  virtual net::Task<Result<Version>> create(std::string path, std::string data, WriteOptions options) = 0;
  virtual net::Task<Result<Version>> update(std::string path, std::string data, std::optional<Version> expected,
                                            WriteOptions options) = 0;
  virtual net::Task<Status> remove(std::string path, std::optional<Version> expected, WriteOptions options) = 0;
  virtual net::Task<Result<std::vector<DirEntry>>> list_dir(std::string path, net::Wait wait) = 0;
  // Records that the filter matches.
  virtual net::Task<Result<TreeSnapshot>> snapshot(WatchHub::Filter filter, net::Wait wait) = 0;
  virtual net::Task<Result<std::vector<HistoryEntry>>> history(std::string path, net::Wait wait) = 0;

  // Adds an entry at the end of the queue, after removing the entries of dead holders. kNotFound: must_exist does not;
  // kAlreadyExists: !queue and somebody is there.
  virtual net::Task<Result<Lease>> enqueue(LeaseRequest request, net::Wait wait) = 0;
  // kFailedPrecondition: the entry is gone.
  virtual net::Task<Result<bool>> is_first(Fence fence, net::Wait wait) = 0;
  virtual net::Task<Status> renew(Fence fence, net::Wait wait) = 0;
  virtual net::Task<Status> release(Fence fence, net::Wait wait) = 0;
  // Releases without waiting for it.
  virtual void abandon(Fence fence) = 0;
  // Entries of living holders, in order.
  virtual net::Task<Result<std::vector<LockEntry>>> queue(std::string dir, net::Wait wait) = 0;

  WatchHub& hub() { return *hub_; }

 protected:
  const std::shared_ptr<WatchHub> hub_ = std::make_shared<WatchHub>();
};

// The error of an operation whose wait is over before it began; OK otherwise.
Status check_wait(const net::Wait& wait, std::string_view what);

class LocalStore final : public Store {
 public:
  // `root` normalized, perhaps empty; `name` is for messages ("sqlite store /var/topo.db").
  LocalStore(std::shared_ptr<LocalBackend> backend, std::string root, std::string name);
  ~LocalStore() override;

  net::Task<Result<Record>> get(std::string path, net::Wait wait) override;
  net::Task<Result<Version>> create(std::string path, std::string data, WriteOptions options) override;
  net::Task<Result<Version>> update(std::string path, std::string data, std::optional<Version> expected,
                                    WriteOptions options) override;
  net::Task<Status> remove(std::string path, std::optional<Version> expected, WriteOptions options) override;
  net::Task<Result<std::vector<DirEntry>>> list_dir(std::string path, bool full, net::Wait wait) override;
  net::Task<Result<std::vector<PathRecord>>> list(std::string prefix, net::Wait wait) override;
  net::Task<Result<std::unique_ptr<Watch>>> watch(std::string path, net::Wait wait) override;
  net::Task<Result<std::unique_ptr<Watch>>> watch_recursive(std::string prefix, net::Wait wait) override;
  net::Task<Result<std::unique_ptr<Lock>>> lock(std::string dir, std::string contents, LockOptions options) override;
  net::Task<Result<std::vector<LockEntry>>> lock_queue(std::string dir, net::Wait wait) override;
  net::Task<Result<std::unique_ptr<Lock>>> campaign(std::string election, std::string id, LockOptions options) override;
  net::Task<Result<std::string>> leader(std::string election, net::Wait wait) override;
  net::Task<Result<std::vector<HistoryEntry>>> history(std::string path, net::Wait wait) override;
  net::Task<void> close() override;

  // What watches and locks share with their store, so that either may go first.
  struct Session {
    std::shared_ptr<LocalBackend> backend;
    std::string root;
    std::string name;
    std::mutex mutex;
    bool closed = false;
    std::set<WatchHub::Subscription*> watches;
    std::set<std::string> leases;  // Full paths of entries, with the lease id after a space.

    Error closed_error() const;
    Status check_open();
    std::unique_ptr<WatchHub::Subscription> subscribe(WatchHub::Filter filter);
  };

 private:
  Result<std::string> full_path(std::string_view path, bool allow_root = false) const;
  Result<WriteOptions> full_options(WriteOptions options) const;
  net::Task<Result<std::unique_ptr<Watch>>> make_watch(WatchHub::Filter filter, net::Wait wait);

  const std::shared_ptr<Session> session_;
};

}  // namespace vitrail::topo::internal
