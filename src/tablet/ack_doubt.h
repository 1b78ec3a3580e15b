#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <utility>

#include "base/clock.h"

namespace vitrail::tablet {

// Whether the OK of a commit may be believed where commits wait for a replica's acknowledgement.
//
// MariaDB commits in groups, and one session waits for the acknowledgement of its whole group. When that session is
// killed, the other ones' statements are answered with OK although no replica has them (10.11: of 240 commits of killed
// groups 23). So an OK that comes while a KILL is under way, or behind one that was not over when the statement was
// sent, is in doubt: it is passed on only when a later commit was acknowledged, which says that all before it are
// there (ServerKiller::confirm_commits).
//
// A session that goes on for longer than kLasts behind its KILL is taken for one that rolls back, which may take
// minutes, and is not waited for: one that leads a group is let go by the KILL at once.
//
//   Threads: any.
class AckDoubt {
 public:
  static constexpr base::Duration kLasts = std::chrono::seconds(1);

  // A KILL, from before it is sent until its session has ended what it did.
  class Kill {
   public:
    explicit Kill(AckDoubt* doubt, base::TimePoint now = base::system_clock().now()) : doubt_(doubt) {
      if (doubt_ == nullptr) return;
      const std::scoped_lock lock(doubt_->mutex_);
      number_ = ++doubt_->begun_;
      doubt_->under_way_.emplace(number_, now);
      doubt_->any_ = true;
    }
    Kill(Kill&& other) noexcept : doubt_(std::exchange(other.doubt_, nullptr)), number_(other.number_) {}
    Kill& operator=(Kill&& other) noexcept {
      std::swap(doubt_, other.doubt_);
      std::swap(number_, other.number_);
      return *this;
    }
    ~Kill() {
      if (doubt_ == nullptr) return;
      const std::scoped_lock lock(doubt_->mutex_);
      doubt_->under_way_.erase(number_);
      doubt_->any_ = !doubt_->under_way_.empty();
    }

   private:
    AckDoubt* doubt_;
    uint64_t number_ = 0;
  };

  // Taken before a statement is sent. Its OK is to be believed when begun() is this number still.
  uint64_t mark() { return any_ ? mark(base::system_clock().now()) : begun_.load(); }
  uint64_t mark(base::TimePoint now) {
    const std::scoped_lock lock(mutex_);
    std::erase_if(under_way_, [now](const auto& kill) { return now - kill.second > kLasts; });
    any_ = !under_way_.empty();
    return begun_ - under_way_.size();
  }
  const std::atomic<uint64_t>& begun() const { return begun_; }

 private:
  std::atomic<uint64_t> begun_ = 0;
  std::atomic<bool> any_ = false;  // Whether there is something in `under_way_`: asked for each statement.
  std::mutex mutex_;
  std::map<uint64_t, base::TimePoint> under_way_;  // By number.
};

}  // namespace vitrail::tablet
