#include <fmt/core.h>

#include "base/text.h"
#include "mysqld/flavor_kinds.h"

// MariaDB's GTIDs are domain-server-sequence; a position holds the last GTID of every domain. Three variables hold one:
//
//   gtid_binlog_pos   last GTID per domain in this server's binlog: own writes, and with log_slave_updates the
//                     replicated ones. Empty after data was restored into a server with an empty binlog.
//   gtid_slave_pos    last GTID per domain that replication applied. Does not move on a primary.
//   gtid_current_pos  their union, but it takes a binlog entry only when that entry's server id is the server's own.
//
// "What has this server executed" is the domain-wise maximum of the first two: under gtid_strict_mode sequence numbers
// only grow within a domain. gtid_current_pos equals it except when the server id was changed, so it serves where an
// SQL expression is needed (set_source), and the maximum everywhere else.
//
// Consistent snapshots: START TRANSACTION WITH CONSISTENT SNAPSHOT takes InnoDB's read view and the binlog coordinate
// under the same commit lock. The coordinate stays readable in this session as the status variables
// Binlog_snapshot_file and Binlog_snapshot_position, and BINLOG_GTID_POS() turns it into a position of all domains,
// also after later writes and rotations (tested, with writers in two domains). READ COMMITTED would silently give no
// snapshot, so the isolation level is set first. The position is read at once: were the file purged in between, the
// server gives NULL, and the caller begins anew. After the transaction ends the variables follow the end of the binlog.
namespace vitrail::mysqld {
namespace {

constexpr std::string_view kSystemSchemas[] = {"information_schema", "mysql", "performance_schema", "sys"};

constexpr ReplicationColumns kColumns{
    .io_running = "Slave_IO_Running",
    .sql_running = "Slave_SQL_Running",
    .host = "Master_Host",
    .port = "Master_Port",
    .user = "Master_User",
    .server_id = "Master_Server_Id",
    .lag = "Seconds_Behind_Master",
    .read_file = "Master_Log_File",
    .read_position = "Read_Master_Log_Pos",
    .applied_file = "Relay_Master_Log_File",
    .applied_position = "Exec_Master_Log_Pos",
    .tls = "Master_SSL_Allowed",
};

std::string session_status(std::string_view name) {
  return fmt::format("(SELECT variable_value FROM information_schema.session_status WHERE variable_name = '{}')", name);
}

class MariaDbFlavor final : public Flavor {
 public:
  explicit MariaDbFlavor(ServerVersion server) : Flavor(std::move(server)) {}

  std::vector<std::string> set_source(const ReplicationSource& source) const override {
    std::string change = fmt::format(
        "CHANGE MASTER TO MASTER_HOST = {}, MASTER_PORT = {}, MASTER_USER = {}, MASTER_PASSWORD = {}, "
        "MASTER_CONNECT_RETRY = {}",
        quote_string(source.host), source.port, quote_string(source.user), quote_string(source.password),
        source.connect_retry.count());
    if (source.heartbeat.count() > 0) change += ", MASTER_HEARTBEAT_PERIOD = " + seconds_text(source.heartbeat);
    change += source.use_tls ? ", MASTER_SSL = 1" : ", MASTER_SSL = 0";
    if (!source.tls_ca.empty()) change += ", MASTER_SSL_CA = " + quote_string(source.tls_ca);
    if (!source.tls_cert.empty()) change += ", MASTER_SSL_CERT = " + quote_string(source.tls_cert);
    if (!source.tls_key.empty()) change += ", MASTER_SSL_KEY = " + quote_string(source.tls_key);
    change += ", MASTER_USE_GTID = slave_pos";
    // A former primary's own writes are in its binlog only; without this it would ask for them again.
    return {"SET GLOBAL gtid_slave_pos = @@global.gtid_current_pos", std::move(change)};
  }
  std::vector<std::string> start_replication() const override { return {"START SLAVE"}; }
  std::vector<std::string> start_replication_until(std::string_view position) const override {
    return {"START SLAVE UNTIL master_gtid_pos = " + quote_string(position)};
  }
  std::vector<std::string> stop_replication() const override { return {"STOP SLAVE"}; }
  std::vector<std::string> start_io_thread() const override { return {"START SLAVE IO_THREAD"}; }
  std::vector<std::string> stop_io_thread() const override { return {"STOP SLAVE IO_THREAD"}; }
  std::vector<std::string> start_sql_thread() const override { return {"START SLAVE SQL_THREAD"}; }
  std::vector<std::string> stop_sql_thread() const override { return {"STOP SLAVE SQL_THREAD"}; }
  std::vector<std::string> promote() const override { return {"STOP SLAVE", "RESET SLAVE ALL"}; }
  std::vector<std::string> reset_all() const override {
    return {"STOP SLAVE", "RESET SLAVE ALL", "RESET MASTER", "SET GLOBAL gtid_slave_pos = ''"};
  }
  std::vector<std::string> set_executed_position(std::string_view position) const override {
    std::string text = quote_string(position);
    // The binlog state makes the empty binlog begin at the position, so that others may stream from there.
    return {"STOP SLAVE", "RESET SLAVE ALL", "RESET MASTER", "SET GLOBAL gtid_binlog_state = " + text,
            "SET GLOBAL gtid_slave_pos = " + text};
  }

