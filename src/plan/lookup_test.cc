#include "plan/lookup.h"

#include <gtest/gtest.h>

#include "mysql/protocol.h"
#include "plan/insert.h"
#include "plan/planner.h"
#include "sql/parser.h"
#include "vschema/proto_json.h"

namespace vitrail::plan {
namespace {

using shard::Lookup;

schema::Column column(std::string name, std::string type, std::string collation = "") {
  schema::Column out;
  out.name = std::move(name);
  out.data_type = type.substr(0, type.find_first_of("( "));
  out.type = std::move(type);
  out.collation = std::move(collation);
  return out;
}

TEST(LookupColumns, OneFollowsTheOther) {
  struct Case {
    const char* type;
    const char* collation;
    const char* from;
    const char* from_collation;
    bool follows;
  };
  const Case cases[] = {
      {"int(11)", "", "int(11)", "", true},
      {"int", "", "bigint", "", true},
      {"bigint", "", "int", "", false},
      {"int unsigned", "", "int", "", false},
      {"int unsigned", "", "bigint", "", true},
      {"bigint unsigned", "", "bigint", "", false},
      {"int", "", "int unsigned", "", false},
      {"int", "", "varchar(20)", "utf8mb4_bin", false},
      {"varchar(20)", "utf8mb4_bin", "varchar(20)", "utf8mb4_bin", true},
      {"varchar(20)", "utf8mb4_bin", "varchar(40)", "utf8mb4_bin", true},
      {"varchar(40)", "utf8mb4_bin", "varchar(20)", "utf8mb4_bin", false},
      {"varchar(20)", "utf8mb4_general_ci", "varchar(20)", "utf8mb4_bin", false},
      {"varchar(20)", "utf8mb4_general_ci", "varbinary(80)", "", false},
      {"char(20)", "latin1_bin", "varchar(20)", "latin1_bin", false},
      {"varbinary(20)", "", "varbinary(20)", "", true},
      {"datetime(6)", "", "datetime(6)", "", true},
      {"datetime(6)", "", "datetime", "", false},
      {"decimal(10,2)", "", "decimal(10,2)", "", true},
      {"double", "", "double", "", false},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(
        follows(Lookup::Form::kKeyspaceId, column("a", c.type, c.collation), column("b", c.from, c.from_collation)),
        c.follows)
        << c.type << " " << c.collation << " / " << c.from << " " << c.from_collation;
  }
  using Form = Lookup::Form;
  EXPECT_TRUE(follows(Form::kLooseHash, column("a", "varbinary(9)"), column("b", "bigint unsigned")));
  EXPECT_TRUE(follows(Form::kLooseHash, column("a", "varchar(9)", "utf8mb4_bin"), column("b", "bigint unsigned")));
  EXPECT_FALSE(
      follows(Form::kLooseHash, column("a", "varchar(9)", "utf8mb4_general_ci"), column("b", "bigint unsigned")));
}

TEST(LookupColumns, ValuesThatTheServerChanges) {
  EXPECT_TRUE(stores_unchanged(column("a", "varchar(3)", "utf8mb4_bin"), mysql::Value::of_text("abc")));
  EXPECT_FALSE(stores_unchanged(column("a", "varchar(3)", "utf8mb4_bin"), mysql::Value::of_text("abcd")));
  EXPECT_TRUE(stores_unchanged(column("a", "tinyint(4)"), mysql::Value::of_int(-128)));
  EXPECT_FALSE(stores_unchanged(column("a", "tinyint(4)"), mysql::Value::of_int(200)));
  EXPECT_TRUE(stores_unchanged(column("a", "tinyint(3) unsigned"), mysql::Value::of_int(200)));
  EXPECT_FALSE(stores_unchanged(column("a", "int(11)"), mysql::Value::of_text("7")));
  EXPECT_FALSE(stores_unchanged(column("a", "datetime"), mysql::Value::of_text("2020-02-30")));
}

TEST(LookupColumns, WhatACellOfAResultIsStoredAs) {
  const auto stored = [](const char* type, mysql::Value value, bool strict) {
    auto out = lookup_cell(column("a", type, "utf8mb4_bin"), std::move(value), strict);
    return out.ok() ? out->bytes : "refused";
  };
  mysql::Value decimal = mysql::Value::of_text("4.0");
  decimal.type = mysql::FieldType::kNewDecimal;
  mysql::Value half = mysql::Value::of_text("4.5");
  half.type = mysql::FieldType::kNewDecimal;
  EXPECT_EQ(stored("bigint(20)", mysql::Value::of_int(7), false), "7");
  EXPECT_EQ(stored("tinyint(4)", mysql::Value::of_int(700), true), "700");  // The server refuses it.
  EXPECT_EQ(stored("tinyint(4)", mysql::Value::of_int(700), false), "refused");
  EXPECT_EQ(stored("bigint(20)", decimal, true), "4");
  EXPECT_EQ(stored("bigint(20)", half, true), "refused");
  EXPECT_EQ(stored("decimal(4,1)", half, true), "4.5");
  EXPECT_EQ(stored("varchar(3)", mysql::Value::of_text("abcd"), true), "abcd");
  EXPECT_EQ(stored("varchar(3)", mysql::Value::of_text("abcd"), false), "refused");
  EXPECT_EQ(stored("date", mysql::Value::of_text("2020-01-01"), true), "refused");
}

TEST(LookupColumns, RowsThatAreInTheWay) {
  LookupWatch watch;
  watch.unique = {{{"name", 1}}, {{"a", 2}, {"b", 0}}, {{"left_out", SIZE_MAX}}};
  EXPECT_EQ(conflict_condition(watch, {"1", "'x'", "3"}), "(`name` = 'x') or (`a` = 3 and `b` = 1)");
  EXPECT_EQ(conflict_condition(watch, {"", "'x'", "3"}), "(`name` = 'x')");
  EXPECT_EQ(conflict_condition(watch, {"", "", "3"}), "");
}

constexpr const char* kSharded = R"({"sharded":true,"vindexes":{
    "hash":{"type":"hash"},
    "by_name":{"type":"lookup_unique","owner":"t","params":{"table":"un.names","from":"name","to":"id"}},
    "by_city":{"type":"lookup","owner":"t","params":{"table":"un.cities","from":"city","to":"id"}},
    "by_pair":{"type":"lookup_unique","owner":"t","params":{"table":"un.pairs","from":"a,b","to":"id"}},
    "hidden":{"type":"lookup","owner":"t","params":{"table":"un.cities","from":"city","to":"id","write_only":"true"}},
    "not_owned":{"type":"lookup","params":{"table":"un.cities","from":"city","to":"id"}},
    "strict":{"type":"lookup","owner":"t","params":{"table":"un.names_bin","from":"name","to":"id"}},
    "bare":{"type":"lookup","owner":"bare"}},
  "tables":{
    "t":{"column_vindexes":[{"column":"id","name":"hash"},{"column":"name","name":"by_name"},
         {"column":"city","name":"by_city"},{"columns":["a","b"],"name":"by_pair"},{"column":"town","name":"hidden"},
         {"column":"nick","name":"strict"},{"column":"place","name":"not_owned"}]},
    "bare":{"column_vindexes":[{"column":"id","name":"hash"},{"column":"x","name":"bare"}]},
    "u":{"column_vindexes":[{"column":"id","name":"hash"}]}}})";
