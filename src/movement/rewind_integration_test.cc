#include "movement/rewind.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <thread>

#include "movement/servers_for_test.h"
#include "mysql/gtid.h"
#include "mysqld/daemon.h"
#include "net/scope.h"

// Two servers: what one of them wrote alone is taken back, and then it follows the other.
namespace vitrail::movement {
namespace {

using testing::eventually;
using testing::Sql;

class Rewind : public ::testing::Test {
 public:
  static void SetUpTestSuite() {
    folder_ = std::make_unique<mysqld::testing::TemporaryFolder>();
    const auto make = [](uint32_t uid) {
      mysqld::DaemonOptions options = mysqld::testing::small_server(*folder_, uid);
      options.supervised = false;
      options.config.start_read_only = false;
      return std::make_unique<mysqld::testing::Server>(std::move(options));
    };
    old_server_ = make(101);
    new_server_ = make(201);
    std::thread other([] { ASSERT_TRUE((*new_server_)->init().ok()); });
    ASSERT_TRUE((*old_server_)->init().ok());
    other.join();
  }
  static void TearDownTestSuite() {
    old_server_.reset();
    new_server_.reset();
    folder_.reset();
  }

  // Both begin with the same rows; then the successor goes on alone.
  void SetUp() override {
    for (Sql* sql : {&old_, &new_}) {
      sql->run("STOP SLAVE");
      sql->run("RESET SLAVE ALL");
      sql->run("DROP DATABASE IF EXISTS d");
      sql->run("RESET MASTER");
      sql->run("SET GLOBAL gtid_slave_pos = ''");
    }
    old_.run("CREATE DATABASE d");
    old_.run("CREATE TABLE d.t (id INT PRIMARY KEY, v VARCHAR(100), UNIQUE KEY (v))");
    old_.run("INSERT INTO d.t VALUES (1, 'one'), (2, 'two'), (3, 'three')");
  }
  void part() {
    follow(new_, *old_server_);
    const std::string position = old_.value("SELECT @@global.gtid_binlog_pos");
    ASSERT_TRUE(eventually([&] { return new_.value("SELECT @@global.gtid_slave_pos") == position; }));
    new_.run("STOP SLAVE");
    new_.run("RESET SLAVE ALL");
    common_ = position;
    new_.run("INSERT INTO d.t VALUES (10, 'of the new one')");
  }
  static void follow(Sql& replica, mysqld::testing::Server& source) {
    for (const auto& sql :
         source.flavor().set_source({.host = "127.0.0.1", .port = source.port(), .user = "vt_repl"})) {
      replica.run(sql);
    }
    replica.run("START SLAVE");
  }

  ServerLogin own() const {
    ServerLogin login;
    login.address.unix_socket = (*old_server_)->layout().socket();
    login.user = "vt_dba";
    return login;
  }
  ServerLogin source() const {
    ServerLogin login;
    login.address.host = "127.0.0.1";
    login.address.port = new_server_->port();
    login.user = "vt_repl";
    return login;
  }
  Result<Undo> plan(UndoLimits limits = {}) {
    return net::block_on(thread_.loop(),
                         plan_undo(own(), source(), limits, net::Wait::within(std::chrono::minutes(1))));
  }
  Status apply(const Undo& undo, std::vector<std::string> more = {}) {
    return net::block_on(thread_.loop(),
                         apply_undo(own(), undo, std::move(more), net::Wait::within(std::chrono::minutes(1))));
  }
  // The old one follows the new one, and has what that has.
  void expect_rejoined(const Undo& undo, const std::vector<std::string>& tables) {
    for (const auto& sql : old_server_->flavor().set_executed_position(undo.common.to_string())) old_.run(sql);
    follow(old_, *new_server_);
    const std::string position = new_.value("SELECT @@global.gtid_binlog_pos");
    ASSERT_TRUE(eventually([&] { return old_.value("SELECT @@global.gtid_slave_pos") == position; }))
        << old_.lines("SHOW SLAVE STATUS")[0];
    for (const auto& table : tables) {
      const std::string all = "SELECT * FROM d." + table + " ORDER BY 1";
      EXPECT_EQ(old_.lines(all), new_.lines(all)) << table;
    }
  }
  void expect_refused(const std::string& why) {
    const std::string rows = "SELECT * FROM d.t ORDER BY id";
    const auto before = old_.lines(rows);
    const auto undo = plan();
    ASSERT_FALSE(undo.ok());
    EXPECT_EQ(undo.error().code(), Code::kFailedPrecondition);
    EXPECT_NE(undo.error().message().find(why), std::string::npos) << undo.error().message();
    EXPECT_EQ(old_.lines(rows), before);
  }