  // The ALL form is the one that shows Gtid_Slave_Pos.
  std::string replication_status_query() const override { return "SHOW ALL SLAVES STATUS"; }
  Result<ReplicationStatus> parse_replication_status(const Rows& rows) const override {
    for (size_t i = 0; i < rows.rows.size(); ++i) {
      // Named connections belong to somebody else's multi-source set-up.
      if (!rows.get(i, "Connection_name").value_or("").empty()) continue;
      ASSIGN_OR_RETURN(ReplicationStatus status, parse_common_status(rows, i, kColumns));
      status.using_gtid = rows.get(i, "Using_Gtid").value_or("");
      status.auto_position = !status.using_gtid.empty() && !base::equals_ignoring_case(status.using_gtid, "No");
      status.executed = rows.get(i, "Gtid_Slave_Pos").value_or("");
      ASSIGN_OR_RETURN(status.received,
                       merge_mariadb_positions(status.executed, rows.get(i, "Gtid_IO_Pos").value_or("")));
      return status;
    }
    return ReplicationStatus{};
  }

  std::string position_query() const override { return "SELECT @@global.gtid_binlog_pos, @@global.gtid_slave_pos"; }
  Result<std::string> parse_position(const Rows& rows) const override {
    if (rows.rows.size() != 1 || rows.rows[0].empty()) {
      return fail(Code::kInternal, "the position query did not return one row");
    }
    auto first = rows.get(0, size_t{0});
    if (!first) {
      return fail(Code::kFailedPrecondition,
                  "the server gave no position: its binary log is off, or the file was purged meanwhile");
    }
    return merge_mariadb_positions(*first, rows.get(0, size_t{1}).value_or(""));
  }

  std::string wait_for_position(std::string_view position, std::chrono::milliseconds timeout) const override {
    return fmt::format("SELECT MASTER_GTID_WAIT({}, {})", quote_string(position), seconds_text(timeout));
  }
  Status parse_wait_for_position(const Rows& rows) const override {
    auto value = to_int(rows.get(0, size_t{0}));
    if (value && *value >= 0) return {};
    if (value) return fail(Code::kDeadlineExceeded, "the position was not reached in time");
    return fail(Code::kFailedPrecondition, "the server could not wait for the position");
  }

  std::vector<std::string> set_read_only(bool read_only) const override {
    return {read_only ? "SET GLOBAL read_only = ON" : "SET GLOBAL read_only = OFF"};
  }
  std::string server_settings_query() const override {
    return "SELECT @@global.server_id AS server_id, '' AS server_uuid, @@global.version AS version, "
           "@@global.version_comment AS version_comment, @@global.read_only AS read_only, "
           "@@global.read_only AS super_read_only, @@global.log_bin AS log_bin, "
           "@@global.log_slave_updates AS log_replica_updates, @@global.binlog_format AS binlog_format, "
           "@@global.binlog_row_image AS binlog_row_image, 'ON' AS gtid_mode";
  }
  std::string binlog_file_query() const override { return "SHOW MASTER STATUS"; }

  std::vector<std::string> set_semi_sync(bool source, bool replica) const override {
    // A replica that is told to receive no more first tells its source, by another connection, to forget it. A source
    // that stands still takes this time (s), and an emergency reparent waits for it.
    return {"SET GLOBAL rpl_semi_sync_slave_kill_conn_timeout = 1",
            "SET GLOBAL rpl_semi_sync_master_timeout = " + std::to_string(kSemiSyncTimeoutMs),
            source ? "SET GLOBAL rpl_semi_sync_master_enabled = ON" : "SET GLOBAL rpl_semi_sync_master_enabled = OFF",
            replica ? "SET GLOBAL rpl_semi_sync_slave_enabled = ON" : "SET GLOBAL rpl_semi_sync_slave_enabled = OFF"};
  }
  std::string semi_sync_variables_query() const override {
    return "SHOW GLOBAL VARIABLES LIKE 'rpl\\_semi\\_sync\\_%'";
  }
  std::string semi_sync_status_query() const override { return "SHOW GLOBAL STATUS LIKE 'Rpl\\_semi\\_sync\\_%'"; }
  Result<SemiSyncStatus> parse_semi_sync(const Rows& variables, const Rows& status) const override {
    return parse_semi_sync_lists(variables, status, true);
  }

