#pragma once

#include <array>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/process.h"
#include "topo/conformance/fixture.h"

namespace vitrail::topo::conformance {

// Forwards TCP connections to a port of this machine. What comes back arrives later.
class SlowLink {
 public:
  SlowLink(uint16_t to, std::chrono::milliseconds later);
  ~SlowLink();
  SlowLink(const SlowLink&) = delete;
  SlowLink& operator=(const SlowLink&) = delete;
  uint16_t port() const { return port_; }

 private:
  struct State;
  const std::shared_ptr<State> state_;  // Also of the threads.
  uint16_t port_ = 0;
};

// Three real ZooKeeper servers, of which the first one follows the leader, and hears of every write `later` than the
// others (0: as they do). They end with this object, and with this process however that ends.
class ZookeeperEnsemble {
 public:
  explicit ZookeeperEnsemble(std::chrono::milliseconds later);
  ~ZookeeperEnsemble();
  ZookeeperEnsemble(const ZookeeperEnsemble&) = delete;
  ZookeeperEnsemble& operator=(const ZookeeperEnsemble&) = delete;

  static constexpr size_t kServers = 3;
  static constexpr size_t kLagging = 0;
  const std::string& address(size_t server) const { return addresses_[server]; }
  // SIGSTOP: as if it could not be reached, though connections to it stand. Returns when it has stopped.
  void signal(size_t server, int number);
  void kill(size_t server);

 private:
  void start(size_t server, const std::string& servers);

  TempFolder folder_{true};
  std::vector<std::unique_ptr<SlowLink>> links_;
  std::array<std::string, kServers> addresses_;
  std::vector<base::ChildProcess> processes_;
};

}  // namespace vitrail::topo::conformance
