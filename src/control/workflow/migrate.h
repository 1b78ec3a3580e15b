#pragma once

#include <string>
#include <vector>

#include "control/tablet_client.h"
#include "control/workflow/engine/record.h"
#include "vtctldata.pb.h"

// Migrate: tables of another cluster, which Mount has told of, are copied into a keyspace of this one and followed
// until `complete`. The streams' tablets find their sources by the other cluster's topology. Nothing of the other
// cluster is changed, and no traffic is switched: clients are told to come here.
namespace vitrail::control {

inline constexpr const char* kMigrate = "Migrate";
inline constexpr const char* kMountOption = "mount";                   // In a record's options.
inline constexpr const char* kMountKeyspaceOption = "mount_keyspace";  // Its tables' there.

// The cluster that a workflow takes its rows from; "": this one.
std::string mount_of(const engine::Record& record);
// Whether its streams run for as long as it is there, and nothing is ever switched: Materialize and Migrate.
bool only_follows(const engine::Record& record);

// check_sources() in the cluster that streams read from; "": this one.
net::Task<Status> check_sources_of(TabletClient& tablets, std::string cluster, std::vector<std::string> cells,
                                   std::vector<int> types);

// What `request` names with external_cluster_name. Checks everything that can be checked before anything changes.
net::Task<Status> create_migrate(TabletClient& tablets, ::vtctldata::MoveTablesCreateRequest request);

// Ends the streams; the tables stay, as they are then. kFailedPrecondition: rows are still being copied, or a stream
// has failed.
net::Task<Result<::vtctldata::MigrateCompleteResponse>> complete_migrate(TabletClient& tablets,
                                                                         ::vtctldata::MigrateCompleteRequest request);

}  // namespace vitrail::control
