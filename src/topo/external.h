#pragma once

#include <memory>
#include <string>
#include <vector>

#include "topo/record.h"
#include "topo/server.h"
#include "topodata.pb.h"

// Other clusters that this one has been told of (Mount): where their topologies are.
namespace vitrail::topo {

// kAlreadyExists. kInvalidArgument: no name, an unknown kind of topology, no server or no root.
net::Task<Status> create_external_cluster(Server& server, std::string name, ::topodata::TopoConfig config);
// kNotFound names it.
net::Task<Result<Versioned<::topodata::ExternalVitessCluster>>> get_external_cluster(Server& server, std::string name);
net::Task<Status> delete_external_cluster(Server& server, std::string name);
// Sorted.
net::Task<Result<std::vector<std::string>>> list_external_clusters(Server& server);

// The topology of such a cluster, with the settings of `server` for stores; close() before destruction.
net::Task<Result<std::unique_ptr<Server>>> open_external_cluster(Server& server, std::string name);

}  // namespace vitrail::topo
