#pragma once

#include "tablet/local_server.h"

namespace vitrail::tablet {

// Gives the account that runs applications' statements rights on `database` alone, on this server only (nothing of it
// is in the binlog). An account that it cannot change is left as it is, with a line in the log: what applications may
// send is checked by the tablet, too (statement_policy.h).
net::Task<void> restrict_app_account(LocalServer& server, LocalServer::Account app, std::string database, bool files,
                                     net::Wait wait);

}  // namespace vitrail::tablet
