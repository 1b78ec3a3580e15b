#pragma once

#include "worker/commands.h"

// SplitDiff, VerticalSplitDiff and MultiSplitDiff: one tablet on each side is taken out of service and stopped where
// both show the same moment of the source, then their tables are compared. Streams stand still only until that moment
// is reached.
namespace vitrail::worker {

Result<std::unique_ptr<Job>> make_split_diff(JobSettings settings, std::string argument);
Result<std::unique_ptr<Job>> make_vertical_split_diff(JobSettings settings, std::string argument);
// All destinations of a source shard, one after the other.
Result<std::unique_ptr<Job>> make_multi_split_diff(JobSettings settings, std::string argument);

}  // namespace vitrail::worker
