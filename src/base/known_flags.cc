#include "base/known_flags.h"

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/settings.h"
#include "base/text.h"

namespace vitrail::base {
namespace {

constexpr uint8_t kGate = 1;
constexpr uint8_t kTablet = 2;
constexpr uint8_t kCtld = 4;
constexpr uint8_t kClient = 8;
constexpr uint8_t kMysqlctl = 16;
constexpr uint8_t kServers = kGate | kTablet | kCtld;
constexpr uint8_t kAll = kServers | kClient | kMysqlctl;

constexpr std::string_view kAny = "*";

struct KnownFlag {
  std::string_view name;
  bool takes_value;
  uint8_t programs;
  // "*": every value. Else those that are accepted, comma separated; "" among them stands for an empty one.
  std::string_view values;
  std::string_view why;
};

constexpr std::array kFlags = {
    // The log.
    KnownFlag{"v", true, kAll, kAny, "verbosity: there are no debug messages to switch on"},
    KnownFlag{"vmodule", true, kAll, kAny, "verbosity: there are no debug messages to switch on"},
    KnownFlag{"stderrthreshold", true, kAll, kAny, "--logtostderr and --alsologtostderr decide what stderr gets"},
    KnownFlag{"log_backtrace_at", true, kAll, kAny, "for debugging the programs themselves"},
    KnownFlag{"log_err_stacks", false, kAll, kAny, "errors say what failed on what, without stacks"},
    KnownFlag{"log_link", true, kAll, "", "no further links to log files are made"},
    KnownFlag{"keep_logs", true, kAll, "0s,0", "log files are limited by size and number, not by age"},
    KnownFlag{"keep_logs_by_mtime", true, kAll, "0s,0", "log files are limited by size and number, not by age"},
    KnownFlag{"purge_logs_interval", true, kAll, kAny, "log files are removed when there are too many of them"},
    // Profiles, statistics, traces.
    KnownFlag{"pprof", true, kAll, "", "profiles are taken from outside, with perf"},
    KnownFlag{"pprof-http", false, kServers, kAny, "there are no profiling pages to switch on; use perf"},
    KnownFlag{"stats_backend", true, kServers, "", "statistics are read from /debug/vars and /metrics, not pushed"},
    KnownFlag{"stats_emit_period", true, kServers, kAny, "statistics are not pushed, so there is no period"},
    KnownFlag{"stats_combine_dimensions", true, kServers, "", "all labels of metrics are kept"},
    KnownFlag{"stats_drop_variables", true, kServers, "", "all metrics are kept"},
    KnownFlag{"emit_stats", false, kServers, "false", "statistics are read from /debug/vars and /metrics, not pushed"},
    KnownFlag{"tracer", true, kServers | kClient, "noop,", "traces are not recorded"},
    KnownFlag{"tracing-enable-logging", false, kServers | kClient, "false", "traces are not recorded"},
    KnownFlag{"tracing-sampling-type", true, kServers | kClient, kAny, "traces are not recorded"},
    KnownFlag{"tracing-sampling-rate", true, kServers | kClient, kAny, "traces are not recorded"},
    // Life of a server.
    KnownFlag{"service_map", true, kServers, kAny, "every service that the program has is offered"},
    KnownFlag{"security_policy", true, kServers, "", "the debug pages have no roles; bind them to a private address"},
    KnownFlag{"lameduck-period", true, kServers, "50ms,0s,0", "after SIGTERM a server stops at once, in good order"},
    KnownFlag{"onterm_timeout", true, kServers, kAny, "a limit; stopping takes a second or two"},
    KnownFlag{"onclose_timeout", true, kServers, kAny, "a limit; stopping takes a second or two"},
    KnownFlag{"catch-sigpipe", false, kServers, kAny,
              "a closed pipe is an error of a write, never the end of a process"},
    KnownFlag{"max-stack-size", true, kServers, kAny, "a matter of another runtime"},
    // gRPC.
    KnownFlag{"grpc_compression", true, kServers | kClient, "", "messages are not compressed"},
    KnownFlag{"grpc_prometheus", false, kServers | kClient, kAny, "calls are counted in any case"},
    KnownFlag{"grpc_enable_tracing", false, kServers | kClient, "false", "traces are not recorded"},
    KnownFlag{"grpc_enable_optional_tls", false, kServers, "false", "a port speaks either TLS or plain text"},
    KnownFlag{"grpc_max_connection_age", true, kServers, "2562047h47m16.854775807s,0s,0",
              "connections have no age limit"},
    KnownFlag{"grpc_max_connection_age_grace", true, kServers, kAny, "connections have no age limit"},
    KnownFlag{"grpc_initial_conn_window_size", true, kServers | kClient, kAny,
              "windows have the size that fits the streams"},
    KnownFlag{"grpc_initial_window_size", true, kServers | kClient, kAny,
              "windows have the size that fits the streams"},
    KnownFlag{"grpc_server_initial_conn_window_size", true, kServers, kAny,
              "windows have the size that fits the streams"},
    KnownFlag{"grpc_server_initial_window_size", true, kServers, kAny, "windows have the size that fits the streams"},
    KnownFlag{"grpc_server_keepalive_enforcement_policy_permit_without_stream", false, kServers, "true",
              "clients may ping without a call"},
    KnownFlag{"grpc-dial-concurrency-limit", true, kServers | kClient, kAny, "a limit that is not reached"},
    KnownFlag{"grpc_use_effective_callerid", false, kServers, "false", "caller ids do not decide about permissions"},
    KnownFlag{"vtctl_client_protocol", true, kServers | kClient, "grpc", "gRPC is the protocol"},
    KnownFlag{"vtctld_client_protocol", true, kServers | kClient, "grpc", "gRPC is the protocol"},
    KnownFlag{"tablet_manager_protocol", true, kServers | kClient, "grpc", "gRPC is the protocol"},
    KnownFlag{"tablet_protocol", true, kServers | kClient, "grpc", "gRPC is the protocol of health streams"},
    KnownFlag{"vtgate_protocol", true, kServers | kClient, "grpc", "gRPC is the protocol"},
    KnownFlag{"tablet_manager_grpc_concurrency", true, kCtld | kClient, kAny, "calls share one connection"},
    KnownFlag{"tablet_manager_grpc_connpool_size", true, kCtld | kClient, kAny, "a limit that is not reached"},
    // Backups.
    KnownFlag{"backup_storage_implementation", true, kTablet | kCtld, "file,", "backups are not offered yet"},
    KnownFlag{"file_backup_storage_root", true, kTablet | kCtld, kAny, "the folder is used by commands that back up"},
    KnownFlag{"backup_engine_implementation", true, kTablet, "builtin,", "backups are not offered yet"},
    KnownFlag{"restore_from_backup", false, kTablet, "false", "restoring is not offered yet"},
    // The MySQL server.
    KnownFlag{"mysql_server_version", true, kTablet | kCtld | kMysqlctl, kAny,
              "statements are parsed alike for every version"},
    KnownFlag{"mysqlctl_client_protocol", true, kTablet | kMysqlctl, "grpc", "gRPC is the protocol"},
    KnownFlag{"mysqlctl_mycnf_template", true, kMysqlctl, "",
              "give further settings in the files that EXTRA_MY_CNF names"},
    KnownFlag{"mysqlctl_socket", true, kTablet, "", "mysqlctld is not offered yet"},
    KnownFlag{"mysql_socket", true, kMysqlctl, "", "the socket is mysql.sock in the tablet's folder"},
    KnownFlag{"db_charset", true, kTablet | kMysqlctl, "utf8mb4,", "connections use utf8mb4"},
    KnownFlag{"db_flavor", true, kTablet | kMysqlctl, "", "the flavor is asked from the server"},
    KnownFlag{"replication_connect_retry", true, kTablet | kMysqlctl, kAny, "replicas try again every second"},
    KnownFlag{"dba_idle_timeout", true, kTablet | kMysqlctl, kAny, "there is one such connection"},
    KnownFlag{"dba_pool_size", true, kTablet | kMysqlctl, kAny, "there is one such connection"},
    KnownFlag{"app_idle_timeout", true, kTablet | kMysqlctl, kAny, "a limit on connections that are not made"},
    KnownFlag{"app_pool_size", true, kTablet | kMysqlctl, kAny, "a limit on connections that are not made"},
    KnownFlag{"pool_hostname_resolve_interval", true, kTablet | kMysqlctl, kAny, "names are resolved at each connect"},
    KnownFlag{"db_dba_user", true, kMysqlctl, "vt_dba", "servers are administered as vt_dba"},
    KnownFlag{"db_dba_password", true, kMysqlctl, "", "vt_dba logs in through the socket, without a password"},
    KnownFlag{"db_app_user", true, kMysqlctl, kAny, "mysqlctl does not log in as this user"},
    KnownFlag{"db_app_password", true, kMysqlctl, kAny, "mysqlctl does not log in as this user"},
    KnownFlag{"db_appdebug_user", true, kTablet | kMysqlctl, kAny, "nothing logs in as this user"},
    KnownFlag{"db_appdebug_password", true, kTablet | kMysqlctl, kAny, "nothing logs in as this user"},
    KnownFlag{"db_allprivs_user", true, kTablet | kMysqlctl, kAny, "nothing logs in as this user"},
    KnownFlag{"db_allprivs_password", true, kTablet | kMysqlctl, kAny, "nothing logs in as this user"},
    KnownFlag{"db_filtered_user", true, kTablet, "vt_filtered", "streams write as vt_filtered"},
    KnownFlag{"db_filtered_password", true, kTablet, "", "vt_filtered logs in through the socket, without a password"},
    KnownFlag{"db_repl_user", true, kTablet, "vt_repl", "replicas connect as vt_repl"},
    KnownFlag{"db_repl_password", true, kTablet, "", "vt_repl has no password"},
    KnownFlag{"db_filtered_user", true, kMysqlctl, kAny, "mysqlctl does not log in as this user"},
    KnownFlag{"db_filtered_password", true, kMysqlctl, kAny, "mysqlctl does not log in as this user"},
    KnownFlag{"db_repl_user", true, kMysqlctl, kAny, "mysqlctl does not log in as this user"},
    KnownFlag{"db_repl_password", true, kMysqlctl, kAny, "mysqlctl does not log in as this user"},
    KnownFlag{"db_app_use_ssl", false, kMysqlctl, kAny, "mysqlctl uses the socket"},
    KnownFlag{"db_appdebug_use_ssl", false, kTablet | kMysqlctl, kAny, "nothing logs in as this user"},
    KnownFlag{"db_allprivs_use_ssl", false, kMysqlctl, kAny, "mysqlctl uses the socket"},
    KnownFlag{"db_dba_use_ssl", false, kMysqlctl, kAny, "mysqlctl uses the socket"},
    KnownFlag{"db_filtered_use_ssl", false, kMysqlctl, kAny, "mysqlctl uses the socket"},
    KnownFlag{"db_repl_use_ssl", false, kTablet | kMysqlctl, "false", "replication runs without TLS"},
    // vttablet.
    KnownFlag{"enable_replication_reporter", false, kTablet, "true", "a replica always reports how far it lags"},
    KnownFlag{"watch_replication_stream", false, kTablet, "false", "replicas do not read their own binlog"},
    KnownFlag{"track_schema_versions", false, kTablet, "false", "schema versions are not recorded"},
    KnownFlag{"unmanaged", false, kTablet, "false", "the tablet manages its server"},
    KnownFlag{"tablet_config", true, kTablet, "", "settings come from flags and --config-file"},
    KnownFlag{"init_tags", true, kTablet, "", "tablets start without tags"},
    KnownFlag{"heartbeat_enable", false, kTablet, "false", "replication lag is measured without a heartbeat table"},
    KnownFlag{"heartbeat_interval", true, kTablet, kAny, "replication lag is measured without a heartbeat table"},
    KnownFlag{"enforce_strict_trans_tables", false, kTablet, kAny, "the server's own sql_mode decides"},
    KnownFlag{"remote_operation_timeout", true, kServers | kClient, kAny, "commands bound their own waits"},
    KnownFlag{"lock_timeout", true, kServers | kClient, kAny, "commands bound their own waits for locks"},
    // vtgate.
    KnownFlag{"planner-version", true, kGate, "gen4,", "there is one planner"},
    KnownFlag{"enable_system_settings", false, kGate, "true", "system settings may be set by every session"},
    KnownFlag{"schema_change_signal", false, kGate, "false", "columns come from the vschema, tables are not tracked"},
    KnownFlag{"foreign_key_mode", true, kGate, "allow", "foreign keys are left to the servers"},
    KnownFlag{"enable_partial_keyspace_migration", false, kGate, "false", "all shards of a keyspace move together"},
    KnownFlag{"normalize_queries", false, kGate, "true", "plans are always shared between values"},
    KnownFlag{"enable_direct_ddl", false, kGate, "true", "DDL statements go to the shards"},
    KnownFlag{"enable_online_ddl", false, kGate, "false", "online DDL is not offered yet"},
    KnownFlag{"dbddl_plugin", true, kGate, "fail", "databases are created with vtctldclient CreateKeyspace"},
    KnownFlag{"discovery_legacy_replication_lag_algorithm", false, kGate, "false",
              "which replicas are used follows the --discovery_* limits alone"},
    KnownFlag{"no_scatter", false, kGate, "false", "statements over all shards are allowed"},
    KnownFlag{"warn_sharded_only", false, kGate, "false", "no such warnings are given"},
    KnownFlag{"keyspaces_to_watch", true, kGate, "", "every keyspace is watched"},
    KnownFlag{"tablet_filters", true, kGate, "", "every tablet of the cells is used"},
    KnownFlag{"tablet_refresh_interval", true, kGate, kAny, "tablets are watched, not polled"},
    KnownFlag{"tablet_refresh_known_tablets", false, kGate, "true", "changes of tablets are always followed"},
    KnownFlag{"tablet_url_template", true, kGate, kAny, "the status page links to no tablets"},
    KnownFlag{"healthcheck_retry_delay", true, kGate, kAny, "a lost health stream is made again at once"},
    KnownFlag{"srv_topo_cache_ttl", true, kGate, kAny, "the topology is watched, not cached for a time"},
    KnownFlag{"srv_topo_cache_refresh", true, kGate, kAny, "the topology is watched, not cached for a time"},
    KnownFlag{"srv_topo_timeout", true, kGate, kAny, "queries never wait for the topology"},
    KnownFlag{"enable_buffer_dry_run", false, kGate, "false", "statements are held, or --enable_buffer=false"},
    KnownFlag{"buffer_implementation", true, kGate, "keyspace_events", "statements are held until the shard is back"},
    KnownFlag{"buffer_keyspace_shards", true, kGate, "", "statements of every shard are held"},
    KnownFlag{"buffer_max_failover_duration", true, kGate, kAny, "a limit; --buffer_window bounds each statement"},
    KnownFlag{"buffer_min_duration_between_failovers", true, kGate, kAny, "statements are held at every failover"},
    KnownFlag{"buffer_drain_concurrency", true, kGate, kAny, "each session runs its own statement again"},
    KnownFlag{"mysql_tcp_version", true, kGate, "tcp", "the bind address decides"},
    KnownFlag{"mysql_default_workload", true, kGate, "OLTP,oltp", "results are always streamed"},
    KnownFlag{"mysql_server_flush_delay", true, kGate, kAny, "results are sent as they come"},
    KnownFlag{"mysql_slow_connect_warn_threshold", true, kGate, "0s,0", "slow logins are not reported"},
    KnownFlag{"mysql_server_pool_conn_read_buffers", false, kGate, kAny, "idle connections hold no buffers"},
    KnownFlag{"proxy_protocol", false, kGate, "false", "the PROXY protocol is not spoken"},
    KnownFlag{"stream_buffer_size", true, kGate, kAny, "results are relayed in the packets in which they come"},
    // vtctld.
    KnownFlag{"sanitize_log_messages", false, kCtld, kAny, "line ends in log messages are always escaped"},
};

uint8_t bit_of(std::string_view program) {
  if (program == "vtgate") return kGate;
  if (program == "vttablet") return kTablet;
  if (program == "vtctld") return kCtld;
  if (program == "mysqlctl") return kMysqlctl;
  if (program == "vtctl") return kClient;
  return program.ends_with("client") ? kClient : 0;
}

}  // namespace

void declare_known_flags(Settings& settings) {
  const uint8_t program = bit_of(settings.name());
  for (const KnownFlag& flag : kFlags) {
    // A program that is not named here gets what all servers have.
    const bool meant = program == 0 ? (flag.programs & kServers) == kServers : (flag.programs & program) != 0;
    if (!meant || settings.knows(flag.name)) continue;
    Setting& setting = settings.accept(flag.name, flag.takes_value, flag.why);
    if (flag.values == kAny) continue;
    std::vector<std::string> values;
    for (const std::string_view value : split(flag.values, ',')) values.emplace_back(value);
    setting.one_of(std::move(values));
  }
}

}  // namespace vitrail::base
