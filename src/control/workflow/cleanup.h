#pragma once

#include <string>
#include <vector>

#include "control/workflow/engine/record.h"
#include "control/workflow/sides.h"
#include "topo/record.h"
#include "vschema/routing_rules.h"

// What Complete and Cancel take away. All of it may be done again.
namespace vitrail::control {

inline net::Wait cleanup_wait() { return net::Wait::within(std::chrono::seconds(120)); }

// The name that `complete --rename-tables` gives.
std::string renamed_table(const std::string& table);

// As vt_dba, in the tablet's database. `fence`: the tablet refuses an owner before.
net::Task<Status> execute(TabletClient& tablets, ::workflowdata::Fence fence, ::topodata::Tablet tablet,
                          std::string sql);
// `rename`: to "_<table>_old" instead; a table that is not there any more was renamed before.
// `fence`: the tablet refuses an owner before.
net::Task<Status> drop_tables(TabletClient& tablets, ::workflowdata::Fence fence, ::topodata::Tablet tablet,
                              std::vector<std::string> tables, bool rename);
// No denied tables on the shards, and their primaries know it.
net::Task<Status> allow_all_tables(TabletClient& tablets, topo::WriteGuard guard, Side side,
                                   std::vector<std::string> tables);
// The shards name no sources of filtered replication (Shard.source_shards). Their primaries are not told.
net::Task<Status> clear_source_shards(TabletClient& tablets, topo::WriteGuard guard, Side side);
net::Task<Status> remove_from_vschema(topo::Server& topology, topo::WriteGuard guard, std::string keyspace,
                                      std::vector<std::string> tables);
// Which entries of the target's vschema are the workflow's own, and go when it is cancelled. Of a record that does not
// say so: those that say nothing but the name, in a keyspace without shards.
std::vector<std::string> own_vschema_tables(const engine::Record& record, const ::vschema::Keyspace& now);
// The rules of a move; `displaced` come in their place.
net::Task<Status> remove_move_rules(topo::Server& topology, topo::WriteGuard guard, vschema::TableMove move,
                                    std::vector<::vschema::RoutingRule> displaced);
// None of a move shard by shard is left.
net::Task<Status> remove_shard_rules(topo::Server& topology, topo::WriteGuard guard, engine::Record record);
// Tables and views of the tablet's database: name and whether it is a view.
net::Task<Result<std::vector<std::pair<std::string, bool>>>> list_tables(TabletClient& tablets,
                                                                         ::topodata::Tablet tablet);

}  // namespace vitrail::control
