#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "control/manager/plan.h"

// New workflows, from their parameters: pure functions.
namespace vitrail::control::manager {

// "WorkflowCreate horizontal_resharding <these>", read.
struct Parameters {
  std::string factory;
  std::string keyspace;
  std::vector<std::string> vtworkers;
  std::vector<std::string> source_shards;       // Empty: found out.
  std::vector<std::string> destination_shards;  // Likewise.
  std::vector<std::string> phases_with_approvals;
  std::map<std::string, std::string> settings;  // What goes into the record as it is.
};
// kInvalidArgument lists all mistakes.
Result<Parameters> parse_parameters(std::string_view factory, const std::vector<std::string>& words);

// A shard of the keyspace, as far as it matters here.
struct ShardFacts {
  std::string name;
  bool serving = false;   // Its primary serves.
  bool receives = false;  // It has source shards: something is copied into it.
};

// Which shards are resharded into which.
struct Sides {
  std::vector<std::string> sources;
  std::vector<std::string> destinations;
  std::vector<std::string> clones;               // The first source of each group of shards that cover the same range.
  std::map<std::string, std::string> source_of;  // The first source that overlaps a destination.
  std::map<std::string, std::string> clone_of;   // Of each destination.
};
// Sources serve, destinations overlap them and do not; both sides of a group cover the same range.
//   kFailedPrecondition: there are no such shards, or ranges that differ; says what to do.
//   kInvalidArgument: a wanted shard that the keyspace does not have.
Result<Sides> find_sides(const std::string& keyspace, const std::vector<ShardFacts>& shards,
                         const std::vector<std::string>& wanted_sources,
                         const std::vector<std::string>& wanted_destinations);

// The first record, not started. `shards`: of the keyspace; others leave it empty.
Result<Record> make_record(const Parameters& parameters, const std::vector<ShardFacts>& shards, std::string uuid,
                           base::WallTime now);

}  // namespace vitrail::control::manager
