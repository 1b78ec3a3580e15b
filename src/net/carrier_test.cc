#include "net/carrier.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <deque>

#include "net/packet_stream.h"

namespace vitrail::net {
namespace {

using namespace std::chrono_literals;

Wait soon() { return Wait::within(10s); }

// Both ends of a connection that carries streams; what is opened at one end comes out at the other.
class Ends {
 public:
  Ends() {
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    auto a = Socket::adopt(ends[0]);
    auto b = Socket::adopt(ends[1]);
    CHECK(a.ok() && b.ok());
    near_ = std::make_shared<Carrier>(std::move(*a), kStreamWindow, nullptr, scope_.token());
    const auto accept = [this](Socket stream) {
      accepted_.push_back(std::move(stream));
      arrived_.notify_all();
    };
    far_ = std::make_shared<Carrier>(std::move(*b), kStreamWindow, accept, scope_.token());
    scope_.spawn(serve(near_, near_ended_));
    scope_.spawn(serve(far_, far_ended_));
  }
  Task<std::pair<Socket, Socket>> open() {
    auto ours = near_->open();
    CHECK(ours.ok());
    const Wait wait = soon();
    while (accepted_.empty()) CHECK((co_await arrived_.wait(wait)).ok());
    Socket theirs = std::move(accepted_.front());
    accepted_.pop_front();
    co_return std::pair(std::move(*ours), std::move(theirs));
  }
  Task<void> end() {
    scope_.request_stop();
    co_await scope_.join();
  }
  Carrier& near() { return *near_; }
  Carrier& far() { return *far_; }
  Scope& scope() { return scope_; }
  bool both_ended() const { return near_ended_ && far_ended_; }

