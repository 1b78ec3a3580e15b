#include <fmt/core.h>

#include <algorithm>

#include "mysqld/flavor_kinds.h"

// MySQL's GTIDs are uuid:sequence; the executed set is @@gtid_executed, own writes and replicated ones alike.
//
// Names moved over time: START REPLICA, SHOW REPLICA STATUS since 8.0.22; CHANGE REPLICATION SOURCE TO since 8.0.23;
// the source/replica semi-sync plugins and log_replica_updates since 8.0.26; SHOW BINARY LOG STATUS and RESET BINARY
// LOGS AND GTIDS since 8.2, which are the only forms in 8.4.
//
// Consistent snapshots: the server has no way to ask for the GTID set of a read view, so a READ lock on the tables
// (held by another connection, for as long as two statements take) keeps their writers out while the view is opened and
// the set is read. LOCK TABLES returns only when every transaction that wrote those tables has ended, and with it its
// GTID is in the set. Transactions on other tables may or may not be in the set; those rows are not part of the copy.
namespace vitrail::mysqld {
namespace {

constexpr std::string_view kSystemSchemas[] = {"information_schema", "mysql", "performance_schema", "sys", "ndbinfo"};

constexpr ReplicationColumns kColumns{
    .io_running = "Replica_IO_Running",
    .sql_running = "Replica_SQL_Running",
    .host = "Source_Host",
    .port = "Source_Port",
    .user = "Source_User",
    .server_id = "Source_Server_Id",
    .lag = "Seconds_Behind_Source",
    .read_file = "Source_Log_File",
    .read_position = "Read_Source_Log_Pos",
    .applied_file = "Relay_Source_Log_File",
    .applied_position = "Exec_Source_Log_Pos",
    .tls = "Source_SSL_Allowed",
};

class MySqlFlavor final : public Flavor {
 public:
  explicit MySqlFlavor(ServerVersion server) : Flavor(std::move(server)) {}

  // By itself the server gives up at some time, since 8.4 after ten attempts, and a source may take longer to restart.
  std::vector<std::string> set_source(const ReplicationSource& source) const override {
    bool renamed = at_least({8, 0, 23});
    std::string_view role = renamed ? "SOURCE" : "MASTER";
    std::string change = fmt::format(
        "CHANGE {} TO {}_HOST = {}, {}_PORT = {}, {}_USER = {}, {}_PASSWORD = {}, {}_CONNECT_RETRY = {}, "
        "{}_RETRY_COUNT = 0, GET_{}_PUBLIC_KEY = 1",
        renamed ? "REPLICATION SOURCE" : "MASTER", role, quote_string(source.host), role, source.port, role,
        quote_string(source.user), role, quote_string(source.password), role, source.connect_retry.count(), role, role);
    auto add = [&](std::string_view name, const std::string& value) {
      change += fmt::format(", {}_{} = {}", role, name, value);
    };
    if (source.heartbeat.count() > 0) add("HEARTBEAT_PERIOD", seconds_text(source.heartbeat));
    add("SSL", source.use_tls ? "1" : "0");
    if (!source.tls_ca.empty()) add("SSL_CA", quote_string(source.tls_ca));
    if (!source.tls_cert.empty()) add("SSL_CERT", quote_string(source.tls_cert));
    if (!source.tls_key.empty()) add("SSL_KEY", quote_string(source.tls_key));
    add("AUTO_POSITION", "1");
    return {std::move(change)};
  }
  std::vector<std::string> start_replication() const override { return {"START REPLICA"}; }
  std::vector<std::string> start_replication_until(std::string_view position) const override {
    return {"START REPLICA UNTIL SQL_AFTER_GTIDS = " + quote_string(position)};
  }
  std::vector<std::string> stop_replication() const override { return {"STOP REPLICA"}; }
  std::vector<std::string> start_io_thread() const override { return {"START REPLICA IO_THREAD"}; }
  std::vector<std::string> stop_io_thread() const override { return {"STOP REPLICA IO_THREAD"}; }
  std::vector<std::string> start_sql_thread() const override { return {"START REPLICA SQL_THREAD"}; }
  std::vector<std::string> stop_sql_thread() const override { return {"STOP REPLICA SQL_THREAD"}; }
  std::vector<std::string> promote() const override { return {"STOP REPLICA", "RESET REPLICA ALL"}; }
  std::vector<std::string> reset_all() const override { return {"STOP REPLICA", "RESET REPLICA ALL", reset_binlogs()}; }
  std::vector<std::string> set_executed_position(std::string_view position) const override {
    return {"STOP REPLICA", "RESET REPLICA ALL", reset_binlogs(), "SET GLOBAL gtid_purged = " + quote_string(position)};
  }

