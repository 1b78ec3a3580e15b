#include "gate/gate.h"

#include <fmt/core.h>

#include <atomic>
#include <cstdlib>

#include "base/file.h"
#include "base/free_memory.h"
#include "base/log.h"
#include "base/process.h"
#include "base/settings.h"
#include "gate/grpc_service.h"
#include "gate/mirror.h"
#include "gate/server_version.h"
#include "gate/session.h"
#include "mysql/auth_static.h"
#include "mysql/collations.h"
#include "mysql/errors.h"
#include "net/mysql_server.h"
#include "net/socket.h"
#include "rpc/server.h"

namespace vitrail::gate {

using namespace std::chrono_literals;

void declare(base::Settings& settings, Options& options) {
  auto& serving = options.serving;
  settings.add("mysql_server_port", &serving.mysql_port, "port on which to speak the MySQL protocol");
  settings.add("mysql_server_bind_address", &serving.host, "address of that port");
  settings.add("mysql_server_socket_path", &serving.mysql_socket, "unix socket to listen on too; empty: none");
  settings.add("mysql_server_version", &serving.server_version,
               "server version told to clients; empty: that of the tablets' servers");
  settings.add("cell", &serving.cell, "cell this vtgate runs in").required();
  settings.add("cells_to_watch", &options.discovery.cells_to_watch, "cells whose tablets to use; empty: the own cell");
  if (const char* root = std::getenv("VTDATAROOT"); root != nullptr && *root != '\0') {
    options.discovery.topo_cache_dir = std::string(root) + "/topo_cache";
  }
  settings.add("topo_cache_dir", &options.discovery.topo_cache_dir,
               "folder for the last known state of the topology, to start from while it cannot be reached; empty: none "
               "(default: topo_cache in VTDATAROOT, where that is set)");
  settings.add("tablet_types_to_wait", &options.tablet_types_to_wait,
               "types of which every shard must have a tablet before "
               "clients are let in");
  settings.add("gateway_initial_tablet_timeout", &options.initial_tablet_timeout, "how long to wait for them");
  settings.add("mysql_auth_server_impl", &options.auth, "who may log in: none (everybody) or static")
      .one_of({"none", "static"});
  settings.add(
      "mysql_server_allow_insecure", &options.allow_insecure,
      "listen on more than the loopback address although everybody may log in (--mysql-auth-server-impl none)");
  settings.add("mysql_auth_server_static_file", &options.auth_static_file, "JSON file with users and passwords");
  settings.add("mysql_auth_server_static_string", &options.auth_static_string, "the same as text");
  settings.add("mysql_auth_static_reload_interval", &options.auth_reload_interval, "how often to read that file again");
  settings.add("mysql_allow_clear_text_without_tls", &options.clear_text_without_tls,
               "let the plugin mysql_clear_password send passwords over connections without TLS");
  net::declare_server_tls(settings, "mysql_server", "MySQL port", options.mysql_tls);
  auto& tablets = options.tablet_mysql_tls;
  settings.add("tablet_mysql_ssl_ca", &tablets.files.ca_file,
               "data ports of tablets: authorities of their certificates (PEM); with it connections use TLS");
  settings.add("tablet_mysql_ssl_cert", &tablets.files.certificate_file,
               "data ports of tablets: our certificate (PEM), for tablets that ask for one");
  settings.add("tablet_mysql_ssl_key", &tablets.files.key_file, "data ports of tablets: key of that certificate");
  settings.add("tablet_mysql_server_name", &tablets.files.server_name,
               "data ports of tablets: name that their certificates must bear, when not the host name");
  settings.add("grpc_port", &options.grpc_port, "port of the gRPC service vtgateservice.Vitess; 0: none");
  settings.add("grpc_bind_address", &options.grpc_host, "address of that port");
  settings.add("grpc_session_timeout", &options.grpc_session_timeout,
               "gRPC: an open transaction without a call for longer is rolled back");
  rpc::declare(settings, options.grpc_security);
  settings.add("gateway_loops", &serving.loops, "event loops that serve clients");
  settings
      .add_parsed(
          "transaction_mode", "string",
          [single = serving.single_shard, twice = serving.two_phase](std::string_view mode) -> Status {
            *single = mode == "SINGLE";
            *twice = mode == "TWOPC";
            return {};
          },
          [single = serving.single_shard, twice = serving.two_phase] {
            return std::string(*single ? "SINGLE" : *twice ? "TWOPC" : "MULTI");
          },
          "whether a transaction may span shards, and whether it is committed in two phases then")
      .one_of({"SINGLE", "MULTI", "TWOPC"})
      .live();
  settings.add("discovery_low_replication_lag", &options.discovery.lag->low,
               "a replica that lags no more is always used");
  settings.add("discovery_high_replication_lag", &options.discovery.lag->high, "a replica that lags more is never used")
      .alias("discovery_high_replication_lag_minimum_serving");
  settings
      .add("discovery_min_number_serving_vttablets", &options.discovery.lag->count_min,
           "while fewer replicas of a shard lag little, the best of the others are used, too")
      .alias("min_number_serving_vttablets");
  settings
      .add("query_timeout", &serving.query_timeout,
           "longest time for one statement, as a duration or in milliseconds; 0: none")
      .bare_number(1ms);
  settings.add("mysql_server_query_timeout", &options.mysql_query_timeout,
               "the same; the shorter one of the two holds");
  settings.add(
      "warn_sharded_only", &serving.warn_sharded_only,
      "SHOW WARNINGS tells of statements that an unsharded keyspace took and a sharded one would refuse by their "
      "kind (CALL, LOAD DATA, LOCK TABLES ...)");
  settings.add("vtgate_config_terse_errors", &serving.terse_errors,
               "errors of MySQL servers are told by their numbers, without texts, which may hold values of rows");
  settings.add("no_scatter", &serving.no_scatter,
               "refuse statements that go to all shards, but those with /*vt+ ALLOW_SCATTER */");
  settings.add("max_memory_rows", &serving.max_memory_rows, "rows a statement over several shards may hold here")
      .unit("rows");
  settings.add(
      "scratch_tablet_types", &serving.scratch.tablet_types,
      "tablets in whose servers' temporary tables a statement over several shards may be finished, the best first");
  settings
      .add("scratch_max_rows", &serving.scratch.max_rows,
           "rows that one statement may have copied to such a server, of all its tables together")
      .unit("rows");
  settings.add("scratch_max_bytes", &serving.scratch.max_bytes, "the same, in bytes").unit("bytes");
  settings.add("scratch_timeout", &serving.scratch.timeout, "longest time for a statement on such a server");
  settings.add("scratch_max_sessions", &serving.scratch.max_sessions,
               "statements that may be finished so at the same time, per event loop");
  settings.add("mysql_server_max_connections", &serving.max_connections, "client connections");
  settings.add("connections_per_tablet", &serving.connections_per_tablet, "connections to one tablet, per event loop");
  settings.add("tablet_streams", &serving.tablet_streams,
               "sessions share few connections to a tablet, as streams; false: each has a connection of its own");
  settings
      .add("memory_per_session", &serving.session_memory,
           "bytes that may be held for one client: rows of several shards, long data, prepared statements; 0: no limit")
      .unit("bytes");
  settings.add("memory_limit", &serving.process_memory, "bytes that may be held for all clients together; 0: no limit")
      .unit("bytes");
  settings.add("connection_timeout", &serving.connection_timeout, "longest wait for a connection to a tablet");
  settings.add("connection_waiters", &serving.connection_waiters,
               "statements that may wait for a connection to one tablet, per event loop");
  settings.add("connection_idle_timeout", &serving.connection_idle_timeout,
               "connections to tablets that were not used for longer are closed");
  settings.add("lost_tablet_timeout", &serving.lost_tablet_timeout,
               "statements on a tablet that was not heard of for longer are ended");
  settings.add("gate_query_cache_size", &serving.plan_cache_size, "plans kept per event loop");
  settings.add("enable_buffer", &serving.enable_buffer, "hold statements while a shard is being switched");
  settings.add("buffer_window", &serving.buffer_window, "how long a statement may be held");
  settings.add("buffer_size", &serving.buffer_size, "statements held at the same time, per event loop");
  settings.add("schema_change_signal", &options.discovery.track_schema,
               "learn the columns of tables from the tablets, and follow their changes (/debug/vschema shows them)");
  settings.add("vschema_ddl_authorized_users", &serving.vschema_users,
               "users who may change vschemas with ALTER VSCHEMA; %: everybody");
  settings.add("process_users", &serving.process_users,
               "users who may see the sessions of others in SHOW PROCESSLIST, and end them with KILL; %: everybody");
  settings.add("log_queries_to_file", &serving.query_log,
               "file that gets a line for each statement (holds users' data)");
  settings.add("healthcheck_timeout", &options.discovery.healthcheck_timeout, "a tablet silent for longer is not used");
}

namespace {

// Strangers are kept out by users, by client certificates that everybody needs, or by nobody else's being able to reach
// the port.
Status check_reach(const Options& options) {
  const bool certificates = options.mysql_tls.required && !options.mysql_tls.files.ca_file.empty();
  if (options.auth != "none" || certificates || rpc::is_loopback(options.serving.host)) return {};
  if (options.allow_insecure) {
    log_warning("everybody who reaches {} may log in (--mysql-server-allow-insecure)", options.serving.host);
    return {};
  }
  return fail(Code::kFailedPrecondition,
              fmt::format("--mysql-server-bind-address {} is not a loopback address, and everybody may log in "
                          "(--mysql-auth-server-impl none): give --mysql-auth-server-impl static with users, or "
                          "--mysql-server-ssl-ca with --mysql-server-require-secure-transport, or "
                          "--mysql-server-allow-insecure when the network keeps strangers out",
                          options.serving.host.empty() ? "''" : options.serving.host));
}

}  // namespace

struct Gate::Core {
  Core(Options options_in, topo::Server& topology_in, base::Metrics& registry_in)
      : options(with_limits(std::move(options_in))),
        topology(topology_in),
        registry(registry_in),
        statistics(registry),
        metrics{queries, registry.counter("QueryErrors", "statements that ended with an error"),
                registry.counter("BufferRequestsEvicted", "held statements that got an error in the end"),
                registry.gauge("MysqlServerConnCount", "client connections"), statistics},
        accepted_connections(registry.counter("MysqlServerConnAccepted", "clients that connected")),
        refused_connections(registry.counter("MysqlServerConnRefused", "clients that were refused")),
        tls_failures(registry.counter("MysqlServerTlsFailures", "logins given up because TLS could not begin")),
        memory(
            {options.serving.session_memory, options.serving.process_memory, "--memory-per-session", "--memory-limit"},
            registry),
        tls(options.mysql_tls, "mysql-server"),
        discovery(topology, with_cell(options),
                  [this](std::shared_ptr<const View> view) { hand_out(std::move(view)); }) {
    health_metric = registry.gauges_function("HealthcheckConnections", "healthy tablets by target",
                                             {"keyspace", "shard", "type"}, [this] { return health_samples(); });
  }

