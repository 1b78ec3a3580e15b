// What the planner accepts, and what it makes of it: tables of statements with their plans or exact refusals.
#include <gtest/gtest.h>

#include "plan/key_value.h"
#include "plan/planner.h"
#include "sql/parser.h"
#include "vschema/proto_json.h"
#include "vschema/vschema.h"

namespace vitrail::plan {
namespace {

constexpr const char* kSharded = R"({"sharded":true,
  "vindexes":{"hash":{"type":"hash"},"xx":{"type":"xxhash"},"region":{"type":"region_experimental","params":{"region_bytes":"1"}}},
  "tables":{
    "a":{"column_vindexes":[{"column":"id","name":"hash"}]},
    "b":{"column_vindexes":[{"column":"id","name":"hash"}]},
    "c":{"column_vindexes":[{"column":"id","name":"hash"}]},
    "seq_a":{"column_vindexes":[{"column":"id","name":"hash"}],"auto_increment":{"column":"id","sequence":"un.a_seq"}},
    "known":{"column_vindexes":[{"column":"id","name":"hash"}],"column_list_authoritative":true,
             "columns":[{"name":"id","type":"INT32"},{"name":"v","type":"INT64"}]},
    "x":{"column_vindexes":[{"column":"name","name":"xx"}]},
    "xi":{"column_vindexes":[{"column":"id","name":"xx"}],"columns":[{"name":"id","type":"INT64"}]},
    "xj":{"column_vindexes":[{"column":"id","name":"xx"}],"columns":[{"name":"id","type":"INT64"}]},
    "xb":{"column_vindexes":[{"column":"k","name":"xx"}],"columns":[{"name":"k","type":"VARBINARY"}]},
    "y":{"column_vindexes":[{"column":"k","name":"hash"}],"columns":[{"name":"k","type":"YEAR"}]},
    "bits":{"column_vindexes":[{"column":"k","name":"hash"}],"columns":[{"name":"k","type":"BIT"}]},
    "days":{"column_vindexes":[{"column":"k","name":"hash"}],"columns":[{"name":"k","type":"DATE"}]},
    "m":{"column_vindexes":[{"columns":["r","id"],"name":"region"}]},
    "r":{"type":"reference"}, "r2":{"type":"reference"}}})";
constexpr const char* kUnsharded = R"({"tables":{"u":{},"u2":{},"a_seq":{"type":"sequence"}}})";

std::shared_ptr<const vschema::VSchema> make_vschema() {
  ::vschema::SrvVSchema record;
  for (const auto& [name, json] : {std::pair("sh", kSharded), std::pair("un", kUnsharded)}) {
    const auto status = vschema::parse_json(json, (*record.mutable_keyspaces())[name], nullptr);
    EXPECT_TRUE(status) << status.error().message();
  }
  return vschema::VSchema::build(record, 1);
}

const vschema::VSchema& the_vschema() {
  static const auto vschema = make_vschema();
  return *vschema;
}

std::string describe_source(const ValueSource& source) {
  switch (source.kind) {
    case ValueSource::Kind::kConstant: return source.constant.is_null() ? "NULL" : source.constant.bytes;
    case ValueSource::Kind::kLiteral: return (source.negative ? "-#" : "#") + std::to_string(source.index);
    case ValueSource::Kind::kParameter: return "?" + std::to_string(source.index);
  }
  return "";
}

std::string describe_route(const Route& route) {
  std::string values;
  for (const auto& value : route.values) values += " " + describe_source(value);
  switch (route.kind) {
    case Route::Kind::kAnyShard: return route.only_shard ? "only shard" : "any shard";
    case Route::Kind::kByValues: return "value" + values;
    case Route::Kind::kByList: return "list" + values;
    case Route::Kind::kByLookup: return "lookup " + route.lookup->lookup->name;
    case Route::Kind::kByIds: return "ids";
    case Route::Kind::kAllShards:
      return "all" + (route.lookup == nullptr ? "" : " by lookup " + route.lookup->lookup->name);
    case Route::Kind::kNoShard: return "none";
  }
  return "";
}

std::string describe_keys(const char* name, const std::vector<Merge::Key>& keys) {
  if (keys.empty()) return "";
  std::string out = std::string(" ") + name;
  for (const auto& key : keys) {
    out += " " + std::string(key.hidden ? "h" : "") + std::to_string(key.column) + (key.weight ? "w" : "") +
           (key.descending ? "-" : "");
  }
  return out;
}