  std::vector<SnapshotStep> snapshot(std::span<const std::string>) const override {
    using enum SnapshotStep::Connection;
    return {{kSnapshot, "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ", false},
            {kSnapshot, "START TRANSACTION WITH CONSISTENT SNAPSHOT", false},
            {kSnapshot,
             fmt::format("SELECT BINLOG_GTID_POS({}, {})", session_status("BINLOG_SNAPSHOT_FILE"),
                         session_status("BINLOG_SNAPSHOT_POSITION")),
             true}};
  }

  std::vector<std::string> connection_setup(ConnectionPurpose purpose) const override {
    switch (purpose) {
      case ConnectionPurpose::kApp:
      case ConnectionPurpose::kDba: return {};
      case ConnectionPurpose::kCopy:
        return {"SET NAMES binary",
                "SET SESSION time_zone = '+00:00', SESSION net_read_timeout = 600, SESSION net_write_timeout = 600, "
                "SESSION max_statement_time = 0"};
      case ConnectionPurpose::kApply:
        // Strict, so that nothing is cut silently; but what the source stored is accepted (zero and odd dates, 0 in an
        // AUTO_INCREMENT column, rows older than a CHECK constraint).
        return {
            "SET NAMES binary",
            "SET SESSION time_zone = '+00:00', SESSION foreign_key_checks = 0, SESSION check_constraint_checks = 0, "
            "SESSION sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES,"
            "NO_ENGINE_SUBSTITUTION', SESSION max_statement_time = 0"};
    }
    return {};
  }
  std::string statement_timeout(std::chrono::milliseconds timeout) const override {
    return "SET SESSION max_statement_time = " + (timeout.count() <= 0 ? std::string("0") : seconds_text(timeout));
  }

  std::span<const std::string_view> system_schemas() const override { return kSystemSchemas; }

  std::vector<std::string> config_lines() const override {
    return {"gtid_domain_id = 0", "gtid_strict_mode = ON", "log_slave_updates = ON", "binlog_row_metadata = FULL",
            // Semi-sync is built in; the tablet switches it on. Losing data quietly by falling back is never wanted.
            "rpl_semi_sync_master_timeout = " + std::to_string(kSemiSyncTimeoutMs),
            "rpl_semi_sync_master_wait_no_slave = ON", "rpl_semi_sync_master_wait_point = AFTER_SYNC",
            // A slave's own schedule of retries: reconnect soon, give up never.
            "slave_net_timeout = 10", "slave_transaction_retries = 100"};
  }

  std::string hardening_sql() const override {
    return "SET SESSION sql_log_bin = 0;\n"
           "DROP USER IF EXISTS ''@'localhost', 'root'@'127.0.0.1', 'root'@'::1';\n"
           "DROP DATABASE IF EXISTS test;\n";
  }
  std::string default_init_sql() const override {
    constexpr std::string_view kData =
        "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, RELOAD, PROCESS, REFERENCES, INDEX, ALTER, SHOW DATABASES, "
        "CREATE TEMPORARY TABLES, LOCK TABLES, EXECUTE, CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, EVENT, "
        "TRIGGER, DELETE HISTORY";
    std::string sql = "SET SESSION sql_log_bin = 0;\n";
    auto account = [&](std::string_view name, std::string_view privileges, std::string_view option = "") {
      sql += fmt::format("CREATE USER IF NOT EXISTS {};\nGRANT {} ON *.* TO {}{};\n", name, privileges, name, option);
    };
    account("'vt_dba'@'localhost'", "ALL PRIVILEGES", " WITH GRANT OPTION");
    account("'vt_app'@'localhost'", "USAGE");  // Its tablet gives it the keyspace's database (app_account.h).
    account("'vt_appdebug'@'localhost'", "SELECT, SHOW DATABASES, PROCESS");
    account("'vt_allprivs'@'localhost'",
            fmt::format("{}, FILE, CREATE USER, BINLOG MONITOR, REPLICATION SLAVE, SLAVE MONITOR", kData));
    account("'vt_filtered'@'localhost'",
            fmt::format("{}, FILE, BINLOG MONITOR, BINLOG ADMIN, REPLICATION SLAVE, SLAVE MONITOR", kData));
    account("'vt_monitoring'@'localhost'", "SELECT, PROCESS, BINLOG MONITOR, SLAVE MONITOR");
    account("'vt_repl'@'%'", "REPLICATION SLAVE");
    return sql;
  }
};

}  // namespace

std::unique_ptr<Flavor> make_mariadb_flavor(ServerVersion server) {
  return std::make_unique<MariaDbFlavor>(std::move(server));
}

}  // namespace vitrail::mysqld
