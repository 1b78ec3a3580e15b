#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "topo/record.h"
#include "topo/server.h"
#include "topodata.pb.h"

namespace vitrail::topo {

// Keys of Tablet.port_map.
inline constexpr std::string_view kPortHttp = "vt";
inline constexpr std::string_view kPortGrpc = "grpc";
inline constexpr std::string_view kPortMysqlData = "mysql_data";  // Ours: the tablet's MySQL protocol for vtgate.

// "zone1-0000000100".
std::string alias_to_string(const ::topodata::TabletAlias& alias);
// Accepts padded and unpadded numbers; the cell may contain dashes. kInvalidArgument says which form is expected.
Result<::topodata::TabletAlias> parse_alias(std::string_view text);
bool same_alias(const ::topodata::TabletAlias& a, const ::topodata::TabletAlias& b);

// Any spelling of a tablet type: upper or lower case, and the older words (master, batch). kInvalidArgument.
Result<::topodata::TabletType> parse_tablet_type(std::string_view text);
// Lower case, as commands print it: "primary", "replica".
std::string tablet_type_to_string(::topodata::TabletType type);
// PRIMARY, REPLICA and RDONLY: types that take queries.
bool is_serving_type(::topodata::TabletType type);
// Types that replicate from the primary.
bool is_replica_type(::topodata::TabletType type);

// "host:port" of a port of the tablet; empty when it announces none. IPv6 hosts come in brackets.
std::string tablet_address(const ::topodata::Tablet& tablet, std::string_view port_name);
// Database of the tablet: the override, or "vt_<keyspace>".
std::string tablet_db_name(const ::topodata::Tablet& tablet);

// kNotFound names the tablet; the cell's store comes from the alias.
net::Task<Result<Versioned<::topodata::Tablet>>> get_tablet(Server& server, ::topodata::TabletAlias alias);
// Writes the record, its ShardReplication node, and the key range that belongs to the shard's name. kAlreadyExists.
net::Task<Status> create_tablet(Server& server, ::topodata::Tablet tablet);
// create_tablet(), or the record is replaced when it is of the same keyspace and shard (kFailedPrecondition otherwise):
// for a tablet that starts.
net::Task<Status> create_or_update_tablet(Server& server, ::topodata::Tablet tablet);
// Reads, lets `fn` change, writes; again on a conflict. The alias cannot be changed.
net::Task<Result<::topodata::Tablet>> update_tablet_fields(Server& server, ::topodata::TabletAlias alias,
                                                           UpdateFn<::topodata::Tablet> fn);
// Deletes the record and its ShardReplication node. kNotFound.
net::Task<Status> delete_tablet(Server& server, ::topodata::TabletAlias alias);

// All tablets of a cell, sorted by alias. Records that cannot be decoded are left out.
net::Task<Result<std::vector<::topodata::Tablet>>> get_tablets_in_cell(Server& server, std::string cell);
struct TabletQuery {
  std::vector<std::string> cells;  // Empty: all.
  std::string keyspace;            // Empty: all.
  std::string shard;               // Empty: all. With a keyspace: the tablets that the replication graph names.
  std::optional<::topodata::TabletType> type;
  bool scan = false;  // Look at every record of the cells also for a shard: finds what the graph has lost.
};
// A cell that cannot be read makes the list incomplete: its error is in `failed`, and the others are returned.
struct TabletList {
  std::vector<::topodata::Tablet> tablets;
  std::map<std::string, Error> failed;  // By cell.
};
net::Task<Result<TabletList>> find_tablets(Server& server, TabletQuery query);

// Replication graph: which tablets of a cell are in a shard. kNotFound without a record.
net::Task<Result<::topodata::ShardReplication>> get_shard_replication(Server& server, std::string cell,
                                                                      std::string keyspace, std::string shard);
net::Task<Status> add_shard_replication(Server& server, std::string keyspace, std::string shard,
                                        ::topodata::TabletAlias alias);
// Removes the node; the last one takes the record with it. No record, no node: fine.
net::Task<Status> remove_shard_replication(Server& server, std::string keyspace, std::string shard,
                                           ::topodata::TabletAlias alias);
net::Task<Status> delete_shard_replication(Server& server, std::string cell, std::string keyspace, std::string shard);
// Repairs the graph of one cell and shard: drops nodes without a fitting Tablet record. Returns what was removed.
net::Task<Result<std::vector<::topodata::ShardReplicationError>>> fix_shard_replication(Server& server,
                                                                                        std::string cell,
                                                                                        std::string keyspace,
                                                                                        std::string shard);

}  // namespace vitrail::topo
