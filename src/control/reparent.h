#pragma once

#include <optional>
#include <string>
#include <vector>

#include "control/tablet_client.h"
#include "topo/durability.h"
#include "topo/locks.h"

namespace vitrail::control {

struct PlannedReparentOptions {
  std::string keyspace;
  std::string shard;
  std::optional<::topodata::TabletAlias> new_primary;
  std::optional<::topodata::TabletAlias> avoid_primary;
  std::optional<::topodata::TabletAlias> expected_primary;
  base::Duration wait_replicas_timeout = std::chrono::seconds(15);
  base::Duration tolerable_lag{};  // Replicas that lag more are not chosen. Zero: lag does not matter.
  bool allow_cross_cell = false;   // Else a candidate that nobody named is of the old primary's cell.
};

// PlannedReparentShard: elects the first primary of a shard, or moves the role to another tablet without losing
// anything. Repeating it brings a half-done change to its end.
//   Returns the primary's alias. kFailedPrecondition when the shard's state does not allow it; what went wrong on the
//   way is undone (the old primary serves again).
net::Task<Result<::topodata::TabletAlias>> planned_reparent_shard(TabletClient& tablets,
                                                                  PlannedReparentOptions options);

struct EmergencyReparentOptions {
  std::string keyspace;
  std::string shard;
  std::optional<::topodata::TabletAlias> new_primary;
  std::optional<::topodata::TabletAlias> expected_primary;
  std::vector<::topodata::TabletAlias> ignore_replicas;  // Neither asked nor waited for.
  base::Duration wait_replicas_timeout = std::chrono::seconds(15);
  bool prevent_cross_cell = false;
  bool wait_for_all_tablets = false;  // Every tablet but the old primary must answer.
};

struct EmergencyReparentResult {
  ::topodata::TabletAlias primary;
  std::vector<std::string> events;  // What happened and what did not, for people.
};

// EmergencyReparentShard: the primary is dead. The replicas stop receiving, apply what they have received, and the one
// that has most becomes the primary; or the one that was named, after it has got what it lacks from that one. A primary
// that turns out to live is stopped first, and nothing of it is lost.
//
// Nothing that any tablet which answered has is lost. What only tablets have that did not answer is lost, as always
// when replication is asynchronous. Where the durability policy makes commits wait for an acknowledgement, every write
// that a client knows of survives.
//   kFailedPrecondition: no tablet can become the primary; two tablets each have transactions that the other lacks; a
//   tablet that does not answer may have acknowledged what no other has (the operator says with ignore_replicas whose
//   do not count); too few are left to acknowledge what the new primary writes. Until somebody is promoted replication
//   is started again where it was stopped. Safe to repeat.
net::Task<Result<EmergencyReparentResult>> emergency_reparent_shard(TabletClient& tablets,
                                                                    EmergencyReparentOptions options);

// Whether commits on `candidate` will find the acknowledgements that they wait for among the tablets that answer now.
// kFailedPrecondition says whose are missing.
net::Task<Status> check_progress(TabletClient& tablets, topo::Durability policy, const ::topodata::Tablet& candidate,
                                 const std::vector<::topodata::Tablet>& members, base::Duration timeout);
// The same of tablets that are known to answer.
Status check_progress(topo::Durability policy, const ::topodata::Tablet& candidate,
                      const std::vector<const ::topodata::Tablet*>& answering);

// What every reparent ends with: the new primary is writable; it is named in the shard's record and told so.
struct NewPrimary {
  ::topodata::Tablet tablet;
  std::string position;  // Where it began.
  std::string action;    // What made it the primary.
};
net::Task<Result<NewPrimary>> announce_primary(TabletClient& tablets, const topo::ShardLock& lock,
                                               ::topodata::Tablet candidate, std::string position, std::string action,
                                               base::Duration timeout);
// Makes all of `members` but the primary itself follow it, and lets it write the row by which they know that they do;
// both at the same time, since that row may wait for their acknowledgement. One outcome for each of `members`; the
// primary's is whether the row was written.
net::Task<std::vector<Status>> follow_primary(TabletClient& tablets, topo::Durability policy, const NewPrimary& primary,
                                              const std::vector<::topodata::Tablet>& members, base::Duration timeout);

}  // namespace vitrail::control
