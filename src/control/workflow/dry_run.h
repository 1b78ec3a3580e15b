#pragma once

#include <map>
#include <string>
#include <vector>

#include "control/workflow/engine/record.h"
#include "control/workflow/model.h"
#include "control/workflow/sides.h"

// The lines of --dry-run, in Vitess's words and order. No I/O.
namespace vitrail::control {

struct DryRun {
  const WorkflowModel& streams;  // Those that bring the rows over: from where writes are stopped to where they go.
  std::vector<std::string> tables;
  bool move_reads = false;
  std::vector<::topodata::TabletType> read_types;
  bool writes = false;
  bool back = false;  // Reads go from the target of `streams` to its source.
  bool reverse_replication = true;
  base::Duration timeout{};
  std::vector<std::string> sequences;            // "Backing table: ..." each.
  std::map<std::string, std::string> positions;  // Of the shards where writes are stopped.
  std::vector<::topodata::TabletType> mirrored;  // Their reads are mirrored, which ends.
  bool tenant = false;                           // Of one tenant: the keyspace as a whole leads elsewhere.
};
std::vector<std::string> describe_switch(const DryRun& facts);

struct CompleteDryRun {
  bool keep_data = false;
  bool keep_routing_rules = false;
  bool rename_tables = false;
  bool ignore_source = false;
  bool last = true;  // Of several that move a keyspace shard by shard.
};
std::vector<std::string> describe_complete(const engine::Record& record, const Side& source, const Side& target,
                                           const CompleteDryRun& wanted);

}  // namespace vitrail::control
