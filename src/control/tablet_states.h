#pragma once

#include "control/tablet_client.h"

namespace vitrail::control {

// Does this tablet acknowledge to its shard's primary, by the keyspace's policy?
net::Task<Result<bool>> acknowledges_primary(TabletClient& client, ::topodata::Tablet tablet);

}  // namespace vitrail::control
