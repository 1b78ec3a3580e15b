#include "topo/conformance/zookeeper_server.h"

#include <fmt/core.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <fstream>

#include "base/file.h"
#include "topo/store_kinds.h"

namespace vitrail::topo::conformance {
namespace {

using namespace std::chrono_literals;

class ZookeeperEnvironment final : public Environment {
 public:
  ZookeeperEnvironment(ZookeeperServer& server, int number) : server_(server), root_(fmt::format("/test{}", number)) {}
  net::Task<Result<std::shared_ptr<Store>>> open(std::string root) override {
    return open_store("zk2", server_.address(), root_ + root);
  }

 private:
  ZookeeperServer& server_;
  const std::string root_;
};

}  // namespace

ZookeeperServer::ZookeeperServer() : ZookeeperServer(Options{}) {}

ZookeeperServer::ZookeeperServer(Options options) : options_(options) {
  const uint16_t port = free_port();
  address_ = fmt::format("127.0.0.1:{}", port);
  std::ofstream(folder_.file("zoo.cfg")) << fmt::format(
      "tickTime={}\nmaxSessionTimeout={}\ndataDir={}\nclientPort={}\nclientPortAddress=127.0.0.1\n"
      "maxClientCnxns=0\nadmin.enableServer=false\n",
      kTickMs, options_.session_max.count(), folder_.file("data"), port);
  start();
}

ZookeeperServer::~ZookeeperServer() { kill(); }

void ZookeeperServer::start() {
  base::SpawnOptions spawn;
  spawn.argv = {"setpriv",
                "--pdeathsig",
                "KILL",
                "java",
                "-Xmx512m",
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",
                fmt::format("-Djute.maxbuffer={}", options_.max_buffer),
                "-cp",
                "/usr/share/java/*",
                "org.apache.zookeeper.server.quorum.QuorumPeerMain",
                folder_.file("zoo.cfg")};
  spawn.stdout_path = spawn.stderr_path = folder_.file("log");
  auto process = base::ChildProcess::spawn(spawn);
  ASSERT_OK(process);
  process_.emplace(std::move(*process));
  Runner runner;
  const auto deadline = base::system_clock().now() + 60s;
  for (;;) {
    auto store = runner.run(open_store("zk2", address_, "/ready"));
    ASSERT_OK(store);
    const auto record = runner.run((*store)->get("x", net::Wait::within(5s)));
    runner.run((*store)->close());
    if (record.ok() || record.error().code() == Code::kNotFound) return;
    if (base::system_clock().now() > deadline) {
      const auto log = base::read_file(folder_.file("log"));
      FAIL() << "ZooKeeper does not answer: " << (log.ok() ? *log : "");
    }
  }
}

void ZookeeperServer::kill() {
  if (!process_) return;
  ASSERT_OK(process_->kill(SIGKILL));
  ASSERT_OK(process_->wait(10s));
  process_.reset();
}

void ZookeeperServer::signal(int number) { ASSERT_OK(process_->kill(number)); }

Implementation zookeeper_implementation() {
  return {"zk2", [] {
            static ZookeeperServer server;
            static std::atomic<int> count = 0;
            return std::make_unique<ZookeeperEnvironment>(server, ++count);
          }};
}

}  // namespace vitrail::topo::conformance
