#pragma once

#include <vector>

#include "control/workflow/sides.h"
#include "vschema.pb.h"

// What is looked at before a workflow is created, so that it is refused by name instead of standing still later.
namespace vitrail::control {

// The tables are missing on the targets, or empty there. `nothing_else`: other tables of the targets must be empty too,
// since rows of theirs would be taken for rows of the copy.
//   kFailedPrecondition "target keyspace/tables already have data: ...".
net::Task<Status> check_tables_empty(TabletClient& tablets, Side targets,
                                     std::vector<::tabletmanagerdata::TableDefinition> tables, bool nothing_else);

// Each table has a key that names its rows; no foreign key changes rows behind the binlog's back; and no row has NULL
// in the column that decides its shard in the target (`vschema`; unsharded: nothing decides).
//   kFailedPrecondition names table and column.
net::Task<Status> check_source_tables(TabletClient& tablets, Side sources,
                                      std::vector<::tabletmanagerdata::TableDefinition> tables,
                                      ::vschema::Keyspace vschema);

// Fills in the fields of the tables' columns: their types, and MySQL's flag NOT NULL.
net::Task<Status> read_fields(TabletClient& tablets, Side sources,
                              std::vector<::tabletmanagerdata::TableDefinition>& tables);

// The servers of both sides convert between the zone and UTC, and no key has DATETIME columns: two times of a zone may
// be one of another.
//   kFailedPrecondition names the server, or table and column.
net::Task<Status> check_time_zone(TabletClient& tablets, Side sources, Side targets, std::vector<std::string> tables,
                                  std::string zone);

}  // namespace vitrail::control
