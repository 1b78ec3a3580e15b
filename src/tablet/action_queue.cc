#include "tablet/action_queue.h"

#include <fmt/core.h>

#include <algorithm>

namespace vitrail::tablet {

net::Task<Result<ActionQueue::Turn>> ActionQueue::enter(std::string name, net::Wait wait) {
  if (waiting_ >= options_.waiting_max) {
    co_return fail(Code::kResourceExhausted,
                   fmt::format("{}: {} changes of the tablet's state wait for {} already", name, waiting_, running_));
  }
  ++waiting_;
  auto guard = co_await mutex_.lock(wait);
  --waiting_;
  if (!guard.ok()) {
    co_return std::move(guard).error().with_context(fmt::format("{} waits for {}", name, running_));
  }
  running_ = std::move(name);
  wait.deadline = std::min(wait.deadline, base::system_clock().now() + options_.longest);
  wait.cancel = stop_;
  co_return Turn(this, std::move(wait), std::move(*guard));
}

}  // namespace vitrail::tablet
