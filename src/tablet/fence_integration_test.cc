// Random admitted work against random fences, on a real server: whatever was acknowledged before a fence was answered
// is in the server then, and afterwards nothing more happens there.
//
//   VITRAIL_FENCE_ROUNDS (1,000), VITRAIL_FENCE_SECONDS (no limit but the rounds), VITRAIL_FENCE_SEED (drawn).
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <random>
#include <set>

#include "mysql/data_port.h"
#include "mysql/errors.h"
#include "mysql/statements.h"
#include "mysqld/server_for_test.h"
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
  std::set<int64_t> acknowledged;  // Of the rounds that were not checked yet.
  uint64_t total = 0;
  uint64_t refused = 0;
  uint64_t unknown = 0;
  std::map<std::string, uint64_t> errors;
};

struct World {
  World(net::MysqlPool& port_in, uint64_t seed) : port(port_in), random(seed) {}
  net::MysqlPool& port;
  Ledger ledger;
  std::mt19937_64 random;
  net::Scope scope;
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

// One thing that a client may do; the ids that are acknowledged when it has succeeded.
net::Task<Status> act(World& world, net::PooledConnection& connection, std::vector<int64_t>& ids, net::Wait wait) {
  const int64_t id = world.ledger.next_id++;
  ids.push_back(id);
  switch (world.pick(8)) {
    case 0: co_return co_await text(connection, fmt::format("insert into t(id) values ({})", id), false, wait);
    case 1:
    case 2: {
      auto done = co_await execute(connection, "insert into t(id) values (?)", id, false, wait);
      if (!done.ok()) co_return std::move(done).error();
      co_return Status{};
    }
    case 3: {
      const int64_t second = world.ledger.next_id++;
      ids.push_back(second);
      CO_RETURN_IF_ERROR(co_await text(connection, fmt::format("insert into t(id) values ({})", id), true, wait));
      if (world.pick(2) == 0) (void)co_await net::sleep_for(std::chrono::microseconds(world.pick(3000)));
      auto done = co_await execute(connection, "insert into t(id) values (?)", second, false, wait);
      if (!done.ok()) {
        const Status undone = co_await text(connection, "rollback", false, wait);
        if (!undone.ok()) connection.client.set_broken();
        co_return std::move(done).error();
      }
      co_return co_await text(connection, "commit", false, wait);
    }
    case 4:
      co_return co_await text(
          connection,
          fmt::format("insert into t(id) select {} + 0 * sleep({})", id, 0.0005 * static_cast<double>(world.pick(20))),
          false, wait);
    case 5: co_return co_await text(connection, fmt::format("call p({})", id), false, wait);
    case 6: co_return co_await text(connection, fmt::format("insert into v(id) values ({})", id), false, wait);
    default: {
      ids.clear();
      co_return co_await text(connection, "select next 1 values from s", false, wait);
    }
  }
}

net::Task<void> writer(World& world) {
  while (!world.scope.stopping()) {
    const net::Wait wait = net::Wait::within(20s);
    auto lease = co_await world.port.acquire("", wait);
    if (!lease.ok()) {
      (void)co_await net::sleep_for(1ms, world.scope.token());
      continue;
    }
    std::vector<int64_t> ids;
    Status done = co_await act(world, **lease, ids, wait);
    if (done.ok()) {
      world.ledger.acknowledged.insert(ids.begin(), ids.end());
      world.ledger.total += ids.size();
      // A connection that the server holds state for is its client's.
      if (world.pick(4) == 0) lease->discard();
      continue;
    }
    ++(done.error().effect() == Effect::kNone ? world.ledger.refused : world.ledger.unknown);
    ++world.ledger.errors[done.error().message().substr(0, 90)];
    // A connection whose statement was only refused is as good as before.
    const Code code = done.error().code();
    if (code != Code::kClusterEvent && code != Code::kFailedPrecondition) lease->discard();
    if (world.pick(8) != 0) (void)co_await net::sleep_for(std::chrono::microseconds(world.pick(2000)));
  }
}

class Fence : public testing::Test {
 protected:
  static mysqld::DaemonOptions options(const mysqld::testing::TemporaryFolder& folder) {
    mysqld::DaemonOptions options = mysqld::testing::small_server(folder, 77);
    options.supervised = false;
    options.config.flush_log_at_trx_commit = 2;
    options.config.sync_binlog = 0;
    return options;
  }
};

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
      state->denied_tables = {"s", "t"};
      state->indirect = {"v"};
      break;
    default: state->no_writes = "a test"; break;
  }
  return state;
}

struct Checks {
  uint64_t rounds = 0;
  std::string failure;
  base::Duration longest = base::Duration::zero();
};

net::Task<Result<std::string>> position(net::MysqlPool& direct, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(auto lease, co_await direct.acquire("", wait));
  CO_ASSIGN_OR_RETURN(const auto result, co_await lease->client.query("select @@global.gtid_binlog_pos", wait));
  co_return std::string(result.text(0, 0));
}

