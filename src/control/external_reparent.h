#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "control/tablet_client.h"
#include "mysql/gtid.h"
#include "topo/locks.h"
#include "vtctldata.pb.h"

namespace vitrail::control {

// TabletExternallyReparented: another tool has made this tablet's server the primary, or is about to say that it has.
// Whatever that tool has done and not done, and whenever the command comes, no write that the old primary acknowledged
// is lost and no second server takes writes: where the old primary answers it is stopped first, and the new one gets
// from it what it lacks. Safe to repeat.
//   kFailedPrecondition, and nothing was changed: the tablet's server still follows another; or both servers have
//   transactions that the other lacks.
net::Task<Result<::vtctldata::TabletExternallyReparentedResponse>> adopt_external_primary(TabletClient& client,
                                                                                          const topo::ShardLock& lock,
                                                                                          ::topodata::Tablet tablet);

// What is seen before anything is changed.
struct AdoptionFacts {
  bool named = false;          // The shard's record names this tablet already.
  bool follows = false;        // A thread of its server's replication runs, or tries to connect.
  bool read_only = true;       // Its server.
  bool old_answers = false;    // There is an old primary, and its tablet answers.
  bool old_read_only = false;  // Its server.
};
enum class Adoption : uint8_t {
  kNothing,  // It is so already.
  kRefuse,   // Its server follows another one: the other tool has not done its work.
  kStopOld,  // The old primary is stopped, then what both have is compared.
  kTake,     // Nobody can be asked: the other tool knows.
};
Adoption judge_adoption(const AdoptionFacts& facts);

// What a server has: its position, and on MariaDB also its @@gtid_binlog_state, in which the last transaction of each
// server is told, as a position does not.
struct ServerLog {
  mysql::Position position;
  std::string binlog_state = {};
};
enum class Holding : uint8_t { kAll, kLess, kDiverged };
// What `server` has of all that `old` has, which writes nothing any more. kLess: nothing else, so that it can get the
// rest. kInvalidArgument: they are of different flavors, or tell files and not transactions.
Result<Holding> compare_logs(const ServerLog& server, const ServerLog& old);

}  // namespace vitrail::control
