#include "control/workflow/engine/runner.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "control/workflow/engine/repairer.h"
#include "net/loop.h"
#include "topo/conformance/fixture.h"
#include "topo/paths.h"
#include "topo/server.h"

// The engine against a real store (SQLite in a temporary file) and steps that only note what they do: each owner is
// stopped before and behind each step, and another one goes on.
namespace vitrail::control::engine {
namespace {

using namespace std::chrono_literals;
using State = std::map<std::string, bool>;  // What the steps have made so.

struct World {
  State effects;
  std::vector<std::string> log;
  std::set<std::string> failing;  // "apply x", "undo x".
  std::string stop_at;            // The owner is paused there: it goes on when somebody else has taken over.
};

// Three steps, a fence among them, then the point of no return and one more.
class FakeOperation final : public Operation {
 public:
  FakeOperation(World& world, Tenure& tenure, std::function<net::Task<void>()> pause)
      : world_(world), tenure_(tenure), pause_(std::move(pause)) {}

  std::vector<Step> steps() override {
    std::vector<Step> steps;
    for (const char* name : {"prepare", "fence", "stop", "commit", "allow"}) {
      const std::string id = name;
      Step step{.id = id, .apply = [this, id] { return act(id, true); }, .undo = {}};
      if (id == "prepare" || id == "fence" || id == "stop") step.undo = [this, id] { return act(id, false); };
      step.undo_first = id == "fence";
      step.point_of_no_return = id == "commit";
      steps.push_back(std::move(step));
    }
    return steps;
  }
  bool close(Record& record, bool undone) override {
    if (!undone) record.set_writes_switched(true);
    return false;
  }

 private:
  net::Task<Status> act(std::string id, bool apply) {
    const std::string what = (apply ? "apply " : "undo ") + id;
    if (world_.failing.contains(what)) co_return fail(Code::kUnavailable, what + " does not work");
    if (world_.stop_at == what) co_await pause_();
    // As effects outside of the record are: guarded.
    CO_RETURN_IF_ERROR(co_await tenure_.check());
    world_.effects[id] = apply;
    world_.log.push_back(what);
    co_return Status{};
  }
  World& world_;
  Tenure& tenure_;
  const std::function<net::Task<void>()> pause_;
};

class RunnerTest : public testing::Test {
 public:
  void SetUp() override {
    topo::ServerOptions options;
    options.implementation = "sqlite";
    options.global_server_address = folder_.file("topo.db");
    auto server = run(topo::Server::open(options));
    ASSERT_TRUE(server.ok());
    topology_ = std::move(*server);
    Record record;
    record.set_id("one");
    record.set_workflow("w");
    record.set_kind("MoveTables");
    record.set_source_keyspace("a");
    record.set_target_keyspace("b");
    ASSERT_TRUE(run(create_record(*topology_, record)).ok());
  }
  void TearDown() override { run(topology_->close()); }

  template <typename T>
  T run(net::Task<T> task) {
    return net::block_on(loop_.loop(), std::move(task));
  }
  void run(net::Task<void> task) { net::block_on(loop_.loop(), std::move(task)); }

  Record record() {
    auto stored = run(load_record(*topology_, "b", "w"));
    EXPECT_TRUE(stored.ok());
    return stored.ok() ? stored->record : Record();
  }
  std::function<net::Task<void>()> no_pause() {
    return []() -> net::Task<void> { co_return; };
  }
  OperationFactory factory() {
    return [this](Tenure& tenure) { return make(*this, tenure); };
  }
  static net::Task<Result<std::unique_ptr<Operation>>> make(RunnerTest& self, Tenure& tenure) {
    co_return std::make_unique<FakeOperation>(self.world_, tenure, self.no_pause());
  }
  static net::Task<Status> begin_and_run(RunnerTest& self, std::function<net::Task<void>()> pause) {
    CO_ASSIGN_OR_RETURN(auto stored, co_await load_record(*self.topology_, "b", "w"));
    CO_ASSIGN_OR_RETURN(auto tenure, co_await Tenure::begin(*self.topology_, std::move(stored),
                                                            make_operation("switch", {}), Owner{"A", "process A"}));
    FakeOperation operation(self.world_, *tenure, std::move(pause));
    co_return co_await carry_out(*tenure, operation);
  }
  Status start() { return run(begin_and_run(*this, no_pause())); }
  // B takes the open operation over, as a repairer does.
  static net::Task<Status> take_over(RunnerTest& self) {
    CO_ASSIGN_OR_RETURN(auto stored, co_await load_record(*self.topology_, "b", "w"));
    co_return co_await continue_operation(*self.topology_, std::move(stored), self.factory(), Owner{"B", "process B"});
  }

