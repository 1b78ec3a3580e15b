// Sessions of the data port as streams of few connections, in front of a server that answers everything with OK.
#include <gtest/gtest.h>

#include <map>
#include <memory>

#include "base/query_log.h"
#include "mysql/data_port.h"
#include "mysql/errors.h"
#include "mysql/messages.h"
#include "mysql/stream_offer.h"
#include "net/carriers.h"
#include "net/mysql_client.h"
#include "net/mysql_server.h"
#include "net/scope.h"
#include "net/stream_frame.h"
#include "tablet/query_service.h"

namespace vitrail::tablet {
namespace {

using namespace std::chrono_literals;

net::Wait soon() { return net::Wait::within(20s); }

// "select wait" waits until somebody kills it; what says "fails" has an error, and "dies" ends the connection.
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

  int kills = 0;
  int waiting = 0;
  net::Signal changed;
  std::map<std::string, uint32_t> connections;  // By the statement, the last one that had it.

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
    const mysql::Capabilities capabilities = login->client().capabilities;
    for (;;) {
      auto message = co_await login->stream().read_message(wait);
      if (!message.ok() || !message->has_value()) co_return;
      std::string text((*message)->payload);
      if (text[0] == static_cast<char>(mysql::Command::kQuit)) co_return;
      server.connections[text.substr(1)] = id;
      if (text.find("dies") != std::string::npos) co_return;
      bool killed = false;
      if (text.find("select wait") != std::string::npos) {
        ++server.waiting;
        server.changed.notify_all();
        while (!server.killed_[id] && (co_await server.changed.wait(wait)).ok()) {
        }
        --server.waiting;
        killed = true;
      }
      for (const std::string_view kill : {"kill query ", "KILL QUERY ", "kill ", "KILL "}) {
        const size_t at = text.find(kill);
        if (at == std::string::npos) continue;
        server.killed_[static_cast<uint32_t>(std::stoul(text.substr(at + kill.size())))] = true;
        ++server.kills;
        server.changed.notify_all();
        break;
      }
      std::string payload;
      if (killed) {
        mysql::encode_err(payload, {mysql::errnos::kQueryInterrupted, "70100", "interrupted"}, capabilities);
      } else if (text.find("fails") != std::string::npos) {
        mysql::encode_err(payload, {1305, "42000", "it fails"}, capabilities);
      } else {
        mysql::encode_ok(payload, {}, capabilities);
      }
      std::string framed;
      mysql::PacketWriter(framed, 1).message(payload);
      if (!(co_await login->stream().write(framed, wait)).ok()) co_return;
    }
  }

  net::Listener listener_;
  mysql::ServerAuthSettings login_;
  net::Scope scope_;
  uint32_t next_id_ = 1;
  std::map<uint32_t, bool> killed_;
};

class StreamsTest : public testing::Test {
 protected:
  void SetUp() override {
    run(fake_.start());
    QueryServiceSettings settings;
    settings.loops = 2;
    settings.mysqld.host = "127.0.0.1";
    settings.mysqld.port = fake_.port();
    settings.database = "vt_f";
    service_ = std::make_unique<QueryService>(std::move(settings), log_, metrics_);
    ASSERT_TRUE(run(service_->start()).ok());
    const auto state = std::make_shared<ServingState>();
    state->target = {"f", "0", "primary"};
    state->serving = true;
    ASSERT_TRUE(run(service_->apply(state, 1s)).ok());
  }
  void TearDown() override {
    run(end(scope_));
    run(service_->stop());
    EXPECT_EQ(sessions(), 0);
    EXPECT_EQ(connections(), 0);
    run(fake_.stop());
  }
  static net::Task<void> end(net::Scope& scope) {
    scope.request_stop();
    co_await scope.join();
  }
  template <typename T>
  T run(net::Task<T> task) {
    return net::block_on(thread_.loop(), std::move(task));
  }
  net::MysqlClientSettings login(bool streams) {
    net::MysqlClientSettings out;
    out.address = {.host = "127.0.0.1", .port = service_->port()};
    out.auth.database = "f/0@primary";
    out.auth.user = "test";
    out.auth.capabilities = mysql::kClientLongPassword | mysql::kClientProtocol41 | mysql::kClientTransactions |
                            mysql::kClientSecureConnection | mysql::kClientPluginAuth | mysql::kClientConnectWithDb;
    if (streams) out.carriers = &carriers_;
    return out;
  }
  int64_t sessions() { return metrics_.gauge("DataPortSessions", "sessions of vtgates").value(); }
  int64_t connections() {
    return metrics_.gauge("DataPortCarriers", "connections of vtgates that carry many sessions").value();
  }

