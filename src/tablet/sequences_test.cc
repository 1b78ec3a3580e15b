#include "tablet/sequences.h"

#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <set>

#include "mysql/errors.h"
#include "mysql/messages.h"
#include "net/mysql_server.h"
#include "net/scope.h"

namespace vitrail::tablet {
namespace {

using namespace std::chrono_literals;

constexpr int64_t kMax = std::numeric_limits<int64_t>::max();

TEST(NextBlock, GoesOnWhereTheMemoryEndsUnlessSomebodyElseReserved) {
  struct Case {
    SequenceBlock left;
    int64_t stored, cache, count;
    int64_t next, end;  // next 0: refused.
  };
  const Case cases[] = {
      {{}, 1, 3, 1, 1, 4},                           // The first block.
      {{4, 4}, 4, 3, 1, 4, 7},                       // All used.
      {{5, 7}, 7, 3, 3, 5, 10},                      // The rest, and one of the next block.
      {{5, 7}, 7, 3, 9, 5, 16},                      // The rest, and three blocks.
      {{5, 7}, 100, 3, 3, 100, 103},                 // Another tablet reserved in between.
      {{5, 7}, 6, 3, 3, 6, 9},                       // Somebody wrote a smaller number.
      {{}, 10, 0, 2, 10, 12},                        // A cache of none is one of one.
      {{}, 10, -5, 1, 10, 11},                       //
      {{}, 0, 3, 1, 0, 0},                           // NULL, too.
      {{}, -7, 3, 1, 0, 0},                          //
      {{}, 1, 1, kMax - 1, 1, kMax},                 // As many as there are, at once.
      {{}, 1, 1, kMax, 0, 0},                        // One more.
      {{}, kMax - 2, 3, 1, 0, 0},                    // The block does not fit.
      {{kMax - 4, kMax - 1}, kMax - 1, 1, 5, 0, 0},  // The rest would, what comes behind does not.
      {{kMax - 4, kMax - 1}, kMax - 1, 1, 4, kMax - 4, kMax},
  };
  for (const auto& c : cases) {
    const auto block = next_block(c.left, c.stored, c.cache, c.count);
    const std::string what =
        std::to_string(c.stored) + " cache " + std::to_string(c.cache) + " count " + std::to_string(c.count);
    ASSERT_EQ(block.ok(), c.next != 0) << what;
    if (!block.ok()) continue;
    EXPECT_EQ(block->next, c.next) << what;
    EXPECT_EQ(block->end, c.end) << what;
  }
}

// A server with one sequence. Commits wait while `holds_commits`, unless their connection is killed; a killed one is in
// the list of processes for as long as `holds_ends`.
class FakeServer {
 public:
  net::Task<void> start() {
    auto listener = net::Listener::listen_tcp("127.0.0.1", 0);
    CHECK(listener.ok());
    listener_ = std::move(*listener);
    login_.provider = &mysql::allow_everyone();
    scope_.spawn(accept(*this));
    co_return;
  }
  net::Task<void> stop() {
    scope_.request_stop();
    co_await scope_.join();
    listener_.close();
  }
  uint16_t port() const { return listener_.port(); }

  int64_t stored = 1;
  bool holds_commits = false;
  bool holds_ends = false;
  int held = 0;
  int looks = 0;  // For a connection in the list.
  std::set<uint32_t> killed;
  net::Signal changed;

 private:
  static net::Task<void> accept(FakeServer& server) {
    const net::Wait wait{.cancel = server.scope_.token()};
    for (;;) {
      auto fd = co_await server.listener_.accept(wait);
      if (!fd.ok()) co_return;
      server.scope_.spawn(serve(server, *fd));
    }
  }

  static net::Task<void> serve(FakeServer& server, int fd) {
    auto socket = net::Socket::adopt(fd);
    CHECK(socket.ok());
    const net::Wait wait{.cancel = server.scope_.token()};
    const uint32_t id = server.next_id_++;
    auto login = co_await net::accept_login(std::move(*socket), server.login_, nullptr, id, size_t{1} << 20, wait);
    if (!login.ok() || !(co_await login->accept(mysql::kStatusAutocommit, wait)).ok()) co_return;
    server.live_.insert(id);
    int64_t written = 0;
    for (;;) {
      auto message = co_await login->stream().read_message(wait);
      if (!message.ok() || !message->has_value()) break;
      const std::string text((*message)->payload.substr(1));
      if ((*message)->payload[0] == static_cast<char>(mysql::Command::kQuit)) break;
      if (const size_t at = text.find("next_id = "); at != std::string::npos)
        written = std::stoll(text.substr(at + 10));
      if (text == "commit") {
        co_await server.commit(id, written);
        if (server.killed.contains(id)) break;
      }
      if (!(co_await login->stream().write(server.answer(text, login->client().capabilities), wait)).ok()) break;
    }
    while (server.holds_ends && !server.scope_.stopping()) (void)co_await server.changed.wait(wait);
    server.live_.erase(id);
  }

