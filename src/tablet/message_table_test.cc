#include "tablet/message_table.h"

#include <gtest/gtest.h>

#include <limits>

namespace vitrail::tablet {
namespace {

using namespace std::chrono_literals;

const std::vector<std::string> kColumns = {"id", "priority", "epoch", "time_next", "time_acked", "tenant", "message"};
constexpr std::string_view kComment =
    "vitess_message,vt_ack_wait=30,vt_purge_after=86400,vt_batch_size=10,vt_cache_size=100,vt_poller_interval=0.5";

MessageTable table(std::string_view more = "") {
  auto made = MessageTable::create("jobs", std::string(kComment) + std::string(more), kColumns);
  EXPECT_TRUE(made.ok()) << made.error().message();
  return made.ok() ? *made : MessageTable{};
}

TEST(MessageTable, ReadsItsComment) {
  const MessageTable plain = table();
  EXPECT_EQ(plain.ack_wait, 30s);
  EXPECT_EQ(plain.min_backoff, 30s);  // Nothing else was said.
  EXPECT_EQ(plain.max_backoff, 0s);
  EXPECT_EQ(plain.purge_after, 86400s);
  EXPECT_EQ(plain.poller_interval, 500ms);
  EXPECT_EQ(plain.batch_size, 10u);
  EXPECT_EQ(plain.receivers_max(), 10u);
  EXPECT_EQ(plain.columns, (std::vector<std::string>{"id", "tenant", "message"}));

  const MessageTable full = table(", vt_min_backoff=5,vt_max_backoff=60,vt_message_cols=message|priority,for our jobs");
  EXPECT_EQ(full.min_backoff, 5s);
  EXPECT_EQ(full.max_backoff, 60s);
  EXPECT_EQ(full.columns, (std::vector<std::string>{"id", "message", "priority"}));
}

TEST(MessageTable, SaysWhatIsWrongWithIt) {
  struct Case {
    std::string comment;
    std::vector<std::string> columns;
    std::string_view wanted;
  };
  const auto without = [](std::string_view part) {
    std::string comment(kComment);
    comment.erase(comment.find(part), part.size());
    return comment;
  };
  const std::string whole(kComment);
  const Case cases[] = {
      {"", kColumns, "does not begin with vitess_message"},
      {"vitess_sequence", kColumns, "does not begin with vitess_message"},
      {without(",vt_ack_wait=30"), kColumns, "lacks vt_ack_wait"},
      {without(",vt_cache_size=100"), kColumns, "lacks vt_cache_size"},
      {without("0.5"), kColumns, "vt_poller_interval= is no number"},
      {whole + ",vt_max_backoff=-1", kColumns, "vt_max_backoff=-1 is no number"},
      {whole + ",vt_max_backof=1", kColumns, "vt_max_backof is not known"},
      {whole + ",vt_message_cols=id|body", kColumns, "lacks the column body"},
      {whole, {"id", "priority", "epoch", "time_next", "message"}, "lacks the column time_acked"},
      {whole + ",vt_ack_wait=0", kColumns, "must not be 0"},
  };
  for (const Case& c : cases) {
    const auto made = MessageTable::create("jobs", c.comment, c.columns);
    ASSERT_FALSE(made.ok()) << c.comment;
    EXPECT_EQ(made.error().code(), Code::kFailedPrecondition);
    EXPECT_NE(made.error().message().find(c.wanted), std::string::npos) << made.error().message();
  }
}

TEST(MessageTable, WaitsLongerWithEachSending) {
  constexpr int64_t kSecond = 1'000'000'000;
  constexpr int64_t kEnd = std::numeric_limits<int64_t>::max();
  struct Case {
    std::string_view more;
    int64_t epoch;
    int64_t after;  // Seconds.
  };
  const Case cases[] = {
      {"", 0, 30},
      {"", 1, 60},
      {"", 3, 240},
      {"", -5, 30},  // Somebody wrote into it.
      {",vt_min_backoff=5", 0, 5},
      {",vt_min_backoff=5", 4, 80},
      {",vt_max_backoff=100", 1, 60},
      {",vt_max_backoff=100", 2, 100},
      {",vt_max_backoff=100", 1'000'000'000, 100},
      {",vt_max_backoff=3", 0, 30},  // Not below the first one.
  };
  for (const Case& c : cases) {
    EXPECT_EQ(table(c.more).send_again_at(7 * kSecond, c.epoch), (7 + c.after) * kSecond) << c.more << " " << c.epoch;
  }
  EXPECT_EQ(table().send_again_at(7 * kSecond, 1000), kEnd);
  EXPECT_EQ(table().send_again_at(kEnd - 1, 0), kEnd);
}

TEST(MessageTable, RestsUntilTheNextIsDue) {
  struct Case {
    std::optional<int64_t> next_due;
    base::Duration rest;
  };
  const Case cases[] = {
      {std::nullopt, 500ms}, {1'100'000'000, 100ms}, {9'000'000'000, 500ms}, {1'000'000'000, 10ms}, {5, 10ms},
  };
  for (const Case& c : cases) EXPECT_EQ(table().rest(1'000'000'000, c.next_due), c.rest) << c.next_due.value_or(-1);
}

TEST(MessageTable, AsksAndChangesByStatements) {
  const MessageTable jobs = table();
  const std::vector<mysql::Value> numbers = {mysql::Value::of_int(4), mysql::Value::of_int(-2)};
  const std::vector<mysql::Value> words = {mysql::Value::of_text("it's"), mysql::Value::of_binary("\x01")};
  EXPECT_EQ(jobs.shape(), "select `id`, `tenant`, `message`, epoch from `jobs` where false");
  EXPECT_EQ(jobs.due(5, 3),
            "select `id` from `jobs` where time_acked is null and (time_next is null or time_next <= 5) "
            "order by priority, time_next limit 30");
  EXPECT_EQ(jobs.take(numbers, 5, true),
            "select `id`, `tenant`, `message`, epoch from `jobs` where `id` in (4, -2) and time_acked is null and "
            "(time_next is null or time_next <= 5) order by priority, time_next limit 10 for update skip locked");
  EXPECT_TRUE(jobs.take(words, 5, false).ends_with(" for update"));
  EXPECT_EQ(jobs.postpone(words, 2, 77),
            "update `jobs` set time_next = 77, epoch = 3 where id in ('it''s', _binary X'01') and time_acked is null");
  EXPECT_EQ(jobs.next_due(5), "select min(time_next) from `jobs` where time_acked is null and time_next > 5");
  EXPECT_EQ(jobs.purge(86'400'000'000'007), "delete from `jobs` where time_acked < 7 limit 500");
  EXPECT_EQ(acknowledge_messages("j`s", 9),
            "update `j``s` set time_acked = 9, time_next = null where id in ::ids and time_acked is null");
}

TEST(MessageTable, IsNamedByTheStatement) {
  EXPECT_EQ(streamed_table("stream * from jobs").value(), "jobs");
  EXPECT_EQ(streamed_table("STREAM /* c */ * FROM ks.`j b`").value(), "j b");
  for (std::string_view text : {"stream id from jobs", "stream * from jobs where id = 1", "stream * from jobs limit 1",
                                "vstream * from jobs", "select * from jobs"}) {
    EXPECT_FALSE(streamed_table(text).ok()) << text;
  }
}

}  // namespace
}  // namespace vitrail::tablet
