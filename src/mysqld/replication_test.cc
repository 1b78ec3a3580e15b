#include <fmt/core.h>
#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <thread>

#include "mysql/gtid.h"
#include "mysqld/schema_sql.h"
#include "mysqld/server_for_test.h"

// The MariaDB flavor's text and readings against two real servers.
namespace vitrail::mysqld {
namespace {

using std::chrono::milliseconds;
using testing::eventually;
using testing::Server;
using testing::Session;
using testing::small_server;
using testing::TemporaryFolder;

class Replication : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TemporaryFolder;
    std::jthread other([] { b_ = make_server(202); });
    a_ = make_server(201);
  }
  static void TearDownTestSuite() {
    delete a_;
    delete b_;
    delete folder_;
  }
  static Server* make_server(uint32_t uid) {
    DaemonOptions options = small_server(*folder_, uid);
    options.supervised = false;
    options.config.server_id = uid;
    options.config.flush_log_at_trx_commit = 2;
    options.config.sync_binlog = 0;
    auto* server = new Server(options);
    auto done = (*server)->init();
    EXPECT_TRUE(done.ok()) << done.error().to_string();
    return server;
  }

  void SetUp() override {
    a.emplace((*a_)->layout().socket());
    b.emplace((*b_)->layout().socket());
    a->query("SET GLOBAL server_id = 201");
    for (Session* session : {&*a, &*b}) {
      session->run(flavor().reset_all());
      session->run(flavor().set_read_only(false));
      session->run({"SET SESSION sql_log_bin = 0", "DROP DATABASE IF EXISTS d", "SET SESSION sql_log_bin = 1"});
    }
  }

  const Flavor& flavor() { return a_->flavor(); }
  ReplicationSource source(const Server& server, std::string host = "127.0.0.1") {
    return {
        .host = std::move(host), .port = server.port(), .user = "vt_repl", .connect_retry = std::chrono::seconds(1)};
  }
  std::string position(Session& session) {
    auto position = flavor().parse_position(session.query(flavor().position_query()));
    EXPECT_TRUE(position.ok()) << position.error().to_string();
    return position.value_or("");
  }
  ReplicationStatus status(Session& session) {
    auto status = flavor().parse_replication_status(session.query(flavor().replication_status_query()));
    EXPECT_TRUE(status.ok()) << status.error().to_string();
    return status.value_or(ReplicationStatus{});
  }
  Status wait(Session& session, std::string_view position, milliseconds timeout = std::chrono::seconds(20)) {
    return flavor().parse_wait_for_position(session.query(flavor().wait_for_position(position, timeout)));
  }
  void follow(Session& replica, const Server& server) {
    replica.run(flavor().set_source(source(server)));
    replica.run(flavor().start_replication());
  }

  static inline TemporaryFolder* folder_ = nullptr;
  static inline Server* a_ = nullptr;
  static inline Server* b_ = nullptr;
  std::optional<Session> a;
  std::optional<Session> b;
};

