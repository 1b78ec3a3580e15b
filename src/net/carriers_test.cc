#include "net/carriers.h"

#include <gtest/gtest.h>

#include <map>

#include "mysql/errors.h"
#include "mysql/stream_offer.h"
#include "net/carrier.h"
#include "net/mysql_client.h"
#include "net/mysql_server.h"

namespace vitrail::net {
namespace {

using namespace std::chrono_literals;

Wait soon() { return Wait::within(10s); }

// A server whose sessions answer pings with OKs; it knows of streams, or it does not.
class Server {
 public:
  explicit Server(uint32_t loops) : loops_(loops) {
    auto listener = Listener::listen_tcp("127.0.0.1", 0);
    CHECK(listener.ok());
    listener_ = std::move(*listener);
    login_.provider = &mysql::allow_everyone();
    scope_.spawn(accept(*this));
  }
  Task<void> end() {
    scope_.request_stop();
    co_await scope_.join();
    listener_.close();
  }
  MysqlClientSettings settings(Carriers* carriers) const {
    MysqlClientSettings out;
    out.address = {.host = "127.0.0.1", .port = listener_.port(), .unix_socket = "", .tls = nullptr};
    out.auth.user = "test";
    out.auth.capabilities = mysql::kClientLongPassword | mysql::kClientProtocol41 | mysql::kClientSecureConnection |
                            mysql::kClientPluginAuth | mysql::kClientTransactions;
    out.carriers = carriers;
    return out;
  }

  bool knows_streams = true;
  int connections = 0;
  int streams = 0;

 private:
  static Task<void> accept(Server& server) {
    const Wait wait{.cancel = server.scope_.token()};
    for (;;) {
      auto fd = co_await server.listener_.accept(wait);
      if (!fd.ok()) co_return;
      auto socket = Socket::adopt(*fd);
      CHECK(socket.ok());
      ++server.connections;
      server.scope_.spawn(serve(server, std::move(*socket)));
    }
  }
  static Task<void> serve(Server& server, Socket socket) {
    co_await Loop::current()->yield();
    const Wait wait{.cancel = server.scope_.token()};
    const bool carried = socket.carried();
    auto login = co_await accept_login(std::move(socket), server.login_, nullptr, 1, size_t{1} << 20, wait);
    if (!login.ok() || !(co_await login->accept(mysql::kStatusAutocommit, wait)).ok()) co_return;
    PacketStream& stream = login->stream();
    for (;;) {
      auto message = co_await stream.read_message(wait);
      if (!message.ok() || !message->has_value()) co_return;
      const auto offer = mysql::decode_stream_offer((*message)->payload);
      const bool carries = offer.ok() && server.knows_streams && !carried;
      std::string payload;
      if (carries) {
        mysql::encode_ok(payload, mysql::to_ok({.window = kStreamWindow, .loops = server.loops_}),
                         login->client().capabilities);
      } else if ((*message)->payload[0] == static_cast<char>(mysql::Command::kPing)) {
        mysql::encode_ok(payload, {}, login->client().capabilities);
      } else {
        mysql::encode_err(payload, {mysql::errnos::kUnknownCommand, "08S01", "Unknown command"},
                          login->client().capabilities);
      }
      std::string framed;
      mysql::PacketWriter(framed, 1).message(payload);
      if (!(co_await stream.write(framed, wait)).ok()) co_return;
      if (!carries) continue;
      stream.drop_message();
      const auto accepts = [&server](Socket opened) {
        ++server.streams;
        server.scope_.spawn(serve(server, std::move(opened)));
      };
      const auto carrier =
          std::make_shared<Carrier>(std::move(stream.socket()), offer->window, accepts, server.scope_.token());
      EXPECT_TRUE((co_await carrier->run()).ok());
      co_return;
    }
  }

