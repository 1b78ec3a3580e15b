#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "tablet/local_server.h"

namespace vitrail::tablet {

// The row in `_vt.tablet_demotion` by which a restarted tablet knows that its last term as the primary was ended,
// whatever the shard's record says by then. It is written without the binlog: no other server gets it, and it makes no
// transaction that others lack. It names the tablet, so that a copy of the server's data means nothing to another one;
// and the term, so that it need not be removed by the next promotion, which begins a later one.

// Also while the server is read-only. Returns when it is stored.
net::Task<Status> write_demotion(LocalServer& server, std::string alias, int64_t term_start_ns, net::Wait wait);
// The demotion was undone.
net::Task<Status> clear_demotion(LocalServer& server, std::string alias, net::Wait wait);
// The term that was ended last.
net::Task<Result<std::optional<int64_t>>> read_demotion(LocalServer& server, std::string alias, net::Wait wait);

}  // namespace vitrail::tablet
