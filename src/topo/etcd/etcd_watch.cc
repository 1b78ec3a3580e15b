#include "topo/etcd/etcd_watch.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "base/random.h"

namespace vitrail::topo::etcd {

using namespace std::chrono_literals;

namespace {

constexpr base::Duration kBackoffMin = 100ms;
constexpr base::Duration kBackoffMax = 1s;
constexpr base::Duration kConfirmWithin = 2s;
constexpr int kDrainMax = 1'000;  // Messages put together into one answer.

}  // namespace

EtcdWatch::EtcdWatch(std::shared_ptr<Session> session, Target target, int64_t revision,
                     std::optional<std::vector<Change>> initial)
    : session_(std::move(session)),
      target_(std::move(target)),
      next_revision_(revision + 1),
      initial_(std::move(initial)),
      interruptible_(session_) {}

net::Task<Status> EtcdWatch::start(net::Wait wait) {
  const Interruptible::Wait inner(interruptible_, wait);
  CO_RETURN_IF_ERROR(co_await reopen(inner.get()));
  const auto message = co_await stream_->stream.next(inner.get());
  if (!message.ok()) {
    lose_stream(message.error());
    co_return message.error();
  }
  if (!*message) co_return fail(Code::kUnavailable, "etcd ended a watch as it began");
  co_return take(**message);
}

net::Task<Result<std::vector<Change>>> EtcdWatch::next(net::Wait wait) {
  if (interruptible_.closed()) co_return session_->closed_error();
  if (dead_) co_return *dead_;
  if (initial_) {
    std::vector<Change> initial = std::move(*initial_);
    initial_.reset();
    co_return initial;
  }
  const Interruptible::Wait inner(interruptible_, wait);
  auto changes = co_await read(inner.get());
  if (interruptible_.closed()) co_return session_->closed_error();
  co_return changes;
}

net::Task<Result<std::vector<Change>>> EtcdWatch::read(net::Wait wait) {
  const auto over = [&wait] { return wait.cancel.cancelled() || base::system_clock().now() >= wait.deadline; };
  while (pending_.empty()) {
    if (!stream_) {
      const Status opened = co_await reopen(wait);
      if (!opened.ok() && (dead_ || over())) co_return opened.error();
      if (!opened.ok()) {
        lose_stream(opened.error());
        continue;
      }
    }
    // A server that hung when the stream was opened may never speak of it.
    net::Wait until = wait;
    if (!confirmed_) until.deadline = std::min(until.deadline, opened_at_ + kConfirmWithin);
    auto message = co_await stream_->stream.next(until);
    if (!message.ok() && over()) co_return std::move(message).error();
    if (!message.ok() || !*message) {
      lose_stream(message.ok() ? fail(Code::kUnavailable, "etcd ended the stream") : message.error());
      continue;
    }
    CO_RETURN_IF_ERROR(take(**message));
    // What came in the meantime: one answer instead of many.
    for (int i = 0; i < kDrainMax && stream_; ++i) {
      auto more = co_await stream_->stream.next(net::Wait::until(base::system_clock().now(), wait.cancel));
      if (!more.ok() || !*more) break;  // Nothing there, or the end, which the next read finds again.
      CO_RETURN_IF_ERROR(take(**more));
    }
  }
  std::vector<Change> answer;
  answer.reserve(pending_.size());
  for (auto& [path, change] : pending_) answer.push_back(std::move(change));
  pending_.clear();
  co_return answer;
}

// Pauses after a failure, then opens a stream. Whether the server likes it shows with the stream's first message.
net::Task<Status> EtcdWatch::reopen(net::Wait wait) {
  if (lost_since_) {
    const auto now = base::system_clock().now();
    if (now - *lost_since_ > kResumeFor) {
      co_return die("etcd at " + session_->client->addresses() + " cannot be reached");
    }
    // Who waits only for moments must see the pause end, too: it is not begun anew with each wait.
    if (retry_at_ >= wait.deadline) {
      // Let the caller's wait end as if it had been for a message.
      (void)co_await net::sleep_for(std::max<base::Duration>(wait.deadline - now, 0ns), wait.cancel);
      co_return wait.cancel.cancelled() ? fail(Code::kCanceled, "the watch was cancelled")
                                        : fail(Code::kDeadlineExceeded, "nothing changed in time");
    }
    if (now < retry_at_) CO_RETURN_IF_ERROR(co_await net::sleep_for(retry_at_ - now, wait.cancel));
  }
  etcdserverpb::WatchCreateRequest request;
  if (target_.recursive) {
    set_prefix(request, target_.key);
  } else {
    request.set_key(target_.key);
  }
  request.set_start_revision(next_revision_);
  request.set_progress_notify(true);
  request.set_fragment(true);
  auto opened = co_await session_->client->open_watch(std::move(request), wait);
  if (!opened.ok()) co_return std::move(opened).error();
  stream_.emplace(std::move(*opened));
  opened_at_ = base::system_clock().now();
  confirmed_ = false;
  co_return Status{};
}

void EtcdWatch::lose_stream(const Error& why) {
  if (stream_) session_->client->report_failure(stream_->server);
  stream_.reset();
  if (!lost_since_) lost_since_ = base::system_clock().now();
  backoff_ = std::clamp(backoff_ * 2, kBackoffMin, kBackoffMax);
  const auto half = static_cast<uint64_t>(backoff_.count() / 2);
  retry_at_ =
      base::system_clock().now() + base::Duration(static_cast<int64_t>(half + base::system_random().below(half)));
}

Error EtcdWatch::die(std::string why) {
  stream_.reset();
  dead_ = fail(Code::kUnavailable, "the watch on " + target_.key + " ended: " + std::move(why));
  return *dead_;
}

Status EtcdWatch::take(const std::string& bytes) {
  etcdserverpb::WatchResponse response;
  if (!response.ParseFromString(bytes)) return die("unreadable answer of etcd");
  if (response.compact_revision() > 0) return die("etcd has forgotten the changes since it was last there");
  if (response.canceled()) {
    if (response.cancel_reason().find("leader") == std::string::npos) return die("etcd: " + response.cancel_reason());
    lose_stream(fail(Code::kUnavailable, response.cancel_reason()));
    return {};
  }
  confirmed_ = true;
  lost_since_.reset();
  backoff_ = {};
  for (etcdserverpb::Event& event : *response.mutable_events()) {
    etcdserverpb::KeyValue& kv = *event.mutable_kv();
    const bool deleted = event.type() == etcdserverpb::Event::DELETE;
    if (!response.fragment()) next_revision_ = std::max(next_revision_, kv.mod_revision() + 1);
    if (!kv.key().starts_with(session_->prefix)) continue;
    std::string path = kv.key().substr(session_->prefix.size());
    // A deletion does not say whether the key had a lease.
    const bool lock = kv.lease() != 0 || (deleted && is_lock_entry(path));
    if (lock && !target_.locks) continue;
    Change& change = pending_[path];
    change.path = std::move(path);
    change.record.reset();
    if (!deleted) {
      change.record = Record{std::move(*kv.mutable_value()), Version{static_cast<uint64_t>(kv.mod_revision())}};
    }
  }
  // Without events: a sign that everything up to here was sent.
  if (response.events().empty() && !response.created()) {
    next_revision_ = std::max(next_revision_, response.header().revision() + 1);
  }
  return {};
}

}  // namespace vitrail::topo::etcd