TEST_F(Replication, StatusTellsWhatRuns) {
  EXPECT_FALSE(status(*b).has_source());
  EXPECT_EQ(position(*b), "");
  a->run({"CREATE DATABASE d", "CREATE TABLE d.t (id INT PRIMARY KEY)", "INSERT INTO d.t VALUES (1)"});
  EXPECT_EQ(position(*a), "0-201-3");
  follow(*b, *a_);
  ASSERT_TRUE(wait(*b, position(*a)).ok());
  ASSERT_TRUE(eventually([&] { return status(*b).healthy(); }));
  ReplicationStatus s = status(*b);
  EXPECT_EQ(s.source_host, "127.0.0.1");
  EXPECT_EQ(s.source_port, a_->port());
  EXPECT_EQ(s.source_user, "vt_repl");
  EXPECT_EQ(s.source_server_id, 201u);
  EXPECT_EQ(s.using_gtid, "Slave_Pos");
  EXPECT_TRUE(s.auto_position);
  EXPECT_EQ(s.lag_seconds, 0u);
  EXPECT_EQ(s.executed, "0-201-3");
  EXPECT_EQ(s.received, "0-201-3");
  EXPECT_EQ(s.connect_retry_seconds, 1u);
  EXPECT_FALSE(s.has_filters);
  EXPECT_EQ(position(*b), "0-201-3");

  // A position that does not come.
  EXPECT_EQ(wait(*b, "0-201-9", milliseconds(50)).error().code(), Code::kDeadlineExceeded);

  // Received and not applied.
  b->run(flavor().stop_sql_thread());
  a->run({"INSERT INTO d.t VALUES (2)"});
  ASSERT_TRUE(eventually([&] { return status(*b).received == "0-201-4"; }));
  s = status(*b);
  EXPECT_EQ(s.io_state, ThreadState::kRunning);
  EXPECT_EQ(s.sql_state, ThreadState::kStopped);
  EXPECT_EQ(s.executed, "0-201-3");
  EXPECT_FALSE(s.lag_seconds);
  // With the SQL thread at work the IO thread may stop, and nothing that was received is lost ...
  b->run(flavor().start_sql_thread());
  b->run(flavor().stop_io_thread());
  EXPECT_EQ(status(*b).io_state, ThreadState::kStopped);
  EXPECT_TRUE(wait(*b, "0-201-4").ok());
  // ... but once both have stopped, the relay log is gone.
  b->run(flavor().start_io_thread());
  b->run(flavor().stop_sql_thread());
  a->run({"INSERT INTO d.t VALUES (22)"});
  ASSERT_TRUE(eventually([&] { return status(*b).received == "0-201-5"; }));
  b->run(flavor().stop_io_thread());
  b->run(flavor().start_sql_thread());
  EXPECT_EQ(wait(*b, "0-201-5", milliseconds(300)).error().code(), Code::kDeadlineExceeded);

  // A conflict stops the SQL thread and is told.
  b->run({"SET SESSION sql_log_bin = 0", "INSERT INTO d.t VALUES (3)", "SET SESSION sql_log_bin = 1"});
  b->run(flavor().start_io_thread());
  a->run({"INSERT INTO d.t VALUES (3)"});
  ASSERT_TRUE(eventually([&] { return status(*b).sql_state == ThreadState::kStopped; }));
  EXPECT_EQ(status(*b).last_sql_errno, 1062u);
  EXPECT_NE(status(*b).last_sql_error.find("Duplicate"), std::string::npos);
  b->run(flavor().stop_replication());

  // A source that does not let us in.
  ReplicationSource wrong = source(*a_);
  wrong.user = "o'brien";
  wrong.password = "it's";
  b->run(flavor().set_source(wrong));
  b->run(flavor().start_replication());
  ASSERT_TRUE(eventually([&] { return status(*b).last_io_errno != 0; }));
  s = status(*b);
  EXPECT_EQ(s.last_io_errno, 1045u);
  EXPECT_EQ(s.source_user, "o'brien");
  EXPECT_NE(s.io_state, ThreadState::kRunning);
  EXPECT_FALSE(s.healthy());
}

