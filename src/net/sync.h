#pragma once

#include <coroutine>
#include <deque>
#include <optional>

#include "net/loop.h"

namespace vitrail::net {

namespace internal {

// A first-in first-out list of waiting coroutines.
class WaitQueue {
 public:
  class Entry : public Waiter {
   public:
    explicit Entry(WaitQueue& queue) : queue_(queue) {}

   private:
    void abandon() override { std::erase(queue_.entries_, this); }
    WaitQueue& queue_;
  };
  // Waits for wake_one/wake_all.
  //   kDeadlineExceeded, kCanceled as in Wait; `what` names the wait in the error.
  Task<Status> wait(const Wait& wait, const char* what);
  bool wake_one();
  void wake_all();
  bool empty() const { return entries_.empty(); }

 private:
  std::deque<Entry*> entries_;
};

}  // namespace internal

// All of the following are confined to one loop, and must outlive every wait on them.

// A flag that coroutines can wait for. Waiters of a set event pass at once, until reset().
class Event {
 public:
  bool is_set() const { return set_; }
  void set();
  void reset() { set_ = false; }
  Task<Status> wait(Wait wait);

 private:
  bool set_ = false;
  internal::WaitQueue queue_;
};

// Wakes all that wait now; who comes later waits for the next one. The caller checks its condition in a loop:
//   while (!condition) CO_RETURN_IF_ERROR(co_await changed.wait(wait));
class Signal {
 public:
  void notify_all() { queue_.wake_all(); }
  Task<Status> wait(Wait wait);

 private:
  internal::WaitQueue queue_;
};

// At most `permits` holders at a time, served in order.
class Semaphore {
 public:
  explicit Semaphore(size_t permits) : permits_(permits) {}
  Task<Status> acquire(Wait wait);
  bool try_acquire();
  void release();
  size_t available() const { return permits_; }

 private:
  size_t permits_;
  internal::WaitQueue queue_;
};

// One holder at a time; held across co_await. `auto guard = co_await mutex.lock(wait)`.
class Mutex {
 public:
  class Guard {
   public:
    Guard() = default;
    explicit Guard(Mutex* mutex) : mutex_(mutex) {}
    Guard(Guard&& other) noexcept : mutex_(std::exchange(other.mutex_, nullptr)) {}
    Guard& operator=(Guard&& other) noexcept {
      unlock();
      mutex_ = std::exchange(other.mutex_, nullptr);
      return *this;
    }
    ~Guard() { unlock(); }
    void unlock() {
      if (mutex_ != nullptr) std::exchange(mutex_, nullptr)->semaphore_.release();
    }

   private:
    Mutex* mutex_ = nullptr;
  };
  Task<Result<Guard>> lock(Wait wait);

 private:
  Semaphore semaphore_{1};
};

// A bounded queue between coroutines of one loop. push() waits while it is full, pop() while it is empty.
// After close(), push() fails with kCanceled, and pop() drains what is left and then returns nullopt.
template <typename T>
class Channel {
 public:
  explicit Channel(size_t capacity) : capacity_(capacity) {}

  Task<Status> push(T value, Wait wait = {}) {
    while (!closed_ && items_.size() >= capacity_) CO_RETURN_IF_ERROR(co_await not_full_.wait(wait, "push to a queue"));
    if (closed_) co_return fail(Code::kCanceled, "the queue is closed");
    items_.push_back(std::move(value));
    not_empty_.wake_one();
    co_return Status{};
  }
  bool try_push(T value) {
    if (closed_ || items_.size() >= capacity_) return false;
    items_.push_back(std::move(value));
    not_empty_.wake_one();
    return true;
  }
  Task<Result<std::optional<T>>> pop(Wait wait = {}) {
    while (items_.empty()) {
      if (closed_) co_return std::optional<T>{};
      CO_RETURN_IF_ERROR(co_await not_empty_.wait(wait, "pop from a queue"));
    }
    std::optional<T> value(std::move(items_.front()));
    items_.pop_front();
    not_full_.wake_one();
    if (!items_.empty()) not_empty_.wake_one();
    co_return value;
  }
  void close() {
    closed_ = true;
    not_empty_.wake_all();
    not_full_.wake_all();
  }
  bool closed() const { return closed_; }
  size_t size() const { return items_.size(); }

 private:
  const size_t capacity_;
  bool closed_ = false;
  std::deque<T> items_;
  internal::WaitQueue not_full_;
  internal::WaitQueue not_empty_;
};

}  // namespace vitrail::net
