// Sharding workflows against an engine that is only pretended here: what matters is what they ask of it, and that
// nothing is lost when a step fails or its owner dies. tests/e2e/web.py has a real one.
#include "control/states/runner.h"

#include <gtest/gtest.h>

#include "net/scope.h"
#include "topo/conformance/fixture.h"
#include "topo/vschema.h"
#include "vtctldata.pb.h"

namespace vitrail::control::states {
namespace {

namespace sw = ::shardingworkflow;
namespace vd = ::vtctldata;
using namespace std::chrono_literals;

class ShardingRunnerTest : public testing::Test {
 protected:
  void SetUp() override {
    topo::ServerOptions options;
    options.implementation = "sqlite";
    options.global_server_address = folder_.file("topo.db");
    topology_ = std::move(*net::block_on(loop_.loop(), topo::Server::open(options)));
    tablets_ = std::make_unique<TabletClient>(*topology_);
    runner_ = std::make_unique<Runner>(plane(), Runner::Pace{.heartbeat = 10ms, .silence = 1500ms, .pause = 10ms});
  }
  void TearDown() override { net::block_on(loop_.loop(), topology_->close()); }

  Plane plane() {
    return {.vtctld = [this](std::string method, std::string request, net::Wait) { return answer(method, request); },
            .tablets = *tablets_};
  }

  // The engine: a workflow that is there or not, and where traffic goes.
  net::Task<Result<std::string>> answer(std::string method, std::string request) {
    method = method.substr(method.rfind('/') + 1);
    if (method == "GetWorkflows") {
      vd::GetWorkflowsResponse out;
      if (exists_) {
        auto* workflow = out.add_workflows();
        workflow->set_name("move");
        auto* stream = (*workflow->mutable_shard_streams())["-80/zone1-200"].add_streams();
        stream->set_state(copies_ ? "Copying" : "Running");
        stream->mutable_binlog_source()->mutable_filter()->add_rules()->set_match("customer");
        if (copies_) stream->add_copy_states()->set_table("customer");
      }
      co_return out.SerializeAsString();
    }
    if (method == "WorkflowStatus") {
      vd::WorkflowStatusResponse out;
      out.set_traffic_state(traffic_);
      co_return out.SerializeAsString();
    }
    asked_ += (asked_.empty() ? "" : " ") + method;
    if (method == fails_) co_return fail(Code::kUnavailable, "a tablet does not answer");
    if (method == "MoveTablesCreate") {
      exists_ = true;
      co_await add_rule("customer", "commerce.customer");
    } else if (method == "WorkflowSwitchTraffic") {
      vd::WorkflowSwitchTrafficRequest q;
      q.ParseFromString(request);
      const bool reverse = q.direction() == 1;
      if (q.tablet_types_size() == 0)
        co_await add_rule("customer", reverse ? "commerce.customer" : "customer.customer");
      traffic_ = reverse                     ? "Reads Not Switched. Writes Not Switched"
                 : q.tablet_types_size() > 0 ? "All Reads Switched. Writes Not Switched"
                                             : "All Reads Switched. Writes Switched";
    } else if (method == "MoveTablesComplete" || method == "WorkflowDelete") {
      if (!exists_) co_return fail(Code::kNotFound, "no such workflow");
      exists_ = false;
    } else if (method == "VDiffShow") {
      co_return fail(Code::kNotFound, "no such vdiff");
    }
    co_return std::string();
  }
  net::Task<void> add_rule(std::string from, std::string to) {
    topo::UpdateFn<::vschema::RoutingRules> change = [&](::vschema::RoutingRules& all) -> Result<bool> {
      for (auto& rule : *all.mutable_rules()) {
        if (rule.from_table() != from) continue;
        rule.set_to_tables(0, to);
        return true;
      }
      auto* rule = all.add_rules();
      rule->set_from_table(from);
      rule->add_to_tables(to);
      return true;
    };
    static_cast<void>(co_await topo::update_routing_rules(*topology_, std::move(change)));
  }
  std::string rules() {
    const auto all = net::block_on(loop_.loop(), topo::get_routing_rules(*topology_));
    std::string out;
    for (const auto& rule : all->rules.rules()) out += rule.from_table() + ">" + rule.to_tables(0) + " ";
    return out;
  }