// "all order h0w limit 5", then the text when `with_text`.
std::string describe(const Result<std::shared_ptr<const Plan>>& plan, bool with_text = false) {
  if (!plan.ok()) return plan.error().message();
  const Plan& p = **plan;
  if (p.insert) {
    std::string out = "insert";
    for (const auto& row : p.insert->rows) {
      out += " (";
      for (const auto& key : row.key) out += key.bytes;
      if (row.key_from_sequence) out += "sequence";
      out += ")";
    }
    if (with_text) {
      out += ": " + p.insert->prefix;
      for (const auto& row : p.insert->rows) {
        for (size_t i = 0; i < row.text.size(); ++i) out += (i > 0 ? "<n>" : "") + row.text[i];
      }
      out += p.insert->suffix;
    }
    return out;
  }
  std::string out = describe_route(p.route);
  for (const auto& item : p.merge.aggregates) {
    static constexpr const char* kNames[] = {"count", "sum", "min", "max", "avg", "any"};
    out += std::string(" ") + kNames[static_cast<size_t>(item.function)] + std::to_string(item.column);
  }
  out += describe_keys("group", p.merge.group_by);
  for (const auto& condition : p.merge.having) {
    out += " having " + std::to_string(condition.column) + " " + condition.number;
  }
  if (p.merge.distinct) out += " distinct" + describe_keys("by", p.merge.distinct_by);
  out += describe_keys("order", p.merge.order_by);
  if (p.merge.limit) {
    out += " limit ";
    if (p.merge.offset > 0) out += std::to_string(p.merge.offset) + ",";
    out += std::to_string(*p.merge.limit);
  }
  if (p.merge.warnings_refuse) out += " unless warned";
  if (p.merge.count_found_rows) out += " counted";
  if (p.asks_found_rows) out += " found_rows?";
  if (p.asks_insert_id) out += " insert_id?";
  if (p.is_ddl) out += " ddl";
  if (!p.cacheable) out += " once";
  if (with_text) out += ": " + p.text.value_or("as written");
  return out;
}

std::string planned(const std::string& sql, PlanContext context = {}, bool with_text = false) {
  context.vschema = &the_vschema();
  if (context.keyspace.empty()) context.keyspace = "sh";
  auto ast = sql::parse(sql);
  if (!ast.ok()) return "parse: " + ast.error().message();
  return describe(plan_statement(*ast, context), with_text);
}

struct Case {
  const char* sql;
  const char* plan;
};

void check(std::initializer_list<Case> cases, const PlanContext& context = {}, bool with_text = false) {
  for (const auto& item : cases) EXPECT_EQ(planned(item.sql, context, with_text), item.plan) << item.sql;
}

constexpr const char* kNotOnKeys =
    "VT12001: unsupported: joins of sharded tables that are not joined on their primary vindex columns";
constexpr const char* kReferenceKept =
    "VT12001: unsupported: a reference table whose rows an outer join keeps beside a sharded table";

TEST(Planner, FindsTheShardsOfAKey) {
  check({
      {"select * from a where id = 5", "value #0"},
      {"select * from a where id = -5", "value -#0"},
      {"select * from a where 5 = id and v = 1", "value #0"},
      {"select * from a x where x.id = 5", "value #0"},
      {"select * from a where id in (1, 2, 3)", "list #0 #1 #2"},
      {"select * from a where id in (1, 2) and id = 2", "value #2"},
      {"select * from a where id = null", "none"},
      {"select * from a where id <=> 5", "all"},
      {"select * from a where id = 5 or v = 1", "all"},
      {"select * from a where id not in (5)", "all"},
      {"select * from a where id in (1, v)", "all"},
      {"select * from a where id = v", "all"},
      {"select * from a where v = 5", "all"},
      {"select * from m where r = 1", "all"},
      {"select * from r where code = 1", "any shard"},
      {"select * from r join r2 on r.code = r2.code", "any shard"},
      {"update a set v = 1 where id = 5", "value #1"},
      {"delete from a where id = 5 limit 1", "value #0"},
      {"update a set v = 1", "all"},
      {"delete from a limit 1", "VT12001: unsupported: UPDATE and DELETE with LIMIT over several shards"},
  });
}

