#include "orc/analysis.h"

#include <gtest/gtest.h>

#include <functional>

#include "topo/tablet.h"

namespace vitrail::orc {
namespace {

using namespace std::chrono_literals;

// A shard of a primary (1), two replicas (2, 3) and an rdonly tablet (4), all well.
ShardView healthy(const char* policy = "none") {
  ShardView view{.keyspace = "ks", .shard = "0"};
  view.policy = *topo::Durability::parse(policy);
  view.record.mutable_primary_alias()->set_cell("z");
  view.record.mutable_primary_alias()->set_uid(1);
  view.record.mutable_primary_term_start_time()->set_seconds(50);
  for (uint32_t uid = 1; uid <= 4; ++uid) {
    TabletView tablet{.answers = true, .read_only = uid != 1};
    tablet.record.mutable_alias()->set_cell("z");
    tablet.record.mutable_alias()->set_uid(uid);
    tablet.record.set_mysql_hostname("host");
    tablet.record.set_mysql_port(static_cast<int32_t>(3300 + uid));
    tablet.type = uid == 1 ? ::topodata::PRIMARY : uid == 4 ? ::topodata::RDONLY : ::topodata::REPLICA;
    tablet.record.set_type(tablet.type);
    if (uid == 1) {
      tablet.record.mutable_primary_term_start_time()->set_seconds(50);
      tablet.semi_sync_source = view.policy.acks_needed() > 0;
    } else {
      tablet.source_host = "host";
      tablet.source_port = 3301;
      tablet.receives = tablet.receiver_on = tablet.applier_on = true;
      tablet.semi_sync_replica = view.policy.acknowledges(view.tablets[0].record, tablet.record);
    }
    view.tablets.push_back(tablet);
  }
  return view;
}

void silence(TabletView& tablet, base::Duration since = 2s, int failures = 2) {
  tablet.answers = false;
  tablet.failures = failures;
  tablet.silent_for = since;
}

void cut_off(ShardView& view) {
  for (auto& tablet : view.tablets) tablet.receives = false;
}

TEST(Analysis, FindsWhatIsWrongAndWhatMendsIt) {
  struct Case {
    const char* what;
    const char* policy;
    std::function<void(ShardView&)> change;
    Problem problem;
    Recovery recovery;
    uint32_t uid = 0;  // Whom it is about.
    size_t findings = 1;
  };
  using enum Problem;
  using enum Recovery;
  const Case cases[] = {
      {"all is well", "none", [](ShardView&) {}, kNone, kNothing, 0, 0},
      {"all is well with acknowledgements", "semi_sync", [](ShardView&) {}, kNone, kNothing, 0, 0},
      // The primary is gone.
      {"it did not answer once", "none", [](ShardView& v) { silence(v.tablets[0], 1s, 1), cut_off(v); }, kNone,
       kNothing, 0, 0},
      {"dead", "none", [](ShardView& v) { silence(v.tablets[0]), cut_off(v); }, kDeadPrimary, kRecoverDeadPrimary, 1},
      {"dead, with a replica", "none", [](ShardView& v) { silence(v.tablets[0]), silence(v.tablets[2]), cut_off(v); },
       kDeadPrimaryAndSomeReplicas, kRecoverDeadPrimary, 1},
      {"all dead", "none",
       [](ShardView& v) {
         for (auto& tablet : v.tablets) silence(tablet);
         cut_off(v);
       },
       kDeadPrimaryAndReplicas, kNothing, 1},
      {"dead, and alone", "none",
       [](ShardView& v) {
         v.tablets.resize(1);
         silence(v.tablets[0]);
       },
       kDeadPrimaryWithoutReplicas, kNothing, 1},
      {"one of the replicas receives from it", "none",
       [](ShardView& v) { silence(v.tablets[0]), cut_off(v), v.tablets[3].receives = true; }, kUnreachablePrimary,
       kNothing, 1},
      {"one receives, but from another server", "none",
       [](ShardView& v) {
         silence(v.tablets[0]), cut_off(v);
         v.tablets[3].receives = true;
         v.tablets[3].source_port = 9;
       },
       kDeadPrimary, kRecoverDeadPrimary, 1},
      {"silent for long, replicas receive", "none", [](ShardView& v) { silence(v.tablets[0], 11s); },
       kIncapacitatedPrimary, kNothing, 1},
      {"the same, where commits wait for replicas", "semi_sync", [](ShardView& v) { silence(v.tablets[0], 11s); },
       kIncapacitatedPrimary, kRecoverIncapacitatedPrimary, 1},
      // Its disk is full.
      {"no room, and nobody would know what is lost", "none", [](ShardView& v) { v.tablets[0].disk_stalled = true; },
       kPrimaryDiskStalled, kNothing, 1},
      {"no room, where commits wait for replicas", "semi_sync", [](ShardView& v) { v.tablets[0].disk_stalled = true; },
       kPrimaryDiskStalled, kRecoverPrimaryDiskStalled, 1},
      {"it hides what else there is", "semi_sync",
       [](ShardView& v) { v.tablets[0].disk_stalled = v.tablets[0].read_only = true, v.tablets[1].source_host = ""; },
       kPrimaryDiskStalled, kRecoverPrimaryDiskStalled, 1},
      {"nor has one of the replicas room", "semi_sync",
       [](ShardView& v) { v.tablets[0].disk_stalled = v.tablets[1].disk_stalled = true; }, kPrimaryDiskStalled,
       kRecoverPrimaryDiskStalled, 1},
      {"nor has any replica", "semi_sync",
       [](ShardView& v) {
         for (int i : {0, 1, 2}) v.tablets[i].disk_stalled = true;
       },
       kPrimaryDiskStalled, kNothing, 1},
      {"nor does one receive that has", "semi_sync",
       [](ShardView& v) {
         v.tablets[0].disk_stalled = v.tablets[1].disk_stalled = true;
         v.tablets[2].receives = false;
       },
       kPrimaryDiskStalled, kNothing, 1},
      {"a replica has none", "semi_sync", [](ShardView& v) { v.tablets[1].disk_stalled = true; }, kNone, kNothing, 0,
       0},
      {"and receives nothing for that", "semi_sync",
       [](ShardView& v) {
         v.tablets[1].disk_stalled = true;
         v.tablets[1].receives = v.tablets[1].receiver_on = false;
       },
       kNone, kNothing, 0, 0},
      {"its record was deleted", "none", [](ShardView& v) { v.tablets.erase(v.tablets.begin()); },
       kPrimaryTabletDeleted, kRecoverPrimaryTabletDeleted, 1},
      {"no primary was ever named", "none", [](ShardView& v) { v.record.clear_primary_alias(); }, kClusterHasNoPrimary,
       kElectNewPrimary},
      {"nor does anybody answer", "none",
       [](ShardView& v) {
         v.record.clear_primary_alias();
         for (auto& tablet : v.tablets) silence(tablet);
       },
       kClusterHasNoPrimary, kNothing},
      {"a shard without tablets", "none",
       [](ShardView& v) {
         v.record.clear_primary_alias();
         v.tablets.clear();
       },
       kNone, kNothing, 0, 0},
      // The primary is not as it should be.
      {"read-only", "none", [](ShardView& v) { v.tablets[0].read_only = true; }, kPrimaryIsReadOnly, kFixPrimary, 1},
      {"demoted", "none",
       [](ShardView& v) {
         v.tablets[0].record.set_type(::topodata::REPLICA);
         v.tablets[0].read_only = true;
       },
       kPrimaryCurrentTypeMismatch, kFixPrimary, 1},
      {"it follows somebody", "none", [](ShardView& v) { v.tablets[0].source_host = "x"; }, kPrimaryHasPrimary,
       kNothing, 1},
      {"it does not wait", "semi_sync", [](ShardView& v) { v.tablets[0].semi_sync_source = false; },
       kPrimarySemiSyncMustBeSet, kFixPrimary, 1},
      {"it waits in vain", "none", [](ShardView& v) { v.tablets[0].semi_sync_source = true; },
       kPrimarySemiSyncMustNotBeSet, kFixPrimary, 1},
      {"a problem of the primary hides those of replicas", "none",
       [](ShardView& v) {
         v.tablets[0].read_only = true;
         v.tablets[1].source_host = "";
       },
       kPrimaryIsReadOnly, kFixPrimary, 1},
      {"an old primary has not noticed", "none",
       [](ShardView& v) {
         v.tablets[1].record.set_type(::topodata::PRIMARY);
         v.tablets[1].record.mutable_primary_term_start_time()->set_seconds(40);
       },
       kStaleTopoPrimary, kReconcileStaleTopoPrimary, 2},
      {"a newer one is about to be named", "none",
       [](ShardView& v) {
         v.tablets[1].record.set_type(::topodata::PRIMARY);
         v.tablets[1].record.mutable_primary_term_start_time()->set_seconds(60);
       },
       kNone, kNothing, 0, 0},
      // Replicas.
      {"writable", "none", [](ShardView& v) { v.tablets[1].read_only = false; }, kReplicaIsWritable, kFixReplica, 2},
      {"it follows nobody", "none", [](ShardView& v) { v.tablets[1].source_host = ""; }, kNotConnectedToPrimary,
       kFixReplica, 2},
      {"it follows another", "none", [](ShardView& v) { v.tablets[2].source_port = 3302; }, kConnectedToWrongPrimary,
       kFixReplica, 3},
      {"it does not apply", "none", [](ShardView& v) { v.tablets[3].applier_on = false; }, kReplicationStopped,
       kFixReplica, 4},
      {"it does not receive", "none", [](ShardView& v) { v.tablets[1].receiver_on = false; }, kReplicationStopped,
       kFixReplica, 2},
      {"it is connecting: that is not stopped", "none", [](ShardView& v) { v.tablets[1].receives = false; }, kNone,
       kNothing, 0, 0},
      {"it does not acknowledge", "semi_sync", [](ShardView& v) { v.tablets[1].semi_sync_replica = false; },
       kReplicaSemiSyncMustBeSet, kFixReplica, 2},
      {"an rdonly tablet acknowledges", "semi_sync", [](ShardView& v) { v.tablets[3].semi_sync_replica = true; },
       kReplicaSemiSyncMustNotBeSet, kFixReplica, 4},
      {"a backup is left alone", "none",
       [](ShardView& v) {
         v.tablets[1].record.set_type(::topodata::BACKUP);
         v.tablets[1].source_host = "";
       },
       kNone, kNothing, 0, 0},
      {"who does not answer cannot be fixed", "none", [](ShardView& v) { silence(v.tablets[1]); }, kNone, kNothing, 0,
       0},
      {"two replicas", "none",
       [](ShardView& v) {
         v.tablets[1].read_only = false;
         v.tablets[2].source_host = "";
       },
       kReplicaIsWritable, kFixReplica, 2, 2},
  };
  for (const Case& c : cases) {
    ShardView view = healthy(c.policy);
    c.change(view);
    const auto findings = analyze(view, {});
    EXPECT_EQ(findings.size(), c.findings) << c.what;
    const Finding first = findings.empty() ? Finding() : findings[0];
    EXPECT_EQ(first.problem, c.problem) << c.what << ": " << problem_name(first.problem);
    EXPECT_EQ(first.recovery, c.recovery) << c.what << ": " << recovery_name(first.recovery);
    EXPECT_EQ(first.tablet ? first.tablet->uid() : 0, c.uid) << c.what;
  }
}

TEST(Analysis, OnlyASilentOrDeletedPrimaryIsReplaced) {
  // Whatever else is wrong: no emergency reparent as long as the primary answers.
  for (uint32_t bits = 0; bits < 1u << 10; ++bits) {
    ShardView view = healthy(bits & 1 ? "semi_sync" : "none");
    TabletView& primary = view.tablets[0];
    if (bits & 2) primary.read_only = true;
    if (bits & 4) primary.record.set_type(::topodata::REPLICA);
    if (bits & 8) primary.source_host = "x";
    if (bits & 16) cut_off(view);
    if (bits & 32) silence(view.tablets[1]);
    if (bits & 64) silence(view.tablets[2], 60s);
    if (bits & 128) view.tablets[3].source_host = "";
    if (bits & 256) primary.failures = 9;
    if (bits & 512) view.tablets[1].record.set_type(::topodata::PRIMARY);
    for (const Finding& finding : analyze(view, {})) {
      EXPECT_FALSE(is_emergency(finding.recovery)) << bits << " " << problem_name(finding.problem);
    }
  }
}

TEST(Analysis, ASilentTabletIsWaitedForUntilItsSilenceSaysSomething) {
  const AnalysisSettings settings{.incapacitated_after = 3s};
  EXPECT_EQ(patience_with(0s, 1s, settings), 1s);
  EXPECT_EQ(patience_with(1900ms, 1s, settings), 1s);
  EXPECT_EQ(patience_with(2400ms, 1s, settings), 610ms);
  EXPECT_EQ(patience_with(2990ms, 1s, settings), 300ms);  // Who is busy needs a moment, too.
  EXPECT_EQ(patience_with(3020ms, 1s, settings), 1s);
  EXPECT_EQ(patience_with(60s, 1s, settings), 1s);
  EXPECT_EQ(patience_with(0s, 200ms, settings), 200ms);
  EXPECT_EQ(patience_with(2990ms, 200ms, settings), 200ms);
}

TEST(Analysis, NamesAreInOrder) {
  for (int i = 0; i <= static_cast<int>(Problem::kReplicaSemiSyncMustNotBeSet); ++i) {
    EXPECT_FALSE(problem_name(static_cast<Problem>(i)).empty());
  }
  EXPECT_EQ(problem_name(Problem::kReplicaSemiSyncMustNotBeSet), "ReplicaSemiSyncMustNotBeSet");
  EXPECT_EQ(problem_name(Problem::kDeadPrimary), "DeadPrimary");
}

TEST(Analysis, PromotesOneThatHasRoom) {
  auto view = healthy("semi_sync");
  view.tablets[0].disk_stalled = true;
  EXPECT_FALSE(preferred_candidate(view));
  view.tablets[1].disk_stalled = true;
  ASSERT_TRUE(preferred_candidate(view));
  EXPECT_EQ(preferred_candidate(view)->uid(), 3u);
  view.tablets[2].answers = false;
  EXPECT_FALSE(preferred_candidate(view));
}

}  // namespace
}  // namespace vitrail::orc
