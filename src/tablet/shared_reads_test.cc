#include "tablet/shared_reads.h"

#include <gtest/gtest.h>

#include "net/loop.h"
#include "sql/parser.h"

namespace vitrail::tablet {
namespace {

bool shareable(std::string_view text) {
  const auto ast = sql::parse(text);
  EXPECT_TRUE(ast.ok()) << text;
  return ast.ok() && is_shareable(ast->statement());
}

TEST(SharedReads, WhatMayBeShared) {
  for (const char* text : {"select * from t where id = 1", "select count(*), max(a) from t group by b",
                           "select a from t union all select b from u", "select trim(both 'x' from a) from t",
                           "select * from t where a in (select b from u) order by c limit 5", "select 1",
                           "with x as (select a from t) select * from x", "select extract(year from d) from t"}) {
    EXPECT_TRUE(shareable(text)) << text;
  }
  for (const char* text : {"select * from t for update",
                           "select * from t lock in share mode",
                           "select now()",
                           "select current_timestamp",
                           "select rand() from t",
                           "select uuid()",
                           "select last_insert_id()",
                           "select a from t where f(a)",
                           "select @a from t",
                           "select @@autocommit",
                           "select get_lock('a', 1)",
                           "select sleep(1)",
                           "select 1 into @x",
                           "select * from information_schema.processlist",
                           "select * from t where a = (select b from u for update)",
                           "select a from (select connection_id() as a) x",
                           "update t set a = 1",
                           "insert into t values (1)",
                           "select next value from s",
                           "select s.count(1)",
                           "select sql_calc_found_rows a from t limit 1",
                           "select * from t where d > now() - interval 1 day",
                           "show tables"}) {
    EXPECT_FALSE(shareable(text)) << text;
  }
}

class Waiting : public ::testing::Test {
 protected:
  base::Metrics metrics_{"test"};
  base::Counter& counter_ = metrics_.counter("Shared", "");
};

TEST_F(Waiting, OneAsksForAllThatCameBeforeItWasSent) {
  SharedReads reads({}, counter_);
  net::LoopThread thread("reads");
  auto run = [](SharedReads& all) -> net::Task<std::string> {
    if (all.join("k") != nullptr) co_return "joined nothing";
    std::shared_ptr<SharedRead> one, late;
    {
      auto lead = all.lead("k");
      one = all.join("k");
      if (all.join("other") != nullptr) co_return "joined another's";
      if (!lead.close()) co_return "nobody";
      late = all.join("k");  // Sent already: it may be older than what this one knows.
      lead.give("rows");
    }
    Status waited = co_await one->done.wait(net::Wait::within(std::chrono::seconds(5)));
    co_return waited.ok() && late == nullptr ? one->answer : "late";
  };
  EXPECT_EQ(net::block_on(thread.loop(), run(reads)), "rows");
}

TEST_F(Waiting, WhoseLeaderFailsAsksForHimself) {
  SharedReads reads({}, counter_);
  net::LoopThread thread("reads");
  auto run = [](SharedReads& all) -> net::Task<bool> {
    std::shared_ptr<SharedRead> one;
    {
      auto lead = all.lead("k");
      one = all.join("k");
    }
    Status waited = co_await one->done.wait(net::Wait::within(std::chrono::seconds(5)));
    co_return waited.ok() && one->answer.empty() && all.join("k") == nullptr;
  };
  EXPECT_TRUE(net::block_on(thread.loop(), run(reads)));
}

TEST_F(Waiting, AtMostSoManyWaitForOne) {
  SharedReads reads({.waiters_max = 1}, counter_);
  auto lead = reads.lead("k");
  EXPECT_NE(reads.join("k"), nullptr);
  EXPECT_EQ(reads.join("k"), nullptr);
  auto second = reads.lead("k");
  EXPECT_FALSE(second.close());
  EXPECT_TRUE(lead.close());
}

TEST_F(Waiting, IsCountedByQuery) {
  SharedReads reads({}, counter_);
  reads.note("select :vtg1");
  reads.note("select :vtg1");
  EXPECT_EQ(reads.seen(), (std::vector<std::pair<std::string, uint64_t>>{{"select :vtg1", 2}}));
  EXPECT_EQ(counter_.value(), 2u);
}

}  // namespace
}  // namespace vitrail::tablet
