#pragma once

#include <optional>
#include <string>
#include <vector>

#include "backup/catalog.h"
#include "base/clock.h"
#include "base/result.h"
#include "mysql/gtid.h"

// Which backups lead to a point between backups: a full one, and incremental ones that go on from each other.
namespace vitrail::backup {

// One of both. A transaction of the very second of `time` is not wanted any more.
struct Target {
  std::optional<mysql::Position> position;
  std::optional<base::WallTime> time;

  std::string to_string() const;
};

struct Chain {
  Chosen full;
  std::vector<Chosen> increments;  // In the order in which they happened.
};

// The newest full backup that has nothing behind the target, and the fewest incremental ones from it to the target.
//   `full_engines`: full backups of these engines only; empty: all.
//   kNotFound: no chain reaches it; the message says how far the backups go.
Result<Chain> choose_chain(const std::vector<Chosen>& backups, const Target& target,
                           const std::vector<std::string>& full_engines);

// The backup that the next incremental one goes on from: the one that has most, and of equals the newest.
// kNotFound: there is none.
Result<Chosen> choose_parent(const std::vector<Chosen>& backups);

}  // namespace vitrail::backup
