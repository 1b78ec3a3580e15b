#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "net/scope.h"
#include "topo/server.h"
#include "topodata.pb.h"
#include "vschema.pb.h"

namespace vitrail::topo {

// What a router knows of the topology: immutable, shared with readers on any thread.
struct ServingState {
  using Keyspaces = std::map<std::string, std::shared_ptr<const ::topodata::SrvKeyspace>, std::less<>>;
  using Tablets = std::map<std::string, std::shared_ptr<const ::topodata::Tablet>, std::less<>>;  // By alias text.

  std::shared_ptr<const ::vschema::SrvVSchema> vschema;  // Null: never seen, or deleted.
  std::shared_ptr<const Keyspaces> keyspaces;            // Of the own cell. Never null.
  std::shared_ptr<const Tablets> tablets;                // Of all watched cells. Never null.
  uint64_t generation = 0;                               // Counts the states of one watcher.
  // Every source was read completely at least once. Before that a missing keyspace or tablet means nothing.
  bool complete = false;
  bool restored = false;  // Some of it comes from Options::cache_file and was not yet confirmed by the topology.
};

// Keeps the last known serving state of a cell, whatever happens to the topology: watches are made again with backoff,
// and what was known stays known until the store says otherwise.
//
//   Threads : confined to the loop that start()ed it; current() from any thread.
//   Time    : real time (backoff between 100 ms and 10 s, with jitter).
//   Outage  : what was known is also kept on disk (Options::cache_file), so that a start during an outage has it too.
//   Bound   : one task per source (three for the own cell, one for each other cell); states are coalesced, so that a
//             flood of changes makes few of them.
class SrvWatcher {
 public:
  struct Options {
    std::string cell;                       // SrvVSchema and SrvKeyspace come from here.
    std::vector<std::string> tablet_cells;  // Tablets come from these; the own cell when empty.
    base::Duration min_backoff = std::chrono::milliseconds(100);
    base::Duration max_backoff = std::chrono::seconds(10);
    // Shortest time between two states, once complete. Longer when making them takes long.
    base::Duration min_interval = std::chrono::milliseconds(2);
    std::string cache_file = {};  // Empty: nothing is kept.
    // The cached state is used for what the topology has not given after its first failure or this long.
    base::Duration cache_after = std::chrono::seconds(2);
    base::Duration cache_interval = std::chrono::seconds(1);  // Shortest time between two writes of the file.
  };
  using OnChange = std::move_only_function<void(std::shared_ptr<const ServingState>)>;

  // `on_change` runs on the loop for each new state (must not suspend or destroy the watcher). `server` must outlive
  // it.
  SrvWatcher(Server& server, Options options, OnChange on_change);
  ~SrvWatcher();  // stop() must have returned.

  void start();
  net::Task<void> stop();

  // The newest state; never null.
  std::shared_ptr<const ServingState> current() const;
  // Until `complete`.
  net::Task<Status> wait_complete(net::Wait wait);

  struct Counters {
    uint64_t reconnects = 0;   // Watches that had to be made again.
    uint64_t undecodable = 0;  // Records left out because their bytes made no sense.
    std::string last_error;
  };
  Counters counters() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace vitrail::topo
