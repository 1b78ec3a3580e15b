#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "topo/durability.h"
#include "topodata.pb.h"

// What is wrong with a shard, and what would mend it, as a function over what was seen. orc.cc looks, asks here, and
// does what it is told. The names of problems and recoveries are those that Vitess's vtorc shows.
namespace vitrail::orc {

enum class Problem : uint8_t {
  kNone,
  kClusterHasNoPrimary,
  kPrimaryTabletDeleted,
  kDeadPrimary,                 // Neither it nor, as its replicas see it, its server is there.
  kDeadPrimaryAndSomeReplicas,  // The same, and some of the replicas do not answer.
  kDeadPrimaryAndReplicas,      // Nobody answers.
  kDeadPrimaryWithoutReplicas,
  kUnreachablePrimary,    // It does not answer, but its replicas still receive from its server.
  kIncapacitatedPrimary,  // The same, for longer than anything passing lasts.
  kPrimaryDiskStalled,    // It answers, but its server cannot write.
  kPrimaryCurrentTypeMismatch,
  kPrimaryHasPrimary,
  kPrimaryIsReadOnly,
  kPrimarySemiSyncMustBeSet,
  kPrimarySemiSyncMustNotBeSet,
  kStaleTopoPrimary,  // A tablet that is no more the primary, and has not noticed.
  kReplicaIsWritable,
  kNotConnectedToPrimary,
  kConnectedToWrongPrimary,
  kReplicationStopped,
  kReplicaSemiSyncMustBeSet,
  kReplicaSemiSyncMustNotBeSet,
};
std::string_view problem_name(Problem problem);
std::string_view problem_text(Problem problem);  // A sentence for people.

enum class Recovery : uint8_t {
  kNothing,  // Nobody can mend it from here, or it mends itself.
  kRecoverDeadPrimary,
  kRecoverIncapacitatedPrimary,
  kRecoverPrimaryDiskStalled,
  kRecoverPrimaryTabletDeleted,
  kElectNewPrimary,
  kFixPrimary,
  kFixReplica,
  kReconcileStaleTopoPrimary,
};
std::string_view recovery_name(Recovery recovery);
// Another tablet becomes the primary, and the old one has no say in it.
bool is_emergency(Recovery recovery);

// One tablet, as it was seen last.
struct TabletView {
  ::topodata::Tablet record;
  bool answers = false;          // It, and its server through it.
  int failures = 0;              // Looks in a row that had no answer.
  base::Duration silent_for{0};  // Since the last answer; since the first look when there was none.
  // As it said; meaningless unless it answers.
  ::topodata::TabletType type =
      ::topodata::UNKNOWN;  // As it shows itself: a demoted primary is one that does not serve.
  bool read_only = true;
  bool semi_sync_source = false;
  bool semi_sync_replica = false;
  std::string source_host;  // Empty: it follows nobody.
  int32_t source_port = 0;
  bool receives = false;  // Its receiving thread is connected.
  bool receiver_on = false, applier_on = false;
  bool disk_stalled = false;  // There is no room for its server to write to, or no disk.
};

struct ShardView {
  std::string keyspace, shard;
  ::topodata::Shard record;
  topo::Durability policy;
  std::vector<TabletView> tablets;
};

struct AnalysisSettings {
  int failures_needed = 2;  // Looks in a row without an answer.
  base::Duration incapacitated_after = std::chrono::seconds(3);
  bool replace_stalled = true;  // A primary whose disk takes no writes.
};

// How long a tablet that last answered `silent` ago is waited for when it is asked now: no longer than until its
// silence says something (incapacitated_after), for while it is waited for nothing is done. At most `usual`.
base::Duration patience_with(base::Duration silent, base::Duration usual, const AnalysisSettings& settings);

struct Finding {
  Problem problem = Problem::kNone;
  Recovery recovery = Recovery::kNothing;
  std::optional<::topodata::TabletAlias> tablet;  // Whom it is about.
  std::string detail;                             // For people.
};

// Whom to promote in place of a primary whose disk is full, when a replica's is too: one whose is not. Nothing: any.
std::optional<::topodata::TabletAlias> preferred_candidate(const ShardView& view);

// What is wrong, the most important first. A problem of the primary hides those of replicas that follow from it.
std::vector<Finding> analyze(const ShardView& view, const AnalysisSettings& settings);

}  // namespace vitrail::orc
