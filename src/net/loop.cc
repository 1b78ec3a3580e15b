#include "net/loop.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <deque>

#include "net/turn_end.h"

namespace vitrail::net {
namespace {

thread_local Loop* current_loop = nullptr;

constexpr uint32_t kEvents = EPOLLIN | EPOLLRDHUP | EPOLLET;  // Of every descriptor, all the time.

thread_local std::vector<std::coroutine_handle<>> at_turn_end;

void end_turn() {
  static thread_local std::vector<std::coroutine_handle<>> now;
  while (!at_turn_end.empty()) {
    now.swap(at_turn_end);
    for (const auto handle : now) handle.resume();
    now.clear();
  }
}

// The helper threads behind offload(): started on demand, never more than kMaxBlockingThreads.
class BlockingPool {
 public:
  void submit(std::move_only_function<void()> job) {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
    if (idle_ == 0 && threads_ < kMaxBlockingThreads) {
      ++threads_;
      std::thread([this] { work(); }).detach();  // Lives as long as the process; holds nothing between jobs.
    } else {
      ready_.notify_one();
    }
  }

 private:
  void work() {
    pthread_setname_np(pthread_self(), "blocking");
    std::unique_lock lock(mutex_);
    for (;;) {
      ++idle_;
      ready_.wait(lock, [this] { return !jobs_.empty(); });
      --idle_;
      auto job = std::move(jobs_.front());
      jobs_.pop_front();
      lock.unlock();
      job();
      job = nullptr;
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<std::move_only_function<void()>> jobs_;
  int threads_ = 0;
  int idle_ = 0;
};

BlockingPool& blocking_pool() {
  static auto* const pool = new BlockingPool;  // Never destroyed: its threads may still run at exit.
  return *pool;
}

}  // namespace

namespace internal {

bool Waiter::arm(Loop& loop, std::coroutine_handle<> handle, const Wait& wait) {
  loop_ = &loop;
  handle_ = handle;
  outcome_ = Outcome::kPending;
  if (CancelState* state = wait.cancel.state()) {
    if (state->requested) {
      outcome_ = Outcome::kCancelled;
      abandon();
      return false;
    }
    state->add(*this);
  }
  deadline_ = wait.each > base::Duration::zero() ? base::system_clock().now() + wait.each : wait.deadline;
  if (deadline_ != base::TimePoint::max()) loop.add_timer(*this);
  return true;
}

void Waiter::finish(Outcome outcome) {
  if (outcome_ != Outcome::kPending) return;
  outcome_ = outcome;
  unlink();
  if (heap_index_ != kNoTimer) loop_->remove_timer(*this);
  if (outcome != Outcome::kDone) abandon();
  loop_->resume_soon(handle_);
}

Error Waiter::error(std::string_view what) const {
  if (outcome_ == Outcome::kCancelled) return Error(Code::kCanceled, std::string(what) + " was cancelled");
  return Error(Code::kDeadlineExceeded, std::string(what) + " took longer than allowed");
}

void block_on_void(Loop& loop, Task<void> task) {
  CHECK(Loop::current() == nullptr);
  struct Done {
    std::mutex mutex;
    std::condition_variable changed;
    bool done = false;
  } done;
  // A coroutine that starts at once, frees itself at its end, and then tells the waiting thread.
  struct Root {
    struct promise_type {
      Root get_return_object() { return {}; }
      std::suspend_never initial_suspend() noexcept { return {}; }
      std::suspend_never final_suspend() noexcept { return {}; }
      void return_void() {}
      void unhandled_exception() noexcept { base::check_failed("loop.cc", 0, "an exception left a coroutine"); }
    };
  };
  auto start = [](Task<void> inner, Done& state) -> Root {
    co_await std::move(inner);
    const std::lock_guard lock(state.mutex);
    state.done = true;
    state.changed.notify_all();
  };
  loop.post([&] { start(std::move(task), done); });
  std::unique_lock lock(done.mutex);
  done.changed.wait(lock, [&] { return done.done; });
}

}  // namespace internal

void resume_at_turn_end(std::coroutine_handle<> handle) {
  CHECK(current_loop != nullptr);
  at_turn_end.push_back(handle);
}

void submit_blocking(std::move_only_function<void()> job) { blocking_pool().submit(std::move(job)); }

Loop::Loop() {
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  wakeup_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  CHECK(epoll_ >= 0 && wakeup_ >= 0);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = nullptr;
  CHECK(epoll_ctl(epoll_, EPOLL_CTL_ADD, wakeup_, &event) == 0);
}

Loop::~Loop() {
  close(wakeup_);
  close(epoll_);
}

Loop* Loop::current() { return current_loop; }

void Loop::post(std::move_only_function<void()> work) {
  const std::lock_guard lock(posted_mutex_);
  posted_.push_back(std::move(work));
  if (!wake_pending_) {
    wake_pending_ = true;
    wake();
  }
}

void Loop::stop() {
  post([this] { stopped_ = true; });
}

void Loop::wake() {
  const uint64_t one = 1;
  const ssize_t written = write(wakeup_, &one, sizeof one);
  CHECK(written == sizeof one || errno == EAGAIN);
}

Status Loop::watch(internal::IoState& io) {
  epoll_event event{};
  event.events = kEvents;
  event.data.ptr = &io;
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, io.fd, &event) != 0) {
    return fail(Code::kUnavailable, std::string("cannot watch a descriptor: ") + std::strerror(errno));
  }
  return {};
}

void Loop::set_events(internal::IoState& io, bool writable) {
  epoll_event event{};
  event.events = writable ? kEvents | EPOLLOUT : kEvents;
  event.data.ptr = &io;
  io.tells_writable = writable;
  CHECK(epoll_ctl(epoll_, EPOLL_CTL_MOD, io.fd, &event) == 0);
}

void Loop::watch_writable(internal::IoState& io) {
  // What has become possible since the write failed is told at once.
  if (!io.tells_writable) set_events(io, true);
}

void Loop::unwatch(internal::IoState& io) {
  epoll_event event{};
  epoll_ctl(epoll_, EPOLL_CTL_DEL, io.fd, &event);
}

void Loop::run() {
  CHECK(current_loop == nullptr);
  current_loop = this;
  stopped_ = false;
  std::array<epoll_event, 128> events;
  while (!stopped_) {
    run_ready();
    const auto now = timers_.empty() ? base::TimePoint() : base::system_clock().now();
    run_timers(now);
    end_turn();
    const int count = epoll_wait(epoll_, events.data(), events.size(), timeout_ms(now));
    CHECK(count >= 0 || errno == EINTR);
    // First note everything, then resume: a coroutine that runs now may close a descriptor of a later event.
    bool posted = false;
    for (int i = 0; i < count; ++i) {
      auto* io = static_cast<internal::IoState*>(events[i].data.ptr);
      if (io == nullptr) {
        posted = true;
        continue;
      }
      const uint32_t flags = events[i].events;
      if (flags & (EPOLLHUP | EPOLLRDHUP | EPOLLERR)) {
        io->hung_up = true;
        if (io->on_hang_up != nullptr) io->on_hang_up->cancel();
      }
      if (flags & (EPOLLIN | EPOLLHUP | EPOLLRDHUP | EPOLLERR)) {
        io->readable = true;
        if (io->reader != nullptr && io->reader->perform()) std::exchange(io->reader, nullptr)->complete();
      }
      if (flags & (EPOLLOUT | EPOLLHUP | EPOLLERR)) {
        if (io->writer != nullptr) {
          if (io->writer->perform()) std::exchange(io->writer, nullptr)->complete();
        } else if (io->tells_writable) {
          set_events(*io, false);  // Nobody has waited since: the stall is over.
        }
      }
    }
    if (posted) run_posted();
  }
  current_loop = nullptr;
}

void Loop::run_ready() {
  // Only what is ready now: what these make ready runs after the next look at timers and descriptors.
  running_.swap(ready_);
  for (const auto handle : running_) handle.resume();
  running_.clear();
}

void Loop::run_posted() {
  uint64_t count;
  const ssize_t got = read(wakeup_, &count, sizeof count);
  CHECK(got == sizeof count || errno == EAGAIN);
  std::vector<std::move_only_function<void()>> work;
  {
    const std::lock_guard lock(posted_mutex_);
    work.swap(posted_);
    wake_pending_ = false;
  }
  for (auto& item : work) item();
}

void Loop::run_timers(base::TimePoint now) {
  while (!timers_.empty() && timers_.front()->deadline_ <= now) {
    timers_.front()->finish(internal::Waiter::Outcome::kTimedOut);
  }
}

int Loop::timeout_ms(base::TimePoint now) const {
  if (!ready_.empty()) return 0;
  if (timers_.empty()) return -1;
  const auto left = timers_.front()->deadline_ - now;
  if (left.count() <= 0) return 0;
  const auto ms = std::chrono::ceil<std::chrono::milliseconds>(left).count();
  return static_cast<int>(std::min<int64_t>(ms, 1'000'000));
}

void Loop::add_timer(internal::Waiter& waiter) {
  waiter.heap_index_ = timers_.size();
  timers_.push_back(&waiter);
  sift_up(waiter.heap_index_);
}

void Loop::remove_timer(internal::Waiter& waiter) {
  const size_t index = waiter.heap_index_;
  waiter.heap_index_ = internal::Waiter::kNoTimer;
  internal::Waiter* last = timers_.back();
  timers_.pop_back();
  if (last == &waiter) return;
  timers_[index] = last;
  last->heap_index_ = index;
  sift_up(index);
  sift_down(last->heap_index_);
}

void Loop::sift_up(size_t index) {
  while (index > 0) {
    const size_t parent = (index - 1) / 2;
    if (timers_[parent]->deadline_ <= timers_[index]->deadline_) return;
    std::swap(timers_[parent], timers_[index]);
    timers_[parent]->heap_index_ = parent;
    timers_[index]->heap_index_ = index;
    index = parent;
  }
}

void Loop::sift_down(size_t index) {
  for (;;) {
    size_t least = index;
    for (const size_t child : {2 * index + 1, 2 * index + 2}) {
      if (child < timers_.size() && timers_[child]->deadline_ < timers_[least]->deadline_) least = child;
    }
    if (least == index) return;
    std::swap(timers_[least], timers_[index]);
    timers_[least]->heap_index_ = least;
    timers_[index]->heap_index_ = index;
    index = least;
  }
}

Task<Status> sleep_for(base::Duration duration, CancelToken cancel) {
  struct Sleep : internal::Waiter {
    const Wait& wait;
    explicit Sleep(const Wait& w) : wait(w) {}
    bool await_ready() const { return false; }
    bool await_suspend(std::coroutine_handle<> handle) { return arm(*Loop::current(), handle, wait); }
    void await_resume() const {}
  };
  const Wait wait = Wait::within(duration, std::move(cancel));
  Sleep sleep(wait);
  co_await sleep;
  if (sleep.outcome() == internal::Waiter::Outcome::kCancelled) co_return sleep.error("sleep");
  co_return Status{};
}

LoopThread::LoopThread(std::string name) {
  thread_ = std::thread([this, name = std::move(name)] {
    pthread_setname_np(pthread_self(), name.substr(0, 15).c_str());
    loop_.run();
  });
}

LoopThread::~LoopThread() {
  loop_.stop();
  thread_.join();
}

}  // namespace vitrail::net
