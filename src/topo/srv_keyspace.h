#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "topo/locks.h"
#include "topo/record.h"
#include "topo/server.h"
#include "topo/shard.h"
#include "topodata.pb.h"

// The serving graph: per cell and keyspace, which shards serve which tablet type.
namespace vitrail::topo {

// Sorted names of the keyspaces that a cell serves.
net::Task<Result<std::vector<std::string>>> get_srv_keyspace_names(Server& server, std::string cell);
// kNotFound names cell and keyspace.
net::Task<Result<Versioned<::topodata::SrvKeyspace>>> get_srv_keyspace(Server& server, std::string cell,
                                                                       std::string keyspace);
// Writes without looking at what was there; checks the lock just before.
net::Task<Status> put_srv_keyspace(Server& server, const KeyspaceLock& lock, std::string cell,
                                   ::topodata::SrvKeyspace record);
// Reads, lets `fn` change, writes; again on a conflict. kNotFound when the cell does not have the keyspace.
net::Task<Result<::topodata::SrvKeyspace>> update_srv_keyspace_fields(Server& server, const KeyspaceLock& lock,
                                                                      std::string cell,
                                                                      UpdateFn<::topodata::SrvKeyspace> fn);
// The same without a lock: `guard` is asked before each write.
net::Task<Result<::topodata::SrvKeyspace>> update_srv_keyspace_fields(Server& server, std::string keyspace,
                                                                      std::string cell,
                                                                      UpdateFn<::topodata::SrvKeyspace> fn,
                                                                      WriteGuard guard, net::Wait wait = {});
// Lets `fn`, which is told the cell, change the record of each cell, of all cells at the same time: one whose store
// does not answer holds up no other. Cells without the record are left out. An Error names every cell that failed; the
// others are written. `wait` is for each operation of a cell's store.
using CellUpdateFn = std::function<Result<bool>(const std::string& cell, ::topodata::SrvKeyspace& record)>;
net::Task<Status> update_srv_keyspaces(Server& server, std::string keyspace, std::vector<std::string> cells,
                                       CellUpdateFn fn, WriteGuard guard, net::Wait wait = {});
// kNotFound when there is none.
net::Task<Status> delete_srv_keyspace(Server& server, const KeyspaceLock& lock, std::string cell);

// PRIMARY, REPLICA and RDONLY, in this order: one partition each.
inline constexpr ::topodata::TabletType kServedTypes[] = {::topodata::PRIMARY, ::topodata::REPLICA, ::topodata::RDONLY};

// Pure part of the rebuild, for one cell: three equal partitions with all primary-serving shards, in key range order,
// and the redirects that the keyspace has in the cell. A keyspace with redirects and without shards has no partitions.
::topodata::SrvKeyspace make_srv_keyspace(const std::vector<ShardInfo>& shards, const ::topodata::Keyspace& keyspace,
                                          std::string_view cell);
// Every partition starts at the lowest key, ends at the highest, and has neither gaps nor overlaps. kFailedPrecondition
// says which partition and where.
Status check_partitions(const ::topodata::SrvKeyspace& record, std::string_view cell, std::string_view keyspace);
// A control with query_service_disabled on a shard that is still primary-serving means that traffic is being switched.
// (Controls that stay behind after the switch of the primary do not count: the source serves nothing any more.)
Status check_no_migration(const ::topodata::SrvKeyspace& record, const std::vector<ShardInfo>& shards,
                          std::string_view cell, std::string_view keyspace);

struct RebuildOptions {
  std::vector<std::string> cells;  // Empty: all. Names or aliases.
  bool allow_partial = false;      // SNAPSHOT keyspaces only: incomplete ranges and controls are no reason to refuse.
};
// Writes SrvKeyspace in the cells from the Shard records. Nothing is written anywhere when any cell is refused:
// kFailedPrecondition from check_no_migration() or check_partitions().
net::Task<Status> rebuild_keyspace_graph(Server& server, const KeyspaceLock& lock, RebuildOptions options = {});

}  // namespace vitrail::topo