  std::string replication_status_query() const override { return "SHOW REPLICA STATUS"; }
  Result<ReplicationStatus> parse_replication_status(const Rows& rows) const override {
    for (size_t i = 0; i < rows.rows.size(); ++i) {
      if (!rows.get(i, "Channel_Name").value_or("").empty()) continue;
      ASSIGN_OR_RETURN(ReplicationStatus status, parse_common_status(rows, i, kColumns));
      status.source_uuid = rows.get(i, "Source_UUID").value_or("");
      status.auto_position = to_bool(rows.get(i, "Auto_Position"));
      // SHOW breaks long sets over lines; parsing puts them right.
      ASSIGN_OR_RETURN(status.executed, merge_mysql_positions(rows.get(i, "Executed_Gtid_Set").value_or(""), ""));
      ASSIGN_OR_RETURN(status.received,
                       merge_mysql_positions(status.executed, rows.get(i, "Retrieved_Gtid_Set").value_or("")));
      return status;
    }
    return ReplicationStatus{};
  }

  std::string position_query() const override { return "SELECT @@global.gtid_executed"; }
  Result<std::string> parse_position(const Rows& rows) const override {
    if (rows.rows.size() != 1 || rows.rows[0].empty()) {
      return fail(Code::kInternal, "the position query did not return one row");
    }
    auto value = rows.get(0, size_t{0});
    if (!value) return fail(Code::kFailedPrecondition, "the server gave no position: GTIDs are off");
    return merge_mysql_positions(*value, "");
  }

  std::string wait_for_position(std::string_view position, std::chrono::milliseconds timeout) const override {
    return fmt::format("SELECT WAIT_FOR_EXECUTED_GTID_SET({}, {})", quote_string(position), seconds_text(timeout));
  }
  Status parse_wait_for_position(const Rows& rows) const override {
    auto value = to_int(rows.get(0, size_t{0}));
    if (value && *value == 0) return {};
    if (value) return fail(Code::kDeadlineExceeded, "the position was not reached in time");
    return fail(Code::kFailedPrecondition, "the server could not wait for the position");
  }

  std::vector<std::string> set_read_only(bool read_only) const override {
    // super_read_only = ON implies read_only = ON, and read_only = OFF implies super_read_only = OFF.
    return {read_only ? "SET GLOBAL super_read_only = ON" : "SET GLOBAL read_only = OFF"};
  }
  std::string server_settings_query() const override {
    return fmt::format(
        "SELECT @@global.server_id AS server_id, @@global.server_uuid AS server_uuid, @@global.version AS version, "
        "@@global.version_comment AS version_comment, @@global.read_only AS read_only, "
        "@@global.super_read_only AS super_read_only, @@global.log_bin AS log_bin, "
        "@@global.{} AS log_replica_updates, @@global.binlog_format AS binlog_format, "
        "@@global.binlog_row_image AS binlog_row_image, @@global.gtid_mode AS gtid_mode",
        at_least({8, 0, 26}) ? "log_replica_updates" : "log_slave_updates");
  }
  std::string binlog_file_query() const override {
    return at_least({8, 2, 0}) ? "SHOW BINARY LOG STATUS" : "SHOW MASTER STATUS";
  }

  std::vector<std::string> set_semi_sync(bool source, bool replica) const override {
    bool renamed = at_least({8, 0, 26});
    return {
        fmt::format("SET GLOBAL rpl_semi_sync_{}_timeout = {}", renamed ? "source" : "master", kSemiSyncTimeoutMs),
        fmt::format("SET GLOBAL rpl_semi_sync_{}_enabled = {}", renamed ? "source" : "master", source ? "ON" : "OFF"),
        fmt::format("SET GLOBAL rpl_semi_sync_{}_enabled = {}", renamed ? "replica" : "slave", replica ? "ON" : "OFF")};
  }
  std::string semi_sync_variables_query() const override {
    return "SHOW GLOBAL VARIABLES LIKE 'rpl\\_semi\\_sync\\_%'";
  }
  std::string semi_sync_status_query() const override { return "SHOW GLOBAL STATUS LIKE 'Rpl\\_semi\\_sync\\_%'"; }
  Result<SemiSyncStatus> parse_semi_sync(const Rows& variables, const Rows& status) const override {
    return parse_semi_sync_lists(variables, status, false);
  }

  std::vector<SnapshotStep> snapshot(std::span<const std::string> tables) const override {
    using enum SnapshotStep::Connection;
    std::string lock = "FLUSH TABLES WITH READ LOCK";
    if (!tables.empty()) {
      lock = "LOCK TABLES ";
      for (size_t i = 0; i < tables.size(); ++i) lock += fmt::format("{}{} READ", i == 0 ? "" : ", ", tables[i]);
    }
    return {{kSnapshot, "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ", false},
            {kLock, std::move(lock), false},
            {kSnapshot, "START TRANSACTION WITH CONSISTENT SNAPSHOT", false},
            {kLock, position_query(), true},
            {kLock, "UNLOCK TABLES", false}};
  }

