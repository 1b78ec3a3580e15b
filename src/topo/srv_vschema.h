#pragma once

#include <map>
#include <string>
#include <vector>

#include "topo/record.h"
#include "topo/server.h"
#include "vschema.pb.h"

namespace vitrail::topo {

// kNotFound when the cell has none yet.
net::Task<Result<Versioned<::vschema::SrvVSchema>>> get_srv_vschema(Server& server, std::string cell);
net::Task<Status> put_srv_vschema(Server& server, std::string cell, ::vschema::SrvVSchema record);
net::Task<Status> delete_srv_vschema(Server& server, std::string cell);

// What every cell's SrvVSchema should be now: the VSchemas of all keyspaces (an empty one where none is saved) and all
// kinds of routing rules.
net::Task<Result<::vschema::SrvVSchema>> build_srv_vschema(Server& server);
// Writes it to the cells (empty: all; names or aliases), at the same time; cells whose record is equal already are left
// alone. An Error names every cell that failed; the others are written. Two rebuilds at once cannot leave the older
// state behind: each cell is written with the version that was read before the sources were.
net::Task<Status> rebuild_srv_vschema(Server& server, std::vector<std::string> cells = {});

// Rebuilds the cell's SrvVSchema when that is missing or does not have `keyspace`.
net::Task<Status> add_to_srv_vschema(Server& server, std::string cell, std::string keyspace);

}  // namespace vitrail::topo