  Result<Record> create(std::string name = "move", std::string branch = "") {
    Record record;
    record.set_name(std::move(name));
    record.set_branch(std::move(branch));
    record.set_kind("MoveTables");
    record.set_source_keyspace("commerce");
    record.set_target_keyspace("customer");
    return net::block_on(loop_.loop(), runner_->create(std::move(record), "somebody"));
  }
  Result<Record> act(std::string action, bool confirmed = true) {
    sw::ActRequest q;
    q.set_name("move");
    q.set_action(std::move(action));
    q.set_who("somebody");
    q.set_confirmed(confirmed);
    return net::block_on(loop_.loop(), runner_->act(std::move(q)));
  }
  sw::View show() { return *net::block_on(loop_.loop(), runner_->show("main", "move")); }
  // Runs the watch until a view is as wanted.
  bool watch_until(const std::function<bool(const sw::View&)>& wanted) {
    net::CancelSource stop;
    std::atomic<bool> ended = false;
    auto watching = [](Runner& runner, net::CancelToken token, std::atomic<bool>& end) -> net::Task<void> {
      co_await runner.watch(token);
      end = true;
    };
    net::Scope scope;
    auto start = [&]() -> net::Task<void> {
      scope.spawn(watching(*runner_, stop.token(), ended));
      co_return;
    };
    net::block_on(loop_.loop(), start());
    bool seen = false;
    for (int i = 0; i < 500 && !seen; ++i) {
      seen = wanted(show());
      static_cast<void>(net::block_on(loop_.loop(), net::sleep_for(10ms)));
    }
    auto end = [&]() -> net::Task<void> {
      stop.cancel();
      co_await scope.join();
    };
    net::block_on(loop_.loop(), end());
    return seen;
  }

