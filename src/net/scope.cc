#include "net/scope.h"

namespace vitrail::net {
namespace {

// Starts at once and frees itself at its end.
struct Detached {
  struct promise_type {
    Detached get_return_object() { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() noexcept { base::check_failed("scope.cc", 0, "an exception left a coroutine"); }
  };
};

Detached run(Task<void> task, size_t& running, internal::WaitQueue& idle) {
  {
    Task<void> owned = std::move(task);  // Its frame and arguments are gone before the count falls.
    co_await std::move(owned);
  }
  if (--running == 0) idle.wake_all();
}

}  // namespace

Scope::~Scope() { CHECK(running_ == 0); }

void Scope::spawn(Task<void> task) {
  ++running_;
  run(std::move(task), running_, idle_);
}

Task<void> Scope::join() {
  while (running_ > 0) {
    const Wait forever;
    (void)co_await idle_.wait(forever, "join");
  }
}

Task<void> when_all(std::vector<Task<void>> tasks) {
  Scope scope;
  for (auto& task : tasks) scope.spawn(std::move(task));
  co_await scope.join();
}

}  // namespace vitrail::net