constexpr const char* kUnsharded = R"({"tables":{"names":{},"names_bin":{},"cities":{},"pairs":{}}})";

class LookupPlans : public testing::Test {
 protected:
  void SetUp() override {
    ::vschema::SrvVSchema record;
    for (const auto& [name, json] : {std::pair("sh", kSharded), std::pair("un", kUnsharded)}) {
      ASSERT_TRUE(vschema::parse_json(json, (*record.mutable_keyspaces())[name], nullptr).ok());
    }
    vschema_ = vschema::VSchema::build(record, 1);
    const auto text = [](std::string name) { return column(std::move(name), "varchar(20)", "utf8mb4_general_ci"); };
    const auto number = [](std::string name) { return column(std::move(name), "int"); };
    schema::Keyspace sharded;
    sharded["t"].columns = {number("id"), text("name"), text("city"),  number("a"), number("b"),
                            text("town"), text("nick"), text("place"), number("v")};
    sharded["t"].columns[0].key_flags = mysql::kFieldPrimaryKey;
    sharded["t"].columns[1].key_flags = mysql::kFieldUniqueKey;
    sharded["u"].columns = {number("id")};
    sharded["bare"].columns = {number("id"), number("x")};
    schema::Keyspace unsharded;
    const auto id = column("id", "varbinary(20)");
    unsharded["names"].columns = {text("name"), id};
    unsharded["names_bin"].columns = {column("name", "varchar(20)", "utf8mb4_bin"), id};
    unsharded["cities"].columns = {text("city"), id};
    unsharded["pairs"].columns = {number("a"), number("b"), id};
    schema_["sh"] = std::make_shared<const schema::Keyspace>(std::move(sharded));
    schema_["un"] = std::make_shared<const schema::Keyspace>(std::move(unsharded));
  }

