#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/process.h"
#include "topo/conformance/fixture.h"

namespace vitrail::topo::conformance {

// A real etcd of one or several members, on free ports, with its data in a folder of its own. Ends with this object,
// and with this process however that ends.
class EtcdServer {
 public:
  struct Options {
    int members = 1;
    // Further arguments of every member ("--cert-file=...").
    std::vector<std::string> arguments = {};
    bool https = false;
  };
  EtcdServer();
  explicit EtcdServer(Options options);
  ~EtcdServer();
  EtcdServer(const EtcdServer&) = delete;
  EtcdServer& operator=(const EtcdServer&) = delete;

  // "127.0.0.1:port" of every member, with commas between.
  std::string address() const;
  const std::string& address(size_t member) const { return members_[member].address; }
  // Waits until every running member answers.
  void await_ready();

  void kill_all();
  void start_all();             // Those that do not run, with the data that they had.
  void signal_all(int number);  // SIGSTOP: returns when they have stopped.
  void kill(size_t member);
  size_t leader();  // Index of the member that leads.

  // What etcdctl, etcd's own client, prints; a failure of it fails the test. `arguments` go behind the addresses of
  // the members that run.
  std::string ctl(std::vector<std::string> arguments);

 private:
  struct Member {
    std::string name;
    std::string address;  // host:port for clients.
    std::string peer;
    std::optional<base::ChildProcess> process;
  };
  void start(Member& member);

  const Options options_;
  TempFolder folder_{true};
  std::vector<Member> members_;
};

// One etcd for all tests of this process; each Environment has roots of its own on it.
Implementation etcd_implementation();

}  // namespace vitrail::topo::conformance
