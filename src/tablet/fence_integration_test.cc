// Random admitted work against random fences, on real servers: whatever was acknowledged before a fence was answered
// is in the server then, and afterwards nothing more happens there.
//
//   VITRAIL_FENCE_ROUNDS (10,000), VITRAIL_FENCE_SECONDS (no limit but the rounds), VITRAIL_FENCE_SEED (drawn),
//   VITRAIL_FENCE_TABLETS (4): tablets that are tried at the same time, each with a server of its own.
//
// No statement of the work says SLEEP(): MariaDB's takes its mutexes in another order than KILL does, and when they
// meet, the server lets both wait for two seconds (its SECONDS_TO_WAIT_FOR_KILL). What runs long here waits for locks
// or writes many rows.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <random>
#include <set>
#include <thread>

#include "mysql/data_port.h"
#include "mysql/errors.h"
#include "mysql/statements.h"
#include "mysqld/server_for_test.h"
#include "net/carriers.h"
#include "net/mysql_pool.h"
#include "net/scope.h"
#include "tablet/query_service.h"

namespace vitrail::tablet {
namespace {

using namespace std::chrono_literals;

uint64_t setting(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

// What the writers did, as their clients saw it. One loop.
struct Ledger {
  int64_t next_id = 1;
  std::map<int64_t, size_t> acknowledged;  // Of the rounds that were not checked yet; by which kind of act.
  uint64_t total = 0;
  uint64_t refused = 0;
  uint64_t unknown = 0;
  uint64_t values = 0;  // Of the sequence.
  std::map<std::string, uint64_t> errors;
  std::string wrong;  // What must never be.
};

struct World {
  World(net::MysqlPool& port_in, uint64_t seed) : port(port_in), random(seed) {}
  net::MysqlPool& port;
  Ledger ledger;
  std::mt19937_64 random;
  net::Scope scope;
  std::vector<uint32_t> sessions;  // Numbers of some, for KILL QUERY.
  // The sequence's values below were used elsewhere, said with the `epoch`th reset, behind which both are set: a value
  // that was drawn before may come late.
  int64_t floor = 0;
  uint64_t epoch = 0;
  size_t pick(size_t n) { return random() % n; }
};

net::Task<Result<uint64_t>> execute(net::PooledConnection& connection, std::string text, int64_t id, bool begin,
                                    net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const auto prepared, co_await connection.prepare(std::move(text), 16, wait));
  const mysql::Value value = mysql::Value::of_int(id);
  std::vector<mysql::QueryAttribute> attributes;
  if (begin) attributes.push_back({std::string(mysql::kBeginAttribute), mysql::Value::of_text("")});
  std::string payload;
  mysql::encode_stmt_execute_values(payload, prepared->ok.statement_id, {&value, 1}, attributes,
                                    connection.client.capabilities());
  CO_RETURN_IF_ERROR(co_await connection.client.send(payload, wait));
  CO_ASSIGN_OR_RETURN(const auto answer, co_await connection.client.receive(wait));
  if (mysql::is_err(answer.payload)) {
    CO_ASSIGN_OR_RETURN(const auto err, mysql::decode_err(answer.payload));
    if (auto tablets = mysql::decode_tablet_error(err)) co_return std::move(*tablets);
    co_return mysql::from_err_packet(err);
  }
  CO_ASSIGN_OR_RETURN(const auto ok, mysql::decode_ok(answer.payload, connection.client.capabilities()));
  co_return ok.affected_rows;
}

net::Task<Status> text(net::PooledConnection& connection, std::string sql, bool begin, net::Wait wait) {
  std::vector<mysql::QueryAttribute> attributes;
  if (begin) attributes.push_back({std::string(mysql::kBeginAttribute), mysql::Value::of_text("")});
  auto done = co_await connection.client.query(std::move(sql), wait, 10, std::move(attributes));
  if (!done.ok()) co_return std::move(done).error();
  co_return Status{};
}

using Ids = std::vector<int64_t>;

int64_t new_id(World& world, Ids& ids) {
  ids.push_back(world.ledger.next_id++);
  return ids.back();
}

net::Task<Status> write_prepared(World& world, net::PooledConnection& connection, Ids& ids, net::Wait wait) {
  auto done = co_await execute(connection, "insert into t(id) values (?)", new_id(world, ids), false, wait);
  if (!done.ok()) co_return std::move(done).error();
  co_return Status{};
}

net::Task<Status> run_transaction(World& world, net::PooledConnection& connection, Ids& ids, net::Wait wait) {
  const int64_t id = new_id(world, ids);
  if (world.pick(2) == 0) {
    CO_RETURN_IF_ERROR(co_await text(connection, fmt::format("insert into t(id) values ({})", id), true, wait));
  } else {
    // Others wait for this row.
    CO_RETURN_IF_ERROR(co_await text(
        connection, fmt::format("insert into t(id) select {} from l where k = 1 for update", id), true, wait));
  }
  if (world.pick(2) == 0) (void)co_await net::sleep_for(std::chrono::microseconds(world.pick(3000)));
  CO_RETURN_IF_ERROR(co_await write_prepared(world, connection, ids, wait));
  co_return co_await text(connection, "commit", false, wait);
}

net::Task<Status> write_in_transaction(World& world, net::PooledConnection& connection, Ids& ids, net::Wait wait) {
  Status done = co_await run_transaction(world, connection, ids, wait);
  if (!done.ok()) {
    const Status undone = world.pick(2) == 0 ? co_await text(connection, "rollback", false, wait)
                                             : Status(fail(Code::kCanceled, "left as it is"));
    if (!undone.ok()) connection.client.set_broken();
  }
  co_return done;
}

net::Task<Status> write_many(World& world, net::PooledConnection& connection, Ids& ids, net::Wait wait) {
  const int64_t first = world.ledger.next_id;
  for (int i = 0; i < 100; ++i) (void)new_id(world, ids);
  co_return co_await text(connection, fmt::format("insert into t(id) select seq from seq_{}_to_{}", first, first + 99),
                          false, wait);
}

// State in the server that outlives statements: the connection is this session's, and ends with it.
net::Task<Status> write_with_state(World& world, net::PooledConnection& connection, Ids& ids, net::Wait wait) {
  const bool locks = world.pick(2) == 0;
  CO_RETURN_IF_ERROR(
      co_await text(connection, locks ? "lock tables t write" : "create temporary table m select 1 k", false, wait));
  const int64_t id = new_id(world, ids);
  Status done = co_await text(
      connection,
      locks ? fmt::format("insert into t(id) values ({})", id) : fmt::format("insert into t(id) select {} from m", id),
      false, wait);
  if (done.ok() && world.pick(2) == 0) {
    const Status ended = co_await text(connection, locks ? "unlock tables" : "drop temporary table m", false, wait);
    if (!ended.ok()) connection.client.set_broken();
  } else {
    connection.client.set_broken();
  }
  co_return done;
}

net::Task<Status> take_value(World& world, net::PooledConnection& connection, net::Wait wait) {
  const uint64_t epoch = world.epoch;
  CO_ASSIGN_OR_RETURN(const auto result, co_await connection.client.query("select next 1 values from s", wait));
  const int64_t value = std::strtoll(std::string(result.text(0, 0)).c_str(), nullptr, 10);
  ++world.ledger.values;
  if (epoch == world.epoch && value < world.floor) {
    world.ledger.wrong = fmt::format("the sequence gave {}, after {} was said to be used", value, world.floor - 1);
  }
  co_return Status{};
}

// One thing that a client may do; the ids that are acknowledged when it has succeeded.
net::Task<Status> act(World& world, net::PooledConnection& connection, size_t kind, Ids& ids, net::Wait wait) {
  switch (kind) {
    case 0:
      co_return co_await text(connection, fmt::format("insert into t(id) values ({})", new_id(world, ids)), false,
                              wait);
    case 1:
    case 2: co_return co_await write_prepared(world, connection, ids, wait);
    case 3:
    case 4: co_return co_await write_in_transaction(world, connection, ids, wait);
    case 5:
    case 6:
      co_return co_await text(
          connection, fmt::format("insert into t(id) select {} from l where k = 1 for update", new_id(world, ids)),
          false, wait);
    case 7: co_return co_await text(connection, fmt::format("call p({})", new_id(world, ids)), false, wait);
    case 8:
      co_return co_await text(connection, fmt::format("insert into v(id) values ({})", new_id(world, ids)), false,
                              wait);
    case 9: co_return co_await write_many(world, connection, ids, wait);
    case 10: co_return co_await write_with_state(world, connection, ids, wait);
    case 11: {
      if (world.sessions.empty()) co_return Status{};
      const uint32_t other = world.sessions[world.pick(world.sessions.size())];
      co_return co_await text(connection, fmt::format("kill query {}", other), false, wait);
    }
    default: co_return co_await take_value(world, connection, wait);
  }
}

net::Task<void> writer(World& world) {
  while (!world.scope.stopping()) {
    auto lease = co_await world.port.acquire("", net::Wait::within(20s));
    if (!lease.ok()) {
      (void)co_await net::sleep_for(1ms, world.scope.token());
      continue;
    }
    const uint32_t session = (*lease)->client.server().connection_id;
    world.sessions.push_back(session);
    Ids ids;
    // Some clients do not wait for the answer: they go away.
    const bool leaves = world.pick(12) == 0;
    const auto patience = leaves ? base::Duration(std::chrono::microseconds(world.pick(3000))) : base::Duration(20s);
    const size_t kind = world.pick(14);
    Status done = co_await act(world, **lease, kind, ids, net::Wait::within(patience));
    std::erase(world.sessions, session);
    if (done.ok()) {
      for (const int64_t id : ids) world.ledger.acknowledged.emplace(id, kind);
      world.ledger.total += ids.size();
      if (world.pick(4) == 0) lease->discard();
      continue;
    }
    ++(done.error().effect() == Effect::kNone ? world.ledger.refused : world.ledger.unknown);
    ++world.ledger.errors[done.error().message().substr(0, 90)];
    // A connection whose statement was only refused is as good as before.
    const Code code = done.error().code();
    if (code != Code::kClusterEvent && code != Code::kFailedPrecondition) lease->discard();
    lease->release();
    (void)co_await net::sleep_for(std::chrono::microseconds(200 + world.pick(2000)));
  }
}

std::shared_ptr<ServingState> serving() {
  auto state = std::make_shared<ServingState>();
  state->target = {"f", "0", "primary"};
  state->serving = true;
  state->reason = "";
  return state;
}

std::shared_ptr<ServingState> fenced(size_t kind) {
  auto state = serving();
  switch (kind) {
    case 0:
      state->serving = false;
      state->reason = "a test";
      break;
    case 1:
      state->denied_tables = {"l", "s", "t"};
      state->indirect = {"v"};
      break;
    case 2: state->target.tablet_type = "replica"; break;
    default: state->no_writes = "a test"; break;
  }
  return state;
}

struct Checks {
  uint64_t rounds = 0;
  std::string failure;
  std::vector<base::Duration> fences;  // How long each took.
};

net::Task<Result<std::string>> position(net::MysqlPool& direct, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(auto lease, co_await direct.acquire("", wait));
  CO_ASSIGN_OR_RETURN(const auto result, co_await lease->client.query("select @@global.gtid_binlog_pos", wait));
  co_return std::string(result.text(0, 0));
}

// For the report of a failure: who holds what.
net::Task<std::string> open_transactions(net::PooledConnection& connection, net::Wait wait) {
  const auto found = co_await connection.client.query(
      "select trx_mysql_thread_id, trx_state, trx_rows_modified, trx_started, now(6) from "
      "information_schema.innodb_trx",
      wait);
  std::string out;
  if (!found.ok()) co_return out;
  for (const auto& row : found->rows) {
    out += "\n  transaction:";
    for (const auto& cell : row) out += " " + cell.value_or("NULL");
  }
  co_return out;
}

// The end of the server's binlog, likewise.
net::Task<Result<std::string>> last_events(net::PooledConnection& connection, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const auto status, co_await connection.client.query("show master status", wait));
  const std::string file(status.text(0, 0));
  CO_ASSIGN_OR_RETURN(const auto events, co_await connection.client.query(
                                             fmt::format("show binlog events in '{}'", file), wait, 1'000'000));
  std::string out;
  for (size_t i = events.rows.size() - std::min<size_t>(events.rows.size(), 6); i < events.rows.size(); ++i) {
    out += fmt::format("\n  {} {}", events.text(i, 2), events.text(i, 5));
  }
  co_return out;
}

// A statement of the test's own, which the random ones may leave no connection for a while.
net::Task<Result<net::QueryResult>> ask_patiently(net::MysqlClient& client, std::string text, net::Wait wait,
                                                  std::vector<mysql::QueryAttribute> attributes = {}) {
  constexpr int kTries = 60;  // Each waits for the tablet's pool.
  for (int tries = 1;; ++tries) {
    auto result = co_await client.query(text, wait, 10, attributes);
    if (result.ok() || result.error().code() != Code::kResourceExhausted || tries == kTries) co_return result;
  }
}

// While transactions are held: none begins, but as a part of one that is open elsewhere; statements outside of
// transactions go on.
net::Task<Status> check_hold(World& world, QueryService& service) {
  const net::Wait wait = net::Wait::within(30s);
  CO_ASSIGN_OR_RETURN(auto lease, co_await world.port.acquire("", wait));
  auto& client = lease->client;
  (void)co_await service.hold_transactions({}, std::chrono::microseconds(world.pick(3000)));
  std::vector<mysql::QueryAttribute> attributes{{std::string(mysql::kBeginAttribute), mysql::Value::of_text("")}};
  const auto begun = co_await client.query("select 1", wait, 10, attributes);
  if (begun.ok() || begun.error().reason() != Reason::kResharding) {
    co_return fail(Code::kInternal, "a transaction begins while they are held: " +
                                        (begun.ok() ? std::string("no error") : begun.error().message()));
  }
  CO_ASSIGN_OR_RETURN(const auto alone, co_await ask_patiently(client, "delete from l where k = 77", wait));
  attributes.push_back({std::string(mysql::kJoinsAttribute), mysql::Value::of_text("1")});
  CO_ASSIGN_OR_RETURN(const auto joined, co_await ask_patiently(client, "select 1", wait, attributes));
  CO_ASSIGN_OR_RETURN(const auto left, co_await client.query("rollback", wait));
  if ((joined.ok.status_flags & mysql::kStatusInTransaction) == 0) {
    co_return fail(Code::kInternal, "the part of a transaction did not begin one");
  }
  co_return Status{};
}

net::Task<Status> check_round(World& world, QueryService& service, net::MysqlPool& direct, Checks& checks) {
  const net::Wait wait = net::Wait::within(30s);
  (void)co_await net::sleep_for(std::chrono::microseconds(500 + world.pick(3000)));
  if (world.pick(3) == 0) CO_RETURN_IF_ERROR(co_await check_hold(world, service));
  const auto state = fenced(world.pick(4));
  const auto started = base::system_clock().now();
  CO_RETURN_IF_ERROR(co_await service.apply(state, std::chrono::microseconds(world.pick(2) * world.pick(4000))));
  checks.fences.push_back(base::system_clock().now() - started);
  // What a switch of traffic would read now.
  const std::map<int64_t, size_t> acknowledged = std::exchange(world.ledger.acknowledged, {});
  CO_ASSIGN_OR_RETURN(const std::string before, co_await position(direct, wait));
  CO_ASSIGN_OR_RETURN(auto lease, co_await direct.acquire("", wait));
  if (!acknowledged.empty()) {
    CO_ASSIGN_OR_RETURN(const auto rows,
                        co_await lease->client.query(
                            fmt::format("select id from t where id >= {}", acknowledged.begin()->first), wait));
    std::set<int64_t> there;
    for (size_t i = 0; i < rows.rows.size(); ++i) there.insert(std::strtoll(rows.rows[i][0]->c_str(), nullptr, 10));
    for (const auto& [id, kind] : acknowledged) {
      if (!there.contains(id))
        co_return fail(Code::kDataLoss, fmt::format("row {} was acknowledged (act {}), and is not there{}", id, kind,
                                                    co_await open_transactions(*lease, wait)));
    }
  }
  (void)co_await net::sleep_for(std::chrono::microseconds(world.pick(2500)));
  CO_ASSIGN_OR_RETURN(const std::string after, co_await position(direct, wait));
  if (before != after) {
    CO_ASSIGN_OR_RETURN(const std::string events, co_await last_events(*lease, wait));
    co_return fail(Code::kDataLoss,
                   fmt::format("the server went from {} to {} behind the fence:{}", before, after, events));
  }
  if (!world.ledger.acknowledged.empty()) {
    // Acknowledged before the fence was answered, noticed by its client later.
    for (const auto& [id, kind] : std::exchange(world.ledger.acknowledged, {})) {
      CO_ASSIGN_OR_RETURN(const auto row,
                          co_await lease->client.query(fmt::format("select 1 from t where id = {}", id), wait));
      if (row.rows.empty())
        co_return fail(Code::kDataLoss, fmt::format("row {} was acknowledged (act {}), and is not there", id, kind));
    }
  }
  if (world.pick(4) == 0) {
    // As when ids that exist are told to a sequence: what this tablet has reserved before is of no use any more.
    const int64_t used = world.floor + 1000;
    CO_ASSIGN_OR_RETURN(const auto said,
                        co_await lease->client.query(fmt::format("update s set next_id = {}", used), wait));
    (void)said;
    co_await service.reset_sequences();
    world.floor = used;
    ++world.epoch;
  }
  if (!world.ledger.wrong.empty()) co_return fail(Code::kDataLoss, world.ledger.wrong);
  co_return co_await service.apply(serving(), 1s);
}

net::Task<void> run_rounds(World& world, QueryService& service, net::MysqlPool& direct, uint64_t rounds,
                           Checks& checks) {
  for (int i = 0; i < 8; ++i) world.scope.spawn(writer(world));
  const uint64_t seconds = setting("VITRAIL_FENCE_SECONDS", 0);
  const auto end = base::system_clock().now() + std::chrono::seconds(seconds);
  for (;;) {
    if (seconds != 0 ? base::system_clock().now() >= end : checks.rounds >= rounds) break;
    Status checked = co_await check_round(world, service, direct, checks);
    if (!checked.ok()) {
      checks.failure = fmt::format("round {}: {}", checks.rounds, checked.error().message());
      break;
    }
    ++checks.rounds;
  }
  (void)co_await service.apply(serving(), 1s);
  world.scope.request_stop();
  co_await world.scope.join();
}

// One tablet: its server, its service, its clients, its fences.
class Trial {
 public:
  Trial(mysqld::DaemonOptions options, uint64_t seed) : server_(std::move(options)), seed_(seed) {}