  net::Task<void> commit(uint32_t id, int64_t written) {
    ++held;
    changed.notify_all();
    while (holds_commits && !killed.contains(id) && (co_await changed.wait({.cancel = scope_.token()})).ok()) {
    }
    --held;
    if (!killed.contains(id)) stored = written;
  }

  std::string answer(const std::string& text, mysql::Capabilities capabilities) {
    std::string out;
    if (text.starts_with("kill ")) {
      killed.insert(static_cast<uint32_t>(std::stoul(text.substr(5))));
      changed.notify_all();
    }
    if (!text.starts_with("select")) {
      std::string payload;
      mysql::encode_ok(payload, {}, capabilities);
      mysql::PacketWriter(out, 1).message(payload);
      return out;
    }
    std::vector<std::string> row;
    if (text.find("table_comment") != std::string::npos) row = {"vitess_sequence"};
    if (text.starts_with("select next_id")) row = {std::to_string(stored), "3"};
    if (const size_t at = text.find("processlist where id = "); at != std::string::npos) {
      ++looks;
      changed.notify_all();
      if (live_.contains(static_cast<uint32_t>(std::stoul(text.substr(at + 23))))) row = {"1"};
    }
    mysql::PacketWriter writer(out, 1);
    mysql::ResultSetWriter result(writer, capabilities);
    std::vector<mysql::ColumnDef> columns(std::max<size_t>(row.size(), 1));
    for (auto& column : columns) column.name = "c";
    result.begin(columns);
    const std::vector<mysql::Cell> cells(row.begin(), row.end());
    if (!cells.empty()) (void)result.row(cells);
    result.end({});
    return out;
  }

  net::Listener listener_;
  mysql::ServerAuthSettings login_;
  net::Scope scope_;
  uint32_t next_id_ = 1;
  std::set<uint32_t> live_;
};

class SequencesTest : public testing::Test {
 public:
  void SetUp() override {
    run(fake_.start());
    net::MysqlClientSettings client;
    client.address = {.host = "127.0.0.1", .port = fake_.port()};
    client.auth.user = "test";
    client.auth.capabilities = mysql::kClientLongPassword | mysql::kClientProtocol41 | mysql::kClientTransactions |
                               mysql::kClientSecureConnection | mysql::kClientPluginAuth;
    pool_ = std::make_unique<net::MysqlPool>(client, net::MysqlPool::Options{.max_connections = 4});
    kill_pool_ = std::make_unique<net::MysqlPool>(client, net::MysqlPool::Options{.max_connections = 2});
    killer_ = std::make_unique<ServerKiller>(*kill_pool_);
    sequences_ = std::make_unique<Sequences>(thread_.loop(), *pool_, doubt_);
    sequences_->set_ends({killer_.get(), [this](uint32_t connection) { later_.push_back(connection); }});
    EXPECT_TRUE(run(sequences_->apply(state(true), 1s)).ok());
  }
  void TearDown() override { run(end(*this)); }
  static net::Task<void> end(SequencesTest& test) {
    test.scope_.request_stop();
    co_await test.scope_.join();
    test.pool_->close();
    test.kill_pool_->close();
    co_await test.fake_.stop();
  }
  template <typename T>
  T run(net::Task<T> task) {
    return net::block_on(thread_.loop(), std::move(task));
  }
  static std::shared_ptr<ServingState> state(bool serving) {
    const auto out = std::make_shared<ServingState>();
    out->target = {"f", "0", "primary"};
    out->serving = serving;
    return out;
  }
  // Asks for one value; what comes goes to `values_`: -1 for an error.
  static net::Task<void> ask(SequencesTest& test, base::Duration patience) {
    const auto value = co_await test.sequences_->next("s", 1, net::Wait::within(patience));
    test.values_.push_back(value.ok() ? *value : -1);
    test.came_.notify_all();
  }
  static net::Task<void> until_held(SequencesTest& test) {
    while (test.fake_.held == 0 && (co_await test.fake_.changed.wait(net::Wait::within(20s))).ok()) {
    }
    EXPECT_EQ(test.fake_.held, 1);
  }
  static net::Task<void> until_came(SequencesTest& test, size_t count) {
    while (test.values_.size() < count && (co_await test.came_.wait(net::Wait::within(20s))).ok()) {
    }
    EXPECT_EQ(test.values_.size(), count);
  }

