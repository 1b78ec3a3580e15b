#include "tablet/tablet_state.h"

#include <gtest/gtest.h>

#include "net/loop.h"
#include "net/scope.h"
#include "tablet/action_queue.h"

namespace vitrail::tablet {
namespace {

using namespace std::chrono_literals;
using mysqld::ThreadState;
using Names = StartFacts::Names;

// ---- The start

struct StartCase {
  const char* what;
  StartFacts facts;
  RoleKind kind;
  int64_t term = 0;
  bool claims = false;
};

TEST(TabletStart, IsDecidedByWhatIsWrittenDown) {
  const StartCase cases[] = {
      {"a new tablet of a new shard", {}, RoleKind::kReplica},
      {"a replica of a shard with a primary",
       {.shard_names = Names::kOther, .shard_term_ns = 5, .has_record = true},
       RoleKind::kReplica},
      {"the primary, restarted",
       {.shard_names = Names::kThis,
        .shard_term_ns = 5,
        .has_record = true,
        .record_is_primary = true,
        .record_term_ns = 5},
       RoleKind::kPrimary,
       5},
      {"its record is gone: nobody has told it to step down",
       {.shard_names = Names::kThis, .shard_term_ns = 5},
       RoleKind::kPrimary,
       5},
      {"demoted: both say so",
       {.shard_names = Names::kThis, .shard_term_ns = 5, .has_record = true, .demoted_term_ns = 5},
       RoleKind::kDemoted,
       5},
      {"demoted: it died between its record and `_vt`",
       {.shard_names = Names::kThis, .shard_term_ns = 5, .has_record = true},
       RoleKind::kDemoted,
       5},
      {"demoted: the record was made anew",
       {.shard_names = Names::kThis, .shard_term_ns = 5, .demoted_term_ns = 5},
       RoleKind::kDemoted,
       5},
      {"the undoing died before `_vt` was told",
       {.shard_names = Names::kThis,
        .shard_term_ns = 5,
        .has_record = true,
        .record_is_primary = true,
        .record_term_ns = 5,
        .demoted_term_ns = 5},
       RoleKind::kDemoted,
       5},
      {"demoted once, and promoted since",
       {.shard_names = Names::kThis,
        .shard_term_ns = 9,
        .has_record = true,
        .record_is_primary = true,
        .record_term_ns = 9,
        .demoted_term_ns = 5},
       RoleKind::kPrimary,
       9},
      {"demoted while the shard is locked: nothing to wait for",
       {.shard_names = Names::kThis,
        .shard_term_ns = 5,
        .shard_locked = true,
        .has_record = true,
        .demoted_term_ns = 5},
       RoleKind::kDemoted,
       5},
      {"named, but somebody is at work on the shard",
       {.shard_names = Names::kThis,
        .shard_term_ns = 5,
        .shard_locked = true,
        .has_record = true,
        .record_is_primary = true,
        .record_term_ns = 5},
       RoleKind::kWaiting,
       5},
      {"a shard record without a term", {.shard_names = Names::kThis}, RoleKind::kPrimary},
      {"and demoted in that term", {.shard_names = Names::kThis, .demoted_term_ns = 0}, RoleKind::kDemoted},
      {"the old primary, after another was named",
       {.shard_names = Names::kOther,
        .shard_term_ns = 7,
        .has_record = true,
        .record_is_primary = true,
        .record_term_ns = 5},
       RoleKind::kReplica},
      {"promoted, and ended before the shard knew",
       {.shard_names = Names::kOther,
        .shard_term_ns = 5,
        .has_record = true,
        .record_is_primary = true,
        .record_term_ns = 7},
       RoleKind::kPrimary,
       7,
       true},
      {"the same, and whoever did it is still at work",
       {.shard_names = Names::kOther,
        .shard_term_ns = 5,
        .shard_locked = true,
        .has_record = true,
        .record_is_primary = true,
        .record_term_ns = 7},
       RoleKind::kWaiting,
       7},
      {"the same, and demoted again since",
       {.shard_names = Names::kOther,
        .shard_term_ns = 5,
        .has_record = true,
        .record_is_primary = true,
        .record_term_ns = 7,
        .demoted_term_ns = 7},
       RoleKind::kReplica},
      {"the first primary of a shard, ended before the shard knew",
       {.has_record = true, .record_is_primary = true, .record_term_ns = 7},
       RoleKind::kPrimary,
       7,
       true},
      {"promoted anew before the shard knew the newer term",
       {.shard_names = Names::kThis,
        .shard_term_ns = 5,
        .has_record = true,
        .record_is_primary = true,
        .record_term_ns = 7},
       RoleKind::kPrimary,
       7,
       true},
  };
  for (const auto& c : cases) {
    const StartDecision decision = decide_start(c.facts);
    EXPECT_EQ(role_name(decision.kind), role_name(c.kind)) << c.what;
    EXPECT_EQ(decision.term_start_ns, c.term) << c.what;
    EXPECT_EQ(decision.claims_shard, c.claims) << c.what;
  }
}

TEST(TabletStart, NothingThatWasDemotedComesBackWritable) {
  // All combinations: with a demotion of the newest term, or a record that is no primary's, never a primary.
  for (const auto names : {Names::kNobody, Names::kThis, Names::kOther}) {
    for (int bits = 0; bits < 8; ++bits) {
      for (int64_t record_term : {0, 4, 5, 6}) {
        StartFacts facts{
            .shard_names = names, .shard_term_ns = 5, .shard_locked = (bits & 1) != 0, .has_record = (bits & 2) != 0};
        facts.record_is_primary = facts.has_record && (bits & 4) != 0;
        facts.record_term_ns = facts.record_is_primary ? record_term : 0;
        facts.demoted_term_ns = 6;
        EXPECT_NE(decide_start(facts).kind, RoleKind::kPrimary);
        facts.demoted_term_ns.reset();
        if (facts.has_record && !facts.record_is_primary) EXPECT_NE(decide_start(facts).kind, RoleKind::kPrimary);
        if (facts.shard_locked) EXPECT_NE(decide_start(facts).kind, RoleKind::kPrimary);
      }
    }
  }
}

TEST(TabletStart, ANewTermIsLaterThanAllOthers) {
  EXPECT_EQ(next_term(100, 50, std::nullopt), 100);
  EXPECT_EQ(next_term(100, 200, std::nullopt), 201);  // Another tablet's clock is ahead.
  EXPECT_EQ(next_term(100, 50, 300), 301);            // Our own clock was.
}

// ---- While it runs

Desired shard_with(uint32_t primary_uid, int64_t term) {
  Desired desired;
  desired.record.mutable_alias()->set_cell("zone1");
  desired.record.mutable_alias()->set_uid(100);
  desired.record.set_keyspace("commerce");
  desired.record.set_shard("0");
  desired.record.set_type(::topodata::REPLICA);
  desired.shard.set_is_primary_serving(true);
  if (primary_uid != 0) {
    desired.shard.mutable_primary_alias()->set_cell("zone1");
    desired.shard.mutable_primary_alias()->set_uid(primary_uid);
    *desired.shard.mutable_primary_term_start_time() = from_nanoseconds(term);
  }
  return desired;
}

const base::TimePoint kNow{1h};

// A server that is read-only or not, and replicates or not.
Observed server(bool read_only, bool replicates) {
  Observed observed;
  observed.error.clear();
  observed.read_only = read_only;
  observed.now = kNow;
  observed.semi_sync.installed = true;
  if (replicates) {
    observed.replication.source_host = "other";
    observed.replication.io_state = observed.replication.sql_state = ThreadState::kRunning;
    observed.replication.lag_seconds = 0;
    observed.lag.learn(observed.replication, kNow);
  }
  return observed;
}

using Actions = std::vector<Action>;

TEST(TabletDecide, ActsOnServersThatAreNotAsTheirRole) {
  struct Case {
    const char* what;
    uint32_t shard_primary;
    int64_t shard_term;
    Role role;
    Observed observed;
    Actions actions;
  };
  const Role primary{.kind = RoleKind::kPrimary, .term_start_ns = 5};
  const Role demoted{.kind = RoleKind::kDemoted, .term_start_ns = 5};
  const Role waiting{.kind = RoleKind::kWaiting, .term_start_ns = 5};
  const Role replica{};
  const auto with = [](Role role, auto change) {
    change(role);
    return role;
  };
  const auto seen = [](Observed observed, auto change) {
    change(observed);
    return observed;
  };
  const Case cases[] = {
      {"a primary as it should be", 100, 5, primary, server(false, false), {}},
      {"its server was restarted", 100, 5, primary, server(true, false), {Action::kMakeWritable}},
      {"an operator keeps it read-only",
       100,
       5,
       with(primary, [](Role& r) { r.kept_read_only = true; }),
       server(true, false),
       {}},
      {"another tool has made it follow", 100, 5, primary, server(true, true), {}},
      {"another is the primary by now", 101, 6, primary, server(false, false), {Action::kFollowPrimary}},
      {"another was the primary before", 101, 4, primary, server(true, false), {Action::kMakeWritable}},
      {"its server forgot to wait for acknowledgements",
       100,
       5,
       with(primary, [](Role& r) { r.waits_for_acks = true; }),
       server(true, false),
       {Action::kSetSemiSync, Action::kMakeWritable}},
      {"it waits, and may acknowledge later",
       100,
       5,
       with(primary, [](Role& r) { r.waits_for_acks = true; }),
       seen(server(false, false), [](Observed& o) { o.semi_sync.source_enabled = o.semi_sync.replica_enabled = true; }),
       {}},
      {"a demotion that was undone while its server was down",
       100,
       5,
       with(primary, [](Role& r) { r.demotion_noted = true; }),
       server(true, false),
       {Action::kClearDemotion, Action::kMakeWritable}},
      {"the server does not answer",
       101,
       6,
       primary,
       seen(server(true, false), [](Observed& o) { o.error = "down"; }),
       {}},
      {"a demoted primary stays read-only", 100, 5, demoted, server(true, false), {}},
      {"also when its server comes back writable", 100, 5, demoted, server(false, false), {Action::kMakeReadOnly}},
      {"and follows who comes after it", 101, 6, demoted, server(true, false), {Action::kFollowPrimary}},
      {"one that waits is treated alike", 100, 5, waiting, server(false, false), {Action::kMakeReadOnly}},
      {"a replica as it should be", 101, 5, replica, server(true, true), {}},
      {"a replica whose server came back writable", 101, 5, replica, server(false, true), {Action::kMakeReadOnly}},
      {"an operator keeps it writable",
       101,
       5,
       with(replica, [](Role& r) { r.kept_writable = true; }),
       server(false, true),
       {}},
      {"another tool is about to make it the primary", 101, 5, replica, server(false, false), {}},
      {"a replica that forgot to acknowledge",
       101,
       5,
       with(replica, [](Role& r) { r.acknowledges = true; }),
       server(true, true),
       {Action::kSetSemiSync}},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(decide(shard_with(c.shard_primary, c.shard_term), c.observed, c.role, 2h).actions, c.actions) << c.what;
  }
}

TEST(TabletDecide, KnowsWhyASourceRefuses) {
  const std::string prefix = "Got fatal error 1236 from master when reading data from binary log: 'Error: ";
  struct Case {
    const char* what;
    ThreadState io;
    uint32_t number;
    std::string text;
    Refusal refusal;
  };
  const Case cases[] = {
      {"works", ThreadState::kRunning, 0, "", Refusal::kNone},
      {"stopped by somebody", ThreadState::kStopped, 0, "", Refusal::kNone},
      {"cannot log in", ThreadState::kStopped, 1045, "Access denied", Refusal::kNone},
      {"diverged", ThreadState::kStopped, 1236,
       prefix + "connecting slave requested to start from GTID 0-100-50, which is not in the master's binlog'",
       Refusal::kDiverged},
      {"and tries again", ThreadState::kConnecting, 1236,
       prefix + "connecting slave requested to start from GTID 0-1-2", Refusal::kNone},
      {"purged", ThreadState::kStopped, 1236,
       prefix + "Could not find GTID state requested by slave in any binlog files.'", Refusal::kTooOld},
      {"another trouble of the same number", ThreadState::kStopped, 1236,
       prefix + "log event entry exceeded max_allowed_packet'", Refusal::kNone},
  };
  for (const auto& c : cases) {
    Observed observed = server(true, true);
    observed.replication.io_state = c.io;
    observed.replication.last_io_errno = c.number;
    observed.replication.last_io_error = c.text;
    EXPECT_EQ(refusal_of(observed.replication), c.refusal) << c.what;
    // A replica that shows what the shard does not have serves nobody.
    const auto decision = decide(shard_with(101, 5), observed, {.stuck = "no backup"}, 2h);
    EXPECT_EQ(decision.state.serving, c.refusal != Refusal::kDiverged) << c.what;
    EXPECT_EQ(decision.trouble.find("no backup") != std::string::npos, c.refusal != Refusal::kNone) << c.what;
  }
}

TEST(TabletDecide, OnlyAPrimaryIsEverMadeWritable) {
  for (const auto kind : {RoleKind::kReplica, RoleKind::kDemoted, RoleKind::kWaiting, RoleKind::kPrimary}) {
    for (int bits = 0; bits < 16; ++bits) {
      const Role role{.kind = kind, .term_start_ns = 5, .restarted = (bits & 1) != 0, .kept_writable = (bits & 2) != 0};
      for (const uint32_t uid : {0U, 100U, 101U}) {
        const auto decision = decide(shard_with(uid, 7), server((bits & 4) != 0, (bits & 8) != 0), role, 2h);
        const bool writable = std::ranges::count(decision.actions, Action::kMakeWritable) > 0;
        if (kind != RoleKind::kPrimary || uid == 101) EXPECT_FALSE(writable);
        if (kind == RoleKind::kDemoted || kind == RoleKind::kWaiting) {
          EXPECT_FALSE(decision.state.serving);
          EXPECT_FALSE(decision.streams);
        }
      }
    }
  }
}

TEST(TabletDecide, AReplicaServesUntilItIsTooFarBehind) {
  const Role replica;
  Observed observed = server(true, true);
  observed.replication.lag_seconds = 7;
  observed.lag.learn(observed.replication, kNow);
  const Desired desired = shard_with(101, 5);
  auto at = [&](base::Duration later) {
    Observed then = observed;
    then.now = kNow + later;
    then.lag.learn(then.replication, then.now);
    return decide(desired, then, replica, 2h);
  };
  EXPECT_TRUE(at(0s).state.serving);
  EXPECT_EQ(at(10h).lag_seconds, 7);
  // Each way in which it can stop.
  for (int way = 0; way < 4; ++way) {
    observed.replication.io_state = way == 0 ? ThreadState::kRunning : ThreadState::kStopped;
    observed.replication.sql_state = way == 1 ? ThreadState::kRunning : ThreadState::kStopped;
    observed.replication.lag_seconds.reset();
    if (way == 3) {  // The source is gone.
      observed.replication.io_state = ThreadState::kConnecting;
      observed.replication.sql_state = ThreadState::kRunning;
      observed.replication.last_io_error = "no route";
    }
    auto soon = at(60s);
    EXPECT_TRUE(soon.state.serving) << way;
    EXPECT_EQ(soon.lag_seconds, 67) << way;
    EXPECT_EQ(soon.health_error, "") << way;
    EXPECT_NE(soon.trouble, "") << way;
    auto late = at(2h);
    EXPECT_FALSE(late.state.serving) << way;
    EXPECT_EQ(late.lag_seconds, 7207) << way;
    EXPECT_NE(late.health_error, "") << way;
    EXPECT_EQ(late.state.reason, late.health_error) << way;
  }
}

TEST(TabletDecide, AReplicaThatNeverWorkedDoesNotServe) {
  Observed observed = server(true, false);
  const Desired desired = shard_with(101, 5);
  EXPECT_EQ(decide(desired, observed, {}, 2h).health_error, "no replication source is configured");
  observed.replication.source_host = "other";
  observed.replication.last_sql_error = "duplicate entry";
  EXPECT_EQ(decide(desired, observed, {}, 2h).health_error, "replication is stopped: duplicate entry");
  observed.replication.sql_state = observed.replication.io_state = ThreadState::kRunning;
  observed.replication.lag_seconds = 3;
  observed.lag.learn(observed.replication, kNow);
  EXPECT_TRUE(decide(desired, observed, {}, 2h).state.serving);
  observed.error = "gone";
  EXPECT_FALSE(decide(desired, observed, {}, 2h).state.serving);
}

TEST(TabletDecide, ShowsADemotedPrimaryAsOneUntilItIsRestarted) {
  const Desired desired = shard_with(100, 5);
  Role role{.kind = RoleKind::kDemoted, .term_start_ns = 5};
  auto decision = decide(desired, server(true, false), role, 2h);
  EXPECT_EQ(decision.type, ::topodata::PRIMARY);
  EXPECT_EQ(decision.state.reason, "the primary is being demoted");
  role.restarted = true;
  decision = decide(desired, server(true, false), role, 2h);
  EXPECT_EQ(decision.type, ::topodata::REPLICA);
  EXPECT_NE(decision.health_error, "");
}

TEST(TabletDecide, WhileABackupIsTakenNothingIsServedOrRepaired) {
  for (const auto kind : {RoleKind::kReplica, RoleKind::kPrimary}) {
    for (const auto maintenance : {Maintenance::kBackup, Maintenance::kRestore}) {
      Desired desired = shard_with(kind == RoleKind::kPrimary ? 100 : 1, 5);
      if (kind == RoleKind::kReplica) desired.record.set_type(::topodata::BACKUP);
      // A writable replica and a read-only primary, which would be repaired otherwise.
      Role role{.kind = kind, .term_start_ns = 5, .maintenance = maintenance};
      const Observed observed = server(kind == RoleKind::kPrimary, kind == RoleKind::kReplica);
      const Decision decision = decide(desired, observed, role, 2h);
      EXPECT_FALSE(decision.state.serving);
      EXPECT_TRUE(decision.state.reason.contains("backup is being")) << decision.state.reason;
      EXPECT_FALSE(decision.health_error.empty());
      EXPECT_EQ(decision.actions, Actions{});
      EXPECT_FALSE(decision.streams);
      EXPECT_EQ(decision.type, kind == RoleKind::kPrimary ? ::topodata::PRIMARY : ::topodata::BACKUP);
      role.maintenance = Maintenance::kNone;
      EXPECT_EQ(decide(desired, observed, role, 2h).actions.size(), 1u);
    }
  }
}

TEST(TabletDecide, RecordsForbid) {
  Desired desired = shard_with(100, 5);
  const Role primary{.kind = RoleKind::kPrimary, .term_start_ns = 5};
  const auto decided = [&] { return decide(desired, server(false, false), primary, 2h).state; };
  EXPECT_TRUE(decided().serving);
  EXPECT_EQ(decided().no_writes, "");
  desired.shard.set_is_primary_serving(false);
  EXPECT_TRUE(decided().serving);
  EXPECT_NE(decided().no_writes, "");
  auto& partition = *desired.serving.add_partitions();
  partition.set_served_type(::topodata::REPLICA);
  auto& control = *partition.add_shard_tablet_controls();
  control.set_name("0");
  control.set_query_service_disabled(true);
  EXPECT_EQ(decided().reason, "primary traffic was switched to other shards");
  desired.shard.set_is_primary_serving(true);
  EXPECT_TRUE(decided().serving);
  partition.set_served_type(::topodata::PRIMARY);
  EXPECT_EQ(decided().reason, "TabletControl.DisableQueryService set");
  control.set_name("-80");
  EXPECT_TRUE(decided().serving);
  desired.shard.add_source_shards()->set_uid(1);
  EXPECT_EQ(decided().reason, "master tablet with filtered replication on");
  EXPECT_TRUE(decide(desired, server(false, false), primary, 2h).streams);
  desired.shard.clear_source_shards();
  auto& denied = *desired.shard.add_tablet_controls();
  denied.set_tablet_type(::topodata::PRIMARY);
  denied.add_denied_tables("Zebra");
  denied.add_denied_tables("apple");
  denied.set_allow_reads(true);
  EXPECT_EQ(decided().denied_tables, (std::vector<std::string>{"apple", "zebra"}));
  EXPECT_TRUE(decided().denied_allow_reads);
  EXPECT_EQ(decided().denied_description, "enforce denied tables");
  auto& older = *desired.shard.add_tablet_controls();  // As MigrateServedFrom leaves it.
  older.set_tablet_type(::topodata::RDONLY);
  older.add_denied_tables("apple");
  EXPECT_EQ(decided().denied_description, "enforce blacklisted tables");
  desired.record.set_type(::topodata::SPARE);
  EXPECT_EQ(decide(desired, server(true, true), {}, 2h).state.reason, "not a serving tablet type(spare)");
}

// ---- The queue

// What is prepared here goes on here as long as this is the primary, and where the next one is when it is not.
TEST(TabletDecide, HandsOverWhatIsPreparedUnlessItIsThePrimary) {
  const auto hands_over = [](RoleKind kind, Maintenance maintenance) {
    const Role role{.kind = kind, .term_start_ns = 5, .maintenance = maintenance};
    return decide(shard_with(100, 5), server(false, false), role, 2h).state.hands_over;
  };
  EXPECT_FALSE(hands_over(RoleKind::kPrimary, Maintenance::kNone));
  EXPECT_TRUE(hands_over(RoleKind::kPrimary, Maintenance::kBackup));
  for (const RoleKind kind : {RoleKind::kReplica, RoleKind::kDemoted, RoleKind::kWaiting}) {
    EXPECT_TRUE(hands_over(kind, Maintenance::kNone));
  }
}

TEST(ActionQueue, ServesInOrderAndNamesWhatIsInTheWay) {
  net::LoopThread thread("test");
  auto body = []() -> net::Task<std::vector<std::string>> {
    std::vector<std::string> seen;
    net::Scope scope;
    ActionQueue queue(scope.token(), {.waiting_max = 2, .longest = 1h});
    auto act = [](ActionQueue& q, std::string name, base::Duration patience,
                  std::vector<std::string>& out) -> net::Task<void> {
      auto turn = co_await q.enter(name, net::Wait::within(patience));
      out.push_back(turn.ok() ? name + " while " + q.running() : turn.error().message());
    };
    {
      auto first = co_await queue.enter("first", net::Wait::within(1h));
      EXPECT_TRUE(first.ok());
      EXPECT_LE(first->wait().deadline, base::system_clock().now() + 1h);
      scope.spawn(act(queue, "second", 1h, seen));
      scope.spawn(act(queue, "hasty", 1ms, seen));
      EXPECT_EQ(queue.waiting(), 2U);
      scope.spawn(act(queue, "surplus", 1h, seen));  // Refused at once.
      while (seen.size() < 2) (void)co_await net::sleep_for(1ms);
      EXPECT_EQ(queue.running(), "first");
    }
    co_await scope.join();
    EXPECT_EQ(queue.running(), "");
    co_return seen;
  };
  const auto seen = net::block_on(thread.loop(), body());
  ASSERT_EQ(seen.size(), 3U);
  EXPECT_TRUE(seen[0].starts_with("surplus: 2 changes of the tablet's state wait for first already")) << seen[0];
  EXPECT_TRUE(seen[1].starts_with("hasty waits for first")) << seen[1];
  EXPECT_EQ(seen[2], "second while second");
}

TEST(ActionQueue, AChangeOutlivesItsAskerAndNotTheTablet) {
  net::LoopThread thread("test");
  auto body = []() -> net::Task<void> {
    net::Scope tablet;
    ActionQueue queue(tablet.token());
    net::CancelSource asker;
    auto turn = co_await queue.enter("change", net::Wait::within(1h, asker.token()));
    EXPECT_TRUE(turn.ok());
    asker.cancel();
    EXPECT_FALSE(turn->wait().cancel.cancelled());
    tablet.request_stop();
    EXPECT_TRUE(turn->wait().cancel.cancelled());
    co_await tablet.join();
  };
  net::block_on(thread.loop(), body());
}

}  // namespace
}  // namespace vitrail::tablet
