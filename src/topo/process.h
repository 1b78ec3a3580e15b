#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "net/scope.h"
#include "topo/server.h"

// Which programs run, besides the tablets, which have records of their own. Each holds
// "processes/<program>/<host>:<port>" of the global topology as a lock, whose contents tell of it: it goes away with
// its holder. docs/formats/topology.md
namespace vitrail::topo {

struct Process {
  std::string program;  // "vtgate"
  std::string host;     // With `port`: where its HTTP pages are.
  uint16_t port = 0;
  bool http_tls = false;
  std::string version;
  std::string cell;
  int64_t started_ms = 0;  // Since the epoch.

  std::string to_json() const;
  // kDataLoss: no such JSON, or no address in it.
  static Result<Process> from_json(std::string_view text);
};

// Those that run, sorted by program and address. One that has ended without a farewell stays for kAnnouncementTtl.
inline constexpr std::string_view kProcessesDir = "processes";
inline constexpr std::chrono::seconds kAnnouncementTtl{15};
net::Task<Result<std::vector<Process>>> list_processes(Server& server);

// Announces this process, in the background and again whenever the topology has lost it.
//   Threads: one loop. stop() before destruction, and before the topology is closed.
class Announcement {
 public:
  // `bind_address` is where HTTP listens; where that is every address, other machines are told this one's name.
  Announcement(Server& server, Process process, std::string bind_address);
  net::Task<void> start();
  net::Task<void> stop();

 private:
  static net::Task<void> hold(Server& server, Process process, net::CancelToken cancel);

  Server& server_;
  Process process_;
  net::Scope scope_;
};

}  // namespace vitrail::topo