// A value that the server converts before it compares has one place only when the conversion is known exactly.
TEST(Planner, ConvertsKeysExactlyOrAsksAllShards) {
  check({
      {"select * from a where id = 4.0", "value 4 once"},
      {"select * from a where id = -4.00", "value -4 once"},
      {"select * from a where id = 4.5", "all once"},
      {"select * from a where id = 4e0", "value 4 once"},
      {"select * from a where id = 1e20", "all once"},
      {"select * from a where id = '4'", "value 4 once"},
      {"select * from a where id = '4 '", "all once"},
      {"select * from a where id = '4.0'", "all once"},
      {"select * from a where id = '+4'", "all once"},
      {"select * from a where id = '4abc'", "all once"},
      {"select * from a where id = '9223372036854775808'", "all once"},
      {"select * from a where id in (1, 2.0, '3')", "list #0 2 3 once"},
      {"select * from a where id in (1, 2.5)", "all once"},
      {"select * from a where id = 0x05", "all once"},
      {"select * from a where id = true", "value 1 once"},
      {"select * from a where id = date '2020-01-01'", "all once"},
      // What a text column's collation takes for equal is placed apart.
      {"select * from x where name = 'a'", "all"},
      {"select * from x where name = 5", "all"},
      {"select * from xi where id = 5", "value #0"},
      {"select * from xi where id = '5'", "value 5 once"},
      {"select * from xb where k = 'a'", "value #0"},
      {"select * from xb where k = x'00ff'", "value #0"},
      {"select * from xb where k = _latin1'a'", "value a once"},
      {"select * from xb where k = 5", "all once"},
  });
}

TEST(Planner, ParametersAreConvertedLikeLiterals) {
  const auto with = [](mysql::Value value) {
    PlanContext context;
    const std::vector<mysql::Value> parameters = {std::move(value)};
    context.parameters = parameters;
    context.has_parameters = true;
    return planned("select * from a where id = ?", context);
  };
  using mysql::FieldType;
  using mysql::Value;
  EXPECT_EQ(planned("select * from a where id = ?"), "value ?0");
  EXPECT_EQ(with(Value::of_int(4)), "value ?0");
  EXPECT_EQ(with(Value::null()), "value ?0");
  EXPECT_EQ(with(Value::of_text("4")), "value ?0");
  EXPECT_EQ(with(Value::of_text("4.0")), "all once");
  EXPECT_EQ(with(Value::of_text("+4")), "all once");
  EXPECT_EQ(with(Value::of_text("4abc")), "all once");
  EXPECT_EQ(with({FieldType::kNewDecimal, false, false, "4.0"}), "value ?0");
  EXPECT_EQ(with({FieldType::kNewDecimal, false, false, "4.5"}), "all once");
  EXPECT_EQ(with({FieldType::kDouble, false, false, "4"}), "value ?0");
  EXPECT_EQ(with({FieldType::kDouble, false, false, "4.25"}), "all once");
  EXPECT_EQ(with(Value::of_binary("4")), "all once");
}

TEST(Planner, ParametersBecomeLiteralsOfTheirTypes) {
  using enum mysql::FieldType;
  const auto literal = [](mysql::FieldType type, std::string text) {
    std::string out;
    append_parameter(out, {type, false, false, std::move(text)});
    return out;
  };
  EXPECT_EQ(literal(kDatetime, "2020-02-29 10:00:00.5"), "timestamp'2020-02-29 10:00:00.5'");
  EXPECT_EQ(literal(kTimestamp, "2020-02-29 10:00:00"), "timestamp'2020-02-29 10:00:00'");
  EXPECT_EQ(literal(kDate, "2020-12-31"), "date'2020-12-31'");
  EXPECT_EQ(literal(kTime, "-100:00:00"), "time'-100:00:00'");
  // No literal may be a day that there was not.
  EXPECT_EQ(literal(kDate, "2021-02-29"), "'2021-02-29'");
  EXPECT_EQ(literal(kDatetime, "0000-00-00 00:00:00"), "'0000-00-00 00:00:00'");
  EXPECT_EQ(literal(kVarString, "2020-01-01"), "'2020-01-01'");
}

TEST(Planner, ATextHasPlacesForItsParameters) {
  const auto with = [](std::string_view text, const std::vector<mysql::Value>& parameters) {
    auto ast = sql::parse(text);
    const auto places = parameter_text(*ast);
    return places == nullptr ? "none" : places->with(parameters);
  };
  EXPECT_EQ(with("select id+?, a from t where b = ? limit ?",
                 {mysql::Value::of_int(-1), mysql::Value::of_text("it's"), mysql::Value::of_text("3")}),
            "select id + (-1) as `id+?`, a from t where b = 'it''s' limit 3");
  EXPECT_EQ(with("delete from t where a = ? and b = '?'", {mysql::Value::null()}),
            "delete from t where a = NULL and b = '?'");
  EXPECT_EQ(with("select '`\x01`', ?", {mysql::Value::null()}), "none");
  EXPECT_EQ(with("select 1", {}), "none");
}