  const uint32_t loops_;
  Listener listener_;
  mysql::ServerAuthSettings login_;
  Scope scope_;
};

Task<void> connect(MysqlClientSettings settings, std::vector<MysqlClient>& out) {
  const Wait wait = soon();
  auto client = co_await MysqlClient::connect(std::move(settings), wait);
  EXPECT_TRUE(client.ok()) << client.error().message();
  if (!client.ok()) co_return;
  EXPECT_TRUE((co_await client->ping(wait)).ok());
  out.push_back(std::move(*client));
}

class CarriersTest : public testing::Test {
 protected:
  void run(Task<void> task) { block_on(thread_.loop(), std::move(task)); }
  // `count` clients at the same time.
  static Task<void> connect_all(Server& server, Carriers& carriers, int count, std::vector<MysqlClient>& out) {
    std::vector<Task<void>> tasks;
    for (int i = 0; i < count; ++i) tasks.push_back(connect(server.settings(&carriers), out));
    co_await when_all(std::move(tasks));
  }
  LoopThread thread_{"test"};
};

TEST_F(CarriersTest, ClientsShareAConnection) {
  auto body = []() -> Task<void> {
    Server server(1);
    Scope scope;
    Carriers carriers(scope, 1);
    std::vector<MysqlClient> clients;
    co_await connect_all(server, carriers, 20, clients);
    EXPECT_EQ(clients.size(), 20u);
    EXPECT_EQ(server.connections, 1);
    EXPECT_EQ(server.streams, 20);
    for (auto& client : clients) EXPECT_TRUE(client.stream().socket().carried());
    carriers.trim();
    carriers.trim();
    EXPECT_EQ(carriers.size(), 1u);
    clients.clear();
    carriers.trim();
    EXPECT_EQ(carriers.size(), 1u) << "it may be wanted again";
    carriers.trim();
    EXPECT_EQ(carriers.size(), 0u);
    co_await connect_all(server, carriers, 1, clients);
    EXPECT_EQ(server.connections, 2);
    scope.request_stop();
    co_await scope.join();
    EXPECT_FALSE((co_await clients[0].ping(soon())).ok());
    co_await server.end();
  };
  run(body());
}

TEST_F(CarriersTest, EveryLoopOfTheOtherSideHasItsShare) {
  auto body = []() -> Task<void> {
    Server server(5);
    Scope scope;
    Carriers carriers(scope, 2);
    std::vector<MysqlClient> clients;
    co_await connect_all(server, carriers, 1, clients);
    co_await connect_all(server, carriers, 11, clients);
    EXPECT_EQ(carriers.size(), 3u);
    EXPECT_EQ(server.connections, 3);
    scope.request_stop();
    co_await scope.join();
    co_await server.end();
  };
  run(body());
}

TEST_F(CarriersTest, AnOlderPeerIsSpokenToAsBefore) {
  auto body = []() -> Task<void> {
    Server server(1);
    server.knows_streams = false;
    Scope scope;
    Carriers carriers(scope, 1);
    std::vector<MysqlClient> clients;
    co_await connect_all(server, carriers, 5, clients);
    EXPECT_EQ(clients.size(), 5u);
    EXPECT_EQ(server.streams, 0);
    EXPECT_EQ(server.connections, 6) << "it was asked once";
    for (auto& client : clients) EXPECT_FALSE(client.stream().socket().carried());
    scope.request_stop();
    co_await scope.join();
    co_await server.end();
  };
  run(body());
}

TEST_F(CarriersTest, ALostConnectionIsMadeAgain) {
  auto body = []() -> Task<void> {
    Server server(1);
    Scope scope;
    Carriers carriers(scope, 1);
    std::vector<MysqlClient> clients;
    co_await connect_all(server, carriers, 2, clients);
    carriers.close();
    EXPECT_FALSE((co_await clients[0].ping(soon())).ok());
    co_await connect_all(server, carriers, 2, clients);
    EXPECT_EQ(clients.size(), 4u);
    EXPECT_EQ(server.connections, 2);
    EXPECT_TRUE((co_await clients[3].ping(soon())).ok());
    scope.request_stop();
    co_await scope.join();
    co_await server.end();
  };
  run(body());
}

TEST_F(CarriersTest, WhereNothingIsHeardNobodyElseWaits) {
  auto body = []() -> Task<void> {
    Server server(1);
    Scope scope;
    Carriers carriers(scope, 1);
    std::vector<MysqlClient> clients;
    co_await connect_all(server, carriers, 1, clients);
    const MysqlClientSettings settings = server.settings(&carriers);
    auto opened = co_await carriers.open(settings, soon());
    EXPECT_TRUE(opened.ok() && opened->has_value());
    Carriers::distrust(**opened);
    co_await connect_all(server, carriers, 1, clients);
    EXPECT_EQ(server.connections, 2);
    EXPECT_TRUE((co_await clients[0].ping(soon())).ok()) << "what it carries goes on";
    scope.request_stop();
    co_await scope.join();
    co_await server.end();
  };
  run(body());
}

}  // namespace
}  // namespace vitrail::net
