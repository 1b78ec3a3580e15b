#include "topo/etcd/etcd_lock.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "base/random.h"
#include "topo/etcd/etcd_watch.h"

namespace vitrail::topo::etcd {
namespace {

using namespace std::chrono_literals;
using etcdserverpb::Compare;

constexpr base::Duration kFarewell = 1s;

// A lease in the making, renewed from the start; given back unless release()d to somebody.
class LeaseOwner {
 public:
  LeaseOwner(std::shared_ptr<Session> session, std::shared_ptr<Lease> lease)
      : session_(std::move(session)), lease_(std::move(lease)) {}
  ~LeaseOwner() { drop(); }
  LeaseOwner(const LeaseOwner&) = delete;
  LeaseOwner& operator=(const LeaseOwner&) = delete;

  const Lease& lease() const { return *lease_; }
  Session& session() const { return *session_; }
  const std::shared_ptr<Session>& shared_session() const { return session_; }
  bool dropped() const { return dropped_; }
  void drop() {
    if (!std::exchange(dropped_, true)) session_->drop_lease(lease_);
  }

 private:
  const std::shared_ptr<Session> session_;
  const std::shared_ptr<Lease> lease_;
  bool dropped_ = false;
};

Compare created_at(std::string key, int64_t revision) {
  Compare compare;
  compare.set_result(Compare::EQUAL);
  compare.set_target(Compare::CREATE);
  compare.set_key(std::move(key));
  compare.set_create_revision(revision);
  return compare;
}

// Deletes a lock's entry. False: it was gone.
net::Task<Result<bool>> remove_entry(std::shared_ptr<Session> session, Fence fence, net::Wait wait) {
  etcdserverpb::TxnRequest request;
  *request.add_compare() = held_condition(*session, fence);
  request.add_success()->mutable_request_delete_range()->set_key(session->prefix + fence.lock_path);
  CO_ASSIGN_OR_RETURN(const auto response, co_await session->client->txn(std::move(request), std::move(wait)));
  co_return response.succeeded();
}

class EtcdLock final : public Lock {
 public:
  EtcdLock(std::unique_ptr<LeaseOwner> owner, Fence fence) : owner_(std::move(owner)), fence_(std::move(fence)) {}

  net::Task<Status> check_held(net::Wait wait) override {
    if (lost_) co_return lost_error();
    CO_RETURN_IF_ERROR(owner_->session().check_open());
    if (owner_->dropped())
      co_return fail(Code::kFailedPrecondition, "the lock " + fence_.lock_path + " was given back");
    wait = bounded(std::move(wait), kDefaultOperationWait);
    Client& client = *owner_->session().client;
    CO_ASSIGN_OR_RETURN(const bool alive, co_await client.keep_alive(owner_->lease().id(), wait));
    if (!alive || owner_->lease().lost()) co_return lose();
    etcdserverpb::RangeRequest request;
    request.set_key(owner_->session().prefix + fence_.lock_path);
    request.set_keys_only(true);
    CO_ASSIGN_OR_RETURN(const auto response, co_await client.range(std::move(request), wait));
    if (response.kvs().empty() || static_cast<uint64_t>(response.kvs(0).create_revision()) != fence_.id) {
      co_return lose();
    }
    co_return Status{};
  }

  net::Task<Status> unlock(net::Wait wait) override {
    if (lost_) co_return lost_error();
    if (owner_->dropped()) co_return Status{};
    const auto removed =
        co_await remove_entry(owner_->shared_session(), fence_, bounded(std::move(wait), kDefaultOperationWait));
    owner_->drop();
    if (!removed.ok()) co_return removed.error();
    if (!*removed) co_return lose();
    co_return Status{};
  }

  net::Task<Status> wait_lost(net::Wait wait) override {
    const base::Duration ttl = owner_->lease().ttl();
    auto last_held = base::system_clock().now();
    for (;;) {
      const Status held = co_await check_held({.cancel = wait.cancel});
      const auto now = base::system_clock().now();
      if (held.ok()) {
        last_held = now;
      } else if (held.error().code() == Code::kFailedPrecondition || owner_->lease().lost() || now - last_held > ttl ||
                 !owner_->session().check_open().ok()) {
        co_return Status{};
      }
      if (wait.cancel.cancelled()) co_return fail(Code::kCanceled, "waiting for the loss of a lock was cancelled");
      if (now >= wait.deadline) co_return fail(Code::kDeadlineExceeded, "the lock was not lost in time");
      net::Wait tick = wait;
      tick.deadline = std::min(wait.deadline, now + std::min<base::Duration>(ttl / 3, 5s));
      co_await follow_entry(tick);
    }
  }

  Fence fence() const override { return fence_; }

 private:
  // Until the entry changes, or `wait` is over.
  net::Task<void> follow_entry(net::Wait wait) {
    if (watch_ == nullptr) {
      watch_ = std::make_unique<EtcdWatch>(
          owner_->shared_session(),
          EtcdWatch::Target{.key = owner_->session().prefix + fence_.lock_path, .locks = true},
          static_cast<int64_t>(fence_.id), std::nullopt);
    }
    const auto changes = co_await watch_->next(wait);
    if (changes.ok()) co_return;
    const Code code = changes.error().code();
    if (code == Code::kDeadlineExceeded || code == Code::kCanceled) co_return;
    watch_.reset();
    (void)co_await net::sleep_for(200ms, wait.cancel);
  }

  Error lost_error() const { return Error(Code::kFailedPrecondition, "the lock " + fence_.lock_path + " was lost"); }
  Error lose() {
    lost_ = true;
    owner_->drop();
    return lost_error();
  }

