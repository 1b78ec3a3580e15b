// Comparing what real servers hold, with faults planted.

#include <fmt/core.h>

#include <set>

#include "movement/integration_for_test.h"
#include "movement/interval_sum.h"

namespace vitrail::movement {
namespace {

::tabletmanagerdata::VDiffRequest vdiff_request(const std::string& action, const std::string& argument = "") {
  ::tabletmanagerdata::VDiffRequest request;
  request.mutable_options()->mutable_core_options()->set_auto_retry(true);
  request.set_keyspace("to");
  request.set_workflow("wf");
  request.set_action(action);
  request.set_action_arg(argument);
  return request;
}

std::map<std::string, std::string> first_row(const ::query::QueryResult& result) {
  std::map<std::string, std::string> row;
  if (result.rows_size() == 0) return row;
  size_t offset = 0;
  for (int i = 0; i < result.fields_size(); ++i) {
    const int64_t length = result.rows(0).lengths(i);
    if (length < 0) continue;
    row[result.fields(i).name()] = result.rows(0).values().substr(offset, static_cast<size_t>(length));
    offset += static_cast<size_t>(length);
  }
  return row;
}

std::map<std::string, std::string> wait_completed(Tablet& to, const std::string& uuid = "last") {
  std::map<std::string, std::string> row;
  EXPECT_TRUE(eventually([&] {
    auto shown = to.call<::tabletmanagerdata::VDiffResponse>("VDiff", vdiff_request("show", uuid));
    if (!shown.ok()) return false;
    row = first_row(shown->output());
    return row["vdiff_state"] == "completed" || row["vdiff_state"] == "error";
  })) << row["last_error"];
  return row;
}

TEST_F(Movement, VDiffFindsPlantedFaultsAndNothingElse) {  // S0-12, S0-15
  on_both(kItem);
  make_rows(60'000);
  source_tablet();
  Tablet& to = target_tablet();
  auto none = to.call<::tabletmanagerdata::VDiffResponse>("VDiff", vdiff_request("create"));
  EXPECT_EQ(none.error().code(), Code::kNotFound);
  const int32_t id = to.start_workflow("wf", source_of("from", "0", {{"item", ""}}), target_);
  wait_running(id);

  // Under a writer everything is equal, at every moment.
  Writer writer(source_socket(), source_db(), 60'000, 9);
  {
    Background writing([&] { writer.step(); });
    auto created = to.call<::tabletmanagerdata::VDiffResponse>("VDiff", vdiff_request("create"));
    ASSERT_TRUE(created.ok()) << created.error().to_string();
    const auto row = wait_completed(to);
    EXPECT_EQ(row.at("vdiff_state"), "completed");
    EXPECT_EQ(row.at("has_mismatch"), "0") << row.at("report");
    EXPECT_GT(std::stoll(row.at("rows_compared")), 50'000);
    EXPECT_EQ(row.at("uuid"), created->vdiff_uuid());
  }
  catch_up(to, id);
  source_.run("DELETE FROM item WHERE id IN (100, 20000, 80001)");
  source_.run("INSERT INTO item VALUES (100, 'planted', 1), (20000, 'planted', 1)");
  catch_up(to, id);
  target_.run("SET SESSION sql_log_bin = 0");
  target_.run("UPDATE item SET price = -1 WHERE id = 100");
  target_.run("DELETE FROM item WHERE id = 20000");
  target_.run("INSERT INTO item VALUES (80001, 'extra', 1)");
  auto created = to.call<::tabletmanagerdata::VDiffResponse>("VDiff", vdiff_request("create"));
  ASSERT_TRUE(created.ok()) << created.error().to_string();
  const auto row = wait_completed(to);
  EXPECT_EQ(row.at("has_mismatch"), "1");
  const std::string& report = row.at("report");
  EXPECT_NE(report.find("\"MismatchedRows\":1"), std::string::npos) << report;
  EXPECT_NE(report.find("\"ExtraRowsSource\":1"), std::string::npos) << report;
  EXPECT_NE(report.find("\"ExtraRowsTarget\":1"), std::string::npos) << report;
  EXPECT_NE(report.find("\"price\":\"-1\""), std::string::npos) << report;
  EXPECT_NE(report.find("\"id\":\"80001\""), std::string::npos) << report;
  const auto rows = std::stoll(source_.value("SELECT COUNT(*) FROM item"));
  EXPECT_EQ(std::stoll(row.at("rows_compared")), rows + 1);

  // A repair makes the target what the source is, also where it has far more rows than are read at once.
  target_.run("INSERT INTO item SELECT 200000 + seq, REPEAT('e', 60), 1 FROM seq_1_to_120000");
  ASSERT_TRUE(to.call<::tabletmanagerdata::VDiffResponse>("VDiff", vdiff_request("repair")).ok());
  const auto repaired = wait_completed(to);
  EXPECT_EQ(repaired.at("vdiff_state"), "completed");
  EXPECT_EQ(repaired.at("has_mismatch"), "0") << repaired.at("report");
  EXPECT_NE(repaired.at("report").find("\"RepairedRows\":120003"), std::string::npos) << repaired.at("report");
  constexpr const char* kSum = "SELECT BIT_XOR(CRC32(CONCAT_WS('#', id, QUOTE(name), price))) FROM item";
  EXPECT_EQ(target_.value(kSum), source_.value(kSum)) << "after the repair";
  EXPECT_EQ(std::stoll(target_.value("SELECT COUNT(*) FROM item")), rows);
  ASSERT_TRUE(to.call<::tabletmanagerdata::VDiffResponse>("VDiff", vdiff_request("create")).ok());
  EXPECT_EQ(wait_completed(to).at("has_mismatch"), "0");

  auto all = to.call<::tabletmanagerdata::VDiffResponse>("VDiff", vdiff_request("show", "all"));
  ASSERT_TRUE(all.ok());
  EXPECT_EQ(all->output().rows_size(), 4);
  ASSERT_TRUE(to.call<::tabletmanagerdata::VDiffResponse>("VDiff", vdiff_request("delete", "all")).ok());
  all = to.call<::tabletmanagerdata::VDiffResponse>("VDiff", vdiff_request("show", "last"));
  ASSERT_TRUE(all.ok());
  EXPECT_EQ(all->output().rows_size(), 0);
}

// Two tables are compared at a time, intervals are opened ahead, and each table gets its own report.
TEST_F(Movement, VDiffComparesTablesBesideEachOther) {
  constexpr int kTables = 5;
  std::vector<std::pair<std::string, std::string>> rules;
  for (int i = 0; i < kTables; ++i) {
    on_both(fmt::format("CREATE TABLE t{} (id BIGINT PRIMARY KEY, v VARCHAR(20) NOT NULL, n INT)", i));
    source_.run(fmt::format("INSERT INTO t{} SELECT seq, MD5(seq), IF(seq % 3, seq, NULL) FROM seq_1_to_{}", i,
                            i == 0 ? 300'000 : 30'000));
    rules.emplace_back(fmt::format("t{}", i), "");
  }
  source_tablet();
  Tablet& to = tablet(
      {.socket = target_socket(), .keyspace = "to", .shard = "0", .db_name = target_db(), .chunk_bytes = 4u << 20});
  const int32_t id = to.start_workflow("wf", source_of("from", "0", rules), target_);
  wait_running(id);
  catch_up(to, id);
  target_.run("SET SESSION sql_log_bin = 0");
  target_.run("UPDATE t0 SET n = -1 WHERE id = 222222");
  target_.run("DELETE FROM t3 WHERE id IN (5, 29000)");
  Sql sql(source_socket());
  sql.run("USE " + source_db());
  uint64_t next = 0;
  Background writing([&] {
    const uint64_t at = next++;
    sql.run(fmt::format("UPDATE t{} SET v = 'new' WHERE id = {}", at % kTables, 100 + at % 25'000));
  });
  ASSERT_TRUE(to.call<::tabletmanagerdata::VDiffResponse>("VDiff", vdiff_request("create")).ok());
  const auto row = wait_completed(to);
  EXPECT_EQ(row.at("vdiff_state"), "completed") << row.at("last_error");
  writing.stop();
  const auto tables = target_.lines(
      "SELECT table_name, state, rows_compared, mismatch FROM _vt.vdiff_table WHERE vdiff_id = (SELECT MAX(id) FROM "
      "_vt.vdiff) ORDER BY table_name");
  EXPECT_EQ(tables, (std::vector<std::string>{"t0|completed|300000|1", "t1|completed|30000|0", "t2|completed|30000|0",
                                              "t3|completed|30000|1", "t4|completed|30000|0"}));
  ASSERT_TRUE(to.call<::tabletmanagerdata::VDiffResponse>("VDiff", vdiff_request("delete", "all")).ok());
}

// Where nothing differs no row travels, and nothing that differs is passed over.
TEST_F(Movement, VDiffSumsTellWhatIsEqual) {
  on_both(
      "CREATE TABLE many (a VARCHAR(20) CHARACTER SET latin1 NOT NULL, b SMALLINT NOT NULL, n BIGINT UNSIGNED, d "
      "DECIMAL(20,3), f FLOAT, db DOUBLE, dt DATETIME(3), ti TIME, ts TIMESTAMP NULL DEFAULT NULL, y YEAR, en "
      "ENUM('x','#','N'), se SET('a','b'), bi BIT(9), vb VARBINARY(40), tx TEXT CHARACTER SET utf16, c CHAR(9) "
      "CHARACTER "
      "SET utf8mb4, PRIMARY KEY (a, b))");
  source_.run(
      "INSERT INTO many SELECT CONCAT('k', seq % 100), seq, seq * 77777777777777, seq / 7, seq / 3, seq / 9, "
      "FROM_UNIXTIME(seq * 7777), SEC_TO_TIME(seq), FROM_UNIXTIME(seq * 7777), 1901 + seq % 200, 1 + seq % 3, seq % 4, "
      "seq % 512, UNHEX(MD5(seq)), CONCAT('#', seq, 'ä'), IF(seq % 3 = 0, NULL, 'aaa') FROM seq_1_to_9000");
  Tablet& from = source_tablet();
  Tablet& to = target_tablet();
  const int32_t id = to.start_workflow("wf", source_of("from", "0", {{"many", ""}}), target_);
  wait_running(id);
  const auto compare = [&] {
    EXPECT_TRUE(to.call<::tabletmanagerdata::VDiffResponse>("VDiff", vdiff_request("create")).ok());
    return wait_completed(to);
  };
  const uint64_t sent = from.rows_sent();
  auto row = compare();
  EXPECT_EQ(row.at("has_mismatch"), "0") << row.at("report");
  EXPECT_EQ(row.at("rows_compared"), "9000");
  EXPECT_EQ(from.rows_sent(), sent) << "rows travelled although both sides are equal";

  target_.run("SET SESSION sql_log_bin = 0");
  const std::vector<std::string> changes = {
      "n = n + 1",       "d = d + 0.001", "f = f + 1",       "db = -db",  "dt = dt + INTERVAL 1 SECOND",
      "ti = '00:00:00'", "ts = NULL",     "y = 2000",        "en = NULL", "se = 'b,a'",
      "bi = 511",        "vb = ''",       "tx = LOWER('#')", "c = 'AAA'"};
  for (size_t i = 0; i < changes.size(); ++i) {
    target_.run(fmt::format("UPDATE many SET {} WHERE b = {}", changes[i], 500 * i + 501));
  }
  row = compare();
  EXPECT_NE(row.at("report").find(fmt::format("\"MismatchedRows\":{},", changes.size())), std::string::npos)
      << row.at("report");
  EXPECT_EQ(row.at("rows_compared"), "9000");
  EXPECT_GT(from.rows_sent(), sent);
  ASSERT_TRUE(to.call<::tabletmanagerdata::VDiffResponse>("VDiff", vdiff_request("repair")).ok());
  EXPECT_EQ(wait_completed(to).at("has_mismatch"), "0");

  // The same change of two rows cancels out in an exclusive or of CRCs.
  target_.run("UPDATE many SET c = 'aab' WHERE b IN (1, 4)");
  EXPECT_NE(compare().at("report").find("\"MismatchedRows\":2"), std::string::npos);
  // And NULL is not the text that stands for it.
  target_.run("UPDATE many SET c = 'aaa' WHERE b IN (1, 4)");
  EXPECT_EQ(compare().at("has_mismatch"), "0");
  target_.run("UPDATE many SET c = '' WHERE b = 3");
  EXPECT_NE(compare().at("report").find("\"MismatchedRows\":1"), std::string::npos);

  // The way of servers without crc32c.
  TableSchema schema;
  schema.columns = {{.name = "a", .type = ::query::VARCHAR, .character_set = "latin1"},
                    {.name = "b", .type = ::query::INT16},
                    {.name = "c", .type = ::query::CHAR, .character_set = "utf8mb4"}};
  schema.identity = {0, 1};
  const auto expression = hash_expression(HashKind::kSha, schema, std::vector<size_t>{0, 1, 2});
  ASSERT_TRUE(expression);
  const auto sum = [&](Sql& sql, const std::string& db) {
    return sql.lines(sum_query(*expression, db + ".many", "b < 100"));
  };
  EXPECT_NE(sum(source_, source_db()), sum(target_, target_db()));
  target_.run("UPDATE many SET c = NULL WHERE b = 3");
  EXPECT_EQ(sum(source_, source_db()), sum(target_, target_db()));
}

TEST_F(Movement, VDiffSumsOfNumbers) {
  on_both(
      "CREATE TABLE numbers (id BIGINT PRIMARY KEY, t TINYINT, a INT, b INT, u INT UNSIGNED, w BIGINT, x BIGINT "
      "UNSIGNED)");
  source_.run(
      "INSERT INTO numbers SELECT seq - 4500, IF(seq % 5, seq % 120, NULL), seq * 31, seq * -57, seq * 400000, "
      "seq * -777777777777777, IF(seq % 3, seq * 1234567890123, NULL) FROM (SELECT CAST(seq AS SIGNED) AS seq FROM "
      "seq_1_to_9000) AS s");
  Tablet& from = source_tablet();
  Tablet& to = target_tablet();
  wait_running(to.start_workflow("wf", source_of("from", "0", {{"numbers", ""}}), target_));
  const auto compare = [&] {
    EXPECT_TRUE(to.call<::tabletmanagerdata::VDiffResponse>("VDiff", vdiff_request("create")).ok());
    return wait_completed(to);
  };
  const uint64_t sent = from.rows_sent();
  EXPECT_EQ(compare().at("has_mismatch"), "0");

  TableSchema schema;
  schema.columns = {{.name = "id", .type = ::query::INT64}, {.name = "t", .type = ::query::INT8},
                    {.name = "a", .type = ::query::INT32},  {.name = "b", .type = ::query::INT32},
                    {.name = "u", .type = ::query::UINT32}, {.name = "w", .type = ::query::INT64},
                    {.name = "x", .type = ::query::UINT64}};
  schema.identity = {0};
  const std::vector<size_t> columns = {0, 1, 2, 3, 4, 5, 6};
  const std::string sum = sum_query(hash_expression(HashKind::kMix, schema, columns).value_or("none"), "numbers", "");
  EXPECT_EQ(source_.lines(sum), target_.lines(sum));
  target_.run("SET SESSION sql_log_bin = 0");
  // Each of these alone: narrow ones exchanged, NULL and what might stand for it, the sign, the upper half.
  std::set<std::vector<std::string>> sums = {source_.lines(sum)};
  for (const std::string_view change :
       {"a = (@was := a), a = b, b = @was", "t = 0, a = 0", "t = NULL, a = NULL", "u = u ^ 1", "w = -w",
        "w = w + 4294967296", "w = NULL", "x = x ^ 18446744069414584320", "x = NULL", "x = 18446744073709551615",
        "id = -100000", "id = 4294962897"}) {
    target_.run("START TRANSACTION");
    target_.run(fmt::format("UPDATE numbers SET {} WHERE id = -4399", change));
    EXPECT_TRUE(sums.insert(target_.lines(sum)).second) << change;
    target_.run("ROLLBACK");
  }
  EXPECT_EQ(source_.lines(sum), target_.lines(sum));

  // Numbers of another width are printed: nothing has to travel for them either.
  target_.run("ALTER TABLE numbers MODIFY a BIGINT, MODIFY w BIGINT NOT NULL");
  const auto row = compare();
  EXPECT_EQ(row.at("vdiff_state"), "completed") << row.at("last_error");
  EXPECT_EQ(row.at("has_mismatch"), "0");
  EXPECT_EQ(row.at("rows_compared"), "9000");
  EXPECT_EQ(from.rows_sent(), sent);
}

TEST_F(Movement, MergesTwoSourcesAndComparesThem) {
  target_.run(kItem);
  std::vector<std::string> shards = {"-80", "80-"};
  for (size_t i = 0; i < 2; ++i) {
    const std::string db = fmt::format("{}_src{}", name_, i);
    source_.run("CREATE DATABASE " + db);
    source_.run("USE " + db);
    source_.run(kItem);
    // Both have rows all over the key space, one far more than the other.
    source_.run(
        fmt::format("INSERT INTO item (id, name, price) SELECT seq * 2 + {}, REPEAT('m', 60), {} FROM seq_1_to_{}", i,
                    i, i == 0 ? 60'000 : 3'000));
    tablet({.socket = source_socket(), .keyspace = "from", .shard = shards[i], .db_name = db});
  }
  Tablet& to = tablet({.socket = target_socket(), .keyspace = "to", .shard = "0", .db_name = target_db()});
  ::tabletmanagerdata::CreateVReplicationWorkflowRequest create;
  create.set_workflow("wf");
  create.set_auto_start(true);
  for (const auto& shard : shards) *create.add_binlog_source() = source_of("from", shard, {{"item", ""}});
  using Created = ::tabletmanagerdata::CreateVReplicationWorkflowResponse;
  ASSERT_TRUE(to.call<Created>("CreateVReplicationWorkflow", create).ok());
  std::vector<int32_t> ids;
  for (const auto& line :
       target_.lines(fmt::format("SELECT id FROM _vt.vreplication WHERE db_name = '{}'", target_db()))) {
    ids.push_back(std::stoi(line));
  }
  ASSERT_EQ(ids.size(), 2u);
  std::mt19937 random(19);
  Sql writer(source_socket());
  Background writing([&] {
    const uint64_t shard = random() % 2;
    writer.run(fmt::format("UPDATE {}_src{}.item SET price = price + 1 WHERE id BETWEEN {} AND {}", name_, shard,
                           random() % 6000, 6000));
    writer.run(fmt::format("DELETE FROM {}_src{}.item WHERE id = {}", name_, shard, random() % 12'000));
  });
  for (const int32_t id : ids) wait_running(id);
  ASSERT_TRUE(to.call<::tabletmanagerdata::VDiffResponse>("VDiff", vdiff_request("create")).ok());
  auto row = wait_completed(to);
  EXPECT_EQ(row["has_mismatch"], "0") << row["report"];
  EXPECT_GT(std::stoll(row["rows_compared"]), 50'000);
  writing.stop();
  for (const int32_t id : ids) catch_up(to, id);
  std::set<std::string> expected;
  for (size_t i = 0; i < 2; ++i) {
    for (const auto& line : source_.lines(fmt::format("SELECT id, name, price FROM {}_src{}.item", name_, i)))
      expected.insert(line);
  }
  const auto lines = target_.lines(fmt::format("SELECT id, name, price FROM {}.item", target_db()));
  EXPECT_EQ(std::set<std::string>(lines.begin(), lines.end()), expected);
  const uint64_t sent = tablets_[0]->rows_sent() + tablets_[1]->rows_sent();
  ASSERT_TRUE(to.call<::tabletmanagerdata::VDiffResponse>("VDiff", vdiff_request("create")).ok());
  row = wait_completed(to);
  EXPECT_EQ(row["has_mismatch"], "0") << row["report"];
  EXPECT_EQ(row["rows_compared"], std::to_string(expected.size()));
  EXPECT_EQ(tablets_[0]->rows_sent() + tablets_[1]->rows_sent(), sent) << "the sums of the sources add up";

  // The same key on both sides cannot be kept: that is told, and the row that is there stays.
  source_.run(fmt::format("INSERT INTO {}_src0.item VALUES (900001, 'first', 1)", name_));
  catch_up(to, ids[0]);
  source_.run(fmt::format("INSERT INTO {}_src1.item VALUES (900001, 'second', 2)", name_));
  ASSERT_TRUE(eventually([&] { return state(ids[1]) == "Error"; })) << message(ids[1]);
  EXPECT_EQ(target_.value(fmt::format("SELECT name FROM {}.item WHERE id = 900001", target_db())), "first");
  tablets_.clear();
  for (size_t i = 0; i < 2; ++i) source_.run(fmt::format("DROP DATABASE {}_src{}", name_, i));
}

TEST_F(Movement, TreatsDdlAsTold) {
  on_both(kItem);
  on_both("CREATE TABLE other (id INT PRIMARY KEY)");
  source_tablet();
  Tablet& to = target_tablet();
  const auto source = [](::binlogdata::OnDDLAction action, const char* table, bool stop_after_copy = false) {
    auto out = source_of("from", "0", {{table, ""}});
    out.set_on_ddl(action);
    out.set_stop_after_copy(stop_after_copy);
    return out;
  };
  const int32_t exec = to.start_workflow("exec", source(::binlogdata::EXEC, "item"), target_);
  const int32_t stop = to.start_workflow("stop", source(::binlogdata::STOP, "other"), target_);
  wait_running(exec);
  wait_running(stop);
  source_.run("INSERT INTO item (id, price) VALUES (1, 1)");
  source_.run("ALTER TABLE item ADD COLUMN extra INT DEFAULT 5");
  source_.run("INSERT INTO item (id, price, extra) VALUES (2, 2, 7)");
  catch_up(to, exec);
  expect_equal("item", "id, price, extra", "id");
  catch_up(to, stop);  // What other tables go through does not concern it.
  source_.run("ALTER TABLE other ADD COLUMN extra INT");
  ASSERT_TRUE(eventually([&] { return state(stop) == "Stopped"; }));
  EXPECT_EQ(message(stop), "Stopped at DDL ALTER TABLE other ADD COLUMN extra INT");

  target_.run("ALTER TABLE other ADD COLUMN extra INT");
  const int32_t once = to.start_workflow("once", source(::binlogdata::IGNORE, "other", true), target_);
  ASSERT_TRUE(eventually([&] { return state(once) == "Stopped"; })) << state(once) << message(once);
  EXPECT_EQ(message(once), "Stopped after copy.");
}

// Each statement is carried out, and then the connection dies before the position is committed: met again, it must not
// be carried out again.
TEST_F(Movement, CarriesASchemaChangeOutOnce) {
  on_both(kItem);
  source_tablet();
  Tablet& to = target_tablet();
  auto source = source_of("from", "0", {{"item", ""}});
  source.set_on_ddl(::binlogdata::EXEC);
  const int32_t id = to.start_workflow("exec", source, target_);
  wait_running(id);
  for (const std::string statement :
       {"ALTER TABLE item ADD COLUMN extra INT DEFAULT 5", "ALTER TABLE item ADD KEY (price)",
        "ALTER TABLE item CHANGE price cost INT", "ALTER TABLE item ENGINE = InnoDB"}) {
    SCOPED_TRACE(statement);
    // The change is held until its position cannot be stored: an idle stream stores its position, too, and must not be
    // held by that before.
    Sql reader(target_socket());
    reader.run("BEGIN");
    reader.value(fmt::format("SELECT COUNT(*) FROM {}.item", target_db()));
    source_.run(statement);
    ASSERT_TRUE(eventually([&] {
      return target_.value(
                 "SELECT COUNT(*) FROM information_schema.processlist WHERE state LIKE 'Waiting for table "
                 "metadata lock%'") == "1";
    }));
    Sql other(target_socket());
    other.run("BEGIN");
    other.value(fmt::format("SELECT id FROM _vt.vreplication WHERE id = {} FOR UPDATE", id));
    reader.run("ROLLBACK");
    const std::string waiting =
        "SELECT MIN(id) FROM information_schema.processlist WHERE info LIKE '%UPDATE _vt.vreplication SET pos%' AND id "
        "<> CONNECTION_ID()";
    ASSERT_TRUE(eventually([&] {
      return target_.value("SELECT COUNT(*) FROM _vt.schema_change") == "1" && !target_.value(waiting).empty() &&
             target_.value(waiting) != "NULL";
    }));
    target_.run("KILL " + target_.value(waiting));
    other.run("ROLLBACK");
    catch_up(to, id);
    EXPECT_EQ(target_.value("SELECT COUNT(*) FROM _vt.schema_change"), "0");
  }
  const auto keys = [](const std::string& database) {
    return fmt::format(
        "SELECT COUNT(*) FROM information_schema.statistics WHERE table_schema = '{}' AND table_name = 'item'",
        database);
  };
  EXPECT_EQ(target_.value(keys(target_db())), source_.value(keys(source_db())));
  source_.run("INSERT INTO item (id, name, cost, extra) VALUES (1, 'a', 2, 3)");
  catch_up(to, id);
  expect_equal("item", "id, name, cost, extra", "id");
}

TEST_F(Movement, VDiffGoesOnAfterARestart) {
  on_both(kItem);
  source_.run("INSERT INTO item (id, name, price) SELECT seq, REPEAT('z', 100), 1 FROM seq_1_to_150000");
  source_tablet();
  Tablet& to = target_tablet();
  const int32_t id = to.start_workflow("wf", source_of("from", "0", {{"item", ""}}), target_);
  wait_running(id);
  auto created = to.call<::tabletmanagerdata::VDiffResponse>("VDiff", vdiff_request("create"));
  ASSERT_TRUE(created.ok());
  to.restart();
  to.restart();
  const auto row = wait_completed(to, created->vdiff_uuid());
  EXPECT_EQ(row.at("vdiff_state"), "completed");
  EXPECT_EQ(row.at("has_mismatch"), "0") << row.at("report");
  EXPECT_EQ(row.at("rows_compared"), "150000");
}

}  // namespace
}  // namespace vitrail::movement