 private:
  static Task<void> serve(std::shared_ptr<Carrier> carrier, bool& ended) {
    EXPECT_TRUE((co_await carrier->run()).ok());
    ended = true;
  }
  Scope scope_;
  Signal arrived_;
  std::deque<Socket> accepted_;
  std::shared_ptr<Carrier> near_, far_;
  bool near_ended_ = false, far_ended_ = false;
};

Task<std::string> read_text(Socket& socket) {
  std::string buffer(1000, 0);
  const Wait wait = soon();
  auto got = co_await socket.read_some(buffer, wait);
  if (!got.ok()) co_return got.error().message();
  buffer.resize(*got);
  co_return buffer;
}

Task<void> write_much(Socket& socket, size_t size) {
  const std::string much(size, 'x');
  const Wait wait = soon();
  EXPECT_TRUE((co_await socket.write_all(much, wait)).ok());
}

Task<void> read_much(Socket& socket, size_t size, size_t step) {
  std::string buffer(step, 0);
  const Wait wait = soon();
  for (size_t total = 0; total < size;) {
    auto got = co_await socket.read_some(buffer, wait);
    if (!got.ok() || *got == 0) {
      ADD_FAILURE() << "it ends after " << total;
      co_return;
    }
    total += *got;
  }
}

class CarrierTest : public testing::Test {
 protected:
  void run(Task<void> task) { block_on(thread_.loop(), std::move(task)); }
  LoopThread thread_{"test"};
};

TEST_F(CarrierTest, StreamsAreLikeSockets) {
  auto body = []() -> Task<void> {
    Ends ends;
    auto [a, b] = co_await ends.open();
    EXPECT_TRUE(a.carried() && a.open() && a.is_unix() && !a.encrypted());
    const Wait wait = soon();
    EXPECT_TRUE((co_await a.write_all("hello", wait)).ok());
    EXPECT_EQ(co_await read_text(b), "hello");
    EXPECT_FALSE(a.has_input());
    EXPECT_TRUE((co_await b.write_all("and back", wait)).ok());
    EXPECT_EQ(co_await read_text(a), "and back");
    const Wait brief = Wait::within(5ms);
    char byte;
    auto late = co_await a.read_some({&byte, 1}, brief);
    EXPECT_TRUE(!late.ok() && late.error().code() == Code::kDeadlineExceeded);
    EXPECT_TRUE((co_await b.write_all("again", wait)).ok());
    EXPECT_EQ(co_await read_text(a), "again");
    CancelSource gone;
    b.cancel_when_gone(&gone);
    a.close();
    EXPECT_EQ(co_await read_text(b), "");
    EXPECT_TRUE(gone.cancelled() && b.has_input());
    EXPECT_FALSE((co_await b.write_all("x", wait)).ok());
    co_await ends.end();
  };
  run(body());
}

TEST_F(CarrierTest, MuchPassesInBothDirectionsOfManyStreams) {
  auto body = []() -> Task<void> {
    Ends ends;
    constexpr size_t kSize = size_t{3} << 20;
    std::vector<std::pair<Socket, Socket>> pairs;
    for (int i = 0; i < 8; ++i) pairs.push_back(co_await ends.open());
    std::vector<Task<void>> tasks;
    for (auto& [a, b] : pairs) {
      tasks.push_back(write_much(a, kSize));
      tasks.push_back(write_much(b, kSize));
      tasks.push_back(read_much(a, kSize, 7000));
      tasks.push_back(read_much(b, kSize, 300'000));
    }
    co_await when_all(std::move(tasks));
    pairs.clear();
    co_await ends.end();
  };
  run(body());
}

TEST_F(CarrierTest, OneThatNobodyReadsStallsNobodyElse) {
  auto body = []() -> Task<void> {
    Ends ends;
    auto [stalled, unread] = co_await ends.open();
    auto [a, b] = co_await ends.open();
    const std::string much(size_t{1} << 20, 'x');
    const Wait brief = Wait::within(20ms);
    Status stuck = co_await stalled.write_all(much, brief);
    EXPECT_TRUE(!stuck.ok() && stuck.error().code() == Code::kDeadlineExceeded);
    std::vector<Task<void>> tasks;
    tasks.push_back(write_much(a, size_t{2} << 20));
    tasks.push_back(read_much(b, size_t{2} << 20, 10'000));
    co_await when_all(std::move(tasks));
    co_await ends.end();
  };
  run(body());
}

TEST_F(CarrierTest, ItsEndIsTheEndOfItsStreams) {
  auto body = []() -> Task<void> {
    Ends ends;
    auto [a, b] = co_await ends.open();
    CancelSource gone;
    b.cancel_when_gone(&gone);
    const Wait wait = soon();
    EXPECT_TRUE((co_await a.write_all("last words", wait)).ok());
    ends.near().close();
    EXPECT_EQ(co_await read_text(b), "last words");
    EXPECT_EQ(co_await read_text(b), "");
    EXPECT_EQ(co_await read_text(a), "");
    EXPECT_TRUE(gone.cancelled());
    EXPECT_FALSE((co_await a.write_all("x", wait)).ok());
    EXPECT_FALSE(ends.near().usable());
    EXPECT_FALSE(ends.near().open().ok());
    co_await ends.scope().join();
    EXPECT_TRUE(ends.both_ended());
  };
  run(body());
}

TEST_F(CarrierTest, AnAbortedStreamWakesItsOwnWaitsAndItsPeer) {
  auto body = []() -> Task<void> {
    Ends ends;
    auto [a, b] = co_await ends.open();
    CancelSource gone;
    a.cancel_when_gone(&gone);
    auto abort_later = [](Socket& socket) -> Task<void> {
      (void)co_await sleep_for(1ms);
      socket.abort();
    };
    Scope scope;
    scope.spawn(abort_later(a));
    EXPECT_EQ(co_await read_text(a), "");
    EXPECT_EQ(co_await read_text(b), "");
    EXPECT_TRUE(gone.cancelled());
    co_await scope.join();
    auto [c, d] = co_await ends.open();
    const Wait wait = soon();
    EXPECT_TRUE((co_await c.write_all("others go on", wait)).ok());
    EXPECT_EQ(co_await read_text(d), "others go on");
    co_await ends.end();
  };
  run(body());
}

TEST_F(CarrierTest, StreamsOutliveIt) {
  auto body = []() -> Task<void> {
    std::optional<std::pair<Socket, Socket>> left;
    {
      Ends ends;
      left = co_await ends.open();
      co_await ends.end();
    }
    EXPECT_EQ(co_await read_text(left->first), "");
    EXPECT_EQ(co_await read_text(left->second), "");
    EXPECT_TRUE(left->first.has_input(true));
  };
  run(body());
}

TEST_F(CarrierTest, AMalformedFrameEndsTheConnectionAndNothingElse) {
  auto body = []() -> Task<void> {
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    auto peer = Socket::adopt(ends[0]);
    auto ours = Socket::adopt(ends[1]);
    CHECK(peer.ok() && ours.ok());
    Scope scope;
    std::vector<Socket> accepted;
    const auto carrier = std::make_shared<Carrier>(
        std::move(*ours), kStreamWindow, [&](Socket stream) { accepted.push_back(std::move(stream)); }, scope.token());
    std::string bytes;
    encode_stream_frame(bytes, {StreamFrame::Type::kOpen, 0, 1});
    encode_stream_frame(bytes, {StreamFrame::Type::kOpen, 0, 1});
    const Wait wait = soon();
    EXPECT_TRUE((co_await peer->write_all(bytes, wait)).ok());
    Status ended = co_await carrier->run();
    EXPECT_TRUE(!ended.ok() && ended.error().code() == Code::kInvalidArgument);
    EXPECT_EQ(accepted.size(), 1u);
    for (auto& stream : accepted) EXPECT_EQ(co_await read_text(stream), "");
    EXPECT_EQ(co_await read_text(*peer), "");
  };
  run(body());
}

}  // namespace
}  // namespace vitrail::net