TEST(Planner, APlanFitsItsParametersOrIsNotUsed) {
  Route route;
  route.key_type = KeyType::kInteger;
  route.values = {{.kind = ValueSource::Kind::kParameter, .index = 0}};
  const auto fits_one = [&](mysql::Value value) {
    const std::vector<mysql::Value> parameters = {std::move(value)};
    return fits(route, parameters);
  };
  EXPECT_TRUE(fits_one(mysql::Value::of_int(1)));
  EXPECT_TRUE(fits_one(mysql::Value::of_text("1")));
  EXPECT_TRUE(fits_one(mysql::Value::null()));
  EXPECT_FALSE(fits_one(mysql::Value::of_text("1.0")));
  EXPECT_FALSE(fits(route, {}));
}

TEST(Planner, TakesLiteralsThatWereNotRecordedFromTheStatement) {
  PlanContext context;
  context.literal_positions = 2;
  check({{"select * from a where v in (1, 2) and id = -7", "value -7 once"},
         {"select * from a where id in (1, 2, 3)", "list #0 #1 3 once"}},
        context);
}

TEST(Planner, JoinsMeetOnOneShardOrAreRefused) {
  check({
      {"select * from a join b on a.id = b.id", "all"},
      {"select * from a, b where a.id = b.id and b.id = 7", "value #0"},
      {"select * from a join b using (id)", "all"},
      {"select * from a join b on a.v = b.v", kNotOnKeys},
      {"select * from a, b", kNotOnKeys},
      {"select * from a join b on id = b.id", kNotOnKeys},
      {"select * from (a join b on a.v = b.v) join c on a.id = c.id and b.id = c.id", "all"},
      {"select * from a, c, b where a.id = c.id and c.id = b.id", "all"},
      {"select * from a join r on a.v = r.code", "all"},
      {"select * from r join a on a.v = r.code where a.id = 3", "value #0"},
      {"select * from xi join xj on xi.id = xj.id", "all"},
      {"select * from a join xi on a.id = xi.id",
       "VT12001: unsupported: joins of tables with different primary vindexes"},
      {"select * from x join x y on x.name = y.name",
       "VT12001: unsupported: joins on primary vindex columns that may be equal and yet placed apart (x); give the "
       "columns' types in the vschema: integers, or VARBINARY"},
  });
}

TEST(Planner, OuterJoinsKeepTheirRowsOnce) {
  check({
      {"select * from a left join b on a.id = b.id", "all"},
      {"select * from a left join b on a.v = b.v", kNotOnKeys},
      // WHERE does not decide what an outer join matches.
      {"select * from a left join b on a.v = b.v where a.id = b.id", kNotOnKeys},
      {"select * from a left join b on a.id = b.id where a.id = 5", "value #0"},
      {"select * from a left join b on a.id = b.id where b.id = 5", "value #0"},
      // Conditions of ON say which rows meet, and not which rows there are.
      {"select * from a left join b on a.id = b.id and a.id = 5", "all"},
      {"select a.id from a left join (b inner join c on b.id = c.id and b.id = 7) on a.id = b.id", "all"},
      {"select c.id, a.id from a join b on a.id = b.id and a.id = 5 right join c on c.id = b.id", "all"},
      {"select * from (a join b on a.id = b.id and a.id = 5) left join c on c.id = b.id", "value #0"},
      {"select * from a left join b on a.id = b.id left join c on b.id = c.id", "all"},
      {"select * from a left join (b, c) on a.id = b.id and b.id = c.id", "all"},
      {"select * from a left join (b, c) on a.id = b.id", kNotOnKeys},
      {"select * from a left join r on a.v = r.code", "all"},
      {"select * from a right join b on a.id = b.id left join r on r.code = a.v", "all"},
      {"select * from r left join a on a.id = r.code", kReferenceKept},
      {"select * from a right join r on r.code = a.id", kReferenceKept},
      {"select * from r left join (a join b on a.id = b.id) on a.id = r.code", kReferenceKept},
      {"select * from (r join a on a.v = r.code) left join b on a.id = b.id", "all"},
      {"select * from a left join b using (id)", "all"},
      {"select * from a natural join b", "VT12001: unsupported: natural joins of sharded tables"},
  });
}

