#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "control/tablet_client.h"
#include "shard/shard_name.h"
#include "tabletmanagerdata.pb.h"
#include "topo/shard.h"
#include "vschema.pb.h"
#include "vschema/routing_rules.h"
#include "vschema/traffic_state.h"

// A MoveTables or Reshard workflow as it is observed now, on the tablets and in the topology. What it is to be says its
// record (engine/record.h).
namespace vitrail::control {

struct WorkflowShard {
  topo::ShardInfo info;
  ::topodata::Tablet primary;
};

// The streams of one target shard.
struct TargetStreams {
  WorkflowShard shard;
  ::tabletmanagerdata::ReadVReplicationWorkflowResponse workflow;
};

struct WorkflowModel {
  std::string name;
  std::string source_keyspace;
  std::string target_keyspace;
  bool is_reshard = false;
  bool is_partial = false;                       // MoveTables of some of the shards.
  bool is_tenant = false;                        // MoveTables of one tenant's rows.
  std::vector<std::string> tables;               // Of MoveTables; sorted.
  std::map<std::string, WorkflowShard> sources;  // By shard name.
  std::map<std::string, TargetStreams> targets;  // Only shards that have streams.

  vschema::TableMove move() const { return {source_keyspace, target_keyspace, tables}; }
  std::vector<shard::ShardName> source_names() const;
  std::vector<shard::ShardName> target_names() const;
  // The name of the workflow that goes the other way: "w" <-> "w_reverse".
  std::string reverse_name() const;
  bool is_reverse() const;
  bool is_frozen() const;
};

// "27 Nov 26 22:48 UTC", for the headings of dry runs.
std::string rfc822(base::WallTime time);

std::string reverse_workflow_name(std::string_view name);
bool is_reverse_name(std::string_view name);

// Asks the primaries of the shards that its record names; without a record those of all shards of the keyspace.
// kNotFound "the w workflow does not exist in the k keyspace".
net::Task<Result<WorkflowModel>> read_workflow(TabletClient& tablets, std::string keyspace, std::string workflow,
                                               net::Wait wait);

// The workflow in the direction it was created: for "w" itself, or for the workflow whose reverse runs now.
net::Task<Result<vschema::TrafficState>> read_traffic_state(TabletClient& tablets, const WorkflowModel& model);

// "Copying", "Running" ... as stored and shown.
std::string stream_state_name(::binlogdata::VReplicationWorkflowState state);

// Seconds since the moment as of which the target has all that the source's primary had, of the slowest stream; large
// when a stream has not begun.
int64_t transaction_lag_seconds(const WorkflowModel& model, base::WallTime now);

}  // namespace vitrail::control
