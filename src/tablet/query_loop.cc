// One event loop's share of the query service: its pools, and the fence over its sessions.
#include <fmt/core.h>

#include <algorithm>

#include "mysql/collations.h"
#include "mysql/protocol.h"
#include "tablet/query_session.h"

namespace vitrail::tablet {
namespace {

using namespace std::chrono_literals;

constexpr size_t kMaxPreparedPerConnection = 256;
constexpr size_t kKillConnections = 4;
constexpr size_t kRecordConnections = 64;
constexpr auto kForceMax = 10s;  // For the end of what had to be ended by force.
constexpr auto kAbandonedPause = 250ms;

// What a statement did to its connection is told by the server: by a flag in the answer's end. And the server is to
// wait for a reader who takes his time, a slow client or a merge that reads another shard's rows first: when nobody
// reads any more, the connection ends.
constexpr const char* kSetup =
    "session session_track_state_change = on, session_track_schema = off, session_track_system_variables = '', "
    "session_track_transaction_info = 'OFF', net_write_timeout = 28800";

// A MySQL server forgets with a reset in which collation the client logged in; MariaDB does not, and does not know all
// of MySQL's. It reads no comments of these versions.
std::string setup_of(uint8_t collation) {
  const mysql::Collation* known = mysql::find_collation(collation);
  const std::string names =
      known == nullptr ? "" : fmt::format("/*!80000 names {} collate {}, */ ", known->charset, known->name);
  return "set " + names + kSetup;
}

net::MysqlClientSettings kill_settings(const QueryServiceSettings& settings) {
  net::MysqlClientSettings client;
  client.address = settings.mysqld;
  client.auth.user = settings.dba_user;
  client.auth.password = settings.dba_password;
  return client;
}

net::MysqlClientSettings record_settings(const QueryServiceSettings& settings) {
  net::MysqlClientSettings client = kill_settings(settings);
  client.auth.database = settings.database;
  return client;
}

net::MysqlPool::Options record_options() {
  net::MysqlPool::Options options;
  options.max_connections = kRecordConnections;
  options.name = "connections for records of transactions";
  // Who holds a record's row is about to end it; a replay that meets others' rows is tried again behind them.
  options.setup = "set session innodb_lock_wait_timeout = 3";
  return options;
}

net::MysqlPool::Options kill_options() {
  net::MysqlPool::Options options;
  options.max_connections = kKillConnections;
  options.name = "connections for KILL";
  return options;
}

}  // namespace

QueryLoop::QueryLoop(const QueryServiceSettings& settings_in, net::Loop& loop_in, QueryMetrics metrics_in,
                     Sequences* sequences_in, AckDoubt& doubt_in, HotRows::Counters& hot_row_counters,
                     TransactionLimits& limits_in, Concurrency::Metrics& concurrency_metrics)
    : settings(settings_in),
      loop(loop_in),
      metrics(metrics_in),
      sequences(sequences_in),
      kill_pool(kill_settings(settings_in), kill_options()),
      doubt(doubt_in),
      killer(kill_pool, &doubt_in, settings_in.sidecar),
      hot_rows(settings_in.hot_rows, hot_row_counters),
      limits(limits_in),
      shared_reads(settings_in.shared_reads, metrics_in.shared),
      concurrency(settings_in.concurrency, concurrency_metrics),
      guarded(hot_rows.enabled() || limits_in.enabled()),
      record_pool(std::make_unique<net::MysqlPool>(record_settings(settings_in), record_options())) {}

net::MysqlPool& QueryLoop::pool_for(mysql::Capabilities capabilities, uint8_t collation) {
  auto& pool = pools[{capabilities, collation}];
  if (pool == nullptr) {
    net::MysqlClientSettings client;
    client.address = settings.mysqld;
    client.auth.user = settings.user;
    client.auth.password = settings.password;
    client.auth.database = settings.database;
    client.auth.collation = collation;
    constexpr auto kAlways = mysql::kClientLongPassword | mysql::kClientProtocol41 | mysql::kClientTransactions |
                             mysql::kClientSecureConnection | mysql::kClientMultiResults |
                             mysql::kClientPsMultiResults | mysql::kClientPluginAuth | mysql::kClientConnectAttrs |
                             mysql::kClientPluginAuthLenencData | mysql::kClientSessionTrack;
    client.auth.capabilities = kAlways | capabilities;
    net::MysqlPool::Options options;
    if (group == nullptr) {
      group = std::make_shared<net::PoolGroup>(net::PoolGroup::Options{pool_share, settings.pool_waiters,
                                                                       "--queryserver-config-pool-size",
                                                                       "--queryserver-config-query-pool-waiter-cap"});
    }
    options.group = group;
    options.acquire_timeout = settings.pool_timeout;
    options.idle_timeout = settings.idle_timeout;
    options.max_prepared = kMaxPreparedPerConnection;
    options.name = "connections to the MySQL server";
    options.setup = setup_of(collation);
    pool = std::make_unique<net::MysqlPool>(std::move(client), std::move(options));
  }
  return *pool;
}

net::Task<void> QueryLoop::trim_pools() {
  const auto step = std::clamp<base::Duration>(settings.idle_timeout / 4, 100ms, 10s);
  while ((co_await net::sleep_for(step, scope.token())).ok()) {
    for (auto it = pools.begin(); it != pools.end();) {
      it->second->trim();
      it = it->second->size() == 0 && !it->second->in_use() ? pools.erase(it) : std::next(it);
    }
  }
}

net::Task<bool> QueryLoop::hold_transactions(TransactionHold wanted, base::Duration patience) {
  hold = wanted;
  const net::Wait wait = net::Wait::within(patience, scope.token());
  const auto open = [&] {
    return !prepared.empty() ||
           std::ranges::any_of(sessions, [&](const QuerySession* session) { return session->in_the_way_of(wanted); });
  };
  while (open() && (co_await session_idle.wait(wait)).ok()) {
  }
  co_return open();
}

void QueryLoop::end_later(uint32_t connection) {
  abandoned.push_back({connection, base::system_clock().now()});
  if (!std::exchange(ends_abandoned, true)) scope.spawn(end_abandoned());
}

net::Task<void> QueryLoop::end_abandoned() {
  while (!abandoned.empty() && !scope.stopping()) {
    const Abandoned next = abandoned.front();
    Status ended =
        co_await killer.end_abandoned(next.connection, next.since, net::Wait::within(kForceMax, scope.token()));
    // A server that is not there any more has no connections.
    const bool retry = !ended.ok() && (ended.error().code() == Code::kDeadlineExceeded ||
                                       ended.error().code() == Code::kResourceExhausted);
    if (retry) {
      if (!(co_await net::sleep_for(kAbandonedPause, scope.token())).ok()) break;
      continue;
    }
    abandoned.erase(abandoned.begin());
    session_idle.notify_all();
  }
  ends_abandoned = false;
}

void QueryLoop::give_up() {
  gave_up = base::system_clock().now();
  for (auto& [shape, pool] : pools) pool->abort_loans();
}

bool QueryLoop::silent() const { return base::system_clock().now() - gave_up < kForceMax; }

net::Task<Status> QueryLoop::apply(std::shared_ptr<const ServingState> next, base::Duration grace) {
  const auto previous = std::exchange(state, next);
  hold.reset();
  if (messages != nullptr) messages->wake_all();
  for (QuerySession* session : sessions) {
    if (session->conflicts_with(*next, *previous)) session->grandfather();
  }
  const auto left = [this] {
    return std::any_of(sessions.begin(), sessions.end(), [](const QuerySession* s) { return s->grandfathered(); });
  };
  const net::Wait wait = net::Wait::within(grace);
  bool in_time = true;
  while (left() && in_time) in_time = (co_await session_idle.wait(wait)).ok();
  std::vector<net::Task<void>> ends;
  std::vector<Status> outcomes;
  if (left()) {
    const net::Wait last = net::Wait::within(kForceMax);
    auto end = [](QuerySession* session, net::Wait limit, Status& out) -> net::Task<void> {
      out = co_await session->end_by_force(std::move(limit));
    };
    outcomes.resize(sessions.size());
    size_t count = 0;
    for (QuerySession* session : sessions) {
      if (session->grandfathered()) ends.push_back(end(session, last, outcomes[count++]));
    }
    co_await net::when_all(std::move(ends));
    while (left() && (co_await session_idle.wait(last)).ok()) {
    }
  }
  const bool home = sequences != nullptr && &sequences->home() == &loop;
  Status drained = home ? co_await sequences->apply(next, grace) : Status();
  for (auto& outcome : outcomes) CO_RETURN_IF_ERROR(std::move(outcome));
  CO_RETURN_IF_ERROR(std::move(drained));
  const bool forbids =
      !next->serving || next->target != previous->target || !next->denied_tables.empty() || !next->no_writes.empty();
  CO_RETURN_IF_ERROR(co_await settle_prepared(next, forbids, grace));
  const net::Wait end = net::Wait::within(kForceMax);
  while (forbids && !abandoned.empty() && (co_await session_idle.wait(end)).ok()) {
  }
  if (forbids && !abandoned.empty()) {
    co_return fail(Code::kDeadlineExceeded,
                   "statements that were given up while the MySQL server did not answer may still take effect");
  }
  if (left()) {
    co_return fail(Code::kDeadlineExceeded, "statements that are in the way of the new serving state do not end");
  }
  co_return Status{};
}

net::Task<Status> QueryLoop::kill(uint32_t session, bool connection) {
  net::Loop& caller = loop;
  Status outcome = fail(Code::kNotFound, fmt::format("Unknown thread id: {}", session)).with_mysql(1094, "HY000");
  for (QueryLoop* other : all) {
    co_await other->loop.enter();
    const auto found = std::find_if(other->sessions.begin(), other->sessions.end(),
                                    [&](const QuerySession* s) { return s->id() == session; });
    if (found != other->sessions.end()) {
      if (connection) {
        (*found)->close();
        outcome = Status();
      } else {
        outcome = co_await (*found)->kill_query(net::Wait::within(10s));
      }
      break;
    }
  }
  co_await caller.enter();
  co_return outcome;
}

}  // namespace vitrail::tablet
