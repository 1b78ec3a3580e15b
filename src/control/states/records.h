#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "control/states/table.h"
#include "net/task.h"
#include "shardingworkflow.pb.h"
#include "topo/server.h"

// The records of sharding workflows: sharding_workflows/<branch>/<name>/ShardingWorkflow of the global topology.
namespace vitrail::control::states {

using Record = ::shardingworkflow::Record;

struct StoredRecord {
  Record record;
  topo::Version version;
};

inline constexpr std::string_view kDefaultBranch = "main";
inline constexpr size_t kLogEntriesMax = 500;  // The oldest go first.

// kNotFound, kDataLoss.
net::Task<Result<StoredRecord>> load(topo::Server& topology, std::string branch, std::string name);
// Of one branch, or of all (""), by branch and name. What cannot be read is left out.
net::Task<Result<std::vector<StoredRecord>>> list(topo::Server& topology, std::string branch);
// A finished workflow of the same name is replaced.
//   kAlreadyExists: one of that name is active.
net::Task<Result<StoredRecord>> create(topo::Server& topology, Record record);
// Replaces the record that was read. kAborted: somebody else has changed it meanwhile.
net::Task<Result<StoredRecord>> replace(topo::Server& topology, const StoredRecord& before, Record record);

int64_t to_ms(base::WallTime time);
void add_log(Record& record, base::WallTime now, std::string who, std::string what);
// Where the workflow is, by its record.
Result<Position> position_of(const Record& record);
// An action is under way: somebody carries it out, or should.
bool is_under_way(const Record& record);
std::string name_of(const Record& record);  // "main/c2c"

// Names of branches and workflows: letters, digits, '_', '-' and '.', and not only dots. kInvalidArgument.
Status check_name(std::string_view what, std::string_view name);

}  // namespace vitrail::control::states
