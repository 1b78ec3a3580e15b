// Changes whose rows are found first, and rows that are inserted when servers have computed them.
#include "plan/change.h"

#include <gtest/gtest.h>

#include "mysql/protocol.h"
#include "plan/finish.h"
#include "plan/insert.h"
#include "plan/stored_literal.h"
#include "sql/parser.h"
#include "vschema/proto_json.h"
#include "vschema/vschema.h"

namespace vitrail::plan {
namespace {

constexpr const char* kSharded = R"({"sharded":true,"vindexes":{"hash":{"type":"hash"}},"tables":{
  "a":{"column_vindexes":[{"column":"id","name":"hash"}]},
  "b":{"column_vindexes":[{"column":"id","name":"hash"}]},
  "s":{"column_vindexes":[{"column":"id","name":"hash"}],"auto_increment":{"column":"id","sequence":"un.seq"}},
  "nokey":{"column_vindexes":[{"column":"id","name":"hash"}]},
  "r":{"type":"reference"}}})";
constexpr const char* kUnsharded = R"({"tables":{"u":{},"seq":{"type":"sequence"}}})";

schema::Column number(const char* name, bool key = false) {
  return {.name = name,
          .type = "bigint(20)",
          .data_type = "bigint",
          .nullable = !key,
          .key_flags = static_cast<uint16_t>(key ? mysql::kFieldPrimaryKey | schema::kPartOfKey : 0)};
}

schema::Column text(const char* name, bool key = false) {
  auto column = number(name, key);
  column.type = "varchar(9)";
  column.data_type = "varchar";
  column.charset = "latin1";
  column.collation = "latin1_swedish_ci";
  return column;
}

class ChangeTest : public testing::Test {
 protected:
  ChangeTest() {
    ::vschema::SrvVSchema record;
    for (const auto& [name, json] : {std::pair("sh", kSharded), std::pair("un", kUnsharded)}) {
      EXPECT_TRUE(vschema::parse_json(json, (*record.mutable_keyspaces())[name], nullptr).ok());
    }
    vschema_ = vschema::VSchema::build(record, 1);
    schema::Keyspace sharded;
    sharded["a"].columns = {number("id", true), number("x"), text("t")};
    sharded["b"].columns = {number("id", true), text("n", true), number("y"), number("i")};
    sharded["b"].columns.back().key_flags = schema::kPartOfKey;
    sharded["s"].columns = {number("id", true), number("v")};
    sharded["nokey"].columns = {number("id"), number("v")};
    sharded["r"].columns = {number("k", true)};
    schema_["sh"] = std::make_shared<const schema::Keyspace>(std::move(sharded));
    schema::Keyspace unsharded;
    unsharded["u"].columns = {number("id", true), number("x")};
    schema_["un"] = std::make_shared<const schema::Keyspace>(std::move(unsharded));
  }

  Result<std::shared_ptr<const Plan>> plan_of(const char* sql, bool zero_is_id = false) {
    auto ast = sql::parse(sql);
    EXPECT_TRUE(ast.ok()) << sql;
    PlanContext context;
    context.vschema = vschema_.get();
    context.schema = &schema_;
    context.keyspace = "sh";
    context.zero_is_id = zero_is_id;
    return plan_statement(*ast, context);
  }

  // How the rows come, then what is sent for them; or the way that needs none of this.
  std::string planned(const char* sql) {
    const auto plan = plan_of(sql);
    if (!plan.ok()) return plan.error().message();
    const Plan& p = **plan;
    if (p.kind == Plan::Kind::kInsertRows) {
      std::string out;
      for (const auto& rows : p.insert_rows->rows) out += rows.source ? of_source(*rows.source) + "; " : "known; ";
      return out + p.insert_rows->prefix + p.insert_rows->suffix;
    }
    if (p.kind != Plan::Kind::kChange) return p.route.kind == Route::Kind::kAllShards ? "all" : "routed";
    std::string out = of_source(p.change->rows);
    for (const auto& target : p.change->targets) {
      out += "; " + target.before;
      for (const auto& value : target.values)
        out += value.column.name + "=" + (value.at ? std::to_string(*value.at) : value.text) + " ";
      out += target.after;
      if (target.move) out += " moves";
    }
    return out;
  }

