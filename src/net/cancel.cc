#include "net/cancel.h"

namespace vitrail::net {
namespace internal {

CancelState::CancelState() {
  head.prev_ = &head;
  head.next_ = &head;
}

CancelState::~CancelState() {
  while (head.next_ != &head) head.next_->unlink();
  head.prev_ = head.next_ = nullptr;
}

void CancelState::add(CancelNode& node) {
  node.prev_ = head.prev_;
  node.next_ = &head;
  head.prev_->next_ = &node;
  head.prev_ = &node;
}

void CancelState::cancel() {
  if (requested) return;
  requested = true;
  while (head.next_ != &head) {
    CancelNode* node = head.next_;
    node->unlink();
    node->on_cancel();
  }
}

}  // namespace internal

class CancelSource::Link final : public internal::CancelNode {
 public:
  explicit Link(internal::CancelState& state) : state_(state) {}
  void on_cancel() override { state_.cancel(); }

 private:
  internal::CancelState& state_;
};

CancelSource::CancelSource() : state_(std::make_shared<internal::CancelState>()) {}

CancelSource::CancelSource(const CancelToken& parent) : CancelSource() {
  if (parent.state() == nullptr) return;
  if (parent.cancelled()) {
    state_->requested = true;
    return;
  }
  link_ = std::make_unique<Link>(*state_);
  parent.state()->add(*link_);
}

CancelSource::~CancelSource() = default;

void CancelSource::cancel() {
  const auto keep = state_;  // A waiter may destroy this source.
  keep->cancel();
}

Wait Wait::within(base::Duration timeout, CancelToken cancel) {
  return {base::system_clock().now() + timeout, std::move(cancel)};
}

}  // namespace vitrail::net
