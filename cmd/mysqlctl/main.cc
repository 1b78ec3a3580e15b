#include <fmt/core.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <string>

#include "base/settings.h"
#include "base/startup.h"
#include "mysql/gtid.h"
#include "mysqld/daemon.h"

// mysqlctl: creates, starts, stops and configures the one server of a tablet.
namespace {

using namespace vitrail;

std::string environment(const char* name, std::string_view otherwise = "") {
  const char* value = std::getenv(name);
  return value == nullptr || *value == '\0' ? std::string(otherwise) : std::string(value);
}

struct MysqlctlSettings {
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
  bool force = false;
};

Result<mysqld::Daemon> open_daemon(const MysqlctlSettings& settings) {
  mysqld::DaemonOptions options;
  const std::string data_root = environment("VTDATAROOT", "/vt");
  options.layout = mysqld::Layout::for_tablet(data_root, settings.tablet_uid);
  if (settings.tablet_dir.starts_with('/')) {
    options.layout.root = settings.tablet_dir;
  } else if (!settings.tablet_dir.empty()) {
    options.layout.root = data_root + "/" + settings.tablet_dir;
  }
  options.config.uid = settings.tablet_uid;
  options.config.server_id = settings.server_id;
  options.config.port = settings.mysql_port;
  options.config.networking = !settings.skip_networking;
  options.config.bind_address = settings.bind_address;
  options.config.buffer_pool_bytes = settings.buffer_pool_mib << 20;
  options.config.flush_log_at_trx_commit = settings.flush_log_at_trx_commit;
  options.config.sync_binlog = settings.sync_binlog;
  ASSIGN_OR_RETURN(options.config.extra, mysqld::load_extra_my_cnf(environment("EXTRA_MY_CNF")));
  options.init_sql_file = settings.init_db_sql_file;
  options.supervised = settings.supervised;
  options.start_wait_max = settings.wait_time;
  options.shutdown_wait_max = settings.shutdown_timeout;
  return mysqld::Daemon::open(std::move(options));
}

// position equal|at_least A B; position append A GTID
Status run_position(const std::vector<std::string>& arguments) {
  const std::string& operation = arguments[0];
  auto first = mysql::Position::parse(arguments[1]);
  if (!first.ok()) return std::move(first).error().with_context("first position");
  if (operation == "append") {
    ASSIGN_OR_RETURN(const mysql::Gtid gtid, mysql::Gtid::parse(arguments[2]));
    RETURN_IF_ERROR(first->add(gtid));
    std::puts(first->to_string().c_str());
    return {};
  }
  auto second = mysql::Position::parse(arguments[2]);
  if (!second.ok()) return std::move(second).error().with_context("second position");
  bool answer = *first == *second;
  if (operation == "at_least") {
    ASSIGN_OR_RETURN(answer, first->at_least(*second));
  } else if (operation != "equal") {
    return fail(Code::kInvalidArgument,
                fmt::format("unknown operation \"{}\": use equal, at_least or append", operation));
  }
  std::puts(answer ? "true" : "false");
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  MysqlctlSettings out;
  base::Settings settings("mysqlctl",
                          "creates, starts, stops and configures the MySQL or MariaDB server of one tablet");
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
  using Action = std::function<Status(mysqld::Daemon&)>;
  std::map<std::string, Action> actions;
  auto command = [&](std::string_view name, std::string_view description, Action action) -> base::Settings& {
    actions[std::string(name)] = std::move(action);
    return settings.add_command(name, description);
  };
  auto& init = command("init", "makes the data folder, the accounts and my.cnf, and starts the server",
                       [](mysqld::Daemon& daemon) { return daemon.init(); });
  init.add("init_db_sql_file", &out.init_db_sql_file,
           "SQL run in the new server; default: built-in accounts vt_dba, ...");
  init.add("wait_time", &out.wait_time, "how long to wait for the server");
  auto& start = command("start", "starts the server", [](mysqld::Daemon& daemon) { return daemon.start(); });
  start.add("wait_time", &out.wait_time, "how long to wait for the server");
  auto& shutdown = command("shutdown", "stops the server", [](mysqld::Daemon& daemon) { return daemon.shutdown(); });
  shutdown.add("wait_time", &out.shutdown_timeout, "how long to wait for an orderly stop before the server is killed")
      .alias("mysql_shutdown_timeout");
  command("init_config", "makes the folders and my.cnf without data",
          [](mysqld::Daemon& daemon) { return daemon.init_config(); });
  command("reinit_config", "writes my.cnf again", [](mysqld::Daemon& daemon) { return daemon.reinit_config(); });
  auto& teardown = command("teardown", "stops the server and REMOVES its folder with all data",
                           [&](mysqld::Daemon& daemon) { return daemon.teardown(out.force); });
  teardown.add("force", &out.force, "remove the folder even when the server cannot be stopped in good order")
      .alias("f");
  teardown.add("wait_time", &out.shutdown_timeout, "how long to wait for an orderly stop before the server is killed")
      .alias("mysql_shutdown_timeout");
  settings.add_command("position", "compares or extends replication positions: prints true, false or a position")
      .arguments("equal|at_least|append <position> <position|gtid>", 3, 3);

  base::Startup startup(settings);
  if (const auto exit_code = startup.run(argc, argv)) return *exit_code;
  if (settings.command_path().empty()) {
    std::fputs(settings.help().c_str(), stderr);
    return 1;
  }
  const std::string name = settings.command_path().front();
  Status done;
  if (name == "position") {
    done = run_position(settings.positional());
  } else if (auto daemon = open_daemon(out); daemon.ok()) {
    done = actions[name](*daemon);
  } else {
    done = daemon.error();
  }
  if (done.ok()) return 0;
  std::fprintf(stderr, "mysqlctl %s: %s\n", name.c_str(), done.error().message().c_str());
  return 1;
}
