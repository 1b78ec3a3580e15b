#include "tablet/query_service.h"

#include <fmt/core.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>

#include "base/log.h"
#include "base/process.h"
#include "base/text.h"
#include "mysql/data_port.h"
#include "mysql/errors.h"
#include "net/carrier.h"
#include "net/mysql_server.h"
#include "net/socket.h"
#include "tablet/query_session.h"

namespace vitrail::tablet {

using namespace std::chrono_literals;

namespace {

// Of connections within this process.
constexpr auto kLocalCapabilities = mysql::kClientLongPassword | mysql::kClientLongFlag | mysql::kClientProtocol41 |
                                    mysql::kClientTransactions | mysql::kClientSecureConnection |
                                    mysql::kClientMultiResults | mysql::kClientPsMultiResults |
                                    mysql::kClientPluginAuth | mysql::kClientDeprecateEof;

// What stops the writes after a hold has to come meanwhile; and if nobody comes, transactions wait no longer.
constexpr auto kHoldOutlasts = 5s;

}  // namespace

struct QueryService::Core {
  Core(QueryServiceSettings settings_in, base::QueryLog& log, base::Metrics& metrics_in)
      : settings(std::move(settings_in)),
        tls(settings.tls, "mysql-data"),
        statement_metrics(metrics_in),
        metrics{metrics_in.counter("DataPortQueries", "statements sent on to the MySQL server"),
                metrics_in.counter("DataPortErrors", "statements that ended with an error"),
                metrics_in.counter("DataPortRefused", "statements refused by the serving state or a rule"),
                metrics_in.counter("DataPortHopelessWaits",
                                   "statements refused at once, since a wait for a connection would have been in vain"),
                metrics_in.counter("ConsolidatedReads",
                                   "reads that waited for a connection and got the answer of an equal one"),
                metrics_in.gauge("DataPortSessions", "sessions of vtgates"),
                metrics_in.gauge("DataPortCarriers", "connections of vtgates that carry many sessions"),
                statement_metrics},
        acl(settings.table_acl, metrics_in),
        rules(settings.rules, metrics_in),
        hot_row_counters(metrics_in),
        limits(settings.transaction_limits, settings.pool_size, metrics_in),
        concurrency(metrics_in),
        memory({settings.session_memory, settings.process_memory, "--queryserver-memory-per-session",
                "--queryserver-memory-limit"},
               metrics_in),
        query_log(log) {
    login.provider = &mysql::allow_everyone();  // Peers are vtgates; the port listens on a private address.
    login.capabilities = mysql::kSupportedCapabilities & ~(mysql::kClientSsl | mysql::kMariadbClientExtendedMetadata |
                                                           mysql::kClientSessionTrack | mysql::kClientMultiStatements);
    if (acl.enabled() || settings.rules.enabled() || limits.enabled()) login.capabilities |= mysql::kVitrailCallers;
  }

  net::Task<void> accept_loop(net::Listener& from);
  net::Task<void> reload_acl();
  net::Task<void> watch_rules();
  static net::Task<void> serve(Core& core, QueryLoop& home, int fd);
  static net::Task<std::optional<mysql::StreamOffer>> serve_session(Core& core, QueryLoop& home, net::Socket& socket);
  static net::Task<void> serve_stream(Core& core, QueryLoop& home, net::Socket socket);
  static net::Task<void> host(QueryLoop& home, int fd, mysql::AuthenticatedClient who, shard::Target target,
                              uint32_t id, bool trusted);

