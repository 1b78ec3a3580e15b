#include "mysqlctl/flags.h"

#include <cstdlib>

namespace vitrail::mysqlctl {
namespace {

std::string environment(const char* name, std::string_view otherwise = "") {
  const char* value = std::getenv(name);
  return value == nullptr || *value == '\0' ? std::string(otherwise) : std::string(value);
}

}  // namespace

void declare(base::Settings& settings, ServerFlags& out) {
  settings.add("tablet_uid", &out.tablet_uid, "uid of the tablet; names its folder under VTDATAROOT");
  settings.add("mysql_port", &out.mysql_port, "TCP port of the server").alias("port");
  settings.add("mysql_server_id", &out.server_id, "server_id; 0: a random one, new whenever data is made anew");
  settings.add("tablet_dir", &out.tablet_dir, "folder of the server, absolute or under VTDATAROOT (default vt_<uid>)");
  settings.add("mysql_bind_address", &out.bind_address, "address on which the server listens; * for all");
  settings.add("mysql_skip_networking", &out.skip_networking, "unix socket only");
  settings.add("mysql_supervised", &out.supervised,
               "run the server under mysqld_safe, which restarts it after a crash");
  settings.add("innodb_buffer_pool_mib", &out.buffer_pool_mib, "memory for data pages").unit("MiB");
  settings.add("innodb_flush_log_at_trx_commit", &out.flush_log_at_trx_commit,
               "1: every commit is on disk; 0, 2: faster");
  settings.add("sync_binlog", &out.sync_binlog, "1: every commit is in the binlog on disk; 0: faster");
}

Result<mysqld::DaemonOptions> daemon_options(const ServerFlags& flags) {
  mysqld::DaemonOptions options;
  const std::string data_root = environment("VTDATAROOT", "/vt");
  options.layout = mysqld::Layout::for_tablet(data_root, flags.tablet_uid);
  if (flags.tablet_dir.starts_with('/')) {
    options.layout.root = flags.tablet_dir;
  } else if (!flags.tablet_dir.empty()) {
    options.layout.root = data_root + "/" + flags.tablet_dir;
  }
  options.config.uid = flags.tablet_uid;
  options.config.server_id = flags.server_id;
  options.config.port = flags.mysql_port;
  options.config.networking = !flags.skip_networking;
  options.config.bind_address = flags.bind_address;
  options.config.buffer_pool_bytes = flags.buffer_pool_mib << 20;
  options.config.flush_log_at_trx_commit = flags.flush_log_at_trx_commit;
  options.config.sync_binlog = flags.sync_binlog;
  ASSIGN_OR_RETURN(options.config.extra, mysqld::load_extra_my_cnf(environment("EXTRA_MY_CNF")));
  options.init_sql_file = flags.init_db_sql_file;
  options.supervised = flags.supervised;
  options.start_wait_max = flags.wait_time;
  options.shutdown_wait_max = flags.shutdown_timeout;
  return options;
}

}  // namespace vitrail::mysqlctl