TEST(Planner, Orders) {
  check({
      {"select * from a order by v", "all order h0w once"},
      {"select * from a order by id desc", "all order h0- once"},
      {"select * from a order by id limit 5", "all order h0 limit 5 once"},
      {"select id, v + 1 as v from a order by v, 1", "all order h0w h3 once"},
      {"select *, v from a order by 2",
       "VT12001: unsupported: ORDER BY a constant, or a number behind *, over several shards"},
      {"select v + 1 as w from a order by -w",
       "VT12001: unsupported: an alias inside of an ORDER BY expression over several shards"},
      {"select * from a where id = 5 order by v limit 3", "value #0"},
      {"select id from a having id > 3", "all"},
      {"select id from a where match(s) against ('x')", "all"},
      {"select id from a order by match(s) against ('x')",
       "VT12001: unsupported: the relevance of MATCH over several shards"},
  });
}

TEST(Planner, LimitsDoNotOverflow) {
  PlanContext context;
  check(
      {{"select id from a order by id limit 5, 18446744073709551615",
        "all order h0 limit 5,18446744073709551615 once: select id, id from a order by id limit 18446744073709551615"},
       {"select id from a limit 2, 3", "all limit 2,3 once: select id from a limit 5"},
       {"select v from a limit 3", "all limit 3 once: as written"}},
      context, true);
  const std::vector<mysql::Value> texts = {mysql::Value::of_text("2")};
  context.parameters = texts;
  context.has_parameters = true;
  check({{"select v from a limit ?", "all limit 2 once: select v from a limit 2"}}, context, true);
  const std::vector<mysql::Value> doubles = {{mysql::FieldType::kDouble, false, false, "2.5"}};
  context.parameters = doubles;
  check({{"select v from a limit ?", "VT12001: unsupported: LIMIT with anything but a whole number"}}, context);
}

constexpr const char* kNeither =
    "VT12001: unsupported: a selected expression that is neither a plain aggregate nor a grouping column, over several "
    "shards";

TEST(Planner, Groups) {
  check({
      {"select v, count(*) from a group by v", "all any0 count1 group h0w once"},
      {"select count(*), sum(v), min(s), max(s) from a", "all count0 sum1 min2 max3 once"},
      {"select v, 'x', count(*) from a group by 1", "all any0 any1 count2 group h0w once"},
      {"select id, count(*) from a group by id", "all"},
      {"select id, count(*) from a group by id having count(*) > 1", "all"},
      {"select v, count(*) from a group by v having count(*) > 1", "all any0 count1 group h0w having 1 1 once"},
      {"select v from a group by v having 3 < avg(v) and sum(v) <> -1.5",
       "all any0 avg4 sum7 group h0w having 4 3 having 7 -1.5 once"},
      {"select v from a group by v order by count(*)", "all any0 count4 group h0w order 4 once"},
      {"select v from a group by v having count(*) > '1'",
       "VT12001: unsupported: HAVING with anything but numbers over several shards"},
      {"select v from a group by v having count(*) <=> 1", "VT12001: unsupported: this HAVING over several shards"},
      {"select v from a group by v having count(*) > 1 or v > 2",
       "VT12001: unsupported: this HAVING over several shards"},
      // Rows without a match are one group, and come from all shards.
      {"select b.id, count(*) from a left join b on a.id = b.id group by b.id", "all any0 count1 group h0 once"},
      {"select a.id, count(*) from a left join b on a.id = b.id group by a.id", "all"},
      {"select name, count(*) from x group by name", "all any0 count1 group h0w once"},
      // GROUP BY means the column, if there is one of this name.
      {"select v div 5 as d, count(*) from a group by d", "all any0 count1 group h0w unless warned once"},
      {"select v div 5 as v, count(*) from known group by v", kNeither},
      {"select v div 5 as d, count(*) from known group by d", "all any0 count1 group h0w once"},
      {"select known.v as v, count(*) from known group by v", "all any0 count1 group h0w once"},
      {"select v + 1, count(*) from a group by v", kNeither},
      {"select concat(s, 'A'), count(*) from a group by concat(s, 'a')", kNeither},
      {"select count(*) + 1 from a", kNeither},
      {"select id from a order by count(*)", kNeither},
      {"select distinct v from a group by v, s",
       "VT12001: unsupported: DISTINCT with GROUP BY or aggregates over several shards"},
      {"select count(distinct v) from a", "VT12001: unsupported: count(DISTINCT ...) over several shards"},
      {"select rand(), count(*) from a group by rand()",
       "VT12001: unsupported: GROUP BY a value that is never the same, over several shards"},
      {"select v, count(*) as n from a group by v order by n desc, v limit 3",
       "all any0 count1 group h0w order 1- h0w limit 3 once"},
      {"select a as b, b as a from a group by a.b, a.a order by a", "all any0 any1 group h0w h3w order h0w once"},
      {"select v, count(*) from a group by v order by s",
       "VT12001: unsupported: ORDER BY something that is not selected, with GROUP BY over several shards"},
      {"select distinct v from a", "all distinct by h0w once"},
      {"select distinct v, s from a order by s desc limit 3", "all distinct by h0w h3w order h3w- limit 3 once"},
      {"select distinct * from a", "all distinct"},
      {"select distinct v from a order by s",
       "VT12001: unsupported: DISTINCT with ORDER BY something else, over several shards"},
  });
}

