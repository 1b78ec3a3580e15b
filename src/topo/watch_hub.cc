#include "topo/watch_hub.h"

namespace vitrail::topo::internal {

bool WatchHub::Filter::matches(std::string_view changed, bool changed_is_ephemeral) const {
  if (ephemeral != changed_is_ephemeral) return false;
  if (!recursive) return changed == path;
  if (path.empty()) return true;
  return changed.size() > path.size() && changed.starts_with(path) && changed[path.size()] == '/';
}

WatchHub::Subscription::Subscription(std::shared_ptr<WatchHub> hub, Filter filter, size_t root_length)
    : hub_(std::move(hub)), filter_(std::move(filter)), root_length_(root_length), state_(std::make_shared<State>()) {
  state_->loop = net::Loop::current();
  CHECK(state_->loop != nullptr);
}

WatchHub::Subscription::~Subscription() {
  // From here on nobody posts to the loop for this watch.
  const std::lock_guard lock(hub_->mutex_);
  hub_->subscriptions_.erase(this);
}

std::unique_ptr<WatchHub::Subscription> WatchHub::subscribe(Filter filter, std::string_view root) {
  auto subscription =
      std::make_unique<Subscription>(shared_from_this(), std::move(filter), root.empty() ? 0 : root.size() + 1);
  const std::lock_guard lock(mutex_);
  subscriptions_.insert(subscription.get());
  return subscription;
}

void WatchHub::Subscription::start(const TreeSnapshot& snapshot, bool initial) {
  const std::lock_guard lock(hub_->mutex_);
  std::erase_if(state_->pending, [&](const auto& item) { return item.second.revision <= snapshot.revision; });
  std::map<std::string, uint64_t> newer;
  newer.swap(state_->known);
  for (const TreeChange& record : snapshot.records) {
    state_->known.emplace(record.path, record.revision);
    if (!initial || state_->pending.contains(record.path)) continue;
    state_->pending.emplace(record.path, Pending{Record{*record.data, Version{record.revision}}, record.revision});
  }
  for (const auto& [path, pending] : state_->pending) {
    if (pending.record) {
      state_->known[path] = pending.revision;
    } else {
      state_->known.erase(path);
    }
  }
  if (initial && !filter_.recursive && state_->pending.empty()) {
    state_->pending.emplace(filter_.path, Pending{std::nullopt, snapshot.revision});
  }
  state_->started = true;
  state_->start_revision = snapshot.revision;
  state_->deliver = initial || !state_->pending.empty();
}

net::Task<Result<std::vector<Change>>> WatchHub::Subscription::next(net::Wait wait) {
  // The state outlives this coroutine's waits even if an error path destroys the watch.
  const std::shared_ptr<State> state = state_;
  for (;;) {
    {
      const std::lock_guard lock(hub_->mutex_);
      if (state->dead) co_return *state->dead;
      if (state->deliver) {
        std::vector<Change> changes;
        changes.reserve(state->pending.size());
        for (auto& [path, pending] : state->pending) {
          changes.push_back(Change{path.substr(root_length_), std::move(pending.record)});
        }
        state->pending.clear();
        state->deliver = false;
        co_return changes;
      }
    }
    CO_RETURN_IF_ERROR(co_await state->changed.wait(wait));
  }
}

bool WatchHub::wants(std::string_view path, bool ephemeral) const {
  const std::lock_guard lock(mutex_);
  for (const Subscription* subscription : subscriptions_) {
    if (subscription->filter_.matches(path, ephemeral)) return true;
  }
  return false;
}

void WatchHub::put_locked(Subscription& subscription, const TreeChange& change) {
  auto& state = *subscription.state_;
  if (state.started && change.revision <= state.start_revision) return;
  auto& pending = state.pending[change.path];
  pending.revision = change.revision;
  if (change.data) {
    pending.record = Record{*change.data, Version{change.revision}};
    state.known[change.path] = change.revision;
  } else {
    pending.record.reset();
    state.known.erase(change.path);
  }
  if (!state.started) return;
  state.deliver = true;
  wake_locked(subscription);
}

void WatchHub::wake_locked(Subscription& subscription) {
  auto& state = *subscription.state_;
  if (state.wake_posted) return;
  state.wake_posted = true;
  state.loop->post([hub = subscription.hub_, shared = subscription.state_] {
    {
      const std::lock_guard lock(hub->mutex_);
      shared->wake_posted = false;
    }
    shared->changed.notify_all();
  });
}

void WatchHub::publish(const std::vector<TreeChange>& changes) {
  const std::lock_guard lock(mutex_);
  for (Subscription* subscription : subscriptions_) {
    for (const TreeChange& change : changes) {
      if (subscription->filter_.matches(change.path, change.ephemeral)) put_locked(*subscription, change);
    }
  }
}

void WatchHub::resync(const TreeSnapshot& whole) {
  const std::lock_guard lock(mutex_);
  std::map<std::string_view, const TreeChange*> present;
  for (const TreeChange& record : whole.records) present.emplace(record.path, &record);
  for (Subscription* subscription : subscriptions_) {
    auto& state = *subscription->state_;
    for (const TreeChange& record : whole.records) {
      if (!subscription->filter_.matches(record.path, record.ephemeral)) continue;
      const auto known = state.known.find(record.path);
      if (known == state.known.end() || known->second < record.revision) put_locked(*subscription, record);
    }
    std::vector<std::string> gone;
    for (const auto& [path, revision] : state.known) {
      if (revision <= whole.revision && !present.contains(path)) gone.push_back(path);
    }
    for (auto& path : gone) {
      put_locked(*subscription, TreeChange{.path = std::move(path), .data = {}, .revision = whole.revision});
    }
  }
}

void WatchHub::end(Subscription& subscription, const Error& why) {
  const std::lock_guard lock(mutex_);
  end_locked(subscription, why);
}

void WatchHub::end_all(const Error& why) {
  const std::lock_guard lock(mutex_);
  for (Subscription* subscription : subscriptions_) end_locked(*subscription, why);
}

void WatchHub::end_locked(Subscription& subscription, const Error& why) {
  if (subscription.state_->dead) return;
  subscription.state_->dead = why;
  wake_locked(subscription);
}

}  // namespace vitrail::topo::internal
