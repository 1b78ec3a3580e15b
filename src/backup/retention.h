#pragma once

#include <vector>

#include "backup/catalog.h"
#include "base/clock.h"

// When a next backup is due, and which of the older ones have become superfluous.
namespace vitrail::backup {

struct Retention {
  base::Duration min_time{0};  // Each backup is kept for so long; 0: nothing is ever removed.
  size_t min_count = 1;        // And so many of the newest, however old.
};

// Those that may go, the oldest first. `entries` as from list_backups() and mark_incremental(). What is not whole is
// not counted and not touched: it may be being written. Incremental ones are not counted, and go with the last full one
// before them.
std::vector<Place> choose_expired(const std::vector<CatalogEntry>& entries, const Retention& retention,
                                  base::WallTime now);

// The newest whole full backup is younger than `interval`.
bool is_recent(const std::vector<CatalogEntry>& entries, base::Duration interval, base::WallTime now);

}  // namespace vitrail::backup