TEST(Planner, ColumnsKeepTheirNames) {
  check({{"select v+1, (id), (v+1), +id, 'x y' from a limit 1, 2",
          "all limit 1,2 once: select v + 1 as `v+1`, id, v + 1 as `(v+1)`, +id, 'x y' from a limit 3"},
         {"select  v+1  from sh.a where id=3", "value #1 once: select v + 1 as `v+1` from a where id = 3"}},
        {}, true);
}

TEST(Planner, VindexHintsAreForNoServer) {
  PlanContext context;
  context.vschema = &the_vschema();
  context.keyspace = "sh";
  for (const char* text :
       {"select * from a use vindex (hash) where id = 1", "select * from a ignore vindex (x, y) where id = 1"}) {
    auto ast = sql::parse(text);
    ASSERT_TRUE(ast.ok());
    const auto plan = plan_statement(*ast, context);
    ASSERT_TRUE(plan.ok()) << plan.error().message();
    EXPECT_EQ((*plan)->text, "select * from a where id = 1");
    EXPECT_EQ((*plan)->route.kind, Route::Kind::kByValues);
  }
}

TEST(Planner, SessionsAskTheirConnection) {
  check({
      {"select sql_calc_found_rows v from un.u limit 1", "only shard found_rows? once"},
      {"select sql_calc_found_rows v from a where id = 1 limit 1", "value #0 found_rows?"},
      {"select sql_calc_found_rows v from a order by id limit 2", "all order h0 limit 2 counted once"},
      {"select last_insert_id(55)", "any shard insert_id?"},
      {"do last_insert_id(55)", "any shard insert_id?"},
      {"select last_insert_id(v) from a where id = 1", "value #0 insert_id?"},
  });
}

