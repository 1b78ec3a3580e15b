#pragma once

#include <string>
#include <vector>

#include "control/workflow/model.h"

namespace vitrail::control {

struct SwitchOptions {
  std::string keyspace;  // Target keyspace of the forward workflow.
  std::string workflow;
  bool reverse = false;
  std::vector<std::string> cells;  // For reads; empty: all.
  std::vector<::topodata::TabletType> types = {::topodata::PRIMARY, ::topodata::REPLICA, ::topodata::RDONLY};
  base::Duration timeout = std::chrono::seconds(30);
  base::Duration max_lag = std::chrono::seconds(30);
  bool enable_reverse_replication = true;
  bool initialize_sequences = false;
  bool dry_run = false;
  std::vector<std::string> shards;  // All of the workflow's, or none named: they go together.
  bool force = false;               // Also when tablets of both sides cannot be told.
  // Of reads alone, and of shards: those that they leave are not told. They serve on until somebody refreshes them.
  bool skip_refresh = false;
};

struct SwitchOutcome {
  std::string start_state;
  std::string current_state;
  std::vector<std::string> dry_run;
};

// SwitchTraffic and ReverseTraffic, for MoveTables and Reshard (S1-29 .. S1-80). A reverse workflow's name means its
// workflow the other way round.
//   Refusals: kFailedPrecondition "cannot switch traffic for workflow W at this time: ...": nothing has changed.
net::Task<Result<SwitchOutcome>> switch_traffic(TabletClient& tablets, SwitchOptions options);

// Workflow names of one keyspace, sorted, reverse ones included. Shards whose primary does not answer are left out when
// another one of the keyspace does.
net::Task<Result<std::vector<std::string>>> list_workflows(TabletClient& tablets, std::string keyspace, net::Wait wait);

}  // namespace vitrail::control