  static Options with_limits(Options options) {
    base::Duration& limit = options.serving.query_timeout;
    const base::Duration other = options.mysql_query_timeout;
    if (other > base::Duration::zero() && (limit <= base::Duration::zero() || other < limit)) limit = other;
    return options;
  }

  static Discovery::Options with_cell(const Options& options) {
    Discovery::Options out = options.discovery;
    out.cell = options.serving.cell;
    if (out.cells_to_watch.empty()) out.cells_to_watch = {out.cell};
    return out;
  }

  void hand_out(std::shared_ptr<const View> view) {
    if (view->vschema_version != vschema_version && view->vschema != nullptr) statistics.vschema_reloads.add();
    vschema_version = view->vschema_version;
    for (const auto& [text, endpoints] : view->endpoints) {
      const auto target = shard::Target::parse(text);
      if (!target.ok() || target->tablet_type != "primary" || endpoints.empty()) continue;
      std::string& known = primaries[text];
      if (!known.empty() && known != endpoints.front().alias) {
        statistics.primaries_promoted.with({target->keyspace, target->shard}).add();
      }
      known = endpoints.front().alias;
    }
    {
      const std::scoped_lock lock(view_mutex);
      newest = view;
    }
    for (auto& loop : loops) loop->loop.post([&gate = *loop, view] { gate.set_view(view); });
  }

