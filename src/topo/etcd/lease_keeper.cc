#include "topo/etcd/lease_keeper.h"

#include <algorithm>
#include <future>
#include <utility>

#include "base/clock.h"

namespace vitrail::topo::etcd {

using namespace std::chrono_literals;

LeaseKeeper::LeaseKeeper(std::shared_ptr<Client> client) : client_(std::move(client)) {
  std::promise<void> made;
  thread_.loop().post([&] {
    scope_ = std::make_unique<net::Scope>();
    made.set_value();
  });
  made.get_future().wait();
}

LeaseKeeper::~LeaseKeeper() {
  std::promise<void> ended;
  struct Body {
    static net::Task<void> end(std::unique_ptr<net::Scope>& scope, std::promise<void>& ended) {
      scope->request_stop();
      co_await scope->join();
      scope.reset();
      ended.set_value();
    }
  };
  // The outer scope carries the coroutine that ends the inner one, and is empty again when this thread goes on.
  std::unique_ptr<net::Scope> outer;
  thread_.loop().post([&] {
    outer = std::make_unique<net::Scope>();
    outer->spawn(Body::end(scope_, ended));
  });
  ended.get_future().wait();
  std::promise<void> gone;
  thread_.loop().post([&] {
    outer.reset();
    gone.set_value();
  });
  gone.get_future().wait();
}

std::shared_ptr<Lease> LeaseKeeper::keep(int64_t id, std::chrono::milliseconds ttl) {
  auto lease = std::make_shared<Lease>(id, ttl);
  {
    const std::scoped_lock lock(mutex_);
    leases_.insert(lease);
  }
  thread_.loop().post([this, lease] { scope_->spawn(renew(*this, lease)); });
  return lease;
}

void LeaseKeeper::drop(const std::shared_ptr<Lease>& lease) {
  {
    const std::scoped_lock lock(mutex_);
    if (leases_.erase(lease) == 0) return;
  }
  thread_.loop().post([lease] { lease->dropped_.set(); });
}

net::Task<void> LeaseKeeper::drop_all() {
  net::Loop* const caller = net::Loop::current();
  std::set<std::shared_ptr<Lease>> leases;
  {
    const std::scoped_lock lock(mutex_);
    leases.swap(leases_);
  }
  co_await thread_.loop().enter();
  for (const auto& lease : leases) lease->dropped_.set();
  co_await scope_->join();
  co_await caller->enter();
}

net::Task<void> LeaseKeeper::renew(LeaseKeeper& keeper, std::shared_ptr<Lease> lease) {
  const net::CancelToken cancel = keeper.scope_->token();
  auto renewed = base::system_clock().now();
  auto pause = lease->ttl() / 3;
  for (;;) {
    const Status dropped = co_await lease->dropped_.wait(net::Wait::within(pause, cancel));
    if (dropped.ok()) break;
    if (cancel.cancelled()) co_return;
    const auto asked = base::system_clock().now();
    // One server that hangs must not cost the whole lease.
    const auto patience = std::clamp<base::Duration>(lease->ttl() / 3, 500ms, 5s);
    const Result<bool> alive = co_await keeper.client_->keep_alive(lease->id(), net::Wait::within(patience, cancel));
    if (alive.ok() && *alive) {
      renewed = asked;
      pause = lease->ttl() / 3;
      continue;
    }
    if (alive.ok() || base::system_clock().now() - renewed > lease->ttl()) {
      lease->lost_ = true;
      (void)co_await lease->dropped_.wait({.cancel = cancel});
      break;
    }
    pause = std::min<std::chrono::milliseconds>(lease->ttl() / 10, 1s);
  }
  (void)co_await keeper.client_->revoke_lease(lease->id(), net::Wait::within(kRevokeWait, cancel));
}

}  // namespace vitrail::topo::etcd
