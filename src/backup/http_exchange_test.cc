#include "backup/http_exchange.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <cstdlib>
#include <thread>

#include "backup/descriptor.h"

namespace vitrail::backup {
namespace {

constexpr size_t kMax = 64 << 20;

// A server that takes one request, gives back the bytes it was made with, and closes unless it is to stand still.
class OneAnswer {
 public:
  explicit OneAnswer(std::string answer, bool stand_still = false) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(listener_.get(), 1), 0);
    socklen_t length = sizeof address;
    EXPECT_EQ(::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &length), 0);
    endpoint_ = {.host = "127.0.0.1", .port = ntohs(address.sin_port), .tls = false};
    thread_ = std::jthread([this, answer = std::move(answer), stand_still] { serve(answer, stand_still); });
  }

  HttpEndpoint endpoint() const { return endpoint_; }
  const std::string& request() {
    thread_.join();
    return request_;
  }

 private:
  void serve(const std::string& answer, bool stand_still) {
    const Descriptor client(::accept(listener_.get(), nullptr, nullptr));
    char bytes[4096];
    for (size_t body = 0, head = 0; head == 0 || request_.size() < head + body;) {
      const ssize_t got = ::recv(client.get(), bytes, sizeof bytes, 0);
      if (got <= 0) return;
      request_.append(bytes, static_cast<size_t>(got));
      const size_t end = request_.find("\r\n\r\n");
      if (end == std::string::npos) continue;
      head = end + 4;
      if (const size_t at = request_.find("Content-Length: "); at < end) body = std::stoul(request_.substr(at + 16));
    }
    for (std::string_view left = answer; !left.empty();) {
      const ssize_t sent = ::send(client.get(), left.data(), left.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;
      left.remove_prefix(static_cast<size_t>(sent));
    }
    pollfd gone{.fd = client.get(), .events = POLLIN, .revents = 0};
    if (stand_still) ::poll(&gone, 1, 60'000);  // Until the other side gives up.
  }

  const Descriptor listener_{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  HttpEndpoint endpoint_;
  std::string request_;
  std::jthread thread_;
};

TEST(HttpExchange, ReadsBodiesHoweverTheirEndIsTold) {
  const std::string megabytes(3 << 20, 'x');
  const std::pair<std::string, std::string> cases[] = {
      {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello"},
      {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ""},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", "hello"},
      {"HTTP/1.1 200 OK\r\n\r\nhello", "hello"},
      {"HTTP/1.1 204 No Content\r\n\r\n", ""},
      {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello"},
      {"HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(megabytes.size()) + "\r\n\r\n" + megabytes, megabytes},
  };
  for (const auto& [answer, body] : cases) {
    OneAnswer server(answer);
    auto got = http_exchange(server.endpoint(), {.target = "/a%20b?c=d"});
    ASSERT_TRUE(got.ok()) << got.error().message();
    EXPECT_EQ((*got)->status, answer.find("204") == 9 ? 204 : 200);
    const auto text = (*got)->read_all(kMax);
    ASSERT_TRUE(text.ok()) << text.error().message();
    EXPECT_EQ(*text, body);
    EXPECT_TRUE(server.request().starts_with("GET /a%20b?c=d HTTP/1.1\r\n")) << server.request();
  }
}

TEST(HttpExchange, AnEndWithinTheBodyIsNotTheEndOfTheBody) {
  for (const std::string answer : {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
                                   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhello"}) {
    OneAnswer server(answer);
    auto got = http_exchange(server.endpoint(), {});
    if (!got.ok()) {
      EXPECT_EQ(got.error().code(), Code::kUnavailable);
      continue;
    }
    const auto text = (*got)->read_all(kMax);
    ASSERT_FALSE(text.ok());
    EXPECT_EQ(text.error().code(), Code::kUnavailable);
    std::string again(8, '\0');
    EXPECT_FALSE((*got)->read(again).ok());
  }
}

TEST(HttpExchange, SendsHeadersAndBody) {
  OneAnswer server("HTTP/1.1 403 Forbidden\r\nETag: \"1:2\"\r\nContent-Length: 2\r\n\r\nno");
  const std::string body(200'000, 'b');
  auto got = http_exchange(server.endpoint(),
                           {.method = "PUT", .target = "/k", .headers = {{"x-a", "1"}, {"x-b", ""}}, .body = body});
  ASSERT_TRUE(got.ok()) << got.error().message();
  EXPECT_EQ((*got)->status, 403);
  EXPECT_EQ((*got)->headers["etag"], "\"1:2\"");
  EXPECT_EQ((*got)->read_all(kMax).value(), "no");
  const std::string& request = server.request();
  EXPECT_TRUE(request.starts_with("PUT /k HTTP/1.1\r\n")) << request.substr(0, 200);
  EXPECT_NE(request.find("\r\nx-a: 1\r\n"), std::string::npos);
  EXPECT_NE(request.find("\r\nx-b:\r\n"), std::string::npos);
  EXPECT_EQ(request.find("Expect"), std::string::npos);
  EXPECT_EQ(request.find("Content-Type"), std::string::npos);
  EXPECT_TRUE(request.ends_with("\r\n\r\n" + body));
}

TEST(HttpExchange, TellsALengthWithoutABody) {
  OneAnswer server("HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n");
  auto got = http_exchange(server.endpoint(), {.method = "HEAD"});
  ASSERT_TRUE(got.ok()) << got.error().message();
  EXPECT_EQ((*got)->headers["content-length"], "12345");
  EXPECT_EQ((*got)->read_all(kMax).value(), "");
}

TEST(HttpExchange, GivesUpOnSilence) {
  OneAnswer server("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", /*stand_still=*/true);
  HttpEndpoint endpoint = server.endpoint();
  endpoint.timeout = std::chrono::seconds(1);
  auto got = http_exchange(endpoint, {});
  const Result<std::string> text = got.ok() ? (*got)->read_all(kMax) : Result<std::string>(got.error());
  ASSERT_FALSE(text.ok());
  EXPECT_EQ(text.error().code(), Code::kUnavailable);
}

TEST(HttpExchange, GoesThroughTheProxyOfTheEnvironment) {
  OneAnswer proxy("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
  ::setenv("http_proxy", ("http://127.0.0.1:" + std::to_string(proxy.endpoint().port)).c_str(), 1);
  auto got = http_exchange({.host = "storage.invalid", .port = 80, .tls = false}, {.target = "/k"});
  ::unsetenv("http_proxy");
  ASSERT_TRUE(got.ok()) << got.error().message();
  EXPECT_EQ((*got)->read_all(kMax).value(), "hello");
  EXPECT_TRUE(proxy.request().starts_with("GET http://storage.invalid")) << proxy.request();
}

TEST(HttpExchange, NamesWhomItDoesNotReach) {
  HttpEndpoint endpoint;
  {
    OneAnswer server("");
    endpoint = server.endpoint();
    EXPECT_FALSE(http_exchange(endpoint, {}).ok());  // It closes without a word.
  }
  const auto got = http_exchange(endpoint, {});
  ASSERT_FALSE(got.ok());
  EXPECT_EQ(got.error().code(), Code::kUnavailable);
  EXPECT_EQ(got.error().message(), "127.0.0.1:" + std::to_string(endpoint.port) + ": Connection refused");
}

}  // namespace
}  // namespace vitrail::backup
