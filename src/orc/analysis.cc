#include "orc/analysis.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "topo/tablet.h"

namespace vitrail::orc {
namespace {

struct ProblemWords {
  Problem problem;
  std::string_view name, text;
};
constexpr std::array kProblems = {
    ProblemWords{Problem::kNone, "NoProblem", ""},
    ProblemWords{Problem::kClusterHasNoPrimary, "ClusterHasNoPrimary", "the shard has no primary"},
    ProblemWords{Problem::kPrimaryTabletDeleted, "PrimaryTabletDeleted",
                 "the record of the shard's primary was deleted"},
    ProblemWords{Problem::kDeadPrimary, "DeadPrimary", "the primary does not answer, and no replica receives from it"},
    ProblemWords{Problem::kDeadPrimaryAndSomeReplicas, "DeadPrimaryAndSomeReplicas",
                 "the primary and some replicas do not answer, and no replica receives from it"},
    ProblemWords{Problem::kDeadPrimaryAndReplicas, "DeadPrimaryAndReplicas", "no tablet of the shard answers"},
    ProblemWords{Problem::kDeadPrimaryWithoutReplicas, "DeadPrimaryWithoutReplicas",
                 "the primary does not answer, and there is no replica"},
    ProblemWords{Problem::kUnreachablePrimary, "UnreachablePrimary",
                 "the primary does not answer, but replicas receive from its server"},
    ProblemWords{Problem::kIncapacitatedPrimary, "IncapacitatedPrimary",
                 "the primary has not answered for some time, though replicas receive from its server"},
    ProblemWords{Problem::kPrimaryDiskStalled, "PrimaryDiskStalled",
                 "the disk of the primary's server takes no writes"},
    ProblemWords{Problem::kPrimaryCurrentTypeMismatch, "PrimaryCurrentTypeMismatch",
                 "the shard's primary does not see itself as one"},
    ProblemWords{Problem::kPrimaryHasPrimary, "PrimaryHasPrimary", "the primary replicates from another server"},
    ProblemWords{Problem::kPrimaryIsReadOnly, "PrimaryIsReadOnly", "the primary is read-only"},
    ProblemWords{Problem::kPrimarySemiSyncMustBeSet, "PrimarySemiSyncMustBeSet",
                 "commits on the primary do not wait for acknowledgements, and must"},
    ProblemWords{Problem::kPrimarySemiSyncMustNotBeSet, "PrimarySemiSyncMustNotBeSet",
                 "commits on the primary wait for acknowledgements, and need not"},
    ProblemWords{Problem::kStaleTopoPrimary, "StaleTopoPrimary",
                 "the tablet's record calls it the primary of an older term"},
    ProblemWords{Problem::kReplicaIsWritable, "ReplicaIsWritable", "a replica is writable"},
    ProblemWords{Problem::kNotConnectedToPrimary, "NotConnectedToPrimary", "a replica follows nobody"},
    ProblemWords{Problem::kConnectedToWrongPrimary, "ConnectedToWrongPrimary", "a replica follows another server"},
    ProblemWords{Problem::kReplicationStopped, "ReplicationStopped", "replication of a replica is stopped"},
    ProblemWords{Problem::kReplicaSemiSyncMustBeSet, "ReplicaSemiSyncMustBeSet",
                 "a replica does not acknowledge what it receives, and must"},
    ProblemWords{Problem::kReplicaSemiSyncMustNotBeSet, "ReplicaSemiSyncMustNotBeSet",
                 "a replica acknowledges what it receives, and must not"},
};

const ProblemWords& words_of(Problem problem) { return kProblems[static_cast<size_t>(problem)]; }

// Tablets that take part in replication: others are about something else, and left alone.
bool takes_part(const TabletView& tablet) {
  return topo::is_replica_type(tablet.record.type()) && topo::is_replica_type(tablet.type);
}

bool is_later(const ::vttime::Time& a, const ::vttime::Time& b) {
  return std::pair(a.seconds(), a.nanoseconds()) > std::pair(b.seconds(), b.nanoseconds());
}

Finding about(const TabletView& tablet, Problem problem, Recovery recovery, std::string detail = "") {
  return {problem, recovery, tablet.record.alias(), std::move(detail)};
}

// It did not answer. What do its replicas say?
Finding judge_silent_primary(const ShardView& view, const TabletView& primary, const AnalysisSettings& settings) {
  size_t replicas = 0, answering = 0, receiving = 0;
  for (const TabletView& tablet : view.tablets) {
    if (&tablet == &primary || !topo::is_replica_type(tablet.record.type())) continue;
    ++replicas;
    if (!tablet.answers) continue;
    ++answering;
    if (tablet.receives && tablet.source_host == primary.record.mysql_hostname() &&
        tablet.source_port == primary.record.mysql_port()) {
      ++receiving;
    }
  }
  std::string detail = fmt::format("{} of {} replicas answer, {} receive", answering, replicas, receiving);
  if (replicas == 0) return about(primary, Problem::kDeadPrimaryWithoutReplicas, Recovery::kNothing, detail);
  if (answering == 0) return about(primary, Problem::kDeadPrimaryAndReplicas, Recovery::kNothing, detail);
  if (receiving == 0) {
    return about(primary, answering < replicas ? Problem::kDeadPrimaryAndSomeReplicas : Problem::kDeadPrimary,
                 Recovery::kRecoverDeadPrimary, detail);
  }
  if (primary.silent_for < settings.incapacitated_after) {
    return about(primary, Problem::kUnreachablePrimary, Recovery::kNothing, detail);
  }
  // Its server lives. Whoever writes to it there gets no answer only if commits wait for replicas: without that,
  // another primary would lose what is still written to this one.
  return about(primary, Problem::kIncapacitatedPrimary,
               view.policy.acks_needed() > 0 ? Recovery::kRecoverIncapacitatedPrimary : Recovery::kNothing, detail);
}

// A replica that could take the role: it has room for what is written then.
bool could_stand_in(const TabletView& tablet) {
  return tablet.record.type() == ::topodata::REPLICA && tablet.answers && tablet.receives && !tablet.disk_stalled;
}

// It answers, and commits wait for room on its disk. Only where they also wait for replicas nothing is lost with it.
Finding judge_stalled_primary(const ShardView& view, const TabletView& primary, const AnalysisSettings& settings) {
  const auto ready = std::ranges::count_if(view.tablets, could_stand_in);
  const bool mend = settings.replace_stalled && ready > 0 && view.policy.acks_needed() > 0;
  return about(primary, Problem::kPrimaryDiskStalled, mend ? Recovery::kRecoverPrimaryDiskStalled : Recovery::kNothing,
               fmt::format("{} replicas could take its place", ready));
}

void judge_primary(const ShardView& view, const TabletView& primary, std::vector<Finding>& out) {
  const bool must_wait = view.policy.acks_needed() > 0;
  if (primary.type != ::topodata::PRIMARY || primary.record.type() != ::topodata::PRIMARY) {
    out.push_back(about(primary, Problem::kPrimaryCurrentTypeMismatch, Recovery::kFixPrimary,
                        "it is a " + topo::tablet_type_to_string(primary.type)));
  } else if (!primary.source_host.empty()) {
    // Another tool may be giving its role away, and will say so.
    out.push_back(about(primary, Problem::kPrimaryHasPrimary, Recovery::kNothing,
                        fmt::format("{}:{}", primary.source_host, primary.source_port)));
  } else if (primary.read_only) {
    out.push_back(about(primary, Problem::kPrimaryIsReadOnly, Recovery::kFixPrimary));
  } else if (must_wait && !primary.semi_sync_source) {
    out.push_back(about(primary, Problem::kPrimarySemiSyncMustBeSet, Recovery::kFixPrimary));
  } else if (!must_wait && primary.semi_sync_source) {
    out.push_back(about(primary, Problem::kPrimarySemiSyncMustNotBeSet, Recovery::kFixPrimary));
  }
}

void judge_replica(const ShardView& view, const TabletView& primary, const TabletView& tablet,
                   std::vector<Finding>& out) {
  const bool must_acknowledge = view.policy.acknowledges(primary.record, tablet.record);
  const auto add = [&](Problem problem, std::string detail = "") {
    out.push_back(about(tablet, problem, Recovery::kFixReplica, std::move(detail)));
  };
  if (!tablet.read_only) {
    add(Problem::kReplicaIsWritable);
  } else if (tablet.source_host.empty()) {
    add(Problem::kNotConnectedToPrimary);
  } else if (tablet.source_host != primary.record.mysql_hostname() ||
             tablet.source_port != primary.record.mysql_port()) {
    add(Problem::kConnectedToWrongPrimary, fmt::format("{}:{}", tablet.source_host, tablet.source_port));
  } else if (!tablet.receiver_on || !tablet.applier_on) {
    add(Problem::kReplicationStopped, !tablet.receiver_on ? "it receives nothing" : "it applies nothing");
  } else if (must_acknowledge && !tablet.semi_sync_replica) {
    add(Problem::kReplicaSemiSyncMustBeSet);
  } else if (!must_acknowledge && tablet.semi_sync_replica) {
    add(Problem::kReplicaSemiSyncMustNotBeSet);
  }
}

}  // namespace

std::string_view problem_name(Problem problem) { return words_of(problem).name; }
std::string_view problem_text(Problem problem) { return words_of(problem).text; }

std::string_view recovery_name(Recovery recovery) {
  switch (recovery) {
    case Recovery::kNothing: return "";
    case Recovery::kRecoverDeadPrimary: return "RecoverDeadPrimary";
    case Recovery::kRecoverIncapacitatedPrimary: return "RecoverIncapacitatedPrimary";
    case Recovery::kRecoverPrimaryDiskStalled: return "RecoverPrimaryDiskStalled";
    case Recovery::kRecoverPrimaryTabletDeleted: return "RecoverPrimaryTabletDeleted";
    case Recovery::kElectNewPrimary: return "ElectNewPrimary";
    case Recovery::kFixPrimary: return "FixPrimary";
    case Recovery::kFixReplica: return "FixReplica";
    case Recovery::kReconcileStaleTopoPrimary: return "ReconcileStaleTopoPrimary";
  }
  return "";
}

bool is_emergency(Recovery recovery) {
  return recovery == Recovery::kRecoverDeadPrimary || recovery == Recovery::kRecoverIncapacitatedPrimary ||
         recovery == Recovery::kRecoverPrimaryDiskStalled || recovery == Recovery::kRecoverPrimaryTabletDeleted;
}

base::Duration patience_with(base::Duration silent, base::Duration usual, const AnalysisSettings& settings) {
  // Shorter than this nobody answers who has something else to do as well.
  constexpr base::Duration kShortest = std::chrono::milliseconds(300);
  constexpr base::Duration kBeyond = std::chrono::milliseconds(10);  // So that the time is over behind it.
  const base::Duration left = settings.incapacitated_after + kBeyond - silent;
  if (left <= base::Duration(0) || left >= usual) return usual;
  return std::min(std::max(left, kShortest), usual);
}

std::optional<::topodata::TabletAlias> preferred_candidate(const ShardView& view) {
  const bool any = std::ranges::none_of(view.tablets, [&](const TabletView& tablet) {
    return tablet.disk_stalled && !topo::same_alias(tablet.record.alias(), view.record.primary_alias());
  });
  const auto found = std::ranges::find_if(view.tablets, could_stand_in);
  if (any || found == view.tablets.end()) return std::nullopt;
  return found->record.alias();
}

std::vector<Finding> analyze(const ShardView& view, const AnalysisSettings& settings) {
  std::vector<Finding> out;
  bool anybody = false;
  for (const TabletView& tablet : view.tablets)
    anybody |= tablet.answers && tablet.record.type() == ::topodata::REPLICA;
  if (!view.record.has_primary_alias()) {
    // A shard in which nothing runs yet is being made.
    if (!view.tablets.empty()) {
      out.push_back({Problem::kClusterHasNoPrimary, anybody ? Recovery::kElectNewPrimary : Recovery::kNothing, {}, ""});
    }
    return out;
  }
  const TabletView* primary = nullptr;
  for (const TabletView& tablet : view.tablets) {
    if (topo::same_alias(tablet.record.alias(), view.record.primary_alias())) primary = &tablet;
  }
  if (primary == nullptr) {
    out.push_back({Problem::kPrimaryTabletDeleted,
                   anybody ? Recovery::kRecoverPrimaryTabletDeleted : Recovery::kNothing, view.record.primary_alias(),
                   ""});
    return out;
  }
  if (!primary->answers) {
    // Once is an accident.
    if (primary->failures >= settings.failures_needed) out.push_back(judge_silent_primary(view, *primary, settings));
    return out;
  }
  if (primary->disk_stalled) {
    out.push_back(judge_stalled_primary(view, *primary, settings));
    return out;
  }
  judge_primary(view, *primary, out);
  const bool primary_works = out.empty();
  for (const TabletView& tablet : view.tablets) {
    if (&tablet == primary || !tablet.answers) continue;
    if (tablet.record.type() == ::topodata::PRIMARY) {
      if (is_later(view.record.primary_term_start_time(), tablet.record.primary_term_start_time())) {
        out.push_back(about(tablet, Problem::kStaleTopoPrimary, Recovery::kReconcileStaleTopoPrimary));
      }
    } else if (takes_part(tablet) && primary_works && !tablet.disk_stalled) {
      // Without room a replica receives nothing, and its server does not even let its threads be stopped.
      judge_replica(view, *primary, tablet, out);
    }
  }
  return out;
}

}  // namespace vitrail::orc