  static inline std::unique_ptr<mysqld::testing::TemporaryFolder> folder_;
  static inline std::unique_ptr<mysqld::testing::Server> old_server_, new_server_;
  Sql old_{(*old_server_)->layout().socket()};
  Sql new_{(*new_server_)->layout().socket()};
  net::LoopThread thread_{"rewind"};
  std::string common_;
};

TEST_F(Rewind, TakesBackWhatOnlyOneHas) {
  part();
  old_.run("INSERT INTO d.t VALUES (4, 'four'), (5, 'it''s \\\\ \\0 \"')");
  old_.run("UPDATE d.t SET id = id + 100");
  old_.run("DELETE FROM d.t WHERE id = 102");
  old_.run("FLUSH BINARY LOGS");
  old_.run("BEGIN");
  old_.run("UPDATE d.t SET v = CONCAT(v, '!')");
  old_.run("INSERT INTO d.t VALUES (102, 'two')");
  old_.run("COMMIT");
  old_.run("CREATE TEMPORARY TABLE d.scratch (id INT)");
  old_.run("DROP TEMPORARY TABLE d.scratch");

  const auto undo = plan();
  ASSERT_TRUE(undo.ok()) << undo.error().to_string();
  EXPECT_EQ(undo->common.to_string(), common_);
  ASSERT_GE(undo->transactions.size(), 4u);
  EXPECT_TRUE(undo->transactions[0].gtid.ends_with("-4")) << undo->transactions[0].gtid;
  EXPECT_NE(undo->transactions[0].redo.find("INSERT INTO `d`.`t` (`id`, `v`) VALUES (4,'four')"), std::string::npos)
      << undo->transactions[0].redo;
  old_.run("CREATE TABLE d.noted (position TEXT)");  // Not part of the plan, which was made before.
  const Status applied = apply(*undo, {"INSERT INTO d.noted VALUES ('here')"});
  ASSERT_TRUE(applied.ok()) << applied.error().to_string();
  EXPECT_EQ(old_.lines("SELECT * FROM d.t ORDER BY id"), (std::vector<std::string>{"1|one", "2|two", "3|three"}));
  EXPECT_EQ(old_.value("SELECT position FROM d.noted"), "here");
  old_.run("DROP TABLE d.noted");
  expect_rejoined(*undo, {"t"});
}

TEST_F(Rewind, KnowsAllTypes) {
  old_.run(
      "CREATE TABLE d.types (id BIGINT UNSIGNED PRIMARY KEY, i TINYINT, f FLOAT, g DOUBLE, n DECIMAL(30,10), b "
      "BIT(12), "
      "d DATE, tm TIME(3), dt DATETIME(6), ts TIMESTAMP(2) NULL, y YEAR, e ENUM('a','b'), s SET('x','y','z'), "
      "bin BINARY(4), vb VARBINARY(50), bl BLOB, tx TEXT, j JSON, p POINT, u UUID, ip INET6, "
      "gen INT AS (i + 1) PERSISTENT) DEFAULT CHARACTER SET utf8mb4");
  const std::string row =
      "18446744073709551615 - {}, -3, 1.1e-7, 0.1, -12345678901234567890.0123456789, b'101010101010', '2024-02-29', "
      "'-800:59:59.999', '0000-00-00 00:00:00', '2001-02-03 04:05:06.78', 1999, 'b', 'x,z', x'00ff', x'000102', "
      "repeat(x'ff00', 100), 'ä€😀', '{{\"a\": [1, null]}}', ST_GeomFromText('POINT(1 -2)'), "
      "'123e4567-e89b-12d3-a456-426655440000', '2001:db8::1'";
  const std::string columns = "id, i, f, g, n, b, d, tm, dt, ts, y, e, s, bin, vb, bl, tx, j, p, u, ip";
  const auto insert = [&](int number) {
    old_.run(fmt::format("INSERT INTO d.types ({}) VALUES ({})", columns, fmt::format(fmt::runtime(row), number)));
  };
  insert(1);
  insert(2);
  old_.run("INSERT INTO d.types (id) VALUES (7)");
  part();
  const auto before = old_.lines("SELECT * FROM d.types ORDER BY id");
  old_.run("UPDATE d.types SET i = 9, f = 2.5, b = 1, e = 'a', j = '{}', u = NULL WHERE id > 7");
  old_.run("DELETE FROM d.types");
  insert(3);
  const auto undo = plan();
  ASSERT_TRUE(undo.ok()) << undo.error().to_string();
  const Status applied = apply(*undo);
  ASSERT_TRUE(applied.ok()) << applied.error().to_string();
  EXPECT_EQ(old_.lines("SELECT * FROM d.types ORDER BY id"), before);
  expect_rejoined(*undo, {"t", "types"});
}

TEST_F(Rewind, ManyTransactionsAreFound) {
  part();
  for (int i = 0; i < 300; ++i) old_.run(fmt::format("INSERT INTO d.t VALUES ({}, 'x{}')", 1000 + i, i));
  const auto small = plan({.bytes_max = 1000});
  ASSERT_FALSE(small.ok());
  EXPECT_EQ(small.error().code(), Code::kResourceExhausted);
  const auto undo = plan();
  ASSERT_TRUE(undo.ok()) << undo.error().to_string();
  EXPECT_EQ(undo->transactions.size(), 300u);
  EXPECT_EQ(undo->common.to_string(), common_);
  ASSERT_TRUE(apply(*undo).ok());
  expect_rejoined(*undo, {"t"});
}

TEST_F(Rewind, RefusesWhatTheLogDoesNotTell) {
  old_.run("CREATE TABLE d.plain (id INT PRIMARY KEY) ENGINE = MyISAM");
  old_.run("CREATE TABLE d.keyless (id INT)");
  old_.run("CREATE TABLE d.parent (id INT PRIMARY KEY)");
  old_.run(
      "CREATE TABLE d.child (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES d.parent (id) ON DELETE CASCADE)");
  old_.run("CREATE TABLE d.watched (id INT PRIMARY KEY)");
  old_.run("CREATE TRIGGER d.watch AFTER DELETE ON d.watched FOR EACH ROW DELETE FROM d.t WHERE id = OLD.id");
  old_.run("INSERT INTO d.parent VALUES (1)");
  part();
  const std::string base = old_.value("SELECT @@global.gtid_binlog_state");
  const auto only = [&](const std::string& statement, const std::string& why) {
    SCOPED_TRACE(statement);
    old_.run(statement);
    expect_refused(why);
    old_.run("RESET MASTER");
    old_.run("SET GLOBAL gtid_binlog_state = '" + base + "'");
  };
  only("ALTER TABLE d.t ADD COLUMN w INT", "no change of rows: ALTER TABLE");
  only("INSERT INTO d.plain VALUES (1)", "`plain`: it is no plain table with transactions");
  only("INSERT INTO d.keyless VALUES (1)", "neither a primary key");
  only("DELETE FROM d.parent", "foreign keys");
  only("INSERT INTO d.watched VALUES (1)", "it has triggers");
  only("CREATE USER somebody", "no change of rows: CREATE USER");
  old_.run("DROP USER somebody");
  old_.run("RESET MASTER");
  old_.run("SET GLOBAL gtid_binlog_state = '" + base + "'");
}

TEST_F(Rewind, ChangesNothingWhenARowIsNotAsTheLogSays) {
  part();
  old_.run("INSERT INTO d.t VALUES (4, 'four'), (5, 'five')");
  old_.run("SET SESSION sql_log_bin = 0");
  old_.run("DELETE FROM d.t WHERE id = 4");
  old_.run("SET SESSION sql_log_bin = 1");
  const auto undo = plan();
  ASSERT_TRUE(undo.ok()) << undo.error().to_string();
  EXPECT_EQ(apply(*undo).error().code(), Code::kFailedPrecondition);
  EXPECT_EQ(old_.value("SELECT COUNT(*) FROM d.t WHERE id = 5"), "1");
}

TEST_F(Rewind, NeedsSomethingInCommon) {
  part();
  new_.run("RESET MASTER");  // And with it all that the new one knows of the old one.
  new_.run("SET GLOBAL gtid_slave_pos = ''");
  new_.run("INSERT INTO d.t VALUES (11, 'x')");
  const auto undo = plan();
  ASSERT_FALSE(undo.ok());
  EXPECT_EQ(undo.error().code(), Code::kNotFound) << undo.error().to_string();
}

}  // namespace
}  // namespace vitrail::movement