  const QueryServiceSettings settings;
  net::ServerTls tls;
  StatementMetrics statement_metrics;
  QueryMetrics metrics;
  mysql::ServerAuthSettings login;
  mysql::ServerAuthSettings stream_login;  // On a stream of a connection, which has TLS or has not.
  net::Listener listener;
  net::Listener unix_listener;
  uint16_t port = 0;
  TableAclKeeper acl;
  QueryRulesKeeper rules;
  HotRows::Counters hot_row_counters;
  TransactionLimits limits;
  Concurrency::Metrics concurrency;
  Standstill standstill;
  AckDoubt doubt;
  base::MemoryBudget memory;
  base::QueryLog& query_log;
  std::vector<std::unique_ptr<net::LoopThread>> threads;
  std::vector<std::unique_ptr<QueryLoop>> loops;
  std::unique_ptr<net::MysqlPool> sequence_pool;
  std::unique_ptr<Sequences> sequences;
  std::atomic<uint32_t> next_id{1};
  std::atomic<size_t> next_local{0};
  size_t next_loop = 0;  // On the first loop only.
  bool started = false;
};

QueryService::QueryService(QueryServiceSettings settings, base::QueryLog& query_log, base::Metrics& metrics)
    : core_(std::make_unique<Core>(std::move(settings), query_log, metrics)) {}

QueryService::~QueryService() { CHECK(!core_->started); }

uint16_t QueryService::port() const { return core_->port; }

net::Task<void> QueryService::Core::accept_loop(net::Listener& from) {
  QueryLoop& first = *loops.front();
  const net::Wait wait{.cancel = first.scope.token()};
  for (;;) {
    auto fd = co_await from.accept(wait);
    if (!fd.ok()) {
      if (first.scope.stopping()) co_return;
      log_warning("data port: accept failed: {}", fd.error().message());
      if (!(co_await net::sleep_for(100ms, first.scope.token())).ok()) co_return;
      continue;
    }
    QueryLoop& home = *loops[next_loop++ % loops.size()];
    home.loop.post([this, &home, socket = *fd] { home.scope.spawn(serve(*this, home, socket)); });
  }
}

net::Task<void> QueryService::Core::serve(Core& core, QueryLoop& home, int fd) {
  auto socket = net::Socket::adopt(fd);
  if (!socket.ok()) co_return;
  const auto offer = co_await serve_session(core, home, *socket);
  if (!offer) co_return;
  const std::string peer = socket->peer();
  const auto carrier = std::make_shared<net::Carrier>(
      std::move(*socket), offer->window,
      [&core, &home](net::Socket stream) { home.scope.spawn(serve_stream(core, home, std::move(stream))); },
      home.scope.token());
  core.metrics.carriers.add(1);
  Status ended = co_await carrier->run();
  core.metrics.carriers.add(-1);
  static base::LogLimit limit(1s);
  if (!ended.ok() && limit.allow()) {
    log_warning("data port: {} sent what is no frame: {} ({} similar before)", peer, ended.error().message(),
                limit.suppressed());
  }
}

net::Task<void> QueryService::Core::serve_stream(Core& core, QueryLoop& home, net::Socket socket) {
  co_await home.loop.yield();  // The carrier is in the middle of what it has read.
  (void)co_await serve_session(core, home, socket);
}

// From the login to its end, unless the connection is to carry streams: it is `socket` again then.
net::Task<std::optional<mysql::StreamOffer>> QueryService::Core::serve_session(Core& core, QueryLoop& home,
                                                                               net::Socket& socket) {
  const net::Wait wait = net::Wait::within(10s, home.scope.token());
  const uint32_t id = core.next_id.fetch_add(1);
  const bool carried = socket.carried();
  auto login = co_await net::accept_login(std::move(socket), carried ? core.stream_login : core.login,
                                          carried ? nullptr : core.tls.context(), id, size_t{1} << 30, wait);
  if (!login.ok()) {
    static base::LogLimit limit(1s);
    if (login.error().mysql_errno() == mysql::errnos::kClientTlsError && limit.allow()) {
      log_warning("data port: {} ({} similar before)", login.error().message(), limit.suppressed());
    }
    co_return std::nullopt;
  }
  auto target = shard::Target::parse(login->client().database);
  if (!target.ok()) {
    co_await login->refuse({mysql::errnos::kBadDb, "42000", std::move(target).error().message()}, wait);
    co_return std::nullopt;
  }
  if (!(co_await login->accept(mysql::kStatusAutocommit, wait)).ok()) co_return std::nullopt;
  QuerySession session(home, std::move(login->stream()), login->client(), std::move(*target), id);
  co_await session.run();
  if (session.streams()) socket = session.take_socket();
  co_return session.streams();
}

net::Task<void> QueryService::Core::reload_acl() {
  while ((co_await net::sleep_for(settings.table_acl.reload_interval, loops.front()->scope.token())).ok()) acl.reload();
}

net::Task<void> QueryService::Core::watch_rules() {
  while ((co_await net::sleep_for(1s, loops.front()->scope.token())).ok()) rules.reload();
}

net::Task<void> QueryService::Core::host(QueryLoop& home, int fd, mysql::AuthenticatedClient who, shard::Target target,
                                         uint32_t id, bool trusted) {
  auto socket = net::Socket::adopt(fd);
  if (!socket.ok()) co_return;
  QuerySession session(home, net::PacketStream(std::move(*socket), size_t{1} << 30), std::move(who), std::move(target),
                       id);
  if (trusted) session.set_trusted();
  co_await session.run();
}

Result<net::MysqlClient> QueryService::open(shard::Target target, uint8_t collation, bool trusted) {
  Core& core = *core_;
  if (!core.started) return fail(Code::kUnavailable, "the query service does not run");
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) {
    return fail(Code::kResourceExhausted, "no descriptors are left for another session");
  }
  auto ours = net::Socket::adopt(pair[0]);
  if (!ours.ok()) {
    ::close(pair[1]);
    return std::move(ours).error();
  }
  mysql::AuthenticatedClient who;
  who.user = "grpc";
  who.capabilities = kLocalCapabilities;
  who.collation = collation;
  QueryLoop& home = *core.loops[core.next_local.fetch_add(1) % core.loops.size()];
  home.loop.post([&home, fd = pair[1], who = std::move(who), target = std::move(target), id = core.next_id.fetch_add(1),
                  trusted]() mutable {
    if (home.scope.stopping()) {
      ::close(fd);
    } else {
      home.scope.spawn(Core::host(home, fd, std::move(who), std::move(target), id, trusted));
    }
  });
  return net::MysqlClient::over(net::PacketStream(std::move(*ours), size_t{1} << 30), kLocalCapabilities);
}