  net::LoopThread thread_{"streams-test"};
  base::Metrics metrics_{"streams-test"};
  base::QueryLog log_;
  FakeServer fake_;
  std::unique_ptr<QueryService> service_;
  net::Scope scope_;
  net::Carriers carriers_{scope_, 1};
};

using Clients = std::vector<net::MysqlClient>;

net::Task<void> connect(net::MysqlClientSettings settings, Clients& out) {
  auto client = co_await net::MysqlClient::connect(std::move(settings), soon());
  EXPECT_TRUE(client.ok()) << client.error().message();
  if (client.ok()) out.push_back(std::move(*client));
}

net::Task<void> connect_all(net::MysqlClientSettings settings, int count, Clients& out) {
  std::vector<net::Task<void>> tasks;
  for (int i = 0; i < count; ++i) tasks.push_back(connect(settings, out));
  co_await net::when_all(std::move(tasks));
}

net::Task<void> select(net::MysqlClient& client, int times) {
  for (int i = 0; i < times; ++i) {
    auto answer = co_await client.query("select 1", soon());
    EXPECT_TRUE(answer.ok()) << answer.error().message();
    if (!answer.ok()) co_return;
  }
}

net::Task<void> select_all(Clients& clients, int times) {
  std::vector<net::Task<void>> tasks;
  for (auto& client : clients) tasks.push_back(select(client, times));
  co_await net::when_all(std::move(tasks));
}

TEST_F(StreamsTest, SessionsShareAConnectionForEachLoop) {
  auto body = [](net::MysqlClientSettings streams, net::MysqlClientSettings plain, Clients& all) -> net::Task<void> {
    co_await connect_all(streams, 30, all);
    co_await connect_all(plain, 2, all);
    co_await select_all(all, 20);
  };
  Clients clients;
  run(body(login(true), login(false), clients));
  EXPECT_EQ(clients.size(), 32U);
  EXPECT_EQ(connections(), 2);
  EXPECT_EQ(sessions(), 32);
  run([](Clients& all) -> net::Task<void> {
    all.clear();
    co_return;
  }(clients));
}

TEST_F(StreamsTest, WhoLeavesEndsWhatHeHasBegunAndNobodyElse) {
  auto body = [](net::MysqlClientSettings settings, FakeServer& fake) -> net::Task<void> {
    Clients clients;
    co_await connect_all(settings, 4, clients);
    const net::Wait wait = soon();
    std::string payload;
    mysql::encode_query(payload, "select wait", {}, clients[0].capabilities());
    EXPECT_TRUE((co_await clients[0].send(payload, wait)).ok());
    while (fake.waiting == 0 && (co_await fake.changed.wait(wait)).ok()) {
    }
    co_await select(clients[1], 3);
    EXPECT_EQ(fake.waiting, 1);
    clients[0].close();
    while (fake.waiting > 0 && (co_await fake.changed.wait(wait)).ok()) {
      co_await net::Loop::current()->yield();
    }
    EXPECT_EQ(fake.kills, 1);
    clients.erase(clients.begin());
    co_await select_all(clients, 3);
  };
  run(body(login(true), fake_));
}

TEST_F(StreamsTest, KillEndsOneStream) {
  auto body = [](net::MysqlClientSettings settings) -> net::Task<void> {
    Clients clients;
    co_await connect_all(settings, 4, clients);
    const uint32_t id = clients[0].server().connection_id;
    auto killed = co_await clients[1].query("kill " + std::to_string(id), soon());
    EXPECT_TRUE(killed.ok()) << killed.error().message();
    auto answer = co_await clients[0].query("select 1", soon());
    EXPECT_TRUE(!answer.ok() && answer.error().code() == Code::kUnavailable);
    clients.erase(clients.begin());
    co_await select_all(clients, 3);
  };
  run(body(login(true)));
}