  topo::conformance::TempFolder folder_;
  net::LoopThread loop_{"test"};
  std::unique_ptr<topo::Server> topology_;
  std::unique_ptr<TabletClient> tablets_;
  std::unique_ptr<Runner> runner_;
  bool exists_ = false;
  bool copies_ = true;
  std::string traffic_ = "Reads Not Switched. Writes Not Switched";
  std::string asked_;
  std::string fails_;
};

TEST_F(ShardingRunnerTest, GoesThroughALife) {
  net::block_on(loop_.loop(), add_rule("product", "commerce.product"));
  const std::string before = rules();
  ASSERT_TRUE(create().ok());
  EXPECT_EQ(show().state(), "copying");
  EXPECT_EQ(show().record().tables(0), "customer");
  EXPECT_EQ(act("switch-primaries").error().code(), Code::kFailedPrecondition);
  copies_ = false;
  EXPECT_EQ(show().state(), "running");  // By itself.
  EXPECT_EQ(show().substate(), "not verified data");
  EXPECT_EQ(act("switch-replicas")->state(), "switched_replicas");
  EXPECT_EQ(act("switch-primaries")->state(), "switched_primaries");
  EXPECT_NE(act("cancel").error().message().find("reverse traffic first"), std::string::npos);
  EXPECT_EQ(act("reverse-traffic")->state(), "running");
  EXPECT_EQ(act("switch-primaries")->state(), "switched_primaries");  // Replicas need not be switched before.
  EXPECT_NE(rules(), before);
  EXPECT_NE(act("cutover", false).error().message().find("dropped"), std::string::npos);
  const std::string switched = rules();
  EXPECT_EQ(act("cutover")->state(), "cutover");
  EXPECT_EQ(rules(), before);
  EXPECT_EQ(act("reverse-cutover")->state(), "reversed_cutover");
  EXPECT_EQ(rules(), switched);
  EXPECT_EQ(act("cutover")->state(), "cutover");
  EXPECT_EQ(rules(), before);
  EXPECT_EQ(create("other").error().code(), Code::kAlreadyExists);
  const std::string asked = asked_;
  EXPECT_EQ(act("complete")->state(), "complete");
  EXPECT_EQ(asked_, asked);
  EXPECT_EQ(rules(), before);
  EXPECT_EQ(asked_.substr(0, 16), "MoveTablesCreate");
  EXPECT_TRUE(create().ok());  // Also of the same name.
}

TEST_F(ShardingRunnerTest, RetriesTheStepThatFailed) {
  ASSERT_TRUE(create().ok());
  copies_ = false;
  fails_ = "WorkflowSwitchTraffic";
  EXPECT_EQ(act("switch-primaries").error().code(), Code::kUnavailable);
  sw::View view = show();
  EXPECT_EQ(view.state(), "error");
  EXPECT_NE(view.error().find("switch all traffic: a tablet does not answer"), std::string::npos) << view.error();
  EXPECT_EQ(view.possible_size(), 1);
  EXPECT_EQ(act("switch-primaries").error().code(), Code::kFailedPrecondition);
  EXPECT_FALSE(act("retry").ok());  // Broken still.
  EXPECT_EQ(show().state(), "error");
  fails_.clear();
  EXPECT_EQ(act("retry")->state(), "switched_primaries");
  // A later step: what was done before is not done again.
  fails_ = "RebuildVSchemaGraph";
  EXPECT_FALSE(act("cutover").ok());
  EXPECT_FALSE(exists_);
  asked_.clear();
  fails_.clear();
  EXPECT_EQ(act("retry")->state(), "cutover");
  EXPECT_EQ(asked_, "RebuildVSchemaGraph");
}

TEST_F(ShardingRunnerTest, ACreationThatFailsCanBeGivenUp) {
  fails_ = "MoveTablesCreate";
  EXPECT_FALSE(create().ok());
  EXPECT_EQ(show().state(), "error");
  EXPECT_EQ(create("other").error().code(), Code::kAlreadyExists);
  EXPECT_EQ(act("cancel")->state(), "cancelled");
  fails_.clear();
  EXPECT_TRUE(create("other").ok());
}

TEST_F(ShardingRunnerTest, HasOneActiveWorkflowABranch) {
  ASSERT_TRUE(create().ok());
  const auto second = create("second");
  ASSERT_FALSE(second.ok());
  EXPECT_NE(second.error().message().find("move, in the state copying"), std::string::npos) << second.error().message();
  exists_ = false;  // The engine knows none of that name.
  EXPECT_TRUE(create("second", "feature").ok());
  EXPECT_EQ(net::block_on(loop_.loop(), runner_->list(""))->workflows_size(), 2);
  EXPECT_EQ(net::block_on(loop_.loop(), runner_->list("feature"))->workflows_size(), 1);
}

TEST_F(ShardingRunnerTest, GoesOnWithWhatADeadOwnerLeft) {
  ASSERT_TRUE(create().ok());
  copies_ = false;
  ASSERT_EQ(show().state(), "running");
  for (const int done : {0, 1, 2}) {  // Before and behind the notes of steps.
    auto stored = *net::block_on(loop_.loop(), load(*topology_, "main", "move"));
    Record record = stored.record;
    record.mutable_pending()->set_action("switch-primaries");
    record.mutable_pending()->set_steps_done(done);
    record.mutable_pending()->set_owner("dead");
    if (done == 2) traffic_ = "All Reads Switched. Writes Switched";
    ASSERT_TRUE(net::block_on(loop_.loop(), replace(*topology_, stored, record)).ok());
    EXPECT_EQ(show().under_way(), "switch-primaries");
    EXPECT_EQ(act("cancel").error().code(), Code::kFailedPrecondition);
    EXPECT_TRUE(watch_until([](const sw::View& view) { return view.state() == "switched_primaries"; })) << done;
    ASSERT_EQ(act("reverse-traffic")->state(), "running");
  }
}

TEST_F(ShardingRunnerTest, LeavesALivingOwnerAlone) {
  ASSERT_TRUE(create().ok());
  copies_ = false;
  ASSERT_EQ(show().state(), "running");
  auto stored = *net::block_on(loop_.loop(), load(*topology_, "main", "move"));
  Record record = stored.record;
  record.mutable_pending()->set_action("switch-primaries");
  record.mutable_pending()->set_owner("alive");
  int beats = 0;
  EXPECT_TRUE(watch_until([&](const sw::View& view) {
    record.mutable_pending()->set_heartbeat(++beats);
    auto written = net::block_on(loop_.loop(), replace(*topology_, stored, record));
    EXPECT_TRUE(written.ok()) << "at beat " << beats;
    if (written.ok()) stored = *written;
    return beats == 200;  // Longer than the silence.
  }));
  EXPECT_EQ(show().record().pending().owner(), "alive");
}

}  // namespace
}  // namespace vitrail::control::states