net::Task<Status> QueryService::start() {
  Core& core = *core_;
  net::Loop& caller = *net::Loop::current();
  base::raise_descriptor_limit();
  CO_RETURN_IF_ERROR(core.query_log.open(core.settings.query_log));
  CO_RETURN_IF_ERROR(core.acl.load());
  CO_RETURN_IF_ERROR(core.rules.load());
  CO_RETURN_IF_ERROR(core.tls.load());
  core.stream_login = core.login;
  core.login.tls_available = core.tls.enabled();
  core.login.require_secure_transport = core.tls.required();
  CO_ASSIGN_OR_RETURN(core.listener, net::Listener::listen_tcp(core.settings.host, core.settings.port));
  core.port = core.listener.port();
  if (!core.settings.unix_socket.empty()) {
    CO_ASSIGN_OR_RETURN(core.unix_listener, net::Listener::listen_unix(core.settings.unix_socket));
  }
  for (int i = 0; i < std::max(core.settings.loops, 1); ++i) {
    core.threads.push_back(std::make_unique<net::LoopThread>(fmt::format("query-{}", i)));
  }
  net::Loop& first = core.threads.front()->loop();
  net::MysqlClientSettings client;
  client.address = core.settings.mysqld;
  client.auth.user = core.settings.dba_user;
  client.auth.password = core.settings.dba_password;
  client.auth.database = core.settings.database;
  net::MysqlPool::Options options;
  options.max_connections = 4;
  options.name = "connections for sequences";
  core.sequence_pool = std::make_unique<net::MysqlPool>(std::move(client), std::move(options));
  core.sequences = std::make_unique<Sequences>(first, *core.sequence_pool, core.doubt);
  for (auto& thread : core.threads) {
    core.loops.push_back(std::make_unique<QueryLoop>(core.settings, thread->loop(), core.metrics, core.sequences.get(),
                                                     core.doubt, core.hot_row_counters, core.limits, core.concurrency));
    core.loops.back()->query_log = &core.query_log;
    core.loops.back()->acl = &core.acl;
    core.loops.back()->rules = &core.rules;
    core.loops.back()->standstill = &core.standstill;
    core.loops.back()->memory = &core.memory;
    core.loops.back()->pool_share = std::max<size_t>(core.settings.pool_size / core.threads.size(), 1);
    core.loops.back()->concurrency.set_most(core.loops.back()->pool_share);
    Messages::Settings messages;
    messages.login = {core.settings.mysqld, core.settings.dba_user, core.settings.dba_password, core.settings.sidecar};
    messages.database = core.settings.database;
    messages.open = [this](shard::Target target, uint8_t collation) {
      return open(std::move(target), collation, true);
    };
    core.loops.back()->messages = std::make_unique<Messages>(std::move(messages), core.loops.back()->scope);
  }
  for (auto& loop : core.loops) {
    for (auto& other : core.loops) loop->all.push_back(other.get());
  }
  QueryLoop& home = *core.loops.front();
  core.sequences->set_ends({&home.killer, [&home](uint32_t connection) { home.end_later(connection); }});
  core.started = true;
  for (auto& loop : core.loops) {
    co_await loop->loop.enter();
    loop->scope.spawn(loop->trim_pools());
  }
  co_await first.enter();
  core.loops.front()->scope.spawn(core.accept_loop(core.listener));
  if (!core.settings.unix_socket.empty()) core.loops.front()->scope.spawn(core.accept_loop(core.unix_listener));
  if (core.acl.enabled() && core.settings.table_acl.reload_interval > base::Duration::zero()) {
    core.loops.front()->scope.spawn(core.reload_acl());
  }
  core.loops.front()->scope.spawn(core.loops.front()->messages->purge_all([&home]() -> std::optional<shard::Target> {
    const ServingState& state = *home.state;
    if (!state.serving || state.target.tablet_type != "primary" || !state.no_writes.empty()) return std::nullopt;
    return state.target;
  }));
  if (!core.settings.rules.file.empty() && core.settings.rules.watch)
    core.loops.front()->scope.spawn(core.watch_rules());
  co_await caller.enter();
  co_return Status{};
}

