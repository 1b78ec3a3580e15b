#include "rpc/http.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <latch>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/metrics.h"
#include "base/settings.h"
#include "rpc/query_pages.h"

namespace vitrail::rpc {
namespace {

using namespace std::chrono_literals;

// Sends `text` on a new connection and returns all that comes until the server closes it, or until `enough` has come.
std::string send_text(uint16_t port, const std::string& text, const std::string& enough = "") {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const timeval patience{.tv_sec = 20, .tv_usec = 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::string answer;
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
    size_t sent = 0;
    while (sent < text.size()) {
      const ssize_t done = ::send(fd, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
      if (done <= 0) break;
      sent += static_cast<size_t>(done);
    }
    char buffer[65536];
    for (ssize_t got; (got = ::recv(fd, buffer, sizeof buffer, 0)) > 0;) {
      answer.append(buffer, static_cast<size_t>(got));
      if (!enough.empty() && answer.contains(enough)) break;
    }
  }
  ::close(fd);
  return answer;
}

std::string get(uint16_t port, const std::string& target) {
  return send_text(port, "GET " + target + " HTTP/1.1\r\nHost: x\r\nX-Seen: yes\r\nConnection: close\r\n\r\n");
}
std::string post(uint16_t port, const std::string& target, const std::string& body) {
  return send_text(port, "POST " + target + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: " +
                             std::to_string(body.size()) + "\r\n\r\n" + body);
}
std::string body_of(const std::string& answer) {
  const size_t end = answer.find("\r\n\r\n");
  return end == std::string::npos ? "no answer: " + answer : answer.substr(end + 4);
}

class HttpTest : public testing::Test {
 protected:
  HttpOptions options() {
    HttpOptions options;
    options.program = "vt<tablet>";
    options.metrics = &metrics_;
    options.settings = &settings_;
    options.health = [this] { return health_; };
    return options;
  }
  base::Metrics metrics_{"vttablet"};
  base::Settings settings_{"vttablet", ""};
  Status health_;
};

TEST_F(HttpTest, ServesTheBuiltInPages) {
  std::string cell = "zone1";
  settings_.add("cell", &cell, "");
  metrics_.counter("QueriesProcessed", "queries").add(3);
  HttpServer server(options());
  server.add_status_part("Tablet <1>", [] { return "<p>serving</p>"; });
  ASSERT_TRUE(server.start().ok());
  const uint16_t port = server.port();
  EXPECT_EQ(nlohmann::json::parse(body_of(get(port, "/debug/vars")))["QueriesProcessed"], 3);
  EXPECT_NE(get(port, "/metrics").find("vttablet_queries_processed 3\n"), std::string::npos);
  EXPECT_EQ(body_of(get(port, "/debug/config")), "{\"cell\":\"zone1\"}\n");
  EXPECT_EQ(body_of(get(port, "/debug/env")), "{\"cell\":\"zone1\"}\n");
  EXPECT_EQ(body_of(get(port, "/debug/liveness")), "ok");
  EXPECT_EQ(body_of(get(port, "/livez")), "ok");
  const std::string status = get(port, "/debug/status");
  EXPECT_NE(status.find("<h1>vt&lt;tablet&gt;</h1>"), std::string::npos) << status;
  EXPECT_NE(status.find("<h2>Tablet &lt;1&gt;</h2>\n<p>serving</p>"), std::string::npos) << status;
  EXPECT_NE(get(port, "/").find("Location: /debug/status"), std::string::npos);
  EXPECT_TRUE(get(port, "/nothing").starts_with("HTTP/1.1 404 "));
}

TEST_F(HttpTest, HealthFollowsTheRole) {
  HttpServer server(options());
  ASSERT_TRUE(server.start().ok());
  EXPECT_EQ(body_of(get(server.port(), "/healthz")), "ok");
  EXPECT_TRUE(get(server.port(), "/debug/health").starts_with("HTTP/1.1 200 "));
  health_ = fail(Code::kUnavailable, "replication stopped");
  for (const char* path : {"/healthz", "/readyz", "/debug/health"}) {
    const std::string answer = get(server.port(), path);
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 500 ")) << path;
    EXPECT_NE(answer.find("replication stopped"), std::string::npos) << path;
  }
  EXPECT_EQ(body_of(get(server.port(), "/livez")), "ok");
}

TEST_F(HttpTest, HandlersSeeTheRequestAndTheLongestPathWins) {
  HttpServer server(options());
  const auto show = [](const HttpRequest& r) {
    const auto seen = r.headers.find("x-seen");
    const auto q = r.query.find("q");
    return HttpResponse{.body = r.method + " " + r.path + " " + (q == r.query.end() ? "-" : q->second) + " " +
                                (seen == r.headers.end() ? "-" : seen->second) + " " + r.body};
  };
  server.handle("/api/", show);
  server.handle("/api/keyspaces/", [](const HttpRequest&) { return HttpResponse::json("[]"); });
  server.handle("/api/refuse",
                [](const HttpRequest&) { return HttpResponse::error(fail(Code::kNotFound, "no such keyspace")); });
  ASSERT_TRUE(server.start().ok());
  const uint16_t port = server.port();
  EXPECT_EQ(body_of(get(port, "/api/x%20y/z?q=a%26b&q2")), "GET /api/x y/z a&b yes ");
  EXPECT_EQ(body_of(post(port, "/api/", std::string(200'000, 'b'))), "POST /api/ - - " + std::string(200'000, 'b'));
  EXPECT_EQ(body_of(get(port, "/api/keyspaces/ks")), "[]");
  EXPECT_TRUE(get(port, "/api/refuse").starts_with("HTTP/1.1 404 "));
  EXPECT_TRUE(get(port, "/apix").starts_with("HTTP/1.1 404 "));
}

TEST_F(HttpTest, PagesMayGoOn) {
  HttpServer server(options());
  server.handle("/three", [](const HttpRequest&) {
    HttpResponse response{.body = "begin "};
    response.more = [left = 6]() mutable -> std::optional<std::string> {
      if (--left == 0) return std::nullopt;
      return left % 2 == 0 ? "" : std::string(10'000, static_cast<char>('0' + left));
    };
    return response;
  });
  ASSERT_TRUE(server.start().ok());
  // As HTTP/1.0, whose bodies end with the connection.
  const std::string answer = body_of(send_text(server.port(), "GET /three HTTP/1.0\r\n\r\n"));
  EXPECT_EQ(answer, "begin " + std::string(10'000, '5') + std::string(10'000, '3') + std::string(10'000, '1'));
}

TEST_F(HttpTest, QueryPagesShowStatements) {
  HttpServer server(options());
  base::QueryLog log;
  add_query_pages(server, log, [] {
    return std::vector<QueryUse>{{"select :vtg1 < 2", "ks@primary", "Scatter", 2}, {"commit", "", "Local", 30}};
  });
  ASSERT_TRUE(server.start().ok());
  const uint16_t port = server.port();
  const std::string page = get(port, "/queryz");
  EXPECT_LT(page.find("<td>commit</td><td></td><td>Local</td><td>30</td>"),
            page.find("<td>select :vtg1 &lt; 2</td><td>ks@primary</td><td>Scatter</td><td>2</td>"));
  EXPECT_EQ(get(port, "/queryz?limit=1").find("select"), std::string::npos);
  EXPECT_TRUE(get(port, "/queryz?limit=x").starts_with("HTTP/1.1 400 "));
  EXPECT_TRUE(get(port, "/querylogz?timeout=61").starts_with("HTTP/1.1 400 "));

  EXPECT_FALSE(log.wanted());
  std::string logged, streamed;
  std::thread table([&] { logged = get(port, "/querylogz?limit=2&timeout=60"); });
  std::thread text([&] { streamed = body_of(send_text(port, "GET /debug/querylog HTTP/1.0\r\n\r\n", "\tOK\n")); });
  while (log.listeners() < 2) std::this_thread::yield();
  for (int i = 0; i < 2; ++i) log.write("now\t0.1\tdemo\tks@primary\t\"select '<1>'\"\tOK\n");
  table.join();  // It has its lines; the stream goes on.
  EXPECT_NE(logged.find("<td>demo</td><td>ks@primary</td><td>&quot;select &#39;&lt;1&gt;&#39;&quot;</td><td>OK</td>"),
            std::string::npos)
      << logged;
  text.join();
  server.stop();  // Ends the stream.
  EXPECT_NE(streamed.find("select '<1>'\"\tOK\n"), std::string::npos) << streamed;
  EXPECT_FALSE(log.wanted());
}

TEST_F(HttpTest, BodyBeyondTheBoundIsRefused) {
  HttpOptions bounded = options();
  bounded.body_size_max = 1000;
  HttpServer server(bounded);
  server.handle("/in", [](const HttpRequest& r) { return HttpResponse{.body = std::to_string(r.body.size())}; });
  ASSERT_TRUE(server.start().ok());
  EXPECT_EQ(body_of(post(server.port(), "/in", std::string(1000, 'x'))), "1000");
  EXPECT_TRUE(post(server.port(), "/in", std::string(1001, 'x')).starts_with("HTTP/1.1 413 "));
}

TEST_F(HttpTest, BlockedHandlerDoesNotHoldUpOthers) {
  HttpServer server(options());
  std::latch entered(1);
  std::latch release(1);
  server.handle("/slow", [&](const HttpRequest&) {
    entered.count_down();
    release.wait();
    return HttpResponse{.body = "slow"};
  });
  ASSERT_TRUE(server.start().ok());
  std::string slow;
  std::jthread other([&] { slow = body_of(get(server.port(), "/slow")); });
  entered.wait();
  EXPECT_EQ(body_of(get(server.port(), "/healthz")), "ok");
  release.count_down();
  other.join();
  EXPECT_EQ(slow, "slow");
}

TEST_F(HttpTest, PortInUseAndForeignHostAreErrors) {
  HttpServer first(options());
  ASSERT_TRUE(first.start().ok());
  HttpOptions same = options();
  same.port = first.port();
  EXPECT_EQ(HttpServer(same).start().error().code(), Code::kUnavailable);
  HttpOptions foreign = options();
  foreign.host = "192.0.2.1";  // Documentation range: not ours.
  EXPECT_FALSE(HttpServer(foreign).start().ok());
  foreign.host = "no such name";
  EXPECT_EQ(HttpServer(foreign).start().error().code(), Code::kInvalidArgument);
}

TEST_F(HttpTest, SurvivesNonsense) {
  HttpServer server(options());
  ASSERT_TRUE(server.start().ok());
  for (const std::string& text : {std::string("\0\xff\n\n", 4), std::string("GET\r\n\r\n"),
                                  "GET /" + std::string(100'000, 'x') + " HTTP/1.1\r\n\r\n"}) {
    send_text(server.port(), text + "Connection: close\r\n\r\n");
  }
  EXPECT_EQ(body_of(get(server.port(), "/healthz")), "ok");
}

}  // namespace
}  // namespace vitrail::rpc
