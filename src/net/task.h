#pragma once

#include <coroutine>
#include <optional>
#include <utility>

#include "base/check.h"
#include "net/block_pool.h"

namespace vitrail::net {

template <typename T = void>
class Task;

namespace internal {

struct PromiseBase {
  std::coroutine_handle<> continuation = std::noop_coroutine();

  // Frames come and go with every query.
  static void* operator new(size_t size) { return BlockPool::take(size); }
  static void operator delete(void* frame, size_t size) noexcept { BlockPool::give(frame, size); }

  struct FinalAwaiter {
    bool await_ready() noexcept { return false; }
    template <typename Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> self) noexcept {
      return self.promise().continuation;
    }
    void await_resume() noexcept {}
  };

  std::suspend_always initial_suspend() noexcept { return {}; }
  FinalAwaiter final_suspend() noexcept { return {}; }
  // No exception crosses a folder, and a coroutine's caller is often in another one: an exception here is a bug of
  // ours.
  void unhandled_exception() noexcept { base::check_failed("task.h", 0, "an exception left a coroutine"); }
};

template <typename T>
struct Promise : PromiseBase {
  std::optional<T> value;
  Task<T> get_return_object();
  template <typename U>
  void return_value(U&& result) {
    value.emplace(std::forward<U>(result));
  }
  T take() { return std::move(*value); }
};

template <>
struct Promise<void> : PromiseBase {
  Task<void> get_return_object();
  void return_void() {}
  void take() {}
};

}  // namespace internal

// A lazily started coroutine: it runs when awaited, and resumes its awaiter by symmetric transfer when it ends.
//
//   Owns    : the coroutine frame. Move-only; await it exactly once (`co_await std::move(task)` or on a temporary).
//   Threads : runs on the thread that awaits it; a task that waits for a loop's event resumes on that loop.
//   Errors  : returned as Result<T>; an exception that leaves the body stops the process.
//   Rules   : parameters by value, or by reference to what the header says outlives the call; no capturing lambda
//             coroutines; background work goes into a Scope, nothing is detached.
template <typename T>
class [[nodiscard]] Task {
 public:
  using promise_type = internal::Promise<T>;
  using Handle = std::coroutine_handle<promise_type>;

  Task() = default;
  explicit Task(Handle handle) : handle_(handle) {}
  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      if (handle_) handle_.destroy();
      handle_ = std::exchange(other.handle_, {});
    }
    return *this;
  }
  ~Task() {
    if (handle_) handle_.destroy();
  }

  bool valid() const { return static_cast<bool>(handle_); }

  bool await_ready() const noexcept { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiter) noexcept {
    handle_.promise().continuation = awaiter;
    return handle_;
  }
  T await_resume() { return handle_.promise().take(); }

 private:
  Handle handle_;
};

template <typename T>
Task<T> internal::Promise<T>::get_return_object() {
  return Task<T>(std::coroutine_handle<Promise<T>>::from_promise(*this));
}
inline Task<void> internal::Promise<void>::get_return_object() {
  return Task<void>(std::coroutine_handle<Promise<void>>::from_promise(*this));
}

}  // namespace vitrail::net
