#include <gtest/gtest.h>

#include "movement/integration_for_test.h"
#include "movement/row_stream.h"

namespace vitrail::movement {
namespace {

using Held = HeldSnapshots;

class HeldSnapshot : public Movement {
 protected:
  ServerLogin login() const { return {{.unix_socket = source_socket()}, "vt_filtered", ""}; }
  Result<std::unique_ptr<Held::Hold>> hold(std::string name, size_t sessions) {
    return net::block_on(thread_.loop(), snapshots_.hold(std::move(name), sessions, login(), source_db(), wait()));
  }
  // Rows and position of a table, in the snapshot.
  Result<std::pair<size_t, std::string>> read(const std::string& snapshot, const std::string& table) {
    auto work = [](HeldSnapshot& self, std::string name,
                   std::string of) -> net::Task<Result<std::pair<size_t, std::string>>> {
      RowStreamOptions options{self.login(), self.source_db(), "from"};
      CO_ASSIGN_OR_RETURN(options.snapshot, co_await self.snapshots_.borrow(name, self.wait()));
      ::binlogdata::VStreamRowsRequest request;
      request.set_query("select * from " + of);
      CO_ASSIGN_OR_RETURN(const auto stream, co_await RowStream::open(std::move(options), request, self.wait()));
      std::pair<size_t, std::string> out;
      for (bool last = false; !last;) {
        CO_ASSIGN_OR_RETURN(const RowChunk chunk, co_await stream->read_chunk(self.wait()));
        last = chunk.last;
        out.second = chunk.responses[0].gtid();
        for (const auto& response : chunk.responses) out.first += static_cast<size_t>(response.rows_size());
      }
      co_return out;
    };
    return net::block_on(thread_.loop(), work(*this, snapshot, table));
  }
  void end(std::unique_ptr<Held::Hold> hold) {
    auto work = [](std::unique_ptr<Held::Hold> gone) -> net::Task<void> {
      gone.reset();
      co_return;
    };
    net::block_on(thread_.loop(), work(std::move(hold)));
  }
  static net::Wait wait() { return net::Wait::within(std::chrono::seconds(20)); }

  net::LoopThread thread_{"held"};
  HeldSnapshots snapshots_;
};

TEST_F(HeldSnapshot, AllTablesAreReadAtItsMomentHoweverLateAndOften) {
  source_.run("CREATE TABLE a (id INT PRIMARY KEY)");
  source_.run("CREATE TABLE b (id INT PRIMARY KEY)");
  source_.run("INSERT INTO a VALUES (1), (2)");
  source_.run("INSERT INTO b VALUES (1)");
  const std::string before = source_.position();
  auto first = hold("first", 3);
  ASSERT_TRUE(first.ok()) << first.error().to_string();
  EXPECT_EQ((*first)->position(), before);
  source_.run("INSERT INTO a VALUES (3)");
  auto second = hold("second", 1);
  ASSERT_TRUE(second.ok()) << second.error().to_string();
  source_.run("DELETE FROM a WHERE id = 1");
  source_.run("INSERT INTO b VALUES (2), (3)");
  for (int i = 0; i < 5; ++i) {  // More often than there are connections: they are used again.
    EXPECT_EQ(read("first", "a").value(), std::pair(size_t{2}, before));
    EXPECT_EQ(read("first", "b").value(), std::pair(size_t{1}, before));
    EXPECT_EQ(read("second", "a").value().first, 3u);
  }
  EXPECT_EQ(hold("first", 1).error().code(), Code::kAlreadyExists);
  end(std::move(*first));
  EXPECT_EQ(read("first", "a").error().code(), Code::kNotFound);
  EXPECT_EQ(read("second", "a").value().first, 3u);
  end(std::move(*second));
}

TEST_F(HeldSnapshot, ABrokenConnectionIsNotReplacedByOneOfAnotherMoment) {
  source_.run("CREATE TABLE a (id INT PRIMARY KEY)");
  auto held = hold("held", 1);
  ASSERT_TRUE(held.ok()) << held.error().to_string();
  source_.run("INSERT INTO a VALUES (1)");
  for (const auto& id : source_.lines("SELECT id FROM information_schema.processlist WHERE user = 'vt_filtered'")) {
    (void)source_.try_run("KILL " + id);
  }
  EXPECT_FALSE(read("held", "a").ok());
  EXPECT_TRUE((*held)->lost());
  EXPECT_EQ(read("held", "a").error().code(), Code::kNotFound);
  end(std::move(*held));
}

TEST_F(HeldSnapshot, ThereIsABound) {
  std::vector<std::unique_ptr<Held::Hold>> holds;
  for (size_t i = 0; i < Held::kMax; ++i) holds.push_back(std::move(hold(std::to_string(i), 1)).value());
  EXPECT_EQ(hold("one more", 1).error().code(), Code::kResourceExhausted);
  for (auto& one : holds) end(std::move(one));
}

}  // namespace
}  // namespace vitrail::movement
