#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "gate/gate_loop.h"
#include "mysql/server_handshake.h"
#include "plan/planner.h"
#include "sql/effects.h"

// Reads of tables with a mirror rule (MoveTables mirrortraffic): a part of them is run once more, where the rule leads,
// when the client has its answer. Nobody looks at what comes back; that it fails is counted.
namespace vitrail::gate {

// How many of a hundred such statements are run again: what the rules of its tables say, the least of them; 0 for what
// has no rule, locks, or does more than read.
float mirror_percent(const sql::Statement& statement, const sql::Effects& effects, const plan::Plan& plan,
                     const plan::PlanContext& context);

// Whether one of them is, by a random number.
bool is_mirrored(float percent, uint64_t random);

struct MirroredRead {
  std::string text;      // Without parameters.
  std::string target;    // Of its session.
  std::string settings;  // A SET statement; "": none.
  mysql::AuthenticatedClient who;
};

// Runs them, each in a session of its own, so that the client's is not touched.
//   Threads: the loop's.
//   Bounds : kAtOnce at a time, and kLongest each; what comes meanwhile is not run again.
class Mirror {
 public:
  static constexpr size_t kAtOnce = 64;
  static constexpr base::Duration kLongest = std::chrono::seconds(30);

  // Both must outlive it; `next_id`: of connections.
  Mirror(GateLoop& home, std::atomic<uint32_t>& next_id) : home_(home), next_id_(next_id) {}

  void offer(MirroredRead read);

 private:
  static net::Task<void> run(Mirror& self, MirroredRead read);
  static net::Task<Status> run_in(GateLoop& home, uint32_t connection_id, MirroredRead read);

  GateLoop& home_;
  std::atomic<uint32_t>& next_id_;
  size_t running_ = 0;
};

}  // namespace vitrail::gate
