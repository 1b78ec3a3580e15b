// Copy, follow and split between real servers, with writers running and everything killed in between.

#include <fmt/core.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "movement/integration_for_test.h"

namespace vitrail::movement {
namespace {

TEST_F(Movement, CopiesAndFollowsUnderAWriter) {
  on_both(kItem);
  make_rows(40'000);
  source_tablet();
  Tablet& to = target_tablet();
  Writer writer(source_socket(), source_db(), 40'000, 1);
  Background writing([&] { writer.step(); });
  const int32_t id = to.start_workflow("wf", source_of("from", "0", {{"item", "select * from item"}}), target_);
  bool copying = false;
  ASSERT_TRUE(eventually([&] {
    const auto now = target_.lines(fmt::format(
        "SELECT state, (SELECT COUNT(*) FROM _vt.copy_state WHERE vrepl_id = {0}) FROM _vt.vreplication WHERE id = {0}",
        id));
    if (now[0] == "Copying|1") copying = true;
    return now[0] == "Running|0";
  })) << message(id);
  EXPECT_TRUE(copying);  // S0-02, S0-04
  const uint64_t rounds = writing.rounds();
  ASSERT_TRUE(eventually([&] { return writing.rounds() > rounds + 200; }));
  writing.stop();
  catch_up(to, id);
  expect_equal("item", kItemColumns, "id");
  EXPECT_GT(std::stoll(target_.value(fmt::format("SELECT rows_copied FROM _vt.vreplication WHERE id = {}", id))),
            15'000);
  const auto log =
      target_.lines(fmt::format("SELECT type FROM _vt.vreplication_log WHERE vrepl_id = {} ORDER BY id", id));
  EXPECT_EQ(log, (std::vector<std::string>{"Stream Created", "Started Copy Phase", "Ended Copy Phase"}));
}

TEST_F(Movement, AddsSecondaryKeysAfterTheCopy) {
  on_both(kItem);
  on_both("CREATE TABLE other (id INT PRIMARY KEY, a INT, b VARCHAR(9), UNIQUE KEY (a), KEY `b``c` (b, a))");
  make_rows(40'000);
  source_tablet();
  Tablet& to = tablet(
      {.socket = target_socket(), .keyspace = "to", .shard = "0", .db_name = target_db(), .chunk_bytes = 16u << 10});
  const auto definition = [&](Sql& sql, const std::string& database, const std::string& table) {
    return sql.lines(
        fmt::format("SELECT GROUP_CONCAT(CONCAT(index_name, ' ', column_name, ' ', seq_in_index) ORDER BY "
                    "index_name, seq_in_index) FROM information_schema.statistics WHERE table_schema = "
                    "'{}' AND table_name = '{}'",
                    database, table))[0];
  };
  const std::string without = "PRIMARY id 1";
  Writer writer(source_socket(), source_db(), 40'000, 5);
  Background writing([&] { writer.step(); });
  const int32_t id = to.start_workflow("wf", source_of("from", "0", {{"item", ""}, {"other", ""}}), target_, true);
  ASSERT_TRUE(eventually([&] {
    return definition(target_, target_db(), "item") == without &&
           definition(target_, target_db(), "other") == "a a 1,PRIMARY id 1";
  })) << definition(target_, target_db(), "item")
      << " " << state(id) << message(id);
  to.restart();  // What was dropped is known to the next life, too.
  wait_running(id);
  writing.stop();
  catch_up(to, id);
  expect_equal("item", kItemColumns, "id");
  for (const char* table : {"item", "other"}) {
    EXPECT_EQ(definition(target_, target_db(), table), definition(source_, source_db(), table));
  }
  EXPECT_EQ(target_.value("SELECT COUNT(*) FROM _vt.post_copy_action"), "0");
}

TEST_F(Movement, AddsSecondaryKeysWhenAWorkflowIsGivenUpAndItsDataAreKept) {
  on_both(kItem);
  make_rows(40'000);
  source_tablet();
  Tablet& to = tablet(
      {.socket = target_socket(), .keyspace = "to", .shard = "0", .db_name = target_db(), .chunk_bytes = 16u << 10});
  const int32_t id = to.start_workflow("wf", source_of("from", "0", {{"item", ""}}), target_, true);
  const std::string keys = fmt::format(
      "SELECT COUNT(*) FROM information_schema.statistics WHERE table_schema = '{}' AND index_name = 'price'",
      target_db());
  ASSERT_TRUE(eventually([&] { return target_.value(keys) == "0"; })) << state(id) << message(id);
  ::tabletmanagerdata::DeleteVReplicationWorkflowRequest request;
  request.set_workflow("wf");
  const auto deleted =
      to.call<::tabletmanagerdata::DeleteVReplicationWorkflowResponse>("DeleteVReplicationWorkflow", request);
  ASSERT_TRUE(deleted.ok()) << deleted.error().to_string();
  EXPECT_EQ(target_.value(keys), "1");
  EXPECT_EQ(target_.value("SELECT COUNT(*) FROM _vt.post_copy_action"), "0");
}

TEST_F(Movement, ReadsEachChunkOnceUnderAWriter) {
  on_both(kItem);
  make_rows(40'000);
  Tablet& from = source_tablet();
  Tablet& to = target_tablet();
  Sql sql(source_socket());
  sql.run("USE " + source_db());
  uint64_t next = 0;
  Background writing(
      [&] { sql.run(fmt::format("UPDATE item SET price = price + 1 WHERE id = {}", 2 + next++ % 80'000)); });
  const int32_t id = to.start_workflow("wf", source_of("from", "0", {{"item", "select * from item"}}), target_);
  wait_running(id);
  writing.stop();
  catch_up(to, id);
  expect_equal("item", kItemColumns, "id");
  // A chunk that is older than what has been applied meanwhile would be read again: under steady writes, each of them.
  EXPECT_LE(from.rows_sent(), 40'000u);
}

TEST_F(Movement, LosesAndDoublesNothingWhenEverythingIsKilled) {
  on_both(kItem);
  make_rows(60'000);
  Tablet& from = source_tablet();
  Tablet& to = tablet(
      {.socket = target_socket(), .keyspace = "to", .shard = "0", .db_name = target_db(), .chunk_bytes = 16u << 10});
  const char* seed_text = std::getenv("VITRAIL_SEED");
  const uint32_t seed = seed_text == nullptr ? 3 : static_cast<uint32_t>(std::stoul(seed_text));
  Writer writer(source_socket(), source_db(), 60'000, seed);
  Background writing([&] { writer.step(); });
  std::mt19937 random(seed);
  const int32_t id = to.start_workflow("wf", source_of("from", "0", {{"item", ""}}), target_);
  const auto pause = [&] { std::this_thread::sleep_for(std::chrono::milliseconds(random() % 100)); };
  for (int round = 0; round < 12; ++round) {
    pause();
    switch (random() % 5) {
      case 0: to.restart(); break;
      case 1:  // The connections that are at work for the streams, again and again.
        for (int kills = 0; kills < 20; ++kills) {
          for (const auto& connection :
               target_.lines("SELECT id FROM information_schema.processlist WHERE user = 'vt_filtered' AND "
                             "command <> 'Sleep'")) {
            (void)target_.try_run("KILL " + connection);
          }
          std::this_thread::sleep_for(std::chrono::microseconds(random() % 6000));
        }
        break;
      case 2: from.restart(); break;
      case 3: kill_server(*target_server_); break;
      case 4: kill_server(*source_server_); break;
    }
  }
  wait_running(id);
  writing.stop();
  catch_up(to, id);
  expect_equal("item", kItemColumns, "id");
}

TEST_F(Movement, CommitsRowsAndPositionTogether) {
  on_both(kItem);
  make_rows(2'000);
  source_tablet();
  Tablet& to = target_tablet();
  const int32_t id = to.start_workflow("wf", source_of("from", "0", {{"item", ""}}), target_);
  wait_running(id);
  // A stream that always has something to apply, and dies in the middle of it again and again.
  Sql writer(source_socket());
  writer.run("USE " + source_db());
  std::mt19937 random(17);
  Background writing([&] {
    writer.run(fmt::format(
        "BEGIN NOT ATOMIC DECLARE i INT DEFAULT 0; WHILE i < 300 DO "
        "UPDATE item SET price = price + 1, name = CONCAT('n', i) WHERE id = 2 * (1 + (i + {}) * 7919 % 2000); "
        "IF i % 5 = 0 THEN INSERT INTO item (name, price) VALUES ('new', i); END IF; "
        "IF i % 9 = 0 THEN DELETE FROM item WHERE id = {} + i; END IF; "
        "SET i = i + 1; END WHILE; END",
        random() % 2000, random() % 10'000));
  });
  int kills = 0;
  (void)eventually(
      [&] {
        for (const auto& connection : target_.lines(
                 "SELECT id FROM information_schema.processlist WHERE user = 'vt_filtered' AND command <> 'Sleep'")) {
          if (target_.try_run("KILL " + connection).ok()) ++kills;
        }
        std::this_thread::sleep_for(std::chrono::microseconds(random() % 8000));
        return kills >= 60;
      },
      std::chrono::seconds(10));
  EXPECT_GE(kills, 5);
  writing.stop();
  catch_up(to, id);
  expect_equal("item", kItemColumns, "id");
}

// Runs in a process of its own, which the test below starts and kills.
TEST(MovementProcess, RunsAnEngine) {
  const char* settings = std::getenv("VITRAIL_MOVEMENT_CHILD");
  if (settings == nullptr) GTEST_SKIP();
  std::istringstream in(settings);
  std::string socket, db, address;
  in >> socket >> db >> address;
  Directory directory;
  directory.put("from/0", address);
  Tablet tablet({.socket = socket, .keyspace = "to", .shard = "0", .db_name = db, .chunk_bytes = 16u << 10}, directory);
  ::pause();
}

TEST_F(Movement, GoesOnExactlyAfterKillMinusNine) {
  on_both(kItem);
  make_rows(60'000);
  Tablet& from = source_tablet();
  Writer writer(source_socket(), source_db(), 60'000, 11);
  Background writing([&] { writer.step(); });
  target_.run(fmt::format(
      "INSERT INTO _vt.vreplication (workflow, source, pos, max_tps, max_replication_lag, time_updated, "
      "transaction_timestamp, state, db_name) VALUES ('wf', 'keyspace: \"from\" shard: \"0\" filter {{ rules {{ "
      "match: \"item\" }} }}', '', 1, 1, 0, 0, 'Init', '{}')",
      target_db()));
  const int32_t id = std::stoi(target_.value("SELECT MAX(id) FROM _vt.vreplication"));
  const std::string child =
      fmt::format("VITRAIL_MOVEMENT_CHILD={} {} {}", target_socket(), target_db(), from.address());
  std::mt19937 random(13);
  int lives_with_progress = 0;
  for (int life = 0; life < 10; ++life) {
    const std::string before = target_.value(fmt::format("SELECT pos FROM _vt.vreplication WHERE id = {}", id));
    const pid_t pid = ::fork();
    if (pid == 0) {
      char* argv[] = {const_cast<char*>("movement"), const_cast<char*>("--gtest_filter=MovementProcess.*"), nullptr};
      char* envp[] = {const_cast<char*>(child.c_str()), nullptr};
      ::execve("/proc/self/exe", argv, envp);
      ::_exit(127);
    }
    (void)eventually(
        [&] { return target_.value(fmt::format("SELECT pos FROM _vt.vreplication WHERE id = {}", id)) != before; });
    std::this_thread::sleep_for(std::chrono::milliseconds(random() % 120));
    ASSERT_EQ(::kill(pid, SIGKILL), 0);
    ASSERT_EQ(::waitpid(pid, nullptr, 0), pid);
    if (target_.value(fmt::format("SELECT pos FROM _vt.vreplication WHERE id = {}", id)) != before)
      ++lives_with_progress;
  }
  EXPECT_GE(lives_with_progress, 8);
  Tablet& to = target_tablet();
  wait_running(id);
  writing.stop();
  catch_up(to, id);
  expect_equal("item", kItemColumns, "id");
}

TEST_F(Movement, SplitsByKeyRangeWithNoRowOnTheWrongSide) {
  constexpr char kOrders[] =
      "CREATE TABLE corder (order_id BIGINT NOT NULL, customer_id BIGINT NOT NULL, sku VARBINARY(128), PRIMARY KEY "
      "(order_id))";
  source_.run(kOrders);
  source_.run("INSERT INTO corder SELECT seq, seq % 700, CONCAT('sku ', seq) FROM seq_1_to_20000");
  ::vschema::SrvVSchema vschema;
  auto& keyspace = (*vschema.mutable_keyspaces())["customer"];
  keyspace.set_sharded(true);
  (*keyspace.mutable_vindexes())["hash"].set_type("hash");
  auto* vindex = (*keyspace.mutable_tables())["corder"].add_column_vindexes();
  vindex->set_column("customer_id");
  vindex->set_name("hash");
  tablet({.socket = source_socket(), .keyspace = "customer", .shard = "0", .db_name = source_db(), .vschema = vschema});
  std::vector<int32_t> ids;
  const std::vector<std::string> shards = {"-80", "80-"};
  for (size_t i = 0; i < shards.size(); ++i) {
    const std::string db = fmt::format("{}_dst{}", name_, i);
    target_.run("CREATE DATABASE " + db);
    target_.run("USE " + db);
    target_.run(kOrders);
    Tablet& to = tablet({.socket = target_socket(), .keyspace = "customer", .shard = shards[i], .db_name = db});
    ids.push_back(to.start_workflow("split", source_of("customer", "0", {{"/.*", shards[i]}}), target_));
  }
  Sql writer(source_socket());
  writer.run("USE " + source_db());
  std::mt19937 random(5);
  Background writing([&] {
    switch (random() % 4) {
      case 0:
        writer.run(fmt::format("REPLACE INTO corder VALUES ({}, {}, 'new')", random() % 30'000, random() % 700));
        break;
      case 1: writer.run(fmt::format("DELETE FROM corder WHERE order_id = {}", random() % 30'000)); break;
      // Rows change sides.
      default:
        writer.run(
            fmt::format("UPDATE corder SET customer_id = {0}, sku = CONCAT(LEFT(sku, 50), '!') WHERE order_id BETWEEN "
                        "{1} AND {1} + 10",
                        random() % 700, random() % 30'000));
    }
  });
  for (const int32_t id : ids) wait_running(id);
  const uint64_t rounds = writing.rounds();
  ASSERT_TRUE(eventually([&] { return writing.rounds() > rounds + 300; }));
  writing.stop();
  for (size_t i = 0; i < ids.size(); ++i) {
    const Status reached = tablets_[i + 1]->wait_for(ids[i], source_.position());
    ASSERT_TRUE(reached.has_value()) << reached.error().to_string();
  }
  const auto vindex_hash = shard::create_vindex("hash", "hash", {});
  const auto function = (*vindex_hash)->integer_function().function;
  std::set<std::string> expected[2];
  for (const auto& row :
       source_.run(fmt::format("SELECT order_id, customer_id, sku FROM {}.corder", source_db())).rows) {
    const bool upper = (function(std::stoull(*row[1])) >> 63) != 0;
    expected[upper ? 1 : 0].insert(fmt::format("{}|{}|{}", *row[0], *row[1], *row[2]));
  }
  for (size_t i = 0; i < 2; ++i) {
    const auto lines = target_.lines(fmt::format("SELECT order_id, customer_id, sku FROM {}_dst{}.corder", name_, i));
    EXPECT_EQ(std::set<std::string>(lines.begin(), lines.end()), expected[i]) << shards[i];
    EXPECT_EQ(lines.size(), expected[i].size());
    EXPECT_GT(lines.size(), 5'000u);
  }
  // A row on the wrong side is an extra one there, and nowhere else.
  const uint64_t sent = tablets_[0]->rows_sent();
  const auto compare = [&](size_t i) {
    ::tabletmanagerdata::VDiffRequest request;
    request.set_workflow("split");
    request.set_action("create");
    const auto created = tablets_[i + 1]->call<::tabletmanagerdata::VDiffResponse>("VDiff", request);
    EXPECT_TRUE(created.ok()) << created.error().to_string();
    const std::string of = fmt::format(
        "FROM _vt.vdiff_table AS t JOIN _vt.vdiff AS d ON d.id = t.vdiff_id WHERE "
        "d.vdiff_uuid = '{}' AND d.state = 'completed'",
        created->vdiff_uuid());
    EXPECT_TRUE(eventually([&] { return target_.value("SELECT COUNT(*) " + of) == "1"; }));
    return target_.value("SELECT report " + of);
  };
  for (size_t i = 0; i < 2; ++i) {
    const std::string report = compare(i);
    EXPECT_NE(report.find(fmt::format("\"MatchingRows\":{}", expected[i].size())), std::string::npos) << report;
  }
  EXPECT_EQ(tablets_[0]->rows_sent(), sent) << "the source sums up what belongs to each side";
  target_.run(fmt::format("INSERT INTO {0}_dst0.corder SELECT * FROM {0}_dst1.corder LIMIT 1", name_));
  EXPECT_NE(compare(0).find("\"ExtraRowsTarget\":1"), std::string::npos);
  EXPECT_NE(compare(1).find("\"ExtraRowsTarget\":0"), std::string::npos);
  tablets_.clear();
  for (size_t i = 0; i < 2; ++i) target_.run(fmt::format("DROP DATABASE {}_dst{}", name_, i));
}

// Rows that several targets want are read and decoded once; one that dies does not hold up the others.
TEST_F(Movement, ReadsRowsOnceForAllTargets) {
  constexpr const char* kTable =
      "CREATE TABLE corder (order_id BIGINT NOT NULL, customer_id BIGINT NOT NULL, sku VARBINARY(128), PRIMARY KEY "
      "(order_id))";
  source_.run(kTable);
  source_.run("INSERT INTO corder SELECT seq, seq % 700, REPEAT('s', 100) FROM seq_1_to_40000");
  ::vschema::SrvVSchema vschema;
  auto& keyspace = (*vschema.mutable_keyspaces())["customer"];
  keyspace.set_sharded(true);
  (*keyspace.mutable_vindexes())["hash"].set_type("hash");
  auto* vindex = (*keyspace.mutable_tables())["corder"].add_column_vindexes();
  vindex->set_column("customer_id");
  vindex->set_name("hash");
  Tablet& from = tablet({.socket = source_socket(),
                         .keyspace = "customer",
                         .shard = "0",
                         .db_name = source_db(),
                         .vschema = vschema,
                         .share_wait = std::chrono::seconds(5)});
  const std::vector<std::string> shards = {"-40", "40-80", "80-"};
  const auto database = [&](size_t i) { return fmt::format("{}_dst{}", name_, i); };
  const auto copy = [&](const std::string& workflow, bool restart) {
    std::vector<int32_t> ids;
    for (size_t i = 0; i < shards.size(); ++i) {
      target_.run(fmt::format("CREATE OR REPLACE DATABASE {}", database(i)));
      target_.run("USE " + database(i));
      target_.run(kTable);
      if (tablets_.size() < i + 2) {
        tablet({.socket = target_socket(), .keyspace = "customer", .shard = shards[i], .db_name = database(i)});
      }
      ids.push_back(
          tablets_[i + 1]->start_workflow(workflow, source_of("customer", "0", {{"corder", shards[i]}}), target_));
    }
    if (restart) tablets_[2]->restart();
    for (const int32_t id : ids) wait_running(id);
    std::set<std::string> all;
    for (size_t i = 0; i < shards.size(); ++i) {
      const auto rows = target_.lines(fmt::format("SELECT order_id, customer_id, sku FROM {}.corder", database(i)));
      EXPECT_GT(rows.size(), 1000u);
      for (const auto& row : rows) EXPECT_TRUE(all.insert(row).second) << row << " is in two shards";
    }
    const auto expected = source_.lines("SELECT order_id, customer_id, sku FROM corder");
    EXPECT_EQ(all, std::set<std::string>(expected.begin(), expected.end()));
    for (const auto& tablet : tablets_) {
      if (tablet.get() == &from) continue;
      ::tabletmanagerdata::DeleteVReplicationWorkflowRequest request;
      request.set_workflow(workflow);
      (void)tablet->call<::tabletmanagerdata::DeleteVReplicationWorkflowResponse>("DeleteVReplicationWorkflow",
                                                                                  request);
    }
  };
  copy("once", false);
  EXPECT_EQ(from.rows_read(), 40'000u);
  EXPECT_EQ(from.rows_sent(), 40'000u);
  copy("again", true);
  for (size_t i = 0; i < shards.size(); ++i) target_.run("DROP DATABASE " + database(i));
}

TEST_F(Movement, CarriesEveryTypeExactly) {
  on_both(R"(CREATE TABLE everything (
    id INT NOT NULL, t TINYINT, tu TINYINT UNSIGNED, s SMALLINT, m MEDIUMINT UNSIGNED, i INT(8) UNSIGNED ZEROFILL, b BIGINT,
    bu BIGINT UNSIGNED, f FLOAT, d DOUBLE, de DECIMAL(40,10), bi BIT(13), da DATE, ti TIME(3), dt DATETIME(6),
    ts TIMESTAMP(2) NULL DEFAULT NULL, y YEAR, c CHAR(10) CHARACTER SET latin1, vc VARCHAR(50) CHARACTER SET utf8mb4,
    u16 VARCHAR(20) CHARACTER SET utf16, bin BINARY(5), vb VARBINARY(40), tx MEDIUMTEXT CHARACTER SET utf8mb3, bl LONGBLOB,
    en ENUM('a','it''s','ü') CHARACTER SET utf8mb4, se SET('x','y','z'), js JSON, g GEOMETRY, uu UUID, ip INET6, ip4 INET4,
    up DATETIME NULL ON UPDATE CURRENT_TIMESTAMP, v INT AS (t + 1) VIRTUAL, st INT AS (t + 2) STORED, PRIMARY KEY (id)))");
  const auto insert = [&](int id) {
    source_.run(fmt::format(
        "INSERT INTO everything (id, t, tu, s, m, i, b, bu, f, d, de, bi, da, ti, dt, ts, y, c, vc, u16, bin, vb, tx, "
        "bl, en, se, js, g, "
        "uu, ip, ip4) VALUES "
        "({0}, -128, 255, -32768, 16777215, 42, -9223372036854775808, 18446744073709551615, 0.1, 1/3e0, "
        "-123456789012345678901234567890.0123456789, b'1010101010101', '0000-00-00', '-838:59:59.999', '9999-12-31 "
        "23:59:59.999999', '2038-01-19 03:14:07.99', 1901, 'é ÿ', '😀 \\'\\\\\"', 'äß😀', x'00ff0a0d5c', "
        "x'00010a0d09275c22ff', "
        "'line\\nfeed\\ttab\\\\', REPEAT(x'00ff5c0a', 5000), 'it''s', 'x,z', '{{\"a\": [1, \"ü\"]}}', "
        "ST_GeomFromText('POLYGON((0 0,1 0,1 1,0 0))'), UUID(), '2001:db8::ff00:42:8329', '10.1.2.3'), "
        "({0} + 1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, "
        "NULL, NULL, NULL, "
        "NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL), "
        "({0} + 2, 0, 0, 0, 0, 0, 0, 0, 3.4028e38, -1e-300, 0, 0, '2024-02-31', '00:00:00', '0000-00-00 00:00:00', "
        "'1970-01-01 00:00:01', 0, '', '', '', '', '', '', '', 'ü', '', '[]', ST_GeomFromText('POINT(1.5 -2.5)'), "
        "'00000000-0000-0000-0000-000000000000', '::', '0.0.0.0'), "
        "({0} + 3, 1, 1, 1, 1, 1, 1, 1, 16777217, 1e22, 0.0000000001, 1, '1000-01-01', '12:34:56.789', '2024-02-29 "
        "12:34:56.000001', "
        "'2024-02-29 12:34:56', 2155, 'trail ', 'ÅÄÖ ', '\\n', x'2020', x'5c4e', '\\\\N', '\\\\N', 'a', 'x,y,z', "
        "'null', NULL, "
        "'ffffffff-ffff-4fff-8fff-ffffffffffff', 'fe80::1', '255.255.255.255')",
        id));
  };
  source_.run("SET SESSION sql_mode = 'ALLOW_INVALID_DATES'");
  insert(10);
  // A value that is no member, and the largest FLOAT.
  const auto bend = [&](int id) {
    source_.run(fmt::format("UPDATE everything SET en = 'no member', f = 1e39, up = '2001-02-03' WHERE id = {}", id));
  };
  bend(12);
  source_tablet();
  Tablet& to = target_tablet();
  const int32_t id = to.start_workflow("wf", source_of("from", "0", {{"everything", ""}}), target_);
  wait_running(id);
  insert(20);
  bend(22);
  source_.run("UPDATE everything SET d = d / 7, vc = CONCAT(vc, 'x'), bl = CONCAT(bl, 'x') WHERE id IN (10, 20)");
  source_.run("UPDATE everything SET id = id + 100 WHERE id IN (11, 21)");
  source_.run("DELETE FROM everything WHERE id = 23");
  catch_up(to, id);
  const std::string columns =
      "id, t, tu, s, m, i, b, bu, CAST(f AS DOUBLE), HEX(f), d, de, HEX(bi), da, ti, dt, ts, y, HEX(c), HEX(vc), "
      "HEX(u16), HEX(bin), "
      "HEX(vb), HEX(tx), SHA1(bl), en + 0, se + 0, js, HEX(g), uu, ip, ip4, up, v, st";
  expect_equal("everything", columns, "id");
  EXPECT_EQ(source_.value(fmt::format("SELECT COUNT(*) FROM {}.everything", source_db())), "7");
}

TEST_F(Movement, CopiesInChunksOfAnyKey) {
  const std::vector<std::pair<std::string, std::string>> keys = {
      {"k VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci",
       "CONCAT(CHAR(65 + seq % 26), 'ä\\'\\\\', seq)"},
      {"k VARCHAR(40) CHARACTER SET latin1", "CONCAT(CHAR(97 + seq % 26), 'é', seq)"},
      {"k VARBINARY(40)", "UNHEX(SHA1(seq))"},
      {"k CHAR(12) CHARACTER SET utf8mb3 COLLATE utf8mb3_bin", "CONCAT(seq * 7919 % 3001, 'x')"},
      {"k DECIMAL(30,5)", "(CAST(seq AS SIGNED) - 1000) * 1.25"},
      {"k DATETIME(3)", "'2024-01-01' + INTERVAL seq * 1001000 MICROSECOND"},
      {"k TIME", "SEC_TO_TIME(CAST(seq AS SIGNED) - 1000)"},
      {"k DATE", "'2020-01-01' + INTERVAL seq DAY"},
      {"k TIMESTAMP", "'2020-01-01' + INTERVAL seq DAY"},
      {"k BIGINT UNSIGNED", "18446744073709551615 - seq"},
      {"k FLOAT", "seq / 7"},
      {"k DOUBLE", "seq / 7e0 - 50"},
      {"k BIT(20)", "seq * 5"},
      {"k UUID",
       "CONCAT(LEFT(SHA1(seq), 8), '-', MID(SHA1(seq), 9, 4), '-4', MID(SHA1(seq), 14, 3), '-8', MID(SHA1(seq), 18, "
       "3), '-', "
       "MID(SHA1(seq), 21, 12))"},
      {"k INET6", "CONCAT('2001:db8::', HEX(seq))"},
      {"k INT", "CAST(seq AS SIGNED) - 1000"}};
  std::vector<std::pair<std::string, std::string>> rules;
  for (size_t i = 0; i < keys.size(); ++i) {
    const std::string table = fmt::format("t{}", i);
    on_both(fmt::format("CREATE TABLE {} ({} NOT NULL, v INT NOT NULL, PRIMARY KEY (k))", table, keys[i].first));
    source_.run(fmt::format("INSERT INTO {} SELECT {}, seq FROM seq_1_to_2000", table, keys[i].second));
    rules.emplace_back(table, "");
  }
  // Composite keys, an enum in it, and a unique key in place of a primary one.
  on_both(
      "CREATE TABLE c1 (a INT NOT NULL, e ENUM('z','y','x') NOT NULL, b VARCHAR(20) NOT NULL, v INT NOT NULL, PRIMARY "
      "KEY (e, a, b))");
  source_.run("INSERT INTO c1 SELECT seq % 10, seq % 3 + 1, seq, seq FROM seq_1_to_2000");
  on_both("CREATE TABLE c2 (a INT NOT NULL, b INT NOT NULL, v INT NOT NULL, UNIQUE KEY (b, a), KEY (a))");
  source_.run("INSERT INTO c2 SELECT seq % 100, seq, seq FROM seq_1_to_2000");
  rules.emplace_back("c1", "");
  rules.emplace_back("c2", "");
  tablet({.socket = source_socket(), .keyspace = "from", .shard = "0", .db_name = source_db()});
  Tablet& to = tablet({.socket = target_socket(),
                       .keyspace = "to",
                       .shard = "0",
                       .db_name = target_db(),
                       .chunk_bytes = 4096,
                       .use_load_data = false});
  const int32_t id = to.start_workflow("wf", source_of("from", "0", rules), target_);
  wait_running(id);
  for (const auto& [table, filter] : rules) {
    source_.run(fmt::format("UPDATE {} SET v = v + 1 WHERE v % 3 = 0", table));
    source_.run(fmt::format("DELETE FROM {} WHERE v % 7 = 0", table));
  }
  catch_up(to, id);
  for (const auto& [table, filter] : rules) {
    expect_equal(table,
                 table == "c1"   ? "e, a, b, v"
                 : table == "c2" ? "a, b, v"
                                 : "HEX(k), v",
                 table == "c1" ? "e, a, b" : "v, 1");
  }
}

TEST_F(Movement, RefusesATableWithoutAKey) {
  on_both("CREATE TABLE keyless (a INT)");
  source_tablet();
  Tablet& to = target_tablet();
  const int32_t id = to.start_workflow("wf", source_of("from", "0", {{"keyless", ""}}), target_);
  ASSERT_TRUE(eventually([&] {
    return message(id).find("neither a primary key nor a unique key") != std::string::npos;
  })) << message(id);
}

TEST_F(Movement, AppliesATransactionThatDoesNotFitIntoMemory) {
  on_both(kItem);
  source_tablet();
  Tablet& to = target_tablet();
  const int32_t id = to.start_workflow("wf", source_of("from", "0", {{"item", ""}}), target_);
  wait_running(id);
  source_.run("BEGIN");
  source_.run("INSERT INTO item (id, name, price) SELECT seq, REPEAT('y', 90), seq % 10 FROM seq_1_to_100000");
  source_.run("UPDATE item SET price = 11 WHERE id <= 60000");
  source_.run("DELETE FROM item WHERE id % 3 = 0");
  source_.run("COMMIT");
  catch_up(to, id);
  expect_equal("item", kItemColumns, "id");

  // Only inserts: those are loaded. A row that is there already and equal is met by the careful way; the rest is whole.
  const auto loads = [&] { return std::stoll(target_.lines("SHOW GLOBAL STATUS LIKE 'Com_load'")[0].substr(9)); };
  const auto before = loads();
  source_.run("INSERT INTO item (id, name, price) SELECT seq, REPEAT('z', 90), 0 FROM seq_200001_to_250000");
  catch_up(to, id);
  expect_equal("item", kItemColumns, "id");
  EXPECT_GT(loads(), before);
  target_.run(fmt::format("INSERT INTO {}.item VALUES (300500, REPEAT('v', 90), 0)", target_db()));
  source_.run("INSERT INTO item (id, name, price) SELECT seq, REPEAT('v', 90), 0 FROM seq_300001_to_302500");
  catch_up(to, id);
  expect_equal("item", kItemColumns, "id");

  // It is careful until a commit has met no such row: then it loads again.
  source_.run("INSERT INTO item (id, name, price) VALUES (310000, 'none of them', 0)");
  catch_up(to, id);
  const auto careful = loads();
  source_.run("INSERT INTO item (id, name, price) SELECT seq, REPEAT('w', 90), 0 FROM seq_310001_to_315000");
  catch_up(to, id);
  expect_equal("item", kItemColumns, "id");
  EXPECT_GT(loads(), careful);

  // A TRUNCATE that arrives together with parts which are still being sent.
  source_.run("INSERT INTO item (id, name, price) SELECT seq, REPEAT('u', 90), 0 FROM seq_400001_to_450000");
  source_.run("TRUNCATE TABLE item");
  source_.run("INSERT INTO item (id, name, price) VALUES (1, 'after', 1)");
  catch_up(to, id);
  expect_equal("item", kItemColumns, "id");
}

TEST_F(Movement, StopsExactlyAndHonoursItsState) {
  on_both(kItem);
  source_tablet();
  Tablet& to = target_tablet();
  const int32_t id = to.start_workflow("wf", source_of("from", "0", {{"item", ""}}), target_);
  wait_running(id);
  source_.run("INSERT INTO item (id, price) VALUES (1, 1)");
  catch_up(to, id);

  // Stopped: nothing is applied any more when the call has returned.
  ::tabletmanagerdata::UpdateVReplicationWorkflowRequest update;
  update.set_workflow("wf");
  update.set_state(::binlogdata::Stopped);
  update.set_message("stopped for cutover");
  using Updated = ::tabletmanagerdata::UpdateVReplicationWorkflowResponse;
  ASSERT_TRUE(to.call<Updated>("UpdateVReplicationWorkflow", update).ok());
  EXPECT_EQ(message(id), "stopped for cutover");
  source_.run("INSERT INTO item (id, price) VALUES (2, 1)");
  const std::string stop = source_.position();
  source_.run("INSERT INTO item (id, price) VALUES (3, 1)");
  const Status waited = to.wait_for(id, source_.position(), std::chrono::seconds(5));
  EXPECT_EQ(waited.error().code(), Code::kFailedPrecondition);
  EXPECT_EQ(target_.value(fmt::format("SELECT COUNT(*) FROM {}.item", target_db())), "1");
  to.restart();
  EXPECT_EQ(state(id), "Stopped");

  // A stop position is met exactly.
  ::tabletmanagerdata::VReplicationExecRequest exec;
  exec.set_query(
      fmt::format("update _vt.vreplication set state='Running', message='', stop_pos='{}' where id={}", stop, id));
  auto executed = to.call<::tabletmanagerdata::VReplicationExecResponse>("VReplicationExec", exec);
  ASSERT_TRUE(executed.ok()) << executed.error().to_string();
  EXPECT_EQ(executed->result().rows_affected(), 1u);
  ASSERT_TRUE(eventually([&] { return state(id) == "Stopped"; })) << state(id) << message(id);
  EXPECT_EQ(target_.lines(fmt::format("SELECT id FROM {}.item ORDER BY id", target_db())),
            (std::vector<std::string>{"1", "2"}));
  EXPECT_EQ(target_.value(fmt::format("SELECT pos FROM _vt.vreplication WHERE id = {}", id)), stop);
  EXPECT_TRUE(to.wait_for(id, stop).has_value());

  exec.set_query(fmt::format("select id, pos from vreplication where id={}", id));
  executed = to.call<::tabletmanagerdata::VReplicationExecResponse>("VReplicationExec", exec);
  ASSERT_TRUE(executed.ok());
  ASSERT_EQ(executed->result().rows_size(), 1);
  EXPECT_NE(executed->result().rows(0).values().find(stop), std::string::npos);
  for (const char* refused : {"drop table _vt.vreplication", "delete from mysql.user", "update other.t set a = 1"}) {
    exec.set_query(refused);
    EXPECT_FALSE(to.call<::tabletmanagerdata::VReplicationExecResponse>("VReplicationExec", exec).ok()) << refused;
  }

  ::tabletmanagerdata::ReadVReplicationWorkflowRequest read;
  read.set_workflow("wf");
  auto shown = to.call<::tabletmanagerdata::ReadVReplicationWorkflowResponse>("ReadVReplicationWorkflow", read);
  ASSERT_TRUE(shown.ok());
  ASSERT_EQ(shown->streams_size(), 1);
  EXPECT_EQ(shown->streams(0).pos(), stop);
  EXPECT_EQ(shown->streams(0).state(), ::binlogdata::Stopped);
  EXPECT_EQ(shown->streams(0).bls().filter().rules(0).match(), "item");
  EXPECT_EQ(shown->workflow_type(), ::binlogdata::MoveTables);
  ASSERT_EQ(shown->tablet_types_size(), 1);

  ::tabletmanagerdata::DeleteVReplicationWorkflowRequest remove;
  remove.set_workflow("wf");
  auto removed = to.call<::tabletmanagerdata::DeleteVReplicationWorkflowResponse>("DeleteVReplicationWorkflow", remove);
  ASSERT_TRUE(removed.ok());
  EXPECT_EQ(removed->result().rows_affected(), 1u);
  EXPECT_EQ(target_.value(fmt::format("SELECT COUNT(*) FROM _vt.vreplication_log WHERE vrepl_id = {}", id)), "0");
}

TEST_F(Movement, StaysCopyingWhileApplyingIsHeldBack) {  // S0-05
  on_both(kItem);
  make_rows(1'000);
  source_tablet();
  Tablet& to = target_tablet();
  Sql locker(target_socket());
  locker.run("USE " + target_db());
  locker.run("LOCK TABLES item READ");
  const int32_t id = to.start_workflow("wf", source_of("from", "0", {{"item", ""}}), target_);
  ASSERT_TRUE(eventually([&] { return message(id).find("ock wait timeout") != std::string::npos; })) << message(id);
  EXPECT_EQ(state(id), "Copying");
  locker.run("UNLOCK TABLES");
  wait_running(id);
  catch_up(to, id);
  expect_equal("item", kItemColumns, "id");
}

TEST_F(Movement, NeverReplacesARowThatIsNotItsOwn) {
  on_both(kItem);
  source_.run("INSERT INTO item (id, name, price) VALUES (1, 'source', 1), (2, 'source', 2)");
  target_.run("INSERT INTO item (id, name, price) VALUES (2, 'other', 2)");
  source_tablet();
  Tablet& to = target_tablet();
  const int32_t id = to.start_workflow("wf", source_of("from", "0", {{"item", ""}}), target_);
  ASSERT_TRUE(eventually([&] { return state(id) == "Error"; })) << state(id) << message(id);
  EXPECT_NE(message(id).find("another row with the key"), std::string::npos) << message(id);
  EXPECT_EQ(target_.value(fmt::format("SELECT name FROM {}.item WHERE id = 2", target_db())), "other");
}

TEST_F(Movement, NeverInsertsOverARowThatIsNotItsOwn) {
  on_both(kItem);
  source_tablet();
  Tablet& to = target_tablet();
  const int32_t id = to.start_workflow("wf", source_of("from", "0", {{"item", ""}}), target_);
  wait_running(id);
  target_.run("INSERT INTO item (id, name, price) VALUES (5, 'same', 5), (6, 'other', 6)");
  source_.run("INSERT INTO item (id, name, price) VALUES (5, 'same', 5)");  // Equal: fine.
  catch_up(to, id);
  source_.run("INSERT INTO item (id, name, price) VALUES (6, 'source', 6)");
  ASSERT_TRUE(eventually([&] { return state(id) == "Error"; })) << state(id) << message(id);
  EXPECT_EQ(target_.value(fmt::format("SELECT name FROM {}.item WHERE id = 6", target_db())), "other");
}

TEST_F(Movement, NeverLoadsOverARowThatIsNotItsOwn) {
  on_both(kItem);
  source_tablet();
  Tablet& to = target_tablet();
  const int32_t id = to.start_workflow("wf", source_of("from", "0", {{"item", ""}}), target_);
  wait_running(id);
  target_.run("INSERT INTO item (id, name, price) VALUES (700, 'other', 6)");
  source_.run("INSERT INTO item (id, name, price) SELECT seq, REPEAT('s', 100), 1 FROM seq_1_to_5000");
  ASSERT_TRUE(eventually([&] { return state(id) == "Error"; })) << state(id) << message(id);
  EXPECT_EQ(target_.lines(fmt::format("SELECT * FROM {}.item", target_db())), std::vector<std::string>{"700|other|6"});
}

// CPU seconds of this process and of the target's server.
std::pair<double, double> cpu_seconds(pid_t server) {
  rusage self{};
  ::getrusage(RUSAGE_SELF, &self);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  std::ifstream stat(fmt::format("/proc/{}/stat", server));
  std::string word;
  double ticks = 0;
  for (int i = 1; i <= 15 && stat >> word; ++i) {
    if (i >= 14) ticks += std::stod(word);
  }
  return {seconds(self.ru_utime) + seconds(self.ru_stime), ticks / static_cast<double>(::sysconf(_SC_CLK_TCK))};
}

// Not a test: rows per second of a copy, to compare with `mariadb-dump | mariadb`.
TEST_F(Movement, DISABLED_CopySpeed) {
  const char* count_text = std::getenv("VITRAIL_ROWS");
  const std::string count = count_text == nullptr ? "1000000" : count_text;
  on_both(
      "CREATE TABLE big (id BIGINT NOT NULL PRIMARY KEY, k INT NOT NULL, c CHAR(120) NOT NULL, pad CHAR(60) NOT NULL, "
      "KEY (k))");
  source_.run("INSERT INTO big SELECT seq, seq * 7919 % 1000003, REPEAT(MD5(seq), 3), MD5(seq) FROM seq_1_to_" + count);
  for (const bool load : {true, false}) {
    target_.run("TRUNCATE TABLE big");
    tablets_.clear();
    tablet({.socket = source_socket(), .keyspace = "from", .shard = "0", .db_name = source_db()});
    Tablet& to = tablet({.socket = target_socket(),
                         .keyspace = "to",
                         .shard = "0",
                         .db_name = target_db(),
                         .chunk_bytes = 8u << 20,
                         .use_load_data = load});
    const auto begin = base::system_clock().now();
    const auto cpu = cpu_seconds(*(*target_server_)->find_pid());
    const int32_t id = to.start_workflow(load ? "load" : "insert", source_of("from", "0", {{"big", ""}}), target_);
    ASSERT_TRUE(eventually([&] { return state(id) == "Running"; }, std::chrono::minutes(10)));
    const double seconds = std::chrono::duration<double>(base::system_clock().now() - begin).count();
    const auto after = cpu_seconds(*(*target_server_)->find_pid());
    fmt::print("{}: {:.1f} s, {:.0f} rows/s; CPU us per row: {:.2f} here, {:.2f} target\n",
               load ? "LOAD DATA" : "INSERT", seconds, std::stod(count) / seconds,
               (after.first - cpu.first) * 1e6 / std::stod(count),
               (after.second - cpu.second) * 1e6 / std::stod(count));
  }
  const auto begin = base::system_clock().now();
  target_.run("TRUNCATE TABLE big");
  const std::string pipe = fmt::format(
      "mariadb-dump --no-defaults --no-create-info --single-transaction --quick -uvt_dba -S {} {} big | mariadb "
      "--no-defaults -uvt_dba -S {} {}",
      source_socket(), source_db(), target_socket(), target_db());
  ASSERT_EQ(std::system(pipe.c_str()), 0);
  const double seconds = std::chrono::duration<double>(base::system_clock().now() - begin).count();
  fmt::print("mariadb-dump | mariadb: {:.1f} s, {:.0f} rows/s\n", seconds, std::stod(count) / seconds);
}

// Not a test: transactions per second when catching up, and milliseconds from commit to commit when there is nothing
// else.
TEST_F(Movement, DISABLED_ApplySpeed) {
  on_both(kItem);
  make_rows(100'000);
  source_tablet();
  Tablet& to = tablet(
      {.socket = target_socket(), .keyspace = "to", .shard = "0", .db_name = target_db(), .chunk_bytes = 8u << 20});
  const int32_t id = to.start_workflow("wf", source_of("from", "0", {{"item", ""}}), target_);
  wait_running(id);
  std::vector<double> latencies;
  for (int i = 0; i < 500; ++i) {
    const auto begin = base::system_clock().now();
    source_.run(fmt::format("UPDATE item SET price = -{} WHERE id = 2", i + 1));
    while (target_.value(fmt::format("SELECT price FROM {}.item WHERE id = 2", target_db())) !=
           std::to_string(-i - 1)) {
    }
    latencies.push_back(std::chrono::duration<double, std::milli>(base::system_clock().now() - begin).count());
  }
  std::sort(latencies.begin(), latencies.end());
  fmt::print("latency with the source's own commit: median {:.2f} ms, p99 {:.2f} ms\n", latencies[250], latencies[495]);
  ::tabletmanagerdata::UpdateVReplicationWorkflowRequest update;
  update.set_workflow("wf");
  update.set_state(::binlogdata::Stopped);
  const auto before_stop = base::system_clock().now();
  ASSERT_TRUE(
      to.call<::tabletmanagerdata::UpdateVReplicationWorkflowResponse>("UpdateVReplicationWorkflow", update).ok());
  fmt::print("stop: {:.2f} ms\n",
             std::chrono::duration<double, std::milli>(base::system_clock().now() - before_stop).count());
  constexpr int kTransactions = 100'000;
  source_.run(
      fmt::format("BEGIN NOT ATOMIC DECLARE i INT DEFAULT 0; WHILE i < {} DO "
                  "UPDATE item SET price = price + 1, name = CONCAT('n', i) WHERE id = 2 * (1 + i * 7919 % 100000); "
                  "SET i = i + 1; END WHILE; END",
                  kTransactions));
  const auto begin = base::system_clock().now();
  const auto cpu = cpu_seconds(*(*target_server_)->find_pid());
  update.set_state(::binlogdata::Running);
  ASSERT_TRUE(
      to.call<::tabletmanagerdata::UpdateVReplicationWorkflowResponse>("UpdateVReplicationWorkflow", update).ok());
  catch_up(to, id);
  const double seconds = std::chrono::duration<double>(base::system_clock().now() - begin).count();
  const auto after = cpu_seconds(*(*target_server_)->find_pid());
  fmt::print("{:.1f} s, {:.0f} transactions/s; CPU us per transaction: {:.1f} here, {:.1f} target\n", seconds,
             kTransactions / seconds, (after.first - cpu.first) * 1e6 / kTransactions,
             (after.second - cpu.second) * 1e6 / kTransactions);
  expect_equal("item", kItemColumns, "id");
}

}  // namespace
}  // namespace vitrail::movement
