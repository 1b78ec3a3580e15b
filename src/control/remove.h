#pragma once

#include <string>
#include <vector>

#include "topo/locks.h"
#include "topo/server.h"

// Taking shards out of a keyspace and cells out of shards. Refusals as in vitess-interfaces 4.3.
namespace vitrail::control {

struct DeleteShardOptions {
  bool recursive = false;        // With the records of its tablets; else tablets are a reason to refuse.
  bool even_if_serving = false;  // Else a reference in any cell's SrvKeyspace is a reason to refuse.
};
// Record, tablets and replication graph. What is left of a shard whose record is gone is cleaned up, without an error.
//   kFailedPrecondition: serving, or has tablets. kUnavailable and the like: a cell could not be asked.
net::Task<Status> delete_shard(topo::Server& topology, const topo::KeyspaceLock& lock, std::string shard,
                               DeleteShardOptions options);
// Takes the keyspace's lock itself.
net::Task<Status> delete_shard(topo::Server& topology, std::string keyspace, std::string shard,
                               DeleteShardOptions options);
// Several, under one lock and with one look at the keyspace's tablets.
net::Task<Status> delete_shards(topo::Server& topology, std::string keyspace, std::vector<std::string> shards,
                                DeleteShardOptions options);

struct RemoveCellOptions {
  bool recursive = false;  // With the records of the cell's tablets.
  bool force = false;      // Also when the cell's store cannot be reached.
};
// Takes a cell out of a shard: replication graph, the shard's references and controls in the cell's SrvKeyspace.
//   kFailedPrecondition: the shard's primary is in the cell, or tablets are.
net::Task<Status> remove_shard_cell(topo::Server& topology, const topo::KeyspaceLock& lock, std::string shard,
                                    std::string cell, RemoveCellOptions options);
// Every shard, then the cell's SrvKeyspace.
net::Task<Status> remove_keyspace_cell(topo::Server& topology, const topo::KeyspaceLock& lock, std::string cell,
                                       RemoveCellOptions options);

}  // namespace vitrail::control
