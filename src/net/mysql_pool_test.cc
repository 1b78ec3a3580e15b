#include "net/mysql_pool.h"

#include <gtest/gtest.h>

#include "mysql/errors.h"
#include "net/mysql_server.h"

namespace vitrail::net {
namespace {

using namespace std::chrono_literals;

Wait soon() { return Wait::within(10s); }

// A server that lets everybody in and says OK to everything.
class OkServer {
 public:
  Status start() {
    ASSIGN_OR_RETURN(listener_, Listener::listen_tcp("127.0.0.1", 0));
    scope_.spawn(accept_all(*this));
    return {};
  }
  MysqlAddress address() const { return {.host = "127.0.0.1", .port = listener_.port(), .unix_socket = "", .tls = {}}; }
  Task<void> stop() {
    scope_.request_stop();
    co_await scope_.join();
    listener_.close();
  }
  size_t connections = 0;

 private:
  static Task<void> accept_all(OkServer& self) {
    const Wait wait{.cancel = self.scope_.token()};
    for (;;) {
      auto fd = co_await self.listener_.accept(wait);
      if (!fd.ok()) co_return;
      self.scope_.spawn(serve(self, *fd));
    }
  }
  static Task<void> serve(OkServer& self, int fd) {
    const Wait wait{.cancel = self.scope_.token()};
    auto socket = Socket::adopt(fd);
    if (!socket.ok()) co_return;
    auto login = co_await accept_login(std::move(*socket), self.settings_, nullptr, 1, size_t{1} << 20, wait);
    if (!login.ok() || !(co_await login->accept(mysql::kStatusAutocommit, wait)).ok()) co_return;
    ++self.connections;
    PacketStream stream = std::move(login->stream());
    for (;;) {
      auto message = co_await stream.read_message(wait);
      if (!message.ok() || !message->has_value()) break;
      std::string payload, framed;
      mysql::encode_ok(payload, {}, login->client().capabilities);
      mysql::PacketWriter(framed, 1).message(payload);
      if (!(co_await stream.write(framed, wait)).ok()) break;
    }
    --self.connections;
  }
  mysql::ServerAuthSettings settings_;
  Listener listener_;
  Scope scope_;
};

class PoolTest : public testing::Test {
 protected:
  // Runs `body` with a running server, on a loop.
  template <typename Body>
  void with_server(Body body) {
    auto task = [](Body& inner) -> Task<void> {
      OkServer server;
      const Status started = server.start();
      EXPECT_TRUE(started.ok());
      if (started.ok()) co_await inner(server);
      co_await server.stop();
    };
    block_on(thread_.loop(), task(body));
  }
  static MysqlClientSettings settings(OkServer& server) {
    MysqlClientSettings out;
    out.address = server.address();
    return out;
  }
  LoopThread thread_{"test"};
};

TEST_F(PoolTest, OneLimitForSeveralPools) {
  with_server([](OkServer& server) -> Task<void> {
    auto group = std::make_shared<PoolGroup>(PoolGroup::Options{.max_connections = 2});
    MysqlPool a(settings(server), {.group = group, .name = "connections"});
    MysqlPool b(settings(server), {.group = group, .name = "connections"});
    {
      auto first = co_await a.acquire("", soon());
      auto second = co_await a.acquire("", soon());
      EXPECT_TRUE(first.ok() && second.ok());
      EXPECT_EQ(group->used(), 2u);
      auto third = co_await b.acquire("", Wait::within(20ms));
      EXPECT_FALSE(third.ok());
    }
    // Idle ones of the other pool make room.
    EXPECT_EQ(a.idle(), 2u);
    auto third = co_await b.acquire("", soon());
    EXPECT_TRUE(third.ok());
    EXPECT_EQ(a.idle(), 1u);
    EXPECT_EQ(group->used(), 2u);
    auto fourth = co_await b.acquire("", soon());
    EXPECT_TRUE(fourth.ok());
    EXPECT_EQ(a.size(), 0u);
    EXPECT_EQ(group->used(), 2u);
  });
}

TEST_F(PoolTest, AWaiterIsWokenByAnotherPool) {
  with_server([](OkServer& server) -> Task<void> {
    auto group = std::make_shared<PoolGroup>(PoolGroup::Options{.max_connections = 1});
    MysqlPool a(settings(server), {.group = group});
    MysqlPool b(settings(server), {.group = group});
    auto first = co_await a.acquire("", soon());
    bool got = false;
    Scope scope;
    auto other = [](MysqlPool& pool, bool& out) -> Task<void> {
      auto lease = co_await pool.acquire("", soon());
      out = lease.ok();
    };
    scope.spawn(other(b, got));
    co_await Loop::current()->yield();
    EXPECT_EQ(group->waiting(), 1u);
    first->release();
    co_await scope.join();
    EXPECT_TRUE(got);
    EXPECT_EQ(group->waiting(), 0u);
  });
}

TEST_F(PoolTest, WaitsAreBoundedInTimeAndNumber) {
  with_server([](OkServer& server) -> Task<void> {
    auto group = std::make_shared<PoolGroup>(PoolGroup::Options{
        .max_connections = 1, .max_waiting = 1, .connections_flag = "--size", .waiting_flag = "--cap"});
    MysqlPool pool(settings(server), {.acquire_timeout = 50ms, .group = group, .name = "connections"});
    auto first = co_await pool.acquire("", soon());
    std::optional<Error> error;
    Scope scope;
    auto waiter = [](MysqlPool& from, std::optional<Error>& out) -> Task<void> {
      auto lease = co_await from.acquire("", soon());  // Its own deadline is far away.
      if (!lease.ok()) out = lease.error();
    };
    scope.spawn(waiter(pool, error));
    co_await Loop::current()->yield();
    auto refused = co_await pool.acquire("", soon());
    EXPECT_FALSE(refused.ok());
    EXPECT_NE(refused.error().message().find("--cap"), std::string::npos) << refused.error().message();
    EXPECT_EQ(refused.error().retry(), Retry::kSameTarget);
    co_await scope.join();
    EXPECT_TRUE(error.has_value());
    if (error) {
      EXPECT_EQ(error->code(), Code::kResourceExhausted);
      EXPECT_NE(error->message().find("--size"), std::string::npos) << error->message();
      EXPECT_EQ(mysql::to_err_packet(*error).code, 1203);
    }
  });
}

TEST_F(PoolTest, KnowsWhenNothingComesBack) {
  with_server([](OkServer& server) -> Task<void> {
    auto group = std::make_shared<PoolGroup>(PoolGroup::Options{.max_connections = 3});
    MysqlPool pool(settings(server), {.group = group});
    {
      auto lease = co_await pool.acquire("", soon());
    }
    (void)co_await sleep_for(60ms);
    EXPECT_FALSE(group->stalled(50ms));  // Nobody waits for anything.
    auto first = co_await pool.acquire("", soon());
    EXPECT_FALSE(group->stalled(50ms));
    (void)co_await sleep_for(60ms);
    auto second = co_await pool.acquire("", soon());
    EXPECT_TRUE(group->stalled(50ms));  // That more is asked of it does not show that it answers.
    second->release();
    EXPECT_FALSE(group->stalled(50ms));
  });
}

TEST_F(PoolTest, AbortEndsWhatIsOnLoan) {
  with_server([](OkServer& server) -> Task<void> {
    MysqlPool pool(settings(server), {});
    {
      auto idle = co_await pool.acquire("", soon());
    }
    auto a = co_await pool.acquire("", soon());
    auto b = co_await pool.acquire("", soon());
    std::optional<Error> error;
    Scope scope;
    auto reader = [](MysqlPool::Lease& lease, std::optional<Error>& out) -> Task<void> {
      auto message = co_await lease->client.receive(soon());
      if (!message.ok()) out = message.error();
    };
    scope.spawn(reader(*a, error));
    co_await Loop::current()->yield();
    auto kept = co_await pool.acquire("", soon());
    (*kept)->kept = true;
    pool.abort_loans();
    co_await scope.join();
    EXPECT_TRUE(error.has_value());
    EXPECT_FALSE((*kept)->client.broken());
    kept->discard();
    a->release();
    b->release();
    EXPECT_EQ(pool.size(), 0u);
    auto again = co_await pool.acquire("", soon());
    EXPECT_TRUE(again.ok());
  });
}

TEST_F(PoolTest, LendsAtOnceOnlyWhatFits) {
  with_server([](OkServer& server) -> Task<void> {
    MysqlPool pool(settings(server), {});
    EXPECT_FALSE(pool.try_acquire(""));
    {
      auto lease = co_await pool.acquire("set a = 1", soon());
      EXPECT_TRUE(lease.ok());
      EXPECT_FALSE(pool.try_acquire("set a = 1"));  // On loan.
    }
    EXPECT_FALSE(pool.try_acquire(""));
    {
      MysqlPool::Lease lease = pool.try_acquire("set a = 1");
      EXPECT_TRUE(lease);
      EXPECT_EQ(pool.idle(), 0u);
      EXPECT_TRUE((co_await lease->client.ping(soon())).ok());
      lease->client.stream().socket().abort();
    }
    EXPECT_FALSE(pool.try_acquire("set a = 1"));  // Broken ones are not lent.
    pool.close();
    EXPECT_FALSE(pool.try_acquire("set a = 1"));
  });
}

TEST_F(PoolTest, TrimsWhatWasIdleForLong) {
  with_server([](OkServer& server) -> Task<void> {
    MysqlPool pool(settings(server), {.idle_timeout = 30ms});
    {
      auto lease = co_await pool.acquire("", soon());
    }
    pool.trim();
    EXPECT_EQ(pool.size(), 1u);
    const auto until = base::system_clock().now() + 10s;
    while (pool.size() > 0 && base::system_clock().now() < until) {
      (void)co_await sleep_for(5ms);
      pool.trim();
    }
    EXPECT_EQ(pool.size(), 0u);
  });
}

}  // namespace
}  // namespace vitrail::net
