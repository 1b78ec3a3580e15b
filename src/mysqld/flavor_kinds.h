#pragma once

#include <memory>

#include "mysqld/flavor.h"

// Private to this folder: the two implementations behind Flavor::make(), and what they share.
namespace vitrail::mysqld {

std::unique_ptr<Flavor> make_mariadb_flavor(ServerVersion server);
std::unique_ptr<Flavor> make_mysql_flavor(ServerVersion server);

// "Yes" -> running, "Connecting"/"Preparing" -> connecting, anything else -> stopped.
ThreadState parse_thread_state(std::optional<std::string_view> text);

// Column names that differ between the flavors and versions of SHOW REPLICA STATUS.
struct ReplicationColumns {
  std::string_view io_running, sql_running, host, port, user, server_id, lag, read_file, read_position, applied_file,
      applied_position, tls;
};
// Fills everything but the GTID fields from row `row`. kInternal: a column that both flavors have is missing.
Result<ReplicationStatus> parse_common_status(const Rows& rows, size_t row, const ReplicationColumns& names);

Result<SemiSyncStatus> parse_semi_sync_lists(const Rows& variables, const Rows& status, bool always_installed);

// Union of two positions in bare form, normalised (MariaDB: the later GTID of each domain). kInvalidArgument when
// either is not a position.
Result<std::string> merge_mariadb_positions(std::string_view a, std::string_view b);
Result<std::string> merge_mysql_positions(std::string_view a, std::string_view b);

// "1.500": seconds with milliseconds, at least 0.001 so that it never means "for ever".
std::string seconds_text(std::chrono::milliseconds duration);

}  // namespace vitrail::mysqld
