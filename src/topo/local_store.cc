#include "topo/local_store.h"

#include "topo/paths.h"

namespace vitrail::topo::internal {
namespace {

constexpr std::string_view kLocksDir = "locks";

std::string join(std::string_view a, std::string_view b) {
  if (a.empty()) return std::string(b);
  if (b.empty()) return std::string(a);
  return std::string(a) + "/" + std::string(b);
}

class HubWatch final : public Watch {
 public:
  HubWatch(std::shared_ptr<LocalStore::Session> session, std::unique_ptr<WatchHub::Subscription> subscription)
      : session_(std::move(session)), subscription_(std::move(subscription)) {}
  ~HubWatch() override {
    const std::lock_guard lock(session_->mutex);
    session_->watches.erase(subscription_.get());
  }
  net::Task<Result<std::vector<Change>>> next(net::Wait wait) override { return subscription_->next(std::move(wait)); }

 private:
  std::shared_ptr<LocalStore::Session> session_;
  std::unique_ptr<WatchHub::Subscription> subscription_;
};

// Removes a subscription from its session's list when a coroutine is done with it.
class SubscriptionHolder {
 public:
  SubscriptionHolder(std::shared_ptr<LocalStore::Session> session, std::unique_ptr<WatchHub::Subscription> subscription)
      : session_(std::move(session)), subscription_(std::move(subscription)) {}
  ~SubscriptionHolder() {
    const std::lock_guard lock(session_->mutex);
    session_->watches.erase(subscription_.get());
  }
  WatchHub::Subscription* operator->() { return subscription_.get(); }

 private:
  std::shared_ptr<LocalStore::Session> session_;
  std::unique_ptr<WatchHub::Subscription> subscription_;
};

std::string lease_key(const Fence& fence) { return fence.lock_path + " " + std::to_string(fence.id); }

// An entry in a lock's queue, from enqueue() on: whoever drops it leaves the queue or gives the lock back.
class LeaseOwner {
 public:
  LeaseOwner(std::shared_ptr<LocalStore::Session> session, Fence fence)
      : session_(std::move(session)), fence_(std::move(fence)) {
    const std::lock_guard lock(session_->mutex);
    session_->leases.insert(lease_key(fence_));
  }
  LeaseOwner(const LeaseOwner&) = delete;
  LeaseOwner& operator=(const LeaseOwner&) = delete;
  ~LeaseOwner() {
    if (forget()) session_->backend->abandon(fence_);
  }
  // True the first time: the caller is to release the lease.
  bool forget() {
    const std::lock_guard lock(session_->mutex);
    return session_->leases.erase(lease_key(fence_)) == 1;
  }
  const Fence& fence() const { return fence_; }
  LocalStore::Session& session() const { return *session_; }
  const std::shared_ptr<LocalStore::Session>& shared_session() const { return session_; }

 private:
  std::shared_ptr<LocalStore::Session> session_;
  Fence fence_;
};

class LocalLock final : public Lock {
 public:
  LocalLock(std::unique_ptr<LeaseOwner> owner, std::chrono::milliseconds ttl) : owner_(std::move(owner)), ttl_(ttl) {}

  net::Task<Status> check_held(net::Wait wait) override {
    if (lost_) co_return lost_error();
    CO_RETURN_IF_ERROR(owner_->session().check_open());
    Status status =
        co_await owner_->session().backend->renew(owner_->fence(), bounded(std::move(wait), kDefaultOperationWait));
    if (!status.ok() && status.error().code() == Code::kFailedPrecondition) lost_ = true;
    co_return status;
  }

  net::Task<Status> unlock(net::Wait wait) override {
    if (lost_) co_return lost_error();
    if (!owner_->forget()) co_return Status{};
    Status status =
        co_await owner_->session().backend->release(owner_->fence(), bounded(std::move(wait), kDefaultOperationWait));
    if (!status.ok() && status.error().code() == Code::kFailedPrecondition) lost_ = true;
    co_return status;
  }

