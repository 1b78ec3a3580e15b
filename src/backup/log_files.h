#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "mysql/gtid.h"

// The binary logs of a server as files: which of them an incremental backup needs, and what is in them.
namespace vitrail::backup {

// Part::base of a binary log.
inline constexpr std::string_view kLogBase = "BinLog";

// The transactions before the log.
//   kUnimplemented: it is encrypted.   kDataLoss: it is no binary log, or says nothing of the kind.
Result<mysql::Position> log_start(const std::string& path);

// Which logs have everything from `from` on, as the first of them. `starts`: log_start() of all logs, the oldest first;
// the last is the one that is being written, and is not needed itself: what is before it is to be kept.
//   The number of logs without the last: there is nothing new.
//   kFailedPrecondition: the logs do not reach back to `from`, or the server has not come to it yet.
Result<size_t> first_log_needed(std::span<const mysql::Position> starts, const mysql::Position& from);

// Tells each transaction of a log, in order, with the second at which it happened. `take` answers false when it has
// seen enough.
using TakeTransaction = std::function<bool(const mysql::Gtid& gtid, base::WallTime time)>;
Status walk_log(const std::string& path, const TakeTransaction& take);

// Where the data stands when, from `from` on, everything in the logs before `until` has happened.
Result<mysql::Position> position_before(std::span<const std::string> logs, mysql::Position from, base::WallTime until);

}  // namespace vitrail::backup
