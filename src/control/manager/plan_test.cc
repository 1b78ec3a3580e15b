#include "control/manager/plan.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "control/manager/factory.h"
#include "control/manager/records.h"
#include "control/manager/tasks.h"
#include "control/manager/tree.h"

namespace vitrail::control::manager {
namespace {

using Names = std::vector<std::string>;

const base::WallTime kNow{std::chrono::seconds(1'700'000'000)};

std::vector<ShardFacts> unsharded_to_two() {
  return {{.name = "0", .serving = true}, {.name = "-80"}, {.name = "80-"}};
}

Record make(const Names& flags = {}, const std::vector<ShardFacts>& shards = unsharded_to_two()) {
  Names words = {"-keyspace=test_keyspace", "-vtworkers=localhost:15033"};
  words.insert(words.end(), flags.begin(), flags.end());
  const auto parameters = parse_parameters(kHorizontalResharding, words);
  EXPECT_TRUE(parameters.ok()) << parameters.error().message();
  auto record = make_record(*parameters, shards, "u", kNow);
  EXPECT_TRUE(record.ok()) << record.error().message();
  return std::move(*record);
}
Record started(const Names& flags = {}) {
  Record record = make(flags);
  EXPECT_TRUE(press(record, "/u", kStart, kNow).ok());
  return record;
}
std::string newest_log(const Record& record) { return log_of(record).back().what; }
std::string text(const Decision& decision) { return decision.finished ? "finished" : base::join(decision.start, " "); }
std::string buttons(const Record& record, const std::string& path) {
  std::string out;
  for (const Button& button : buttons_of(record, path)) {
    out += (out.empty() ? "" : ", ") + (button.message.empty() ? button.name : button.message) +
           (button.enabled ? "" : " (off)");
  }
  return out;
}
std::string pressed(Record& record, const std::string& path, std::string_view button) {
  const Status done = press(record, path, button, kNow);
  return done.ok() ? "" : done.error().message();
}
// Begins what is decided, and ends it well.
std::string step(Record& record) {
  const Decision decision = decide(record, {});
  for (const auto& id : decision.start) {
    begin_task(record, id, kNow);
    end_task(record, id, Status{}, "", kNow);
  }
  return text(decision);
}

TEST(WorkflowPlan, ShardsAndTasksAreFoundOut_S2_25_S2_26_S2_28) {
  const Record record = make();
  EXPECT_EQ(record.workflow.name(), "Horizontal resharding on keyspace test_keyspace");
  EXPECT_EQ(record.setting("source_shards"), "0");
  EXPECT_EQ(record.setting("destination_shards"), "-80,80-");
  std::string all;
  for (const Phase& phase : phases_of(record)) all += phase.label + "(" + base::join(phase.tasks, " ") + ") ";
  EXPECT_EQ(all,
            "CopySchemaShard(-80 80-) SplitClone(0) WaitForFilteredReplication(-80 80-) SplitDiff(-80 80-) "
            "MigrateServedTypeRdonly(0) MigrateServedTypeReplica(0) MigrateServedTypeMaster(0) ");
}

TEST(WorkflowPlan, PhasesRunOneAfterAnotherWithoutApprovals_S2_29_S2_37) {
  Record record = make({"-enable_approvals=false"});
  EXPECT_EQ(text(decide(record, {})), "");  // Not started.
  EXPECT_EQ(pressed(record, "/u", kStart), "");
  std::string all;
  for (std::string now; (now = step(record)) != "finished";) all += now + "; ";
  EXPECT_EQ(all,
            "copy_schema/-80 copy_schema/80-; clone/0; wait_for_filtered_replication/-80 "
            "wait_for_filtered_replication/80-; diff/-80; diff/80-; migrate_rdonly/0; migrate_replica/0; "
            "migrate_master/0; ");
  finish(record, kNow);
  EXPECT_EQ(record.workflow.state(), ::workflow::Done);
  EXPECT_EQ(record.workflow.error(), "");
  EXPECT_EQ(text(decide(record, {})), "");
}

TEST(WorkflowPlan, ApprovalsInTwoStages_S2_30_to_S2_38) {
  Record record = started();
  const std::string phase = "/u/copy_schema";
  EXPECT_EQ(text(decide(record, {})), "");
  EXPECT_EQ(buttons(record, phase), "Approve first shard, Approve remaining shards (off)");
  EXPECT_EQ(buttons(record, "/u/clone"), "");  // Its turn has not come.
  EXPECT_TRUE(pressed(record, phase, kApproveRemaining).contains("no pending approval found"));
  EXPECT_EQ(pressed(record, phase, kApproveFirst), "");
  EXPECT_EQ(buttons(record, phase), "First shard approved (off), Approve remaining shards");
  EXPECT_EQ(pressed(record, phase, kApproveFirst),
            "ignored the approval action Approve first shard because no pending approval found: it might be already "
            "approved before");
  EXPECT_EQ(step(record), "copy_schema/-80");
  EXPECT_EQ(step(record), "");
  EXPECT_EQ(pressed(record, phase, kApproveRemaining), "");
  EXPECT_EQ(buttons(record, phase), "First shard approved (off), Remaining shards approved (off)");
  EXPECT_EQ(step(record), "copy_schema/80-");
  EXPECT_EQ(buttons(record, phase), "");
  EXPECT_EQ(buttons(record, "/u/clone"), "Approve first shard");  // One task: one button.
  EXPECT_EQ(pressed(record, "/u/clone", kApproveFirst), "");
  EXPECT_EQ(step(record), "clone/0");
}

TEST(WorkflowPlan, InASequentialPhaseTheRemainingWaitForTheFirst_S2_33) {
  Record record = started({"-phase_enable_approvals=diff"});
  step(record);
  step(record);
  step(record);
  EXPECT_EQ(pressed(record, "/u/diff", kApproveFirst), "");
  begin_task(record, "diff/-80", kNow);
  EXPECT_EQ(buttons(record, "/u/diff"), "First shard approved (off), Approve remaining shards (off)");
  end_task(record, "diff/-80", Status{}, "", kNow);
  EXPECT_EQ(buttons(record, "/u/diff"), "First shard approved (off), Approve remaining shards");
}

TEST(WorkflowPlan, AFailureStopsWhatComesBehindAndRetryGoesOn_S2_40_to_S2_45) {
  Record record = started({"-enable_approvals=false"});
  const Status broken = fail(Code::kUnavailable, "no vtworker");
  for (const auto* id : {"copy_schema/-80", "copy_schema/80-"}) begin_task(record, id, kNow);
  end_task(record, "copy_schema/80-", broken, "", kNow);
  // The other task of a parallel phase goes on, the next phase does not begin.
  EXPECT_EQ(text(decide(record, {"copy_schema/-80"})), "");
  end_task(record, "copy_schema/-80", Status{}, "", kNow);
  EXPECT_EQ(step(record), "");
  EXPECT_EQ(buttons(record, "/u/copy_schema/80-"), "Retry");
  EXPECT_EQ(buttons(record, "/u/copy_schema/-80"), "");
  const auto first = record.checkpoint.tasks().at("copy_schema/-80").SerializeAsString();
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(pressed(record, "/u/copy_schema/80-", kRetry), "");
    EXPECT_EQ(text(decide(record, {})), "copy_schema/80-");
    begin_task(record, "copy_schema/80-", kNow);
    end_task(record, "copy_schema/80-", broken, "", kNow);
  }
  EXPECT_EQ(pressed(record, "/u/copy_schema/80-", kRetry), "");
  EXPECT_EQ(step(record), "copy_schema/80-");
  EXPECT_EQ(record.checkpoint.tasks().at("copy_schema/-80").SerializeAsString(), first);
  EXPECT_EQ(record.checkpoint.tasks().at("copy_schema/80-").attributes().at("attempts"), "5");
  step(record);
  step(record);
  // A sequential phase: the remaining task is not begun.
  begin_task(record, "diff/-80", kNow);
  end_task(record, "diff/-80", broken, "", kNow);
  EXPECT_EQ(step(record), "");
  EXPECT_TRUE(pressed(record, "/u/diff/80-", kRetry).contains("has no action"));
  EXPECT_EQ(pressed(record, "/u/diff/-80", kRetry), "");
  EXPECT_EQ(step(record), "diff/-80");
  EXPECT_EQ(step(record), "diff/80-");
}

TEST(WorkflowPlan, AnotherProcessGoesOnWithRunningTasksOnly_S2_39_S2_47_S2_48) {
  Record record = started();
  pressed(record, "/u/copy_schema", kApproveFirst);
  begin_task(record, "copy_schema/-80", kNow);
  EXPECT_EQ(text(decide(record, {"copy_schema/-80"})), "");
  const auto restored = decode(encode(record));
  ASSERT_TRUE(restored.ok());
  record = *restored;
  EXPECT_EQ(text(decide(record, {})), "copy_schema/-80");
  EXPECT_EQ(buttons(record, "/u/copy_schema"), "First shard approved (off), Approve remaining shards");
  begin_task(record, "copy_schema/-80", kNow);
  EXPECT_EQ(record.checkpoint.tasks().at("copy_schema/-80").attributes().at("taken_over"), "true");
  end_task(record, "copy_schema/-80", Status{}, "", kNow);
  EXPECT_EQ(text(decide(record, {})), "");
}

TEST(WorkflowPlan, StopEndsAndStartGoesOn_S2_50) {
  Record record = started({"-enable_approvals=false"});
  step(record);
  EXPECT_EQ(buttons(record, "/u"), "Stop");
  EXPECT_EQ(pressed(record, "/u", kStop), "");
  EXPECT_EQ(record.workflow.state(), ::workflow::Done);
  EXPECT_TRUE(record.workflow.error().contains("cancel"));
  EXPECT_EQ(text(decide(record, {})), "");
  EXPECT_EQ(buttons(record, "/u"), "Start, Delete");
  EXPECT_EQ(pressed(record, "/u", kStart), "");
  EXPECT_EQ(step(record), "clone/0");
}

struct SidesCase {
  std::vector<ShardFacts> shards;
  Names sources, destinations;
  std::string expected;  // "sources -> destinations (clones)", or a part of the error.
};
TEST(WorkflowFactory, FindsSides_S2_25_S2_58) {
  const auto on = [](const char* name) { return ShardFacts{.name = name, .serving = true}; };
  const auto off = [](const char* name) { return ShardFacts{.name = name}; };
  const SidesCase cases[] = {
      {unsharded_to_two(), {}, {}, "0 -> -80,80- (0)"},
      {{on("-40"), on("40-80"), on("80-"), off("40-60"), off("60-80")}, {}, {}, "40-80 -> 40-60,60-80 (40-80)"},
      {{on("-40"), on("40-80"), on("80-"), off("-80")}, {}, {}, "-40,40-80 -> -80 (-40)"},
      {{on("-80"), on("80-"), off("-40"), off("40-80"), off("80-c0"), off("c0-")},
       {},
       {},
       "-80,80- -> -40,40-80,80-c0,c0- (-80,80-)"},
      {{on("-80"), on("80-"), off("-40"), off("40-80"), off("80-c0"), off("c0-")},
       {"-80"},
       {},
       "-80 -> -40,40-80 (-80)"},
      // The shard before the last resharding is there still.
      {{on("-80"), on("80-"), off("0"), off("-40"), off("40-80")}, {}, {}, "cannot be resharded into"},
      {{on("-80"), on("80-"), off("0"), off("-40"), off("40-80")}, {"-80"}, {"-40", "40-80"}, "-80 -> -40,40-80 (-80)"},
      {{on("0"), off("-80")}, {}, {}, "cannot be resharded into"},
      {{on("-80"), on("80-")}, {}, {}, "nothing to reshard"},
      {unsharded_to_two(), {"-80"}, {}, "does not serve"},
      {unsharded_to_two(), {}, {"0"}, "serves already"},
      {unsharded_to_two(), {"c0-"}, {}, "has no shard c0-"},
  };
  for (const SidesCase& one : cases) {
    const auto sides = find_sides("k", one.shards, one.sources, one.destinations);
    if (sides.ok()) {
      EXPECT_EQ(base::join(sides->sources, ",") + " -> " + base::join(sides->destinations, ",") + " (" +
                    base::join(sides->clones, ",") + ")",
                one.expected);
    } else {
      EXPECT_TRUE(sides.error().message().contains(one.expected)) << sides.error().message() << " / " << one.expected;
    }
  }
}

TEST(WorkflowFactory, RefusesWhatDoesNotFit_S2_09_S2_17) {
  const auto error = [](std::string_view factory, const Names& words) {
    const auto parameters = parse_parameters(factory, words);
    if (!parameters.ok()) return parameters.error().message();
    auto shards = unsharded_to_two();
    const auto record = make_record(*parameters, shards, "u", kNow);
    return record.ok() ? std::string() : record.error().message();
  };
  EXPECT_EQ(error(kHorizontalResharding, {"-keyspace=k", "-vtworkers=a:1,b:2"}),
            "there are 2 vtworkers, 1 source shards: the number should be same");
  EXPECT_TRUE(error(kHorizontalResharding, {"-vtworkers=a:1"}).contains("keyspace name"));
  EXPECT_TRUE(error(kHorizontalResharding, {"-keyspace=k"}).contains("vtworkers"));
  EXPECT_TRUE(error(kHorizontalResharding, {"-keyspace=k", "-vtworkers=a:1", "-nothing=1"}).contains("nothing"));
  EXPECT_TRUE(error(kHorizontalResharding, {"-keyspace=k", "-vtworkers=a:1", "-phase_enable_approvals=x"})
                  .contains("no phase \"x\""));
  EXPECT_EQ(error("schema_swap", {}), "no factory named schema_swap is registered");
  EXPECT_EQ(error(kSleep, {"-duration=5"}), "");
  EXPECT_EQ(error(kTopoValidator, {}), "");
  const auto parameters = parse_parameters(kHorizontalResharding, {"-keyspace=k", "-vtworkers=a:1"});
  auto shards = unsharded_to_two();
  shards[1].receives = true;
  EXPECT_TRUE(make_record(*parameters, shards, "u", kNow).error().message().contains("SourceShardDelete"));
}

TEST(WorkflowTasks, AreCommandLines) {
  const auto line = [](const Record& record, const std::string& id) {
    const auto job = job_of(record, id);
    return job.ok() ? job->vtworker + (job->vtworker.empty() ? "" : "> ") + base::join(job->words, " ")
                    : job.error().message();
  };
  const Record plain = make();
  EXPECT_EQ(line(plain, "copy_schema/80-"), "CopySchemaShard test_keyspace/0 test_keyspace/80-");
  EXPECT_EQ(line(plain, "clone/0"), "localhost:15033> SplitClone -min_healthy_rdonly_tablets=1 test_keyspace/0");
  EXPECT_EQ(line(plain, "wait_for_filtered_replication/-80"), "WaitForFilteredReplication test_keyspace/-80");
  EXPECT_EQ(line(plain, "diff/-80"),
            "localhost:15033> SplitDiff -min_healthy_rdonly_tablets=1 -dest_tablet_type=RDONLY test_keyspace/-80");
  EXPECT_EQ(line(plain, "migrate_rdonly/0"), "MigrateServedTypes test_keyspace/0 rdonly");
  EXPECT_EQ(line(plain, "migrate_master/0"), "MigrateServedTypes test_keyspace/0 master");
  EXPECT_EQ(line(plain, "migrate_master/1"), "no task migrate_master/1");
  const Record other = make({"-exclude_tables=a,b", "-min_healthy_rdonly_tablets=2", "-use_consistent_snapshot",
                             "-split_diff_dest_tablet_type=replica"});
  EXPECT_EQ(line(other, "copy_schema/-80"), "CopySchemaShard -exclude_tables=a,b test_keyspace/0 test_keyspace/-80");
  EXPECT_EQ(line(other, "clone/0"),
            "localhost:15033> SplitClone -min_healthy_rdonly_tablets=2 -exclude_tables=a,b "
            "-use_consistent_snapshot=true test_keyspace/0");
  EXPECT_EQ(line(other, "diff/-80"),
            "localhost:15033> SplitDiff -min_healthy_rdonly_tablets=2 -exclude_tables=a,b -dest_tablet_type=REPLICA "
            "test_keyspace/-80");
}

TEST(WorkflowTree, HasNodesAndActions_S2_27_S2_84) {
  Record record = started();
  const auto tree = nlohmann::json::parse(tree_of(record));
  EXPECT_EQ(tree["path"], "/u");
  EXPECT_EQ(tree["state"], 1);
  ASSERT_EQ(tree["children"].size(), 7u);
  const auto& phase = tree["children"][0];
  EXPECT_EQ(phase["pathName"], "copy_schema");
  EXPECT_EQ(phase["actions"][0]["name"], "Approve first shard");
  EXPECT_EQ(phase["actions"][0]["state"], 1);
  EXPECT_EQ(phase["actions"][1]["state"], 2);
  EXPECT_EQ(phase["children"][0]["name"], "Shard -80");
  EXPECT_EQ(phase["children"][1]["path"], "/u/copy_schema/80-");
  pressed(record, "/u/copy_schema", kApproveFirst);
  begin_task(record, "copy_schema/-80", kNow);
  EXPECT_EQ(
      nlohmann::json::parse(tree_of(record, {{"u/copy_schema/-80", "half"}}))["children"][0]["children"][0]["message"],
      "half");
  end_task(record, "copy_schema/-80", fail(Code::kUnavailable, "gone"), "it said \xff this", kNow);
  const auto failed = nlohmann::json::parse(tree_of(record))["children"][0]["children"][0];
  EXPECT_EQ(failed["message"], "failed: UNAVAILABLE: gone");
  EXPECT_EQ(failed["actions"][0]["name"], "Retry");
  EXPECT_EQ(failed["log"], "it said \xef\xbf\xbd this");
}

TEST(WorkflowPlan, TheLogIsBounded) {
  Record record = make();
  for (size_t i = 0; i < kLogEntriesMax + 5; ++i) add_log(record, kNow, "x", std::to_string(i));
  const auto log = log_of(record);
  EXPECT_EQ(log.size(), kLogEntriesMax);
  EXPECT_EQ(log.back().what, std::to_string(kLogEntriesMax + 4));
}

TEST(Plan, TheLogTellsWhoPressedAButton) {
  Record record = make({});
  EXPECT_TRUE(press(record, "/u", kStart, kNow, "ops").ok());
  EXPECT_EQ(newest_log(record), "started by ops");
  EXPECT_TRUE(press(record, "/u/copy_schema", kApproveFirst, kNow, "CN=ann").ok());
  EXPECT_EQ(newest_log(record), "first shard approved by CN=ann");
  EXPECT_TRUE(press(record, "/u", kStop, kNow).ok());
  EXPECT_EQ(newest_log(record), "stopped");
}

}  // namespace
}  // namespace vitrail::control::manager