  Result<std::shared_ptr<const Plan>> plan(std::string_view sql, bool known = true) {
    auto ast = sql::parse(sql);
    EXPECT_TRUE(ast.ok()) << sql;
    PlanContext context;
    context.vschema = vschema_.get();
    context.schema = known ? &schema_ : nullptr;
    context.may_finish = false;
    context.keyspace = "sh";
    return plan_statement(*ast, context);
  }

  std::string route(std::string_view sql, bool known = true) {
    const auto planned = plan(sql, known);
    if (!planned.ok()) return planned.error().message();
    const Route& route = (*planned)->route;
    std::string out = route.kind == Route::Kind::kByLookup    ? "one shard"
                      : route.kind == Route::Kind::kAllShards ? "shards"
                      : route.kind == Route::Kind::kNoShard   ? "no shard"
                                                              : "by the primary vindex";
    if (route.lookup != nullptr) {
      out += " by " + route.lookup->lookup->name + (route.lookup->list ? " list" : "");
      for (const size_t place : route.lookup->places) out += " " + route.lookup->lookup->from[place];
    }
    return out;
  }

  std::shared_ptr<const vschema::VSchema> vschema_;
  schema::Snapshot schema_;
};

TEST_F(LookupPlans, ReadsAskTheBestLookup) {
  EXPECT_EQ(route("select * from t where name = 'x'"), "one shard by by_name name");
  EXPECT_EQ(route("select * from t where city = 'y' and 'x' = name"), "one shard by by_name name");
  EXPECT_EQ(route("select * from t where id = 1 and name = 'x'"), "by the primary vindex");
  EXPECT_EQ(route("select * from t where name in ('x', 'y')"), "shards by by_name list name");
  EXPECT_EQ(route("select * from t where city = 'y'"), "shards by by_city city");
  EXPECT_EQ(route("select * from t where city in ('y', null)"), "shards by by_city list city");
  EXPECT_EQ(route("select * from t where a = 1 and b = 2"), "one shard by by_pair a b");
  EXPECT_EQ(route("select * from t where a = 1"), "shards by by_pair a");
  EXPECT_EQ(route("select * from t where b = 1"), "shards");
  EXPECT_EQ(route("select * from t where name = null"), "no shard");
  EXPECT_EQ(route("select * from t join u on t.id = u.id where t.name = 'x'"), "one shard by by_name name");
  // A condition of the optional side says nothing of the rows that are kept.
  EXPECT_EQ(route("select * from u left join t on t.id = u.id and t.name = 'x'"), "shards");
}

TEST_F(LookupPlans, WhatMayBeMissedIsNotAsked) {
  EXPECT_EQ(route("select * from t where town = 'x'"), "shards");         // write_only
  EXPECT_EQ(route("select * from t where nick = 'x'"), "shards");         // Another collation.
  EXPECT_EQ(route("select * from t where name = 'x'", false), "shards");  // Columns that are not known.
  EXPECT_EQ(route("select * from t where name = upper('x')"), "shards");
  EXPECT_EQ(route("select * from t where name = _latin1'x'"), "shards");
  EXPECT_EQ(route("select * from t where name in ('x', v)"), "shards");
  EXPECT_EQ(route("select * from t where name = 'x' or v = 1"), "shards");
  EXPECT_EQ(route("select * from t where name not in ('x')"), "shards");
}

