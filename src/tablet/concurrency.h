#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/result.h"
#include "net/sync.h"
#include "tablet/pool_patience.h"

// How many statements a saturated server works on at once.
//
// A server whose processors or disks are busy finishes no more when it is given more to do at once: each statement
// takes longer, locks are held for longer, and those that come last wait for all. So while statements queue, fewer are
// let in by way of trial, and that stands if no fewer are finished. If fewer are finished, what they wait for is
// something else (locks, a sleep, a slow client), and the trial is taken back. What waits then waits here, briefly, and
// who would wait for longer is told so at once, to try again.
namespace vitrail::tablet {

struct ConcurrencySettings {
  bool enabled = true;
  size_t least = 4;                                   // Statements that are always let in, per loop.
  base::Duration wait_max = std::chrono::seconds(1);  // In the queue, while fewer are let in than could be.
};

// What was seen at one limit.
struct ConcurrencySample {
  base::Duration took{0};
  uint64_t done = 0;    // Statements.
  bool queued = false;  // Some had to wait.
};

// The limit, and what is being tried.
struct ConcurrencyState {
  enum class Trial : uint8_t { kNone, kFewer, kMore };
  size_t limit = 0;
  Trial trial = Trial::kNone;
  size_t before = 0;       // The limit that the trial began from,
  double rate_before = 0;  // and statements a second at it.
  uint32_t pause = 0;      // Samples until the next trial.
  uint32_t failures = 0;   // Trials that were taken back, one after the other.
  bool more_next = false;  // The next trial is with more.
  friend bool operator==(const ConcurrencyState&, const ConcurrencyState&) = default;
};
// Whether the sample is large enough to be judged: a few statements for each place, so that chance matters little.
bool says_something(const ConcurrencyState& state, const ConcurrencySample& sample);
// So long that nothing of the kind is to be expected: statements that take seconds each.
bool says_nothing(const ConcurrencyState& state, const ConcurrencySample& sample);
// The next state; `most` is the number of connections. Pure.
ConcurrencyState next_concurrency(ConcurrencyState state, const ConcurrencySample& sample, size_t least, size_t most);

// The limit of one event loop.
//   Threads: that loop. Must outlive its places.
class Concurrency {
 public:
  struct Metrics {
    explicit Metrics(base::Metrics& metrics);
    base::Gauge& limit;
    base::Counter &waits, &refused;
  };
  // A statement in the server, until it ends.
  class Place {
   public:
    Place() = default;
    Place(Concurrency* of, bool counted) : of_(of), counted_(counted) {}
    Place(Place&& other) noexcept : of_(std::exchange(other.of_, nullptr)), counted_(other.counted_) {}
    Place& operator=(Place&& other) noexcept {
      std::swap(of_, other.of_);
      std::swap(counted_, other.counted_);
      return *this;
    }
    ~Place() {
      if (of_ != nullptr) of_->leave(counted_);
    }
    explicit operator bool() const { return of_ != nullptr; }

   private:
    Concurrency* of_ = nullptr;
    bool counted_ = false;
  };

  // A statement waits for its turn or its connection.
  class Waiting {
   public:
    explicit Waiting(Concurrency& at) : at_(at) { ++at_.waiting_; }
    ~Waiting() { --at_.waiting_; }
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;

   private:
    Concurrency& at_;
  };

  Concurrency(const ConcurrencySettings& settings, Metrics& metrics) : settings_(settings), metrics_(metrics) {}
  ~Concurrency();
  // How many connections there are: at most so many statements are let in. Before the first enters.
  void set_most(size_t most);

  // A place, if one is free; for a statement that has its connection. `holds`: the statement is of a transaction or
  // other state in the server, which others may wait for: it is let in whatever the limit.
  Place try_enter(bool holds);
  //   kResourceExhausted: the wait was too long, or would be: to be tried again.
  net::Task<Result<Place>> enter(net::Wait wait);

  // How long a statement waits for a connection: `usual`, or what is left to it while the server is saturated.
  base::Duration patience(base::Duration usual) const {
    return state_.limit < most_ ? std::min(usual, settings_.wait_max) : usual;
  }

  size_t limit() const { return state_.limit; }
  size_t running() const { return running_; }

 private:
  void leave(bool counted);
  void judge();
  void set_limit(size_t limit);

  const ConcurrencySettings& settings_;
  Metrics& metrics_;
  size_t most_ = 0;
  net::Semaphore free_{0};
  size_t owed_ = 0;  // Places that vanish when they are left.
  size_t running_ = 0;
  size_t queued_ = 0;   // Wait for a place;
  size_t waiting_ = 0;  // and those who wait for a connection, too.
  size_t peak_ = 0;     // Most that ran at once since the sample began.
  PoolPatience patience_;
  ConcurrencyState state_;
  ConcurrencySample sample_;
  base::TimePoint began_{};
};

}  // namespace vitrail::tablet
