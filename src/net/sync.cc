#include "net/sync.h"

namespace vitrail::net {
namespace internal {

Task<Status> WaitQueue::wait(const Wait& wait, const char* what) {
  struct Awaiter {
    WaitQueue& queue;
    Entry& entry;
    const Wait& wait;
    bool await_ready() const { return false; }
    bool await_suspend(std::coroutine_handle<> handle) {
      queue.entries_.push_back(&entry);
      return entry.arm(*Loop::current(), handle, wait);
    }
    void await_resume() const {}
  };
  Entry entry(*this);
  co_await Awaiter{*this, entry, wait};
  if (entry.outcome() == Waiter::Outcome::kDone) co_return Status{};
  co_return entry.error(what);
}

bool WaitQueue::wake_one() {
  if (entries_.empty()) return false;
  Entry* entry = entries_.front();
  entries_.pop_front();
  entry->complete();
  return true;
}

void WaitQueue::wake_all() {
  while (wake_one()) {
  }
}

}  // namespace internal

void Event::set() {
  set_ = true;
  queue_.wake_all();
}

Task<Status> Event::wait(Wait wait) {
  while (!set_) CO_RETURN_IF_ERROR(co_await queue_.wait(wait, "wait for an event"));
  co_return Status{};
}

Task<Status> Signal::wait(Wait wait) { co_return co_await queue_.wait(wait, "wait for a change"); }

Task<Status> Semaphore::acquire(Wait wait) {
  if (permits_ > 0 && queue_.empty()) {
    --permits_;
    co_return Status{};
  }
  co_return co_await queue_.wait(wait, "wait for a free place");  // release() hands its permit over.
}

bool Semaphore::try_acquire() {
  if (permits_ == 0 || !queue_.empty()) return false;
  --permits_;
  return true;
}

void Semaphore::release() {
  if (!queue_.wake_one()) ++permits_;
}

Task<Result<Mutex::Guard>> Mutex::lock(Wait wait) {
  CO_RETURN_IF_ERROR(co_await semaphore_.acquire(std::move(wait)));
  co_return Guard(this);
}

}  // namespace vitrail::net