TEST(Planner, Inserts) {
  check({
      {"insert into a(id, v) values (1, 2), (-3, 4)", "insert (1) (-3)"},
      {"insert into a(id) values ('5')", "insert (5)"},
      {"insert into a(id) values (5.00)", "insert (5)"},
      {"insert into a(id) values (0x41), (b'11'), (true)", "insert (65) (3) (1)"},
      {"insert into a(id) values (5.5)",
       "VT12001: unsupported: a value of the primary vindex column id that is no whole number; write it as an integer"},
      {"insert into a(id) values ('5x')",
       "VT12001: unsupported: a value of the primary vindex column id that is no whole number; write it as an integer"},
      {"insert into a(id) values (x'41')",
       "VT12001: unsupported: a value of the primary vindex column id that is no whole number; write it as an integer"},
      {"insert into a(id) values (1 + 1)",
       "VT12001: unsupported: this INSERT while the columns of sh.a are not known (no primary tablet has told them, or "
       "--schema-change-signal is off)"},
      {"insert into a(id) values (null)", "VT03027: Column 'id' cannot be null"},
      {"insert ignore into a(id) values (null)",
       "VT12001: unsupported: NULL as the value of the primary vindex column id, which the server may change (INSERT "
       "IGNORE, "
       "or an sql_mode that is not strict)"},
      {"insert into a(v) values (1)",
       "VT09003: INSERT query does not have primary vindex column 'id' in the column list"},
      {"insert into x(name) values (x'80'), (_binary'a'), (5), ('M\xc3\xbcller')",
       "insert (\x80) (a) (5) (M\xc3\xbcller)"},
      {"insert into x(name) values (1.5)",
       "VT12001: unsupported: a value of the primary vindex column name that is neither an integer nor a text"},
      {"insert ignore into a(id) values (3000000000)",
       "VT12001: unsupported: a value of the primary vindex column id that the server may change to fit (INSERT "
       "IGNORE, or "
       "an sql_mode that is not strict); give the column's type in the vschema"},
      {"insert ignore into a(id) values (300)", "insert (300)"},
      {"insert ignore into xi(id) values (3000000000)", "insert (3000000000)"},
      {"insert into seq_a(v) values (1), (2)", "insert (sequence) (sequence)"},
      {"insert into seq_a values (), ()", "insert (sequence) (sequence)"},
      {"insert into seq_a(id, v) values (0, 1), (null, 2), ('0', 3), (4, 4)",
       "insert (sequence) (sequence) (sequence) (4)"},
      {"insert into r(code) values (1)",
       "VT12001: unsupported: a change of the reference table r, whose columns are not known (yet)"},
      {"insert into a(id) select id from b",
       "VT12001: unsupported: this INSERT while the columns of sh.a are not known (no primary tablet has told them, or "
       "--schema-change-signal is off)"},
  });
  check({{"insert into seq_a(v) values (1) on duplicate key update v = last_insert_id(v)",
          "insert (sequence): insert into seq_a(v, id) values (1, <n>) on duplicate key update v = last_insert_id(v)"},
         {"insert into a(id, v) values (1, 2) on duplicate key update id = values(id), v = values(v)",
          "insert (1): insert into a(id, v) values (1, 2) on duplicate key update id = values(id), v = values(v)"},
         {"insert into a(id, v) values (1, 2) as n on duplicate key update id = n.id",
          "insert (1): insert into a(id, v) values (1, 2) as n on duplicate key update id = n.id"},
         {"insert into a(id, v) values (1, 2) on duplicate key update id = id",
          "insert (1): insert into a(id, v) values (1, 2) on duplicate key update id = id"},
         {"insert into a(id, v) values (1, 2) on duplicate key update id = 1, v = 3",
          "insert (1): insert into a(id, v) values (1, 2) on duplicate key update id = 1, v = 3"},
         {"insert into a(id, v) values (1, 2) on duplicate key update id = 2",
          "VT12001: unsupported: ON DUPLICATE KEY UPDATE of the primary vindex column id"},
         {"insert into a(id, v) values (1, 2), (2, 2) on duplicate key update id = 1",
          "VT12001: unsupported: ON DUPLICATE KEY UPDATE of the primary vindex column id"},
         {"insert into a(id, v) values (1, 2) on duplicate key update id = id, id = v",
          "VT12001: unsupported: ON DUPLICATE KEY UPDATE of the primary vindex column id"},
         {"insert into a(id, v) values (1, 2) on duplicate key update id = values(v)",
          "VT12001: unsupported: ON DUPLICATE KEY UPDATE of the primary vindex column id"},
         {"insert into a(id, v) values (1, 2) on duplicate key update id = values(id), id = id + 1",
          "VT12001: unsupported: ON DUPLICATE KEY UPDATE of the primary vindex column id"},
         {"insert into a(id, v) values (1, 2) as n(x, y) on duplicate key update v = n.y",
          "insert (1): insert into a(id, v) values (1, 2) as n(x, y) on duplicate key update v = n.y"}},
        {}, true);
}

TEST(Planner, KeysOfOtherCharacterSetsAreStoredAsUtf8) {
  PlanContext context;
  context.charset = "latin1";
  check({{"insert into x(name) values ('M\xfcller'), ('\x80')", "insert (M\xc3\xbcller) (\xe2\x82\xac)"},
         {"insert into xb(k) values ('\xfc')", "insert (\xfc)"}},
        context);
  context.charset = "cp1251";
  check({{"insert into x(name) values ('abc')", "insert (abc)"},
         {"insert into x(name) values ('\xfc')",
          "VT12001: unsupported: a value of the primary vindex column name in the character set cp1251; connect with "
          "utf8mb4"}},
        context);
}

TEST(Planner, WhatConcernsAServerNeedsTheOnlyOne) {
  check({
      {"call p()", "only shard"},
      {"flush tables", "only shard"},
      {"do sleep(0)", "any shard"},
      {"select 1", "any shard"},
      {"optimize table a", "all ddl"},
      {"select * from un.u", "only shard once"},
      {"explain select * from a where id = 3", "value #0"},
      {"explain a", "any shard"},
      {"analyze update a set v = 1 where id = 4", "value #1"},
      {"analyze update a set v = 1",
       "VT12001: unsupported: EXPLAIN and ANALYZE of a statement for several shards; name one (USE `keyspace/shard`)"},
      {"explain select * from a",
       "VT12001: unsupported: EXPLAIN and ANALYZE of a statement for several shards; name one (USE `keyspace/shard`)"},
      {"do (select count(*) from a)", "VT12001: unsupported: DO on sharded tables"},
      {"with q as (select 1 as n) select * from q, a",
       "VT12001: unsupported: UNION, WITH and the like over sharded tables"},
      {"select 1 union select id from a", "VT12001: unsupported: UNION, WITH and the like over sharded tables"},
      {"select * from a where v in (select v from b)", "VT12001: unsupported: subqueries over sharded tables"},
      {"select * from a order by (select 1)", "VT12001: unsupported: subqueries beside sharded tables"},
      {"select * from a, information_schema.tables", "VT12001: unsupported: system tables beside sharded tables"},
  });
}

