#pragma once

#include <string>
#include <vector>

#include "control/tablet_client.h"
#include "tabletmanagerdata.pb.h"
#include "vtctldata.pb.h"

// What several commands do with the schema of tablets.
namespace vitrail::control {

struct SchemaFilter {
  std::vector<std::string> tables;   // Names or /regular expressions/; empty: all.
  std::vector<std::string> exclude;  // Likewise.
  bool include_views = false;
};
net::Task<Result<::tabletmanagerdata::SchemaDefinition>> read_schema(TabletClient& client, ::topodata::Tablet tablet,
                                                                     SchemaFilter filter);

// Where two schemas differ, one line or paragraph each; empty when they are equal. What one side's tables are called is
// said with the names of the sides ("zone1-0000000100").
std::vector<std::string> diff_schemas(std::string_view left_name, const ::tabletmanagerdata::SchemaDefinition& left,
                                      std::string_view right_name, const ::tabletmanagerdata::SchemaDefinition& right);

struct ReloadOptions {
  std::string wait_position;  // Which tablets must have reached first; empty: none.
  bool include_primary = false;
  size_t concurrency = 10;  // Calls at a time.
  base::Duration timeout = std::chrono::seconds(60);
};
// Lets the tablets of a shard read their schema again. Returns what failed, one text for each tablet: a tablet that
// does not answer is no reason to fail.
net::Task<Result<std::vector<std::string>>> reload_shard(TabletClient& client, std::string keyspace, std::string shard,
                                                         ReloadOptions options);

// CopySchemaShard: makes the tables (and views) of one tablet in another shard, and sees that they arrived.
//   kAlreadyExists: a table of that name is there and differs. kFailedPrecondition: still different afterwards.
net::Task<Status> copy_schema(TabletClient& client, ::vtctldata::CopySchemaShardRequest request);

}  // namespace vitrail::control
