#include "movement/row_expression.h"

#include <gtest/gtest.h>

#include "movement/derived_columns.h"
#include "movement/filter.h"

namespace vitrail::movement {
namespace {

RowQuery query(const std::string& items) {
  std::string table;
  auto out = parse_row_query("select " + items + " from t", table);
  EXPECT_TRUE(out.ok()) << out.error().message();
  return out.ok() ? std::move(*out) : RowQuery();
}

std::string refusal(const std::string& expression) {
  std::string table;
  const auto out = parse_row_query("select id, " + expression + " as x from t", table);
  return out.ok() ? "taken" : out.error().message();
}

TEST(RowExpression, IsReadAndPrintedAgain) {
  const RowQuery read = query("id, concat(upper(name), ' (', id, ')') as label, -price * 2 as total");
  ASSERT_EQ(read.items.size(), 3u);
  EXPECT_EQ(read.items[0].kind, RowQuery::ItemKind::kColumn);
  EXPECT_EQ(read.items[1].kind, RowQuery::ItemKind::kExpression);
  EXPECT_EQ(read.items[1].expression.columns, (std::vector<std::string>{"name", "id"}));
  EXPECT_TRUE(read.has_expressions());
  // What is stored in a rule is read again as the same.
  std::string table;
  const std::string text = to_select(read, "t");
  const auto again = parse_row_query(text, table);
  ASSERT_TRUE(again.ok()) << text << ": " << again.error().message();
  EXPECT_EQ(to_select(*again, "t"), text);
  EXPECT_EQ(again->items[1].expression.columns, read.items[1].expression.columns);
  EXPECT_EQ(again->items[2].expression.columns, (std::vector<std::string>{"price"}));
}

TEST(RowExpression, TakesWhatOneRowDecides) {
  for (const char* taken :
       {"year(d)", "trim(name)", "trim(leading 'x' from name)", "coalesce(name, 'none')", "id mod 7", "id div 3",
        "substring(name, 1, 3)", "md5(concat(id, name))", "date(d)", "round(price, 1)", "left(name, 2)", "+id"}) {
    EXPECT_EQ(refusal(taken), "taken") << taken;
  }
  for (const auto& [refused, why] : std::initializer_list<std::pair<const char*, const char*>>{
           {"now()", "now()"},
           {"rand()", "rand()"},
           {"uuid()", "uuid()"},
           {"concat(name, now())", "now()"},
           {"unix_timestamp()", "unix_timestamp()"},
           {"date_format(d, '%M')", "date_format()"},
           {"price / 3", "DIV and round()"},
           {"name = 'x'", "operator"},
           {"if(id > 3, 1, 2)", "if()"},
           {"case when id then 1 end", "construct"},
           {"(select 1)", "construct"},
           {"@x + id", "construct"},
           {"@@sql_mode", "construct"},
           {"cast(id as char)", "construct"},
           {"t.id + 1", "qualified column t.id"},
           {"other.f(id)", "f()"},
           {"1 + 1", "no column"},
           {"concat(name, '\xc3\xa9')", "plain ASCII"},
           {"concat(name, _latin1'e')", "plain ASCII"},
           {"id + 1e3", "literal 1e3"},
           {"keyspace_id()", "keyspace_id()"},
           {"max(id)", "max()"},
           {"sum(id + 1)", "sum()"},
       }) {
    EXPECT_NE(refusal(refused).find(why), std::string::npos) << refused << ": " << refusal(refused);
  }
}

Column column(const char* name, ::query::Type type, const char* kind, const char* charset = "",
              const char* collation = "") {
  Column out;
  out.name = name;
  out.type = type;
  out.column_type = kind;
  out.character_set = charset;
  out.collation = collation;
  return out;
}

std::string literal(const Column& of, mysql::Cell cell) {
  const ::query::Field field = to_field(of, "t", "db");
  if (Status checked = check_input(field); !checked.ok()) return "! " + checked.error().message();
  std::string out;
  if (Status appended = append_input(out, field, cell); !appended.ok()) return "! " + appended.error().message();
  return out;
}

TEST(RowExpression, GivesValuesTheTypesOfTheirColumns) {
  EXPECT_EQ(literal(column("a", ::query::INT32, "int(11)"), "-5"), "(-5)");
  EXPECT_EQ(literal(column("a", ::query::UINT32, "int(11) unsigned"), "5"), "CAST(5 AS UNSIGNED)");
  EXPECT_EQ(literal(column("a", ::query::DECIMAL, "decimal(10,2)"), "1.50"), "(1.50)");
  EXPECT_EQ(literal(column("a", ::query::VARCHAR, "varchar(9)", "latin1", "latin1_german1_ci"), "a'\xe9"),
            "(_latin1 X'6127E9' COLLATE latin1_german1_ci)");
  EXPECT_EQ(literal(column("a", ::query::TEXT, "text", "utf8mb4", "utf8mb4_bin"), ""),
            "(_utf8mb4 X'' COLLATE utf8mb4_bin)");
  EXPECT_EQ(literal(column("a", ::query::BLOB, "blob"), "\x01"), "(_binary X'01')");
  EXPECT_EQ(literal(column("a", ::query::DATE, "date"), "2024-02-29"), "DATE'2024-02-29'");
  EXPECT_EQ(literal(column("a", ::query::DATETIME, "datetime(3)"), "2024-02-29 01:02:03.400"),
            "TIMESTAMP'2024-02-29 01:02:03.400'");
  EXPECT_EQ(literal(column("a", ::query::TIME, "time"), "-01:00:00"), "TIME'-01:00:00'");
  EXPECT_EQ(literal(column("a", ::query::INT32, "int(11)"), std::nullopt), "NULL");
  EXPECT_TRUE(literal(column("a", ::query::INT32, "int(11)"), "1 or 1").starts_with("! "));
  for (const auto& refused :
       {column("a", ::query::FLOAT32, "float"), column("a", ::query::FLOAT64, "double"),
        column("a", ::query::JSON, "json", "utf8mb4"), column("a", ::query::ENUM, "enum('x')", "utf8mb4"),
        column("a", ::query::BIT, "bit(1)"), column("a", ::query::YEAR, "year(4)"),
        column("a", ::query::BINARY, "binary(3)"), column("a", ::query::CHAR, "uuid"),
        column("a", ::query::UINT32, "int(5) unsigned zerofill")}) {
    EXPECT_NE(literal(refused, "1").find(refused.column_type), std::string::npos) << literal(refused, "1");
  }
}

TEST(RowExpression, BecomesWhatTheColumnHolds) {
  const auto stored = [](const Column& in) {
    const auto out = as_column(in, "x");
    return out.ok() ? *out : "! " + out.error().message();
  };
  EXPECT_EQ(stored(column("c", ::query::UINT64, "bigint(20) unsigned")), "CAST(x AS UNSIGNED)");
  EXPECT_EQ(stored(column("c", ::query::INT8, "tinyint(4)")), "CAST(x AS SIGNED)");
  EXPECT_EQ(stored(column("c", ::query::DECIMAL, "decimal(12,3)")), "CAST(x AS DECIMAL(12,3))");
  EXPECT_EQ(stored(column("c", ::query::VARCHAR, "varchar(10)", "latin1")), "CONVERT(x USING latin1)");
  EXPECT_EQ(stored(column("c", ::query::CHAR, "char(10)", "utf8mb4")), "RTRIM(CONVERT(x USING utf8mb4))");
  EXPECT_EQ(stored(column("c", ::query::VARBINARY, "varbinary(10)")), "CAST(x AS BINARY)");
  EXPECT_EQ(stored(column("c", ::query::TIMESTAMP, "timestamp(6)")), "CAST(x AS DATETIME(6))");
  EXPECT_EQ(stored(column("c", ::query::DATETIME, "datetime")), "CAST(x AS DATETIME)");
  for (const auto& refused :
       {column("c", ::query::FLOAT64, "double"), column("c", ::query::ENUM, "enum('x')", "utf8mb4"),
        column("c", ::query::JSON, "json", "utf8mb4"), column("c", ::query::UINT32, "int(5) unsigned zerofill")}) {
    EXPECT_TRUE(stored(refused).starts_with("! column c is computed")) << stored(refused);
  }
}

TEST(DerivedColumns, MakeTheTargetsRows) {
  TableSchema source, target;
  source.columns = {column("id", ::query::INT64, "bigint(20)"),
                    column("name", ::query::VARCHAR, "varchar(20)", "utf8mb4", "utf8mb4_bin"),
                    column("nick", ::query::VARCHAR, "varchar(20)", "latin1", "latin1_bin")};
  target.name = "u";
  target.columns = {column("key", ::query::INT64, "bigint(20)"),
                    column("label", ::query::VARCHAR, "varchar(40)", "utf8mb4")};
  TablePlan plan{
      .target = "u", .source = "t", .query = query("id as `key`, concat(id, lower(name)) as label"), .source_key = {}};
  // What arrives: the key under the target's name, and the column that is read.
  Fields arriving;
  *arriving.Add() = to_field(source.columns[0], "t", "db");
  arriving.Mutable(0)->set_name("key");
  *arriving.Add() = to_field(source.columns[1], "t", "db");
  arriving.Mutable(1)->set_name("(name)");
  const auto bound = DerivedColumns::bind(plan, target, arriving);
  ASSERT_TRUE(bound.ok()) << bound.error().message();
  ASSERT_EQ(bound->fields().size(), 2);
  EXPECT_EQ(bound->fields()[0].name(), "key");
  EXPECT_EQ(bound->fields()[1].name(), "label");
  EXPECT_EQ(bound->computed(), 1u);
  std::string sql;
  ASSERT_TRUE(bound->append_items(sql, {"7", "A"}).ok());
  EXPECT_EQ(sql, "CONVERT(concat((7), lower((_utf8mb4 X'41' COLLATE utf8mb4_bin))) USING utf8mb4), ");
  const std::optional<std::string> values[] = {"7a"};
  std::vector<mysql::Cell> cells;
  const ::query::Row row = bound->make_row({"7", "A"}, values);
  ASSERT_TRUE(read_row(row, 2, cells).ok());
  EXPECT_EQ(cells, (std::vector<mysql::Cell>{"7", "7a"}));

  const auto why = [&](const char* items, const Fields& fields) {
    plan.query = query(items);
    const auto out = DerivedColumns::bind(plan, target, fields);
    return out.ok() ? "bound" : out.error().message();
  };
  EXPECT_NE(why("id as `key`, lower(name) as nosuch", arriving).find("no column nosuch"), std::string::npos);
  EXPECT_NE(why("id as `key`, lower(nick) as label", arriving).find("does not have column (nick)"), std::string::npos);
  *arriving.Add() = to_field(source.columns[2], "t", "db");
  arriving.Mutable(2)->set_name("(nick)");
  EXPECT_NE(why("id as `key`, concat(name, nick) as label", arriving).find("different collations"), std::string::npos);
  // Of a tablet that does not know better.
  arriving.Mutable(1)->set_charset(45);
  arriving.Mutable(1)->set_decimals(0);
  EXPECT_NE(why("id as `key`, lower(name) as label", arriving).find("upgrade it"), std::string::npos);
  *arriving.Mutable(1) = to_field(source.columns[1], "t", "db");
  arriving.Mutable(1)->set_name("(name)");
  target.columns[1] = column("label", ::query::FLOAT64, "double");
  EXPECT_NE(why("id as `key`, lower(name) as label", arriving).find("of type double"), std::string::npos);
}

}  // namespace
}  // namespace vitrail::movement
