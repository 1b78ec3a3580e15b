#include "tablet/concurrency.h"

#include <gtest/gtest.h>

#include <functional>

#include "net/loop.h"
#include "net/scope.h"

namespace vitrail::tablet {
namespace {

using namespace std::chrono_literals;
using Trial = ConcurrencyState::Trial;

ConcurrencySample rate(uint64_t per_second, bool queued = true) {
  return {.took = 1s, .done = per_second, .queued = queued};
}

TEST(Concurrency, WhatTheNextLimitIs) {
  struct Case {
    const char* when;
    ConcurrencyState state;
    ConcurrencySample sample;
    ConcurrencyState want;
  };
  const Case cases[] = {
      {"nobody waits, and all are let in", {.limit = 64}, rate(900, false), {.limit = 64}},
      {"nobody waits any more: more are let in", {.limit = 16}, rate(900, false), {.limit = 20}},
      {"nobody waits any more, in the middle of a trial",
       {.limit = 48, .trial = Trial::kFewer, .before = 64, .rate_before = 900},
       rate(900, false),
       {.limit = 60, .before = 64, .rate_before = 900}},
      {"some wait: fewer are tried",
       {.limit = 64},
       rate(900),
       {.limit = 48, .trial = Trial::kFewer, .before = 64, .rate_before = 900}},
      {"as many are finished: it stays so",
       {.limit = 48, .trial = Trial::kFewer, .before = 64, .rate_before = 900},
       rate(890),
       {.limit = 48, .before = 64, .rate_before = 900, .pause = 1}},
      {"more are finished: it stays so, and what failed before is forgotten",
       {.limit = 48, .trial = Trial::kFewer, .before = 64, .rate_before = 900, .failures = 3},
       rate(1200),
       {.limit = 48, .before = 64, .rate_before = 900, .pause = 1}},
      {"fewer are finished: it is taken back, and not tried soon",
       {.limit = 48, .trial = Trial::kFewer, .before = 64, .rate_before = 900},
       rate(700),
       {.limit = 64, .before = 64, .rate_before = 900, .pause = 4, .failures = 1, .more_next = true}},
      {"the same again and again",
       {.limit = 48, .trial = Trial::kFewer, .before = 64, .rate_before = 900, .failures = 20},
       rate(700),
       {.limit = 64, .before = 64, .rate_before = 900, .pause = 256, .failures = 21, .more_next = true}},
      {"a pause", {.limit = 64, .pause = 2, .failures = 1}, rate(900), {.limit = 64, .pause = 1, .failures = 1}},
      {"behind a failure at the top fewer are tried again",
       {.limit = 64, .failures = 1, .more_next = true},
       rate(900),
       {.limit = 48, .trial = Trial::kFewer, .before = 64, .rate_before = 900, .failures = 1}},
      {"behind a failure below the top more are tried",
       {.limit = 30, .failures = 1, .more_next = true},
       rate(900),
       {.limit = 40, .trial = Trial::kMore, .before = 30, .rate_before = 900, .failures = 1, .more_next = true}},
      {"more are let in, and more are finished",
       {.limit = 40, .trial = Trial::kMore, .before = 30, .rate_before = 900, .failures = 1, .more_next = true},
       rate(1100),
       {.limit = 40, .before = 30, .rate_before = 900, .more_next = true}},
      {"more are let in, and no more are finished",
       {.limit = 40, .trial = Trial::kMore, .before = 30, .rate_before = 900, .failures = 1, .more_next = true},
       rate(910),
       {.limit = 30, .before = 30, .rate_before = 900, .pause = 8, .failures = 2}},
      {"at the least more are tried",
       {.limit = 4},
       rate(900),
       {.limit = 5, .trial = Trial::kMore, .before = 4, .rate_before = 900, .more_next = true}},
      {"a tiny pool is let alone", {.limit = 2}, rate(900), {.limit = 2, .more_next = true}},
      {"statements of seconds: all are let in",
       {.limit = 20, .trial = Trial::kFewer, .before = 27, .rate_before = 9},
       {.took = 10s, .done = 30, .queued = true},
       {.limit = 64, .before = 27, .rate_before = 9}},
  };
  for (const Case& c : cases) {
    const size_t most = c.state.limit == 2 ? 2 : 64;
    const ConcurrencyState got = next_concurrency(c.state, c.sample, 4, most);
    EXPECT_EQ(got.limit, c.want.limit) << c.when;
    EXPECT_TRUE(got == c.want) << c.when;
  }
}

TEST(Concurrency, HowMuchHasToBeSeen) {
  const ConcurrencyState state{.limit = 20};
  EXPECT_FALSE(says_something(state, {.took = 400ms, .done = 900}));
  EXPECT_FALSE(says_something(state, {.took = 2s, .done = 79}));
  EXPECT_TRUE(says_something(state, {.took = 2s, .done = 80}));
  EXPECT_FALSE(says_nothing(state, {.took = 9s, .done = 1}));
  EXPECT_TRUE(says_nothing(state, {.took = 10s, .done = 79}));
  EXPECT_FALSE(says_nothing(state, {.took = 10s, .done = 80}));
}

// Servers of two kinds, with clients that ask again as soon as they are answered: one that works on eight statements at
// the same time and is slowed down by more, and one whose statements only wait for something.
size_t settle(const std::function<double(size_t)>& finished, double* worst = nullptr) {
  ConcurrencyState state{.limit = 64};
  for (int i = 0; i < 2000; ++i) {
    const double per_second = finished(state.limit);
    if (worst != nullptr && i > 1000) *worst = std::min(*worst, per_second);
    state = next_concurrency(state, rate(static_cast<uint64_t>(per_second)), 4, 64);
  }
  return state.limit;
}

TEST(Concurrency, FindsWhatTheServerCanDoAndLeavesOthersAlone) {
  const size_t busy = settle([](size_t n) {
    const double at_once = static_cast<double>(std::min<size_t>(n, 8));
    return 1000 * at_once / 8 * (1 - 0.004 * static_cast<double>(n));
  });
  EXPECT_GE(busy, 6U);
  EXPECT_LE(busy, 16U);
  double worst = 1e9;
  const size_t waiting = settle([](size_t n) { return 100.0 * static_cast<double>(n); }, &worst);
  EXPECT_GE(waiting, 48U);
  EXPECT_GE(worst, 4800);
}

TEST(Concurrency, LetsInAsManyAndRefusesWhoWouldWaitForTooLong) {
  net::LoopThread loop("test");
  base::Metrics registry("test");
  Concurrency::Metrics metrics(registry);
  auto body = [](Concurrency::Metrics& counters) -> net::Task<void> {
    const ConcurrencySettings settings{.enabled = true, .least = 1, .wait_max = 50ms};
    Concurrency concurrency(settings, counters);
    concurrency.set_most(2);
    EXPECT_EQ(counters.limit.value(), 2);
    Concurrency::Place a = concurrency.try_enter(false), b = concurrency.try_enter(false);
    EXPECT_TRUE(a && b);
    EXPECT_FALSE(concurrency.try_enter(false));
    Concurrency::Place inside = concurrency.try_enter(true);
    EXPECT_TRUE(inside);
    EXPECT_EQ(concurrency.running(), 3U);
    auto late = co_await concurrency.enter(net::Wait::within(30ms));
    EXPECT_EQ(late.error().code(), Code::kResourceExhausted);
    EXPECT_EQ(late.error().retry(), Retry::kSameTarget);
    EXPECT_EQ(counters.refused.value(), 1U);
    // Who waits gets the place of the one that leaves; what was let in besides leaves none.
    inside = {};
    auto leave = [](Concurrency::Place place) -> net::Task<void> {
      (void)co_await net::sleep_for(5ms);
      place = {};
    };
    bool entered = false;
    auto wait = [](Concurrency& one, bool& out) -> net::Task<void> {
      auto place = co_await one.enter(net::Wait::within(5s));
      out = place.ok();
    };
    std::vector<net::Task<void>> both;
    both.push_back(wait(concurrency, entered));
    both.push_back(leave(std::move(a)));
    co_await net::when_all(std::move(both));
    EXPECT_TRUE(entered);
    EXPECT_EQ(concurrency.running(), 1U);
    // Where a place is free nobody waits.
    const uint64_t waits = counters.waits.value();
    const auto free = co_await concurrency.enter(net::Wait::within(5s));
    EXPECT_TRUE(free.ok());
    EXPECT_EQ(counters.waits.value(), waits);
  };
  net::block_on(loop.loop(), body(metrics));
  EXPECT_EQ(metrics.limit.value(), 0);
}

TEST(Concurrency, IsOutOfTheWayWhenItIsOff) {
  base::Metrics registry("test");
  Concurrency::Metrics metrics(registry);
  const ConcurrencySettings settings{.enabled = false};
  Concurrency concurrency(settings, metrics);
  concurrency.set_most(1);
  const Concurrency::Place a = concurrency.try_enter(false), b = concurrency.try_enter(false);
  EXPECT_TRUE(a && b);
}

}  // namespace
}  // namespace vitrail::tablet
