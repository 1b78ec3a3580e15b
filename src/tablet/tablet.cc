#include "tablet/tablet.h"

#include <fmt/core.h>

#include <atomic>
#include <cstdlib>

#include "backup/manifest.h"
#include "base/log.h"
#include "base/settings.h"
#include "base/text.h"
#include "movement/engine.h"
#include "movement/sidecar.h"
#include "movement/source_service.h"
#include "mysqld/rows.h"
#include "rpc/query_pages.h"
#include "rpc/server.h"
#include "tablet/query_rpcs.h"
#include "tablet/schema_watch.h"
#include "tablet/tablet_rpcs.h"
#include "tablet/throttler.h"
#include "tablet/twopc_resolver.h"
#include "topo/keyspace.h"
#include "topo/srv_vschema.h"
#include "topo/tablet.h"

namespace vitrail::tablet {

using namespace std::chrono_literals;

namespace {

constexpr std::pair<std::string_view, net::TlsMode> kTlsModes[] = {
    {"disabled", net::TlsMode::kDisabled},
    {"preferred", net::TlsMode::kPreferred},
    {"required", net::TlsMode::kRequired},
    {"verify_ca", net::TlsMode::kVerifyCa},
    {"verify_identity", net::TlsMode::kVerifyIdentity},
};

void declare_db_tls(base::Settings& settings, Options& options) {
  net::ClientTlsOptions& tls = options.db_tls;
  std::vector<std::string> modes;
  for (const auto& [name, mode] : kTlsModes) modes.emplace_back(name);
  settings
      .add_parsed(
          "db_ssl_mode", "string",
          [&tls](std::string_view text) -> Status {
            for (const auto& [name, mode] : kTlsModes) {
              if (name == text) tls.mode = mode;
            }
            return {};
          },
          [&tls] { return std::string(kTlsModes[static_cast<size_t>(tls.mode)].first); },
          "TLS to the MySQL server, when it is reached by TCP: how much is asked of it")
      .one_of(std::move(modes));
  settings.add("db_ssl_ca", &tls.files.ca_file,
               "authorities of the MySQL server's certificate (PEM); empty: the system's");
  settings.add("db_ssl_cert", &tls.files.certificate_file, "our certificate (PEM), for a server that asks for one");
  settings.add("db_ssl_key", &tls.files.key_file, "key of --db_ssl_cert");
  settings.add("db_server_name", &tls.files.server_name,
               "name that the server's certificate must bear, when not --db_host");
  settings.add("db_tls_min_version", &tls.version_min, "lowest version of TLS to the MySQL server")
      .one_of({"TLSv1.2", "TLSv1.3", ""});
  const std::string_view all = "true: TLS as --db_ssl_mode says, which is for all accounts; false only without it";
  settings.add("db_app_use_ssl", &options.db_use_ssl_app, all);
  settings.add("db_dba_use_ssl", &options.db_use_ssl_dba, all);
  settings.add("db_allprivs_use_ssl", &options.db_use_ssl_allprivs, all);
  settings.add("db_filtered_use_ssl", &options.db_use_ssl_filtered, all);
}

Result<std::shared_ptr<const net::TlsContext>> db_tls_context(const Options& options) {
  const net::ClientTlsOptions& tls = options.db_tls;
  if (tls.mode == net::TlsMode::kDisabled) {
    if (tls.files.ca_file.empty() && tls.files.certificate_file.empty() && tls.files.key_file.empty() &&
        tls.files.server_name.empty()) {
      return std::shared_ptr<const net::TlsContext>();
    }
    return fail(Code::kInvalidArgument,
                "--db-ssl-ca, --db-ssl-cert, --db-ssl-key and --db-server-name need a --db-ssl-mode");
  }
  if (options.db_host.empty()) {
    return fail(Code::kInvalidArgument,
                "--db-ssl-mode needs --db-host: the MySQL server is reached through its unix socket, without TLS");
  }
  if (!options.db_use_ssl_app || !options.db_use_ssl_dba || !options.db_use_ssl_allprivs ||
      !options.db_use_ssl_filtered) {
    return fail(Code::kInvalidArgument,
                "--db-ssl-mode is for all accounts: leave --db-app-use-ssl, --db-dba-use-ssl, --db-allprivs-use-ssl "
                "and --db-filtered-use-ssl as they are");
  }
  auto context = net::TlsContext::for_client(tls);
  if (!context.ok()) return std::move(context).error().with_context("--db-ssl-*");
  return context;
}

void declare_backups(base::Settings& settings, BackupSettings& backup) {
  backup::declare(settings, backup.storage);
  settings
      .add("backup_engine_implementation", &backup.engine,
           "how backups are taken: builtin stops the server; mariabackup copies its files while it runs and the tablet "
           "serves, with the program mariadb-backup; logical stores rows as SQL, with the program mariadb-dump")
      .one_of({"builtin", "mariabackup", "logical"});
  settings.add("backup_storage_compress", &backup.compress, "compress backups, with zstd");
  settings.add("compression_level", &backup.level, "level of zstd for backups")
      .check([](std::string_view text) -> Status {
        if (const auto level = mysqld::to_uint(text); level && *level <= 19) return {};
        return fail(Code::kInvalidArgument, "a level between 0 and 19 is expected");
      });
  settings.add("builtinbackup_mysqld_timeout", &backup.shutdown_timeout,
               "how long the server may take to stop in good order for a backup or a restore");
  settings.add("builtinbackup_progress", &backup.progress_interval,
               "how often a backup or restore tells how far it is");
  settings.add("mysqlctl_socket", &backup.mysqlctl_socket,
               "socket of the mysqlctld that stops and starts the server for backups and restores; empty: the tablet "
               "does it itself");
  settings.add("restore_from_backup", &backup.restore_at_start,
               "a tablet whose server has no database of the keyspace begins with the shard's newest backup");
  settings
      .add("restore_from_backup_ts", &backup.restore_time,
           "the newest backup that is not later: 2026-01-02.150405 or 2026-01-02T15:04:05Z (UTC)")
      .check([](std::string_view text) -> Status {
        if (text.empty()) return {};
        auto time = backup::parse_backup_time(text);
        return time.ok() ? Status{} : Status(std::move(time).error());
      });
  settings.add("restore_to_pos", &backup.restore_to_position,
               "with --restore_from_backup: a full and incremental backups up to this position; the tablet is then "
               "drained, and does not replicate");
  settings
      .add("restore_to_timestamp", &backup.restore_to_time,
           "the same, up to this time and without what happened in its second (UTC)")
      .check([](std::string_view text) -> Status {
        if (text.empty()) return {};
        auto time = backup::parse_backup_time(text);
        return time.ok() ? Status() : Status(std::move(time).error());
      });
  settings.add("restore_from_backup_allowed_engines", &backup.restore_engines,
               "backups of these engines only; empty: of all");
  settings.add("restore_concurrency", &backup.restore_concurrency, "files that are restored at the same time");
  settings.add("wait_for_backup_interval", &backup.wait_interval,
               "with --restore_from_backup: wait for a first backup and look this often; 0: begin empty");
}

void declare_guards(base::Settings& settings, QueryServiceSettings& queries) {
  auto& reads = queries.shared_reads;
  settings.add("enable_consolidator", &reads.enabled,
               "equal reads that wait for a connection to the server at the same time are run once");
  settings.add("enable_consolidator_replicas", &reads.replicas_only,
               "without --enable_consolidator: on tablets that are not the primary");
  settings.add("consolidator_query_waiter_cap", &reads.waiters_max,
               "reads that may wait for one equal one; 0: any number");
  auto& rows = queries.hot_rows;
  settings.add("enable_hot_row_protection", &rows.enabled,
               "changes of the same row wait in a queue of their own, and hold no connection meanwhile");
  settings.add("enable_hot_row_protection_dry_run", &rows.dry_run, "only count what would wait or be refused");
  settings.add("hot_row_protection_max_queue_size", &rows.queue_max,
               "changes of one row, those in the server among them; more are refused");
  settings.add("hot_row_protection_max_global_queue_size", &rows.global_max, "the same for all rows, per event loop");
  settings.add("hot_row_protection_concurrent_transactions", &rows.concurrent,
               "changes of one row that may be in the server at the same time, per event loop");
  auto& limits = queries.transaction_limits;
  settings.add("enable_transaction_limit", &limits.enabled,
               "a caller may have open transactions on a share of the connections only");
  settings.add("enable_transaction_limit_dry_run", &limits.dry_run, "only count what would be refused");
  settings.add("transaction_limit_per_user", &limits.share, "that share, of --queryserver_config_pool_size");
}

void declare_concurrency(base::Settings& settings, ConcurrencySettings& concurrency) {
  settings.add("adaptive_concurrency", &concurrency.enabled,
               "while statements queue, fewer are let into the server at once, as long as it finishes no fewer");
  settings.add("adaptive_concurrency_least", &concurrency.least, "statements that are always let in, per event loop");
  settings.add("adaptive_concurrency_wait", &concurrency.wait_max,
               "how long a statement waits while the server is saturated; then, and at once when it would wait for "
               "longer, it is refused, to be tried again");
}

void declare_rejoin(base::Settings& settings, Rejoin& rejoin) {
  constexpr std::pair<std::string_view, Rejoin> kRejoins[] = {
      {"none", Rejoin::kNothing}, {"rewind", Rejoin::kRewind}, {"rewind_or_restore", Rejoin::kRewindOrRestore}};
  settings
      .add_parsed(
          "diverged_replica_action", "string",
          [&rejoin, kRejoins](std::string_view text) -> Status {
            for (const auto& [name, action] : kRejoins) {
              if (name == text) rejoin = action;
            }
            return {};
          },
          [&rejoin, kRejoins] { return std::string(kRejoins[static_cast<size_t>(rejoin)].first); },
          "a replica with transactions that its primary lacks (a primary that was replaced while it could not be "
          "asked): take them back, or where that is impossible restore a backup")
      .one_of({"none", "rewind", "rewind_or_restore"});
}

}  // namespace

void declare(base::Settings& settings, Options& options) {
  auto& tablet = options.tablet;
  settings.add("tablet_path", &tablet.tablet_path, "alias of this tablet, cell-uid: zone1-0000000100").required();
  settings.add("tablet_hostname", &tablet.hostname, "host name by which others reach this tablet and its server");
  settings.add("init_keyspace", &tablet.keyspace, "keyspace of this tablet").required();
  settings.add("init_shard", &tablet.shard, "shard of this tablet").required();
  settings.add("init_tablet_type", &tablet.type, "type to start with: replica, rdonly or spare");
  settings.add("init_db_name_override", &tablet.db_name_override, "database on the server; empty: vt_<keyspace>");
  settings.add("init_timeout", &tablet.init_timeout, "how long to wait for the server and the topology at start");
  settings.add("health_check_interval", &tablet.health_check_interval, "time between two looks at the server");
  settings.add("lost_server_timeout", &tablet.lost_server_timeout,
               "statements on a MySQL server that has not answered the tablet itself for longer are given up");
  settings.add("unhealthy_threshold", &tablet.unhealthy_threshold,
               "a replica that lags more does not serve; the time for which its replication is stopped counts");
  settings.add("degraded_threshold", &tablet.degraded_threshold,
               "a replica that lags more is shown as unhappy on the status page");
  settings.add("throttle_tablet_types", &options.throttle_tablet_types,
               "types of tablets whose lag and load the primary's throttler counts for the shard");
  declare_rejoin(settings, tablet.rejoin);
  settings.add("lock_tables_timeout", &tablet.lock_tables_timeout,
               "how long tables stay locked for LockTables without an UnlockTables");
  settings.add("fence_grace_period", &tablet.fence_grace,
               "how long transactions in the way of a switch may take to end; before that, none begins for up to three "
               "times as long");
  settings.add("grpc_port", &options.grpc_port, "port of the gRPC services");
  settings.add("grpc_bind_address", &options.grpc_host, "address of the gRPC services");
  settings.add("mysql_data_port", &options.data_port, "port on which vtgates send statements; 0: a free one");
  settings.add("mysql_data_bind_address", &options.data_host, "address of that port");
  settings.add("data_loops", &options.queries.loops, "event loops that serve statements");
  settings.add("db_socket", &options.db_socket, "unix socket of the MySQL server; empty: the one mysqlctl makes");
  settings.add("db_host", &options.db_host, "host of the MySQL server, when it is reached by TCP");
  settings.add("db_port", &options.db_port, "its port");
  declare_db_tls(settings, options);
  net::declare_server_tls(settings, "mysql_data", "data port", options.queries.tls);
  settings.add("db_app_user", &options.queries.user, "account that runs the statements of applications");
  settings.add("db_app_password", &options.queries.password, "its password");
  settings.add("db_app_restrict_rights", &tablet.restrict_app,
               "at start, give --db-app-user rights on the keyspace's database and take those on the whole server");
  settings.add("db_dba_user", &tablet.dba_user, "account that administers the server");
  settings.add("db_dba_password", &tablet.dba_password, "its password");
  settings.add("log_queries_to_file", &options.queries.query_log,
               "file that gets a line for each statement (holds users' data)");
  rpc::declare(settings, options.grpc_security);
  rpc::declare(settings, options.grpc_client, &options.grpc_security);
  rpc::declare_tls(settings, "tablet", options.tablet_tls);
  settings.add("db_allprivs_user", &tablet.all_privileges.user, "account with all privileges");
  settings.add("db_allprivs_password", &tablet.all_privileges.password, "its password");
  settings.add("queryserver_enable_file_statements", &options.queries.policy.allow_files,
               "let LOAD DATA INFILE, SELECT INTO OUTFILE and LOAD_FILE() reach the server (and its files)");
  auto& acl = options.queries.table_acl;
  settings.add("table_acl_config", &acl.config, "JSON file that says who may read, write and change which tables");
  settings.add("enforce_tableacl_config", &acl.enforce, "do not start without a --table-acl-config that can be used");
  settings.add("table_acl_config_reload_interval", &acl.reload_interval,
               "how often to read it again (and on SIGHUP); 0: never");
  settings.add("queryserver_config_strict_table_acl", &acl.strict, "refuse what the table ACL does not allow");
  settings.add("queryserver_config_enable_table_acl_dry_run", &acl.dry_run,
               "count what the table ACL would refuse, and let it through");
  settings.add("queryserver_config_acl_exempt_acl", &acl.exempt,
               "users and groups, with commas between them, whom the table ACL does not bind");
  declare_guards(settings, options.queries);
  declare_concurrency(settings, options.queries.concurrency);
  auto& rules = options.queries.rules;
  settings.add("filecustomrules", &rules.file, "JSON file of query rules, which keep statements from the server");
  settings.add("filecustomrules_watch", &rules.watch,
               "look each second whether that file has changed (it is read again on SIGHUP in any case)");
  settings.add("topocustomrule_path", &options.rules_path,
               "record of the topology that has query rules; it is followed");
  settings.add("topocustomrule_cell", &options.rules_cell, "the cell whose topology has it, or global");
  settings.add("queryserver_config_pool_size", &options.queries.pool_size, "connections to the server");
  settings.add("queryserver_config_schema_change_signal", &options.signal_schema,
               "tell vtgates which tables have changed: at once behind a DDL statement that goes through this tablet");
  settings
      .add("queryserver_config_schema_reload_time", &options.schema_reload,
           "how often to look for changes that came by other ways, as a duration or in seconds")
      .bare_number(1s);
  settings.add("vreplication_parallel_insert_workers", &options.copy_lanes,
               "pieces of tables that copies insert at the same time, those of all streams together; 16 at most");
  settings.add("watch_replication_stream", &options.watch_schema, "look for them at every health check");
  declare_backups(settings, tablet.backup);
  settings.add("twopc_enable", &options.queries.twopc,
               "transactions over several shards may be committed in two phases (transaction_mode TWOPC)");
  settings
      .add("twopc_abandon_age", &options.twopc_abandon_age,
           "what is prepared for longer is ended as the shard says that decides it; a duration or seconds")
      .bare_number(1s);
  settings.add("heartbeat_enable", &tablet.heartbeat,
               "measure replication lag by the time that the primary writes into the sidecar's table heartbeat: on all "
               "tablets of a shard, or on none");
  settings.add("heartbeat_interval", &tablet.heartbeat_interval, "how often it is written and read");
  settings.add(
      "disk_write_dir", &tablet.disk_folder,
      "folder on the server's disk in which a file is written through to the disk again and again: when that fails, or "
      "hangs, "
      "vtorc gives the shard another primary; empty: whether there is room in the server's folders is looked at");
  settings.add("disk_write_interval", &tablet.disk_interval, "how often");
  settings.add("disk_write_timeout", &tablet.disk_timeout, "a write that takes longer hangs");
  settings
      .add("queryserver_config_query_timeout", &options.queries.query_timeout,
           "longest time for one statement, as a duration or in seconds")
      .bare_number(1s);
  settings
      .add("queryserver_config_transaction_timeout", &options.queries.transaction_timeout,
           "an open transaction that is idle for longer is rolled back; a duration or seconds")
      .bare_number(1s);
  settings
      .add("queryserver_config_query_pool_timeout", &options.queries.pool_timeout,
           "longest wait for a connection, as a duration or in seconds")
      .bare_number(1s);
  settings
      .add("queryserver_config_max_result_size", &options.queries.max_result_rows,
           "a result with more rows ends with error 10001; 0: none (results are streamed, whatever their size)")
      .unit("rows");
  settings.add("queryserver_config_terse_errors", &options.queries.terse_errors,
               "errors of the MySQL server are told by their numbers, without texts, which may hold values of rows");
  settings
      .add("queryserver_memory_per_session", &options.queries.session_memory,
           "bytes of statements that may be held for one connection of the data port; 0: no limit")
      .unit("bytes");
  settings
      .add("queryserver_memory_limit", &options.queries.process_memory,
           "bytes of statements that may be held for all connections of the data port; 0: no limit")
      .unit("bytes");
  settings.add("queryserver_config_query_pool_waiter_cap", &options.queries.pool_waiters,
               "statements that may wait for a connection, per event loop");
  settings.add("queryserver_config_idle_timeout", &options.queries.idle_timeout,
               "connections to the server that were not used for longer are closed");
}

struct Tablet::Core {
  Core(Options options_in, uint16_t http_port, topo::Server& topology_in, base::Metrics& metrics_in)
      : options(std::move(options_in)), topology(topology_in), metrics(metrics_in) {
    options.tablet.http_port = http_port;
    // From the first page on: tools wait for it to be something.
    state_metric =
        metrics.text_function("TabletStateName", [this] { return ready ? manager->state_name() : std::string(); });
  }