TEST_F(Replication, SurvivesChangesOfThePrimary) {
  a->run({"CREATE DATABASE d", "CREATE TABLE d.t (id INT PRIMARY KEY)", "INSERT INTO d.t VALUES (1)"});
  follow(*b, *a_);
  Session* primary = &*a;
  Session* replica = &*b;
  Server* primary_server = a_;
  Server* replica_server = b_;
  for (int round = 2; round < 6; ++round) {
    primary->query(fmt::format("INSERT INTO d.t VALUES ({})", round * 10));
    primary->run(flavor().set_read_only(true));
    ASSERT_TRUE(wait(*replica, position(*primary)).ok());
    replica->run(flavor().promote());
    replica->run(flavor().promote());  // May be repeated.
    EXPECT_FALSE(status(*replica).has_source());
    EXPECT_EQ(position(*replica), position(*primary));
    replica->run(flavor().set_read_only(false));
    // Sometimes the new primary writes before the old one follows, sometimes not at all.
    if (round % 2 == 0) replica->query(fmt::format("INSERT INTO d.t VALUES ({})", round * 10 + 1));
    follow(*primary, *replica_server);
    ASSERT_TRUE(wait(*primary, position(*replica)).ok());
    EXPECT_EQ(position(*primary), position(*replica));
    EXPECT_EQ(status(*primary).last_sql_errno, 0u);
    std::swap(primary, replica);
    std::swap(primary_server, replica_server);
  }
  EXPECT_EQ(a->value("SELECT GROUP_CONCAT(id ORDER BY id) FROM d.t"), "1,20,21,30,40,41,50");
  EXPECT_EQ(b->value("SELECT GROUP_CONCAT(id ORDER BY id) FROM d.t"), "1,20,21,30,40,41,50");
}

TEST_F(Replication, NoticesTransactionsThatOnlyAFormerPrimaryHas) {
  a->run({"CREATE DATABASE d", "CREATE TABLE d.t (id INT PRIMARY KEY)"});
  follow(*b, *a_);
  ASSERT_TRUE(wait(*b, position(*a)).ok());
  b->run(flavor().promote());
  a->query("INSERT INTO d.t VALUES (1)");  // Lost.
  b->run({"INSERT INTO d.t VALUES (2)", "INSERT INTO d.t VALUES (3)"});
  follow(*a, *b_);
  ASSERT_TRUE(eventually([&] { return status(*a).last_io_errno != 0 || status(*a).last_sql_errno != 0; }));
  EXPECT_EQ(status(*a).last_io_errno, 1236u);
  EXPECT_EQ(a->value("SELECT GROUP_CONCAT(id) FROM d.t"), "1");
}

// To clients "localhost" means the unix socket; a replica must not take it for its own.
TEST_F(Replication, ReachesASourceCalledLocalhost) {
  a->run({"CREATE DATABASE d"});
  b->run(flavor().set_source(source(*a_, "localhost")));
  b->run(flavor().start_replication());
  EXPECT_TRUE(wait(*b, position(*a)).ok()) << status(*b).last_io_error;
}

TEST_F(Replication, StreamsFromAServerThatWasRestoredToAPosition) {
  // As after a restore: the data of a server whose history is "0-77-500,3-9-12", and no binlog.
  for (Session* session : {&*a, &*b}) {
    session->run({"SET SESSION sql_log_bin = 0", "CREATE DATABASE d", "CREATE TABLE d.t (id INT PRIMARY KEY)",
                  "SET SESSION sql_log_bin = 1"});
    session->run(flavor().set_executed_position("0-77-500,3-9-12"));
    EXPECT_EQ(position(*session), "0-77-500,3-9-12");
  }
  a->query("INSERT INTO d.t VALUES (1)");
  EXPECT_EQ(position(*a), "0-201-501,3-9-12");
  follow(*b, *a_);
  ASSERT_TRUE(wait(*b, position(*a)).ok()) << status(*b).last_io_error;
  EXPECT_EQ(b->value("SELECT COUNT(*) FROM d.t"), "1");
  // The binlog of the restored server begins at the position: another one from the same backup can follow it.
  b->run(flavor().promote());
  a->run({"SET SESSION sql_log_bin = 0", "DELETE FROM d.t", "SET SESSION sql_log_bin = 1"});
  a->run(flavor().set_executed_position("0-77-500,3-9-12"));
  a->query("SET GLOBAL server_id = 301");
  follow(*a, *b_);
  ASSERT_TRUE(wait(*a, position(*b), std::chrono::seconds(5)).ok()) << status(*a).last_io_error;
  EXPECT_EQ(a->value("SELECT COUNT(*) FROM d.t"), "1");
  a->run(flavor().promote());
  b->run(flavor().set_executed_position(""));
  EXPECT_EQ(position(*b), "");
  // What lies before the restored position is not in the binlog; to skip it silently would lose transactions.
  b->run(flavor().set_executed_position("0-77-499,3-9-12"));
  follow(*b, *a_);
  ASSERT_TRUE(eventually([&] { return status(*b).last_io_errno != 0; }));
  EXPECT_EQ(status(*b).last_io_errno, 1236u);
}

