#pragma once

#include <coroutine>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "net/cancel.h"
#include "net/task.h"

namespace vitrail::net {

class Loop;

namespace internal {

// A coroutine that waits on a loop for an event, a deadline or a cancellation, whichever comes first.
class Waiter : private CancelNode {
 public:
  enum class Outcome : uint8_t { kPending, kDone, kTimedOut, kCancelled };

  Waiter() = default;
  // Starts waiting. Called from await_suspend; false when the wait is over already (do not suspend).
  bool arm(Loop& loop, std::coroutine_handle<> handle, const Wait& wait);
  // The event came: the coroutine is resumed by its loop, soon. Ignored when the wait is over.
  void complete() { finish(Outcome::kDone); }
  Outcome outcome() const { return outcome_; }
  bool pending() const { return outcome_ == Outcome::kPending; }
  // The Error for a wait that timed out or was cancelled; `what` names it ("read from 10.0.0.7:3306").
  Error error(std::string_view what) const;

 protected:
  // Called once when the wait ends before its event: forget this waiter.
  virtual void abandon() {}

 private:
  friend class vitrail::net::Loop;
  void finish(Outcome outcome);
  void on_cancel() override { finish(Outcome::kCancelled); }

  static constexpr size_t kNoTimer = SIZE_MAX;
  Loop* loop_ = nullptr;
  std::coroutine_handle<> handle_;
  base::TimePoint deadline_;
  size_t heap_index_ = kNoTimer;
  Outcome outcome_ = Outcome::kPending;
};

// A descriptor registered with a loop (edge triggered). Reading and writing code sets its flags.
struct IoState {
  // Tries the waiting operation again after an event; true when it is done.
  class Operation : public Waiter {
   public:
    virtual bool perform() = 0;
  };
  int fd = -1;
  bool readable = false;        // A read may succeed: set by an event, cleared by whoever drains the descriptor.
  bool tells_writable = false;  // Events are asked for when it can be written to again: see Loop::watch_writable.
  bool hung_up = false;         // The peer closed its side, or an error is pending: reads return at once from now on.
  Operation* reader = nullptr;
  Operation* writer = nullptr;
  CancelSource* on_hang_up = nullptr;  // Cancelled when hung_up becomes true. See Socket::cancel_when_gone.
};

}  // namespace internal

// An event loop: one thread that runs ready coroutines, timers and descriptor events, in that order, for ever.
//
//   Threads : run() on one thread; post() and stop() from any; everything else on the loop's thread only.
//   Source  : epoll(7), edge triggered. Asio was the first choice; the relay benchmark decided (docs/decisions).
class Loop {
 public:
  Loop();
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // The loop that runs on this thread, or null.
  static Loop* current();

  // Runs until stop(). May be called again afterwards.
  void run();
  void stop();

  // Runs `work` on the loop's thread, in order of posting.
  void post(std::move_only_function<void()> work);
  // Resumes `handle` soon. On the loop's thread only.
  void resume_soon(std::coroutine_handle<> handle) { ready_.push_back(handle); }

  bool on_this_thread() const { return current() == this; }

  // `co_await loop.enter()`: continue on this loop's thread (at once when already there).
  auto enter() {
    struct Awaiter {
      Loop* loop;
      bool await_ready() const { return loop->on_this_thread(); }
      void await_suspend(std::coroutine_handle<> handle) {
        loop->post([handle] { handle.resume(); });
      }
      void await_resume() const {}
    };
    return Awaiter{this};
  }
  // `co_await loop.yield()`: let everything that is ready run first.
  auto yield() {
    struct Awaiter {
      Loop* loop;
      bool await_ready() const { return false; }
      void await_suspend(std::coroutine_handle<> handle) { loop->resume_soon(handle); }
      void await_resume() const {}
    };
    return Awaiter{this};
  }

  // For sockets and other descriptors of net/.
  Status watch(internal::IoState& io);
  void unwatch(internal::IoState& io);
  // A write did not fit, and io.writer waits: it is tried again when there is room. Not asked for in general: a stream
  // has nearly always room, and a unix socket would tell so each time that its peer has read.
  void watch_writable(internal::IoState& io);

 private:
  friend class internal::Waiter;
  void add_timer(internal::Waiter& waiter);
  void remove_timer(internal::Waiter& waiter);
  void sift_up(size_t index);
  void sift_down(size_t index);
  void run_ready();
  void run_posted();
  void run_timers(base::TimePoint now);
  void set_events(internal::IoState& io, bool writable);
  int timeout_ms(base::TimePoint now) const;
  void wake();

  int epoll_ = -1;
  int wakeup_ = -1;  // eventfd
  bool stopped_ = false;
  std::vector<std::coroutine_handle<>> ready_;
  std::vector<std::coroutine_handle<>> running_;
  std::vector<internal::Waiter*> timers_;  // Binary heap by deadline.
  std::mutex posted_mutex_;
  std::vector<std::move_only_function<void()>> posted_;
  bool wake_pending_ = false;  // Guarded by posted_mutex_.
};

// Sleeps for the duration (or until the token is cancelled: kCanceled).
Task<Status> sleep_for(base::Duration duration, CancelToken cancel = {});

// Runs `work` on one of a few helper threads and resumes on the calling loop with its result. For calls that block:
// files, SQLite, name look-ups, child processes. Bound: kMaxBlockingThreads at once, the rest wait in order.
inline constexpr int kMaxBlockingThreads = 16;
void submit_blocking(std::move_only_function<void()> job);

template <typename Work>
auto offload(Work work) -> Task<decltype(work())> {
  using T = decltype(work());
  struct Awaiter {
    Work& work;
    std::optional<T>& result;
    bool await_ready() const { return false; }
    void await_suspend(std::coroutine_handle<> handle) {
      Loop* loop = Loop::current();
      CHECK(loop != nullptr);
      submit_blocking([this, loop, handle] {
        result.emplace(work());
        loop->post([handle] { handle.resume(); });
      });
    }
    void await_resume() const {}
  };
  std::optional<T> result;
  co_await Awaiter{work, result};
  co_return std::move(*result);
}

// A loop on a thread of its own, joined on destruction (after stop()).
class LoopThread {
 public:
  explicit LoopThread(std::string name);
  ~LoopThread();
  Loop& loop() { return loop_; }

 private:
  Loop loop_;
  std::thread thread_;
};

namespace internal {
void block_on_void(Loop& loop, Task<void> task);
}  // namespace internal

// Runs `task` to its end on `loop`, and waits for it on the calling thread, which must not be a loop's: for main() and
// for tests. When no thread runs `loop`, use run_to_end.
template <typename T>
T block_on(Loop& loop, Task<T> task) {
  if constexpr (std::is_void_v<T>) {
    internal::block_on_void(loop, std::move(task));
  } else {
    std::optional<T> result;
    auto wrap = [](Task<T> inner, std::optional<T>& out) -> Task<void> { out.emplace(co_await std::move(inner)); };
    internal::block_on_void(loop, wrap(std::move(task), result));
    return std::move(*result);
  }
}

}  // namespace vitrail::net
