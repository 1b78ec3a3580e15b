#pragma once

#include <memory>
#include <string>
#include <vector>

#include "control/workflow/model.h"
#include "control/workflow/steps.h"

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
  bool dry_run = false;
};

struct SwitchOutcome {
  std::string start_state;
  std::string current_state;
  std::vector<std::string> dry_run;
};

// SwitchTraffic and ReverseTraffic, for MoveTables and Reshard (S1-29 .. S1-80).
//   Refusals: kFailedPrecondition "cannot switch traffic for workflow W at this time: ...": nothing has changed.
net::Task<Result<SwitchOutcome>> switch_traffic(TabletClient& tablets, SwitchOptions options);

// Finishes or undoes the switches that a vtctld had under way when it died. Called when a vtctld starts; waits for the
// locks of whoever is at it now.
net::Task<Status> recover_switches(TabletClient& tablets);

// Workflow names of one keyspace, sorted, reverse ones included.
net::Task<Result<std::vector<std::string>>> list_workflows(TabletClient& tablets, std::string keyspace, net::Wait wait);

// The filter by which a shard of `keyspace` gets its part of a table: "select * from t", with in_keyrange() when the
// keyspace is sharded. kFailedPrecondition when the table has no primary vindex there.
Result<std::string> table_filter(const ::vschema::Keyspace& vschema, const std::string& keyspace,
                                 const std::string& table, const shard::ShardName& shard);

}  // namespace vitrail::control
