#pragma once

#include <string>

#include "base/result.h"
#include "vtctldata.pb.h"

namespace vitrail::control {

// The state of a VDiff over all target shards: pending, started, completed, stopped, error, unknown.
Result<std::string> vdiff_state(const ::vtctldata::VDiffShowResponse& response);

// What `VDiff show` prints: one object with the sums over all shards (vitess-interfaces 5.6), or a list for "all".
Result<std::string> format_vdiff(const ::vtctldata::VDiffShowResponse& response, const std::string& keyspace,
                                 const std::string& workflow, const std::string& which, bool json);

}  // namespace vitrail::control
