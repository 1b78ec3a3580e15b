#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>

#include "control/manager/records.h"
#include "control/manager/tasks.h"
#include "net/scope.h"

namespace vitrail::control::manager {

inline constexpr std::string_view kElection = "workflow_manager";

// Runs the workflows: one of all vtctlds does, which is elected; when it dies, another one goes on. Commands and pages
// change records, at any vtctld; whoever leads sees it.
//
// A task is in the record as running before it begins, and as done when it has ended. Every write of the leader carries
// its leadership as a fence, so that one who was cut off can write nothing any more.
//
//   Threads: one loop.
class Manager {
 public:
  struct Pace {
    base::Duration look = std::chrono::milliseconds(500);
    std::chrono::milliseconds lease{10'000};  // How long the others wait for one who is silent.
  };
  // `id` is shown to operators: "host:port". What it refers to outlives it.
  Manager(topo::Server& topology, Tools& tools, std::string id, Pace pace);
  Manager(topo::Server& topology, Tools& tools, std::string id) : Manager(topology, tools, std::move(id), Pace()) {}

  // Until `cancel`. Tasks that are under way then are left running in their records.
  net::Task<void> run(net::CancelToken cancel);
  bool leads() const { return leads_; }
  // The line that each task which is carried out here said last, by "<uuid>/<task>".
  const std::map<std::string, std::string>& said() const { return said_; }

 private:
  struct Running {
    std::unique_ptr<net::CancelSource> cancel;
  };
  net::Task<Status> lead(topo::Lock& lock, net::CancelToken cancel);
  net::Task<void> advance(net::Scope& scope, topo::Fence fence, std::string uuid);
  net::Task<void> run_task(topo::Fence fence, Record record, std::string id, net::CancelToken cancel);
  void take(const topo::Change& change);
  std::set<std::string> here(const std::string& uuid) const;
  base::WallTime now() const { return topology_.clock().wall_now(); }

  topo::Server& topology_;
  Tools& tools_;
  const std::string id_;
  const Pace pace_;
  bool leads_ = false;
  std::map<std::string, Record> records_;                          // By uuid.
  std::map<std::string, std::map<std::string, Running>> running_;  // By uuid and task.
  std::map<std::string, std::string> said_;
};

}  // namespace vitrail::control::manager
