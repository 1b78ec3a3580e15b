#pragma once

#include <string>

#include "base/result.h"
#include "vtctldata.pb.h"

namespace vitrail::control {

// The state of a VDiff over all target shards: pending, started, completed, stopped, error, unknown.
Result<std::string> vdiff_state(const ::vtctldata::VDiffShowResponse& response);

// Whether rows differ on some shard.
Result<bool> vdiff_has_mismatch(const ::vtctldata::VDiffShowResponse& response);

struct VDiffFormat {
  bool all = false;  // A list of what there is, a line for each shard, in place of one result.
  bool json = false;
  bool verbose = false;  // With the tables, also when all rows agree.
};
// What `VDiff show` prints: the sums over all shards, or a list.
Result<std::string> format_vdiff(const ::vtctldata::VDiffShowResponse& response, const std::string& keyspace,
                                 const std::string& workflow, const VDiffFormat& format);

}  // namespace vitrail::control