  std::vector<base::Metrics::Sample> health_samples() {
    std::shared_ptr<const View> view;
    {
      const std::scoped_lock lock(view_mutex);
      view = newest;
    }
    std::vector<base::Metrics::Sample> samples;
    if (view == nullptr) return samples;
    for (const auto& [text, count] : view->healthy) {
      if (auto target = shard::Target::parse(text); target.ok()) {
        samples.push_back({{target->keyspace, target->shard, target->tablet_type}, count});
      }
    }
    return samples;
  }

  Status load_users();
  Result<std::shared_ptr<const net::TlsContext>> tablet_tls() const;
  net::Task<void> reload_users();
  // Asks one tablet what its server is. False: there was none to ask.
  net::Task<bool> learn_server_version(net::Wait wait);
  net::Task<void> follow_server_version();
  net::Task<void> accept_loop(net::Listener& from);
  net::Task<void> serve(GateLoop& home, int fd);
  net::Task<std::unique_ptr<ClientSession>> log_in(GateLoop& home, int fd);
  net::Task<void> housekeeping(GateLoop& loop);
  Status start_grpc();

  const Options options;
  topo::Server& topology;
  base::Metrics& registry;
  Statistics statistics;
  base::Counter queries;  // Of clients, for COM_STATISTICS. By plan they are metrics.
  GateMetrics metrics;
  base::Counter& accepted_connections;
  base::Counter& refused_connections;
  base::Counter& tls_failures;
  base::MemoryBudget memory;
  base::FreeMemory free_memory;  // Of the first loop.
  net::ServerTls tls;
  uint64_t vschema_version = 0;                  // With `primaries`: of the newest view; on the control loop.
  std::map<std::string, std::string> primaries;  // Target -> alias of the last primary known.
  base::QueryLog query_log;
  std::vector<std::unique_ptr<net::LoopThread>> threads;
  std::vector<std::unique_ptr<GateLoop>> loops;
  mysql::ServerAuthSettings login;
  // Read by logins on every loop, replaced by reloads; old ones are kept until the end since logins may still use them.
  struct Provider final : mysql::AuthProvider {
    std::vector<mysql::Credentials> find_user(std::string_view user, const mysql::Peer& peer) const override {
      return users.load()->find_user(user, peer);
    }
    std::atomic<std::shared_ptr<const mysql::StaticCredentials>> users;
  } provider;
  std::atomic<std::shared_ptr<const std::string>> server_version;  // What greetings say. Any loop.
  std::shared_ptr<const net::TlsContext> tablets_tls;
  std::mutex view_mutex;
  std::shared_ptr<const View> newest;
  rpc::ChannelPool tablet_rpcs{options.discovery.tablets};
  Discovery discovery;
  base::Metrics::Subscription health_metric;
  net::Listener listener;
  net::Listener unix_listener;
  rpc::ServerOptions grpc_options;
  std::unique_ptr<GrpcService> service;  // On the first loop.
  std::unique_ptr<rpc::Server> grpc;     // Null: not started.
  uint16_t port = 0;
  std::atomic<uint32_t> next_id{1};
  size_t next_loop = 0;
  bool started = false;
  std::atomic<bool> ready = false;  // The loops are there, and stay until stop().
  net::Scope control_scope;
};

Gate::Gate(Options options, topo::Server& topology, base::Metrics& metrics)
    : core_(std::make_unique<Core>(std::move(options), topology, metrics)) {}

Gate::~Gate() { CHECK(!core_->started); }

uint16_t Gate::mysql_port() const { return core_->port; }

Status Gate::Core::load_users() {
  std::string text = options.auth_static_string;
  if (!options.auth_static_file.empty()) {
    ASSIGN_OR_RETURN(text, base::read_file(options.auth_static_file));
  }
  auto users = mysql::StaticCredentials::parse(text);
  if (!users.ok()) return std::move(users).error().with_context("--mysql_auth_server_static_file");
  std::shared_ptr<const mysql::StaticCredentials> shared =
      std::make_shared<mysql::StaticCredentials>(std::move(*users));
  provider.users.store(std::move(shared));
  return {};
}

Result<std::shared_ptr<const net::TlsContext>> Gate::Core::tablet_tls() const {
  net::ClientTlsOptions wanted = options.tablet_mysql_tls;
  if (!wanted.files.ca_file.empty()) wanted.mode = net::TlsMode::kVerifyIdentity;
  if (wanted.mode == net::TlsMode::kDisabled &&
      !(wanted.files.certificate_file.empty() && wanted.files.key_file.empty() && wanted.files.server_name.empty())) {
    return fail(Code::kInvalidArgument,
                "--tablet-mysql-ssl-cert, --tablet-mysql-ssl-key and --tablet-mysql-server-name need "
                "--tablet-mysql-ssl-ca");
  }
  auto context = net::TlsContext::for_client(wanted);
  if (!context.ok()) return std::move(context).error().with_context("--tablet-mysql-ssl-*");
  return context;
}

net::Task<void> Gate::Core::reload_users() {
  while ((co_await net::sleep_for(options.auth_reload_interval, control_scope.token())).ok()) {
    if (Status loaded = load_users(); !loaded.ok()) log_warning("users stay as they are: {}", loaded.error().message());
  }
}

net::Task<bool> Gate::Core::learn_server_version(net::Wait wait) {
  std::shared_ptr<const View> view;
  {
    const std::scoped_lock lock(view_mutex);
    view = newest;
  }
  if (view == nullptr) co_return false;
  // Clients that name no keyspace talk to the default one; else any primary, else anybody.
  const Endpoint* chosen = nullptr;
  shard::Target chosen_target;
  int best = -1;
  for (const auto& [text, endpoints] : view->endpoints) {
    const auto target = shard::Target::parse(text);
    if (!target.ok() || endpoints.empty()) continue;
    const int rank =
        (target->keyspace == options.serving.default_keyspace ? 2 : 0) + (target->tablet_type == "primary" ? 1 : 0);
    if (rank <= best) continue;
    best = rank;
    chosen = &endpoints.front();
    chosen_target = *target;
  }
  if (chosen == nullptr) co_return false;
  auto version = co_await ask_greeting_version(tablet_login(*chosen, chosen_target, tablets_tls), wait);
  if (!version.ok()) co_return false;
  if (*version != *server_version.load()) {
    log_info("clients are told that the server is {}", *version);
    std::shared_ptr<const std::string> shared = std::make_shared<std::string>(std::move(*version));
    server_version.store(std::move(shared));
  }
  co_return true;
}

net::Task<void> Gate::Core::follow_server_version() {
  // Servers are replaced by newer ones now and then.
  base::Duration pause = 200ms;
  while ((co_await net::sleep_for(pause, control_scope.token())).ok()) {
    const bool known = co_await learn_server_version(net::Wait::within(5s, control_scope.token()));
    pause = known ? base::Duration(60s) : std::min<base::Duration>(pause * 2, 5s);
  }
}

net::Task<void> Gate::Core::accept_loop(net::Listener& from) {
  GateLoop& first = *loops.front();
  const net::Wait wait{.cancel = first.scope.token()};
  for (;;) {
    auto fd = co_await from.accept(wait);
    if (!fd.ok()) {
      if (first.scope.stopping()) co_return;
      if (!(co_await net::sleep_for(100ms, first.scope.token())).ok()) co_return;
      continue;
    }
    GateLoop& home = *loops[next_loop++ % loops.size()];
    home.loop.post([this, &home, socket = *fd] { home.scope.spawn(serve(home, socket)); });
  }
}

net::Task<void> Gate::Core::serve(GateLoop& home, int fd) {
  // What the login needs is gone before the session, which may live for long.
  accepted_connections.add();
  const std::unique_ptr<ClientSession> session = co_await log_in(home, fd);
  if (session == nullptr) {
    refused_connections.add();
    co_return;
  }
  co_await session->run();
}

// Null: the client was refused, or left.
net::Task<std::unique_ptr<ClientSession>> Gate::Core::log_in(GateLoop& home, int fd) {
  auto socket = net::Socket::adopt(fd);
  if (!socket.ok()) co_return nullptr;
  const net::Wait wait = net::Wait::within(10s, home.scope.token());
  const uint32_t id = next_id.fetch_add(1);
  mysql::ServerAuthSettings greeting = login;
  greeting.server_version = *server_version.load();
  auto accepted =
      co_await net::accept_login(std::move(*socket), greeting, tls.context(), id, options.serving.max_message, wait);
  if (!accepted.ok()) {
    if (accepted.error().mysql_errno() != mysql::errnos::kClientTlsError) co_return nullptr;
    tls_failures.add();
    static base::LogLimit limit(1s);
    if (limit.allow()) log_warning("{} ({} similar before)", accepted.error().message(), limit.suppressed());
    co_return nullptr;
  }
  if (static_cast<size_t>(metrics.connections.value()) >= options.serving.max_connections) {
    co_await accepted->refuse({mysql::errnos::kConCount, "08004", "Too many connections"}, wait);
    co_return nullptr;
  }
  if (const auto* collation = mysql::find_collation(accepted->client().collation)) {
    if (Status usable = mysql::check_client_charset(collation->charset); !usable.ok()) {
      co_await accepted->refuse(mysql::to_err_packet(usable.error()), wait);
      co_return nullptr;
    }
  }
  auto session = std::make_unique<ClientSession>(home, std::move(accepted->stream()), accepted->client(), id);
  if (!accepted->client().database.empty()) {
    if (Status target = session->set_target(accepted->client().database); !target.ok()) {
      co_await session->refuse_login(*accepted, mysql::to_err_packet(target.error()));
      co_return nullptr;
    }
  }
  co_await session->accept_login(*accepted);
  co_return session;
}

net::Task<void> Gate::Core::housekeeping(GateLoop& loop) {
  constexpr base::Duration kStep = 1s;
  const auto often = std::min<base::Duration>(10s, options.grpc_session_timeout);
  auto next = base::system_clock().now() + often;
  while ((co_await net::sleep_for(std::min(kStep, often), loop.scope.token())).ok()) {
    loop.end_lost();
    if (base::system_clock().now() < next) continue;
    next = base::system_clock().now() + often;
    loop.trim();
    if (&loop == loops.front().get()) free_memory.look();
    if (service != nullptr && &loop == loops.front().get()) service->trim();
  }
}

// On the first loop.
Status Gate::Core::start_grpc() {
  service =
      std::make_unique<GrpcService>(*loops.front(), next_id, options.grpc_session_timeout, options.discovery.tablets);
  auto made = std::make_unique<rpc::Server>(std::move(grpc_options));
  service->register_handlers(*made);
  RETURN_IF_ERROR(made->start());
  grpc = std::move(made);
  return {};
}

net::Task<Status> Gate::start() {
  Core& core = *core_;
  net::Loop& caller = *net::Loop::current();
  base::raise_descriptor_limit();
  CO_RETURN_IF_ERROR(core.query_log.open(core.options.serving.query_log));
  const bool version_given = !core.options.serving.server_version.empty();
  std::shared_ptr<const std::string> version = std::make_shared<std::string>(
      version_given ? core.options.serving.server_version : std::string(kUnknownServerVersion));
  core.login.server_version = *version;
  core.server_version.store(std::move(version));
  core.login.capabilities = mysql::kSupportedCapabilities &
                            ~(mysql::kClientSsl | mysql::kMariadbClientExtendedMetadata | mysql::kClientSessionTrack);
  if (core.options.grpc_session_timeout <= base::Duration::zero()) {
    co_return fail(Code::kInvalidArgument, "--grpc-session-timeout must be longer than 0");
  }
  if (core.options.grpc_port != 0) {
    core.grpc_options.host = core.options.grpc_host;
    core.grpc_options.port = core.options.grpc_port;
    core.grpc_options.metrics = &core.registry;
    CO_RETURN_IF_ERROR(rpc::secure(core.options.grpc_security, core.grpc_options));
  }
  CO_RETURN_IF_ERROR(check_reach(core.options));
  CO_RETURN_IF_ERROR(core.tls.load());
  core.login.tls_available = core.tls.enabled();
  core.login.require_secure_transport = core.tls.required();
  core.login.allow_cleartext_without_tls = core.options.clear_text_without_tls;
  CO_ASSIGN_OR_RETURN(const auto tablet_tls, core.tablet_tls());
  if (core.options.auth == "static") {
    CO_RETURN_IF_ERROR(core.load_users());
    core.login.provider = &core.provider;
    CO_ASSIGN_OR_RETURN(core.login.rsa_key, mysql::RsaKeyPair::generate());
  }
  CO_ASSIGN_OR_RETURN(core.listener,
                      net::Listener::listen_tcp(core.options.serving.host, core.options.serving.mysql_port));
  core.port = core.listener.port();
  if (!core.options.serving.mysql_socket.empty()) {
    CO_ASSIGN_OR_RETURN(core.unix_listener, net::Listener::listen_unix(core.options.serving.mysql_socket));
  }
  for (int i = 0; i < std::max(core.options.serving.loops, 1); ++i) {
    core.threads.push_back(std::make_unique<net::LoopThread>(fmt::format("gate-{}", i)));
    core.loops.push_back(std::make_unique<GateLoop>(core.options.serving, core.threads.back()->loop(), core.metrics));
    core.loops.back()->mirror = std::make_shared<Mirror>(*core.loops.back(), core.next_id);
    core.loops.back()->query_log = &core.query_log;
    core.loops.back()->memory = &core.memory;
    core.loops.back()->topology = &core.topology;
    core.loops.back()->tablet_rpcs = &core.tablet_rpcs;
    core.loops.back()->login = &core.login;
    core.loops.back()->tablet_tls = tablet_tls;
  }
  for (auto& loop : core.loops) {
    for (auto& other : core.loops) loop->all.push_back(other.get());
  }
  core.tablets_tls = tablet_tls;
  core.started = true;
  core.discovery.set_data_tls(tablet_tls);
  core.discovery.start();
  Status seen = co_await core.discovery.wait_first_view(net::Wait::within(core.options.initial_tablet_timeout));
  if (seen.ok()) {
    seen = co_await core.discovery.wait_for_tablets(core.options.tablet_types_to_wait,
                                                    net::Wait::within(core.options.initial_tablet_timeout));
  }
  if (!seen.ok()) log_warning("clients are let in although not every shard has a tablet yet");
  if (!(co_await core.discovery.wait_for_columns(net::Wait::within(5s))).ok()) {
    log_warning("clients are let in although not every keyspace has told its tables yet");
  }
  if (core.discovery.view() == nullptr) {
    // The topology has not answered: clients get errors that say so until it does.
    auto empty = std::make_shared<View>();
    auto state = std::make_shared<topo::ServingState>();
    state->keyspaces = std::make_shared<const topo::ServingState::Keyspaces>();
    state->tablets = std::make_shared<const topo::ServingState::Tablets>();
    empty->topology = state;
    core.hand_out(empty);
  }
  if (!version_given) {
    (void)co_await core.learn_server_version(net::Wait::within(3s, core.control_scope.token()));
    core.control_scope.spawn(core.follow_server_version());
  }
  for (auto& loop : core.loops) {
    co_await loop->loop.enter();
    {
      const std::scoped_lock lock(core.view_mutex);
      loop->set_view(core.newest);
    }
    loop->scope.spawn(core.housekeeping(*loop));
    if (loop == core.loops.front()) {
      loop->scope.spawn(core.accept_loop(core.listener));
      if (!core.options.serving.mysql_socket.empty()) loop->scope.spawn(core.accept_loop(core.unix_listener));
    }
  }
  Status grpc;
  if (core.options.grpc_port != 0) {
    co_await core.loops.front()->loop.enter();
    grpc = core.start_grpc();
  }
  co_await caller.enter();
  if (!grpc.ok()) {
    co_await stop();
    co_return grpc;
  }
  if (core.options.auth == "static" && core.options.auth_reload_interval.count() > 0) {
    core.control_scope.spawn(core.reload_users());
  }
  core.ready = true;
  co_return Status{};
}

net::Task<void> Gate::stop() {
  Core& core = *core_;
  if (!core.started) co_return;
  core.ready = false;
  net::Loop& caller = *net::Loop::current();
  core.control_scope.request_stop();
  co_await core.control_scope.join();
  if (core.grpc != nullptr) co_await core.grpc->stop(1s);
  co_await core.discovery.stop();
  for (auto& loop : core.loops) {
    co_await loop->loop.enter();
    loop->scope.request_stop();
    for (ClientSession* session : loop->sessions) session->close();
    co_await loop->scope.join();
    loop->close();
    if (loop == core.loops.front()) {
      core.service.reset();
      core.listener.close();
      core.unix_listener.close();
    }
    co_await caller.enter();
  }
  core.started = false;
  core.threads.clear();
  core.loops.clear();
}

void Gate::reload() {
  Core& core = *core_;
  if (Status loaded = core.tls.load(); !loaded.ok()) {
    log_warning("certificates stay as they are: {}", loaded.error().message());
  }
  if (core.options.auth == "static") {
    if (Status loaded = core.load_users(); !loaded.ok()) {
      log_warning("users stay as they are: {}", loaded.error().message());
    }
  }
  log_info("users and certificates were read again");
}

base::QueryLog& Gate::query_log() { return core_->query_log; }

std::shared_ptr<const View> Gate::view() const {
  const std::scoped_lock lock(core_->view_mutex);
  return core_->newest;
}

std::vector<StatementUse> Gate::statements() const {
  std::vector<StatementUse> out;
  if (!core_->ready) return out;
  std::map<std::pair<std::string, std::string>, StatementUse> uses;
  const auto collect = [](const GateLoop& loop, auto& into) -> net::Task<void> {
    loop.for_each_statement([&](const StatementTotals& totals, const std::string& context) {
      StatementUse& use = into[{totals.query, context}];
      if (use.target.empty()) {
        use.target = context;
        use.totals = totals;
      } else {
        use.totals.add(totals);
      }
    });
    co_return;
  };
  for (const auto& loop : core_->loops) net::block_on(loop->loop, collect(*loop, uses));
  for (auto& [key, use] : uses) out.push_back(std::move(use));
  return out;
}

std::vector<PlanUse> Gate::plans() const {
  std::vector<PlanUse> out;
  if (!core_->ready) return out;
  std::map<std::pair<std::string, std::string>, PlanUse> uses;
  const auto collect = [](const GateLoop& loop, auto& into) -> net::Task<void> {
    loop.for_each_plan([&](const GateLoop::KnownPlan& known, const std::string& context) {
      PlanUse& use = into[{known.query, context}];
      const plan::Plan& plan = *known.plan;
      use.query = known.query;
      use.target = context;
      use.plan = plan_type_name(plan);
      use.keyspace = plan.insert ? plan.insert->keyspace : plan.route.keyspace;
      const auto& vindex = plan.insert ? plan.insert->vindex : plan.route.vindex;
      use.vindex = vindex == nullptr ? "" : vindex->name();
      use.sent = plan.text.value_or("");
      use.count += known.count;
    });
    co_return;
  };
  for (const auto& loop : core_->loops) net::block_on(loop->loop, collect(*loop, uses));
  for (auto& [key, use] : uses) out.push_back(std::move(use));
  return out;
}

}  // namespace vitrail::gate
