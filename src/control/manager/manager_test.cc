// Who runs workflows, and what is left when he dies. Tools are pretended here; tests/e2e/workflow_manager.py has real
// ones.
#include "control/manager/manager.h"

#include <gtest/gtest.h>

#include <atomic>

#include "base/text.h"
#include "control/manager/factory.h"
#include "topo/conformance/fixture.h"
#include "topo/keyspace.h"
#include "topo/shard.h"

namespace vitrail::control::manager {
namespace {

using namespace std::chrono_literals;

// Notes commands, fails those that are to fail, and holds back one.
class NotingTools : public Tools {
 public:
  net::Task<Status> run(Words words, Say say, net::CancelToken cancel) override {
    return note(base::join(words, " "), std::move(say), std::move(cancel));
  }
  net::Task<Status> run_on_vtworker(std::string address, Words words, Say say, net::CancelToken cancel) override {
    return note(address + "> " + base::join(words, " "), std::move(say), std::move(cancel));
  }
  std::vector<std::string> lines;  // On the loop.
  std::string fails, holds;        // Parts of commands.

 private:
  net::Task<Status> note(std::string line, Say say, net::CancelToken cancel) {
    lines.push_back(line);
    say(line + " runs\n");
    while (!holds.empty() && line.contains(holds)) {
      CO_RETURN_IF_ERROR(co_await net::sleep_for(5ms, cancel));
    }
    if (!fails.empty() && line.contains(fails)) co_return fail(Code::kUnavailable, line + " failed");
    co_return Status{};
  }
};

class WorkflowManagerTest : public testing::Test {
 protected:
  void SetUp() override {
    topology_ = open();
    ASSERT_TRUE(run(topo::create_keyspace(*topology_, "k", {})).ok());
    for (const auto* shard : {"0", "-80", "80-"}) ASSERT_TRUE(run(topo::create_shard(*topology_, "k", shard)).ok());
  }
  void TearDown() override { run(topology_->close()); }
  std::unique_ptr<topo::Server> open() {
    topo::ServerOptions options;
    options.implementation = "sqlite";
    options.global_server_address = folder_.file("topo.db");
    return std::move(*net::block_on(loop_.loop(), topo::Server::open(options)));
  }
  template <typename T>
  T run(net::Task<T> task) {
    return net::block_on(loop_.loop(), std::move(task));
  }
  void run(net::Task<void> task) { net::block_on(loop_.loop(), std::move(task)); }

  // A vtctld that takes part.
  struct Process {
    NotingTools tools;
    std::unique_ptr<topo::Server> topology;
    std::unique_ptr<Manager> manager;
    net::CancelSource stop;
    std::unique_ptr<net::Scope> scope;
  };
  std::unique_ptr<Process> start(std::string id, std::string holds = "", std::string fails = "") {
    auto out = std::make_unique<Process>();
    out->tools.holds = std::move(holds);
    out->tools.fails = std::move(fails);
    out->topology = open();
    const auto begin = [](Process& process, std::string name) -> net::Task<void> {
      process.manager = std::make_unique<Manager>(*process.topology, process.tools, name, Manager::Pace{.look = 20ms});
      process.scope = std::make_unique<net::Scope>();
      process.scope->spawn(process.manager->run(process.scope->token()));
      co_return;
    };
    run(begin(*out, std::move(id)));
    return out;
  }
  void stop(Process& process) {
    const auto end = [](Process& one) -> net::Task<void> {
      one.scope->request_stop();
      co_await one.scope->join();
      one.scope.reset();
      co_await one.topology->close();
    };
    run(end(process));
  }
  void create(bool approvals = false) {
    const auto parameters = parse_parameters(
        kHorizontalResharding,
        {"-keyspace=k", "-vtworkers=w:1", std::string("-enable_approvals=") + (approvals ? "true" : "false")});
    auto record = make_record(*parameters, {{.name = "0", .serving = true}, {.name = "-80"}, {.name = "80-"}}, "u", {});
    ASSERT_TRUE(run(manager::create(*topology_, std::move(*record))).ok());
    press("/u", kStart);
  }
  void press(std::string path, std::string_view button) {
    const auto changed = run(change(*topology_, "u", [&](Record& record) -> Result<bool> {
      RETURN_IF_ERROR(manager::press(record, path, button, base::WallTime(1s)));
      return true;
    }));
    EXPECT_TRUE(changed.ok()) << changed.error().message();
  }
  Record record() { return run(load(*topology_, "u"))->record; }
  bool until(const std::function<bool(const Record&)>& wanted) {
    for (const auto end = base::system_clock().now() + 10s; base::system_clock().now() < end;) {
      if (wanted(record())) return true;
    }
    return false;
  }
  static bool is_done(const Record& record) { return record.workflow.state() == ::workflow::Done; }