// What waits for a table's columns names the table, so that it can be tried again when they are there.
TEST(Planner, UnknownColumnsAreAskedForAgain) {
  PlanContext context;
  context.vschema = &the_vschema();
  context.keyspace = "sh";
  for (const char* sql :
       {"insert into a(id) values (1 + 1)", "insert into a values (1)", "insert into a(id) select id from b"}) {
    auto ast = sql::parse(sql);
    ASSERT_TRUE(ast.ok());
    const auto plan = plan_statement(*ast, context);
    ASSERT_FALSE(plan.ok()) << sql;
    EXPECT_EQ(plan.error().retry(), Retry::kAfterTopologyRefresh) << sql;
    EXPECT_EQ(plan.error().origin(), (Origin{.keyspace = "sh", .shard = {}, .tablet = {}, .rule = "a"})) << sql;
  }
}

TEST(Planner, DdlStaysInOneKeyspace) {
  check({
      {"create table fresh (id int)", "all ddl"},
      {"drop table un.zz, sh.nosuch",
       "VT12001: unsupported: DDL on tables of several keyspaces (un, sh); write one for each"},
      {"drop table un.u, un.u2", "all ddl once"},
      {"rename table un.u to sh.u",
       "VT12001: unsupported: DDL on tables of several keyspaces (un, sh); write one for each"},
      {"create table n as select * from a",
       "VT12001: unsupported: CREATE TABLE ... SELECT in a sharded keyspace: its rows would have no place; give the "
       "table one in the vschema first"},
  });
}

TEST(Planner, OnlyReadsMayGoToReplicas) {
  const auto reads = [](const char* sql) {
    PlanContext context;
    context.vschema = &the_vschema();
    context.keyspace = "sh";
    auto ast = sql::parse(sql);
    const auto plan = plan_statement(*ast, context);
    return plan.ok() && (*plan)->is_read;
  };
  EXPECT_TRUE(reads("select * from a"));
  EXPECT_TRUE(reads("explain update a set v = 1 where id = 4"));
  EXPECT_TRUE(reads("analyze select * from a where id = 4"));
  EXPECT_FALSE(reads("select * from a where id = 4 for update"));
  EXPECT_FALSE(reads("analyze update a set v = 1 where id = 4"));
  EXPECT_FALSE(reads("update a set v = 1"));
  EXPECT_FALSE(reads("call p()"));
}

TEST(Plan, RoutesNothingByColumnsThatChangeTheirValues) {
  const std::string refused =
      "VT12001: unsupported: a value of the primary vindex column k that the server stores as another one; write it as "
      "an "
      "integer (of a YEAR: with four digits)";
  check({
      {"select 1 from y where k = 99", "all"},  // 1999
      {"select 1 from y where k = 1999", "all"},
      {"delete from y where k in (1999, 2000)", "all"},
      {"insert into y(k) values (1999), (0)", "insert (1999) (0)"},
      {"insert into y(k) values (99)", refused.c_str()},
      {"insert into y(k) values ('1999')", refused.c_str()},
      {"select 1 from bits where k = 5", "all"},
      {"insert into bits(k) values (5)", "insert (5)"},
      {"insert into bits(k) values ('5')", refused.c_str()},  // 53
      {"insert into days(k) values (20200101)", refused.c_str()},
  });
}

TEST(Plan, AsksOneServerForLocksAndForFunctionsThatItDoesNotKnow) {
  const std::string locks =
      "VT12001: unsupported: user locks (GET_LOCK() and its kin) beside sharded tables: each shard has locks of its "
      "own; "
      "ask for the lock by a statement without tables";
  check({
      {"select get_lock('a', 1)", "any shard"},
      {"select id from a where id = 1 and get_lock('a', 1)", locks.c_str()},
      {"select count(*) from a where is_free_lock('a')", locks.c_str()},
      {"update a set v = release_lock('a') where id = 1", locks.c_str()},
      {"select stored(1)", "only shard"},
      {"do stored(1)", "only shard"},
      {"select abs(1)", "any shard"},
      {"select stored(v) from a where id = 1", "value #0"},
  });
}

}  // namespace
}  // namespace vitrail::plan