// The reason why server_id is not the tablet's uid: the server itself offers no way to take these transactions.
TEST_F(Replication, LosesItsOwnFormerTransactionsUnlessTheServerIdIsNew) {
  a->run({"CREATE DATABASE d", "CREATE TABLE d.t (id INT PRIMARY KEY)", "INSERT INTO d.t VALUES (1)"});
  follow(*b, *a_);
  ASSERT_TRUE(wait(*b, position(*a)).ok());
  b->run(flavor().promote());
  b->query("INSERT INTO d.t VALUES (2)");
  for (int server_id : {201, 301}) {
    // Server a comes back without its data.
    a->run(flavor().stop_replication());
    a->run(flavor().reset_all());
    a->run({"SET SESSION sql_log_bin = 0", "DROP DATABASE IF EXISTS d", "CREATE DATABASE d",
            "CREATE TABLE d.t (id INT PRIMARY KEY)", "SET SESSION sql_log_bin = 1",
            fmt::format("SET GLOBAL server_id = {}", server_id)});
    if (server_id == 301) a->run({"SET SESSION sql_log_bin = 0", "DROP DATABASE d", "SET SESSION sql_log_bin = 1"});
    follow(*a, *b_);
    ASSERT_TRUE(wait(*a, position(*b)).ok()) << status(*a).last_sql_error;
    EXPECT_EQ(a->value("SELECT GROUP_CONCAT(id ORDER BY id) FROM d.t"), server_id == 301 ? "1,2" : "2");
  }
}

TEST_F(Replication, StopsAtAPosition) {
  a->run({"CREATE DATABASE d", "CREATE TABLE d.t (id INT PRIMARY KEY)", "INSERT INTO d.t VALUES (1)"});
  std::string stop = position(*a);
  a->query("INSERT INTO d.t VALUES (2)");
  b->run(flavor().set_source(source(*a_)));
  b->run(flavor().start_replication_until(stop));
  ASSERT_TRUE(eventually([&] { return position(*b) == stop && status(*b).sql_state == ThreadState::kStopped; }));
  EXPECT_EQ(b->value("SELECT COUNT(*) FROM d.t"), "1");
}

TEST_F(Replication, ReadsSemiSyncFromBothSides) {
  auto semi_sync = [&](Session& session) {
    auto status = flavor().parse_semi_sync(session.query(flavor().semi_sync_variables_query()),
                                           session.query(flavor().semi_sync_status_query()));
    EXPECT_TRUE(status.ok());
    return status.value_or(SemiSyncStatus{});
  };
  SemiSyncStatus off = semi_sync(*a);
  EXPECT_TRUE(off.installed);
  EXPECT_FALSE(off.source_enabled || off.replica_enabled || off.source_active || off.replica_active);
  EXPECT_EQ(off.timeout_ms, 1000000000000000000u);
  a->run(flavor().set_semi_sync(true, false));
  b->run(flavor().set_semi_sync(false, true));
  follow(*b, *a_);
  ASSERT_TRUE(eventually([&] { return semi_sync(*a).source_clients == 1 && semi_sync(*b).replica_active; }));
  a->query("CREATE DATABASE d");
  EXPECT_TRUE(semi_sync(*a).source_enabled);
  EXPECT_TRUE(semi_sync(*a).source_active);
  EXPECT_TRUE(semi_sync(*b).replica_enabled);
  // Without a replica that answers, a commit waits and does not fall back.
  b->run(flavor().stop_replication());
  {
    Session writer((*a_)->layout().socket());
    std::jthread blocked([&] { writer.query("CREATE DATABASE d2"); });
    EXPECT_TRUE(eventually([&] { return semi_sync(*a).waiting_sessions == 1; }));
    b->run(flavor().start_replication());
    blocked.join();
  }
  a->query("DROP DATABASE d2");
  ASSERT_TRUE(wait(*b, position(*a)).ok());
  a->run(flavor().set_semi_sync(false, false));
  b->run(flavor().set_semi_sync(false, false));
}

