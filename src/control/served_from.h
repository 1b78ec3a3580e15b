#pragma once

#include <string>
#include <vector>

#include "control/tablet_client.h"
#include "topo/keyspace.h"

// ServedFrom: a keyspace whose statements of some tablet types go to another keyspace in some cells, as in a vertical
// split of the older generation. Keyspace.served_froms says it, RebuildKeyspaceGraph copies to each cell's SrvKeyspace
// what holds there, and vtgate follows the record of its own cell.
namespace vitrail::control {

// Changes one type's entry under the keyspace's lock; the serving graph stays as it is. Errors: see
// topo::update_served_from().
net::Task<Status> set_served_from(topo::Server& topology, std::string keyspace, topo::ServedFromUpdate update);

// SetKeyspaceServedFrom for several types, and the serving graph of all cells.
net::Task<Status> serve_from(topo::Server& topology, std::string keyspace, std::vector<topo::ServedFromUpdate> updates);

struct ServedFromMigration {
  std::string keyspace, shard;  // Where the tables have been copied to.
  ::topodata::TabletType type = ::topodata::PRIMARY;
  std::vector<std::string> cells;                     // Empty: all. Not for PRIMARY.
  bool reverse = false;                               // Not for PRIMARY.
  base::Duration timeout = std::chrono::seconds(30);  // For the target to have what the source had.
};
// Ends the redirect of one type: the keyspace serves it from its own tablets, and the source shard denies the tables.
// Replicas and rdonly tablets first, in any order and back again; then the primary, for good. Locks the source
// keyspace, then the destination. Returns what should be read: tablets that could not be told.
//
// The primary needs the stream that brings the tables over (its id is the uid in the destination's source_shards):
// writes are denied on the source, the stream catches up and ends, and the destination serves. When that fails before
// the stream ends, the source serves again.
//   kInvalidArgument, kFailedPrecondition: as the older tools say it; the stream is missing, or still copies.
net::Task<Result<std::vector<std::string>>> migrate_served_from(TabletClient& tablets, ServedFromMigration migration);

}  // namespace vitrail::control
