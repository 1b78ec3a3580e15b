#include "topo/conformance/fixture.h"

#include <arpa/inet.h>
#include <fmt/core.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "base/check.h"
#include "topo/memory/memory_store.h"
#include "topo/server.h"

namespace vitrail::topo::conformance {
namespace {

class NamedServer final : public Environment {
 public:
  NamedServer(std::string implementation, std::string address)
      : implementation_(std::move(implementation)), address_(std::move(address)) {}
  net::Task<Result<std::shared_ptr<Store>>> open(std::string root) override {
    return open_store(implementation_, address_, std::move(root));
  }

 private:
  const std::string implementation_;
  const std::string address_;
};

class SqliteServer final : public Environment {
 public:
  net::Task<Result<std::shared_ptr<Store>>> open(std::string root) override {
    return open_store("sqlite", folder_.file("topo.db"), std::move(root));
  }

 private:
  TempFolder folder_;
};

bool every_thread_is_stopped(pid_t pid) {
  std::error_code ignored;
  for (const auto& task : std::filesystem::directory_iterator(fmt::format("/proc/{}/task", pid), ignored)) {
    std::string stat;
    std::getline(std::ifstream(task.path() / "stat"), stat);
    const size_t name_end = stat.rfind(')');  // "<id> (<name>) <state> ..."
    if (name_end == std::string::npos || name_end + 2 >= stat.size() || stat[name_end + 2] != 'T') return false;
  }
  return true;
}

}  // namespace

void await_stopped(int pid) {
  const auto deadline = base::system_clock().now() + std::chrono::seconds(10);
  while (!every_thread_is_stopped(pid)) {
    ASSERT_LT(base::system_clock().now(), deadline) << "process " << pid << " does not stop";
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

std::chrono::seconds outage(std::chrono::seconds ordinary) {
  const char* text = std::getenv("VITRAIL_OUTAGE_SECONDS");
  return text == nullptr ? ordinary : std::chrono::seconds(std::max(1, std::atoi(text)));
}

uint16_t free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  CHECK(::bind(fd, reinterpret_cast<sockaddr*>(&address), length) == 0);
  CHECK(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) == 0);
  ::close(fd);
  return ntohs(address.sin_port);
}

TempFolder::TempFolder(bool in_memory) {
  std::error_code ignored;
  const std::filesystem::path memory = "/dev/shm";
  const auto space = std::filesystem::space(memory, ignored);
  const bool room = !ignored && space.available > (1ull << 30) && access(memory.c_str(), W_OK) == 0;
  const auto parent = in_memory && room ? memory : std::filesystem::temp_directory_path();
  std::string pattern = (parent / "vitrail-topo-XXXXXX").string();
  CHECK(mkdtemp(pattern.data()) != nullptr);
  path_ = pattern;
}

TempFolder::~TempFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

Implementation memory_implementation() {
  return {"memory", [] {
            static std::atomic<int> count = 0;
            return std::make_unique<NamedServer>("memory", "conformance-" + std::to_string(++count));
          }};
}

Implementation sqlite_implementation() {
  return {"sqlite", [] { return std::make_unique<SqliteServer>(); }};
}

bool wait_for_change(Runner& runner, Watch& watch, const std::function<bool(const Change&)>& done) {
  const net::Wait wait = soon();
  for (;;) {
    const auto changes = runner.run(watch.next(wait));
    if (!changes.ok()) {
      ADD_FAILURE() << changes.error().to_string();
      return false;
    }
    for (const Change& change : *changes) {
      if (done(change)) return true;
    }
  }
}

}  // namespace vitrail::topo::conformance