  void check(std::initializer_list<std::pair<const char*, const char*>> cases) {
    for (const auto& [sql, plan] : cases) EXPECT_EQ(planned(sql), plan) << sql;
  }

 private:
  static std::string of_source(const RowSource& source) {
    if (source.plan->kind != Plan::Kind::kFinish) return source.text;
    std::string out = source.query;
    for (const auto& input : source.plan->finish->inputs) out += " [" + input.shown + input.lock + "]";
    return out;
  }

  std::shared_ptr<const vschema::VSchema> vschema_;
  schema::Snapshot schema_;
};

TEST_F(ChangeTest, IsSentAtOnceWhereEachShardFindsItsOwnRows) {
  check({
      {"delete from a where x = 1", "all"},
      {"delete from a where x = 1 order by t", "all"},
      {"delete from a where x = 1 returning id", "all"},
      {"update a set x = 1 order by t", "all"},
      {"update a join b on a.id = b.id set a.x = a.x + 1, b.y = 2", "all"},
      {"delete from a where id = 1 limit 3", "routed"},
  });
}

TEST_F(ChangeTest, FindsAndLocksRowsFirst) {
  check({
      {"delete from a where x = 1 limit 3",
       "select `a`.`id`, `a`.`id` from a where x = 1 limit 3 for update; delete from a"},
      {"delete from a order by t desc limit 1 returning id, x + 1",
       "select `a`.`id`, `a`.`id` from a order by t desc limit 1 for update; delete from a returning id, x + 1 as `x + "
       "1`"},
      {"update a set x = x + 1 order by t limit 2",
       "select `a`.`id`, `a`.`id` from a order by t limit 2 for update; update a as `a` set `x` = x + 1 order by t"},
      {"update b set y = 1 limit 2",
       "select `b`.`id`, cast(`b`.`n` as binary), `b`.`id` from b limit 2 for update; update b as `b` set `y` = 1"},
      {"delete from a where id in (select y from b)",
       "select `a`.`id`, `a`.`id` from a where id in (select y from b) [a for update] [b lock in share mode]; delete "
       "from a"},
      {"update a set x = (select max(y) from b), t = default",
       "select `a`.`id`, `a`.`id`, (select max(y) from b) from a [a for update] [b lock in share mode]; update a set "
       "x=2 t=default "},
      {"update a join b on a.id = b.id set a.x = b.y",
       "select `a`.`id`, `a`.`id`, b.y from a join b on a.id = b.id for update; update a set x=2 "},
      {"delete a, b from a join b on a.x = b.y",
       "select `a`.`id`, `a`.`id`, `b`.`id`, cast(`b`.`n` as binary), `b`.`id` from a join b on a.x = b.y [a for "
       "update] "
       "[b for update]; delete from a; delete from b"},
      {"update un.u join a on a.id = u.x set u.x = a.x",
       "select `u`.`id`, a.x from un.u join a on a.id = u.x [u for update] [a lock in share mode]; update u set x=1 "},
  });
}

TEST_F(ChangeTest, MovesRowsOneByOneInAnOrder) {
  check({
      {"update a set id = id + 1",
       "select `a`.`id`, `a`.`id`, id + 1 from a order by `a`.`id` for update; update a as `a` set `id` = id + 1 "
       "moves"},
      {"update a set id = 5 where x = 1 order by t limit 1",
       "select `a`.`id`, `a`.`id`, 5 from a where x = 1 order by t limit 1 for update; update a as `a` set `id` = 5 "
       "moves"},
      {"update ignore a set id = 5",
       "select `a`.`id`, `a`.`id`, 5 from a order by `a`.`id` for update; update ignore a as `a` set `id` = 5 moves"},
      {"update a set x = 1, id = x",
       "VT12001: unsupported: an assignment that reads a column that another one changes, beside one that places the "
       "row"},
      {"update a set id = (select 1)",
       "VT12001: unsupported: a new value of a column that places the row, from other tables"},
  });
}

