// What a request and its answer cost both ends of a hop, 64 sessions at a time: on connections of their own, and as
// streams of one.
#include <sys/socket.h>

#include <memory>
#include <utility>
#include <vector>

#include "base/bench.h"
#include "net/carrier.h"
#include "net/loop.h"
#include "net/scope.h"
#include "net/socket.h"

namespace {

using namespace vitrail;
using net::Socket;
using net::Task;

constexpr int kSessions = 64;
constexpr int kRounds = 20;
constexpr size_t kRequest = 150;
constexpr size_t kAnswer = 300;

std::pair<Socket, Socket> connection() {
  int ends[2];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  auto a = Socket::adopt(ends[0]);
  auto b = Socket::adopt(ends[1]);
  CHECK(a.ok() && b.ok());
  return {std::move(*a), std::move(*b)};
}

Task<bool> read_all(Socket& socket, size_t size) {
  char buffer[4096];
  const net::Wait wait;
  for (size_t got = 0; got < size;) {
    auto here = co_await socket.read_some(buffer, wait);
    if (!here.ok() || *here == 0) co_return false;
    got += *here;
  }
  co_return true;
}

Task<void> answer(Socket socket) {
  co_await net::Loop::current()->yield();
  const std::string text(kAnswer, 'a');
  const net::Wait wait;
  while (co_await read_all(socket, kRequest)) {
    if (!(co_await socket.write_all(text, wait)).ok()) co_return;
  }
}

Task<void> ask(Socket& socket) {
  const std::string text(kRequest, 'q');
  const net::Wait wait;
  for (int i = 0; i < kRounds; ++i) {
    CHECK((co_await socket.write_all(text, wait)).ok());
    CHECK(co_await read_all(socket, kAnswer));
  }
}

Task<void> ask_all(std::vector<Socket>& sockets, net::Loop& loop) {
  std::vector<Task<void>> tasks;
  for (auto& socket : sockets) tasks.push_back(ask(socket));
  co_await net::when_all(std::move(tasks));
  loop.stop();
}

Task<void> serve(std::shared_ptr<net::Carrier> carrier) { (void)co_await carrier->run(); }

// Runs `task` on the loop of this thread, which it stops.
void run(net::Loop& loop, net::Scope& scope, std::move_only_function<Task<void>()> task) {
  loop.post([&] { scope.spawn(task()); });
  loop.run();
}

Task<void> open(bool carried, net::Scope& scope, std::vector<Socket>& out, net::Loop& loop) {
  std::shared_ptr<net::Carrier> near;
  if (carried) {
    auto [a, b] = connection();
    near = std::make_shared<net::Carrier>(std::move(a), net::kStreamWindow, nullptr, scope.token());
    const auto far = std::make_shared<net::Carrier>(
        std::move(b), net::kStreamWindow, [&scope](Socket stream) { scope.spawn(answer(std::move(stream))); },
        scope.token());
    scope.spawn(serve(near));
    scope.spawn(serve(far));
  }
  for (int i = 0; i < kSessions; ++i) {
    if (carried) {
      auto stream = near->open();
      CHECK(stream.ok());
      out.push_back(std::move(*stream));
    } else {
      auto [a, b] = connection();
      out.push_back(std::move(a));
      scope.spawn(answer(std::move(b)));
    }
  }
  loop.stop();
  co_return;
}

Task<void> end(net::Scope& scope, std::vector<Socket>& sockets, net::Loop& loop, bool& done) {
  sockets.clear();
  scope.request_stop();
  co_await scope.join();
  done = true;
  loop.stop();
}

}  // namespace

int main(int argc, char** argv) {
  const base::Bench bench(argc, argv);
  for (const bool carried : {false, true}) {
    net::Loop loop;
    net::Scope scope;
    net::Scope work;
    std::vector<Socket> sockets;
    run(loop, work, [&] { return open(carried, scope, sockets, loop); });
    bench.measure(carried ? "hop, a stream" : "hop, a connection", uint64_t{kSessions} * kRounds,
                  carried ? 1500 : 15'000, [&] { run(loop, work, [&] { return ask_all(sockets, loop); }); });
    bool done = false;
    run(loop, work, [&] { return end(scope, sockets, loop, done); });
    CHECK(done);
  }
  return 0;
}
