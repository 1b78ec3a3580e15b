#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "gate/cursor.h"
#include "gate/grpc_service.h"
#include "gate/lag_filter.h"
#include "gate/older_errors.h"
#include "gate/server_version.h"
#include "gate/sharded_only.h"
#include "gate/statistics.h"
#include "gate/with_literals.h"
#include "mysql/messages.h"
#include "sql/parser.h"

namespace vitrail::gate {
namespace {

using namespace std::chrono_literals;
using Indexes = std::vector<size_t>;

TEST(OlderErrors, DeniedTablesAreToldInTheOlderWords_S3_53) {
  set_own_url("http://gate:15001/");
  View view;
  view.endpoints["commerce/0@primary"] = {{.alias = "zone1-0000000100", .address = {.host = "tablet-0", .port = 1}}};
  const auto denied = [](const char* text) {
    return fail(Code::kFailedPrecondition, text).with_reason(base::Reason::kDeniedTable);
  };
  EXPECT_FALSE(is_older_refusal(denied("disallowed due to rule: enforce denied tables (table customer)")));
  EXPECT_FALSE(is_older_refusal(fail(Code::kInternal, "disallowed due to rule: enforce blacklisted tables")));
  const Error older = denied(
      "vttablet: rpc error: code = FailedPrecondition desc = disallowed due to rule: enforce blacklisted tables");
  ASSERT_TRUE(is_older_refusal(older));
  const Error told = older_refusal({"commerce", "0", "primary"}, view, "userData1", older);
  EXPECT_EQ(
      told.message(),
      "vtgate: http://gate:15001/: target: commerce.0.master, used tablet: zone1-0000000100 (tablet-0), vttablet: "
      "rpc error: code = FailedPrecondition desc = disallowed due to rule: enforce blacklisted tables (CallerID: "
      "userData1)");
  EXPECT_EQ(told.reason(), base::Reason::kDeniedTable);
}

TEST(OlderErrors, ATableThatHasMovedAndWasDroppedIsToldInTheOlderWords_S3_62) {
  set_own_url("http://gate:15001/");
  View view;
  view.endpoints["commerce/0@primary"] = {{.alias = "zone1-0000000100", .address = {.host = "tablet-0", .port = 1}}};
  ::vschema::SrvVSchema record;
  (*(*record.mutable_keyspaces())["commerce"].mutable_tables())["product"];
  (*(*record.mutable_keyspaces())["customer"].mutable_tables())["customer"];
  view.vschema = vschema::VSchema::build(record, 1);
  const shard::Target target{"commerce", "0", "primary"};
  const auto told = [&](const char* text, uint16_t number) {
    const auto error =
        older_missing_table(target, view, "userData1", fail(Code::kNotFound, text).with_mysql(number, "42S02"));
    return error ? error->message() : "";
  };
  EXPECT_EQ(
      told("Table 'commerce.customer' doesn't exist", 1146),
      "vtgate: http://gate:15001/: target: commerce.0.master, used tablet: zone1-0000000100 (tablet-0), vttablet: "
      "rpc error: code = InvalidArgument desc = table customer not found in schema (CallerID: userData1)");
  EXPECT_EQ(told("Table 'commerce.product' doesn't exist", 1146), "");   // It is to be there.
  EXPECT_EQ(told("Table 'commerce.misspelt' doesn't exist", 1146), "");  // Nobody has it.
  EXPECT_EQ(told("Unknown table 'commerce.customer'", 1051), "");
}

TEST(LagFilter, UsesReplicasThatLagLittleAndFillsUpWithTheBestOthers) {
  const LagLimits limits;  // 30 s, 2 h, 2
  EXPECT_EQ(usable_replicas({5, 10, 15, 120}, limits), (Indexes{0, 1, 2}));
  EXPECT_EQ(usable_replicas({2700, 1800, 2100, 2400}, limits), (Indexes{1, 2}));
  EXPECT_EQ(usable_replicas({3 * 3600, 2 * 3600, 4 * 3600}, limits), (Indexes{1}));
  EXPECT_EQ(usable_replicas({1, 60, 90}, limits), (Indexes{0, 1}));
  EXPECT_EQ(usable_replicas({3 * 3600}, limits), Indexes{});
  EXPECT_EQ(usable_replicas({}, limits), Indexes{});
}

TEST(LagFilter, FollowsItsLimits) {
  LagLimits limits;
  limits.low = 100s;
  limits.high = 200s;
  limits.count_min = 1;
  EXPECT_EQ(usable_replicas({150, 99, 100, 101}, limits), (Indexes{1, 2}));
  EXPECT_EQ(usable_replicas({150, 160}, limits), Indexes{0});
  limits.count_min = 0;
  EXPECT_EQ(usable_replicas({150, 160}, limits), Indexes{});
}

TEST(ChooseReplicas, StaysInTheCellOrItsAliasAndPrefersTheCell) {
  const LagLimits limits;  // 30 s, 2 h, 2
  const std::set<std::string, std::less<>> alone;
  const std::set<std::string, std::less<>> alias{"a", "b"};
  const struct {
    std::vector<Replica> replicas;
    const std::set<std::string, std::less<>>& peers;
    Indexes used;
  } cases[] = {
      {{{"b", 0}, {"c", 0}}, alone, {}},                 // Never another cell.
      {{{"b", 0}, {"a", 5}, {"a", 0}}, alone, {1, 2}},   //
      {{{"b", 0}, {"a", 5}, {"c", 0}}, alias, {1}},      // The own cell first ...
      {{{"b", 0}, {"c", 0}, {"b", 3}}, alias, {0, 2}},   // ... then its alias.
      {{{"a", 3 * 3600}, {"b", 1}}, alias, {1}},         // One that lags too much is not there.
      {{{"a", 60}, {"b", 1}, {"b", 2}}, alias, {1, 2}},  // Enough good ones: the lagging one is not used,
      {{{"a", 60}, {"b", 1}}, alias, {0}},               // too few: it is, and is the own cell's.
      {{{"a", 60}, {"c", 1}, {"c", 2}}, alone, {0}},     // Other cells' do not count as good ones.
      {{}, alias, {}},
  };
  for (const auto& c : cases) {
    std::string shown;
    for (const auto& replica : c.replicas) shown += replica.cell + ":" + std::to_string(replica.lag_seconds) + " ";
    EXPECT_EQ(choose_replicas(c.replicas, "a", c.peers, limits), c.used) << shown;
  }
}

TEST(ShardedOnly, WarnsOfStatementsThatNoShardedKeyspaceTakes) {
  plan::Plan plan;
  plan.route.kind = plan::Route::Kind::kAnyShard;
  EXPECT_EQ(sharded_only_warning(sql::StatementKind::kCall, plan), "'CALL' not supported in sharded mode");
  EXPECT_EQ(sharded_only_warning(sql::StatementKind::kSelect, plan), std::nullopt);
  plan.route.kind = plan::Route::Kind::kAllShards;
  EXPECT_EQ(sharded_only_warning(sql::StatementKind::kCall, plan), std::nullopt);
}

class BindVariables : public testing::Test {
 protected:
  void set(const std::string& name, ::query::Type type, const std::string& value) {
    variables_[name].set_type(type);
    variables_[name].set_value(value);
  }
  std::string written(const std::string& sql) const {
    auto text = with_bind_variables(sql, variables_);
    return text.ok() ? *text : "error: " + text.error().message();
  }
  google::protobuf::Map<std::string, ::query::BindVariable> variables_;
};

TEST_F(BindVariables, BecomeLiteralsOutsideOfTexts) {
  set("id", ::query::INT64, "-4");
  set("v1", ::query::VARCHAR, "it's \\ ':id'");
  set("raw", ::query::VARBINARY, std::string("\0\xff", 2));
  set("nothing", ::query::NULL_TYPE, "");
  EXPECT_EQ(written("select ':id', :id from t where a = :v1 /* :id */ and b=:raw or c is :nothing"),
            R"(select ':id', -4 from t where a = 'it''s \\ '':id''' /* :id */ and b=_binary X'00FF' or c is NULL)");
  auto& list = variables_["ids"];
  list.set_type(::query::TUPLE);
  for (const char* value : {"1", "2"}) {
    list.add_values()->set_type(::query::INT64);
    list.mutable_values()->rbegin()->set_value(value);
  }
  EXPECT_EQ(written("select 1 from t where id in ::ids"), "select 1 from t where id in (1, 2)");
}

TEST_F(BindVariables, CannotBreakOutAndMustBeThere) {
  set("id", ::query::INT64, "1 or 1=1");
  EXPECT_EQ(written("select :id"), "select '1 or 1=1'");
  EXPECT_EQ(written("select :other"), "error: missing bind var other");
  EXPECT_EQ(written("select ::id"), "error: bind var id: a list is written ::id, a single value :id");
  set("e", ::query::EXPRESSION, "1=1");
  EXPECT_NE(written("select :e").find("not supported"), std::string::npos);
  variables_["none"].set_type(::query::TUPLE);
  EXPECT_EQ(written("select 1 in ::none"), "error: bind var none: the list is empty");
}

class StatisticsTest : public testing::Test {
 protected:
  nlohmann::json vars() const { return nlohmann::json::parse(metrics_.to_json()); }
  const PlanCounters* counters(const std::string& text, const plan::Plan& plan) {
    const auto ast = sql::parse(text);
    EXPECT_TRUE(ast.ok());
    return statistics_.counters_of(plan, ast->kind(), "commerce", "primary", sql::collect_tables(ast->statement()));
  }
  base::Metrics metrics_{"vtgate"};
  Statistics statistics_{metrics_};
};

TEST_F(StatisticsTest, CountsStatementsUnderTheNamesOfDashboards) {
  plan::Plan plan;
  const PlanCounters* known = counters("insert into customer(email) values ('a')", plan);
  EXPECT_EQ(counters("insert into customer(email) values ('b')", plan), known);
  known->count(1);
  known->count(1);
  plan.route.kind = plan::Route::Kind::kAllShards;
  counters("select * from a join other.b on a.id = b.id join a as c", plan)->count(4);
  EXPECT_EQ(vars()["QueryExecutions"],
            (nlohmann::json{{"INSERT.Passthrough.PRIMARY", 2}, {"SELECT.Scatter.PRIMARY", 1}}));
  EXPECT_EQ(vars()["QueryRoutes"], (nlohmann::json{{"INSERT.Passthrough.PRIMARY", 2}, {"SELECT.Scatter.PRIMARY", 4}}));
  EXPECT_EQ(vars()["QueryExecutionsByTable"],
            (nlohmann::json{{"INSERT.commerce_customer", 2}, {"SELECT.commerce_a", 1}, {"SELECT.other_b", 1}}));
}

TEST_F(StatisticsTest, CountsEachStatementOfAKnownPlan) {
  const PlanCounters* known = counters("select * from a where id = 1", plan::Plan());
  for (int i = 0; i < 1000; ++i) known->count(1);
  EXPECT_EQ(vars()["QueryExecutionsByTable"]["SELECT.commerce_a"], 1000);
}

TEST_F(StatisticsTest, CountsErrorsAndCommits) {
  statistics_.count_error("commerce", "primary", Code::kDeadlineExceeded);
  statistics_.record_commit(1, 2ms);
  statistics_.record_commit(3, 2ms);
  statistics_.record_commit(2, 2ms);
  EXPECT_EQ(vars()["VtgateApiErrorCounts"], (nlohmann::json{{"Execute.commerce.primary.DEADLINE_EXCEEDED", 1}}));
  EXPECT_EQ(vars()["CommitModeTimings"]["TotalCount"], 3);
  EXPECT_EQ(vars()["CommitModeTimings"]["Histograms"]["Single"]["Count"], 1);
  EXPECT_EQ(vars()["CommitModeTimings"]["Histograms"]["Multi"]["Count"], 2);
}

TEST_F(StatisticsTest, AFailoverLastsWhileStatementsAreHeld) {
  for (int i = 0; i < 3; ++i) statistics_.hold("customer", "0");
  statistics_.hold("commerce", "-80");
  for (int i = 0; i < 2; ++i) statistics_.let_go("customer", "0", BufferStop::kTooLong);
  EXPECT_EQ(vars()["BufferStops"], nlohmann::json::object());
  statistics_.hold("customer", "0");
  for (int i = 0; i < 2; ++i) statistics_.let_go("customer", "0", BufferStop::kResharded);
  EXPECT_EQ(vars()["BufferRequestsBuffered"], (nlohmann::json{{"customer.0", 4}, {"commerce.-80", 1}}));
  EXPECT_EQ(vars()["BufferLastRequestsInFlightMax"], (nlohmann::json{{"customer.0", 3}}));
  EXPECT_EQ(vars()["BufferStops"], (nlohmann::json{{"customer.0.ReshardingComplete", 1}}));
  statistics_.hold("customer", "0");
  statistics_.let_go("customer", "0", BufferStop::kNewPrimary);
  EXPECT_EQ(vars()["BufferLastRequestsInFlightMax"]["customer.0"], 1);
  EXPECT_EQ(vars()["BufferStops"]["customer.0.NewPrimarySeen"], 1);
}

TEST(WithLiterals, WritesValuesInThePlacesOfParameters) {
  const std::vector<mysql::Value> values = {mysql::Value::of_int(-4), mysql::Value::of_text("it's ?"),
                                            mysql::Value::null()};
  EXPECT_EQ(with_literals("set @a = ?, @b=? /* ? */, @`c?` = '?', @d = ?", values),
            "set @a = -4, @b='it''s ?' /* ? */, @`c?` = '?', @d = NULL");
  EXPECT_EQ(with_literals("select ?, ?", {values.data(), 1}), "select -4, ?");
}

TEST(MatchesLike, FollowsThePatternsOfSql) {
  EXPECT_TRUE(matches_like("commerce", "COM%"));
  EXPECT_TRUE(matches_like("commerce", "%m_e%e"));
  EXPECT_TRUE(matches_like("", "%"));
  EXPECT_TRUE(matches_like("a_b", "a\\_b"));
  EXPECT_FALSE(matches_like("axb", "a\\_b"));
  EXPECT_FALSE(matches_like("a", ""));
  EXPECT_FALSE(matches_like("abc", "ab"));
  EXPECT_FALSE(matches_like(std::string(3000, 'a'), "%a%a%a%a%a%a%a%a%a%b"));
}

class Cursor : public testing::TestWithParam<mysql::Capabilities> {
 protected:
  std::string result(int rows, uint16_t flags = mysql::kStatusAutocommit) const {
    std::string out;
    mysql::PacketWriter writer(out, 1);
    mysql::ResultSetWriter set(writer, GetParam(), true);
    std::vector<mysql::ColumnDef> columns(2);
    set.begin(columns);
    const std::vector<mysql::Cell> cells = {"a", std::nullopt};
    for (int i = 0; i < rows; ++i) EXPECT_TRUE(set.row(cells).ok());
    set.end({.status_flags = flags});
    return out;
  }
};
INSTANTIATE_TEST_SUITE_P(Ends, Cursor, testing::Values(mysql::Capabilities{0}, mysql::kClientDeprecateEof));

TEST_P(Cursor, FindsTheRowsOfOneResult) {
  for (const int rows : {0, 1, 3}) {
    const std::string bytes = result(rows);
    const auto parts = split_result(bytes, GetParam());
    ASSERT_TRUE(parts.ok());
    EXPECT_EQ(parts->columns_end_sequence, 4);
    EXPECT_EQ(parts->rows_begin - parts->columns_end, GetParam() == 0 ? 9 : 0);
    mysql::MessageReader reader;
    std::string_view rest = std::string_view(bytes).substr(parts->rows_begin);
    int found = 0;
    for (auto message = reader.next(rest); message.ok() && *message; message = reader.next(rest), ++found) {
      rest.remove_prefix((*message)->consumed);
    }
    EXPECT_EQ(found, rows + 1);
  }
}

TEST_P(Cursor, LeavesEverythingElseAlone) {
  const auto rows_begin = [&](const std::string& bytes) { return split_result(bytes, GetParam())->rows_begin; };
  std::string ok;
  mysql::PacketWriter writer(ok, 1);
  mysql::encode_ok(writer.begin(), {}, GetParam() | mysql::kClientProtocol41);
  writer.end();
  EXPECT_EQ(rows_begin(ok), 0);
  EXPECT_EQ(rows_begin(""), 0);
  EXPECT_EQ(rows_begin(result(1) + ok), 0);  // Of CALL.
  const std::string cut = result(2);
  EXPECT_FALSE(split_result(cut.substr(0, 20), GetParam()).ok());
}

TEST(ServerVersion, IsGreetedAsTheServerItselfWould) {
  EXPECT_EQ(greeting_version("10.11.14-MariaDB-0+deb12u2"), "5.5.5-10.11.14-MariaDB-0+deb12u2");
  EXPECT_EQ(greeting_version("11.4.5-MariaDB"), "11.4.5-MariaDB");
  EXPECT_EQ(greeting_version("8.4.6"), "8.4.6");
}

}  // namespace
}  // namespace vitrail::gate