TEST_F(ChangeTest, FailsWhereAServerMeetsBadValuesWhileItChangesRows) {
  const std::pair<const char*, bool> cases[] = {
      {"update a set x = 1 limit 2", true},
      {"update a set x = (select max(y) from b)", true},
      {"update a set x = 1 order by id limit 2", false},  // Found before anything is changed.
      {"update a set id = id + 1 where t = 1", false},
      {"update ignore a set x = 1 limit 2", false},
      {"delete from a limit 2", false},
      // A text that is compared with a key is read before.
      {"update a set x = 1 where id = '7x' limit 2", false},
      {"update a set x = 1 where '7x' < a.id and t = 'b' and x is not null limit 2", false},
      {"update b set y = 1 where i > '7x' limit 2", false},
      {"update b set y = 1 where i = '7x' limit 2", true},
      {"update a set x = 1 where id = '7x' and x = 'b' limit 2", true},
      {"update a set x = 1 where id = '7x' or x = 2 limit 2", true},
      {"update a set x = 1 where t = 7 limit 2", true},
      {"update a set x = x / 0 where id = '7x' limit 2", true},
      {"update a join b on a.id = b.y set a.x = 1 where a.id = '7x'", true},
  };
  for (const auto& [sql, strict] : cases) {
    const auto plan = plan_of(sql);
    ASSERT_TRUE(plan.ok() && (*plan)->change != nullptr) << sql;
    EXPECT_EQ((*plan)->change->strict, strict) << sql;
  }
}

TEST_F(ChangeTest, InsertsWhatAServerFindsBeforeItInserts) {
  const std::pair<const char*, bool> cases[] = {
      {"insert into a(id, x) select id, y from b where id = '7x'", false},
      {"insert into a(id, x) select b.y, 5 from b where b.id > '7x' and n = 'k'", false},
      {"insert into a(id, x) select y, 5 from b where y > '7x'", true},
      {"insert into a(id, x) select y + '7x', 5 from b where id > '7x'", true},
      {"insert into a(id, x) select b.y, 5 from b join r where id > '7x'", true},
      {"insert into a(id, x) select y, 5 from b", true},
      {"insert ignore into a(id, x) select y, 5 from b where y > '7x'", false},
  };
  for (const auto& [sql, strict] : cases) {
    const auto plan = plan_of(sql);
    ASSERT_TRUE(plan.ok()) << sql << ": " << plan.error().message();
    ASSERT_NE((*plan)->insert_rows, nullptr) << sql;
    EXPECT_EQ((*plan)->insert_rows->strict_query, strict) << sql;
  }
}

TEST_F(ChangeTest, TellsTheIdsOfRowsThatAreThere) {
  struct Case {
    const char* sql;
    bool zero_is_id;
    const char* suffix;
    std::optional<uint64_t> given;
    bool found;
  };
  const Case cases[] = {
      {"insert into s(v) values (1)", false, "", std::nullopt, false},
      {"insert into s(v) values (1) on duplicate key update v = 2", false,
       " on duplicate key update v = 2, `id` = last_insert_id(`s`.`id`)", std::nullopt, true},
      {"insert into s(v) values (1), (2) on duplicate key update v = 2", false, " on duplicate key update v = 2",
       std::nullopt, false},
      {"insert into s(v) values (1) on duplicate key update id = last_insert_id(id)", false,
       " on duplicate key update id = last_insert_id(id)", std::nullopt, false},
      {"insert into s(v) values (1) on duplicate key update v = last_insert_id(v)", false,
       " on duplicate key update v = last_insert_id(v)", std::nullopt, false},
      {"insert into s(id, v) values (7, 1) on duplicate key update v = 2", false, " on duplicate key update v = 2", 7,
       false},
      {"insert into s(id, v) values (7, 1), (-1, 1)", false, "", ~uint64_t{0}, false},
      {"insert into s(id, v) values (7, 1), (null, 1)", false, "", std::nullopt, false},
      {"insert into s(id, v) values (0, 1)", false, "", std::nullopt, false},
      {"insert into s(id, v) values (0, 1)", true, "", 0, false},
  };
  for (const auto& one : cases) {
    const auto plan = plan_of(one.sql, one.zero_is_id);
    ASSERT_TRUE(plan.ok() && (*plan)->insert) << one.sql;
    EXPECT_EQ((*plan)->insert->suffix, one.suffix) << one.sql;
    EXPECT_EQ((*plan)->insert->given_id, one.given) << one.sql;
    EXPECT_EQ((*plan)->insert->tells_found_id, one.found) << one.sql;
  }
}