  std::vector<std::string> connection_setup(ConnectionPurpose purpose) const override {
    switch (purpose) {
      case ConnectionPurpose::kApp:
      case ConnectionPurpose::kDba: return {};
      case ConnectionPurpose::kCopy:
        return {"SET NAMES binary",
                "SET SESSION time_zone = '+00:00', SESSION net_read_timeout = 600, SESSION net_write_timeout = 600, "
                "SESSION max_execution_time = 0"};
      case ConnectionPurpose::kApply:
        return {"SET NAMES binary",
                "SET SESSION time_zone = '+00:00', SESSION foreign_key_checks = 0, "
                "SESSION sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES,"
                "NO_ENGINE_SUBSTITUTION', SESSION max_execution_time = 0"};
    }
    return {};
  }
  std::string statement_timeout(std::chrono::milliseconds timeout) const override {
    return fmt::format("SET SESSION max_execution_time = {}", std::max<long long>(0, timeout.count()));
  }

  std::span<const std::string_view> system_schemas() const override { return kSystemSchemas; }

  std::vector<std::string> config_lines() const override {
    std::vector<std::string> lines = {"gtid_mode = ON",
                                      "enforce_gtid_consistency = ON",
                                      "binlog_row_metadata = FULL",
                                      "relay_log_recovery = ON",
                                      "mysqlx = OFF",
                                      "local_infile = ON"};
    if (at_least({8, 0, 26})) {
      lines.insert(lines.end(),
                   {"log_replica_updates = ON", "plugin-load-add = rpl_semi_sync_source=semisync_source.so",
                    "plugin-load-add = rpl_semi_sync_replica=semisync_replica.so",
                    fmt::format("loose_rpl_semi_sync_source_timeout = {}", kSemiSyncTimeoutMs),
                    "loose_rpl_semi_sync_source_wait_no_replica = ON", "replica_net_timeout = 10"});
    } else {
      lines.insert(lines.end(), {"log_slave_updates = ON", "plugin-load-add = rpl_semi_sync_master=semisync_master.so",
                                 "plugin-load-add = rpl_semi_sync_slave=semisync_slave.so",
                                 fmt::format("loose_rpl_semi_sync_master_timeout = {}", kSemiSyncTimeoutMs),
                                 "loose_rpl_semi_sync_master_wait_no_slave = ON", "slave_net_timeout = 10"});
    }
    return lines;
  }

  std::string hardening_sql() const override {
    return "SET GLOBAL super_read_only = OFF;\n"
           "SET SESSION sql_log_bin = 0;\n"
           "DROP USER IF EXISTS ''@'localhost', 'root'@'127.0.0.1', 'root'@'::1';\n"
           "DROP DATABASE IF EXISTS test;\n";
  }
  std::string default_init_sql() const override {
    constexpr std::string_view kData =
        "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, RELOAD, PROCESS, REFERENCES, INDEX, ALTER, SHOW DATABASES, "
        "CREATE TEMPORARY TABLES, LOCK TABLES, EXECUTE, CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, EVENT, "
        "TRIGGER";
    std::string sql = "SET GLOBAL super_read_only = OFF;\nSET SESSION sql_log_bin = 0;\n";
    auto account = [&](std::string_view name, std::string_view privileges, std::string_view option = "") {
      sql += fmt::format("CREATE USER IF NOT EXISTS {};\nGRANT {} ON *.* TO {}{};\n", name, privileges, name, option);
    };
    account("'vt_dba'@'localhost'", "ALL PRIVILEGES", " WITH GRANT OPTION");
    account("'vt_app'@'localhost'", "USAGE");  // Its tablet gives it the keyspace's database (app_account.h).
    account("'vt_appdebug'@'localhost'", "SELECT, SHOW DATABASES, PROCESS");
    account("'vt_allprivs'@'localhost'",
            fmt::format("{}, FILE, CREATE USER, REPLICATION CLIENT, REPLICATION SLAVE", kData));
    account("'vt_filtered'@'localhost'", fmt::format("{}, FILE, REPLICATION CLIENT, REPLICATION SLAVE", kData));
    sql += "GRANT SESSION_VARIABLES_ADMIN ON *.* TO 'vt_filtered'@'localhost';\n";
    account("'vt_monitoring'@'localhost'", "SELECT, PROCESS, REPLICATION CLIENT");
    account("'vt_repl'@'%'", "REPLICATION SLAVE");
    return sql;
  }

 private:
  bool at_least(Version version) const { return server().version >= version; }
  std::string reset_binlogs() const { return at_least({8, 2, 0}) ? "RESET BINARY LOGS AND GTIDS" : "RESET MASTER"; }
};

}  // namespace

std::unique_ptr<Flavor> make_mysql_flavor(ServerVersion server) {
  return std::make_unique<MySqlFlavor>(std::move(server));
}

}  // namespace vitrail::mysqld
