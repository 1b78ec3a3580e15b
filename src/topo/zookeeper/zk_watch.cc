#include "topo/zookeeper/zk_watch.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"

namespace vitrail::topo::zookeeper {

using namespace std::chrono_literals;

namespace {

Version version_of(const Znode& znode) { return Version{static_cast<uint64_t>(znode.version)}; }

}  // namespace

void ZkWatch::take_news() {
  Client::News news = interested_.take();
  everything_ |= news.session_replaced;
  todo_.merge(news.paths);
}

std::vector<Change> ZkWatch::take_pending() {
  std::vector<Change> changes;
  changes.reserve(pending_.size());
  for (auto& [path, change] : pending_) changes.push_back(std::move(change));
  pending_.clear();
  return changes;
}

net::Task<Status> ZkWatch::start(net::Wait wait) { co_return co_await refresh(std::move(wait)); }

net::Task<Result<std::vector<Change>>> ZkWatch::next(net::Wait wait) {
  if (tree_.client->closed()) co_return tree_.client->closed_error();
  if (dead_) co_return *dead_;
  if (!std::exchange(started_, true)) co_return take_pending();
  for (;;) {
    if (wait.cancel.cancelled()) co_return fail(Code::kCanceled, "the watch was cancelled");
    take_news();
    if (everything_ || !todo_.empty()) {
      const Status read = co_await refresh(wait);
      if (tree_.client->closed()) co_return tree_.client->closed_error();
      const auto now = base::system_clock().now();
      if (read.ok()) {
        failing_since_.reset();
      } else if (wait.cancel.cancelled()) {
        co_return fail(Code::kCanceled, "the watch was cancelled");
      } else if (now >= wait.deadline) {
        co_return fail(Code::kDeadlineExceeded, "nothing changed in time");
      } else {
        if (!failing_since_) failing_since_ = now;
        if (now - *failing_since_ > kResumeFor || read.error().code() != Code::kUnavailable) {
          dead_ = fail(Code::kUnavailable, "the watch of " + znode_ + " ended: " + read.error().message());
          co_return *dead_;
        }
        (void)co_await net::sleep_for(std::min<base::Duration>(100ms, wait.deadline - now), wait.cancel);
      }
      if (!pending_.empty()) co_return take_pending();
      continue;
    }
    CO_RETURN_IF_ERROR(co_await interested_.wait(wait));
    if (tree_.client->closed()) co_return tree_.client->closed_error();
  }
}

net::Task<Status> ZkRecordWatch::refresh(net::Wait wait) {
  const Tree tree = everything_ ? tree_.fresh() : tree_;
  for (;;) {
    CO_ASSIGN_OR_RETURN(Reply reply, co_await tree.get(znode_, true, wait));
    if (reply.answer != Answer::kOk) {
      // get() watches only what is there.
      CO_ASSIGN_OR_RETURN(const Reply there, co_await tree.exists(znode_, true, wait));
      if (there.answer == Answer::kOk) continue;
    }
    everything_ = false;
    todo_.clear();
    const bool record = reply.answer == Answer::kOk && !is_directory(reply.znode);
    const Shown now = record ? Shown{true, reply.znode.created, reply.znode.version} : Shown{};
    if (shown_ == now) co_return Status{};
    shown_ = now;
    Change change{.path = tree_.relative(znode_)};
    if (record) change.record = Record{std::move(reply.data), version_of(reply.znode)};
    pending_[change.path] = std::move(change);
    co_return Status{};
  }
}

net::Task<Status> ZkTreeWatch::refresh(net::Wait wait) {
  if (everything_) {
    CO_RETURN_IF_ERROR(co_await refresh_all(wait));
    everything_ = false;
  }
  while (!todo_.empty()) {
    const std::string znode = *todo_.begin();
    CO_RETURN_IF_ERROR(co_await refresh_one(znode, wait));
    todo_.erase(znode);
  }
  co_return Status{};
}

// At first, and after a new session, which knows of no watch and perhaps a server that is behind.
net::Task<Status> ZkTreeWatch::refresh_all(net::Wait wait) {
  std::vector<Found> found;
  std::vector<std::string> names;
  const Tree tree = tree_.fresh();
  for (;;) {
    CO_ASSIGN_OR_RETURN(
        const bool exists,
        co_await walk(tree, znode_, true, [](const std::string&) { return false; }, found, names, wait));
    if (exists) break;
    CO_ASSIGN_OR_RETURN(const Reply there, co_await tree.exists(znode_, true, wait));
    if (there.answer != Answer::kOk) break;
  }
  todo_.clear();
  std::set<std::string> present;
  for (const Found& one : found) present.insert(one.znode);
  std::vector<std::string> gone;
  for (const auto& [znode, known] : known_) {
    if (!present.contains(znode)) gone.push_back(znode);
  }
  for (const std::string& znode : gone) forget(znode);
  for (Found& one : found) see(std::move(one));
  co_return Status{};
}

net::Task<Status> ZkTreeWatch::refresh_one(std::string znode, net::Wait wait) {
  if (znode == znode_) co_return co_await refresh_children(std::move(znode), std::move(wait));
  if (!known_.contains(znode)) co_return Status{};  // Of another watch, or found by its directory's event.
  CO_ASSIGN_OR_RETURN(Reply reply, co_await tree_.get(znode, true, wait));
  if (reply.answer != Answer::kOk) {
    forget(znode);
    // If it is there again, its directory's event has come or comes, and must not find it known.
    co_return Status{};
  }
  const bool empty = reply.znode.bytes == 0;
  see(Found{znode, reply.znode, std::move(reply.data)});
  if (empty) co_return co_await refresh_children(std::move(znode), std::move(wait));
  co_return Status{};
}

net::Task<Status> ZkTreeWatch::refresh_children(std::string dir, net::Wait wait) {
  std::vector<Found> found;
  std::vector<std::string> names;
  const auto known = [this](const std::string& znode) { return known_.contains(znode); };
  CO_ASSIGN_OR_RETURN(const bool exists, co_await walk(tree_, dir, true, known, found, names, wait));
  if (!exists && dir == znode_) co_return co_await refresh_all(std::move(wait));
  const std::set<std::string> present(names.begin(), names.end());
  const std::string prefix = dir == "/" ? dir : dir + "/";
  std::vector<std::string> gone;
  for (auto it = known_.lower_bound(prefix); it != known_.end() && it->first.starts_with(prefix); ++it) {
    const bool direct = it->first.find('/', prefix.size()) == std::string::npos;
    if (direct && !present.contains(it->first)) gone.push_back(it->first);
  }
  for (const std::string& znode : gone) forget(znode);
  for (Found& one : found) see(std::move(one));
  co_return Status{};
}

void ZkTreeWatch::see(Found found) {
  const Known now{!is_directory(found.state), found.state.created, found.state.version};
  const auto it = known_.find(found.znode);
  const bool was_record = it != known_.end() && it->second.record;
  const bool same = was_record && it->second.created == now.created && it->second.version == now.version;
  known_[found.znode] = now;
  if (now.record ? same : !was_record) return;
  Change change{.path = tree_.relative(found.znode)};
  if (now.record) change.record = Record{std::move(found.data), version_of(found.state)};
  pending_[change.path] = std::move(change);
}

void ZkTreeWatch::forget(const std::string& znode) {
  const auto erase = [this](AllKnown::iterator it) {
    if (it->second.record) {
      const std::string path = tree_.relative(it->first);
      pending_[path] = Change{.path = path};
    }
    return known_.erase(it);
  };
  if (const auto it = known_.find(znode); it != known_.end()) erase(it);
  const std::string prefix = znode + "/";
  for (auto it = known_.lower_bound(prefix); it != known_.end() && it->first.starts_with(prefix);) it = erase(it);
}

}  // namespace vitrail::topo::zookeeper
