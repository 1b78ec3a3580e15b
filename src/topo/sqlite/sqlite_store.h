#pragma once

#include <memory>
#include <string>

#include "base/clock.h"
#include "topo/store.h"

namespace vitrail::topo {

// Keeps the topology in one SQLite database, shared by any number of processes on one machine. Format:
// sqlite/FORMAT.md.
//
//   Durability : a completed write survives kill -9 and power failure (WAL with synchronous=FULL). Writes that arrive
//                together are committed together.
//   Watches    : other processes see a change within a few milliseconds: each commit touches "<file>-notify", which
//   every
//                process watches with inotify(7). A poll twice a second finds what inotify missed; where inotify is not
//                to be had, polls come every 20 ms.
//   Locks      : leases renewed by a background thread. The end of a holder's process (pid and start time) is noticed
//                within about 100 ms, anything else that stops renewal after the ttl.
//   Not for network file systems.
//
// All stores of a process on one file share its connections and its two background threads.
// `file`: its folder must exist; the file is made when missing. kInvalidArgument, kUnavailable, kDataLoss (not a
// database), kFailedPrecondition (written by a newer format).
net::Task<Result<std::shared_ptr<Store>>> open_sqlite_store(std::string file, std::string root,
                                                            const base::Clock* clock = &base::system_clock());

}  // namespace vitrail::topo
