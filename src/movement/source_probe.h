#pragma once

#include <memory>

#include "base/clock.h"
#include "net/task.h"
#include "replicationdata.pb.h"
#include "rpc/client.h"
#include "topodata.pb.h"

// Whether a tablet that is read from has what its shard's primary has: its own binlog cannot tell, a replica that has
// stopped replicating is silent like one on which nothing happens.
namespace vitrail::movement {

struct SourceHealth {
  bool replicating = true;  // Or a primary, or a server that cannot say.
  base::Duration lag{};     // Behind the primary, when it replicates.
};

// What the replication status of a replica says.
SourceHealth judge_source(const ::replicationdata::Status& status);

// Asks the tablet; primaries are as fresh as can be. A tablet that does not answer is no news: the stream notices
// that itself.
net::Task<SourceHealth> probe_source(std::shared_ptr<rpc::Channel> channel, ::topodata::TabletType type,
                                     net::Wait wait);

}  // namespace vitrail::movement
