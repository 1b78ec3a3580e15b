#pragma once

// For tests: streams between two real servers, and a client that changes rows meanwhile.

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <sstream>

#include "movement/servers_for_test.h"
#include "movement/sidecar.h"
#include "mysqld/daemon.h"
#include "shard/vindex.h"

namespace vitrail::movement {

using testing::Background;
using testing::Directory;
using testing::eventually;
using testing::source_of;
using testing::Sql;
using testing::Tablet;
using testing::TabletSettings;

// The servers are shared by all tests; each test has databases of its own.
class Movement : public ::testing::Test {
 public:
  static void SetUpTestSuite() {
    folder_ = std::make_unique<mysqld::testing::TemporaryFolder>();
    const auto make = [](uint32_t uid) {
      mysqld::DaemonOptions options = mysqld::testing::small_server(*folder_, uid);
      options.supervised = false;
      options.config.start_read_only = false;
      options.config.flush_log_at_trx_commit = 2;
      options.config.sync_binlog = 0;
      options.config.buffer_pool_bytes = 128ull << 20;
      return std::make_unique<mysqld::testing::Server>(std::move(options));
    };
    source_server_ = make(101);
    target_server_ = make(201);
    std::thread other([] { start(*target_server_); });
    start(*source_server_);
    other.join();
  }
  static void TearDownTestSuite() {
    source_server_.reset();
    target_server_.reset();
    folder_.reset();
  }
  static void start(mysqld::testing::Server& server) {
    const Status started = server->init();
    ASSERT_TRUE(started.has_value()) << started.error().to_string();
    Sql sql(server->layout().socket());
    for (const std::string& statement : sidecar_schema()) sql.run(statement);
    for (const std::string& statement : sidecar_schema()) sql.run(statement);  // May be repeated.
  }
  static std::string source_socket() { return (*source_server_)->layout().socket(); }
  static std::string target_socket() { return (*target_server_)->layout().socket(); }

  void SetUp() override {
    name_ = ::testing::UnitTest::GetInstance()->current_test_info()->name();
    source_.run(fmt::format("CREATE DATABASE {}_src", name_));
    source_.run(fmt::format("USE {}_src", name_));
    target_.run(fmt::format("CREATE DATABASE {}_dst", name_));
    target_.run(fmt::format("USE {}_dst", name_));
  }
  void TearDown() override {
    tablets_.clear();
    target_.run(fmt::format("DELETE FROM _vt.vreplication WHERE db_name = '{}'", target_db()));
    source_.run(fmt::format("DROP DATABASE {}_src", name_));
    target_.run(fmt::format("DROP DATABASE {}_dst", name_));
  }

  static void kill_server(mysqld::testing::Server& server) {
    const auto pid = server->find_pid();
    ASSERT_TRUE(pid);
    ASSERT_EQ(::kill(*pid, SIGKILL), 0);
    ASSERT_TRUE(eventually([&] { return !server->find_pid(); }));
    const Status started = server->start();
    ASSERT_TRUE(started.has_value()) << started.error().to_string();
  }

  std::string source_db() const { return name_ + "_src"; }
  std::string target_db() const { return name_ + "_dst"; }
  void on_both(const std::string& statement) {
    source_.run(statement);
    target_.run(statement);
  }
  Tablet& tablet(TabletSettings settings) {
    tablets_.push_back(std::make_unique<Tablet>(std::move(settings), directory_));
    return *tablets_.back();
  }
  Tablet& source_tablet() {
    return tablet({.socket = source_socket(), .keyspace = "from", .shard = "0", .db_name = source_db()});
  }
  Tablet& target_tablet() {
    return tablet({.socket = target_socket(), .keyspace = "to", .shard = "0", .db_name = target_db()});
  }

