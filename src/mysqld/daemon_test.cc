#include "mysqld/app_account.h"
#include "mysqld/daemon.h"

#include <arpa/inet.h>
#include <fmt/core.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/file.h"
#include "base/process.h"
#include "mysqld/server_for_test.h"

namespace vitrail::mysqld {
namespace {

using testing::eventually;
using testing::Server;
using testing::Session;
using testing::small_server;
using testing::TemporaryFolder;

#define EXPECT_OK(expression)                                 \
  do {                                                        \
    auto status_ = (expression);                              \
    EXPECT_TRUE(status_.ok()) << status_.error().to_string(); \
  } while (false)
#define ASSERT_OK(expression)                                 \
  do {                                                        \
    auto status_ = (expression);                              \
    ASSERT_TRUE(status_.ok()) << status_.error().to_string(); \
  } while (false)

::testing::AssertionResult fails_with(const Status& status, Code code, std::string_view part) {
  if (status.ok()) return ::testing::AssertionFailure() << "succeeded";
  if (status.error().code() != code || status.error().message().find(part) == std::string::npos) {
    return ::testing::AssertionFailure() << status.error().to_string();
  }
  return ::testing::AssertionSuccess();
}

std::string parent_command_line(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/status", pid));
  std::string line;
  while (std::getline(file, line)) {
    if (!line.starts_with("PPid:")) continue;
    auto text = base::read_file(fmt::format("/proc/{}/cmdline", std::stol(line.substr(5))));
    return text.ok() ? std::string(*text) : "";
  }
  return "";
}

pid_t parent_of(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/status", pid));
  std::string line;
  while (std::getline(file, line)) {
    if (line.starts_with("PPid:")) return static_cast<pid_t>(std::stol(line.substr(5)));
  }
  return 0;
}

// A socket that occupies a port while it lives.
class Occupier {
 public:
  explicit Occupier(uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(fd_, 1), 0);
  }
  ~Occupier() { ::close(fd_); }

