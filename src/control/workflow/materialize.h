#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "control/tablet_client.h"
#include "shard/shard_name.h"
#include "tabletmanagerdata.pb.h"
#include "vschema.pb.h"
#include "vtctldata.pb.h"

// Materialize: tables of a keyspace that follow those of another one, with all columns and rows or with some of them,
// or with what groups of rows add up to.
namespace vitrail::control {

// Of a record: the tables of the source, one a line.
inline constexpr const char* kFollowedOption = "followed";

// The rule of a stream into `shard` of the target: the expression, and in a sharded keyspace the shard's key range.
//   kInvalidArgument: not a select; a column of the primary vindex or of the key is left out.
//   kFailedPrecondition: what is added up may be NULL.
//   kUnimplemented: an expression that streams do not compute (functions, other aggregates than count(*) and sum()).
Result<::binlogdata::Rule> materialize_rule(const ::vtctldata::TableMaterializeSettings& settings,
                                            const ::tabletmanagerdata::TableDefinition& source,
                                            const ::vschema::Keyspace& target_vschema,
                                            const std::string& target_keyspace, const shard::ShardName& shard);

// A SHOW CREATE TABLE for a table of another name.
std::string with_table_name(const std::string& create, const std::string& name);

// Checks everything that can be checked before anything changes; a refusal leaves nothing behind.
net::Task<Status> create_materialize(TabletClient& tablets, ::vtctldata::MaterializeSettings settings);
// More tables for a workflow whose streams run: they are copied while those that are there are followed.
//   kAlreadyExists: it has a table of this name. kFailedPrecondition: not a Materialize, or a stream does not run.
net::Task<Status> add_materialized_tables(TabletClient& tablets, ::vtctldata::WorkflowAddTablesRequest request);

}  // namespace vitrail::control
