#include "topo/conformance/etcd_server.h"

#include <fmt/core.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/file.h"
#include "base/text.h"
#include "topo/store_kinds.h"

namespace vitrail::topo::conformance {
namespace {

using namespace std::chrono_literals;

class EtcdEnvironment final : public Environment {
 public:
  explicit EtcdEnvironment(EtcdServer& server, int number) : server_(server), root_(fmt::format("/test{}", number)) {}
  net::Task<Result<std::shared_ptr<Store>>> open(std::string root) override {
    return open_store("etcd2", server_.address(), root_ + root);
  }

 private:
  EtcdServer& server_;
  const std::string root_;
};

}  // namespace

EtcdServer::EtcdServer() : EtcdServer(Options{}) {}

EtcdServer::EtcdServer(Options options) : options_(std::move(options)) {
  for (int i = 0; i < options_.members; ++i) {
    members_.push_back(Member{.name = fmt::format("member{}", i),
                              .address = fmt::format("127.0.0.1:{}", free_port()),
                              .peer = fmt::format("http://127.0.0.1:{}", free_port())});
  }
  start_all();
}

EtcdServer::~EtcdServer() { kill_all(); }

void EtcdServer::start(Member& member) {
  std::string cluster;
  for (const Member& other : members_) cluster += (cluster.empty() ? "" : ",") + other.name + "=" + other.peer;
  const std::string url = (options_.https ? "https://" : "http://") + member.address;
  base::SpawnOptions spawn;
  // Fast elections: the shortest lease is one and a half of them, in whole seconds.
  spawn.argv = {"setpriv",
                "--pdeathsig",
                "KILL",
                "etcd",
                "--name",
                member.name,
                "--data-dir",
                folder_.file(member.name),
                "--listen-client-urls",
                url,
                "--advertise-client-urls",
                url,
                "--listen-peer-urls",
                member.peer,
                "--initial-advertise-peer-urls",
                member.peer,
                "--initial-cluster",
                cluster,
                "--heartbeat-interval",
                "50",
                "--election-timeout",
                "500",
                "--logger",
                "zap",
                "--log-level",
                "warn"};
  spawn.argv.insert(spawn.argv.end(), options_.arguments.begin(), options_.arguments.end());
  spawn.stdout_path = spawn.stderr_path = folder_.file(member.name + ".log");
  auto process = base::ChildProcess::spawn(spawn);
  ASSERT_OK(process);
  member.process.emplace(std::move(*process));
}

void EtcdServer::start_all() {
  for (Member& member : members_) {
    if (!member.process) start(member);
  }
  if (!options_.https) await_ready();
}

void EtcdServer::await_ready() {
  Runner runner;
  for (const Member& member : members_) {
    if (!member.process) continue;
    auto store = runner.run(open_store("etcd2", member.address, "/ready"));
    ASSERT_OK(store);
    const auto deadline = base::system_clock().now() + 30s;
    for (;;) {
      const auto record = runner.run((*store)->get("x", net::Wait::within(5s)));
      if (record.ok() || record.error().code() == Code::kNotFound) break;
      if (record.error().code() == Code::kUnauthenticated) break;  // Also an answer.
      if (base::system_clock().now() > deadline) {
        const auto log = base::read_file(folder_.file(member.name + ".log"));
        FAIL() << "etcd does not answer: " << record.error().to_string() << "\n" << (log.ok() ? *log : "");
      }
      std::this_thread::sleep_for(20ms);
    }
    runner.run((*store)->close());
  }
}

std::string EtcdServer::address() const {
  std::string all;
  for (const Member& member : members_) all += (all.empty() ? "" : ",") + member.address;
  return all;
}

void EtcdServer::kill(size_t member) {
  if (!members_[member].process) return;
  ASSERT_OK(members_[member].process->kill(SIGKILL));
  ASSERT_OK(members_[member].process->wait(10s));
  members_[member].process.reset();
}

void EtcdServer::kill_all() {
  for (size_t i = 0; i < members_.size(); ++i) kill(i);
}

void EtcdServer::signal_all(int number) {
  for (Member& member : members_) {
    if (!member.process) continue;
    ASSERT_OK(member.process->kill(number));
    if (number == SIGSTOP) await_stopped(member.process->pid());
  }
}

size_t EtcdServer::leader() {
  const auto json = nlohmann::json::parse(ctl({"endpoint", "status", "--write-out=json"}), nullptr, false);
  for (const auto& entry : json) {
    const auto& status = entry["Status"];
    if (status["header"]["member_id"] != status["leader"]) continue;
    for (size_t i = 0; i < members_.size(); ++i) {
      if (entry["Endpoint"] == members_[i].address) return i;
    }
  }
  ADD_FAILURE() << "no member leads: " << json.dump();
  return 0;
}

std::string EtcdServer::ctl(std::vector<std::string> arguments) {
  base::SpawnOptions spawn{.argv = {"etcdctl"}, .environment = {"ETCDCTL_API=3"}};
  std::string running;
  for (const Member& member : members_) {
    if (member.process) running += (running.empty() ? "" : ",") + member.address;
  }
  spawn.argv.push_back("--endpoints=" + running);
  spawn.argv.insert(spawn.argv.end(), arguments.begin(), arguments.end());
  const auto output = base::run_program(spawn, 20s, 8 << 20);
  if (!output.ok() || !output->exit.success()) {
    ADD_FAILURE() << "etcdctl " << base::join(arguments, " ") << ": "
                  << (output.ok() ? output->output : output.error().to_string());
    return "";
  }
  return output->output;
}

Implementation etcd_implementation() {
  return {"etcd2", [] {
            static EtcdServer server;
            static std::atomic<int> count = 0;
            return std::make_unique<EtcdEnvironment>(server, ++count);
          }};
}

}  // namespace vitrail::topo::conformance
