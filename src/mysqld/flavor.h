#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "mysqld/rows.h"

// What differs between MySQL and MariaDB, in one place.
//
// A Flavor is pure: it returns SQL text and interprets rows. Callers own the connection, its deadline and its errors,
// and execute a list of statements in order on ONE connection, stopping at the first error.
//
// Positions are GTID texts as the server writes them: "0-100-7,7-100-1" (MariaDB: the last GTID of each domain) or
// "uuid:1-5,uuid2:1-3" (MySQL). The "MariaDB/" and "MySQL56/" prefixes of stored positions belong to mysql/gtid.h; the
// functions here accept and produce the bare text.
namespace vitrail::mysqld {

enum class FlavorKind : uint8_t { kMariaDb, kMySql };

std::string_view flavor_name(FlavorKind kind);  // "MariaDB", "MySQL"

struct Version {
  unsigned major = 0;
  unsigned minor = 0;
  unsigned patch = 0;

  auto operator<=>(const Version&) const = default;
  std::string to_string() const;  // "10.11.19"
};

struct ServerVersion {
  FlavorKind kind = FlavorKind::kMySql;
  Version version;
  std::string text;  // As the server wrote it, without a trailing newline.
};

// Reads the line printed by `mysqld --version`:
//   "mariadbd  Ver 10.11.19-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64 (Debian 12)"
//   "/usr/sbin/mysqld  Ver 8.4.3 for Linux on x86_64 (MySQL Community Server - GPL)"
//   kInvalidArgument  the text has no version.
Result<ServerVersion> parse_version_output(std::string_view text);

// Reads @@version or the server version of the handshake; drops the "5.5.5-" that MariaDB before 11 puts in front
// there.
Result<ServerVersion> parse_server_version(std::string_view text);

// Where a replica gets its data.
struct ReplicationSource {
  std::string host;
  uint16_t port = 0;
  std::string user;
  std::string password;
  std::chrono::seconds connect_retry{10};
  std::chrono::milliseconds heartbeat{0};  // 0: the server's default.
  bool use_tls = false;
  std::string tls_ca;  // Files on the replica's host; "" leaves the setting out.
  std::string tls_cert;
  std::string tls_key;
};

enum class ThreadState : uint8_t { kStopped, kConnecting, kRunning };

// What one replica says about its replication. Field meanings follow replicationdata.Status.
struct ReplicationStatus {
  ThreadState io_state = ThreadState::kStopped;
  ThreadState sql_state = ThreadState::kStopped;
  std::string source_host;  // "" when no source is configured.
  uint16_t source_port = 0;
  std::string source_user;
  uint32_t source_server_id = 0;
  std::string source_uuid;  // MySQL only.
  uint32_t connect_retry_seconds = 0;
  bool auto_position = false;  // The replica asks by GTID, not by file and offset.
  std::string using_gtid;      // MariaDB: "No", "Slave_Pos", "Current_Pos".
  bool tls = false;
  uint32_t sql_delay_seconds = 0;
  bool has_filters = false;

  // Seconds behind the source as the server estimates it. Unknown (nullopt) while a thread does not run.
  std::optional<uint32_t> lag_seconds;

  std::string executed;  // GTIDs applied. MariaDB: gtid_slave_pos, so own writes are not in it.
  // GTIDs applied or waiting in the relay log. MariaDB names the last event group it began to receive, so the last
  // transaction may be incomplete when the source died in the middle of it; such a transaction is never applied, and a
  // wait for it times out.
  std::string received;

  std::string source_log_file;  // Read position in the source's binlog.
  uint64_t source_log_position = 0;
  std::string applied_source_log_file;  // Applied position, in the source's coordinates.
  uint64_t applied_source_log_position = 0;
  std::string relay_log_file;
  uint64_t relay_log_position = 0;

  uint32_t last_io_errno = 0;
  std::string last_io_error;
  uint32_t last_sql_errno = 0;
  std::string last_sql_error;

