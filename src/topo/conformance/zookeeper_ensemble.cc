#include "topo/conformance/zookeeper_ensemble.h"

#include <arpa/inet.h>
#include <fmt/core.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <mutex>
#include <thread>

#include "base/check.h"
#include "base/file.h"
#include "topo/store_kinds.h"

namespace vitrail::topo::conformance {
namespace {

using namespace std::chrono_literals;

sockaddr_in loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

void wait_until_it_answers(const std::string& address) {
  Runner runner;
  const auto deadline = base::system_clock().now() + 60s;
  for (;;) {
    auto store = runner.run(open_store("zk2", address, "/ready"));
    ASSERT_OK(store);
    const auto record = runner.run((*store)->get("x", net::Wait::within(5s)));
    runner.run((*store)->close());
    if (record.ok() || record.error().code() == Code::kNotFound) return;
    ASSERT_LT(base::system_clock().now(), deadline) << "ZooKeeper does not answer at " << address;
  }
}

}  // namespace

// ---- SlowLink

struct SlowLink::State {
  int listener = -1;
  uint16_t to = 0;
  std::chrono::milliseconds later{};
  std::thread acceptor;
  std::mutex mutex;  // Guards the rest.
  std::vector<int> sockets;
  std::vector<std::thread> pumps;

  void pump(int from, int into, std::chrono::milliseconds wait) {
    char buffer[4096];
    for (;;) {
      const ssize_t bytes = ::read(from, buffer, sizeof buffer);
      if (bytes <= 0) break;
      std::this_thread::sleep_for(wait);  // The slowness itself.
      if (::send(into, buffer, static_cast<size_t>(bytes), MSG_NOSIGNAL) != bytes) break;
    }
    ::shutdown(into, SHUT_RDWR);
    ::shutdown(from, SHUT_RDWR);
  }

  void accept() {
    for (;;) {
      const int near = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
      if (near < 0) return;
      const int far = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      const sockaddr_in target = loopback(to);
      const int on = 1;
      ::setsockopt(near, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      ::setsockopt(far, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      const std::scoped_lock lock(mutex);
      sockets.insert(sockets.end(), {near, far});
      if (::connect(far, reinterpret_cast<const sockaddr*>(&target), sizeof target) != 0) {
        ::shutdown(near, SHUT_RDWR);
        continue;
      }
      pumps.emplace_back([this, near, far] { pump(near, far, 0ms); });
      pumps.emplace_back([this, near, far] { pump(far, near, later); });
    }
  }
};

SlowLink::SlowLink(uint16_t to, std::chrono::milliseconds later) : state_(std::make_shared<State>()) {
  State& state = *state_;
  state.to = to;
  state.later = later;
  state.listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = loopback(0);
  socklen_t length = sizeof address;
  CHECK(::bind(state.listener, reinterpret_cast<sockaddr*>(&address), length) == 0);
  CHECK(::listen(state.listener, 16) == 0);
  CHECK(::getsockname(state.listener, reinterpret_cast<sockaddr*>(&address), &length) == 0);
  port_ = ntohs(address.sin_port);
  state.acceptor = std::thread([&state] { state.accept(); });
}

SlowLink::~SlowLink() {
  ::shutdown(state_->listener, SHUT_RDWR);
  state_->acceptor.join();
  for (const int socket : state_->sockets) ::shutdown(socket, SHUT_RDWR);
  for (std::thread& pump : state_->pumps) pump.join();
  for (const int socket : state_->sockets) ::close(socket);
  ::close(state_->listener);
}

// ---- ZookeeperEnsemble

ZookeeperEnsemble::ZookeeperEnsemble(std::chrono::milliseconds later) {
  std::array<uint16_t, kServers> quorum{};
  std::array<uint16_t, kServers> election{};
  for (size_t i = 0; i < kServers; ++i) {
    quorum[i] = free_port();
    election[i] = free_port();
    addresses_[i] = fmt::format("127.0.0.1:{}", free_port());
  }
  // Of several that have the same, the one with the highest number leads: never the first.
  for (size_t i = 0; i < kServers; ++i) {
    std::string servers;
    for (size_t j = 0; j < kServers; ++j) {
      uint16_t port = quorum[j];
      // A link takes connections before its server does: who elects a leader through it may think that it failed.
      const bool slow = later > 0ms && i == kLagging && j != i;
      if (slow) port = links_.emplace_back(std::make_unique<SlowLink>(port, later))->port();
      servers += fmt::format("server.{}=127.0.0.1:{}:{}\n", j + 1, port, election[j]);
    }
    start(i, servers);
  }
  for (const std::string& address : addresses_) wait_until_it_answers(address);
}

void ZookeeperEnsemble::start(size_t server, const std::string& servers) {
  const std::string name = fmt::format("server{}", server + 1);
  const std::string data = folder_.file(name);
  std::filesystem::create_directories(data);
  std::ofstream(data + "/myid") << server + 1;
  std::ofstream(folder_.file(name + ".cfg")) << fmt::format(
      "tickTime=100\ninitLimit=200\nsyncLimit=200\ndataDir={}\nclientPort={}\nclientPortAddress=127.0.0.1\n"
      "maxClientCnxns=0\nadmin.enableServer=false\n{}",
      data, addresses_[server].substr(addresses_[server].rfind(':') + 1), servers);
  base::SpawnOptions spawn;
  spawn.argv = {"setpriv",
                "--pdeathsig",
                "KILL",
                "java",
                "-Xmx128m",
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",
                "-cp",
                "/usr/share/java/*",
                "org.apache.zookeeper.server.quorum.QuorumPeerMain",
                folder_.file(name + ".cfg")};
  spawn.stdout_path = spawn.stderr_path = folder_.file(name + ".log");
  auto process = base::ChildProcess::spawn(spawn);
  ASSERT_OK(process);
  processes_.push_back(std::move(*process));
}

void ZookeeperEnsemble::signal(size_t server, int number) {
  (void)processes_[server].kill(number);
  if (number == SIGSTOP) await_stopped(processes_[server].pid());
}

void ZookeeperEnsemble::kill(size_t server) {
  (void)processes_[server].kill(SIGKILL);
  (void)processes_[server].wait(10s);
}

ZookeeperEnsemble::~ZookeeperEnsemble() {
  for (auto& process : processes_) (void)process.kill(SIGKILL);
  for (auto& process : processes_) (void)process.wait(10s);
}

}  // namespace vitrail::topo::conformance
