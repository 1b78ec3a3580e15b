#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "control/tablet_client.h"
#include "topo/shard.h"
#include "vtctldata.pb.h"

// Looking for faults: records that contradict each other, tablets that do not answer, servers of one shard that differ.
// Each fault is one text that names what it is about. Nothing is changed, and nothing is locked: what is being changed
// at that moment may show up.
namespace vitrail::control {

// Tablets by keyspace and shard. Read once for everything, since a cell's tablets are one list.
using TabletsByShard = std::map<std::pair<std::string, std::string>, std::vector<::topodata::Tablet>>;

struct TabletIndex {
  TabletsByShard by_shard;
  std::vector<std::string> problems;  // Cells that could not be read.

  const std::vector<::topodata::Tablet>& of(const std::string& keyspace, const std::string& shard) const;
};
// `keyspace` empty: all.
net::Task<Result<TabletIndex>> read_tablets(TabletClient& client, std::string keyspace);

net::Task<Result<::vtctldata::ValidateResponse>> validate_all(TabletClient& client, bool ping_tablets);
net::Task<Result<::vtctldata::ValidateKeyspaceResponse>> validate_keyspace(TabletClient& client, std::string keyspace,
                                                                           const TabletIndex& tablets,
                                                                           bool ping_tablets);
// With `ping_tablets` every tablet must answer, and the replicas must replicate from the primary.
net::Task<std::vector<std::string>> validate_shard(TabletClient& client, const topo::ShardInfo& shard,
                                                   const TabletIndex& tablets, bool ping_tablets);

// Comparisons of tablets with the primary of their shard, and of primaries with the first shard's.
net::Task<Result<::vtctldata::ValidateSchemaKeyspaceResponse>> validate_schema(
    TabletClient& client, ::vtctldata::ValidateSchemaKeyspaceRequest request);
// Tables of the primaries that the keyspace's VSchema does not know.
net::Task<Result<::vtctldata::ValidateVSchemaResponse>> validate_vschema(TabletClient& client,
                                                                         ::vtctldata::ValidateVSchemaRequest request);
net::Task<std::vector<std::string>> validate_version(TabletClient& client, const topo::ShardInfo& shard,
                                                     const TabletIndex& tablets);
net::Task<Result<std::vector<std::string>>> validate_permissions(
    TabletClient& client, ::vtctldata::ValidatePermissionsKeyspaceRequest request);

}  // namespace vitrail::control
