#pragma once

#include <map>
#include <string>
#include <vector>

#include "topo/record.h"
#include "topo/server.h"
#include "topodata.pb.h"

namespace vitrail::topo {

// Sorted names of all cells; empty when there are none yet.
net::Task<Result<std::vector<std::string>>> get_cell_names(Server& server);
// kNotFound names the cell.
net::Task<Result<Versioned<::topodata::CellInfo>>> get_cell_info(Server& server, std::string cell);
// kAlreadyExists when there is one; kInvalidArgument for a bad name.
net::Task<Status> create_cell_info(Server& server, std::string cell, ::topodata::CellInfo info);
// Creates the record when it is missing. Empty fields of `info` leave the old values alone.
net::Task<Status> update_cell_info(Server& server, std::string cell, ::topodata::CellInfo info);
// Refuses with kFailedPrecondition while the cell has SrvKeyspace records or tablets, or its store cannot be asked,
// unless `force`.
net::Task<Status> delete_cell_info(Server& server, std::string cell, bool force);
// The cells themselves when `cells` names any (checked to exist; cell aliases are replaced by their cells), else all.
net::Task<Result<std::vector<std::string>>> expand_cells(Server& server, std::vector<std::string> cells);

// Cell aliases: groups of cells that serve each other's replica reads. A cell is in at most one alias.
net::Task<Result<std::map<std::string, ::topodata::CellsAlias>>> get_cells_aliases(Server& server);
net::Task<Result<Versioned<::topodata::CellsAlias>>> get_cells_alias(Server& server, std::string alias);
net::Task<Status> create_cells_alias(Server& server, std::string alias, ::topodata::CellsAlias value);
// Replaces the list; creates the alias when it is missing.
net::Task<Status> update_cells_alias(Server& server, std::string alias, ::topodata::CellsAlias value);
net::Task<Status> delete_cells_alias(Server& server, std::string alias);

}  // namespace vitrail::topo