  const std::unique_ptr<LeaseOwner> owner_;
  const Fence fence_;
  std::unique_ptr<EtcdWatch> watch_;
  bool lost_ = false;
};

net::Task<Status> check_exists(std::shared_ptr<Session> session, std::string dir, net::Wait wait) {
  etcdserverpb::RangeRequest request;
  set_prefix(request, session->prefix + dir + "/");
  request.set_limit(1);
  request.set_keys_only(true);
  CO_ASSIGN_OR_RETURN(const auto response, co_await session->client->range(std::move(request), std::move(wait)));
  if (response.kvs().empty()) co_return fail(Code::kNotFound, dir + " does not exist");
  co_return Status{};
}

// Until no earlier entry is left.
net::Task<Status> wait_for_turn(std::shared_ptr<Session> session, std::string queue, Fence fence, net::Wait wait) {
  for (;;) {
    CO_RETURN_IF_ERROR(session->check_open());
    etcdserverpb::RangeRequest request;
    set_prefix(request, session->prefix + queue);
    request.set_max_create_revision(static_cast<int64_t>(fence.id) - 1);
    request.set_sort_order(etcdserverpb::RangeRequest::DESCEND);
    request.set_sort_target(etcdserverpb::RangeRequest::CREATE);
    request.set_limit(1);
    request.set_keys_only(true);
    const auto earlier = co_await session->client->range(std::move(request), wait);
    if (earlier.ok() && earlier->kvs().empty()) co_return Status{};
    Status waited;
    if (earlier.ok()) {
      // Only the one just before: when it goes, one waiter wakes and not all.
      EtcdWatch watch(session, {.key = earlier->kvs(0).key(), .locks = true}, earlier->header().revision(),
                      std::nullopt);
      const auto changes = co_await watch.next(wait);
      if (!changes.ok()) waited = changes.error();
    } else {
      waited = earlier.error();
    }
    if (wait.cancel.cancelled()) co_return fail(Code::kCanceled, "waiting for the lock " + queue + " was cancelled");
    if (base::system_clock().now() >= wait.deadline) {
      co_return fail(Code::kDeadlineExceeded, "the lock " + queue + " was not free in time");
    }
    if (waited.ok()) continue;
    if (waited.error().code() != Code::kUnavailable && waited.error().code() != Code::kDeadlineExceeded) {
      co_return waited;
    }
    const base::Duration pause(static_cast<int64_t>(100'000'000 + base::system_random().below(200'000'000)));
    CO_RETURN_IF_ERROR(co_await net::sleep_for(pause, wait.cancel));
  }
}

}  // namespace

Compare held_condition(const Session& session, const Fence& fence) {
  return created_at(session.prefix + fence.lock_path, static_cast<int64_t>(fence.id));
}

net::Task<Result<std::unique_ptr<Lock>>> acquire_lock(std::shared_ptr<Session> session, LockRequest request,
                                                      net::Wait outer) {
  CO_RETURN_IF_ERROR(session->check_open());
  Interruptible interruptible(session);
  const Interruptible::Wait inner(interruptible, outer);
  const net::Wait wait = inner.get();
  if (!request.must_exist.empty()) CO_RETURN_IF_ERROR(co_await check_exists(session, request.must_exist, wait));
  const std::string queue = request.dir + "/" + std::string(kLocksDir) + "/";
  CO_ASSIGN_OR_RETURN(const int64_t id, co_await session->client->grant_lease(request.ttl, wait));
  auto lease = session->keep_lease(id, request.ttl);
  if (lease == nullptr) co_return session->closed_error();
  auto owner = std::make_unique<LeaseOwner>(session, std::move(lease));

  Fence fence{.lock_path = queue + std::to_string(id)};
  const std::string key = session->prefix + fence.lock_path;
  etcdserverpb::TxnRequest put;
  *put.add_compare() = created_at(key, 0);
  if (!request.queue) {
    // Nobody is there at all: true of each key of the range, so of none.
    Compare& nobody = *put.add_compare();
    nobody = created_at("", 0);
    set_prefix(nobody, session->prefix + queue);
  }
  auto& entry = *put.add_success()->mutable_request_put();
  entry.set_key(key);
  entry.set_value(request.contents);
  entry.set_lease(id);
  CO_ASSIGN_OR_RETURN(const auto written, co_await session->client->txn(std::move(put), wait));
  if (!written.succeeded()) co_return fail(Code::kAlreadyExists, "the lock " + request.dir + " is taken");
  fence.id = static_cast<uint64_t>(written.header().revision());
  auto lock = std::make_unique<EtcdLock>(std::move(owner), fence);
  Status turn = request.queue ? co_await wait_for_turn(session, queue, fence, wait) : Status{};
  if (turn.ok() && wait.cancel.cancelled()) turn = fail(Code::kCanceled, "waiting for " + queue + " was cancelled");
  // The entry may have vanished in the queue, for example because this process was stopped for long.
  if (turn.ok() && request.queue) turn = co_await lock->check_held(wait);
  if (turn.ok()) co_return std::move(lock);
  // Out of the queue before the caller hears of it, so that it finds the lock as it says. Who does not wait any more is
  // not kept by an etcd that does not answer: the entry goes with its lease then.
  (void)co_await lock->unlock(net::Wait::within(wait.cancel.cancelled() ? kFarewell : kDefaultOperationWait));
  if (interruptible.closed()) co_return session->closed_error();
  co_return std::move(turn).error();
}

}  // namespace vitrail::topo::etcd
