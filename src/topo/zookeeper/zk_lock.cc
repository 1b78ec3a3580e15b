#include "topo/zookeeper/zk_lock.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"

namespace vitrail::topo::zookeeper {
namespace {

using namespace std::chrono_literals;

std::string join_znode(const std::string& dir, const std::string& name) { return dir + "/" + name; }

net::Task<Result<std::vector<std::string>>> names_in(Tree tree, std::string queue, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(Reply reply, co_await tree.children(std::move(queue), false, std::move(wait)));
  std::ranges::sort(reply.names);
  co_return std::move(reply.names);
}

// An entry of a queue; out of it at the end of this object.
class Entry {
 public:
  Entry(Tree tree, std::shared_ptr<Queues> queues, std::string znode, int64_t session)
      : tree_(std::move(tree)), queues_(std::move(queues)), znode_(std::move(znode)), session_(session) {}
  ~Entry() {
    if (!forget()) return;
    std::vector<std::string> paths = parents_of(tree_, znode_);
    paths.insert(paths.begin(), znode_);
    tree_.client->remove_soon(std::move(paths), session_);
  }
  Entry(const Entry&) = delete;
  Entry& operator=(const Entry&) = delete;

  const Tree& tree() const { return tree_; }
  const std::string& znode() const { return znode_; }
  uint64_t created() const { return created_; }

  // Where it stands: kFailedPrecondition when it is gone.
  net::Task<Status> check(net::Wait wait) {
    CO_ASSIGN_OR_RETURN(const int64_t session, co_await tree_.client->session(wait));
    if (session == session_) {
      CO_ASSIGN_OR_RETURN(const Reply reply, co_await tree_.fresh().exists(znode_, true, std::move(wait)));
      const bool ours = reply.answer == Answer::kOk && reply.znode.owner == session_;
      if (ours && created_ == 0) note(reply.znode.created);
      if (ours && reply.znode.created == created_) co_return Status{};
    }
    (void)forget();
    co_return fail(Code::kFailedPrecondition, "the lock " + tree_.relative(znode_) + " was lost");
  }

  net::Task<Status> remove(net::Wait wait) {
    CO_RETURN_IF_ERROR(co_await check(wait));
    std::vector<Op> ops{Op{Op::Kind::kRemove, znode_}};
    CO_ASSIGN_OR_RETURN(const Written written,
                        co_await remove_with_parents(tree_, std::move(ops), std::move(wait), session_));
    (void)forget();
    if (written.answer == Answer::kOk) co_return Status{};
    co_return fail(Code::kFailedPrecondition, "the lock " + tree_.relative(znode_) + " was lost");
  }

 private:
  void note(uint64_t created) {
    created_ = created;
    const std::scoped_lock lock(queues_->mutex);
    queues_->mine[znode_] = created;
  }
  bool forget() {
    if (std::exchange(forgotten_, true)) return false;
    const std::scoped_lock lock(queues_->mutex);
    const auto it = queues_->mine.find(znode_);
    if (it != queues_->mine.end() && it->second == created_) queues_->mine.erase(it);
    return true;
  }

  const Tree tree_;
  const std::shared_ptr<Queues> queues_;
  const std::string znode_;
  const int64_t session_;
  uint64_t created_ = 0;
  bool forgotten_ = false;
};

class ZkLock final : public Lock {
 public:
  explicit ZkLock(std::unique_ptr<Entry> entry) : entry_(std::move(entry)) {}

  net::Task<Status> check_held(net::Wait wait) override {
    if (released_) co_return fail(Code::kFailedPrecondition, "the lock " + name() + " was given back");
    if (lost_) co_return *lost_;
    const Status held = co_await entry_->check(bounded(std::move(wait), kDefaultOperationWait));
    if (!held.ok()) note(held.error());
    co_return held;
  }

  net::Task<Status> unlock(net::Wait wait) override {
    if (released_) co_return Status{};
    if (lost_) co_return *lost_;
    const Status removed = co_await entry_->remove(bounded(std::move(wait), kDefaultOperationWait));
    if (removed.ok()) released_ = true;
    if (!removed.ok()) note(removed.error());
    co_return removed;
  }

