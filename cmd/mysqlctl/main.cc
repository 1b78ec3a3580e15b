#include <fmt/core.h>

#include <cstdio>
#include <functional>
#include <map>
#include <string>

#include "base/settings.h"
#include "base/startup.h"
#include "mysql/gtid.h"
#include "mysqlctl/flags.h"
#include "mysqld/daemon.h"

// mysqlctl: creates, starts, stops and configures the one server of a tablet.
namespace {

using namespace vitrail;

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
  mysqlctl::ServerFlags out;
  bool force = false;
  base::Settings settings("mysqlctl",
                          "creates, starts, stops and configures the MySQL or MariaDB server of one tablet");
  mysqlctl::declare(settings, out);
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
                           [&](mysqld::Daemon& daemon) { return daemon.teardown(force); });
  teardown.add("force", &force, "remove the folder even when the server cannot be stopped in good order").alias("f");
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
  } else if (auto options = mysqlctl::daemon_options(out); !options.ok()) {
    done = options.error();
  } else if (auto daemon = mysqld::Daemon::open(std::move(*options)); daemon.ok()) {
    done = actions[name](*daemon);
  } else {
    done = daemon.error();
  }
  if (done.ok()) return 0;
  std::fprintf(stderr, "mysqlctl %s: %s\n", name.c_str(), done.error().message().c_str());
  return 1;
}
