#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

namespace vitrail::tablet {

// Whether the OK of a commit may be believed where commits wait for a replica's acknowledgement.
//
// MariaDB commits in groups, and one session waits for the acknowledgement of its whole group. When that session is
// killed, the other ones' statements are answered with OK although no replica has them (10.11: of 240 commits of killed
// groups 23). So an OK that comes while a KILL is under way, or behind one that was not over when the statement was
// sent, is in doubt: it is passed on only when a later commit was acknowledged, which says that all before it are
// there (ServerKiller::confirm_commits).
//
//   Threads: any.
class AckDoubt {
 public:
  // A KILL, from before it is sent until its session has ended what it did.
  class Kill {
   public:
    explicit Kill(AckDoubt* doubt) : doubt_(doubt) {
      if (doubt_ != nullptr) ++doubt_->begun_;
    }
    Kill(Kill&& other) noexcept : doubt_(std::exchange(other.doubt_, nullptr)) {}
    Kill& operator=(Kill&& other) noexcept {
      std::swap(doubt_, other.doubt_);
      return *this;
    }
    ~Kill() {
      if (doubt_ != nullptr) ++doubt_->ended_;
    }

   private:
    AckDoubt* doubt_;
  };

  // Taken before a statement is sent. Its OK is to be believed when begun() is this number still.
  uint64_t mark() const { return ended_; }
  const std::atomic<uint64_t>& begun() const { return begun_; }

 private:
  std::atomic<uint64_t> begun_ = 0;
  std::atomic<uint64_t> ended_ = 0;
};

}  // namespace vitrail::tablet
