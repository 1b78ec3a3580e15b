#include "tablet/concurrency.h"

#include <fmt/core.h>

#include <algorithm>

namespace vitrail::tablet {

using namespace std::chrono_literals;

namespace {

using Trial = ConcurrencyState::Trial;

constexpr auto kSampleMin = 500ms;
constexpr auto kSampleMax = 10s;
constexpr uint64_t kStatementsPerPlace = 4;
constexpr double kAsMany = 0.97;  // Of the rate before: chance makes as much of a difference.
constexpr double kMore = 1.05;
constexpr uint32_t kPause = 4;       // Samples between trials,
constexpr uint32_t kPauseMax = 256;  // and at most, behind many that were taken back: two minutes and more.

double rate_of(const ConcurrencySample& sample) {
  const double seconds = std::chrono::duration<double>(sample.took).count();
  return seconds > 0 ? static_cast<double>(sample.done) / seconds : 0;
}

ConcurrencyState begin_trial(ConcurrencyState state, double rate, size_t least, size_t most) {
  if (state.pause > 0) {
    --state.pause;
    return state;
  }
  state.more_next = state.limit == least || (state.more_next && state.limit < most);
  if (state.more_next && state.limit == most) return state;
  state.before = state.limit;
  state.rate_before = rate;
  state.trial = state.more_next ? Trial::kMore : Trial::kFewer;
  state.limit = state.more_next ? std::min(most, std::max(state.limit + 1, state.limit * 4 / 3))
                                : std::max(least, std::min(state.limit - 1, state.limit * 3 / 4));
  return state;
}

}  // namespace

bool says_something(const ConcurrencyState& state, const ConcurrencySample& sample) {
  return sample.took >= kSampleMin && sample.done >= kStatementsPerPlace * state.limit;
}

bool says_nothing(const ConcurrencyState& state, const ConcurrencySample& sample) {
  return sample.took >= kSampleMax && !says_something(state, sample);
}

ConcurrencyState next_concurrency(ConcurrencyState state, const ConcurrencySample& sample, size_t least, size_t most) {
  least = std::min(least, most);
  state.limit = std::clamp(state.limit, least, most);
  // Nobody waits, or the statements are so long that nothing can be learnt from them: all are let in.
  if (!sample.queued || says_nothing(state, sample)) {
    state.limit = sample.queued ? most : std::min(most, state.limit + std::max<size_t>(state.limit / 4, 1));
    state.trial = Trial::kNone;
    return state;
  }
  const double rate = rate_of(sample);
  switch (std::exchange(state.trial, Trial::kNone)) {
    case Trial::kFewer:
      if (rate >= kAsMany * state.rate_before) {
        state.failures = 0;
        state.pause = 1;
        return state;
      }
      break;
    case Trial::kMore:
      if (rate >= kMore * state.rate_before) {
        state.failures = 0;
        return state;
      }
      break;
    case Trial::kNone: return begin_trial(state, rate, least, most);
  }
  // Taken back. The other direction is next: what the statements wait for may have changed.
  state.limit = std::clamp(state.before, least, most);
  state.pause = std::min(kPause << std::min(state.failures, 6U), kPauseMax);
  state.more_next = !state.more_next;
  ++state.failures;
  return state;
}

Concurrency::Metrics::Metrics(base::Metrics& metrics)
    : limit(metrics.gauge("AdaptiveConcurrencyLimit", "statements that are let into the MySQL server at once")),
      waits(metrics.counter("AdaptiveConcurrencyWaits",
                            "statements that waited since the server is saturated and as many as it can do run")),
      refused(metrics.counter("AdaptiveConcurrencyRefused",
                              "statements that were refused since they would have waited for too long")) {}

Concurrency::~Concurrency() { metrics_.limit.add(-static_cast<int64_t>(state_.limit)); }

void Concurrency::set_most(size_t most) {
  most_ = most;
  set_limit(most);
}

void Concurrency::set_limit(size_t limit) {
  metrics_.limit.add(static_cast<int64_t>(limit) - static_cast<int64_t>(state_.limit));
  size_t now = state_.limit;
  state_.limit = limit;
  for (; now < limit; ++now) {
    if (owed_ > 0) {
      --owed_;
    } else {
      free_.release();
    }
  }
  for (; now > limit; --now) {
    if (!free_.try_acquire()) ++owed_;
  }
}

Concurrency::Place Concurrency::try_enter(bool holds) {
  if (!settings_.enabled) return Place(this, false);
  const bool counted = free_.try_acquire();
  if (!counted && !holds) return {};
  peak_ = std::max(peak_, ++running_);
  return Place(this, counted);
}

net::Task<Result<Concurrency::Place>> Concurrency::enter(net::Wait wait) {
  if (Place place = try_enter(false)) co_return place;
  const base::TimePoint now = base::system_clock().now();
  wait.deadline = std::min(wait.deadline, now + settings_.wait_max);
  const auto too_long = [&] {
    metrics_.refused.add();
    return fail(Code::kResourceExhausted,
                fmt::format("the MySQL server has as much to do as it can: {} statements run, and {} wait "
                            "(--adaptive-concurrency-wait)",
                            running_, queued_))
        .with_retry(Retry::kSameTarget);
  };
  if (!patience_.worth_waiting(now, queued_, wait.deadline - now)) co_return too_long();
  metrics_.waits.add();
  const Waiting waiting(*this);
  ++queued_;
  Status turn = co_await free_.acquire(std::move(wait));
  --queued_;
  if (!turn.ok()) {
    if (turn.error().code() == Code::kDeadlineExceeded) co_return too_long();
    co_return std::move(turn).error();
  }
  patience_.served(base::system_clock().now());
  peak_ = std::max(peak_, ++running_);
  co_return Place(this, true);
}

void Concurrency::leave(bool counted) {
  if (!settings_.enabled) return;
  --running_;
  ++sample_.done;
  if (counted && owed_ > 0) {
    --owed_;
  } else if (counted) {
    free_.release();
  }
  // While nobody waits and all are let in there is nothing to be judged, and no need to know the time.
  if (waiting_ > 0 || state_.limit < most_) judge();
}

void Concurrency::judge() {
  const base::TimePoint now = base::system_clock().now();
  const auto begin = [&](base::TimePoint at) {
    began_ = at;
    sample_ = {};
    peak_ = running_;
  };
  // The first that waited; or one behind a time without statements.
  if (began_ == base::TimePoint{} || now - began_ > 2 * kSampleMax) {
    begin(now);
    return;
  }
  sample_.took = now - began_;
  // Who waits for a connection while others sit in open transactions does not wait for the server.
  sample_.queued = waiting_ > 0 && 2 * peak_ >= state_.limit;
  const bool idle = !sample_.queued && sample_.took >= kSampleMin;
  if (!idle && !says_something(state_, sample_) && !says_nothing(state_, sample_)) return;
  ConcurrencyState next = next_concurrency(state_, sample_, settings_.least, most_);
  const size_t limit = std::exchange(next.limit, state_.limit);
  state_ = next;
  set_limit(limit);
  begin(waiting_ > 0 || limit < most_ ? now : base::TimePoint{});
}

}  // namespace vitrail::tablet