// The claim in mariadb_flavor.cc: under concurrent commits in two domains, rotation and purging, a snapshot shows
// exactly the transactions of its position. Every transaction inserts one row, so counts and sequence numbers must
// agree.
TEST_F(Replication, SnapshotsShowExactlyTheirPosition) {
  a->run({"CREATE DATABASE d", "CREATE TABLE d.t0 (id INT AUTO_INCREMENT PRIMARY KEY)",
          "CREATE TABLE d.t7 (id INT AUTO_INCREMENT PRIMARY KEY)"});
  auto base = mysql::MariadbGtidSet::parse(position(*a));
  ASSERT_TRUE(base.ok());
  uint64_t base_sequence = base->domains().at(0).sequence;

  std::vector<std::jthread> writers;
  for (int domain : {0, 7}) {
    for (int i = 0; i < 2; ++i) {
      writers.emplace_back([domain](std::stop_token stop) {
        Session session((*a_)->layout().socket());
        session.run({fmt::format("SET SESSION gtid_domain_id = {}", domain)});
        while (!stop.stop_requested()) session.query(fmt::format("INSERT INTO d.t{} VALUES ()", domain));
      });
    }
  }
  // The account of the data movers has all rights that this needs; its session starts out wrong on purpose.
  Session copy((*a_)->layout().socket(), "vt_filtered");
  copy.run({"SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"});
  copy.run(flavor().connection_setup(ConnectionPurpose::kCopy));
  uint64_t rows_seen = 0;
  for (int i = 0; i < 40; ++i) {
    Result<std::string> snapshot = fail(Code::kInternal, "no step gave a position");
    bool purged = i % 10 == 7;
    for (const SnapshotStep& step : flavor().snapshot({})) {
      ASSERT_EQ(step.connection, SnapshotStep::Connection::kSnapshot);
      Rows rows = copy.query(step.sql);
      if (step.yields_position) snapshot = flavor().parse_position(rows);
      if (!step.sql.starts_with("START")) continue;
      if (purged || i % 10 == 3) a->query("FLUSH BINARY LOGS");
      if (purged) a->query(fmt::format("PURGE BINARY LOGS TO '{}'", a->value(flavor().binlog_file_query())));
    }
    // When the file goes away between two statements there is no position, and never a wrong one.
    if (purged && !snapshot.ok()) {
      EXPECT_EQ(snapshot.error().code(), Code::kFailedPrecondition);
      copy.run({"ROLLBACK"});
      continue;
    }
    ASSERT_TRUE(snapshot.ok()) << snapshot.error().to_string();
    auto set = mysql::MariadbGtidSet::parse(*snapshot);
    ASSERT_TRUE(set.ok());
    uint64_t in_0 = set->domains().at(0).sequence - base_sequence;
    uint64_t in_7 = set->domains().contains(7) ? set->domains().at(7).sequence : 0;
    ASSERT_EQ(copy.value("SELECT COUNT(*) FROM d.t0"), std::to_string(in_0)) << *snapshot;
    ASSERT_EQ(copy.value("SELECT COUNT(*) FROM d.t7"), std::to_string(in_7)) << *snapshot;
    copy.run({"COMMIT"});
    rows_seen = in_0 + in_7;
  }
  writers.clear();
  EXPECT_GT(rows_seen, 40u);
}