  bool has_source() const { return !source_host.empty(); }
  bool healthy() const { return io_state == ThreadState::kRunning && sql_state == ThreadState::kRunning; }
};

// Settings and state of one server, for health checks and GetFullStatus.
struct ServerSettings {
  uint32_t server_id = 0;
  std::string server_uuid;  // "" on MariaDB.
  std::string version;
  std::string version_comment;
  bool read_only = false;
  // MariaDB has no super_read_only: it reports read_only here too, which is what callers ask ("may applications
  // write?").
  bool super_read_only = false;
  bool log_bin = false;
  bool log_replica_updates = false;
  std::string binlog_format;
  std::string binlog_row_image;
  std::string gtid_mode;  // "ON" on MariaDB, where GTIDs cannot be switched off.
  std::string binlog_file;
  uint64_t binlog_position = 0;
};

struct SemiSyncStatus {
  bool installed = false;  // MySQL: the plugins are loaded. MariaDB: always.
  bool source_enabled = false;
  bool replica_enabled = false;
  bool source_active = false;   // Enabled and not fallen back to asynchronous.
  bool replica_active = false;  // The IO thread negotiated semi-sync with its source.
  uint32_t source_clients = 0;  // Semi-sync replicas connected.
  uint32_t wait_for_replicas = 0;
  uint64_t timeout_ms = 0;
  uint64_t waiting_sessions = 0;  // Commits that wait for an acknowledgement now.
};

// Commits wait as long as it takes: a source that went on without acknowledgements would break the promise silently.
inline constexpr uint64_t kSemiSyncTimeoutMs = 1'000'000'000'000'000'000;

// One step towards a consistent snapshot; see Flavor::snapshot().
struct SnapshotStep {
  enum class Connection : uint8_t { kSnapshot, kLock };
  Connection connection = Connection::kSnapshot;
  std::string sql;
  bool yields_position = false;  // Give its rows to Flavor::parse_position().
};

// What a connection is for; see Flavor::connection_setup().
enum class ConnectionPurpose : uint8_t {
  kApp,    // Statements of applications.
  kDba,    // The agent's own administration.
  kCopy,   // Reads rows for another server: bytes as stored, times in UTC.
  kApply,  // Writes rows that another server produced: no re-interpretation, no foreign key checks.
};

class Flavor {
 public:
  virtual ~Flavor() = default;

  //   kUnimplemented  older than the oldest supported server (MariaDB 10.5, MySQL 8.0.22).
  static Result<std::unique_ptr<Flavor>> make(const ServerVersion& version);

  const ServerVersion& server() const { return server_; }
  FlavorKind kind() const { return server_.kind; }

  // ---- Replication commands. All lists are safe to repeat.

  // Points the replica at `source` by GTID, from what this server has executed. Replication must be stopped; it stays
  // stopped. Works on a fresh replica, on one that followed another source, and on a former primary: its own
  // transactions count as executed. The text holds the password: do not log it.
  virtual std::vector<std::string> set_source(const ReplicationSource& source) const = 0;
  virtual std::vector<std::string> start_replication() const = 0;
  virtual std::vector<std::string> start_replication_until(std::string_view position) const = 0;
  // Stops both threads. MariaDB forgets its relay log whenever both are stopped, so what was received and not yet
  // applied is lost if the source is: before a promotion have the SQL thread running, stop the IO thread only, and wait
  // for `received`.
  virtual std::vector<std::string> stop_replication() const = 0;
  virtual std::vector<std::string> start_io_thread() const = 0;
  virtual std::vector<std::string> stop_io_thread() const = 0;
  virtual std::vector<std::string> start_sql_thread() const = 0;
  virtual std::vector<std::string> stop_sql_thread() const = 0;
  // Stops and forgets the source; keeps what was executed. Does not make the server writable: that is the caller's last
  // step, after semi-sync is set.
  virtual std::vector<std::string> promote() const = 0;
  // Stops, forgets the source, DELETES ALL BINARY LOGS and the executed position. For a server that is being set up.
  virtual std::vector<std::string> reset_all() const = 0;
  // For a server whose data equals another server's at `position` (a restored backup, a cloned copy): wipes binary logs
  // and makes `position` both the executed position and the start of this server's binlog. "" means empty. The server
  // needs a server_id that it never had before (ConfigOptions::server_id tells why).
  virtual std::vector<std::string> set_executed_position(std::string_view position) const = 0;