  net::Task<Status> wait_lost(net::Wait wait) override {
    const base::Duration timeout = entry_->tree().client->session_timeout();
    Interested interested(entry_->tree().client, entry_->znode());
    auto last_held = base::system_clock().now();
    for (;;) {
      (void)interested.take();
      const Status held = co_await check_held({.cancel = wait.cancel});
      const auto now = base::system_clock().now();
      if (held.ok()) {
        last_held = now;
      } else if (released_ || lost_ || now - last_held > timeout || entry_->tree().client->closed()) {
        co_return Status{};
      }
      if (wait.cancel.cancelled()) co_return fail(Code::kCanceled, "waiting for the loss of a lock was cancelled");
      if (now >= wait.deadline) co_return fail(Code::kDeadlineExceeded, "the lock was not lost in time");
      // The event of the entry, or of the session, comes at once; this is for the end of an unreachable session.
      const auto tick = std::min(wait.deadline, now + std::min<base::Duration>(timeout / 3, 5s));
      (void)co_await interested.wait(net::Wait::until(tick, wait.cancel));
    }
  }

  Fence fence() const override { return Fence{.lock_path = name(), .id = entry_->created()}; }

 private:
  std::string name() const { return entry_->tree().relative(entry_->znode()); }
  void note(const Error& error) {
    if (error.code() == Code::kFailedPrecondition) lost_ = error;
  }