TEST_F(Replication, SettingsAndBinlogFileAreRead) {
  auto settings = flavor().parse_server_settings(a->query(flavor().server_settings_query()));
  ASSERT_TRUE(settings.ok());
  EXPECT_FALSE(settings->read_only);
  EXPECT_FALSE(settings->super_read_only);
  ASSERT_TRUE(flavor().parse_binlog_file(a->query(flavor().binlog_file_query()), *settings).ok());
  EXPECT_TRUE(settings->binlog_file.starts_with("vt-0000000201-bin.")) << settings->binlog_file;
  EXPECT_GT(settings->binlog_position, 4u);
  for (auto purpose :
       {ConnectionPurpose::kApp, ConnectionPurpose::kDba, ConnectionPurpose::kCopy, ConnectionPurpose::kApply}) {
    a->run(flavor().connection_setup(purpose));
  }
  a->run({flavor().statement_timeout(milliseconds(50))});
  EXPECT_NE(a->error("SELECT SLEEP(20)").find("max_statement_time"), std::string::npos);
  a->run({flavor().statement_timeout(milliseconds(0))});
}

TEST_F(Replication, ApplySessionsStoreWhatOthersStored) {
  Session apply((*a_)->layout().socket(), "vt_filtered");
  apply.run(flavor().connection_setup(ConnectionPurpose::kApply));
  apply.run(
      {"CREATE DATABASE d",
       "CREATE TABLE d.t (id INT AUTO_INCREMENT PRIMARY KEY, day DATE, v VARCHAR(3), n INT CHECK (n > 0), parent INT, "
       "FOREIGN KEY (parent) REFERENCES d.t (id))",
       "INSERT INTO d.t VALUES (0, '0000-00-00', 'abc', -1, 99)",
       "INSERT INTO d.t VALUES (2, '2024-02-31', '', 1, 1)"});
  EXPECT_EQ(apply.value("SELECT GROUP_CONCAT(id, ' ', day ORDER BY id) FROM d.t"), "0 0000-00-00,2 2024-02-31");
  // But nothing is cut.
  EXPECT_NE(apply.error("INSERT INTO d.t VALUES (3, NULL, 'abcd', 1, 1)"), "");
}

