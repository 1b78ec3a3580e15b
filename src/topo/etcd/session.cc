#include "topo/etcd/session.h"

#include <utility>

namespace vitrail::topo::etcd {

Error Session::closed_error() const { return fail(Code::kUnavailable, "the etcd store is closed"); }

Status Session::check_open() {
  const std::scoped_lock lock(mutex);
  if (closed) return closed_error();
  return {};
}

std::shared_ptr<Lease> Session::keep_lease(int64_t id, std::chrono::milliseconds ttl) {
  const std::scoped_lock lock(mutex);
  if (closed) return nullptr;
  if (keeper == nullptr) keeper = std::make_unique<LeaseKeeper>(client);
  return keeper->keep(id, ttl);
}

void Session::drop_lease(const std::shared_ptr<Lease>& lease) {
  const std::scoped_lock lock(mutex);
  if (keeper != nullptr) keeper->drop(lease);
}

Interruptible::Interruptible(std::shared_ptr<Session> session)
    : session_(std::move(session)), interrupt_(std::make_shared<Interrupt>()) {
  const std::scoped_lock lock(session_->mutex);
  interrupt_->closed = session_->closed;
  session_->interrupts.insert(interrupt_);
}

Interruptible::~Interruptible() {
  const std::scoped_lock lock(session_->mutex);
  session_->interrupts.erase(interrupt_);
}

Interruptible::Wait::Wait(Interruptible& owner, const net::Wait& outer)
    : interrupt_(*owner.interrupt_), deadline_(outer.deadline), source_(outer.cancel) {
  interrupt_.waiting = &source_;
  if (interrupt_.closed) source_.cancel();
}

Interruptible::Wait::~Wait() { interrupt_.waiting = nullptr; }

bool is_lock_entry(std::string_view path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return false;
  const std::string_view dir = path.substr(0, slash);
  return dir == kLocksDir || (dir.ends_with(kLocksDir) && dir[dir.size() - kLocksDir.size() - 1] == '/');
}

}  // namespace vitrail::topo::etcd