  const std::unique_ptr<Entry> entry_;
  bool released_ = false;
  std::optional<Error> lost_;
};

// Removes entries of this session that no lock knows of: of creations whose answer was lost.
net::Task<Status> sweep(Tree tree, std::shared_ptr<Queues> queues, std::string queue, net::Wait wait) {
  {
    const std::scoped_lock lock(queues->mutex);
    if (!queues->unsure.contains(queue) || queues->creating.contains(queue)) co_return Status{};
  }
  CO_ASSIGN_OR_RETURN(const int64_t session, co_await tree.client->session(wait));
  tree = tree.fresh();
  CO_ASSIGN_OR_RETURN(const auto names, co_await names_in(tree, queue, wait));
  for (const std::string& name : names) {
    const std::string znode = join_znode(queue, name);
    CO_ASSIGN_OR_RETURN(const Reply reply, co_await tree.exists(znode, false, wait));
    if (reply.answer != Answer::kOk || reply.znode.owner != session) continue;
    {
      const std::scoped_lock lock(queues->mutex);
      if (queues->creating.contains(queue)) co_return Status{};  // It may be of that one, which comes back here.
      if (queues->mine.contains(znode)) continue;
    }
    std::vector<Op> ops{Op{Op::Kind::kRemove, znode}};
    CO_RETURN_IF_ERROR(co_await remove_with_parents(tree, std::move(ops), wait, session));
  }
  const std::scoped_lock lock(queues->mutex);
  queues->unsure.erase(queue);
  co_return Status{};
}

net::Task<Result<std::unique_ptr<Entry>>> enqueue(Tree tree, std::shared_ptr<Queues> queues, LockRequest request,
                                                  net::Wait wait) {
  (void)co_await sweep(tree, queues, request.queue, wait);
  CO_ASSIGN_OR_RETURN(const int64_t session, co_await tree.client->session(wait));
  {
    const std::scoped_lock lock(queues->mutex);
    ++queues->creating[request.queue];
  }
  std::vector<Op> ops{Op{Op::Kind::kCreateQueued, request.queue + "/", request.contents}};
  const auto created = co_await create_with_parents(tree, std::move(ops), wait, session);
  {
    const std::scoped_lock lock(queues->mutex);
    if (--queues->creating[request.queue] == 0) queues->creating.erase(request.queue);
    if (created.ok() && created->answer == Answer::kOk) queues->mine[created->path] = 0;
    if (!created.ok() && created.error().effect() == Effect::kUnknown) queues->unsure.insert(request.queue);
  }
  if (created.ok() && created->answer == Answer::kOk) {
    co_return std::make_unique<Entry>(tree, queues, created->path, session);
  }
  // In the connection's order after the creation, if that comes through at all.
  (void)co_await sweep(tree, queues, request.queue, net::Wait::within(kDefaultOperationWait));
  if (!created.ok()) co_return created.error();
  co_return fail(Code::kAborted, "the queue " + request.queue + " cannot be entered");
}

// Until no earlier entry is left. The server that has made ours knows of all before it, and tells when one goes.
net::Task<Status> wait_for_turn(Tree tree, std::string queue, std::string mine, bool queue_up, net::Wait wait) {
  const std::string own_name = mine.substr(queue.size() + 1);
  for (;;) {
    CO_ASSIGN_OR_RETURN(const auto names, co_await names_in(tree, queue, wait));
    const auto own = std::ranges::lower_bound(names, own_name);
    if (own == names.end() || *own != own_name) {
      co_return fail(Code::kUnavailable, "the place in the queue " + queue + " was lost with the session");
    }
    if (own == names.begin()) co_return Status{};
    if (!queue_up) co_return fail(Code::kAlreadyExists, "the lock " + queue + " is taken");
    // Only the one just before: when it goes, one waiter wakes and not all.
    const std::string before = join_znode(queue, *std::prev(own));
    Interested interested(tree.client, before);
    CO_ASSIGN_OR_RETURN(const Reply there, co_await tree.exists(before, true, wait));
    while (there.answer == Answer::kOk && !interested.take().any()) {
      if (tree.client->closed()) co_return tree.client->closed_error();
      const Status waited = co_await interested.wait(wait);
      if (waited.ok()) continue;
      if (waited.error().code() == Code::kCanceled) co_return fail(Code::kCanceled, "left the queue " + queue);
      co_return fail(Code::kDeadlineExceeded, "the lock " + queue + " was not free in time");
    }
    if (tree.client->closed()) co_return tree.client->closed_error();
  }
}

}  // namespace

net::Task<Result<std::unique_ptr<Lock>>> acquire_lock(Tree tree, std::shared_ptr<Queues> queues, LockRequest request,
                                                      net::Wait wait) {
  const Tree now = tree.fresh();
  if (!request.must_exist.empty()) {
    CO_ASSIGN_OR_RETURN(const Reply dir, co_await now.exists(request.must_exist, false, wait));
    if (dir.answer != Answer::kOk) co_return fail(Code::kNotFound, request.must_exist + " does not exist");
  }
  if (!request.queue_up) {
    CO_ASSIGN_OR_RETURN(const auto names, co_await names_in(now, request.queue, wait));
    if (!names.empty()) co_return fail(Code::kAlreadyExists, "the lock " + request.queue + " is taken");
  }
  const bool queue_up = request.queue_up;
  const std::string queue = request.queue;
  CO_ASSIGN_OR_RETURN(auto entry, co_await enqueue(tree, queues, std::move(request), wait));
  Status turn = co_await wait_for_turn(tree, queue, entry->znode(), queue_up, wait);
  // Also learns when the entry was made.
  if (turn.ok()) turn = co_await entry->check(wait);
  if (turn.ok()) co_return std::make_unique<ZkLock>(std::move(entry));
  // Out of the queue before the caller hears of it, so that it finds the lock as it says.
  (void)co_await entry->remove(net::Wait::within(kDefaultOperationWait));
  co_return std::move(turn).error();
}

net::Task<Result<std::vector<LockEntry>>> read_queue(Tree tree, std::string queue, net::Wait wait) {
  tree = tree.fresh();
  CO_ASSIGN_OR_RETURN(const auto names, co_await names_in(tree, queue, wait));
  std::vector<LockEntry> entries;
  for (const std::string& name : names) {
    const std::string znode = join_znode(queue, name);
    CO_ASSIGN_OR_RETURN(Reply reply, co_await tree.get(znode, false, wait));
    if (reply.answer == Answer::kOk) entries.push_back(LockEntry{tree.relative(znode), std::move(reply.data)});
  }
  co_return entries;
}

}  // namespace vitrail::topo::zookeeper
