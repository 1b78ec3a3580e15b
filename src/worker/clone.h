#pragma once

#include "worker/commands.h"

// SplitClone, VerticalSplitClone and LegacySplitClone.
//
// First a pass over all tables while everything runs (online), which may be repeated for as long as it likes to take;
// then one tablet of each source shard is taken out of service, its replication stopped, and a second pass makes the
// destinations equal to it, at its exact position (offline); or a consistent snapshot of one that goes on takes the
// place of the one that is stopped (use_consistent_snapshot). Streams go on from there. The workflow that they are is
// made by the same recorded operation as Reshard's and MoveTables', and ends in the same way.
namespace vitrail::worker {

Result<std::unique_ptr<Job>> make_split_clone(JobSettings settings, std::string argument);
Result<std::unique_ptr<Job>> make_vertical_split_clone(JobSettings settings, std::string argument);
// The offline pass alone.
Result<std::unique_ptr<Job>> make_legacy_split_clone(JobSettings settings, std::string argument);

// The workflow's name: the same for the same shards, so that a job that is run again finds what the last one left.
std::string split_workflow(const std::vector<std::string>& sources, const std::vector<std::string>& destinations);
std::string vertical_workflow(const std::string& source_keyspace);

}  // namespace vitrail::worker