QueryRulesKeeper& QueryService::rules() { return core_->rules; }

Standstill& QueryService::standstill() { return core_->standstill; }

std::vector<QueryService::QueryUse> QueryService::query_uses() const {
  std::map<std::string, QueryUse> uses;
  for (const auto& loop : core_->loops) {
    for (const auto& info : loop->guard.known()) {
      if (info->normalized.empty()) continue;
      QueryUse& use = uses[info->normalized];
      use.query = info->normalized;
      use.table = info->tables.empty() ? "" : info->tables.front().name;
      use.plan = sql::statement_kind_name(info->kind);
      use.count += info->count.load();
    }
  }
  std::vector<QueryUse> out;
  for (auto& [text, use] : uses) out.push_back(std::move(use));
  return out;
}

std::map<std::string, uint64_t> QueryService::hot_rows() const {
  std::map<std::string, uint64_t> out;
  for (const auto& loop : core_->loops) {
    for (const auto& [row, count] : loop->hot_rows.seen()) out[row] += count;
  }
  return out;
}

std::map<std::string, uint64_t> QueryService::shared_reads() const {
  std::map<std::string, uint64_t> out;
  for (const auto& loop : core_->loops) {
    for (const auto& [query, count] : loop->shared_reads.seen()) out[query] += count;
  }
  return out;
}

std::string QueryService::concurrency_json() const {
  return fmt::format(R"({{"enabled":{},"limit":{},"connections":{},"waits":{},"refused":{}}})"
                     "\n",
                     core_->settings.concurrency.enabled, core_->concurrency.limit.value(), core_->settings.pool_size,
                     core_->concurrency.waits.value(), core_->concurrency.refused.value());
}

net::Task<Status> QueryService::apply(std::shared_ptr<const ServingState> state, base::Duration grace) {
  net::Loop& caller = *net::Loop::current();
  // All loops at the same time: the fence is up when the last of them has it.
  auto one = [](QueryLoop& loop, net::Loop& home, std::shared_ptr<const ServingState> next, base::Duration limit,
                Status& out) -> net::Task<void> {
    co_await loop.loop.enter();
    Status applied = co_await loop.apply(std::move(next), limit);
    co_await home.enter();
    out = std::move(applied);
  };
  std::vector<Status> outcomes(core_->loops.size());
  std::vector<net::Task<void>> tasks;
  for (size_t i = 0; i < core_->loops.size(); ++i) {
    tasks.push_back(one(*core_->loops[i], caller, state, grace, outcomes[i]));
  }
  co_await net::when_all(std::move(tasks));
  for (auto& outcome : outcomes) CO_RETURN_IF_ERROR(std::move(outcome));
  co_return Status{};
}

