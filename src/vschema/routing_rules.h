#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "topodata.pb.h"
#include "vschema.pb.h"

// Pure functions on the RoutingRules record: "[keyspace.]table[@tablet_type]" -> "keyspace.table".
//
// Every function may be repeated: applied twice it gives the same record. The order of rules is kept, new ones are
// appended; nothing depends on it. One rule per from_table.
namespace vitrail::vschema {

// Null when there is none.
const ::vschema::RoutingRule* find_rule(const ::vschema::RoutingRules& rules, std::string_view from_table);
void set_rule(::vschema::RoutingRules& rules, std::string_view from_table, std::string_view to_table);
// Whether there was one.
bool delete_rule(::vschema::RoutingRules& rules, std::string_view from_table);

// What a record given by an operator must satisfy: names are there, one target at most, the target is "keyspace.table",
// the tablet type exists, no name twice. kInvalidArgument names the rule.
Status check_routing_rules(const ::vschema::RoutingRules& rules);

// The same for the rules that lead one shard of a keyspace to another keyspace: names are there, the shard's name is
// one, no shard twice.
Status check_shard_routing_rules(const ::vschema::ShardRoutingRules& rules);
// And for those of whole keyspaces ("customer", "customer@replica").
Status check_keyspace_routing_rules(const ::vschema::KeyspaceRoutingRules& rules);

// One MoveTables workflow, as its rules see it. Views: must outlive the call.
struct TableMove {
  std::string_view source_keyspace;
  std::string_view target_keyspace;
  std::span<const std::string> tables;
};

// Create: every spelling of every table leads to the source. Eight rules per table (T, target.T, and for replica and
// rdonly also source.T@type); source.T has none, it is the source already.
void add_move_rules(::vschema::RoutingRules& rules, const TableMove& move);

// SwitchTraffic for replica or rdonly: T@type, target.T@type and source.T@type lead to the target. `types` other than
// REPLICA and RDONLY are ignored.
void switch_reads(::vschema::RoutingRules& rules, const TableMove& move, std::span<const ::topodata::TabletType> types);

// SwitchTraffic for primary: T and source.T lead to the target, and target.T, which would lead to itself, goes away.
void switch_writes(::vschema::RoutingRules& rules, const TableMove& move);

// ReverseTraffic: back to what add_move_rules() made. `move` is still the forward move.
void reverse_reads(::vschema::RoutingRules& rules, const TableMove& move,
                   std::span<const ::topodata::TabletType> types);
void reverse_writes(::vschema::RoutingRules& rules, const TableMove& move);

// Complete and Cancel: none of the rules above is left.
void delete_move_rules(::vschema::RoutingRules& rules, const TableMove& move);

// Are reads of this type, or writes, of every table of the move led to the target? False without rules.
bool are_reads_switched(const ::vschema::RoutingRules& rules, const TableMove& move, ::topodata::TabletType type);
bool are_writes_switched(const ::vschema::RoutingRules& rules, const TableMove& move);

// A keyspace that is moved shard by shard: a rule leads all tables of one shard, for all types of tablets. The target
// has shards of the same names.
//
// Create: whoever names the target is led to the source, for the shards that no rule of the two keyspaces has yet.
void add_shard_rules(::vschema::ShardRoutingRules& rules, std::string_view source_keyspace,
                     std::string_view target_keyspace, std::span<const std::string> shards);
// From now on these shards are served by `to`, whichever of the two keyspaces is named.
void route_shards(::vschema::ShardRoutingRules& rules, std::string_view from, std::string_view to,
                  std::span<const std::string> shards);
// None between the two keyspaces is left.
void delete_shard_rules(::vschema::ShardRoutingRules& rules, std::string_view one_keyspace,
                        std::string_view other_keyspace);
// Which shards of `from` are led to `to`, sorted.
std::vector<std::string> routed_shards(const ::vschema::ShardRoutingRules& rules, std::string_view from,
                                       std::string_view to);

}  // namespace vitrail::vschema
