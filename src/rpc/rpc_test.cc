#include <arpa/inet.h>
#include <google/protobuf/wrappers.pb.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <nlohmann/json.hpp>

#include "base/metrics.h"
#include "net/loop.h"
#include "net/scope.h"
#include "net/sync.h"
#include "rpc/client.h"
#include "rpc/server.h"
#include "rpc/typed.h"

// gRPC 1.51 sometimes loses OpenSSL objects of a handshake that a stranger broke off. Only the leak checker calls this.
extern "C" const char* __lsan_default_suppressions() { return "leak:libcrypto.so\n"; }

namespace vitrail::rpc {
namespace {

using namespace std::chrono_literals;

constexpr char kEcho[] = "/test.Service/Echo";
constexpr char kFail[] = "/test.Service/Fail";
constexpr char kStream[] = "/test.Service/Stream";
constexpr char kHang[] = "/test.Service/Hang";

net::Wait soon() { return net::Wait::within(20s); }

// Waits until `condition` holds; false after 20 s.
bool eventually(const std::function<bool()>& condition) {
  const auto deadline = base::system_clock().now() + 20s;
  while (!condition()) {
    if (base::system_clock().now() > deadline) return false;
    ::usleep(1000);
  }
  return true;
}

// A server with its handlers on one loop, and a client on another, over loopback sockets.
class RpcTest : public testing::Test {
 public:
  ~RpcTest() override { stop_server(); }

  // A server with a handler of each kind; `port` 0 for a free one.
  void start_server(ServerOptions options = {}) {
    options.metrics = &metrics_;
    server_ = std::make_unique<Server>(std::move(options));
    net::Loop& loop = server_thread_.loop();
    server_->handle_unary(kEcho, loop, [](CallContext context, std::string request) {
      return echo(std::move(context), std::move(request));
    });
    server_->handle_unary(kFail, loop,
                          [](CallContext, std::string request) { return fail_as_asked(std::move(request)); });
    server_->handle_unary(kHang, loop,
                          [this](CallContext context, std::string) { return hang(*this, std::move(context)); });
    server_->handle_server_stream(kStream, loop, [this](CallContext context, std::string request, Writer& writer) {
      return stream(*this, std::move(context), std::move(request), writer);
    });
    if (extra_handlers_) extra_handlers_(*server_);
    const Status started = server_->start();
    ASSERT_TRUE(started.ok()) << started.error().message();
  }

  void stop_server(base::Duration grace = 0s) {
    if (server_ == nullptr) return;
    net::block_on(client_thread_.loop(), server_->stop(grace));
    server_.reset();
  }

  std::shared_ptr<Channel> connect(ChannelOptions options = {}) {
    return connect_to("127.0.0.1:" + std::to_string(server_->port()), std::move(options));
  }
  static std::shared_ptr<Channel> connect_to(const std::string& address, ChannelOptions options = {}) {
    auto channel = Channel::create(address, std::move(options));
    EXPECT_TRUE(channel.ok());
    return *channel;
  }

  template <typename T>
  T run(net::Task<T> task) {
    return net::block_on(client_thread_.loop(), std::move(task));
  }

  static net::Task<Result<std::string>> echo(CallContext context, std::string request) {
    if (request == "metadata") co_return std::string(context.find_metadata("username"));
    if (request == "deadline") {
      const auto left = std::chrono::duration_cast<std::chrono::seconds>(context.deadline - base::system_clock().now());
      co_return std::to_string(left.count());
    }
    co_return request;
  }

  // "<code> <message>"
  static net::Task<Result<std::string>> fail_as_asked(std::string request) {
    const size_t space = request.find(' ');
    co_return fail(static_cast<Code>(std::stoi(request.substr(0, space))), request.substr(space + 1))
        .with_retry(Retry::kOtherTarget)
        .with_effect(Effect::kApplied)
        .with_mysql(1062, "23000");
  }

  static net::Task<Result<std::string>> hang(RpcTest& test, CallContext context) {
    ++test.hanging_;
    const Status slept = co_await net::sleep_for(1h, context.cancel);
    --test.hanging_;
    if (!slept.ok()) ++test.cancelled_;
    co_return std::string("woke");
  }

