#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "topo/durability.h"
#include "topodata.pb.h"

namespace vitrail::control {

// A tablet of a shard, as far as the choice of whom to back up goes.
struct BackupCandidate {
  ::topodata::Tablet tablet;
  bool answers = false;
  bool replicates = false;
  uint32_t lag_seconds = 0;
};

// Whether commits on the primary would wait for ever while that tablet is away: it acknowledges them, and nobody else
// that answers does. kFailedPrecondition says so.
Status check_spared(const topo::Durability& policy, const std::vector<BackupCandidate>& tablets,
                    const ::topodata::TabletAlias& away);

// Whom BackupShard takes: who is missed least (rdonly and spare before replicas), and of these the one that lags least.
// The primary only when it is allowed to and there is nobody else.
//   kFailedPrecondition: nobody; the message says why not each.
Result<size_t> choose_backup_tablet(const topo::Durability& policy, const std::vector<BackupCandidate>& tablets,
                                    bool allow_primary);

}  // namespace vitrail::control
