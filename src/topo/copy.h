#pragma once

#include <string>
#include <vector>

#include "topo/server.h"

// From one topology to another, of the same kind or not: records are copied as they are, byte for byte.
namespace vitrail::topo {

struct CopyParts {
  bool keyspaces = false;           // Keyspace and VSchema records.
  bool shards = false;              // Shard records.
  bool shard_replications = false;  // ShardReplication records, in every cell.
  bool tablets = false;             // Tablet records, in every cell.
  bool routing_rules = false;       // The rules of tables, shards and keyspaces, and mirror rules.
  bool any() const { return keyspaces || shards || shard_replications || tablets || routing_rules; }
};

// Writes the records of `from` into `to`; what is there already is replaced, what `from` does not have stays. Takes no
// locks: nobody should change either side meanwhile. Returns how many records were written.
//   kFailedPrecondition: a cell that is needed is not in `to` (CellInfo says where a cell's server is, so it is not
//   copied). Repeating after a failure is fine.
net::Task<Result<size_t>> copy_records(Server& from, Server& to, CopyParts parts);

// What differs, one line each: "cells/zone1: tablets/...: only in the first". Empty: in sync. Records that say the same
// in other bytes do not differ.
net::Task<Result<std::vector<std::string>>> compare_records(Server& from, Server& to, CopyParts parts);

}  // namespace vitrail::topo