  Options options;
  topo::Server& topology;
  base::Metrics& metrics;
  base::QueryLog query_log;
  std::unique_ptr<QueryService> queries;
  std::unique_ptr<Throttler> throttler;
  std::unique_ptr<movement::SourcePicker> picker;
  std::unique_ptr<movement::SourceService> source;
  std::unique_ptr<movement::Engine> engine;
  std::unique_ptr<TabletManager> manager;
  std::unique_ptr<QueryRpcs> statements;
  std::unique_ptr<TwoPcResolver> resolver;
  std::unique_ptr<rpc::Server> grpc;
  // Confined to the control loop; outlived by nobody who pokes it.
  struct SchemaSignal {
    std::unique_ptr<SchemaWatch> watch;
  };
  std::shared_ptr<SchemaSignal> schema = std::make_shared<SchemaSignal>();
  std::shared_ptr<net::Signal> look = std::make_shared<net::Signal>();  // At the server, before it is time.
  net::Scope scope;
  base::Metrics::Subscription streams;
  bool grpc_started = false;
  bool queries_started = false;
  std::atomic<bool> ready = false;  // All parts are there: other threads may look at them.
  base::Metrics::Subscription state_metric;
};

Tablet::Tablet(Options options, uint16_t http_port, topo::Server& topology, base::Metrics& metrics)
    : core_(std::make_unique<Core>(std::move(options), http_port, topology, metrics)) {}

Tablet::~Tablet() = default;

net::Task<Status> Tablet::start() {
  Core& core = *core_;
  Options& options = core.options;
  net::Loop& loop = *net::Loop::current();
  rpc::ServerOptions server;
  server.host = options.grpc_host;
  server.port = options.grpc_port;
  server.metrics = &core.metrics;
  CO_RETURN_IF_ERROR(rpc::secure(options.grpc_security, server));
  options.grpc_client.message_size_max = options.grpc_security.message_size_max;
  CO_ASSIGN_OR_RETURN(auto channel, rpc::channel_options(options.grpc_client, options.tablet_tls));
  CO_ASSIGN_OR_RETURN(const auto alias, topo::parse_alias(options.tablet.tablet_path));
  if (options.db_host.empty()) {
    options.tablet.mysqld.unix_socket = options.db_socket;
    if (options.db_socket.empty()) {
      const char* root = std::getenv("VTDATAROOT");
      options.tablet.mysqld.unix_socket =
          fmt::format("{}/vt_{:010d}/mysql.sock", root == nullptr ? "." : root, alias.uid());
    }
  } else {
    options.tablet.mysqld.host = options.db_host;
    options.tablet.mysqld.port = options.db_port;
  }
  CO_ASSIGN_OR_RETURN(options.tablet.mysqld.tls, db_tls_context(options));
  options.queries.mysqld = options.tablet.mysqld;
  options.queries.dba_user = options.tablet.dba_user;
  options.queries.dba_password = options.tablet.dba_password;
  options.tablet.app = {options.queries.user, options.queries.password};
  options.tablet.app_files = options.queries.policy.allow_files;
  options.queries.host = options.data_host;
  options.queries.port = options.data_port;
  const std::string database =
      options.tablet.db_name_override.empty() ? "vt_" + options.tablet.keyspace : options.tablet.db_name_override;
  options.queries.database = database;
  // Statements end on loops of their own.
  options.queries.on_trouble = [&loop, look = core.look] { loop.post([look] { look->notify_all(); }); };
  options.queries.on_ddl = [&loop, schema = core.schema] {
    loop.post([schema] {
      if (schema->watch != nullptr) schema->watch->poke();
    });
  };
  // As the keyspace says; the tablet makes the keyspace itself when there is none yet, with the usual name.
  const auto keyspace = co_await topo::get_keyspace(core.topology, options.tablet.keyspace);
  if (!keyspace.ok() && keyspace.error().code() != Code::kNotFound) co_return Error(keyspace.error());
  if (keyspace.ok() && !keyspace->record.sidecar_db_name().empty()) {
    options.tablet.sidecar = options.queries.sidecar = keyspace->record.sidecar_db_name();
  }
  options.queries.rules.topology = !options.rules_path.empty();
  core.queries = std::make_unique<QueryService>(options.queries, core.query_log, core.metrics);
  CO_RETURN_IF_ERROR(co_await core.queries->start());
  core.queries_started = true;

  movement::SourceOptions source;
  source.mysqld = options.tablet.mysqld;
  source.db_name = database;
  source.sidecar = options.tablet.sidecar;
  source.keyspace = options.tablet.keyspace;
  source.load_vschema = [&topology = core.topology, cell = alias.cell()]() -> net::Task<Result<::vschema::SrvVSchema>> {
    return [](topo::Server& server, std::string name) -> net::Task<Result<::vschema::SrvVSchema>> {
      auto stored = co_await topo::get_srv_vschema(server, name);
      if (!stored.ok()) co_return std::move(stored).error();
      co_return std::move(stored->record);
    }(topology, cell);
  };
  source.metrics = &core.metrics;
  Throttler::Options throttling;
  throttling.tablet_types = options.throttle_tablet_types;
  throttling.channel = channel;
  core.throttler = std::make_unique<Throttler>(std::move(throttling), core.topology, core.metrics);
  source.throttle = core.throttler.get();
  core.source = std::make_unique<movement::SourceService>(std::move(source));

  core.picker = movement::make_topology_picker(core.topology, alias.cell());
  movement::EngineOptions engine;
  engine.alias = alias;
  engine.keyspace = options.tablet.keyspace;
  engine.shard = options.tablet.shard;
  engine.db_name = database;
  engine.sidecar = options.tablet.sidecar;
  engine.mysqld = options.tablet.mysqld;
  engine.dba_user = options.tablet.dba_user;
  engine.dba_password = options.tablet.dba_password;
  engine.sources = core.picker.get();
  engine.metrics = &core.metrics;
  engine.throttle = core.throttler.get();
  const rpc::ChannelOptions resolver_channel = channel;
  engine.channel = std::move(channel);
  engine.copy_lanes = options.copy_lanes;
  core.engine = std::make_unique<movement::Engine>(std::move(engine));
  core.streams = core.metrics.json_function("VReplication", [&core] { return core.engine->status_json(); });

  // Announced before it listens: the record must name the final ports. Port 0 is for tests, which read it from the
  // record.
  core.manager = std::make_unique<TabletManager>(
      [&] {
        TabletSettings settings = options.tablet;
        settings.grpc_port = options.grpc_port;
        return settings;
      }(),
      core.topology, *core.queries, core.metrics, movement::sidecar_schema(),
      [engine_ptr = core.engine.get()](bool primary) -> net::Task<void> {
        return [](movement::Engine& target, bool open) -> net::Task<void> {
          if (!open) {
            co_await target.close();
          } else if (Status opened = co_await target.open(); !opened.ok()) {
            log_warning("streams: {}", opened.error().message());
          }
        }(*engine_ptr, primary);
      });
  core.grpc = std::make_unique<rpc::Server>(std::move(server));
  register_tablet_handlers(*core.grpc, loop, *core.manager);
  core.statements = std::make_unique<QueryRpcs>(*core.manager, *core.queries, options.queries.transaction_timeout);
  core.statements->register_handlers(*core.grpc, loop);
  core.resolver = std::make_unique<TwoPcResolver>(TwoPcResolver::Options{options.twopc_abandon_age, resolver_channel},
                                                  *core.manager, *core.queries, core.metrics);
  core.resolver->register_handlers(*core.grpc, loop);
  core.throttler->register_handlers(*core.grpc, loop);
  core.source->register_handlers(*core.grpc);
  core.engine->register_handlers(*core.grpc);
  CO_RETURN_IF_ERROR(core.grpc->start());
  core.grpc_started = true;
  core.ready = true;
  core.manager->set_look_signal(core.look);
  CO_RETURN_IF_ERROR(co_await core.manager->start());
  core.scope.spawn(core.throttler->run(*core.manager, core.scope.token()));
  core.scope.spawn(core.resolver->run(core.scope.token()));
  if (!options.rules_path.empty()) {
    core.scope.spawn(follow_query_rules(core.topology, options.rules_cell, options.rules_path, core.queries->rules(),
                                        core.scope.token()));
  }
  if (options.signal_schema) {
    core.schema->watch = std::make_unique<SchemaWatch>(
        core.manager->server(), database,
        options.watch_schema ? options.tablet.health_check_interval : options.schema_reload,
        [&core](std::vector<std::string> tables) { core.manager->health().tell_tables(std::move(tables)); });
    core.manager->set_on_ddl([&core] { core.schema->watch->poke(); });
    core.scope.spawn(core.schema->watch->run(core.scope.token()));
  }
  co_return Status{};
}

net::Task<void> Tablet::stop() {
  Core& core = *core_;
  if (core.grpc_started) co_await core.grpc->stop(1s);
  core.scope.request_stop();
  co_await core.scope.join();
  if (core.manager != nullptr) core.manager->set_on_ddl({});
  core.schema->watch.reset();
  if (core.statements != nullptr) core.statements->close();
  if (core.manager != nullptr) co_await core.manager->stop();
  if (core.engine != nullptr) co_await core.engine->close();
  if (core.source != nullptr) co_await core.source->stop();
  if (core.queries_started) co_await core.queries->stop();
  core.grpc_started = core.queries_started = false;
}

void Tablet::reload() {
  Status loaded = core_->queries->reload();
  if (loaded.ok()) {
    log_info("the certificate of the data port, the table ACL and the query rules were read again");
  } else {
    log_warning("the certificate of the data port stays as it is: {}", loaded.error().message());
  }
}

std::string Tablet::status_html() const {
  if (!core_->ready) return "starting";
  return fmt::format("{} {} {}/{}: {}", core_->options.tablet.tablet_path, core_->manager->type_name(),
                     core_->options.tablet.keyspace, core_->options.tablet.shard, core_->manager->state_name());
}

std::string Tablet::status_details_json() const {
  std::string json = "[";
  const auto add = [&](std::string_view key, std::string_view state, std::string_view value) {
    json += fmt::format(R"({}{{"Key":{},"Class":{},"Value":{}}})", json.size() > 1 ? "," : "", base::json_string(key),
                        base::json_string(state), base::json_string(value));
  };
  if (!core_->ready) {
    add("Current State", "unhealthy", "starting");
    return json + "]\n";
  }
  const TabletManager::Summary now = core_->manager->summary();
  const bool serving = now.state == "SERVING";
  add("Current State",
      serving              ? "healthy"
      : now.reason.empty() ? "unhappy"
                           : "unhealthy",
      fmt::format("{}: {}{}{}", now.type, serving ? "Serving" : "Not Serving", now.reason.empty() ? "" : ", ",
                  now.reason));
  add("Health",
      now.trouble.empty() ? "healthy"
      : serving           ? "unhappy"
                          : "unhealthy",
      now.trouble.empty() ? "ok" : now.trouble);
  if (!now.running.empty()) add("Being Changed", "unhappy", now.running);
  if (now.type != "primary") {
    const bool behind = std::chrono::seconds(now.lag_seconds) > core_->options.tablet.degraded_threshold;
    add("Replication Lag", behind ? "unhappy" : "healthy", fmt::format("{}s", now.lag_seconds));
  }
  return json + "]\n";
}

void Tablet::add_pages(rpc::HttpServer& http) {
  using rpc::HttpRequest;
  using rpc::HttpResponse;
  const auto uses = [this] {
    return core_->ready ? core_->queries->query_uses() : std::vector<QueryService::QueryUse>();
  };
  http.handle("/debug/status_details",
              [this](const HttpRequest&) { return HttpResponse::json(status_details_json()); });
  http.handle("/debug/query_stats", [uses](const HttpRequest&) {
    std::string json = "[";
    for (const auto& use : uses()) {
      json += json.size() > 1 ? ",\n" : "\n";
      json += fmt::format(R"({{"Query":{},"Table":{},"Plan":{},"QueryCount":{}}})", base::json_string(use.query),
                          base::json_string(use.table), base::json_string(use.plan), use.count);
    }
    return HttpResponse::json(json + "\n]\n");
  });
  const auto counted = [](const std::map<std::string, uint64_t>& counts) {
    std::string text = counts.empty() ? "empty\n" : "";
    for (const auto& [what, count] : counts) text += fmt::format("{}: {}\n", count, what);
    HttpResponse response;
    response.body = std::move(text);
    return response;
  };
  http.handle("/debug/hotrows", [this, counted](const HttpRequest&) {
    return counted(core_->ready ? core_->queries->hot_rows() : std::map<std::string, uint64_t>());
  });
  http.handle("/debug/consolidations", [this, counted](const HttpRequest&) {
    return counted(core_->ready ? core_->queries->shared_reads() : std::map<std::string, uint64_t>());
  });
  http.handle("/debug/concurrency", [this](const HttpRequest&) {
    return HttpResponse::json(core_->ready ? core_->queries->concurrency_json() : "{}\n");
  });
  http.handle("/twopcz", [this](const HttpRequest&) {
    std::string text;
    if (core_->ready) {
      for (const auto& one : core_->resolver->unresolved()) {
        text += fmt::format("{} {} {}\n", one.dtid, one.state, one.message);
      }
    }
    HttpResponse response;
    response.body = text.empty() ? "nothing is unresolved\n" : std::move(text);
    return response;
  });
  http.handle("/debug/query_rules", [this](const HttpRequest&) {
    return HttpResponse::json(core_->ready ? core_->queries->rules().to_json() : "[]\n");
  });
  rpc::add_query_pages(http, core_->query_log, [uses] {
    std::vector<rpc::QueryUse> out;
    for (auto& use : uses())
      out.push_back({std::move(use.query), std::move(use.table), std::move(use.plan), use.count});
    return out;
  });
  http.add_status_part("Tablet", [this] { return status_html(); });
}

Status Tablet::health() const {
  if (!core_->ready) return fail(Code::kUnavailable, "starting");
  if (core_->manager->state_name() != "SERVING") return fail(Code::kUnavailable, "not serving");
  return {};
}

}  // namespace vitrail::tablet