TEST_F(ChangeTest, RefusesWhatIsNotSure) {
  check({
      {"delete from nokey limit 1",
       "VT12001: unsupported: a change of the table nokey by its rows' keys: it has no primary key, or one of a type "
       "whose "
       "values are not compared exactly"},
      {"update a join b on a.x = b.y set a.x = b.y, a.t = a.x",
       "VT12001: unsupported: an assignment that reads a column that another one changes, over several shards"},
      {"update a join b on a.x = b.y set id = 1",
       "VT12001: unsupported: an assignment to id, which several tables have"},
      {"delete from a where match(t) against ('x') limit 1 returning (select 1)",
       "VT12001: unsupported: subqueries in RETURNING"},
  });
}

TEST_F(ChangeTest, InsertsRowsThatServersCompute) {
  check({
      {"insert into a(id, x) select id, y from b",
       "select id, y from b lock in share mode; insert into a(id, x) values "},
      {"insert into a(id, x) select a.id, b.y from a join b on a.x = b.y",
       "select a.id, b.y from a join b on a.x = b.y [a lock in share mode] [b lock in share mode]; insert into a(id, "
       "x) values "},
      {"replace into a(id) select 1 union select 2", "select 1 union select 2; replace into a(id) values "},
      {"insert ignore into a(id) values (1 + 1), (3)", "select 1 + 1; known; insert ignore into a(id) values "},
      {"insert into a(id, x) values (1, (select max(y) from b)) returning id",
       "select (select max(y) from b) [b lock in share mode]; insert into a(id, x) values  returning id"},
      {"insert into s(v) select y from b", "select y from b lock in share mode; insert into s(v, id) values "},
      {"insert into a(id, x) select id, x from un.u",
       "select id, x from un.u lock in share mode; insert into a(id, x) values "},
      {"insert into a(x) select y from b",
       "VT09003: INSERT query does not have primary vindex column 'id' in the column list"},
      {"insert into a(id, x) values (x + 1, 2)",
       "VT12001: unsupported: a value that is made of other columns of its row, in an INSERT into a sharded table"},
      {"insert into a(id, x) select id, y from b on duplicate key update x = x + values(x)",
       "select id, y from b lock in share mode; insert into a(id, x) values  on duplicate key update x = x + "
       "values(x)"},
      {"insert into a(id, x) select id, y from b on duplicate key update x = y",
       "VT12001: unsupported: columns of the query in ON DUPLICATE KEY UPDATE of an INSERT ... SELECT into a sharded "
       "table"},
      {"insert into a(id) select id from b for update",
       "VT12001: unsupported: a locking read, or SELECT ... INTO, as the source of a change"},
  });
}

TEST(StoredLiteral, HasNoBackslashAndKeepsItsBytes) {
  EXPECT_EQ(string_literal("utf8mb4", "it's"), "_utf8mb4'it''s'");
  EXPECT_EQ(string_literal("utf8mb4", "M\xc3\xbcller"), "_utf8mb4'M\xc3\xbcller'");
  EXPECT_EQ(string_literal("utf8mb4", "a\\b"), "_utf8mb4 x'615c62'");
  EXPECT_EQ(string_literal("latin1", "\xfc"), "_latin1 x'fc'");
  EXPECT_EQ(string_literal("binary", std::string_view("a\0", 2)), "_binary x'6100'");
  EXPECT_EQ(string_literal("", "2020-01-01"), "'2020-01-01'");
}