TEST_F(LookupPlans, ChangesTellWhichRowsChange) {
  const auto rows = [&](std::string_view sql) -> std::string {
    const auto planned = plan(sql);
    if (!planned.ok()) return planned.error().message();
    const auto& change = (*planned)->lookup_change;
    return change == nullptr ? "" : change->rows;
  };
  EXPECT_EQ(rows("update t set v = 1 where name = 'x'"), "");
  EXPECT_EQ(rows("update t set name = 'y', v = 2 where v = 1"),
            "select `id`, `name`, 'y' from t where v = 1 for update");
  EXPECT_EQ(rows("update t as x set x.a = x.a + 1 where x.v = 1"),
            "select `id`, `a`, `b`, x.a + 1, `b` from t as x where x.v = 1 for update");
  EXPECT_EQ(rows("delete from u where id = 1"), "");
  EXPECT_EQ(rows("delete from sh.t where v = 1 order by id limit 2"),
            "VT12001: unsupported: UPDATE and DELETE with LIMIT over several shards");
  EXPECT_EQ(rows("delete from sh.t where id = 1 limit 2"),
            "select `id`, `name`, `city`, `a`, `b`, `town`, `nick` from t where id = 1 for update");
  for (const auto& [sql, text] : std::initializer_list<std::pair<const char*, const char*>>{
           {"update t set name = uuid()", "an expression as the new value of the lookup vindex column name"},
           {"update t set v = 1, a = v", "an expression as the new value of the lookup vindex column a"},
           {"update t set name = default", "an expression as the new value of the lookup vindex column name"},
           {"update t set place = 'x'", "You can only UPDATE owned vindexes"},
           {"update t set name = 'x' where id = 1 limit 1", "with ORDER BY or LIMIT"},
           {"update ignore t set name = 'x'", "with IGNORE"},
           {"update bare set x = 1", "its parameter table is missing"},
           {"delete from bare", "its parameter table is missing"},
           {"insert into bare(id, x) values (1, 2)", "its parameter table is missing"}}) {
    EXPECT_NE(rows(sql).find(text), std::string::npos) << sql << ": " << rows(sql);
  }
}

TEST_F(LookupPlans, InsertsTellTheValues) {
  const auto planned = plan("insert into t(id, name, a, b, v) values (1, 'x', -1, null, 9)");
  ASSERT_TRUE(planned.ok()) << planned.error().message();
  const ShardedInsert& insert = *(*planned)->insert;
  EXPECT_EQ(insert.prefix, "insert into t(id, name, a, b, v, city, town, nick, place) values ");
  EXPECT_EQ(insert.rows[0].text, std::vector<std::string>{"(1, 'x', -1, null, 9, null, null, null, null)"});
  ASSERT_EQ(insert.rows[0].lookups.size(), 6u);
  EXPECT_EQ(insert.rows[0].lookups[0][0]->bytes, "x");
  EXPECT_TRUE(insert.rows[0].lookups[1][0]->is_null());
  EXPECT_EQ(insert.rows[0].lookups[2][0]->bytes, "-1");
  EXPECT_TRUE(insert.rows[0].lookups[2][1]->is_null());
  for (const auto& [sql, text] : std::initializer_list<std::pair<const char*, const char*>>{
           {"insert into t(id, name) values (1, 0x41)", "an expression as the value"},
           {"insert into t(id, name) values (1, 'x') on duplicate key update place = 'y'",
            "ON DUPLICATE KEY UPDATE of the lookup vindex column place"},
           {"insert into t(id, name) values (1, 'x') on duplicate key update name = 'y', id = values(id)",
            "ON DUPLICATE KEY UPDATE of the key column id"},
           {"insert into t(name, id) values (lower(uuid()), 1 + 1) on duplicate key update name = 'y', id = id + 1",
            "ON DUPLICATE KEY UPDATE of the primary vindex column id"},
           {"insert ignore into t(id, name) values (1, 'a text of more than twenty characters')",
            "that the server may change to fit"}}) {
    const auto refused = plan(sql);
    ASSERT_FALSE(refused.ok()) << sql;
    EXPECT_NE(refused.error().message().find(text), std::string::npos) << refused.error().message();
  }
}

TEST_F(LookupPlans, InsertsTellWhichRowsAreInTheWay) {
  for (const auto& [sql, conflicts] : std::initializer_list<std::pair<const char*, const char*>>{
           {"insert into t(id, name) values (1, 'x') on duplicate key update name = 'y'",
            "(`name` = 'x') or (`id` = 1)"},
           {"replace into t(id, v) values (1, 3)", "(`id` = 1)"},
           {"insert into t(id, name) values (1, 'x') on duplicate key update v = 5", ""},
           {"insert into t(id, name) values (1, 'x') on duplicate key update name = name", ""}}) {
    const auto planned = plan(sql);
    ASSERT_TRUE(planned.ok()) << sql << ": " << planned.error().message();
    EXPECT_EQ((*planned)->insert->rows[0].conflicts, conflicts) << sql;
    EXPECT_EQ((*planned)->insert->watch == nullptr, std::string(conflicts).empty()) << sql;
  }
  // What servers compute is asked for first.
  const auto computed = plan("insert into t(id, name) values (1, upper('x'))");
  ASSERT_TRUE(computed.ok()) << computed.error().message();
  ASSERT_TRUE((*computed)->insert_rows != nullptr);
  EXPECT_EQ((*computed)->insert_rows->lookups[0], std::vector<std::optional<size_t>>{1});
}

}  // namespace
}  // namespace vitrail::plan
