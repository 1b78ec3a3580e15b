#pragma once

#include <vector>

#include "net/loop.h"
#include "net/sync.h"

namespace vitrail::net {

// Holds background tasks and awaits their end: start -> request_stop -> join, the same lines in every component.
//
//   Owns    : the spawned tasks. Before destruction join() must have returned (checked).
//   Threads : confined to the loop on which it is used.
//   Cancel  : request_stop() cancels token(), which the tasks are expected to pass to their waits.
class Scope {
 public:
  Scope() = default;
  explicit Scope(const CancelToken& parent) : cancel_(parent) {}
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;
  ~Scope();

  // Starts `task` now; it runs until its first wait before spawn() returns.
  void spawn(Task<void> task);
  CancelToken token() const { return cancel_.token(); }
  bool stopping() const { return cancel_.cancelled(); }
  void request_stop() { cancel_.cancel(); }
  // Waits until every task has ended. Does not itself ask them to stop.
  Task<void> join();
  size_t running() const { return running_; }

 private:
  CancelSource cancel_;
  size_t running_ = 0;
  internal::WaitQueue idle_;
};

// Runs all tasks at the same time on this loop and waits for all of them.
Task<void> when_all(std::vector<Task<void>> tasks);

}  // namespace vitrail::net
