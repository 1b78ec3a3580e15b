#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "control/tablet_client.h"
#include "shard/shard_name.h"
#include "tabletmanagerdata.pb.h"
#include "vschema.pb.h"
#include "vtctldata.pb.h"

// Materialize: tables of a keyspace that follow those of another one, with all columns and rows or with some of them.
namespace vitrail::control {

// The filter of a stream into `shard` of the target: the expression, and in a sharded keyspace the shard's key range.
//   kInvalidArgument: not a select from the table itself; a column of the primary vindex or of the key is left out.
//   kUnimplemented: an expression that streams do not compute (aggregates, functions).
Result<std::string> materialize_filter(const ::vtctldata::TableMaterializeSettings& settings,
                                       const ::tabletmanagerdata::TableDefinition& source,
                                       const ::vschema::Keyspace& target_vschema, const std::string& target_keyspace,
                                       const shard::ShardName& shard);

// Checks everything that can be checked before anything changes; a refusal leaves nothing behind.
net::Task<Status> create_materialize(TabletClient& tablets, ::vtctldata::MaterializeSettings settings);

}  // namespace vitrail::control