net::Task<Status> check_round(World& world, QueryService& service, net::MysqlPool& direct, Checks& checks) {
  const net::Wait wait = net::Wait::within(30s);
  (void)co_await net::sleep_for(std::chrono::microseconds(500 + world.pick(3000)));
  const auto state = fenced(world.pick(3));
  const auto started = base::system_clock().now();
  CO_RETURN_IF_ERROR(co_await service.apply(state, std::chrono::microseconds(world.pick(4000))));
  checks.longest = std::max(checks.longest, base::system_clock().now() - started);
  // What a switch of traffic would read now.
  const std::set<int64_t> acknowledged = std::exchange(world.ledger.acknowledged, {});
  CO_ASSIGN_OR_RETURN(const std::string before, co_await position(direct, wait));
  CO_ASSIGN_OR_RETURN(auto lease, co_await direct.acquire("", wait));
  if (!acknowledged.empty()) {
    CO_ASSIGN_OR_RETURN(
        const auto rows,
        co_await lease->client.query(fmt::format("select id from t where id >= {}", *acknowledged.begin()), wait));
    std::set<int64_t> there;
    for (size_t i = 0; i < rows.rows.size(); ++i) there.insert(std::strtoll(rows.rows[i][0]->c_str(), nullptr, 10));
    for (const int64_t id : acknowledged) {
      if (!there.contains(id))
        co_return fail(Code::kDataLoss, fmt::format("row {} was acknowledged, and is not there", id));
    }
  }
  (void)co_await net::sleep_for(std::chrono::microseconds(world.pick(2500)));
  CO_ASSIGN_OR_RETURN(const std::string after, co_await position(direct, wait));
  if (before != after) {
    co_return fail(Code::kDataLoss, fmt::format("the server went from {} to {} behind the fence", before, after));
  }
  if (!world.ledger.acknowledged.empty()) {
    // Acknowledged before the fence was answered, noticed by its client later.
    for (const int64_t id : std::exchange(world.ledger.acknowledged, {})) {
      CO_ASSIGN_OR_RETURN(const auto row,
                          co_await lease->client.query(fmt::format("select 1 from t where id = {}", id), wait));
      if (row.rows.empty())
        co_return fail(Code::kDataLoss, fmt::format("row {} was acknowledged, and is not there", id));
    }
  }
  co_return co_await service.apply(serving(), 1s);
}

net::Task<void> run_rounds(World& world, QueryService& service, net::MysqlPool& direct, Checks& checks) {
  for (int i = 0; i < 8; ++i) world.scope.spawn(writer(world));
  const uint64_t rounds = setting("VITRAIL_FENCE_ROUNDS", 1'000);
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

TEST_F(Fence, CoversEveryAcknowledgedWriteAndLetsNothingThrough) {
  mysqld::testing::TemporaryFolder folder;
  mysqld::testing::Server server(options(folder));
  ASSERT_TRUE(server->init().ok());
  const std::string socket = server->layout().socket();
  {
    mysqld::testing::Session session(socket);
    session.run(server.flavor().set_read_only(false));
    session.run({"create database vt_f", "use vt_f", "create table t(id bigint primary key)",
                 "create table s(id bigint primary key, next_id bigint, cache bigint) comment 'vitess_sequence'",
                 "insert into s values (0, 1, 1)", "create view v as select id from t",
                 "create procedure p(x bigint) insert into t(id) values (x)"});
  }
  const uint64_t seed = setting("VITRAIL_FENCE_SEED", std::random_device()());
  base::QueryLog log;
  base::Metrics metrics("fence-test");
  QueryServiceSettings settings;
  settings.loops = 2;
  settings.mysqld.unix_socket = socket;
  settings.database = "vt_f";
  settings.user = "vt_dba";
  settings.pool_size = 6;
  settings.pool_timeout = 500ms;
  QueryService service(settings, log, metrics);
  net::LoopThread thread("fence-test");
  ASSERT_TRUE(net::block_on(thread.loop(), service.start()).ok());

  net::MysqlClientSettings port;
  port.address = {.host = "127.0.0.1", .port = service.port()};
  port.auth.database = "f/0@primary";
  port.auth.user = "test";
  port.auth.capabilities = mysql::kClientLongPassword | mysql::kClientProtocol41 | mysql::kClientTransactions |
                           mysql::kClientSecureConnection | mysql::kClientMultiResults | mysql::kClientPsMultiResults |
                           mysql::kClientPluginAuth | mysql::kClientQueryAttributes | mysql::kClientDeprecateEof |
                           mysql::kClientConnectWithDb;
  net::MysqlPool::Options writers_options;
  writers_options.max_connections = 16;
  net::MysqlPool writers(port, writers_options);
  net::MysqlClientSettings own;
  own.address.unix_socket = socket;
  own.auth.user = "vt_dba";
  own.auth.database = "vt_f";
  net::MysqlPool::Options direct_options;
  direct_options.max_connections = 4;
  net::MysqlPool direct(own, direct_options);
  auto world = std::make_unique<World>(writers, seed);
  Checks checks;
  ASSERT_TRUE(net::block_on(thread.loop(), service.apply(serving(), 1s)).ok());
  net::block_on(thread.loop(), run_rounds(*world, service, direct, checks));
  const auto finish = [](World& w, net::MysqlPool& a, net::MysqlPool& b) -> net::Task<void> {
    EXPECT_EQ(w.scope.running(), 0U);
    a.close();
    b.close();
    co_return;
  };
  net::block_on(thread.loop(), finish(*world, writers, direct));
  net::block_on(thread.loop(), service.stop());
  fmt::print(
      "seed {}: {} rounds, {} rows acknowledged, {} statements refused, {} of unknown effect; longest fence {} ms\n",
      seed, checks.rounds, world->ledger.total, world->ledger.refused, world->ledger.unknown,
      std::chrono::duration_cast<std::chrono::milliseconds>(checks.longest).count());
  if (!checks.failure.empty() || std::getenv("VITRAIL_FENCE_VERBOSE") != nullptr) {
    for (const auto& [message, count] : world->ledger.errors) fmt::print("  {:6} {}\n", count, message);
  }
  EXPECT_EQ(checks.failure, "");
  EXPECT_GT(world->ledger.total, checks.rounds / 4);  // There was something to fence.
}

}  // namespace
}  // namespace vitrail::tablet