  // "<count> <size>": that many messages, each starting with its number; then an error when count is odd.
  static net::Task<Status> stream(RpcTest& test, CallContext, std::string request, Writer& writer) {
    const size_t space = request.find(' ');
    const size_t count = std::stoull(request);
    const size_t size = std::stoull(request.substr(space + 1));
    for (size_t i = 0; i < count; ++i) {
      std::string message = std::to_string(i);
      message.resize(std::max(size, message.size()), '.');
      const Status written = co_await writer.write(std::move(message));
      if (!written.ok()) {
        test.write_error_ = written.error().code();
        co_return written;
      }
      test.written_ = i + 1;
    }
    if (count % 2 == 1) co_return fail(Code::kClusterEvent, "the stream broke");
    co_return Status{};
  }

  static net::Task<Result<std::string>> call_echo(std::shared_ptr<Channel> channel, std::string text,
                                                  CallOptions options = {}) {
    co_return co_await channel->call(kEcho, std::move(text), soon(), std::move(options));
  }

  net::LoopThread server_thread_{"server"};
  net::LoopThread client_thread_{"client"};
  base::Metrics metrics_{"test"};
  std::function<void(Server&)> extra_handlers_;
  std::unique_ptr<Server> server_;
  std::atomic<int> hanging_{0};
  std::atomic<int> cancelled_{0};
  std::atomic<size_t> written_{0};
  std::atomic<Code> write_error_{Code::kOk};
};

TEST_F(RpcTest, UnaryCallReturnsTheResponse) {
  start_server();
  const auto channel = connect();
  EXPECT_EQ(run(call_echo(channel, "hello")).value(), "hello");
  EXPECT_EQ(run(call_echo(channel, "")).value(), "");
  const std::string large(3 << 20, 'x');
  EXPECT_EQ(run(call_echo(channel, large)).value(), large);
}

// The codes 17 and 18 are not gRPC's; they must not become UNKNOWN on either side.
TEST_F(RpcTest, EveryErrorCodeArrivesUnchangedWithItsDetails) {
  start_server();
  const auto channel = connect();
  for (int number = 1; number <= 18; ++number) {
    const Code code = static_cast<Code>(number);
    const auto result = run(channel->call(kFail, std::to_string(number) + " no luck: ü", soon()));
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.error().code(), code) << base::code_name(code);
    EXPECT_EQ(result.error().message(), "no luck: ü");
    EXPECT_EQ(result.error().retry(), Retry::kOtherTarget);
    EXPECT_EQ(result.error().effect(), Effect::kApplied);
    EXPECT_EQ(result.error().mysql_errno(), 1062);
    EXPECT_EQ(result.error().sqlstate(), "23000");
  }
}

TEST_F(RpcTest, LongErrorMessagesAreCutInsteadOfBreakingTheCall) {
  start_server();
  const auto result = run(connect()->call(kFail, "9 " + std::string(100'000, '\xff'), soon()));
  EXPECT_EQ(result.error().code(), Code::kFailedPrecondition);
  EXPECT_GT(result.error().message().size(), 4000u);
  EXPECT_TRUE(result.error().message().ends_with("..."));
}

TEST_F(RpcTest, UnknownMethodIsUnimplemented) {
  start_server();
  const auto result = run(connect()->call("/test.Service/Nothing", "", soon()));
  EXPECT_EQ(result.error().code(), Code::kUnimplemented);
  EXPECT_NE(result.error().message().find("/test.Service/Nothing"), std::string::npos);
  EXPECT_EQ(result.error().effect(), Effect::kNone);
}

TEST_F(RpcTest, MessagesBeyondTheLimitAreRefusedOnEitherSide) {
  ServerOptions options;
  options.message_size_max = 100'000;
  start_server(options);
  const auto channel = connect();
  EXPECT_EQ(run(call_echo(channel, std::string(100'001, 'x'))).error().code(), Code::kResourceExhausted);
  EXPECT_EQ(run(call_echo(channel, std::string(100'000, 'x')))->size(), 100'000u);
  ChannelOptions small;
  small.message_size_max = 1000;
  EXPECT_EQ(run(call_echo(connect(small), std::string(1001, 'x'))).error().code(), Code::kResourceExhausted);
  auto read = [](std::shared_ptr<Channel> to) -> net::Task<Code> {
    ServerStream stream = to->open_stream(kStream, "2 100001");
    const auto message = co_await stream.next(soon());
    co_return message.error().code();
  };
  EXPECT_EQ(run(read(channel)), Code::kResourceExhausted);
  EXPECT_EQ(run(call_echo(channel, "still fine")).value(), "still fine");
}

// Which of the two programs needs which flag.
TEST_F(RpcTest, AMessageThatIsTooLargeNamesTheFlagAndTheSide) {
  ServerOptions options;
  options.message_size_max = 100'000;
  start_server(options);
  ChannelOptions small;
  small.message_size_max = 1000;
  ChannelOptions large;
  large.message_size_max = 1'000'000;
  const auto message = [](const auto& result) { return result.ok() ? std::string() : result.error().message(); };
  EXPECT_TRUE(message(run(call_echo(connect(small), std::string(1001, 'x'))))
                  .starts_with("the request is larger than this program takes: raise its --grpc-max-message-size, "
                               "which is 1000: "))
      << message(run(call_echo(connect(small), std::string(1001, 'x'))));
  EXPECT_TRUE(message(run(call_echo(connect(large), std::string(100'001, 'x'))))
                  .starts_with("the request is larger than the server takes: raise the server's "
                               "--grpc-max-message-size: "))
      << message(run(call_echo(connect(large), std::string(100'001, 'x'))));
  auto first = [](std::shared_ptr<Channel> to, std::string request) -> net::Task<Result<std::optional<std::string>>> {
    ServerStream stream = to->open_stream(kStream, std::move(request));
    co_return co_await stream.next(soon());
  };
  EXPECT_TRUE(message(run(first(connect(small), "2 1001")))
                  .starts_with("the answer is larger than this program takes: raise its --grpc-max-message-size, "
                               "which is 1000: "))
      << message(run(first(connect(small), "2 1001")));
  EXPECT_EQ(message(run(first(connect(large), "2 100001"))),
            "the answer of 100001 bytes is larger than the server sends: raise --grpc-max-message-size of the server, "
            "which is 100000, and of its clients");
}

TEST_F(RpcTest, MetadataAndDeadlineReachTheHandler) {
  start_server();
  ChannelOptions options;
  options.metadata = {{"username", "vt"}};
  const auto channel = connect(options);
  EXPECT_EQ(run(call_echo(channel, "metadata")).value(), "vt");
  EXPECT_EQ(run(call_echo(connect(), "metadata", {.metadata = {{"username", "other"}}})).value(), "other");
  const int left = std::stoi(run(call_echo(channel, "deadline")).value());
  EXPECT_TRUE(left >= 15 && left <= 20) << left;
}

TEST_F(RpcTest, AuthenticationRunsBeforeTheHandler) {
  ServerOptions options;
  options.authenticate = [](const CallContext& context) -> Status {
    if (context.find_metadata("password") != "secret") return fail(Code::kUnauthenticated, "who are you?");
    return {};
  };
  start_server(options);
  EXPECT_EQ(run(call_echo(connect(), "x")).error().code(), Code::kUnauthenticated);
  EXPECT_EQ(run(call_echo(connect(), "x", {.metadata = {{"password", "secret"}}})).value(), "x");
}

TEST_F(RpcTest, DeadlineEndsTheCallAndTheHandler) {
  start_server();
  const auto channel = connect();
  auto call = [](std::shared_ptr<Channel> to) -> net::Task<Error> {
    co_return (co_await to->call(kHang, "", net::Wait::within(100ms))).error();
  };
  const Error error = run(call(channel));
  EXPECT_EQ(error.code(), Code::kDeadlineExceeded);
  EXPECT_EQ(error.effect(), Effect::kUnknown);
  EXPECT_NE(error.message().find(kHang), std::string::npos) << error.message();
  EXPECT_TRUE(eventually([&] { return cancelled_ == 1 && hanging_ == 0; }));
}

TEST_F(RpcTest, CancellingACallCancelsItsHandler) {
  start_server();
  auto body = [](RpcTest& test, std::shared_ptr<Channel> channel) -> net::Task<Error> {
    net::CancelSource source;
    net::Scope scope;
    auto canceller = [](RpcTest& t, net::CancelSource& s) -> net::Task<void> {
      while (t.hanging_ == 0) (void)co_await net::sleep_for(1ms);
      s.cancel();
    };
    scope.spawn(canceller(test, source));
    const auto result = co_await channel->call(kHang, "", net::Wait::within(20s, source.token()));
    co_await scope.join();
    // A token that is cancelled already does not even send.
    const auto second = co_await channel->call(kHang, "", net::Wait::within(20s, source.token()));
    EXPECT_EQ(second.error().effect(), Effect::kNone);
    co_return result.error();
  };
  const Error error = run(body(*this, connect()));
  EXPECT_EQ(error.code(), Code::kCanceled);
  EXPECT_EQ(error.effect(), Effect::kUnknown);
  EXPECT_TRUE(eventually([&] { return cancelled_ == 1 && hanging_ == 0; }));
}

TEST_F(RpcTest, StreamDeliversAHundredThousandMessagesInOrder) {
  start_server();
  auto body = [](std::shared_ptr<Channel> channel) -> net::Task<size_t> {
    ServerStream stream = channel->open_stream(kStream, "100000 100");
    size_t count = 0;
    for (;; ++count) {
      const auto message = co_await stream.next(soon());
      EXPECT_TRUE(message.ok());
      if (!message.ok() || !message->has_value()) co_return count;
      if (std::stoull(**message) != count || (*message)->size() != 100) co_return count;
    }
  };
  EXPECT_EQ(run(body(connect())), 100'000u);
}

TEST_F(RpcTest, StreamEndsWithTheErrorOfItsHandlerAfterItsMessages) {
  start_server();
  auto body = [](std::shared_ptr<Channel> channel) -> net::Task<void> {
    ServerStream stream = channel->open_stream(kStream, "3 1");
    for (int i = 0; i < 3; ++i) EXPECT_TRUE((co_await stream.next(soon()))->has_value());
    for (int i = 0; i < 2; ++i) {
      const auto end = co_await stream.next(soon());
      EXPECT_EQ(end.error().code(), Code::kClusterEvent);
      EXPECT_EQ(end.error().message(), "the stream broke");
    }
  };
  run(body(connect()));
}

// The writer must stop when the reader does: what lies between them is bounded by the window and the read-ahead.
TEST_F(RpcTest, SlowReaderStopsTheWriter) {
  start_server();
  static constexpr size_t kSize = 10'000;
  static constexpr size_t kCount = 20'000;  // 200 MB in all.
  ChannelOptions options;
  options.stream_window = 1 << 20;
  const auto channel = connect(options);
  auto body = [](RpcTest& test, std::shared_ptr<Channel> to) -> net::Task<size_t> {
    ServerStream stream = to->open_stream(kStream, std::to_string(kCount) + " " + std::to_string(kSize));
    size_t most_ahead = 0;
    size_t count = 0;
    for (;; ++count) {
      // Now and then stand still until the writer does too.
      if (count % 5'000 == 10) {
        for (size_t before = SIZE_MAX; before != test.written_;) {
          before = test.written_;
          (void)co_await net::sleep_for(100ms);
        }
      }
      const auto message = co_await stream.next(soon());
      EXPECT_TRUE(message.ok());
      if (!message.ok() || !message->has_value()) break;
      most_ahead = std::max(most_ahead, test.written_ - std::min<size_t>(count, test.written_));
    }
    EXPECT_EQ(count, kCount);
    co_return most_ahead;
  };
  const size_t most_ahead = run(body(*this, channel));
  EXPECT_GT(most_ahead, 10u);
  EXPECT_LT(most_ahead * kSize, 3u << 20) << "bytes between writer and reader";
}

TEST_F(RpcTest, StreamWaitMayEndAndGoOn) {
  start_server();
  net::Event go;
  auto body = [](RpcTest& test, std::shared_ptr<Channel> channel) -> net::Task<void> {
    ServerStream stream = channel->open_stream(kHang, "");
    EXPECT_EQ((co_await stream.next(net::Wait::within(20ms))).error().code(), Code::kDeadlineExceeded);
    EXPECT_EQ((co_await stream.next(net::Wait::within(20ms))).error().code(), Code::kDeadlineExceeded);
    stream.cancel();
    EXPECT_EQ((co_await stream.next(soon())).error().code(), Code::kCanceled);
  };
  run(body(*this, connect()));
  EXPECT_TRUE(eventually([&] { return hanging_ == 0; }));
}

TEST_F(RpcTest, WriterHearsThatTheReaderIsGone) {
  start_server();
  auto body = [](std::shared_ptr<Channel> channel) -> net::Task<void> {
    ServerStream stream = channel->open_stream(kStream, "1000000 10000");
    EXPECT_TRUE((co_await stream.next(soon())).ok());
    // Destroyed with messages on their way.
  };
  run(body(connect()));
  EXPECT_TRUE(eventually([&] { return write_error_ == Code::kCanceled; }));
}

TEST_F(RpcTest, StreamDeadlineEndsIt) {
  start_server();
  auto body = [](std::shared_ptr<Channel> channel) -> net::Task<Code> {
    ServerStream stream = channel->open_stream(kHang, "", base::system_clock().now() + 50ms);
    co_return (co_await stream.next(soon())).error().code();
  };
  EXPECT_EQ(run(body(connect())), Code::kDeadlineExceeded);
}

TEST_F(RpcTest, CallsWithoutAServerFailAndHadNoEffect) {
  start_server();
  const auto channel = connect();
  const uint16_t port = server_->port();
  stop_server();
  const auto refused = run(call_echo(channel, "x"));
  EXPECT_EQ(refused.error().code(), Code::kUnavailable);
  EXPECT_EQ(refused.error().effect(), Effect::kNone);
  EXPECT_EQ(refused.error().retry(), Retry::kSameTarget);
  EXPECT_NE(refused.error().message().find(std::to_string(port)), std::string::npos) << refused.error().message();
}

TEST_F(RpcTest, ConnectionLostDuringACallLeavesTheEffectUnknown) {
  start_server();
  auto body = [](RpcTest& test, std::shared_ptr<Channel> channel, net::Loop& loop) -> net::Task<Error> {
    net::Scope scope;
    auto stopper = [](RpcTest& t) -> net::Task<void> {
      while (t.hanging_ == 0) (void)co_await net::sleep_for(1ms);
      co_await t.server_->stop(0s);
    };
    scope.spawn(stopper(test));
    const auto result = co_await channel->call(kHang, "", soon());
    co_await scope.join();
    co_return result.ok() ? fail(Code::kOk, "") : result.error();
  };
  const Error error = run(body(*this, connect(), client_thread_.loop()));
  server_.reset();
  EXPECT_EQ(cancelled_, 1);
  EXPECT_EQ(error.effect(), Effect::kUnknown) << error.to_string();
}

// A server that takes a request and dies before it answers anything: nobody may say that nothing happened.
TEST_F(RpcTest, ConnectionLostBeforeAnyAnswerLeavesTheEffectUnknown) {
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  ASSERT_EQ(::bind(listener, reinterpret_cast<const sockaddr*>(&address), length), 0);
  ASSERT_EQ(::listen(listener, 1), 0);
  ASSERT_EQ(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length), 0);
  std::thread server([listener] {
    const int fd = ::accept(listener, nullptr, nullptr);
    ::close(listener);
    static constexpr char kSettings[] = {0, 0, 0, 4, 0,
                                         0, 0, 0, 0};  // An empty SETTINGS frame makes the connection ready.
    EXPECT_EQ(::send(fd, kSettings, sizeof kSettings, 0), static_cast<ssize_t>(sizeof kSettings));
    std::string seen;
    char buffer[4096];
    for (ssize_t got;
         seen.find("Service/Echo") == std::string::npos && (got = ::recv(fd, buffer, sizeof buffer, 0)) > 0;) {
      seen.append(buffer, static_cast<size_t>(got));
    }
    ::close(fd);
  });
  const auto result = run(call_echo(connect_to("127.0.0.1:" + std::to_string(ntohs(address.sin_port))), "x"));
  server.join();
  EXPECT_EQ(result.error().code(), Code::kUnavailable);
  EXPECT_EQ(result.error().effect(), Effect::kUnknown) << result.error().message();
}

TEST_F(RpcTest, APoolFindsAServerThatWasStartedAMomentAgo) {
  start_server();
  ServerOptions options;
  options.port = server_->port();
  ChannelPool pool({});
  const std::string address = "127.0.0.1:" + std::to_string(options.port);
  const auto call = [&] { return run(call_echo(pool.get(address).value(), "x")); };
  ASSERT_TRUE(call().ok());
  for (int round = 0; round < 3; ++round) {
    stop_server();
    for (int i = 0; i < 8; ++i) EXPECT_EQ(call().error().code(), Code::kUnavailable);  // Long pauses by now.
    start_server(options);
    EXPECT_EQ(call().value_or(""), "x") << round;
  }
  EXPECT_EQ(pool.size(), 1u);
}

TEST_F(RpcTest, ChannelReconnectsToARestartedServer) {
  start_server();
  const auto channel = connect();
  const uint16_t port = server_->port();
  ASSERT_TRUE(run(call_echo(channel, "one")).ok());
  for (int round = 0; round < 3; ++round) {
    stop_server();
    EXPECT_EQ(run(call_echo(channel, "x")).error().code(), Code::kUnavailable);
    ServerOptions options;
    options.port = port;
    start_server(options);
    EXPECT_EQ(run(call_echo(channel, "two", {.wait_for_ready = true})).value(), "two");
  }
}

TEST_F(RpcTest, StopWaitsForCallsWithinItsGrace) {
  net::Event release;
  extra_handlers_ = [&](Server& server) {
    server.handle_unary("/test.Service/Held", server_thread_.loop(), [&](CallContext context, std::string) {
      auto held = [](RpcTest& test, net::Event& event, CallContext ctx) -> net::Task<Result<std::string>> {
        ++test.hanging_;
        CO_RETURN_IF_ERROR(co_await event.wait(ctx.wait()));
        co_return std::string("done");
      };
      return held(*this, release, std::move(context));
    });
  };
  start_server();
  auto body = [](RpcTest& test, std::shared_ptr<Channel> channel, net::Event& event) -> net::Task<std::string> {
    net::Scope scope;
    auto stopper = [](RpcTest& t, net::Event& e) -> net::Task<void> {
      while (t.hanging_ == 0) (void)co_await net::sleep_for(1ms);
      t.server_thread_.loop().post([&e] { e.set(); });
      co_await t.server_->stop(20s);
    };
    scope.spawn(stopper(test, event));
    auto result = co_await channel->call("/test.Service/Held", "", soon());
    co_await scope.join();
    co_return result.ok() ? *result : result.error().to_string();
  };
  EXPECT_EQ(run(body(*this, connect(), release)), "done");
  server_.reset();
}

TEST_F(RpcTest, PortInUseIsAnError) {
  start_server();
  ServerOptions options;
  options.port = server_->port();
  Server second(options);
  EXPECT_EQ(second.start().error().code(), Code::kUnavailable);
}

TEST_F(RpcTest, CallsBeyondTheBoundAreRefused) {
  ServerOptions options;
  options.calls_max = 2;
  start_server(options);
  auto body = [](RpcTest& test, std::shared_ptr<Channel> channel) -> net::Task<Code> {
    ServerStream first = channel->open_stream(kHang, "");
    ServerStream second = channel->open_stream(kHang, "");
    while (test.hanging_ < 2) (void)co_await net::sleep_for(1ms);
    const auto third = co_await channel->call(kEcho, "x", soon());
    co_return third.ok() ? Code::kOk : third.error().code();
  };
  const auto channel = connect();
  EXPECT_EQ(run(body(*this, channel)), Code::kResourceExhausted);
  EXPECT_TRUE(eventually([&] { return run(call_echo(channel, "x")).ok(); }));
}

TEST_F(RpcTest, CountsCallsByMethodAndCode) {
  start_server();
  const auto channel = connect();
  ASSERT_TRUE(run(call_echo(channel, "x")).ok());
  ASSERT_FALSE(run(channel->call(kFail, "17 moved", soon())).ok());
  ASSERT_FALSE(run(channel->call("/made/up", "", soon())).ok());
  const auto vars = nlohmann::json::parse(metrics_.to_json());
  EXPECT_EQ(vars["GrpcServerCalls"]["/test_Service/Echo.OK"], 1);
  EXPECT_EQ(vars["GrpcServerCalls"]["/test_Service/Fail.CLUSTER_EVENT"], 1);
  EXPECT_EQ(vars["GrpcServerCalls"]["unknown.UNIMPLEMENTED"], 1);
  EXPECT_EQ(vars["GrpcServerCallsActive"], 0);
}

TEST_F(RpcTest, ManyCallsAtOnceFromTwoLoops) {
  start_server();
  const auto channel = connect();
  static constexpr int kEach = 500;
  auto body = [](std::shared_ptr<Channel> to, std::string prefix) -> net::Task<int> {
    int good = 0;
    auto one = [](std::shared_ptr<Channel> c, std::string text, int& count) -> net::Task<void> {
      const auto result = co_await c->call(kEcho, text, soon());
      if (result.ok() && *result == text) ++count;
    };
    std::vector<net::Task<void>> tasks;
    for (int i = 0; i < kEach; ++i) tasks.push_back(one(to, prefix + std::to_string(i), good));
    co_await net::when_all(std::move(tasks));
    co_return good;
  };
  net::LoopThread second("second");
  std::atomic<int> from_second{0};
  std::thread other([&] { from_second = net::block_on(second.loop(), body(channel, "b")); });
  EXPECT_EQ(run(body(channel, "a")), kEach);
  other.join();
  EXPECT_EQ(from_second, kEach);
}

// gRPC 1.51's callback threads fall asleep for 100 ms after each second without an event, see library.h.
TEST_F(RpcTest, CallAfterAQuietSecondIsNotDelayed) {
  start_server();
  auto body = [](std::shared_ptr<Channel> channel) -> net::Task<base::Duration> {
    base::Duration best = 1h;
    for (int i = 0; i < 3; ++i) {
      EXPECT_TRUE((co_await channel->call(kEcho, "x", soon())).ok());
      (void)co_await net::sleep_for(1030ms);  // The quiet is what is tested.
      const auto start = base::system_clock().now();
      EXPECT_TRUE((co_await channel->call(kEcho, "x", soon())).ok());
      best = std::min<base::Duration>(best, base::system_clock().now() - start);
    }
    co_return best;
  };
  EXPECT_LT(run(body(connect())), 40ms);
}

TEST_F(RpcTest, PoolKeepsTheChannelsUsedLast) {
  ChannelPool pool({}, 2);
  const auto a = pool.get("127.0.0.1:1").value();
  const auto b = pool.get("127.0.0.1:2").value();
  EXPECT_EQ(pool.get("127.0.0.1:1").value(), a);
  ASSERT_TRUE(pool.get("127.0.0.1:3").ok());  // Pushes b out.
  EXPECT_EQ(pool.size(), 2u);
  EXPECT_EQ(pool.get("127.0.0.1:1").value(), a);
  EXPECT_NE(pool.get("127.0.0.1:2").value(), b);
  pool.forget("127.0.0.1:2");
  EXPECT_EQ(pool.size(), 1u);
  EXPECT_FALSE(pool.get("").ok());
}

using google::protobuf::Int64Value;
using google::protobuf::StringValue;

TEST_F(RpcTest, TypedHandlersAndCallsExchangeMessages) {
  extra_handlers_ = [&](Server& server) {
    net::Loop& loop = server_thread_.loop();
    handle_unary<StringValue, Int64Value>(server, "/test.Typed/Length", loop, [](CallContext, StringValue request) {
      auto length = [](StringValue text) -> net::Task<Result<Int64Value>> {
        if (text.value().empty()) co_return fail(Code::kInvalidArgument, "empty");
        Int64Value size;
        size.set_value(static_cast<int64_t>(text.value().size()));
        co_return size;
      };
      return length(std::move(request));
    });
    handle_server_stream<Int64Value, StringValue>(
        server, "/test.Typed/Count", loop, [](CallContext, Int64Value request, TypedWriter<StringValue> writer) {
          auto count = [](Int64Value to, TypedWriter<StringValue> out) -> net::Task<Status> {
            for (int64_t i = 0; i < to.value(); ++i) {
              StringValue text;
              text.set_value(std::to_string(i));
              CO_RETURN_IF_ERROR(co_await out.write(text));
            }
            co_return Status{};
          };
          return count(std::move(request), writer);
        });
  };
  start_server();
  auto body = [](std::shared_ptr<Channel> channel) -> net::Task<void> {
    StringValue text;
    text.set_value("four");
    EXPECT_EQ((co_await call<Int64Value>(*channel, "/test.Typed/Length", text, soon()))->value(), 4);
    text.clear_value();
    EXPECT_EQ((co_await call<Int64Value>(*channel, "/test.Typed/Length", text, soon())).error().code(),
              Code::kInvalidArgument);
    const auto nonsense = co_await channel->call("/test.Typed/Length", "\xff\xff\xff", soon());
    EXPECT_EQ(nonsense.error().code(), Code::kInvalidArgument);
    EXPECT_NE(nonsense.error().message().find("google.protobuf.StringValue"), std::string::npos);

    Int64Value count;
    count.set_value(50);
    auto stream = open_stream<StringValue>(*channel, "/test.Typed/Count", count);
    for (int i = 0; i < 50; ++i) EXPECT_EQ((co_await stream.next(soon()))->value().value(), std::to_string(i));
    EXPECT_FALSE((co_await stream.next(soon()))->has_value());
  };
  run(body(connect()));
}

}  // namespace
}  // namespace vitrail::rpc