TEST_F(Replication, SchemaIsReadFromARealServer) {
  a->run(
      {"CREATE DATABASE `d`", "CREATE DATABASE `we``ird`",
       "CREATE TABLE d.customer (customer_id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT, email VARBINARY(128) NOT NULL, "
       "name VARCHAR(20) CHARACTER SET latin1 DEFAULT 'it''s', twice INT AS (hidden * 2) STORED, "
       "thrice INT AS (hidden * 3) VIRTUAL, hidden INT INVISIBLE DEFAULT 7, "
       "PRIMARY KEY (customer_id), UNIQUE KEY mail (email), KEY part (email(5), name)) "
       "AUTO_INCREMENT=17 COMMENT='has AUTO_INCREMENT=5 in it'",
       "CREATE TABLE d.seq (id INT, next_id BIGINT, cache BIGINT, PRIMARY KEY (id)) COMMENT 'vitess_sequence'",
       "CREATE TABLE d.bare (a INT, b INT, UNIQUE KEY n (a), KEY k (b))",
       "CREATE TABLE d.two (a INT NOT NULL, b INT NOT NULL, c INT NOT NULL, UNIQUE KEY ab (a, b), UNIQUE KEY c (c))",
       "CREATE VIEW d.v AS SELECT customer_id FROM d.customer", "CREATE SEQUENCE d.native",
       "INSERT INTO d.customer (email) VALUES ('x'), ('y')"});
  a->run(schema_session_setup(flavor()));

  auto tables = parse_tables(a->query(tables_query("d")));
  ASSERT_TRUE(tables.ok()) << tables.error().to_string();
  std::string names;
  for (const TableInfo& table : *tables) names += fmt::format("{}:{} ", table.name, static_cast<int>(table.kind));
  EXPECT_EQ(names, "bare:0 customer:0 native:2 seq:0 two:0 v:1 ");
  const TableInfo& customer = (*tables)[1];
  EXPECT_EQ(customer.engine, "InnoDB");
  EXPECT_EQ(customer.comment, "has AUTO_INCREMENT=5 in it");
  EXPECT_FALSE(customer.is_sequence());
  EXPECT_TRUE((*tables)[3].is_sequence());
  EXPECT_EQ(customer.auto_increment, 19u);
  EXPECT_GT(customer.created_unix_seconds, 1'600'000'000);
  EXPECT_GE(customer.data_bytes, 16384u);
  ASSERT_EQ(parse_tables(a->query(tables_query("d", "seq")))->size(), 1u);

  auto columns = parse_columns(a->query(columns_query("d", "customer")));
  ASSERT_TRUE(columns.ok());
  ASSERT_EQ(columns->size(), 6u);
  const ColumnInfo& id = (*columns)[0];
  EXPECT_EQ(id.name, "customer_id");
  EXPECT_EQ(id.data_type, "bigint");
  EXPECT_TRUE(id.is_unsigned() && id.is_auto_increment && !id.nullable && !id.is_generated);
  EXPECT_EQ((*columns)[2].character_set, "latin1");
  EXPECT_EQ((*columns)[2].default_text, "'it''s'");
  EXPECT_TRUE((*columns)[3].is_generated && (*columns)[3].is_stored);
  EXPECT_TRUE((*columns)[4].is_generated && !(*columns)[4].is_stored);
  EXPECT_NE((*columns)[4].generation_expression.find("* 3"), std::string::npos);
  EXPECT_TRUE((*columns)[5].is_invisible);
  EXPECT_EQ((*columns)[5].ordinal, 6u);

  auto identity = [&](std::string_view table) -> std::string {
    auto indexes = parse_indexes(a->query(indexes_query("d", table)));
    EXPECT_TRUE(indexes.ok());
    const IndexInfo* index = row_identity(*indexes);
    return index == nullptr ? "none" : index->name;
  };
  EXPECT_EQ(identity("customer"), "PRIMARY");
  EXPECT_EQ(identity("two"), "c");
  EXPECT_EQ(identity("bare"), "none");
  auto indexes = parse_indexes(a->query(indexes_query("d", "customer")));
  ASSERT_EQ(indexes->size(), 3u);
  EXPECT_TRUE((*indexes)[2].partial);
  EXPECT_EQ((*indexes)[2].columns, (std::vector<std::string>{"email", "name"}));

  auto create = parse_create_statement(a->query(create_statement_query("d", "customer")));
  ASSERT_TRUE(create.ok());
  EXPECT_NE(create->find("AUTO_INCREMENT=19"), std::string::npos);
  std::string bare = without_auto_increment(*create);
  EXPECT_EQ(bare.find("AUTO_INCREMENT=19"), std::string::npos);
  EXPECT_NE(bare.find("has AUTO_INCREMENT=5 in it"), std::string::npos);
  EXPECT_NE(bare.find("NOT NULL AUTO_INCREMENT,"), std::string::npos);
  auto view = parse_create_statement(a->query(create_statement_query("d", "v")));
  ASSERT_TRUE(view.ok());
  EXPECT_NE(view->find(" VIEW "), std::string::npos);

  EXPECT_EQ(parse_schemas(flavor(), a->query(schemas_query())), (std::vector<std::string>{"d", "we`ird"}));
  EXPECT_NE(a->value(create_database_statement_query("we`ird")), "");
  a->query("DROP DATABASE `we``ird`");
}

}  // namespace
}  // namespace vitrail::mysqld
