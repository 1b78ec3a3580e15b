#pragma once

#include <memory>

#include "base/clock.h"

namespace vitrail::net {

namespace internal {

// A link in a CancelSource's list of those who want to hear of its cancellation.
class CancelNode {
 public:
  CancelNode() = default;
  CancelNode(const CancelNode&) = delete;
  CancelNode& operator=(const CancelNode&) = delete;
  virtual ~CancelNode() { unlink(); }
  virtual void on_cancel() = 0;
  bool linked() const { return next_ != nullptr; }
  void unlink() {
    if (next_ == nullptr) return;
    prev_->next_ = next_;
    next_->prev_ = prev_;
    next_ = prev_ = nullptr;
  }

 private:
  friend struct CancelState;
  CancelNode* prev_ = nullptr;
  CancelNode* next_ = nullptr;
};

struct CancelState {
  struct Head final : CancelNode {
    void on_cancel() override {}
  };
  bool requested = false;
  Head head;

  CancelState();
  ~CancelState();
  void add(CancelNode& node);
  void cancel();
};

}  // namespace internal

// Tells waits that they are no longer wanted. Copies share one state; a default-made token never cancels.
//   Threads: source, tokens and the waits that use them belong to one loop; from another thread, post the cancel()
//   there.
class CancelToken {
 public:
  CancelToken() = default;
  bool cancelled() const { return state_ && state_->requested; }
  internal::CancelState* state() const { return state_.get(); }

 private:
  friend class CancelSource;
  explicit CancelToken(std::shared_ptr<internal::CancelState> state) : state_(std::move(state)) {}
  std::shared_ptr<internal::CancelState> state_;
};

class CancelSource {
 public:
  CancelSource();
  // Cancelled also when `parent` is.
  explicit CancelSource(const CancelToken& parent);
  ~CancelSource();
  CancelSource(const CancelSource&) = delete;
  CancelSource& operator=(const CancelSource&) = delete;

  void cancel();
  bool cancelled() const { return state_->requested; }
  CancelToken token() const { return CancelToken(state_); }

 private:
  class Link;
  std::shared_ptr<internal::CancelState> state_;
  std::unique_ptr<Link> link_;
};

// How long to wait, and whether still to. Every wait takes one; both parts may be left out only where the header of the
// caller says what else ends the wait.
//   kDeadlineExceeded past the deadline, kCanceled when the token is cancelled.
struct Wait {
  base::TimePoint deadline = base::TimePoint::max();
  CancelToken cancel = {};
  // Not 0: instead of the deadline, how long each single wait may take from its beginning.
  base::Duration each = base::Duration::zero();

  static Wait until(base::TimePoint deadline, CancelToken cancel = {}) { return {deadline, std::move(cancel)}; }
  // From now on the real clock.
  static Wait within(base::Duration timeout, CancelToken cancel = {});
};

}  // namespace vitrail::net
