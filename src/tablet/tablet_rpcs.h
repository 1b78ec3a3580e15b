#pragma once

#include "net/loop.h"
#include "rpc/server.h"
#include "tablet/tablet_manager.h"

namespace vitrail::tablet {

// Registers /tabletmanagerservice.TabletManager/... and /queryservice.Query/StreamHealth on `server`, before it starts.
// The handlers run on `loop`, the manager's. Movement registers its own methods.
void register_tablet_handlers(rpc::Server& server, net::Loop& loop, TabletManager& manager);

}  // namespace vitrail::tablet