 private:
  int fd_;
};

TEST(Daemon, RunsAServerFromInitToTeardown) {
  TemporaryFolder folder;
  // Set-ups of the user must not reach the server or the client.
  ASSERT_OK(
      base::write_file_atomically(folder.path() + "/.my.cnf", "[client]\nuser=nobody\n[mysqld]\nport=1\nbad=1\n"));
  ::setenv("HOME", folder.path().c_str(), 1);
  ::setenv("MYSQL_HOME", folder.path().c_str(), 1);
  ::setenv("MYSQL_TCP_PORT", "1", 1);

  Server server(small_server(folder, 100));
  EXPECT_EQ(server->state(), Daemon::State::kAbsent);
  EXPECT_TRUE(fails_with(server->start(), Code::kNotFound, "run init first"));
  ASSERT_OK(server->init());
  ::unsetenv("MYSQL_HOME");
  ::unsetenv("MYSQL_TCP_PORT");
  EXPECT_EQ(server->layout().root, folder.path() + "/vt_0000000100");
  EXPECT_EQ(server->state(), Daemon::State::kRunning);
  EXPECT_TRUE(fails_with(server->init(), Code::kAlreadyExists, "initialised already"));
  EXPECT_TRUE(fails_with(server->start(), Code::kFailedPrecondition, "the server of"));

  // The form that scripts look for in ps.
  std::string command = parent_command_line(server->find_pid().value());
  EXPECT_TRUE(command.find("mariadbd-safe") != std::string::npos || command.find("mysqld_safe") != std::string::npos);
  EXPECT_NE(command.find("--defaults-file=" + server->layout().my_cnf()), std::string::npos);

  {
    Session dba(server->layout().socket());
    EXPECT_EQ(dba.value("SELECT COUNT(*) FROM mysql.user WHERE user IN ('vt_dba', 'vt_app', 'vt_appdebug', "
                        "'vt_allprivs', 'vt_filtered', 'vt_monitoring') AND host = 'localhost'"),
              "6");
    EXPECT_EQ(dba.value("SELECT host FROM mysql.user WHERE user = 'vt_repl'"), "%");
    EXPECT_EQ(dba.value("SELECT COUNT(*) FROM mysql.user WHERE user = '' OR (user = 'root' AND host <> 'localhost')"),
              "0");
    // Nothing of the set-up is history that replicas would have to follow.
    EXPECT_EQ(dba.value("SELECT @@global.gtid_binlog_pos"), "");
    EXPECT_EQ(dba.value("SELECT @@global.gtid_slave_pos"), "");
    auto settings = server.flavor().parse_server_settings(dba.query(server.flavor().server_settings_query()));
    ASSERT_TRUE(settings.ok());
    EXPECT_EQ(settings->server_id, server->load_my_cnf()->server_id);
    EXPECT_GE(settings->server_id, 1u << 20);
    EXPECT_TRUE(settings->read_only);
    EXPECT_TRUE(settings->log_bin);
    EXPECT_TRUE(settings->log_replica_updates);
    EXPECT_EQ(settings->binlog_format, "ROW");
    EXPECT_EQ(settings->binlog_row_image, "FULL");
    EXPECT_EQ(dba.value("SELECT CONCAT_WS(',', @@global.port, @@global.gtid_strict_mode, @@global.binlog_row_metadata, "
                        "@@global.character_set_server, @@global.max_allowed_packet, @@global.sync_binlog, "
                        "@@global.innodb_flush_log_at_trx_commit)"),
              fmt::format("{},ON,FULL,utf8mb4,1073741824,1,1", server.port()));
    // Read only for applications until a tablet says otherwise.
    dba.run({"CREATE DATABASE vt_ks", "CREATE TABLE vt_ks.t (id INT PRIMARY KEY)", "INSERT INTO vt_ks.t VALUES (1)"});
    const Account account{"vt_app", "localhost"};
    const AppRights rights{.database = "vt_ks"};
    const auto grants = [&] {
      return app_rights_statements(server.flavor().kind(), account, rights, dba.query(show_grants_query(account)));
    };
    dba.run(grants());
    EXPECT_TRUE(grants().empty());  // The server tells them as we spell them.
    Session app(server->layout().socket(), "vt_app");
    EXPECT_NE(app.error("SELECT * FROM mysql.user").find("denied"), std::string::npos);
    EXPECT_NE(app.error("RESET MASTER").find("denied"), std::string::npos);
    dba.run({"CREATE DATABASE vtxks"});
    EXPECT_NE(app.error("SELECT * FROM vtxks.t").find("denied"), std::string::npos);  // '_' is no pattern.
    EXPECT_NE(app.error("INSERT INTO vt_ks.t VALUES (2)").find("read-only"), std::string::npos);
    dba.run(server.flavor().set_read_only(false));
    app.query("INSERT INTO vt_ks.t VALUES (2)");
  }

  for (const auto& entry : std::filesystem::recursive_directory_iterator(server->layout().root)) {
    EXPECT_EQ(static_cast<unsigned>(entry.symlink_status().permissions()) & 07, 0u) << entry.path();
  }

  // A crash of the server alone: mysqld_safe brings it back.
  pid_t first = server->find_pid().value();
  ASSERT_OK(base::kill_process(first, SIGKILL));
  EXPECT_TRUE(eventually(
      [&] { return server->find_pid().value_or(first) != first && server->state() == Daemon::State::kRunning; }));

  // A crash of both, like a power cut: start recovers the data.
  pid_t second = server->find_pid().value();
  ASSERT_OK(base::kill_process(parent_of(second), SIGKILL));
  ASSERT_OK(base::kill_process(second, SIGKILL));
  EXPECT_TRUE(eventually([&] { return server->state() == Daemon::State::kStopped; }));
  EXPECT_TRUE(base::file_exists(server->layout().pid_file()));
  ASSERT_OK(server->start());
  EXPECT_EQ(Session(server->layout().socket()).value("SELECT COUNT(*) FROM vt_ks.t"), "2");

  ASSERT_OK(server->shutdown());
  EXPECT_EQ(server->state(), Daemon::State::kStopped);
  EXPECT_FALSE(base::file_exists(server->layout().pid_file()));
  EXPECT_OK(server->shutdown());
  ASSERT_OK(server->start());
  ASSERT_OK(server->teardown(false));
  EXPECT_FALSE(base::file_exists(server->layout().root));
  EXPECT_OK(server->teardown(false));
}

TEST(Daemon, RepeatsAnInitThatWasInterrupted) {
  TemporaryFolder folder;
  DaemonOptions options = small_server(folder, 101);
  options.supervised = false;
  options.config.flush_log_at_trx_commit = 0;
  options.config.sync_binlog = 0;
  options.init_sql_file = folder.path() + "/init.sql";
  ASSERT_OK(base::write_file_atomically(options.init_sql_file, "CREATE USER 'vt_dba'@'localhost';\nDO SLEEP(600);\n"));
  Server server(options);
  {
    Occupier occupier(options.config.port);
    EXPECT_TRUE(fails_with(server->init(), Code::kFailedPrecondition, fmt::format("port {}", options.config.port)));
  }
  // Killed in the middle, with its server at work.
  pid_t child = ::fork();
  if (child == 0) {
    (void)server->init();
    ::_exit(0);
  }
  EXPECT_TRUE(eventually([&] { return server_answers(server->layout().socket(), std::chrono::milliseconds(100)); }));
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_TRUE(server->find_pid());
  EXPECT_EQ(server->state(), Daemon::State::kHalfInitialised);

  ASSERT_OK(base::write_file_atomically(options.init_sql_file, "CREATE USER 'vt_dba'@'localhost';\nGRANT NONSENSE;\n"));
  EXPECT_TRUE(fails_with(server->init(), Code::kFailedPrecondition, "NONSENSE"));
  EXPECT_FALSE(server->find_pid());
  EXPECT_EQ(server->state(), Daemon::State::kHalfInitialised);
  EXPECT_TRUE(fails_with(server->start(), Code::kFailedPrecondition, "run init again"));
  // This file writes history, which init has to take back.
  ASSERT_OK(
      base::write_file_atomically(options.init_sql_file,
                                  "DELIMITER //\nCREATE USER 'vt_dba'@'localhost'//\n"
                                  "GRANT ALL ON *.* TO 'vt_dba'@'localhost'//\nDELIMITER ;\nCREATE DATABASE mine;\n"));
  ASSERT_OK(server->init());
  EXPECT_EQ(server->state(), Daemon::State::kRunning);
  Session dba(server->layout().socket());
  EXPECT_EQ(dba.value("SELECT @@global.gtid_binlog_pos"), "");
  EXPECT_EQ(dba.value("SHOW DATABASES LIKE 'mine'"), "mine");
}

TEST(Daemon, SaysWhyAServerDoesNotStart) {
  TemporaryFolder folder;
  DaemonOptions options = small_server(folder, 102);
  Server server(options);
  ASSERT_OK(server->init());
  ASSERT_OK(server->shutdown());
  {
    Occupier occupier(options.config.port);
    EXPECT_TRUE(fails_with(server->start(), Code::kFailedPrecondition, fmt::format("port {}", options.config.port)));
  }
  auto text = base::read_file(server->layout().my_cnf());
  ASSERT_TRUE(text.ok());
  ASSERT_OK(base::write_file_atomically(server->layout().my_cnf(), *text + "no_such_setting = 1\n"));
  EXPECT_TRUE(fails_with(server->start(), Code::kFailedPrecondition, "no_such_setting"));
  EXPECT_EQ(server->state(), Daemon::State::kStopped);
  // The server_id stays as long as the data does.
  uint32_t server_id = server->load_my_cnf()->server_id;
  ASSERT_OK(server->reinit_config());
  EXPECT_EQ(server->load_my_cnf()->server_id, server_id);
  ASSERT_OK(server->reinit_config(Daemon::ServerId::kNew));
  EXPECT_NE(server->load_my_cnf()->server_id, server_id);

  // Without the supervisor a crashed server stays down, and one that hangs is killed at the deadline.
  options.supervised = false;
  options.shutdown_wait_max = std::chrono::seconds(1);
  auto plain = Daemon::open(options);
  ASSERT_TRUE(plain.ok());
  ASSERT_OK(plain->start());
  ASSERT_OK(base::kill_process(plain->find_pid().value(), SIGKILL));
  EXPECT_TRUE(eventually([&] { return plain->state() == Daemon::State::kStopped; }));
  ASSERT_OK(plain->start());
  ASSERT_OK(base::kill_process(plain->find_pid().value(), SIGSTOP));
  EXPECT_EQ(plain->state(), Daemon::State::kStarting);
  ASSERT_OK(plain->shutdown());
  EXPECT_EQ(plain->state(), Daemon::State::kStopped);
}

TEST(Daemon, RunsAsAnOrdinaryUser) {
  if (::geteuid() != 0) GTEST_SKIP() << "the other tests run as an ordinary user already";
  TemporaryFolder folder;
  constexpr uid_t kNobody = 65534;
  ASSERT_EQ(::chown(folder.path().c_str(), kNobody, kNobody), 0);
  std::string report = folder.path() + "/report";
  pid_t child = ::fork();
  if (child == 0) {
    if (::setgid(kNobody) != 0 || ::setuid(kNobody) != 0) ::_exit(2);
    auto daemon = Daemon::open(small_server(folder, 103));
    Status status = daemon.ok() ? daemon->init() : Status(daemon.error());
    if (status.ok() && daemon->state() != Daemon::State::kRunning) status = fail(Code::kInternal, "does not run");
    if (daemon.ok()) {
      Status stopped = daemon->shutdown();
      if (status.ok()) status = stopped;
    }
    if (!status.ok()) (void)base::write_file_atomically(report, status.error().to_string());
    ::_exit(status.ok() ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << base::read_file(report).value_or("no report");
}

TEST(Daemon, TellsWhatToInstallWhenThereIsNoServer) {
  TemporaryFolder folder;
  auto found = find_installation(folder.path(), "/usr/bin");
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.error().code(), Code::kNotFound);
  EXPECT_NE(found.error().message().find("apt-get install mariadb-server"), std::string::npos);
  // A server that belongs to another flavor is found by its own words.
  ASSERT_OK(base::make_directories(folder.path() + "/bin"));
  ASSERT_OK(base::write_file_atomically(
      folder.path() + "/bin/mysqld",
      "#!/bin/sh\necho 'mysqld  Ver 8.4.3 for Linux on x86_64 (MySQL Community Server - GPL)'\n", 0755));
  found = find_installation(folder.path(), "/usr/bin");
  ASSERT_TRUE(found.ok()) << found.error().to_string();
  EXPECT_EQ(found->version.kind, FlavorKind::kMySql);
  EXPECT_EQ(found->base_directory, folder.path());
  EXPECT_EQ(found->require_client().error().code(), Code::kNotFound);
}

}  // namespace
}  // namespace vitrail::mysqld
