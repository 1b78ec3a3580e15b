#include "mysqld/flavor.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>

#include "base/text.h"
#include "mysql/gtid.h"
#include "mysqld/flavor_kinds.h"

namespace vitrail::mysqld {
namespace {

constexpr Version kOldestMariaDb{10, 5, 0};
constexpr Version kOldestMySql{8, 0, 22};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Reads "10.11.19" at the start of `text`.
std::optional<Version> leading_version(std::string_view text) {
  unsigned parts[3] = {0, 0, 0};
  size_t pos = 0;
  for (int i = 0; i < 3; ++i) {
    if (i > 0) {
      if (pos >= text.size() || text[pos] != '.') return std::nullopt;
      ++pos;
    }
    size_t start = pos;
    while (pos < text.size() && is_digit(text[pos]) && pos - start < 6) {
      parts[i] = parts[i] * 10 + static_cast<unsigned>(text[pos] - '0');
      ++pos;
    }
    if (pos == start) return std::nullopt;
  }
  return Version{parts[0], parts[1], parts[2]};
}

FlavorKind kind_of(std::string_view text) {
  return text.find("MariaDB") != std::string_view::npos || text.find("mariadb") != std::string_view::npos
             ? FlavorKind::kMariaDb
             : FlavorKind::kMySql;
}

}  // namespace

std::string_view flavor_name(FlavorKind kind) { return kind == FlavorKind::kMariaDb ? "MariaDB" : "MySQL"; }

std::string Version::to_string() const { return fmt::format("{}.{}.{}", major, minor, patch); }

Result<ServerVersion> parse_version_output(std::string_view text) {
  text = base::trim(text);
  size_t mark = text.find("Ver ");
  if (mark == std::string_view::npos) {
    return fail(Code::kInvalidArgument, fmt::format("no server version in \"{}\"", text.substr(0, 200)));
  }
  auto version = leading_version(base::trim(text.substr(mark + 4)));
  if (!version) return fail(Code::kInvalidArgument, fmt::format("no server version in \"{}\"", text.substr(0, 200)));
  return ServerVersion{kind_of(text), *version, std::string(text)};
}

Result<ServerVersion> parse_server_version(std::string_view text) {
  text = base::trim(text);
  std::string_view rest = text;
  constexpr std::string_view kReplicationPrefix = "5.5.5-";
  if (rest.starts_with(kReplicationPrefix) && kind_of(rest) == FlavorKind::kMariaDb) {
    rest.remove_prefix(kReplicationPrefix.size());
  }
  auto version = leading_version(rest);
  if (!version) return fail(Code::kInvalidArgument, fmt::format("no server version in \"{}\"", text.substr(0, 200)));
  return ServerVersion{kind_of(text), *version, std::string(text)};
}

Result<std::unique_ptr<Flavor>> Flavor::make(const ServerVersion& version) {
  bool mariadb = version.kind == FlavorKind::kMariaDb;
  const Version& oldest = mariadb ? kOldestMariaDb : kOldestMySql;
  if (version.version < oldest) {
    return fail(Code::kUnimplemented,
                fmt::format("{} {} is too old: version {} or newer is needed", flavor_name(version.kind),
                            version.version.to_string(), oldest.to_string()));
  }
  return mariadb ? make_mariadb_flavor(version) : make_mysql_flavor(version);
}

bool Flavor::is_system_schema(std::string_view name) const {
  return std::ranges::any_of(system_schemas(), [&](std::string_view s) { return base::equals_ignoring_case(s, name); });
}

Result<ServerSettings> Flavor::parse_server_settings(const Rows& rows) const {
  auto server_id = to_uint(rows.get(0, "server_id"));
  if (rows.rows.size() != 1 || !server_id) return fail(Code::kInternal, "the settings query did not return one row");
  auto text = [&](std::string_view column) { return std::string(rows.get(0, column).value_or("")); };
  auto flag = [&](std::string_view column) { return to_bool(rows.get(0, column)); };
  ServerSettings settings;
  settings.server_id = static_cast<uint32_t>(*server_id);
  settings.server_uuid = text("server_uuid");
  settings.version = text("version");
  settings.version_comment = text("version_comment");
  settings.read_only = flag("read_only");
  settings.super_read_only = flag("super_read_only");
  settings.log_bin = flag("log_bin");
  settings.log_replica_updates = flag("log_replica_updates");
  settings.binlog_format = text("binlog_format");
  settings.binlog_row_image = text("binlog_row_image");
  settings.gtid_mode = text("gtid_mode");
  return settings;
}

Status Flavor::parse_binlog_file(const Rows& rows, ServerSettings& settings) const {
  if (rows.rows.empty()) {
    return fail(Code::kFailedPrecondition, "the server writes no binary log (log_bin is off)");
  }
  auto file = rows.get(0, "File");
  auto position = to_uint(rows.get(0, "Position"));
  if (!file || !position) return fail(Code::kInternal, "the binlog status has no File and Position columns");
  settings.binlog_file = *file;
  settings.binlog_position = *position;
  return {};
}

ThreadState parse_thread_state(std::optional<std::string_view> text) {
  if (!text) return ThreadState::kStopped;
  if (base::equals_ignoring_case(*text, "yes")) return ThreadState::kRunning;
  if (base::equals_ignoring_case(*text, "connecting") || base::equals_ignoring_case(*text, "preparing")) {
    return ThreadState::kConnecting;
  }
  return ThreadState::kStopped;
}

Result<ReplicationStatus> parse_common_status(const Rows& rows, size_t row, const ReplicationColumns& names) {
  for (std::string_view needed : {names.io_running, names.sql_running, names.host, names.port}) {
    if (!rows.find_column(needed)) {
      return fail(Code::kInternal, fmt::format("the replication status has no column {}", needed));
    }
  }
  auto text = [&](std::string_view column) { return std::string(rows.get(row, column).value_or("")); };
  auto number = [&](std::string_view column) { return to_uint(rows.get(row, column)).value_or(0); };
  ReplicationStatus status;
  status.io_state = parse_thread_state(rows.get(row, names.io_running));
  status.sql_state = parse_thread_state(rows.get(row, names.sql_running));
  status.source_host = text(names.host);
  status.source_port = static_cast<uint16_t>(number(names.port));
  status.source_user = text(names.user);
  status.source_server_id = static_cast<uint32_t>(number(names.server_id));
  status.connect_retry_seconds = static_cast<uint32_t>(number("Connect_Retry"));
  status.tls = to_bool(rows.get(row, names.tls));
  status.sql_delay_seconds = static_cast<uint32_t>(number("SQL_Delay"));
  for (std::string_view filter :
       {"Replicate_Do_DB", "Replicate_Ignore_DB", "Replicate_Do_Table", "Replicate_Ignore_Table",
        "Replicate_Wild_Do_Table", "Replicate_Wild_Ignore_Table", "Replicate_Do_Domain_Ids",
        "Replicate_Ignore_Domain_Ids", "Replicate_Ignore_Server_Ids"}) {
    if (!rows.get(row, filter).value_or("").empty()) status.has_filters = true;
  }
  if (auto lag = to_uint(rows.get(row, names.lag))) status.lag_seconds = static_cast<uint32_t>(*lag);
  status.source_log_file = text(names.read_file);
  status.source_log_position = number(names.read_position);
  status.applied_source_log_file = text(names.applied_file);
  status.applied_source_log_position = number(names.applied_position);
  status.relay_log_file = text("Relay_Log_File");
  status.relay_log_position = number("Relay_Log_Pos");
  status.last_io_errno = static_cast<uint32_t>(number("Last_IO_Errno"));
  status.last_io_error = text("Last_IO_Error");
  status.last_sql_errno = static_cast<uint32_t>(number("Last_SQL_Errno"));
  status.last_sql_error = text("Last_SQL_Error");
  return status;
}

Result<SemiSyncStatus> parse_semi_sync_lists(const Rows& variables, const Rows& status, bool always_installed) {
  // rpl_semi_sync_<role>_<name>; the role is master or source, slave or replica.
  std::map<std::string, std::string, std::less<>> values;
  for (const Rows* list : {&variables, &status}) {
    for (const Row& row : list->rows) {
      if (row.size() < 2 || !row[0]) return fail(Code::kInternal, "a semi-sync list has a row without name and value");
      std::string name = base::to_lower(*row[0]);
      constexpr std::string_view kPrefix = "rpl_semi_sync_";
      if (!name.starts_with(kPrefix)) continue;
      name.erase(0, kPrefix.size());
      if (name.starts_with("master_")) name.replace(0, 7, "source_");
      if (name.starts_with("slave_")) name.replace(0, 6, "replica_");
      values[name] = row[1].value_or("");
    }
  }
  auto get = [&](std::string_view name) -> std::optional<std::string_view> {
    auto it = values.find(name);
    if (it == values.end()) return std::nullopt;
    return it->second;
  };
  SemiSyncStatus result;
  result.installed = always_installed || (get("source_enabled") && get("replica_enabled"));
  result.source_enabled = to_bool(get("source_enabled"));
  result.replica_enabled = to_bool(get("replica_enabled"));
  result.source_active = to_bool(get("source_status"));
  result.replica_active = to_bool(get("replica_status"));
  result.source_clients = static_cast<uint32_t>(to_uint(get("source_clients")).value_or(0));
  result.timeout_ms = to_uint(get("source_timeout")).value_or(0);
  result.waiting_sessions = to_uint(get("source_wait_sessions")).value_or(0);
  auto count = get("source_wait_for_replica_count");
  if (!count) count = get("source_wait_for_slave_count");
  // MariaDB cannot be told how many: one acknowledgement is enough.
  result.wait_for_replicas = static_cast<uint32_t>(to_uint(count).value_or(1));
  return result;
}

Result<std::string> merge_mariadb_positions(std::string_view a, std::string_view b) {
  ASSIGN_OR_RETURN(mysql::MariadbGtidSet merged, mysql::MariadbGtidSet::parse(a));
  ASSIGN_OR_RETURN(mysql::MariadbGtidSet other, mysql::MariadbGtidSet::parse(b));
  merged.merge(other);
  return merged.to_string();
}

Result<std::string> merge_mysql_positions(std::string_view a, std::string_view b) {
  ASSIGN_OR_RETURN(mysql::MysqlGtidSet merged, mysql::MysqlGtidSet::parse(a));
  ASSIGN_OR_RETURN(mysql::MysqlGtidSet other, mysql::MysqlGtidSet::parse(b));
  merged.merge(other);
  return merged.to_string();
}

std::string seconds_text(std::chrono::milliseconds duration) {
  auto ms = std::max<long long>(1, duration.count());
  return fmt::format("{}.{:03}", ms / 1000, ms % 1000);
}

}  // namespace vitrail::mysqld
