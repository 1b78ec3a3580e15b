#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "shard/key_range.h"
#include "topo/locks.h"
#include "topo/record.h"
#include "topo/server.h"
#include "topodata.pb.h"

namespace vitrail::topo {

struct ShardInfo {
  std::string keyspace;
  std::string name;
  ::topodata::Shard record;
  Version version;
};

// Key ranges between record and library form. An absent range in a Shard record means everything.
::topodata::KeyRange to_proto(const shard::KeyRange& range);
shard::KeyRange from_proto(const ::topodata::KeyRange& range);
shard::KeyRange covered_range(const ::topodata::Shard& record);

// Sorted names. kNotFound when the keyspace has no record; empty when it has no shards.
net::Task<Result<std::vector<std::string>>> get_shard_names(Server& server, std::string keyspace);
// kNotFound names keyspace and shard.
net::Task<Result<ShardInfo>> get_shard(Server& server, std::string keyspace, std::string shard);
// By name; one read of one consistent state where the store can.
net::Task<Result<std::map<std::string, ShardInfo>>> find_all_shards(Server& server, std::string keyspace);
// The shards with is_primary_serving, in key range order. kNotFound: no such keyspace; kFailedPrecondition: none
// serves.
net::Task<Result<std::vector<ShardInfo>>> find_serving_shards(Server& server, std::string keyspace);

// A new shard serves unless it overlaps a shard that serves already. kAlreadyExists, kInvalidArgument, kNotFound (no
// such keyspace).
net::Task<Status> create_shard(Server& server, const KeyspaceLock& lock, std::string shard);
// Takes the keyspace lock itself.
net::Task<Status> create_shard(Server& server, std::string keyspace, std::string shard, LockSettings settings = {});
// For a starting tablet: makes keyspace and shard where they are missing; somebody else doing the same is no error.
net::Task<Result<ShardInfo>> get_or_create_shard(Server& server, std::string keyspace, std::string shard,
                                                 LockSettings settings = {});
// Deletes the Shard record only; what else a shard has, and whether it may go, is for the caller to see.
net::Task<Status> delete_shard_record(Server& server, const KeyspaceLock& lock, std::string shard);

// Reads, lets `fn` change, writes; again on a conflict. `fence`: a lock that must be held for the write to count.
net::Task<Result<ShardInfo>> update_shard_fields(Server& server, std::string keyspace, std::string shard,
                                                 UpdateFn<::topodata::Shard> fn, std::optional<Fence> fence = {},
                                                 WriteGuard guard = {});

// The entry of a tablet type, or null.
const ::topodata::Shard::TabletControl* find_tablet_control(const ::topodata::Shard& shard,
                                                            ::topodata::TabletType type);

// Adds or removes denied tables for one tablet type. Rules: no cells for PRIMARY (it has one place); the list is kept
// sorted, without repetitions; an entry whose list becomes empty goes away; a frozen entry cannot be changed
// (kFailedPrecondition); other types have one list, so adding different tables for other cells is refused; removing for
// some cells takes these cells out of the entry; removing what is not there does nothing.
struct DeniedTablesUpdate {
  ::topodata::TabletType type = ::topodata::PRIMARY;
  std::vector<std::string> cells;  // Empty: all.
  bool remove = false;
  std::vector<std::string> tables;
  bool allow_reads = false;  // Only writes are denied: said when the entry is made. Without it an entry loses it.
};
Status apply_denied_tables(::topodata::Shard& shard, const DeniedTablesUpdate& update);
// The same on the stored record.
net::Task<Result<ShardInfo>> update_denied_tables(Server& server, const KeyspaceLock& lock, std::string shard,
                                                  DeniedTablesUpdate update);

}  // namespace vitrail::topo