  topo::conformance::TempFolder folder_;
  net::LoopThread loop_{"test"};
  std::unique_ptr<topo::Server> topology_;
  World world_;
};

const State kDone = {{"prepare", true}, {"fence", true}, {"stop", true}, {"commit", true}, {"allow", true}};

TEST_F(RunnerTest, CarriesOutAndKeepsHistory) {
  ASSERT_TRUE(start().ok());
  EXPECT_EQ(world_.effects, kDone);
  const Record now = record();
  EXPECT_TRUE(now.writes_switched());
  EXPECT_FALSE(now.has_open());
  ASSERT_EQ(now.history_size(), 1);
  EXPECT_EQ(now.history(0).outcome(), "done");
  EXPECT_EQ(now.history(0).steps_size(), 5);
  for (const auto& step : now.history(0).steps()) {
    EXPECT_EQ(step.state(), ::workflowdata::DONE) << step.name();
    EXPECT_EQ(step.who(), "process A");
    EXPECT_GT(step.started_ms(), 0);
  }
}

TEST_F(RunnerTest, UndoesWhatFailsBeforeThePointOfNoReturnAndTheFenceFirst) {
  world_.failing = {"apply stop"};
  const Status outcome = start();
  ASSERT_FALSE(outcome.ok());
  EXPECT_NE(outcome.error().message().find("apply stop does not work"), std::string::npos);
  EXPECT_EQ(world_.log,
            (std::vector<std::string>{"apply prepare", "apply fence", "undo fence", "undo stop", "undo prepare"}));
  const Record now = record();
  EXPECT_FALSE(now.has_open());
  EXPECT_FALSE(now.writes_switched());
  EXPECT_EQ(now.history(0).outcome(), "undone");
}

TEST_F(RunnerTest, AnUndoThatFailsHoldsUpNoOtherAndIsTriedAgain) {
  world_.failing = {"apply commit_never", "apply stop", "undo stop"};
  ASSERT_FALSE(start().ok());
  EXPECT_FALSE(world_.effects["fence"]);
  EXPECT_FALSE(world_.effects["prepare"]);
  ASSERT_TRUE(record().has_open());
  EXPECT_TRUE(record().open().owner().empty());
  EXPECT_EQ(record().open().attempts(), 1);
  EXPECT_NE(describe_open(record()).find("being undone"), std::string::npos) << describe_open(record());
  world_.failing.clear();
  EXPECT_TRUE(run(settle(*topology_, "b", "w", factory(), Owner{"B", "process B"}, net::Wait::within(10s))).ok());
  EXPECT_FALSE(record().has_open());
  EXPECT_EQ(world_.log.back(), "undo stop");
}

TEST_F(RunnerTest, FinishesWhatFailsBehindThePointOfNoReturn) {
  world_.failing = {"apply allow"};
  ASSERT_FALSE(start().ok());
  ASSERT_TRUE(record().has_open());
  EXPECT_FALSE(record().open().undoing());
  world_.failing.clear();
  EXPECT_TRUE(run(settle(*topology_, "b", "w", factory(), Owner{"B", "process B"}, net::Wait::within(10s))).ok());
  EXPECT_EQ(world_.effects, kDone);
  EXPECT_TRUE(record().writes_switched());
}

// A is paused in each of the steps (its record is noted), B takes over and brings it to its end, A wakes.
TEST_F(RunnerTest, WhoeverLostItsTenureDoesNothingMore) {
  for (const std::string at : {"prepare", "fence", "stop", "commit", "allow"}) {
    world_ = {};
    world_.stop_at = "apply " + at;
    struct Pause {
      RunnerTest& test;
      State after;
    } pause{*this, {}};
    auto paused = [&pause]() -> net::Task<void> {
      return [](Pause& in) -> net::Task<void> {
        in.test.world_.stop_at.clear();
        EXPECT_TRUE((co_await take_over(in.test)).ok());
        in.after = in.test.world_.effects;
      }(pause);
    };
    const Status outcome = run(begin_and_run(*this, paused));
    ASSERT_FALSE(outcome.ok()) << at;
    EXPECT_NE(outcome.error().message().find("locks were lost"), std::string::npos) << outcome.error().message();
    EXPECT_EQ(world_.effects, pause.after) << at << ": an effect of A behind B's";
    const bool forward = at == "commit" || at == "allow";
    EXPECT_EQ(record().writes_switched(), forward) << at;
    EXPECT_FALSE(record().has_open()) << at;
    for (const auto& [step, made] : world_.effects) EXPECT_EQ(made, forward) << at << ": " << step;
    // As it was, for the next one.
    auto stored = run(load_record(*topology_, "b", "w"));
    stored->record.set_writes_switched(false);
    ASSERT_TRUE(run(topology_->global().update(topo::movement_record_path("b", "w"), serialize(stored->record),
                                               stored->version))
                    .ok());
  }
}

// A lost note that a step is done had it run twice: an emergency reparent then elected a second time behind its
// promotion.
TEST_F(RunnerTest, WhatIsNotedWhileTheRecordIsWrittenStays) {
  auto body = [](RunnerTest& self) -> net::Task<Result<Record>> {
    auto stored = co_await load_record(*self.topology_, "b", "w");
    CO_ASSIGN_OR_RETURN(auto tenure, co_await Tenure::begin(*self.topology_, std::move(*stored),
                                                            make_operation("switch", {}), Owner{"A", "process A"}));
    auto write = [](Tenure& one, int& under_way) -> net::Task<void> {
      ++under_way;
      EXPECT_TRUE((co_await one.change([](Record& record) {
                    (*record.mutable_open()->mutable_settings())["written"] = "true";
                  })).ok());
      --under_way;
    };
    auto note = [](Tenure& one, const int& under_way) -> net::Task<void> {
      EXPECT_EQ(under_way, 1);
      one.note([](Record& record) { (*record.mutable_open()->mutable_settings())["noted"] = "true"; });
      co_return;
    };
    int under_way = 0;
    std::vector<net::Task<void>> both;
    both.push_back(write(*tenure, under_way));
    both.push_back(note(*tenure, under_way));
    co_await net::when_all(std::move(both));
    EXPECT_TRUE((co_await tenure->change([](Record&) {})).ok());
    co_await tenure->end();
    auto now = co_await load_record(*self.topology_, "b", "w");
    if (!now.ok()) co_return std::move(now).error();
    co_return std::move(now->record);
  };
  const auto record = run(body(*this));
  ASSERT_TRUE(record.ok());
  EXPECT_EQ(record->open().settings().at("written"), "true");
  EXPECT_EQ(record->open().settings().count("noted"), 1U);
}

TEST_F(RunnerTest, OneOfTwoCommandsBegins) {
  auto stored = run(load_record(*topology_, "b", "w"));
  auto begin = [](RunnerTest& self, StoredRecord from, std::string who) -> net::Task<Code> {
    auto tenure =
        co_await Tenure::begin(*self.topology_, std::move(from), make_operation("switch", {}), Owner{who, who});
    if (!tenure.ok()) co_return tenure.error().code();
    co_await (*tenure)->end();
    co_return Code::kOk;
  };
  EXPECT_EQ(run(begin(*this, *stored, "A")), Code::kOk);
  EXPECT_EQ(run(begin(*this, *stored, "B")), Code::kAborted);
  EXPECT_EQ(record().open().owner(), "A");
}

TEST_F(RunnerTest, ANewRecordHasItsOwnerFromItsFirstWriteOn) {
  auto body = [](RunnerTest& self) -> net::Task<std::string> {
    auto watch = co_await self.topology_->global().watch_recursive(std::string(topo::kMovementDir));
    if (!watch.ok()) co_return watch.error().message();
    Record record;
    record.set_id("two");
    record.set_workflow("new");
    record.set_target_keyspace("b");
    *record.mutable_open() = make_operation("create", {});
    auto tenure = co_await Tenure::create(*self.topology_, record, Owner{"A", "process A"});
    if (!tenure.ok()) co_return tenure.error().message();
    std::string first = "nothing was seen";
    for (bool seen = false; !seen;) {
      auto changes = co_await (*watch)->next(net::Wait::within(5s));
      if (!changes.ok()) break;
      for (const auto& change : *changes) {
        if (change.path != topo::movement_record_path("b", "new") || !change.record || seen) continue;
        first = parse_record(change.record->data)->open().owner();
        seen = true;
      }
    }
    auto again = co_await Tenure::create(*self.topology_, record, Owner{"B", "process B"});
    if (again.ok() || again.error().code() != Code::kAlreadyExists) first += ", and made again";
    co_await (*tenure)->end();
    co_return first;
  };
  EXPECT_EQ(run(body(*this)), "A");
}

TEST_F(RunnerTest, ARepairerTakesOverFromTheSilentWithinFiveSeconds) {
  auto abandon = [](RunnerTest& self) -> net::Task<void> {
    auto stored = co_await load_record(*self.topology_, "b", "w");
    auto tenure = co_await Tenure::begin(*self.topology_, std::move(*stored), make_operation("switch", {}),
                                         Owner{"A", "process A"});
    (void)co_await (*tenure)->change([](Record& record) {
      for (const char* name : {"prepare", "fence"}) {
        auto& step = *record.mutable_open()->add_steps();
        step.set_name(name);
        step.set_state(::workflowdata::DONE);
      }
    });
    self.world_.effects = {{"prepare", true}, {"fence", true}};
    co_await (*tenure)->end();  // Dead: nobody renews it.
  };
  run(abandon(*this));
  auto repair = [](RunnerTest& self) -> net::Task<base::Duration> {
    Repairer repairer(*self.topology_, self.factory(), Owner{"B", "process B"});
    net::Scope scope;
    const auto began = base::system_clock().now();
    scope.spawn(repairer.run(scope.token()));
    const net::Wait wait = net::Wait::within(10s);
    while (self.world_.effects["fence"] && base::system_clock().now() < wait.deadline) {
      (void)co_await net::sleep_for(20ms);
    }
    const auto took = base::system_clock().now() - began;
    for (bool open = true; open && base::system_clock().now() < wait.deadline;) {
      auto stored = co_await load_record(*self.topology_, "b", "w");
      open = stored.ok() && stored->record.has_open();
      (void)co_await net::sleep_for(20ms);
    }
    scope.request_stop();
    co_await scope.join();
    co_return took;
  };
  const auto took = run(repair(*this));
  EXPECT_LT(took, 5s);
  EXPECT_GE(took, 3s);  // Not before its owner was silent.
  EXPECT_FALSE(record().has_open());
  EXPECT_EQ(record().history(0).outcome(), "undone");
}

TEST_F(RunnerTest, ALiveOwnerIsLeftAlone) {
  auto body = [](RunnerTest& self) -> net::Task<Status> {
    auto stored = co_await load_record(*self.topology_, "b", "w");
    auto tenure = co_await Tenure::begin(*self.topology_, std::move(*stored), make_operation("switch", {}),
                                         Owner{"A", "process A"});
    Status settled = co_await settle(*self.topology_, "b", "w", self.factory(), Owner{"B", "process B"},
                                     net::Wait::within(kSilence + 1s));
    Status held = co_await (*tenure)->check();
    co_await (*tenure)->end();
    EXPECT_TRUE(held.ok());
    co_return settled;
  };
  const Status settled = run(body(*this));
  ASSERT_FALSE(settled.ok());
  EXPECT_EQ(settled.error().code(), Code::kDeadlineExceeded);
  EXPECT_NE(settled.error().message().find("by process A"), std::string::npos) << settled.error().message();
}

// The record as it was written last is known without being read; one of another workflow of this name is not ours.
TEST_F(RunnerTest, ChecksWhoseTheRecordIs) {
  auto body = [](RunnerTest& self) -> net::Task<Status> {
    auto stored = co_await load_record(*self.topology_, "b", "w");
    auto tenure = co_await Tenure::begin(*self.topology_, std::move(*stored), make_operation("switch", {}),
                                         Owner{"A", "process A"});
    EXPECT_TRUE((co_await (*tenure)->check()).ok());
    EXPECT_TRUE((co_await (*tenure)->change([](Record& record) { record.add_tables("t"); })).ok());
    EXPECT_TRUE((co_await (*tenure)->check()).ok());
    Record other = (*tenure)->record();
    other.set_id("other");
    const std::string path = topo::movement_record_path("b", "w");
    EXPECT_TRUE((co_await self.topology_->global().update(path, serialize(other), std::nullopt)).ok());
    Status lost = co_await (*tenure)->check();
    co_await (*tenure)->end();
    co_return lost;
  };
  const Status lost = run(body(*this));
  ASSERT_FALSE(lost.ok());
  EXPECT_EQ(lost.error().code(), Code::kFailedPrecondition);
}

TEST(RetryPause, GrowsAndIsBounded) {
  EXPECT_EQ(retry_pause(0), 0ms);
  EXPECT_EQ(retry_pause(1), 500ms);
  EXPECT_EQ(retry_pause(3), 2000ms);
  EXPECT_EQ(retry_pause(1000), 10s);
  EXPECT_EQ(retry_pause(1, true), 500ms);
  EXPECT_EQ(retry_pause(1000, true), 1s);
}

TEST(HoldsClients, FromTheBeginningOfAStepThatDoesUntilItIsUndone) {
  struct {
    bool noted;
    ::workflowdata::StepState state;
    bool holds;
  } const cases[] = {
      {true, ::workflowdata::PENDING, false}, {true, ::workflowdata::STARTED, true}, {true, ::workflowdata::DONE, true},
      {true, ::workflowdata::UNDONE, false},  {false, ::workflowdata::DONE, false},
  };
  for (const auto& one : cases) {
    ::workflowdata::Operation open;
    open.add_steps()->set_state(::workflowdata::DONE);
    auto& step = *open.add_steps();
    step.set_state(one.state);
    if (one.noted) (*step.mutable_notes())[std::string(kHoldsClients)] = "true";
    EXPECT_EQ(holds_clients(open), one.holds) << one.noted << " " << one.state;
  }
}

}  // namespace
}  // namespace vitrail::control::engine
