#pragma once

#include <optional>
#include <string>
#include <vector>

#include "control/tablet_client.h"
#include "topo/durability.h"
#include "topo/locks.h"
#include "workflowdata.pb.h"

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

struct ReparentResult {
  ::topodata::TabletAlias primary;
  std::vector<std::string> events;  // What happened and what did not, for people.
};

// PlannedReparentShard: elects the first primary of a shard, or moves the role to another tablet without losing
// anything. Repeating it brings a half-done change to its end.
//   Every tablet of the shard must answer before anything is changed: kFailedPrecondition names those that do not, as
//   it says when the shard's state does not allow the change. What went wrong on the way is undone (the old primary
//   serves again). Once the new primary serves, a replica that does not follow it is an event and no error.
net::Task<Result<ReparentResult>> planned_reparent_shard(TabletClient& tablets, PlannedReparentOptions options);

struct EmergencyReparentOptions {
  std::string keyspace;
  std::string shard;
  std::optional<::topodata::TabletAlias> new_primary;
  std::optional<::topodata::TabletAlias> expected_primary;
  std::vector<::topodata::TabletAlias> ignore_replicas;  // Neither asked nor waited for.
  base::Duration wait_replicas_timeout = std::chrono::seconds(15);
  // How long the old primary may take to stop, should it live. A dead one does not answer, and all of it is lost time.
  base::Duration demotion_timeout = std::chrono::seconds(5);
  // It has not answered for seconds: whether it can be stopped is tried while the replicas are being stopped. Should it
  // live after all, the new primary gets from it what it lacks.
  bool old_primary_silent = false;
  bool prevent_cross_cell = false;
  bool wait_for_all_tablets = false;  // Every tablet but the old primary must answer.
};

// EmergencyReparentShard: the primary is dead. The replicas stop receiving, apply what they have received, and the one
// that has most becomes the primary; or the one that was named, after it has got what it lacks from that one. A primary
// that turns out to live is stopped first, and nothing of it is lost. A shard that never had a primary gets one.
//
// Nothing that any tablet which answered has is lost. What only tablets have that did not answer is lost, as always
// when replication is asynchronous. Where the durability policy makes commits wait for an acknowledgement, every write
// that a client knows of survives.
//   kFailedPrecondition: no tablet can become the primary; two tablets each have transactions that the other lacks; a
//   tablet that does not answer may have acknowledged what no other has (the operator says with ignore_replicas whose
//   do not count); too few are left to acknowledge what the new primary writes. Until somebody is promoted replication
//   is started again where it was stopped. Safe to repeat.
net::Task<Result<ReparentResult>> emergency_reparent_shard(TabletClient& tablets, EmergencyReparentOptions options);

// InitShardPrimary with `force`: replication of the whole shard is set up anew, beginning with the elected tablet.
// Binary logs are wiped, so nothing is wiped before all tablets answer, writes have stopped and the elected one has all
// that the present primary has; until then what was done is undone. Without `force` the elected tablet has to be the
// primary; all others are told to follow it, and nothing is wiped. Safe to repeat.
//   kFailedPrecondition: a tablet does not answer; the elected one is not the primary and `force` is not given; it does
//   not catch up.
net::Task<Result<ReparentResult>> init_shard_primary(TabletClient& tablets, const topo::ShardLock& lock,
                                                     ::topodata::TabletAlias elect, bool force, base::Duration timeout);

// All of `tablets` answer. kFailedPrecondition names those that do not.
net::Task<Status> check_reachable(TabletClient& client, const std::vector<::topodata::Tablet>& tablets,
                                  base::Duration timeout);
// UndoDemotePrimary, again and again while the tablet cannot be reached (it may be restarting), for `timeout`.
net::Task<Status> undo_demotion(TabletClient& client, topo::Durability policy, ::topodata::Tablet primary,
                                base::Duration timeout, std::optional<::workflowdata::Fence> fence = {});

// What keeps the tablet's server from semi-synchronous replication goes into `problem`: it lacks the plugins. Empty
// when nothing does, or it does not answer.
net::Task<void> look_for_semi_sync(TabletClient& tablets, const ::topodata::Tablet& tablet, base::Duration timeout,
                                   std::string& problem);

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
  std::string position;                             // Where it began.
  std::string action;                               // What made it the primary.
  std::optional<::workflowdata::Fence> fence = {};  // Commands to those who follow carry it.
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
