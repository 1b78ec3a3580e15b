#pragma once

#include "tablet/local_server.h"
#include "tabletmanagerdata.pb.h"

namespace vitrail::tablet {

// The accounts of the server and what they may do, sorted. Of passwords only a checksum is told: enough to see that two
// servers differ.
net::Task<Result<::tabletmanagerdata::Permissions>> read_permissions(LocalServer& server, net::Wait wait);

}  // namespace vitrail::tablet