  std::string state(int32_t id) {
    return target_.value(fmt::format("SELECT state FROM _vt.vreplication WHERE id = {}", id));
  }
  std::string message(int32_t id) {
    return target_.value(fmt::format("SELECT message FROM _vt.vreplication WHERE id = {}", id));
  }
  void wait_running(int32_t id) {
    ASSERT_TRUE(eventually([&] { return state(id) == "Running"; })) << state(id) << ": " << message(id);
  }
  void catch_up(Tablet& tablet, int32_t id) {
    const Status reached = tablet.wait_for(id, source_.position());
    ASSERT_TRUE(reached.has_value()) << reached.error().to_string() << " " << message(id);
  }
  void expect_equal(const std::string& table, const std::string& columns, const std::string& order) {
    const auto expected =
        source_.lines(fmt::format("SELECT {} FROM {}.{} ORDER BY {}", columns, source_db(), table, order));
    const auto actual =
        target_.lines(fmt::format("SELECT {} FROM {}.{} ORDER BY {}", columns, target_db(), table, order));
    ASSERT_EQ(expected.size(), actual.size()) << table;
    for (size_t i = 0; i < expected.size(); ++i) ASSERT_EQ(expected[i], actual[i]) << table << " row " << i;
  }

  // Rows with a few thousand changes of all kinds; `sql` must not be used by another thread meanwhile.
  void make_rows(int count) {
    source_.run(fmt::format(
        "INSERT INTO item (id, name, price) SELECT seq * 2, CONCAT('item ', seq, REPEAT('x', seq % 40)), seq % 97 "
        "FROM seq_1_to_{}",
        count));
  }

  static inline std::unique_ptr<mysqld::testing::TemporaryFolder> folder_;
  static inline std::unique_ptr<mysqld::testing::Server> source_server_;
  static inline std::unique_ptr<mysqld::testing::Server> target_server_;
  std::string name_;
  Sql source_{source_socket()};
  Sql target_{target_socket()};
  Directory directory_;
  std::vector<std::unique_ptr<Tablet>> tablets_;
};

inline constexpr char kItem[] =
    "CREATE TABLE item (id BIGINT NOT NULL AUTO_INCREMENT, name VARCHAR(100), price INT NOT NULL, PRIMARY KEY (id), "
    "KEY (price)) "
    "DEFAULT CHARACTER SET utf8mb4";
inline constexpr char kItemColumns[] = "id, name, price";

// Inserts, updates (also of keys) and deletes, alone and in transactions, some rolled back.
class Writer {
 public:
  Writer(std::string socket, std::string database, int64_t ids, uint32_t seed)
      : sql_(std::move(socket)), random_(seed), ids_(ids) {
    sql_.run("USE " + database);
  }
  void step() {
    const auto id = [&] { return random_() % (2 * static_cast<uint64_t>(ids_) + 50); };
    switch (random_() % 8) {
      case 0:
      case 1: go(fmt::format("INSERT INTO item (name, price) VALUES ('new', {})", random_() % 100)); break;
      case 2:
        go(fmt::format("REPLACE INTO item (id, name, price) VALUES ({}, 'replaced', {})", id(), random_() % 100));
        break;
      case 3:
        go(fmt::format("UPDATE item SET price = price + 1, name = CONCAT('u', LEFT(name, 50)) WHERE id = {}", id()));
        break;
      case 4: go(fmt::format("DELETE FROM item WHERE id = {}", id())); break;
      case 5: {  // Moves a row to another key, which may be taken.
        (void)sql_.try_run(fmt::format("UPDATE item SET id = {} WHERE id = {}", id(), id()));
        break;
      }
      case 6: {
        const uint64_t at = id();
        go("BEGIN");
        go(fmt::format("UPDATE item SET price = price + 10 WHERE id BETWEEN {} AND {}", at, at + 30));
        go(fmt::format("DELETE FROM item WHERE id = {}", at + 3));
        go(fmt::format("INSERT IGNORE INTO item (id, name, price) VALUES ({}, 'again', 1)", at + 3));
        go(random_() % 4 == 0 ? "ROLLBACK" : "COMMIT");
        break;
      }
      case 7:  // Keys change hands.
        go("BEGIN");
        (void)sql_.try_run(fmt::format("UPDATE item SET id = id + 1000000 WHERE id BETWEEN {0} AND {0} + 5", id()));
        go("COMMIT");
        break;
    }
  }

 private:
  // The server may be killed at any moment: what becomes of a statement then is its business.
  void go(const std::string& statement) {
    const auto done = sql_.try_run(statement);
    if (done.ok() || done.error().code() == Code::kUnavailable) return;
    ADD_FAILURE() << statement << ": " << done.error().to_string();
  }
  Sql sql_;
  std::mt19937_64 random_;
  int64_t ids_;
};

}  // namespace vitrail::movement
