#pragma once

#include <string>

#include "base/result.h"
#include "net/sync.h"

namespace vitrail::tablet {

// The changes of a tablet's state: one at a time, in the order in which they were asked for, each with an end.
//
//   Threads: one loop. Bounds: `waiting_max` in the queue; who holds a turn may go on for `longest` at most.
class ActionQueue {
 public:
  struct Options {
    size_t waiting_max = 64;
    base::Duration longest = std::chrono::minutes(10);
  };
  // The right to change the state until it ends.
  class Turn {
   public:
    Turn(Turn&& other) noexcept
        : queue_(std::exchange(other.queue_, nullptr)),
          wait_(std::move(other.wait_)),
          guard_(std::move(other.guard_)) {}
    Turn& operator=(Turn&&) = delete;
    ~Turn() {
      if (queue_ != nullptr) queue_->running_.clear();
    }
    // For what is done in this turn: until the asker's deadline. It goes on when the asker has gone away, for half a
    // change is worse than one that nobody waits for; and ends when the tablet stops.
    const net::Wait& wait() const { return wait_; }

   private:
    friend class ActionQueue;
    Turn(ActionQueue* queue, net::Wait wait, net::Mutex::Guard guard)
        : queue_(queue), wait_(std::move(wait)), guard_(std::move(guard)) {}
    ActionQueue* queue_;
    net::Wait wait_;
    net::Mutex::Guard guard_;
  };

  explicit ActionQueue(net::CancelToken stop) : ActionQueue(std::move(stop), Options()) {}
  ActionQueue(net::CancelToken stop, Options options) : stop_(std::move(stop)), options_(options) {}

  // Waits for its turn.
  //   kDeadlineExceeded: what was asked for before took too long; the message names it. kResourceExhausted: too many
  //   wait. kCanceled: the asker went away while it waited.
  net::Task<Result<Turn>> enter(std::string name, net::Wait wait);
  // What is being done: "DemotePrimary"; empty: nothing.
  const std::string& running() const { return running_; }
  size_t waiting() const { return waiting_; }

 private:
  const net::CancelToken stop_;
  const Options options_;
  net::Mutex mutex_;
  std::string running_;
  size_t waiting_ = 0;
};

}  // namespace vitrail::tablet
