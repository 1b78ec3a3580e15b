#include "tablet/hot_rows.h"

#include <gtest/gtest.h>

#include "net/scope.h"

namespace vitrail::tablet {
namespace {

std::optional<std::string> key_of(std::string_view text, const std::vector<mysql::Parameter>* parameters = nullptr) {
  QueryGuard guard;
  return hot_row_key(*guard.classify(text), text, parameters);
}

TEST(HotRowKey, IsTheTableAndTheCondition) {
  EXPECT_EQ(key_of("update t set a = a + 1 where id = 7"), "t where id = 7");
  EXPECT_EQ(key_of("update T set a = 5 where id = 7"), "t where id = 7");
  EXPECT_NE(key_of("update t set a = 5 where id = 8"), key_of("update t set a = 5 where id = 7"));
  EXPECT_EQ(key_of("delete from t where id = 7 limit 1"), "t where id = 7 limit 1");
  EXPECT_EQ(key_of("update t set a = (select max(b) from u where c = 1) where id = 7"), std::nullopt);  // Two tables.
  EXPECT_EQ(key_of("update t set a = '(where' where id = 7"), "t where id = 7");
  EXPECT_EQ(key_of("update t set a = 1"), std::nullopt);
  EXPECT_EQ(key_of("insert into t values (1)"), std::nullopt);
  EXPECT_EQ(key_of("select * from t where id = 7 for update"), std::nullopt);
  EXPECT_EQ(key_of("update t set a = 1 where id = '" + std::string(5000, 'x') + "'"), std::nullopt);
}

TEST(HotRowKey, OfAPreparedStatementHasItsValues) {
  const auto with = [](std::string_view set, std::string_view where) {
    return std::vector<mysql::Parameter>{{.is_null = false, .raw = set}, {.is_null = false, .raw = where}};
  };
  const auto one = with("a", "1"), again = with("b", "1"), other = with("a", "2");
  const char* text = "update t set a = ? where id = ?";
  EXPECT_EQ(key_of(text, &one), key_of(text, &again));
  EXPECT_NE(key_of(text, &one), key_of(text, &other));
}

TEST(HotRows, Judgement) {
  const HotRowSettings settings{.enabled = true, .queue_max = 4, .global_max = 10, .concurrent = 2};
  struct Case {
    size_t running, waiting, everywhere;
    HotRowVerdict verdict;
  };
  for (const Case& c :
       {Case{0, 0, 0, HotRowVerdict::kGo}, Case{0, 0, 10, HotRowVerdict::kGo}, Case{1, 0, 1, HotRowVerdict::kGo},
        Case{2, 0, 2, HotRowVerdict::kWait}, Case{1, 1, 2, HotRowVerdict::kWait}, Case{2, 1, 3, HotRowVerdict::kWait},
        Case{2, 2, 4, HotRowVerdict::kRowFull}, Case{1, 0, 10, HotRowVerdict::kAllFull}}) {
    EXPECT_EQ(judge_hot_row(c.running, c.waiting, c.everywhere, settings), c.verdict)
        << c.running << " " << c.waiting << " " << c.everywhere;
  }
}

TEST(HotRows, WaitInOrderWithoutAConnection) {
  net::LoopThread thread("rows");
  base::Metrics metrics("test");
  HotRows::Counters counters(metrics);
  HotRows rows({.enabled = true, .queue_max = 3, .concurrent = 1}, counters);
  auto run = [](HotRows& all) -> net::Task<std::string> {
    std::string order;
    auto first = co_await all.enter("k", "t", net::Wait::within(std::chrono::seconds(5)));
    if (!first.ok()) co_return "first";
    auto other = [](HotRows& queue, std::string& out, char name) -> net::Task<void> {
      auto place = co_await queue.enter("k", "t", net::Wait::within(std::chrono::seconds(5)));
      out += place.ok() ? name : '-';
    };
    net::Scope scope;
    for (const char name : {'a', 'b', 'c'}) scope.spawn(other(all, order, name));  // The third is one too many.
    auto elsewhere = co_await all.enter("l", "t", net::Wait::within(std::chrono::seconds(5)));
    if (!elsewhere.ok()) co_return "elsewhere";
    order += '|';
    {
      const auto ends = std::move(*first);
    }
    co_await scope.join();
    auto late = co_await all.enter("k", "t", net::Wait::within(std::chrono::seconds(5)));
    co_return order + (late.ok() ? "." : "!");
  };
  EXPECT_EQ(net::block_on(thread.loop(), run(rows)), "-|ab.");
  EXPECT_EQ(rows.seen(), (std::vector<std::pair<std::string, uint64_t>>{{"k", 3}}));
}

TEST(HotRows, WhoWaitsForTooLongIsRefused) {
  net::LoopThread thread("rows");
  base::Metrics metrics("test");
  HotRows::Counters counters(metrics);
  HotRows rows({.enabled = true, .concurrent = 1}, counters);
  auto run = [](HotRows& all) -> net::Task<Code> {
    auto first = co_await all.enter("k", "t", net::Wait::within(std::chrono::seconds(5)));
    auto second = co_await all.enter("k", "t", net::Wait::within(std::chrono::milliseconds(20)));
    co_return first.ok() && !second.ok() ? second.error().code() : Code::kOk;
  };
  EXPECT_EQ(net::block_on(thread.loop(), run(rows)), Code::kResourceExhausted);
}

TEST(HotRows, ADryRunRefusesNobody) {
  net::LoopThread thread("rows");
  base::Metrics metrics("test");
  HotRows::Counters counters(metrics);
  HotRows rows({.dry_run = true, .queue_max = 1, .concurrent = 1}, counters);
  auto run = [](HotRows& all) -> net::Task<bool> {
    auto first = co_await all.enter("k", "t", net::Wait::within(std::chrono::seconds(5)));
    auto second = co_await all.enter("k", "t", net::Wait::within(std::chrono::seconds(5)));
    co_return first.ok() && second.ok();
  };
  EXPECT_TRUE(net::block_on(thread.loop(), run(rows)));
  EXPECT_EQ(counters.row_full.with({"t"}).value(), 1u);
}

}  // namespace
}  // namespace vitrail::tablet