  net::Task<Status> wait_lost(net::Wait wait) override {
    LocalStore::Session& session = owner_->session();
    SubscriptionHolder watch(owner_->shared_session(),
                             session.subscribe({.path = owner_->fence().lock_path, .ephemeral = true}));
    watch->start({}, false);
    auto last_held = base::system_clock().now();
    for (;;) {
      const Status held = co_await check_held({});
      const auto now = base::system_clock().now();
      if (held.ok()) {
        last_held = now;
      } else if (held.error().code() == Code::kFailedPrecondition || now - last_held > ttl_ ||
                 !session.check_open().ok()) {
        co_return Status{};
      }
      net::Wait tick = wait;
      tick.deadline = std::min(tick.deadline, now + ttl_ / 3);
      const auto changed = co_await watch->next(tick);
      if (changed.ok()) continue;
      if (changed.error().code() == Code::kUnavailable) co_return Status{};  // The store was closed.
      if (wait.cancel.cancelled() || base::system_clock().now() >= wait.deadline) co_return changed.error();
    }
  }

  Fence fence() const override {
    Fence fence = owner_->fence();
    const std::string& root = owner_->session().root;
    if (!root.empty()) fence.lock_path.erase(0, root.size() + 1);
    return fence;
  }

 private:
  Error lost_error() const { return Error(Code::kFailedPrecondition, "the lock " + fence().lock_path + " was lost"); }
  std::unique_ptr<LeaseOwner> owner_;
  const std::chrono::milliseconds ttl_;
  bool lost_ = false;
};

net::Task<Status> wait_for_turn(std::shared_ptr<LocalStore::Session> session, Fence fence, std::string dir,
                                net::Wait wait) {
  SubscriptionHolder watch(session, session->subscribe({.path = dir, .recursive = true, .ephemeral = true}));
  watch->start({}, false);
  for (;;) {
    CO_RETURN_IF_ERROR(session->check_open());
    const Result<bool> first = co_await session->backend->is_first(fence, {});
    if (first.ok() && *first) co_return Status{};
    if (!first.ok() && first.error().code() != Code::kUnavailable) co_return first.error();
    const auto changed = co_await watch->next(wait);
    if (changed.ok()) continue;
    if (changed.error().code() == Code::kDeadlineExceeded) {
      co_return fail(Code::kDeadlineExceeded, "the lock " + dir + " was not free in time");
    }
    co_return changed.error();
  }
}

// Stands in the queue of `request.dir` until its turn.
net::Task<Result<std::unique_ptr<Lock>>> acquire(std::shared_ptr<LocalStore::Session> session, LeaseRequest request,
                                                 LockOptions options) {
  const net::Wait wait = bounded(options.wait, kDefaultLockWait);
  const std::string dir = request.dir;
  const auto ttl = request.ttl;
  CO_RETURN_IF_ERROR(session->check_open());
  CO_ASSIGN_OR_RETURN(const Lease lease, co_await session->backend->enqueue(std::move(request), wait));
  auto owner = std::make_unique<LeaseOwner>(session, lease.fence);
  Status turn;
  if (!lease.first) turn = co_await wait_for_turn(session, lease.fence, dir, wait);
  if (turn.ok() && wait.cancel.cancelled())
    turn = fail(Code::kCanceled, "waiting for the lock " + dir + " was cancelled");
  if (turn.ok()) co_return std::make_unique<LocalLock>(std::move(owner), ttl);
  // Out of the queue before the caller hears of it, so that it finds the lock as it says.
  if (owner->forget()) (void)co_await session->backend->release(lease.fence, net::Wait::within(kDefaultOperationWait));
  co_return std::move(turn).error();
}

}  // namespace

Status check_wait(const net::Wait& wait, std::string_view what) {
  if (wait.cancel.cancelled()) return fail(Code::kCanceled, std::string(what) + " was cancelled");
  if (base::system_clock().now() >= wait.deadline) {
    return fail(Code::kDeadlineExceeded, std::string(what) + " took longer than allowed");
  }
  return {};
}

Error LocalStore::Session::closed_error() const { return Error(Code::kUnavailable, "the " + name + " is closed"); }

Status LocalStore::Session::check_open() {
  const std::lock_guard lock(mutex);
  if (closed) return closed_error();
  return {};
}

std::unique_ptr<WatchHub::Subscription> LocalStore::Session::subscribe(WatchHub::Filter filter) {
  auto subscription = backend->hub().subscribe(std::move(filter), root);
  const std::lock_guard lock(mutex);
  watches.insert(subscription.get());
  if (closed) backend->hub().end(*subscription, closed_error());
  return subscription;
}

LocalStore::LocalStore(std::shared_ptr<LocalBackend> backend, std::string root, std::string name)
    : session_(std::make_shared<Session>()) {
  session_->backend = std::move(backend);
  session_->root = std::move(root);
  session_->name = std::move(name);
}

LocalStore::~LocalStore() {
  const std::lock_guard lock(session_->mutex);
  session_->closed = true;
  for (auto* watch : session_->watches) session_->backend->hub().end(*watch, session_->closed_error());
}

Result<std::string> LocalStore::full_path(std::string_view path, bool allow_root) const {
  RETURN_IF_ERROR(session_->check_open());
  ASSIGN_OR_RETURN(const std::string clean, normalize_path(path, allow_root));
  return join(session_->root, clean);
}

Result<WriteOptions> LocalStore::full_options(WriteOptions options) const {
  options.wait = bounded(std::move(options.wait), kDefaultOperationWait);
  if (options.fence) {
    ASSIGN_OR_RETURN(options.fence->lock_path, full_path(options.fence->lock_path));
  }
  return options;
}

net::Task<Result<Record>> LocalStore::get(std::string path, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(std::string full, full_path(path));
  co_return co_await session_->backend->get(std::move(full), bounded(std::move(wait), kDefaultOperationWait));
}

net::Task<Result<Version>> LocalStore::create(std::string path, std::string data, WriteOptions options) {
  CO_ASSIGN_OR_RETURN(std::string full, full_path(path));
  CO_ASSIGN_OR_RETURN(WriteOptions write, full_options(std::move(options)));
  if (data.size() > kMaxDataBytes) co_return fail(Code::kResourceExhausted, "the record " + full + " is too large");
  co_return co_await session_->backend->create(std::move(full), std::move(data), std::move(write));
}

net::Task<Result<Version>> LocalStore::update(std::string path, std::string data, std::optional<Version> expected,
                                              WriteOptions options) {
  CO_ASSIGN_OR_RETURN(std::string full, full_path(path));
  CO_ASSIGN_OR_RETURN(WriteOptions write, full_options(std::move(options)));
  if (data.size() > kMaxDataBytes) co_return fail(Code::kResourceExhausted, "the record " + full + " is too large");
  co_return co_await session_->backend->update(std::move(full), std::move(data), expected, std::move(write));
}

net::Task<Status> LocalStore::remove(std::string path, std::optional<Version> expected, WriteOptions options) {
  CO_ASSIGN_OR_RETURN(std::string full, full_path(path));
  CO_ASSIGN_OR_RETURN(WriteOptions write, full_options(std::move(options)));
  co_return co_await session_->backend->remove(std::move(full), expected, std::move(write));
}

net::Task<Result<std::vector<DirEntry>>> LocalStore::list_dir(std::string path, bool /*full*/, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(std::string full, full_path(path, true));
  const bool is_root = full == session_->root;
  auto entries = co_await session_->backend->list_dir(std::move(full), bounded(std::move(wait), kDefaultOperationWait));
  if (is_root && !entries.ok() && entries.error().code() == Code::kNotFound) co_return std::vector<DirEntry>{};
  co_return entries;
}

net::Task<Result<std::vector<PathRecord>>> LocalStore::list(std::string prefix, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(std::string full, full_path(prefix, true));
  CO_ASSIGN_OR_RETURN(TreeSnapshot snapshot,
                      co_await session_->backend->snapshot({.path = std::move(full), .recursive = true},
                                                           bounded(std::move(wait), kDefaultOperationWait)));
  const size_t cut = session_->root.empty() ? 0 : session_->root.size() + 1;
  std::vector<PathRecord> records;
  records.reserve(snapshot.records.size());
  for (TreeChange& record : snapshot.records) {
    records.push_back(PathRecord{record.path.substr(cut), std::move(*record.data), Version{record.revision}});
  }
  co_return records;
}

net::Task<Result<std::unique_ptr<Watch>>> LocalStore::make_watch(WatchHub::Filter filter, net::Wait wait) {
  // First listen, then read: what changes in between is seen twice and sorted out by revision.
  auto subscription = session_->subscribe(filter);
  auto* raw = subscription.get();
  std::unique_ptr<Watch> watch = std::make_unique<HubWatch>(session_, std::move(subscription));
  CO_ASSIGN_OR_RETURN(
      const TreeSnapshot snapshot,
      co_await session_->backend->snapshot(std::move(filter), bounded(std::move(wait), kDefaultOperationWait)));
  raw->start(snapshot, true);
  co_return watch;
}

net::Task<Result<std::unique_ptr<Watch>>> LocalStore::watch(std::string path, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(std::string full, full_path(path));
  co_return co_await make_watch({.path = std::move(full)}, std::move(wait));
}

net::Task<Result<std::unique_ptr<Watch>>> LocalStore::watch_recursive(std::string prefix, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(std::string full, full_path(prefix, true));
  co_return co_await make_watch({.path = std::move(full), .recursive = true}, std::move(wait));
}

net::Task<Result<std::unique_ptr<Lock>>> LocalStore::lock(std::string dir, std::string contents, LockOptions options) {
  CO_ASSIGN_OR_RETURN(std::string full, full_path(dir));
  LeaseRequest request{
      .dir = join(full, kLocksDir), .contents = std::move(contents), .ttl = options.ttl, .queue = options.queue};
  if (options.require_dir) request.must_exist = full;
  co_return co_await acquire(session_, std::move(request), std::move(options));
}

net::Task<Result<std::vector<LockEntry>>> LocalStore::lock_queue(std::string dir, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(std::string full, full_path(join(dir, kLocksDir)));
  CO_ASSIGN_OR_RETURN(
      std::vector<LockEntry> entries,
      co_await session_->backend->queue(std::move(full), bounded(std::move(wait), kDefaultOperationWait)));
  const size_t cut = session_->root.empty() ? 0 : session_->root.size() + 1;
  for (LockEntry& entry : entries) entry.path.erase(0, cut);
  co_return entries;
}

net::Task<Result<std::unique_ptr<Lock>>> LocalStore::campaign(std::string election, std::string id,
                                                              LockOptions options) {
  CO_ASSIGN_OR_RETURN(std::string full, full_path(join(kElectionsDir, election)));
  LeaseRequest request{
      .dir = join(full, kLocksDir), .contents = std::move(id), .ttl = options.ttl, .queue = options.queue};
  co_return co_await acquire(session_, std::move(request), std::move(options));
}

net::Task<Result<std::string>> LocalStore::leader(std::string election, net::Wait wait) {
  std::string dir = join(kElectionsDir, election);
  CO_ASSIGN_OR_RETURN(std::vector<LockEntry> entries, co_await lock_queue(std::move(dir), std::move(wait)));
  if (entries.empty()) co_return fail(Code::kNotFound, "nobody leads the election " + election);
  co_return std::move(entries.front().contents);
}

net::Task<Result<std::vector<HistoryEntry>>> LocalStore::history(std::string path, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(std::string full, full_path(path));
  co_return co_await session_->backend->history(std::move(full), bounded(std::move(wait), kDefaultOperationWait));
}

net::Task<void> LocalStore::close() {
  std::vector<Fence> fences;
  {
    const std::lock_guard lock(session_->mutex);
    if (session_->closed) co_return;
    session_->closed = true;
    for (auto* watch : session_->watches) session_->backend->hub().end(*watch, session_->closed_error());
    for (const std::string& key : session_->leases) {
      const size_t space = key.rfind(' ');
      fences.push_back(Fence{key.substr(0, space), std::stoull(key.substr(space + 1))});
    }
    session_->leases.clear();
  }
  for (Fence& fence : fences) {
    (void)co_await session_->backend->release(std::move(fence), net::Wait::within(kDefaultOperationWait));
  }
}

}  // namespace vitrail::topo::internal