  net::LoopThread thread_{"sequences-test"};
  FakeServer fake_;
  AckDoubt doubt_;
  std::unique_ptr<net::MysqlPool> pool_, kill_pool_;
  std::unique_ptr<ServerKiller> killer_;
  std::unique_ptr<Sequences> sequences_;
  std::vector<uint32_t> later_;
  std::vector<int64_t> values_;
  net::Signal came_;
  net::Scope scope_;
};

TEST_F(SequencesTest, AfterAResetNobodyGetsWhatWasReservedBefore) {
  auto body = [](SequencesTest& test) -> net::Task<void> {
    test.fake_.holds_commits = true;
    test.scope_.spawn(ask(test, 20s));  // Reserves.
    test.scope_.spawn(ask(test, 20s));  // Wait for their turn.
    test.scope_.spawn(ask(test, 20s));
    co_await until_held(test);
    test.fake_.holds_commits = false;
    test.fake_.changed.notify_all();
    while (test.fake_.stored == 1) co_await net::Loop::current()->yield();
    // Committed, and its answer is on its way.
    EXPECT_TRUE(test.values_.empty());
    test.fake_.stored = 1000;
    test.sequences_->reset();
    co_await until_came(test, 3);
  };
  run(body(*this));
  std::ranges::sort(values_);
  EXPECT_EQ(values_, (std::vector<int64_t>{1000, 1001, 1002}));
}

TEST_F(SequencesTest, AReservationWithoutAnAnswerIsEndedInTheServerBeforeAFenceIsUp) {
  auto body = [](SequencesTest& test) -> net::Task<void> {
    test.fake_.holds_commits = test.fake_.holds_ends = true;
    test.scope_.spawn(ask(test, 100ms));
    co_await until_held(test);
    while (test.fake_.held > 0 && (co_await test.fake_.changed.wait(net::Wait::within(20s))).ok()) {
    }
    EXPECT_EQ(test.fake_.killed.size(), 1U);
    // The server has heard of it, and rolls back.
    bool up = false;
    auto fence = [](SequencesTest& of, bool& done) -> net::Task<void> {
      EXPECT_TRUE((co_await of.sequences_->apply(state(false), 20s)).ok());
      done = true;
      of.came_.notify_all();
    };
    test.scope_.spawn(fence(test, up));
    while (test.fake_.looks < 5 && (co_await test.fake_.changed.wait(net::Wait::within(20s))).ok()) {
    }
    EXPECT_FALSE(up);
    EXPECT_TRUE(test.values_.empty());
    test.fake_.holds_ends = false;
    test.fake_.changed.notify_all();
    while (!up && (co_await test.came_.wait(net::Wait::within(20s))).ok()) {
    }
    EXPECT_TRUE(up);
    co_await until_came(test, 1);
  };
  run(body(*this));
  EXPECT_EQ(values_, std::vector<int64_t>{-1});
  EXPECT_EQ(fake_.stored, 1);
  EXPECT_TRUE(later_.empty());
}

TEST_F(SequencesTest, ManyValuesAtOnceCostOneStep) {
  auto body = [](SequencesTest& test, int64_t count) -> net::Task<Result<int64_t>> {
    co_return co_await test.sequences_->next("s", count, net::Wait::within(20s));
  };
  const auto refused = run(body(*this, kMax));
  EXPECT_TRUE(!refused.ok() && refused.error().code() == Code::kOutOfRange);
  const auto given = run(body(*this, kMax / 2));
  EXPECT_TRUE(given.ok() && *given == 1);
  EXPECT_EQ(fake_.stored, 1 + (kMax / 2 + 2) / 3 * 3);
}

}  // namespace
}  // namespace vitrail::tablet
