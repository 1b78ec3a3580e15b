#pragma once

#include <google/protobuf/map.h>

#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "control/tablet_client.h"
#include "control/workflow/engine/record.h"
#include "tabletmanagerdata.pb.h"
#include "topo/record.h"
#include "topodata.pb.h"

namespace vitrail::control {

// What the streams of a workflow are created with. Kept in the workflow's record, so that they can be made again.
struct StreamSettings {
  std::vector<std::string> cells;
  std::vector<::topodata::TabletType> tablet_types;  // Empty: replicas, else primaries.
  ::tabletmanagerdata::TabletSelectionPreference preference = ::tabletmanagerdata::INORDER;
  std::string on_ddl;
  bool stop_after_copy = false;
  bool defer_secondary_keys = false;
  bool atomic_copy = false;
  std::map<std::string, std::string> overrides;  // --config-overrides.
  std::string source_time_zone;                  // Of its DATETIME values; the target's are UTC. Empty: as they are.

  std::map<std::string, std::string> to_options() const;
  static StreamSettings from_options(const google::protobuf::Map<std::string, std::string>& options);
  // From the streams themselves.
  static StreamSettings from_streams(const ::tabletmanagerdata::ReadVReplicationWorkflowResponse& streams);
  ::binlogdata::OnDDLAction on_ddl_action() const;
  // What the request changes of them.
  void update(const ::tabletmanagerdata::UpdateVReplicationWorkflowRequest& change);
  void apply_to(::tabletmanagerdata::CreateVReplicationWorkflowRequest& request) const;
};

// Whether streams can be told to read there. kNotFound: no such cell (or cell alias); kInvalidArgument: tablets of this
// type have nothing to read from.
net::Task<Status> check_sources(topo::Server& topology, std::vector<std::string> cells, std::vector<int> types);
// The options column of the workflow's streams, JSON of vtctldata.WorkflowOptions: what was asked for when it was
// created.
std::string stream_options(const engine::Record& record);

Status check_on_ddl(const std::string& word);

// Denies tables on the primary of a shard, or allows them again. The tablet is not told: RefreshState.
net::Task<Status> deny_tables(TabletClient& tablets, topo::WriteGuard guard, std::string keyspace, std::string shard,
                              std::vector<std::string> tables, bool deny);

}  // namespace vitrail::control
