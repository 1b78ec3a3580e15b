#pragma once

#include <cstdint>
#include <string>

#include "base/settings.h"
#include "mysqld/daemon.h"

// What mysqlctl and mysqlctld are told about the server of one tablet.
namespace vitrail::mysqlctl {

struct ServerFlags {
  uint32_t tablet_uid = 41983;
  uint16_t mysql_port = 3306;
  uint32_t server_id = 0;
  std::string tablet_dir;
  std::string bind_address = "127.0.0.1";
  bool skip_networking = false;
  bool supervised = true;
  uint64_t buffer_pool_mib = 32;
  uint32_t flush_log_at_trx_commit = 1;
  uint32_t sync_binlog = 1;
  std::string init_db_sql_file;
  base::Duration wait_time = std::chrono::minutes(5);
  base::Duration shutdown_timeout = std::chrono::minutes(5);
};

// All but init_db_sql_file and the two times, which belong to single commands of mysqlctl.
void declare(base::Settings& settings, ServerFlags& out);
// With VTDATAROOT and EXTRA_MY_CNF of this process.
Result<mysqld::DaemonOptions> daemon_options(const ServerFlags& flags);

}  // namespace vitrail::mysqlctl
