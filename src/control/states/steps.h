#pragma once

#include "control/states/records.h"
#include "control/tablet_client.h"
#include "rpc/caller.h"

namespace vitrail::control::states {

// The control plane as a sharding workflow uses it: its commands, as any client could send them, and the topology.
struct Plane {
  rpc::Caller vtctld;
  TabletClient& tablets;
};

// Carries one step out. It may have been carried out before, in whole or in part. What it learns goes into `record`.
net::Task<Status> carry_out(const Plane& plane, Step step, Record& record);

// What the engine says of the workflow below.
struct Engine {
  bool exists = false;
  CopyProgress copy;
  std::string stream_error;  // Of a stream that stopped with one.
  int64_t rows_copied = 0;
  std::string traffic;
  std::map<std::string, std::string> tables;  // Name to "waits", "copying" or "done".
};
net::Task<Result<Engine>> ask_engine(const Plane& plane, const Record& record);

}  // namespace vitrail::control::states
