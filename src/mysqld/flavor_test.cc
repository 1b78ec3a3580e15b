#include "mysqld/flavor.h"

#include <gtest/gtest.h>

#include "mysqld/config.h"
#include "mysqld/dialect.h"
#include "mysqld/schema_sql.h"

namespace vitrail::mysqld {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

std::unique_ptr<Flavor> flavor_of(std::string_view version) {
  auto parsed = parse_server_version(version);
  EXPECT_TRUE(parsed.ok());
  auto flavor = Flavor::make(*parsed);
  EXPECT_TRUE(flavor.ok()) << flavor.error().to_string();
  return std::move(*flavor);
}

std::string joined(const std::vector<std::string>& statements) {
  std::string out;
  for (const std::string& statement : statements) out += statement + ";";
  return out;
}

TEST(Flavor, SettingsAreInTheWordsOfTheServer) {
  const struct {
    const char *statement, *mysql;
  } cases[] = {
      {"set @@session.tx_isolation = 'SERIALIZABLE'", "set @@session.transaction_isolation = 'SERIALIZABLE'"},
      {"set @@session.sql_mode = 'ANSI', @@session.tx_read_only = 1, @@session.wait_timeout = 9",
       "set @@session.sql_mode = 'ANSI', @@session.transaction_read_only = 1, @@session.wait_timeout = 9"},
      {"set @@session.tx_isolation = default", "set @@session.transaction_isolation = default"},
      {"set @@session.a = 'it''s \\'@@session.tx_isolation', @@session.tx_isolation_x = 1",
       "set @@session.a = 'it''s \\'@@session.tx_isolation', @@session.tx_isolation_x = 1"},
      {"", ""},
  };
  for (const auto& [statement, mysql] : cases) {
    EXPECT_EQ(settings_for_server(statement, "9.7.4-2"), mysql);
    EXPECT_EQ(settings_for_server(statement, "5.5.5-10.11.6-MariaDB-0+deb12u1"), statement);
  }
}

TEST(ServerVersion, IsReadFromTheProgramsOwnWords) {
  auto maria =
      parse_version_output("mariadbd  Ver 10.11.19-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64 (Debian 12)\n");
  ASSERT_TRUE(maria.ok());
  EXPECT_EQ(maria->kind, FlavorKind::kMariaDb);
  EXPECT_EQ(maria->version, (Version{10, 11, 19}));
  auto mysql =
      parse_version_output("/usr/sbin/mysqld  Ver 8.0.36-28 for Linux on x86_64 (Percona Server (GPL), Release 28)");
  ASSERT_TRUE(mysql.ok());
  EXPECT_EQ(mysql->kind, FlavorKind::kMySql);
  EXPECT_EQ(mysql->version, (Version{8, 0, 36}));
  for (std::string_view bad : {"", "mysqld", "mysqld Ver", "mysqld Ver x.y.z", "mysqld Ver 8", "mysqld Ver 8.0"}) {
    EXPECT_FALSE(parse_version_output(bad).ok()) << bad;
  }
}

TEST(ServerVersion, IsReadFromTheHandshake) {
  EXPECT_EQ(parse_server_version("5.5.5-10.6.4-MariaDB-log")->version, (Version{10, 6, 4}));
  EXPECT_EQ(parse_server_version("11.4.2-MariaDB")->kind, FlavorKind::kMariaDb);
  EXPECT_EQ(parse_server_version("8.4.3")->version, (Version{8, 4, 3}));
  EXPECT_EQ(parse_server_version("5.5.5")->version, (Version{5, 5, 5}));
  EXPECT_FALSE(parse_server_version("99999999999999999999.1.1").ok());
  EXPECT_FALSE(parse_server_version("mysql").ok());
}

TEST(Flavor, RefusesServersThatAreTooOld) {
  EXPECT_EQ(Flavor::make({FlavorKind::kMariaDb, {10, 3, 39}, ""}).error().code(), Code::kUnimplemented);
  EXPECT_EQ(Flavor::make({FlavorKind::kMySql, {5, 7, 44}, ""}).error().code(), Code::kUnimplemented);
}

TEST(Flavor, PointsAReplicaAtItsSource) {
  ReplicationSource source{
      .host = "db'1", .port = 3307, .user = "u", .password = "p\\w", .heartbeat = milliseconds(1500)};
  EXPECT_EQ(
      joined(flavor_of("10.11.19-MariaDB")->set_source(source)),
      "SET GLOBAL gtid_slave_pos = @@global.gtid_current_pos;"
      "CHANGE MASTER TO MASTER_HOST = 'db''1', MASTER_PORT = 3307, MASTER_USER = 'u', MASTER_PASSWORD = 'p\\\\w', "
      "MASTER_CONNECT_RETRY = 10, MASTER_HEARTBEAT_PERIOD = 1.500, MASTER_SSL = 0, MASTER_USE_GTID = slave_pos;");
  EXPECT_EQ(joined(flavor_of("8.4.3")->set_source(source)),
            "CHANGE REPLICATION SOURCE TO SOURCE_HOST = 'db''1', SOURCE_PORT = 3307, SOURCE_USER = 'u', "
            "SOURCE_PASSWORD = 'p\\\\w', SOURCE_CONNECT_RETRY = 10, SOURCE_RETRY_COUNT = 0, GET_SOURCE_PUBLIC_KEY = 1, "
            "SOURCE_HEARTBEAT_PERIOD = 1.500, SOURCE_SSL = 0, SOURCE_AUTO_POSITION = 1;");
  EXPECT_TRUE(joined(flavor_of("8.0.22")->set_source(source)).starts_with("CHANGE MASTER TO MASTER_HOST = "));
}

TEST(Flavor, UsesTheNamesOfTheServersVersion) {
  auto v84 = flavor_of("8.4.3");
  auto v8022 = flavor_of("8.0.22");
  EXPECT_EQ(joined(v84->reset_all()), "STOP REPLICA;RESET REPLICA ALL;RESET BINARY LOGS AND GTIDS;");
  EXPECT_EQ(joined(v8022->reset_all()), "STOP REPLICA;RESET REPLICA ALL;RESET MASTER;");
  EXPECT_EQ(v84->binlog_file_query(), "SHOW BINARY LOG STATUS");
  EXPECT_EQ(v8022->binlog_file_query(), "SHOW MASTER STATUS");
  EXPECT_EQ(joined(v84->set_semi_sync(true, false)),
            "SET GLOBAL rpl_semi_sync_source_timeout = 1000000000000000000;"
            "SET GLOBAL rpl_semi_sync_source_enabled = ON;SET GLOBAL rpl_semi_sync_replica_enabled = OFF;");
  EXPECT_EQ(joined(v8022->set_semi_sync(false, true)),
            "SET GLOBAL rpl_semi_sync_master_timeout = 1000000000000000000;"
            "SET GLOBAL rpl_semi_sync_master_enabled = OFF;SET GLOBAL rpl_semi_sync_slave_enabled = ON;");
  EXPECT_EQ(joined(v84->set_read_only(true)), "SET GLOBAL super_read_only = ON;");
  EXPECT_EQ(joined(v84->set_executed_position("u:1-5")),
            "STOP REPLICA;RESET REPLICA ALL;RESET BINARY LOGS AND GTIDS;SET GLOBAL gtid_purged = 'u:1-5';");
}

TEST(Flavor, NeverWaitsForEver) {
  EXPECT_EQ(flavor_of("10.11.19-MariaDB")->wait_for_position("0-1-2", seconds(0)),
            "SELECT MASTER_GTID_WAIT('0-1-2', 0.001)");
  EXPECT_EQ(flavor_of("8.4.3")->wait_for_position("a:1", milliseconds(2500)),
            "SELECT WAIT_FOR_EXECUTED_GTID_SET('a:1', 2.500)");
}

TEST(Flavor, TellsTheEndOfAWait) {
  auto answer = [](const char* value) {
    return Rows{{"x"}, {{value == nullptr ? std::nullopt : std::optional<std::string>(value)}}};
  };
  auto maria = flavor_of("10.11.19-MariaDB");
  auto mysql = flavor_of("8.4.3");
  EXPECT_TRUE(maria->parse_wait_for_position(answer("0")).ok());
  EXPECT_EQ(maria->parse_wait_for_position(answer("-1")).error().code(), Code::kDeadlineExceeded);
  EXPECT_TRUE(mysql->parse_wait_for_position(answer("0")).ok());
  EXPECT_EQ(mysql->parse_wait_for_position(answer("1")).error().code(), Code::kDeadlineExceeded);
  EXPECT_EQ(mysql->parse_wait_for_position(answer(nullptr)).error().code(), Code::kFailedPrecondition);
  EXPECT_EQ(mysql->parse_wait_for_position({}).error().code(), Code::kFailedPrecondition);
}

TEST(Flavor, PositionIsWhatWasExecutedByEitherWay) {
  auto maria = flavor_of("10.11.19-MariaDB");
  auto position = [&](std::optional<std::string> binlog, std::optional<std::string> replicated) {
    return maria->parse_position({{"a", "b"}, {{binlog, replicated}}});
  };
  EXPECT_EQ(*position("", ""), "");
  EXPECT_EQ(*position("0-1-7", "0-2-5"), "0-1-7");         // A primary that was a replica.
  EXPECT_EQ(*position("", "0-2-5,1-1-1"), "0-2-5,1-1-1");  // Restored.
  EXPECT_EQ(*position("1-1-3,0-2-5", "0-2-5,1-1-4"), "0-2-5,1-1-4");
  EXPECT_EQ(position(std::nullopt, "").error().code(), Code::kFailedPrecondition);
  EXPECT_FALSE(position("nonsense", "").ok());
  EXPECT_EQ(maria->parse_position({}).error().code(), Code::kInternal);
  EXPECT_EQ(*flavor_of("8.4.3")->parse_position(
                {{"g"}, {{"3e11fa47-71ca-11e1-9e33-c80aa9429562:1-3,\n3e11fa47-71ca-11e1-9e33-c80aa9429562:4-9"}}}),
            "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-9");
}

TEST(Flavor, ReadsTheReplicationStatusOfMySql) {
  constexpr std::string_view kUuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
  Rows rows;
  Row row;
  auto add = [&](std::string name, std::optional<std::string> value) {
    rows.columns.push_back(std::move(name));
    row.push_back(std::move(value));
  };
  add("Source_Host", "db1");
  add("Source_Port", "3306");
  add("Source_User", "vt_repl");
  add("Connect_Retry", "10");
  add("Replica_IO_Running", "Connecting");
  add("Replica_SQL_Running", "Yes");
  add("Seconds_Behind_Source", std::nullopt);
  add("Source_Server_Id", "4000000000");
  add("Source_UUID", std::string(kUuid));
  add("Auto_Position", "1");
  add("Retrieved_Gtid_Set", std::string(kUuid) + ":5-9");
  add("Executed_Gtid_Set", std::string(kUuid) + ":1-6");
  add("Last_IO_Errno", "2003");
  add("Last_IO_Error", "error connecting");
  add("Replicate_Do_DB", "x");
  add("Channel_Name", "");
  rows.rows.push_back(row);
  auto flavor = flavor_of("8.4.3");
  auto status = flavor->parse_replication_status(rows);
  ASSERT_TRUE(status.ok()) << status.error().to_string();
  EXPECT_EQ(status->io_state, ThreadState::kConnecting);
  EXPECT_EQ(status->sql_state, ThreadState::kRunning);
  EXPECT_FALSE(status->healthy());
  EXPECT_EQ(status->source_host, "db1");
  EXPECT_EQ(status->source_server_id, 4000000000u);
  EXPECT_EQ(status->source_uuid, kUuid);
  EXPECT_TRUE(status->auto_position);
  EXPECT_TRUE(status->has_filters);
  EXPECT_FALSE(status->lag_seconds);
  EXPECT_EQ(status->executed, std::string(kUuid) + ":1-6");
  EXPECT_EQ(status->received, std::string(kUuid) + ":1-9");
  EXPECT_EQ(status->last_io_errno, 2003u);
  // No source at all, and an answer to another question.
  EXPECT_FALSE(flavor->parse_replication_status({})->has_source());
  EXPECT_EQ(flavor->parse_replication_status({{"x"}, {{"1"}}}).error().code(), Code::kInternal);
}

TEST(Flavor, SnapshotsOfMySqlLockOnlyForTwoStatements) {
  std::vector<std::string> tables = {"`d`.`a`", "`d`.`b`"};
  auto steps = flavor_of("8.4.3")->snapshot(tables);
  ASSERT_EQ(steps.size(), 5u);
  EXPECT_EQ(steps[1].sql, "LOCK TABLES `d`.`a` READ, `d`.`b` READ");
  EXPECT_EQ(steps[1].connection, SnapshotStep::Connection::kLock);
  EXPECT_EQ(steps[2].sql, "START TRANSACTION WITH CONSISTENT SNAPSHOT");
  EXPECT_EQ(steps[2].connection, SnapshotStep::Connection::kSnapshot);
  EXPECT_TRUE(steps[3].yields_position);
  EXPECT_EQ(steps[4].sql, "UNLOCK TABLES");
}

TEST(Flavor, KnowsTheServersOwnSchemas) {
  auto flavor = flavor_of("10.11.19-MariaDB");
  EXPECT_TRUE(flavor->is_system_schema("INFORMATION_SCHEMA"));
  EXPECT_TRUE(flavor->is_system_schema("mysql"));
  EXPECT_FALSE(flavor->is_system_schema("_vt"));
  EXPECT_FALSE(flavor->is_system_schema("vt_commerce"));
}

TEST(Quoting, LeavesNoWayOut) {
  EXPECT_EQ(quote_identifier("a`b"), "`a``b`");
  EXPECT_EQ(quote_identifier(std::string_view("a\0b", 3)), "`ab`");
  EXPECT_EQ(quote_string("a'b\\"), "'a''b\\\\'");
  EXPECT_EQ(quote_string(std::string_view("\0", 1)), "'\\0'");
}

TEST(SchemaSql, RemovesTheAutoIncrementOptionOnly) {
  EXPECT_EQ(
      without_auto_increment("CREATE TABLE `t` (\n  `id` int NOT NULL AUTO_INCREMENT COMMENT ' AUTO_INCREMENT=1',\n"
                             "  PRIMARY KEY (`id`)\n) ENGINE=InnoDB AUTO_INCREMENT=42 DEFAULT CHARSET=utf8mb4"),
      "CREATE TABLE `t` (\n  `id` int NOT NULL AUTO_INCREMENT COMMENT ' AUTO_INCREMENT=1',\n"
      "  PRIMARY KEY (`id`)\n) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4");
  for (std::string_view same :
       {"CREATE TABLE `t` (\n `a)` int\n) ENGINE=InnoDB COMMENT='x\\' AUTO_INCREMENT=3'", "", ")",
        "CREATE TABLE t (`x` int) COMMENT=' AUTO_INCREMENT=3 it''s'", "CREATE TABLE 'unclosed"}) {
    EXPECT_EQ(without_auto_increment(same), same);
  }
}

TEST(Layout, NamesThePathsByUid) {
  EXPECT_EQ(Layout::for_tablet("/vt/", 100).my_cnf(), "/vt/vt_0000000100/my.cnf");
  EXPECT_TRUE(Layout{"/vt/vt_0000000100"}.check().ok());
  EXPECT_EQ(Layout{"relative"}.check().error().code(), Code::kInvalidArgument);
  EXPECT_EQ(Layout{"/with space"}.check().error().code(), Code::kInvalidArgument);
  EXPECT_EQ(Layout{"/$HOME"}.check().error().code(), Code::kInvalidArgument);
  EXPECT_TRUE(Layout{"/" + std::string(95, 'x')}.check().ok());
  EXPECT_EQ(Layout{"/" + std::string(96, 'x')}.check().error().code(), Code::kInvalidArgument);
}

TEST(MyCnf, IsReadBackAsItWasWritten) {
  auto flavor = flavor_of("10.11.19-MariaDB");
  ConfigOptions options;
  options.uid = 7;
  options.server_id = 70'000'000;
  options.port = 17007;
  options.extra = "# From extra\n[mysqld]\nport = 17008";
  std::string text = generate_my_cnf({"/vt/vt_0000000007"}, options, *flavor);
  auto cnf = parse_my_cnf(text);
  ASSERT_TRUE(cnf.ok());
  EXPECT_EQ(cnf->socket, "/vt/vt_0000000007/mysql.sock");
  EXPECT_EQ(cnf->pid_file, "/vt/vt_0000000007/mysql.pid");
  EXPECT_EQ(cnf->error_log, "/vt/vt_0000000007/error.log");
  EXPECT_EQ(cnf->data_directory, "/vt/vt_0000000007/data");
  EXPECT_EQ(cnf->bind_address, "127.0.0.1");
  EXPECT_EQ(cnf->port, 17008);
  EXPECT_EQ(cnf->server_id, 70'000'000u);
  EXPECT_NE(text.find("bin-logs/vt-0000000007-bin\n"), std::string::npos);
  EXPECT_TRUE(cnf->networking);
  options.networking = false;
  EXPECT_FALSE(parse_my_cnf(generate_my_cnf({"/vt/vt_0000000007"}, options, *flavor))->networking);
}

TEST(MyCnf, OfMySqlHasItsOwnNames) {
  ConfigOptions options;
  options.server_id = 7;
  std::string text = generate_my_cnf({"/vt/vt_0000000007"}, options, *flavor_of("8.4.3"));
  for (std::string_view line :
       {"gtid_mode = ON\n", "super_read_only = ON\n", "log_replica_updates = ON\n", "mysqlx = OFF\n",
        "innodb_redo_log_capacity = ", "rpl_semi_sync_source=semisync_source.so\n"}) {
    EXPECT_NE(text.find(line), std::string::npos) << line;
  }
  EXPECT_EQ(text.find("binlog_format"), std::string::npos);
  EXPECT_EQ(text.find("gtid_domain_id"), std::string::npos);
}

TEST(MyCnf, ToleratesEditsAndRefusesNonsense) {
  auto cnf = parse_my_cnf(
      "; comment\n!include /x\n[client]\nsocket=/wrong\n[mysqld]\r\n Socket = \"/a b\"\npid-file=/p # "
      "note\ndatadir='/d'\n"
      "skip-networking=0\nserver-id = 5\n[mysqld_safe]\nsocket=/wrong\n");
  ASSERT_TRUE(cnf.ok()) << cnf.error().to_string();
  EXPECT_EQ(cnf->socket, "/a b");
  EXPECT_EQ(cnf->pid_file, "/p");
  EXPECT_EQ(cnf->data_directory, "/d");
  EXPECT_TRUE(cnf->networking);
  EXPECT_EQ(cnf->server_id, 5u);
  EXPECT_FALSE(parse_my_cnf("").ok());
  EXPECT_FALSE(parse_my_cnf("[mysqld]\nsocket=/a\npid-file=/p\ndatadir=/d\nport=70000\n").ok());
}

}  // namespace
}  // namespace vitrail::mysqld