TEST_F(StreamsTest, WhatIsNoFrameEndsItsConnectionAlone) {
  auto body = [](net::MysqlClientSettings streams, net::MysqlClientSettings plain) -> net::Task<void> {
    Clients clients;
    co_await connect_all(streams, 4, clients);
    auto stranger = co_await net::MysqlClient::connect(plain, soon());
    CHECK(stranger.ok());
    const net::Wait wait = soon();
    std::string offer;
    mysql::encode_stream_offer(offer, {.window = 1});
    EXPECT_TRUE((co_await stranger->send(offer, wait)).ok());
    auto refused = co_await stranger->receive(wait);
    EXPECT_TRUE(refused.ok() && mysql::is_err(refused->payload)) << "a window of one byte";
    co_await select(*stranger, 1);
    offer.clear();
    mysql::encode_stream_offer(offer, {.window = net::kStreamWindow});
    EXPECT_TRUE((co_await stranger->send(offer, wait)).ok());
    auto taken = co_await stranger->receive(wait);
    EXPECT_TRUE(taken.ok() && mysql::is_ok(taken->payload));
    EXPECT_TRUE((co_await stranger->stream().write("this is no frame", wait)).ok());
    EXPECT_FALSE((co_await stranger->receive(wait)).ok());
    co_await select_all(clients, 3);
  };
  run(body(login(true), login(false)));
}

TEST_F(StreamsTest, CodeThatFailsCostsASessionNothing) {
  auto body = [](net::MysqlClientSettings settings, FakeServer& fake) -> net::Task<void> {
    settings.auth.capabilities |= mysql::kClientQueryAttributes;
    Clients clients;
    co_await connect_all(settings, 1, clients);
    net::MysqlClient& client = clients[0];
    EXPECT_TRUE((co_await client.query("select get_lock('L', 0)", soon())).ok());
    mysql::TransactionOptions options;
    options.access = mysql::TransactionOptions::Access::kReadOnly;
    std::vector<mysql::QueryAttribute> once = {
        {std::string(mysql::kOnceAttribute), mysql::Value::of_text(options.to_text())}};
    EXPECT_FALSE((co_await client.query("call fails()", soon(), 10, std::move(once))).ok());
    EXPECT_TRUE((co_await client.query("select 2", soon())).ok());
    EXPECT_EQ(fake.connections["select 2"], fake.connections["select get_lock('L', 0)"]);
    // What SET TRANSACTION said stays in the session's own connection, as it does behind an error on one server.
    EXPECT_FALSE(fake.connections.contains("rollback"));
    // With the connection goes the lock: that is told, whatever the statement was about to leave itself.
    EXPECT_FALSE((co_await client.query("call dies()", soon())).ok());
    const auto behind = co_await client.query("select 3", soon());
    EXPECT_TRUE(!behind.ok() && behind.error().message().find("is lost") != std::string::npos);
  };
  run(body(login(true), fake_));
}

TEST_F(StreamsTest, WhatSetTransactionSaidStaysInNoConnectionOfThePool) {
  auto body = [](net::MysqlClientSettings settings, FakeServer& fake) -> net::Task<void> {
    settings.auth.capabilities |= mysql::kClientQueryAttributes;
    Clients clients;
    co_await connect_all(settings, 1, clients);
    mysql::TransactionOptions options;
    options.access = mysql::TransactionOptions::Access::kReadOnly;
    std::vector<mysql::QueryAttribute> once = {
        {std::string(mysql::kOnceAttribute), mysql::Value::of_text(options.to_text())}};
    EXPECT_TRUE((co_await clients[0].query("select 1", soon(), 10, std::move(once))).ok());
    EXPECT_TRUE(fake.connections.contains("rollback"));
    EXPECT_EQ(fake.connections["rollback"], fake.connections["select 1"]);
  };
  run(body(login(true), fake_));
}

TEST_F(StreamsTest, AStreamCarriesNoOthers) {
  auto body = [](net::MysqlClientSettings settings) -> net::Task<void> {
    Clients clients;
    co_await connect_all(settings, 1, clients);
    const net::Wait wait = soon();
    std::string offer;
    mysql::encode_stream_offer(offer, {.window = net::kStreamWindow});
    EXPECT_TRUE((co_await clients[0].send(offer, wait)).ok());
    auto refused = co_await clients[0].receive(wait);
    EXPECT_TRUE(refused.ok() && mysql::is_err(refused->payload));
    co_await select(clients[0], 1);
  };
  run(body(login(true)));
}

}  // namespace
}  // namespace vitrail::tablet