  void run(uint64_t rounds);

  uint64_t seed() const { return seed_; }
  const Checks& checks() const { return checks_; }
  const Ledger& ledger() const { return world_->ledger; }

 private:
  void make_tables();
  net::MysqlClientSettings port_settings(uint16_t port) const;

  mysqld::testing::Server server_;
  const uint64_t seed_;
  Checks checks_;
  std::unique_ptr<World> world_;
};

void Trial::make_tables() {
  mysqld::testing::Session session(server_->layout().socket());
  session.run(server_.flavor().set_read_only(false));
  session.run({"create database vt_f", "use vt_f", "create table t(id bigint primary key)",
               "create table l(k int primary key)", "insert into l values (1)",
               "create table s(id bigint primary key, next_id bigint, cache bigint) comment 'vitess_sequence'",
               "insert into s values (0, 1, 3)", "create view v as select id from t",
               "create procedure p(x bigint) insert into t(id) values (x)"});
}

net::MysqlClientSettings Trial::port_settings(uint16_t port) const {
  net::MysqlClientSettings client;
  client.address = {.host = "127.0.0.1", .port = port};
  client.auth.database = "f/0@primary";
  client.auth.user = "test";
  client.auth.capabilities = mysql::kClientLongPassword | mysql::kClientProtocol41 | mysql::kClientTransactions |
                             mysql::kClientSecureConnection | mysql::kClientMultiResults |
                             mysql::kClientPsMultiResults | mysql::kClientPluginAuth | mysql::kClientQueryAttributes |
                             mysql::kClientDeprecateEof | mysql::kClientConnectWithDb;
  return client;
}

void Trial::run(uint64_t rounds) {
  ASSERT_TRUE(server_->init().ok());
  make_tables();
  const std::string socket = server_->layout().socket();
  base::QueryLog log;
  base::Metrics metrics("fence-test");
  QueryServiceSettings settings;
  settings.loops = 2;
  settings.mysqld.unix_socket = socket;
  settings.database = "vt_f";
  settings.user = "vt_dba";
  settings.pool_size = 6;
  settings.pool_timeout = 500ms;
  settings.query_timeout = 400ms;
  QueryService service(settings, log, metrics);
  net::LoopThread thread("fence-test");
  ASSERT_TRUE(net::block_on(thread.loop(), service.start()).ok());

  net::MysqlPool::Options writers_options;
  writers_options.max_connections = 16;
  net::Scope carriers_scope;
  net::Carriers carriers(carriers_scope, 1);
  net::MysqlClientSettings to_port = port_settings(service.port());
  if (seed_ % 2 == 0) to_port.carriers = &carriers;  // As streams of few connections.
  net::MysqlPool writers(to_port, writers_options);
  net::MysqlClientSettings own;
  own.address.unix_socket = socket;
  own.auth.user = "vt_dba";
  own.auth.database = "vt_f";
  net::MysqlPool::Options direct_options;
  direct_options.max_connections = 4;
  net::MysqlPool direct(own, direct_options);
  world_ = std::make_unique<World>(writers, seed_);
  ASSERT_TRUE(net::block_on(thread.loop(), service.apply(serving(), 1s)).ok());
  net::block_on(thread.loop(), run_rounds(*world_, service, direct, rounds, checks_));
  const auto finish = [](World& w, net::MysqlPool& a, net::MysqlPool& b, net::Scope& c) -> net::Task<void> {
    EXPECT_EQ(w.scope.running(), 0U);
    a.close();
    b.close();
    c.request_stop();
    co_await c.join();
  };
  net::block_on(thread.loop(), finish(*world_, writers, direct, carriers_scope));
  net::block_on(thread.loop(), service.stop());
}

int64_t milliseconds(base::Duration d) { return std::chrono::duration_cast<std::chrono::milliseconds>(d).count(); }

TEST(Fence, CoversEveryAcknowledgedWriteAndLetsNothingThrough) {
  const uint64_t rounds = setting("VITRAIL_FENCE_ROUNDS", 10'000);
  const uint64_t seed = setting("VITRAIL_FENCE_SEED", std::random_device()());
  const uint64_t count = std::max<uint64_t>(setting("VITRAIL_FENCE_TABLETS", 4), 1);
  mysqld::testing::TemporaryFolder folder;
  std::vector<std::unique_ptr<Trial>> trials;
  std::vector<std::thread> threads;
  for (uint64_t i = 0; i < count; ++i) {
    mysqld::DaemonOptions options = mysqld::testing::small_server(folder, 70 + static_cast<uint32_t>(i));
    options.supervised = false;
    options.config.flush_log_at_trx_commit = 2;
    options.config.sync_binlog = 0;
    trials.push_back(std::make_unique<Trial>(std::move(options), seed + i));
  }
  for (auto& trial : trials) {
    threads.emplace_back([&trial, each = (rounds + count - 1) / count] { trial->run(each); });
  }
  for (auto& thread : threads) thread.join();
  for (const auto& trial : trials) {
    auto fences = trial->checks().fences;
    const Ledger& ledger = trial->ledger();
    ASSERT_FALSE(fences.empty());
    std::sort(fences.begin(), fences.end());
    const base::Duration slow = fences[fences.size() * 99 / 100];
    fmt::print(
        "seed {}: {} rounds, {} rows acknowledged, {} values, {} statements refused, {} of unknown effect; "
        "fences of {} ms (50 %), {} ms (99 %), {} ms (longest)\n",
        trial->seed(), trial->checks().rounds, ledger.total, ledger.values, ledger.refused, ledger.unknown,
        milliseconds(fences[fences.size() / 2]), milliseconds(slow), milliseconds(fences.back()));
    if (!trial->checks().failure.empty() || std::getenv("VITRAIL_FENCE_VERBOSE") != nullptr) {
      for (const auto& [message, times] : ledger.errors) fmt::print("  {:6} {}\n", times, message);
    }
    EXPECT_EQ(trial->checks().failure, "");
    EXPECT_GT(ledger.total, trial->checks().rounds / 4);  // There was something to fence.
    EXPECT_GT(ledger.values, 0U);
    EXPECT_LT(fences[fences.size() / 2], 1s);  // Milliseconds; this is what a very busy machine may make of them.
  }
}

}  // namespace
}  // namespace vitrail::tablet