TEST(StoredLiteral, IsStoredAsTheResultsValueWouldBe) {
  struct Case {
    mysql::FieldType type;
    uint16_t flags;
    const char* cell;
    const char* target;  // Its type.
    const char* literal;
  };
  using enum mysql::FieldType;
  for (const Case& item : std::initializer_list<Case>{
           {kLongLong, 0, "-5", "varchar", "-5"},
           {kNewDecimal, 0, "1.50", "int", "1.50"},
           {kDouble, 0, "0.1", "int", "0.1e0"},
           {kDouble, 0, "1e+300", "varchar", "1e+300"},
           {kFloat, 0, "0.10000000149011612", "double", "0.10000000149011612e0"},
           {kFloat, 0, "0.10000000149011612", "varchar", "refused"},
           {kDatetime, 0, "2020-01-02 03:04:05", "datetime", "'2020-01-02 03:04:05'"},
           {kDatetime, 0, "2020-01-02 03:04:05", "bigint", "timestamp'2020-01-02 03:04:05'"},
           {kDate, 0, "2020-01-02", "time", "date'2020-01-02'"},
           {kTime, 0, "10:00:00", "datetime", "time'10:00:00'"},
           {kTime, 0, "10:00:00", "text", "'10:00:00'"},
           {kNewDecimal, 0, "-5", "bit", "-5.0"},
           {kNewDecimal, 0, "5", "set", "5.0"},
           {kNewDecimal, 0, "5", "varchar", "5"},
           {kBit, 0, "5", "int", "5"},
           {kBit, 0, "511", "bit", "511"},
           {kBit, 0, "5", "varchar", "refused"},
           {kString, mysql::kFieldEnum, "b", "enum", "_utf8mb4'b'"},
           {kString, mysql::kFieldEnum, "b", "int", "refused"},
           {kLong, mysql::kFieldZerofill, "5", "varchar", "refused"},
           {kString, mysql::kFieldUnsigned | mysql::kFieldBinary, "::1", "varchar", "_utf8mb4'::1'"},
           {kString, mysql::kFieldUnsigned | mysql::kFieldBinary, "::1", "varbinary", "refused"},
           {kString, mysql::kFieldUnsigned, "::1", "bit", "refused"},
           {kVarString, 0, "a", "blob", "_utf8mb4'a'"},
           {kVarString, 0, "\u00e4", "blob", "refused"},
           {kVarString, 0, "\u00e4", "text", "_utf8mb4'\u00e4'"},
       }) {
    mysql::ColumnDef from;
    from.type = item.type;
    from.flags = item.flags;
    from.decimals = item.type == kDouble ? 31 : 0;
    from.collation = 45;
    schema::Column target{.name = "c", .data_type = item.target};
    const auto literal = result_literal(from, item.cell, target);
    EXPECT_EQ(literal.ok() ? *literal : "refused", item.literal) << item.cell << " " << item.target;
  }
}

TEST(StoredLiteral, BitsAreBytesOrDigits) {
  using Cells = std::vector<std::optional<std::string>>;
  struct Case {
    uint32_t bits;
    uint16_t flags;
    Cells cells;
    Cells digits;  // Empty: refused.
  };
  const uint16_t kept = mysql::kFieldUnsigned;
  const uint16_t computed = mysql::kFieldUnsigned | mysql::kFieldBinary;
  const std::string zero(1, '\0');
  for (const Case& item : std::initializer_list<Case>{
           {9, kept, {"\x01\xff", std::nullopt}, {"511", std::nullopt}},
           {9, kept, {zero + "\x05"}, {"5"}},
           {9, computed, {"511", "0", std::nullopt}, {"511", "0", std::nullopt}},
           {9, computed, {"\x01\xff"}, {"511"}},
           {9, computed, {"10", "11"}, {"10", "11"}},  // Bytes would have more bits than there are.
           {1, computed, {"1"}, {"1"}},
           {1, computed, {"\x01"}, {"1"}},
           {8, kept, {"5"}, {"53"}},
           {8, computed, {"5"}, {}},
           {8, computed, {"5", "53"}, {"5", "53"}},
           {8, computed, {"5", "\x01"}, {"53", "1"}},
           {8, computed, {std::nullopt}, {std::nullopt}},
           {64, kept, {std::string(8, '\xff')}, {"18446744073709551615"}},
           {64, computed, {"18446744073709551615"}, {"18446744073709551615"}},
           {64, computed, {"12345678"}, {}},
           {9, kept, {"512"}, {}},
           {9, kept, {"x"}, {}},
           {9, computed, {"05 "}, {}},
       }) {
    mysql::ColumnDef column;
    column.type = mysql::FieldType::kBit;
    column.length = item.bits;
    column.flags = item.flags;
    std::vector<Cells> rows;
    for (const auto& cell : item.cells) rows.push_back({"x", cell});
    const Status status = make_bits_digits(std::vector<mysql::ColumnDef>{{}, column}, rows);
    EXPECT_EQ(status.ok(), !item.digits.empty()) << item.bits << " " << item.cells.front().value_or("null");
    for (size_t i = 0; status.ok() && i < item.digits.size(); ++i) EXPECT_EQ(rows[i], Cells({"x", item.digits[i]}));
  }
}

}  // namespace
}  // namespace vitrail::plan