  virtual std::string replication_status_query() const = 0;
  // No rows: a status without source, all stopped. kInternal: columns are missing.
  virtual Result<ReplicationStatus> parse_replication_status(const Rows& rows) const = 0;

  // ---- Positions.

  // What this server has executed, own writes and replicated ones.
  virtual std::string position_query() const = 0;
  // Reads the result of position_query(), or of the snapshot step that yields the position.
  //   kInternal            not one row, or not a position.
  //   kFailedPrecondition  NULL: the binlog is off, or the file was purged.
  virtual Result<std::string> parse_position(const Rows& rows) const = 0;

  // Waits inside the server until `position` is executed, at most `timeout` (rounded up to 1 ms or 1 s, never "for
  // ever"). On MariaDB it watches replicated transactions only: on a server that is not a replica it times out unless
  // the position was replicated before; compare position_query() first.
  virtual std::string wait_for_position(std::string_view position, std::chrono::milliseconds timeout) const = 0;
  //   kDeadlineExceeded  not reached in time.   kFailedPrecondition  replication was stopped while waiting.
  virtual Status parse_wait_for_position(const Rows& rows) const = 0;

  // ---- State.

  virtual std::vector<std::string> set_read_only(bool read_only) const = 0;
  virtual std::string server_settings_query() const = 0;
  Result<ServerSettings> parse_server_settings(const Rows& rows) const;
  // Adds binlog file and offset (SHOW MASTER STATUS under its several names) to settings.
  virtual std::string binlog_file_query() const = 0;
  Status parse_binlog_file(const Rows& rows, ServerSettings& settings) const;

  // A replica's IO thread takes a new replica setting over when it starts: stop and start it afterwards.
  virtual std::vector<std::string> set_semi_sync(bool source, bool replica) const = 0;
  // Both are name/value lists; give the rows of the two queries to parse_semi_sync().
  virtual std::string semi_sync_variables_query() const = 0;
  virtual std::string semi_sync_status_query() const = 0;
  virtual Result<SemiSyncStatus> parse_semi_sync(const Rows& variables, const Rows& status) const = 0;

  // ---- Data.

  // Steps that open a transaction on the kSnapshot connection which sees exactly the transactions of a position.
  // Execute them in order, each on its connection; `tables` are quoted names ("`db`.`t`") and matter to flavors that
  // need a lock for a moment (on the kLock connection; it needs the privilege LOCK TABLES and RELOAD).
  // After a failure close both connections: that releases everything.
  virtual std::vector<SnapshotStep> snapshot(std::span<const std::string> tables) const = 0;

  virtual std::vector<std::string> connection_setup(ConnectionPurpose purpose) const = 0;
  // Bounds the run time of this session's statements; 0 removes the bound. MySQL bounds SELECTs only.
  virtual std::string statement_timeout(std::chrono::milliseconds timeout) const = 0;

  // Lower-case names of the schemas that belong to the server.
  virtual std::span<const std::string_view> system_schemas() const = 0;
  bool is_system_schema(std::string_view name) const;  // Ignores ASCII case.

  // ---- Setting up a server.

  // Flavor-specific lines for the [mysqld] section: GTIDs, binlog, semi-sync.
  virtual std::vector<std::string> config_lines() const = 0;
  // The accounts vt_dba, vt_app, vt_appdebug, vt_allprivs, vt_filtered, vt_monitoring (@localhost, no password) and
  // vt_repl (@'%'), safe to repeat, not written into the binlog. One statement per line, each ends with ";".
  virtual std::string default_init_sql() const = 0;
  // Run before any init file: removes anonymous and remote administrators that the bootstrap created.
  virtual std::string hardening_sql() const = 0;

 protected:
  explicit Flavor(ServerVersion server) : server_(std::move(server)) {}

 private:
  ServerVersion server_;
};

}  // namespace vitrail::mysqld