  topo::conformance::TempFolder folder_;
  net::LoopThread loop_{"test"};
  std::unique_ptr<topo::Server> topology_;
};

constexpr const char* kEverything =
    "CopySchemaShard k/0 k/-80; CopySchemaShard k/0 k/80-; w:1> Reset; w:1> SplitClone -min_healthy_rdonly_tablets=1 "
    "k/0; WaitForFilteredReplication k/-80; WaitForFilteredReplication k/80-; w:1> Reset; w:1> SplitDiff "
    "-min_healthy_rdonly_tablets=1 -dest_tablet_type=RDONLY k/-80; w:1> Reset; w:1> SplitDiff "
    "-min_healthy_rdonly_tablets=1 -dest_tablet_type=RDONLY k/80-; MigrateServedTypes k/0 rdonly; MigrateServedTypes "
    "k/0 replica; MigrateServedTypes k/0 master";

TEST_F(WorkflowManagerTest, RunsEveryTaskOnceInOrder_S2_29_S2_83) {
  auto one = start("one");
  create();
  EXPECT_TRUE(until(is_done));
  EXPECT_EQ(record().workflow.error(), "");
  stop(*one);
  EXPECT_EQ(base::join(one->tools.lines, "; "), kEverything);
  EXPECT_TRUE(record().checkpoint.tasks().at("clone/0").attributes().at("output").contains("SplitClone"));
}

TEST_F(WorkflowManagerTest, WaitsForApprovals_S2_30) {
  auto one = start("one");
  create(true);
  press("/u/copy_schema", kApproveFirst);
  EXPECT_TRUE(until([](const Record& r) { return has_succeeded(r.checkpoint.tasks().at("copy_schema/-80")); }));
  stop(*one);
  EXPECT_EQ(base::join(one->tools.lines, "; "), "CopySchemaShard k/0 k/-80");
}

TEST_F(WorkflowManagerTest, AFailureIsNotedAndRetried_S2_40_S2_41) {
  auto one = start("one", "", "SplitClone");
  create();
  const auto failed = [](const Record& r) { return has_failed(r.checkpoint.tasks().at("clone/0")); };
  EXPECT_TRUE(until(failed));
  EXPECT_TRUE(record().checkpoint.tasks().at("clone/0").error().contains("SplitClone"));
  EXPECT_EQ(record().workflow.state(), ::workflow::Running);
  run([](Process& process) -> net::Task<void> {
    process.tools.fails.clear();
    co_return;
  }(*one));
  press("/u/clone/0", kRetry);
  EXPECT_TRUE(until(is_done));
  stop(*one);
}

// The one who leads dies in the middle of a task; the other one goes on with it, and does not do again what was done.
TEST_F(WorkflowManagerTest, AnotherOneGoesOn_S2_47_S2_48_S2_49) {
  auto one = start("one", "SplitClone");
  create();
  const auto runs = [](const Record& r) {
    return r.checkpoint.tasks().at("clone/0").state() == ::workflow::TaskRunning;
  };
  EXPECT_TRUE(until(runs));
  auto two = start("two");
  stop(*one);
  EXPECT_TRUE(runs(record()) || is_done(record()));
  EXPECT_TRUE(until(is_done));
  stop(*two);
  const std::string all = base::join(two->tools.lines, "; ");
  EXPECT_TRUE(all.starts_with("w:1> Reset; w:1> SplitClone")) << all;
  EXPECT_TRUE(all.ends_with("MigrateServedTypes k/0 master")) << all;
  EXPECT_EQ(record().checkpoint.tasks().at("copy_schema/-80").attributes().at("attempts"), "1");
}

TEST_F(WorkflowManagerTest, WhatAnAttemptBeforeReachedIsNotDoneAgain) {
  auto one = start("one", "SplitClone");
  create();
  EXPECT_TRUE(
      until([](const Record& r) { return r.checkpoint.tasks().at("clone/0").state() == ::workflow::TaskRunning; }));
  stop(*one);
  for (const auto* shard : {"-80", "80-"}) {
    topo::UpdateFn<::topodata::Shard> follow = [](::topodata::Shard& stored) -> Result<bool> {
      auto* source = stored.add_source_shards();
      source->set_keyspace("k");
      source->set_shard("0");
      return true;
    };
    ASSERT_TRUE(run(topo::update_shard_fields(*topology_, "k", shard, std::move(follow))).ok());
  }
  auto two = start("two");
  EXPECT_TRUE(until(is_done));
  stop(*two);
  EXPECT_FALSE(base::join(two->tools.lines, "; ").contains("SplitClone"));
}

TEST_F(WorkflowManagerTest, StopCancelsWhatRuns_S2_50) {
  auto one = start("one", "SplitClone");
  create();
  EXPECT_TRUE(
      until([](const Record& r) { return r.checkpoint.tasks().at("clone/0").state() == ::workflow::TaskRunning; }));
  press("/u", kStop);
  stop(*one);
  EXPECT_TRUE(is_done(record()));
  EXPECT_TRUE(record().workflow.error().contains("canceled"));
}

}  // namespace
}  // namespace vitrail::control::manager