net::Task<bool> QueryService::hold_transactions(std::vector<std::string> tables, base::Duration patience) {
  std::ranges::sort(tables);
  const TransactionHold hold{std::move(tables), base::system_clock().now() + patience + kHoldOutlasts};
  net::Loop& caller = *net::Loop::current();
  auto one = [](QueryLoop& loop, net::Loop& home, TransactionHold wanted, base::Duration limit,
                std::atomic<bool>& out) -> net::Task<void> {
    co_await loop.loop.enter();
    if (co_await loop.hold_transactions(std::move(wanted), limit)) out = true;
    co_await home.enter();
  };
  std::atomic<bool> open = false;
  std::vector<net::Task<void>> tasks;
  for (auto& loop : core_->loops) tasks.push_back(one(*loop, caller, hold, patience, open));
  co_await net::when_all(std::move(tasks));
  co_return open;
}

net::Task<void> QueryService::give_up() {
  net::Loop& caller = *net::Loop::current();
  for (auto& loop : core_->loops) {
    co_await loop->loop.enter();
    loop->give_up();
  }
  co_await caller.enter();
}

net::Task<Status> QueryService::recover_prepared(net::Wait wait) {
  net::Loop& caller = *net::Loop::current();
  QueryLoop& home = *core_->loops.front();
  co_await home.loop.enter();
  Status recovered = co_await home.recover_prepared(std::move(wait));
  co_await caller.enter();
  co_return recovered;
}

net::Task<Status> QueryService::finish_prepared(std::string dtid, bool commit, net::Wait wait) {
  net::Loop& caller = *net::Loop::current();
  QueryLoop& home = *core_->loops.front();
  co_await home.loop.enter();
  Status finished = co_await home.finish_prepared(std::move(dtid), commit, std::move(wait));
  co_await caller.enter();
  co_return finished;
}

net::Task<Result<bool>> QueryService::decide(std::string dtid, net::Wait wait) {
  net::Loop& caller = *net::Loop::current();
  QueryLoop& home = *core_->loops.front();
  co_await home.loop.enter();
  auto decided = co_await home.decide(std::move(dtid), std::move(wait));
  co_await caller.enter();
  co_return decided;
}

net::Task<std::vector<std::string>> QueryService::take_concluded() {
  net::Loop& caller = *net::Loop::current();
  std::vector<std::string> all;
  for (auto& loop : core_->loops) {
    co_await loop->loop.enter();
    for (auto& dtid : std::exchange(loop->concluded, {})) all.push_back(std::move(dtid));
  }
  co_await caller.enter();
  co_return all;
}

net::Task<Status> QueryService::write_records(std::vector<std::string> statements, net::Wait wait) {
  net::Loop& caller = *net::Loop::current();
  QueryLoop& home = *core_->loops.front();
  co_await home.loop.enter();
  auto written = co_await home.write_records(std::move(statements), std::move(wait));
  co_await caller.enter();
  co_return written.ok() ? Status() : Status(std::move(written).error());
}

net::Task<void> QueryService::reset_sequences() {
  net::Loop& caller = *net::Loop::current();
  co_await core_->sequences->home().enter();
  core_->sequences->reset();
  co_await caller.enter();
}

Status QueryService::reload() {
  core_->acl.reload();
  core_->rules.reload();
  return core_->tls.load();
}

net::Task<void> QueryService::stop() {
  Core& core = *core_;
  if (!core.started) co_return;
  net::Loop& caller = *net::Loop::current();
  for (size_t i = 0; i < core.loops.size(); ++i) {
    QueryLoop& loop = *core.loops[i];
    co_await loop.loop.enter();
    loop.scope.request_stop();
    for (QuerySession* session : loop.sessions) session->close();
    co_await loop.scope.join();
    for (auto& [dtid, transaction] : loop.prepared) transaction->lease.discard();
    loop.prepared.clear();  // Their records stay.
    loop.record_pool->close();
    for (auto& [shape, pool] : loop.pools) pool->close();
    loop.pools.clear();
    loop.kill_pool.close();
    if (i == 0) {
      core.listener.close();
      core.unix_listener.close();
    }
    co_await caller.enter();
  }
  co_await core.loops.front()->loop.enter();
  core.sequences.reset();  // The other loops' sessions used them to the last.
  core.sequence_pool.reset();
  co_await caller.enter();
  core.started = false;
  core.threads.clear();
  core.loops.clear();
}

}  // namespace vitrail::tablet
