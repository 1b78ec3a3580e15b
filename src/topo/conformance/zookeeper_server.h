#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "base/process.h"
#include "topo/conformance/fixture.h"

namespace vitrail::topo::conformance {

// A real ZooKeeper on a free port, with its data in a folder of its own. Ends with this object, and with this process
// however that ends.
class ZookeeperServer {
 public:
  // Sessions may be as short as twice this.
  static constexpr int kTickMs = 100;
  struct Options {
    int max_buffer = 4 << 20;                       // jute.maxbuffer
    std::chrono::milliseconds session_max{60'000};  // Longest session, whatever clients ask for.
  };
  ZookeeperServer();
  explicit ZookeeperServer(Options options);
  ~ZookeeperServer();
  ZookeeperServer(const ZookeeperServer&) = delete;
  ZookeeperServer& operator=(const ZookeeperServer&) = delete;

  const std::string& address() const { return address_; }
  void start();  // With the data that it had. Waits until it answers.
  void kill();
  void signal(int number);

 private:
  const Options options_;
  TempFolder folder_{true};
  std::string address_;
  std::optional<base::ChildProcess> process_;
};

// One ZooKeeper for all tests of this process; each Environment has roots of its own on it.
Implementation zookeeper_implementation();

}  // namespace vitrail::topo::conformance
