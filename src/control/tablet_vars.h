#pragma once

#include <string>

#include "base/result.h"
#include "net/loop.h"
#include "topodata.pb.h"

namespace vitrail::control {

// The version that a tablet's program runs: it is no part of its gRPC interface, so its /debug/vars is asked
// (BuildVersion, or the values that Vitess's tablets publish).
//   kUnavailable: no answer. kDataLoss: the answer has no version. kFailedPrecondition: the tablet announces no HTTP
//   port.
net::Task<Result<std::string>> read_version(::topodata::Tablet tablet, net::Wait wait);

}  // namespace vitrail::control
