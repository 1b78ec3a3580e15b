#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <numeric>

#include "net/block_pool.h"
#include "net/loop.h"
#include "net/packet_stream.h"
#include "net/scope.h"
#include "net/socket.h"
#include "net/sync.h"

namespace vitrail::net {
namespace {

using namespace std::chrono_literals;

Wait soon() { return Wait::within(10s); }

Task<int> add(int a, int b) { co_return a + b; }

Task<int> sum_deep(int depth) {
  if (depth == 0) co_return 0;
  co_return 1 + co_await sum_deep(depth - 1);
}

class NetTest : public testing::Test {
 protected:
  LoopThread thread_{"test"};
  template <typename T>
  T run(Task<T> task) {
    return block_on(thread_.loop(), std::move(task));
  }
};

TEST_F(NetTest, TaskReturnsItsValue) { EXPECT_EQ(run(add(2, 3)), 5); }

TEST_F(NetTest, AMillionReadyAwaitsDoNotGrowTheStack) {
  auto many = []() -> Task<long> {
    long total = 0;
    for (int i = 0; i < 1'000'000; ++i) total += co_await add(i, 1);
    co_return total;
  };
  EXPECT_EQ(run(many()), 500000500000L);
}

TEST_F(NetTest, DeepTasksReturnThroughAllLevels) { EXPECT_EQ(run(sum_deep(1000)), 1000); }

TEST_F(NetTest, SleepEndsAfterItsTimeAndWhenCancelled) {
  auto body = []() -> Task<std::pair<bool, Code>> {
    const auto start = base::system_clock().now();
    const bool slept = (co_await sleep_for(20ms)).ok() && base::system_clock().now() - start >= 20ms;
    CancelSource source;
    Scope scope;
    auto canceller = [](CancelSource& s) -> Task<void> {
      (void)co_await sleep_for(5ms);
      s.cancel();
    };
    scope.spawn(canceller(source));
    const Status status = co_await sleep_for(1h, source.token());
    co_await scope.join();
    co_return std::pair(slept, status.ok() ? Code::kOk : status.error().code());
  };
  EXPECT_EQ(run(body()), std::pair(true, Code::kCanceled));
}

TEST_F(NetTest, TimersFireInOrderOfTheirDeadlines) {
  auto body = []() -> Task<std::vector<int>> {
    std::vector<int> order;
    Scope scope;
    auto one = [](std::vector<int>& out, int ms) -> Task<void> {
      (void)co_await sleep_for(std::chrono::milliseconds(ms));
      out.push_back(ms);
    };
    for (int ms : {30, 5, 20, 10, 25, 15}) scope.spawn(one(order, ms));
    co_await scope.join();
    co_return order;
  };
  EXPECT_EQ(run(body()), (std::vector<int>{5, 10, 15, 20, 25, 30}));
}

TEST_F(NetTest, ChannelIsBoundedAndKeepsOrder) {
  auto body = []() -> Task<std::pair<size_t, std::vector<int>>> {
    Channel<int> channel(4);
    Scope scope;
    size_t largest = 0;
    auto producer = [](Channel<int>& c, size_t& most) -> Task<void> {
      for (int i = 0; i < 100; ++i) {
        (void)co_await c.push(i, soon());
        most = std::max(most, c.size());
      }
      c.close();
    };
    scope.spawn(producer(channel, largest));
    std::vector<int> got;
    for (;;) {
      auto item = co_await channel.pop(soon());
      if (!item.ok() || !item->has_value()) break;
      got.push_back(**item);
    }
    co_await scope.join();
    co_return std::pair(largest, got);
  };
  const auto [largest, got] = run(body());
  EXPECT_LE(largest, 4u);
  std::vector<int> expected(100);
  std::iota(expected.begin(), expected.end(), 0);
  EXPECT_EQ(got, expected);
}

TEST_F(NetTest, SemaphoreServesInOrderAndTimesOut) {
  auto body = []() -> Task<Code> {
    Semaphore semaphore(1);
    CHECK((co_await semaphore.acquire(soon())).ok());
    const Status second = co_await semaphore.acquire(Wait::within(5ms));
    semaphore.release();
    CHECK((co_await semaphore.acquire(soon())).ok());
    semaphore.release();
    co_return second.ok() ? Code::kOk : second.error().code();
  };
  EXPECT_EQ(run(body()), Code::kDeadlineExceeded);
}

TEST_F(NetTest, OffloadRunsElsewhereAndResumesHere) {
  auto body = [](Loop& loop) -> Task<bool> {
    const auto here = std::this_thread::get_id();
    const auto there = co_await offload([] { return std::this_thread::get_id(); });
    co_return here != there&& std::this_thread::get_id() == here&& loop.on_this_thread();
  };
  EXPECT_TRUE(run(body(thread_.loop())));
}

TEST_F(NetTest, EnterMovesACoroutineToAnotherLoop) {
  LoopThread other("other");
  auto body = [](Loop& home, Loop& away) -> Task<bool> {
    co_await away.enter();
    const bool was_away = away.on_this_thread();
    co_await home.enter();
    co_return was_away&& home.on_this_thread();
  };
  EXPECT_TRUE(run(body(thread_.loop(), other.loop())));
}

Task<void> echo(Socket socket) {
  std::vector<char> buffer(4096);
  const Wait wait = soon();
  for (;;) {
    auto got = co_await socket.read_some(buffer, wait);
    if (!got.ok() || *got == 0) co_return;
    if (!(co_await socket.write_all({buffer.data(), *got}, wait)).ok()) co_return;
  }
}

Task<Result<std::string>> read_exactly(Socket& socket, size_t size) {
  std::string text(size, 0);
  size_t done = 0;
  const Wait wait = soon();
  while (done < size) {
    auto got = co_await socket.read_some({text.data() + done, size - done}, wait);
    if (!got.ok()) co_return std::move(got).error();
    if (*got == 0) co_return fail(Code::kUnavailable, "end of stream");
    done += *got;
  }
  co_return text;
}

Task<Status> echo_round_trip(bool unix_socket, size_t bytes) {
  const std::string path = "/tmp/vitrail_net_test_" + std::to_string(getpid());
  auto listener = unix_socket ? Listener::listen_unix(path) : Listener::listen_tcp("127.0.0.1", 0);
  if (!listener.ok()) co_return std::move(listener).error();
  Scope scope;
  auto server = [](Listener& l) -> Task<void> {
    auto fd = co_await l.accept(soon());
    CHECK(fd.ok());
    auto socket = Socket::adopt(*fd);
    CHECK(socket.ok());
    co_await echo(std::move(*socket));
  };
  scope.spawn(server(*listener));
  auto socket = unix_socket ? co_await Socket::connect_unix(path, soon())
                            : co_await Socket::connect_tcp("localhost", listener->port(), soon());
  if (!socket.ok()) co_return std::move(socket).error();
  std::string sent(bytes, 'x');
  for (size_t i = 0; i < bytes; ++i) sent[i] = static_cast<char>('a' + i % 26);
  auto writer = [](Socket& s, std::string_view text) -> Task<void> {
    const Wait wait = soon();
    CHECK((co_await s.write_all(text, wait)).ok());
  };
  scope.spawn(writer(*socket, sent));
  auto got = co_await read_exactly(*socket, bytes);
  socket->close();
  co_await scope.join();
  if (!got.ok()) co_return std::move(got).error();
  if (*got != sent) co_return fail(Code::kDataLoss, "echo differs");
  co_return Status{};
}

TEST_F(NetTest, TcpEchoOfManyMegabytesIsExact) {
  const Status status = run(echo_round_trip(false, 20'000'000));
  EXPECT_TRUE(status.ok()) << status.error().to_string();
}
TEST_F(NetTest, UnixEchoIsExact) {
  const Status status = run(echo_round_trip(true, 300'000));
  EXPECT_TRUE(status.ok()) << status.error().to_string();
}

TEST_F(NetTest, ShortReadFollowedByHangUpIsSeen) {
  // The peer's bytes and its close can arrive in one event; the reader must still see the end.
  auto body = []() -> Task<std::vector<size_t>> {
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    CHECK(write(pair[1], "abc", 3) == 3);
    close(pair[1]);
    auto socket = Socket::adopt(pair[0]);
    CHECK(socket.ok());
    std::vector<size_t> sizes;
    char buffer[64];
    const Wait wait = soon();
    for (int i = 0; i < 2; ++i) {
      auto got = co_await socket->read_some(buffer, wait);
      sizes.push_back(got.ok() ? *got : 999);
    }
    co_return sizes;
  };
  EXPECT_EQ(run(body()), (std::vector<size_t>{3, 0}));
}

// A pair of connected sockets of the loop that runs.
std::pair<Socket, Socket> socket_pair() {
  int ends[2];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  auto a = Socket::adopt(ends[0]);
  auto b = Socket::adopt(ends[1]);
  CHECK(a.ok() && b.ok());
  return {std::move(*a), std::move(*b)};
}

TEST_F(NetTest, WritesThatDoNotFitGoOnWhenThereIsRoomAgainAndAgain) {
  auto body = []() -> Task<size_t> {
    auto [writer, reader] = socket_pair();
    auto write = [](Socket& socket) -> Task<void> {
      const std::string much(size_t{4} << 20, 'x');
      for (int i = 0; i < 3; ++i) {
        EXPECT_TRUE((co_await socket.write_all(much, soon())).ok());
        EXPECT_TRUE((co_await socket.write_all("y", soon())).ok());
      }
    };
    Scope scope;
    scope.spawn(write(writer));
    size_t total = 0;
    std::vector<char> buffer(size_t{64} << 10);
    while (total < 3 * ((size_t{4} << 20) + 1)) {
      auto got = co_await reader.read_some(buffer, soon());
      if (!got.ok() || *got == 0) break;
      total += *got;
      co_await Loop::current()->yield();
    }
    co_await scope.join();
    co_return total;
  };
  EXPECT_EQ(run(body()), 3 * ((size_t{4} << 20) + 1));
}

TEST_F(NetTest, InputIsKnownFromTheLoopOrByAsking) {
  auto body = []() -> Task<void> {
    auto [a, b] = socket_pair();
    (void)co_await sleep_for(1ms);  // What registering tells is behind us.
    EXPECT_FALSE(b.has_input(false));
    EXPECT_FALSE(b.has_input(true));
    EXPECT_TRUE((co_await a.write_all("x", soon())).ok());
    EXPECT_FALSE(b.has_input(false));  // The loop has not looked since.
    EXPECT_TRUE(b.has_input(true));
    (void)co_await sleep_for(1ms);
    EXPECT_TRUE(b.has_input(false));
    // A read that fills its buffer cannot know that nothing is left: then the kernel is asked.
    char byte;
    EXPECT_EQ((co_await b.read_some({&byte, 1}, soon())).value(), 1u);
    EXPECT_FALSE(b.has_input(false));
    a.close();
    (void)co_await sleep_for(1ms);
    EXPECT_TRUE(b.has_input(false));
  };
  run(body());
}

TEST_F(NetTest, EachWaitMayTakeItsOwnTime) {
  auto body = []() -> Task<void> {
    auto [a, b] = socket_pair();
    const Wait wait{.deadline = base::system_clock().now(), .each = 50ms};  // The deadline does not count.
    char byte;
    auto write_later = [](Socket& socket) -> Task<void> {
      for (int i = 0; i < 3; ++i) {
        (void)co_await sleep_for(10ms);
        (void)co_await socket.write_all("x", soon());
      }
    };
    Scope scope;
    scope.spawn(write_later(a));
    for (int i = 0; i < 3; ++i) EXPECT_TRUE((co_await b.read_some({&byte, 1}, wait)).ok());
    auto late = co_await b.read_some({&byte, 1}, wait);
    EXPECT_FALSE(late.ok());
    if (!late.ok()) EXPECT_EQ(late.error().code(), Code::kDeadlineExceeded);
    co_await scope.join();
  };
  run(body());
}

TEST_F(NetTest, MessagesOfAnySizeArriveWhole) {
  auto body = []() -> Task<void> {
    auto [a, b] = socket_pair();
    PacketStream stream(std::move(b));
    const std::vector<size_t> sizes = {1, 4091, 4092, 4093, 10, 131'072, 300'000, 5, 4092, 4092};
    auto write = [](Socket& socket, const std::vector<size_t>& all) -> Task<void> {
      std::string framed;
      for (const size_t size : all) {
        mysql::PacketWriter writer(framed);
        writer.message(std::string(size, static_cast<char>('a' + size % 26)));
      }
      EXPECT_TRUE((co_await socket.write_all(framed, soon())).ok());
    };
    Scope scope;
    scope.spawn(write(a, sizes));
    for (const size_t size : sizes) {
      auto message = co_await stream.read_message(soon());
      EXPECT_TRUE(message.ok() && message->has_value());
      if (!message.ok() || !message->has_value()) break;
      EXPECT_EQ((*message)->payload, std::string(size, static_cast<char>('a' + size % 26)));
    }
    co_await scope.join();
    a.close();
    auto end = co_await stream.read_message(soon());
    EXPECT_TRUE(end.ok() && !end->has_value());
  };
  run(body());
}

TEST(BlockPool, GivesBlocksAgainBySize) {
  std::vector<void*> blocks;
  for (const size_t size : {1u, 64u, 65u, 1000u, 4096u, 4097u, 32'768u, 100'000u}) {
    void* const first = BlockPool::take(size);
    std::memset(first, 1, size);
    BlockPool::give(first, size);
    void* const second = BlockPool::take(size);
    std::memset(second, 2, size);
    blocks.push_back(second);
    BlockPool::give(second, size);
  }
  // Taken on one thread, given back on another, which ends.
  void* const here = BlockPool::take(100);
  std::thread([here] {
    BlockPool::give(BlockPool::take(100), 100);
    BlockPool::give(here, 100);
  }).join();
}

TEST(BlockPool, KeepsNoMoreThanItsBound) {
  for (const size_t size : {BlockPool::kLargest, BlockPool::kBuffer}) {
    std::vector<void*> blocks;
    for (size_t i = 0; i < 3 * BlockPool::kKeptBytes / size; ++i) blocks.push_back(BlockPool::take(size));
    std::sort(blocks.begin(), blocks.end());
    EXPECT_EQ(std::unique(blocks.begin(), blocks.end()), blocks.end());
    for (void* const block : blocks) BlockPool::give(block, size);
  }
}

TEST(SpareText, IsEmptyAndHasRoom) {
  const char* room = nullptr;
  {
    SpareText text;
    text->append(1000, 'x');
    room = text->data();
  }
  SpareText text;
  EXPECT_TRUE(text->empty());
  EXPECT_GE(text->capacity(), 1000u);
  EXPECT_EQ(text->data(), room);
  SpareText other;
  EXPECT_NE(other->data(), room);
}

TEST_F(NetTest, ReadTimesOutAndTheSocketStaysUsable) {
  auto body = []() -> Task<std::pair<Code, size_t>> {
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    auto socket = Socket::adopt(pair[0]);
    CHECK(socket.ok());
    char buffer[64];
    const Wait brief = Wait::within(5ms);
    auto first = co_await socket->read_some(buffer, brief);
    CHECK(write(pair[1], "abc", 3) == 3);
    const Wait wait = soon();
    auto second = co_await socket->read_some(buffer, wait);
    close(pair[1]);
    co_return std::pair(first.ok() ? Code::kOk : first.error().code(), second.ok() ? *second : 0);
  };
  EXPECT_EQ(run(body()), std::pair(Code::kDeadlineExceeded, size_t{3}));
}

TEST_F(NetTest, AbortEndsAPendingRead) {
  auto body = []() -> Task<bool> {
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    auto socket = Socket::adopt(pair[0]);
    CHECK(socket.ok());
    Scope scope;
    bool ended = false;
    auto reader = [](Socket& s, bool& done) -> Task<void> {
      char buffer[64];
      const Wait wait = soon();
      auto got = co_await s.read_some(buffer, wait);
      done = !got.ok() || *got == 0;
    };
    scope.spawn(reader(*socket, ended));
    socket->abort();
    co_await scope.join();
    close(pair[1]);
    co_return ended;
  };
  EXPECT_TRUE(run(body()));
}

TEST_F(NetTest, TakenPortAndRefusedConnectionAreClearErrors) {
  auto body = []() -> Task<std::pair<Error, Error>> {
    auto first = Listener::listen_tcp("127.0.0.1", 0);
    CHECK(first.ok());
    auto second = Listener::listen_tcp("127.0.0.1", first->port());
    CHECK(!second.ok());
    const uint16_t port = first->port();
    first->close();
    auto refused = co_await Socket::connect_tcp("127.0.0.1", port, soon());
    CHECK(!refused.ok());
    co_return std::pair(second.error(), refused.error());
  };
  const auto [taken, refused] = run(body());
  EXPECT_EQ(taken.code(), Code::kAlreadyExists);
  EXPECT_NE(taken.message().find("another process uses this port"), std::string::npos) << taken.message();
  EXPECT_EQ(refused.code(), Code::kUnavailable);
}

TEST_F(NetTest, PostFromManyThreadsLosesNothing) {
  std::atomic<int> count = 0;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 10'000; ++i) thread_.loop().post([&] { count.fetch_add(1); });
      });
    }
  }
  auto nothing = []() -> Task<int> { co_return 0; };
  run(nothing());
  EXPECT_EQ(count.load(), 40'000);
}

}  // namespace
}  // namespace vitrail::net
