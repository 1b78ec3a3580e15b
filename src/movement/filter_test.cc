#include "movement/filter.h"

#include <gtest/gtest.h>

#include "movement/target_table.h"
#include "mysql/convert.h"

namespace vitrail::movement {
namespace {

TableSchema customer() {
  TableSchema table;
  table.name = "customer";
  table.columns = {
      {.name = "customer_id", .type = ::query::INT64, .column_type = "bigint(20)"},
      {.name = "email", .type = ::query::VARBINARY, .column_type = "varbinary(128)"},
      {.name = "Note", .type = ::query::VARCHAR, .column_type = "varchar(20)", .character_set = "utf8mb4"}};
  table.identity = {0};
  table.identity_index = "PRIMARY";
  return table;
}

::binlogdata::Filter rules(std::initializer_list<std::pair<std::string, std::string>> list) {
  ::binlogdata::Filter filter;
  for (const auto& [match, text] : list) {
    auto* rule = filter.add_rules();
    rule->set_match(match);
    rule->set_filter(text);
  }
  return filter;
}

::vschema::SrvVSchema sharded_vschema() {
  ::vschema::SrvVSchema vschema;
  auto& keyspace = (*vschema.mutable_keyspaces())["ks"];
  keyspace.set_sharded(true);
  (*keyspace.mutable_vindexes())["by_id"].set_type("hash");
  auto* vindex = (*keyspace.mutable_tables())["customer"].add_column_vindexes();
  vindex->set_column("customer_id");
  vindex->set_name("by_id");
  return vschema;
}

bool passes(const RowFilter& filter, const std::vector<mysql::Cell>& row) {
  std::vector<mysql::Cell> inputs;
  for (const size_t column : filter.inputs()) inputs.push_back(row[column]);
  const auto result = filter.matches(inputs);
  EXPECT_TRUE(result.ok()) << result.error().to_string();
  return result.ok() && *result;
}

RowQuery query_of(std::string_view text) {
  std::string table = "customer";
  auto query = parse_row_query(text, table);
  EXPECT_TRUE(query.ok()) << query.error().to_string();
  return std::move(*query);
}

RowFilter bound(std::string_view text, const ::vschema::SrvVSchema* vschema = nullptr) {
  auto filter = RowFilter::bind(query_of(text), customer(), "ks", vschema);
  EXPECT_TRUE(filter.ok()) << filter.error().to_string();
  return std::move(*filter);
}

TEST(Filter, FirstMatchingRuleDecides) {
  auto filter = Filter::create(
      rules({{"secret", "exclude"}, {"customer", "select * from customer"}, {"/^cor.*", ""}, {"/.*", "-80"}}));
  ASSERT_TRUE(filter.ok());
  EXPECT_EQ(filter->find("secret"), nullptr);
  ASSERT_NE(filter->find("customer"), nullptr);
  EXPECT_TRUE(filter->find("customer")->ranges.empty());
  EXPECT_TRUE(filter->find("corder")->ranges.empty());
  ASSERT_EQ(filter->find("anything")->ranges.size(), 1u);
  EXPECT_TRUE(filter->needs_vschema());
  EXPECT_EQ(filter->find_text("anything"), "-80");
}

TEST(Filter, RefusesWhatItCannotDoRight) {
  for (const char* text :
       {"select count(*) from customer", "select * from other", "select * from customer where a like 'x'",
        "select * from customer where a = 1 or b = 2", "select * from customer order by a", "nonsense",
        "select * from customer where in_keyrange(customer_id, '-80')", "80-40", "delete from customer"}) {
    EXPECT_FALSE(Filter::create(rules({{"customer", text}})).ok()) << text;
  }
  EXPECT_FALSE(Filter::create(rules({{"/(", ""}})).ok());
}

// Keyspace ids of vindex hash: 1 -> 166b40b4..., 2 -> 06e7ea22..., 4 -> d2fd8867...
TEST(Filter, KeyRangesGoByTheVindex) {
  const auto vschema = sharded_vschema();
  for (const RowFilter& filter :
       {bound("-80", &vschema), bound("select * from customer where in_keyrange('-80')", &vschema),
        bound("select * from customer where in_keyrange(customer_id, 'ks.by_id', '-80')", &vschema),
        bound("select * from customer where in_keyrange(customer_id, 'hash', '-80')"),
        bound(to_select(query_of("select * from customer where in_keyrange(customer_id, "
                                 "'{\"params\": {}, \"type\": \"hash\"}', '-80')"),
                        "customer"))}) {
    EXPECT_TRUE(passes(filter, {"1", "a", "n"}));
    EXPECT_TRUE(passes(filter, {"2", "a", "n"}));
    EXPECT_FALSE(passes(filter, {"4", "a", "n"}));
  }
  const RowFilter upper = bound("80-", &vschema);
  EXPECT_FALSE(passes(upper, {"1", "a", "n"}));
  EXPECT_TRUE(passes(upper, {"4", "a", "n"}));
}

// Tablets of another cluster do not know the vschema that a table comes into, and may call another vindex by its name.
TEST(Filter, AVindexMayBringItsDefinition) {
  ::vschema::Vindex vindex;
  vindex.set_type("numeric_static_map");
  (*vindex.mutable_params())["json"] = "{\"1\": 0, \"4\": 9223372036854775808}";
  const std::string definition = vindex_definition(vindex);
  std::string text = "select * from customer where in_keyrange(customer_id, ";
  mysql::append_sql_string(text, definition);
  text += ", '-80')";
  const RowQuery query = query_of(text);
  EXPECT_FALSE(query.needs_vschema());
  ::vschema::SrvVSchema other;
  (*(*other.mutable_keyspaces())["ks"].mutable_vindexes())[definition].set_type("hash");
  (*(*other.mutable_keyspaces())["ks"].mutable_vindexes())["numeric_static_map"].set_type("hash");
  const RowFilter filter = bound(text, &other);
  EXPECT_TRUE(passes(filter, {"1", "a", "n"}));
  EXPECT_FALSE(passes(filter, {"4", "a", "n"}));
}

TEST(Filter, HalfADefinitionIsRefused) {
  const auto vschema = sharded_vschema();
  for (const char* definition :
       {"{", "{}", R"({"type": "hash"})", R"({"type": 3, "params": {}})", R"({"type": "hash", "params": []})",
        R"({"type": "hash", "params": {"a": 1}})", R"({"type": "nosuch", "params": {}})",
        R"({"type": "hash", "params": {}, "owner": "t"})"}) {
    std::string text = "select * from customer where in_keyrange(customer_id, ";
    mysql::append_sql_string(text, definition);
    EXPECT_FALSE(RowFilter::bind(query_of(text + ", '-80')"), customer(), "ks", &vschema).ok()) << definition;
  }
}

TEST(Filter, RowsWithoutAPlaceAreAnErrorAndNotLost) {
  const RowFilter filter = bound("select * from customer where in_keyrange(customer_id, 'hash', '-80')");
  const mysql::Cell null;
  EXPECT_FALSE(filter.matches(std::span(&null, 1)).ok());
}

TEST(Filter, VindexOfAMissingTableOrKeyspaceIsAnError) {
  const auto vschema = sharded_vschema();
  std::string table = "customer";
  const auto range = parse_row_query("-80", table);
  TableSchema other = customer();
  other.name = "other";
  EXPECT_FALSE(RowFilter::bind(*range, other, "ks", &vschema).ok());
  EXPECT_FALSE(RowFilter::bind(*range, customer(), "none", &vschema).ok());
  EXPECT_FALSE(RowFilter::bind(*range, customer(), "ks", nullptr).ok());
}

TEST(Filter, ComparesNumbersAndSelectsColumns) {
  const RowFilter filter = bound(
      "select email as mail, CUSTOMER_ID from customer where customer_id >= -5 and customer_id != 7 and "
      "note is not null");
  ASSERT_EQ(filter.output().size(), 2u);
  EXPECT_EQ(filter.output_names()[0], "mail");
  EXPECT_EQ(filter.output()[1], 0u);
  EXPECT_TRUE(passes(filter, {"-5", "a", "n"}));
  EXPECT_FALSE(passes(filter, {"-6", "a", "n"}));
  EXPECT_FALSE(passes(filter, {"7", "a", "n"}));
  EXPECT_FALSE(passes(filter, {"8", "a", mysql::Cell()}));
  EXPECT_TRUE(passes(filter, {"18446744073709551615", "a", "n"}));
  const RowFilter in = bound("select * from customer where customer_id in (1, 2, 3)");
  EXPECT_TRUE(passes(in, {"3", "a", "n"}));
  EXPECT_FALSE(passes(in, {"4", "a", "n"}));
}

TEST(Filter, ComparesTextsByteForByte) {
  const RowFilter equal = bound("select * from customer where email = 'a\\'b'");
  EXPECT_TRUE(passes(equal, {"1", "a'b", "n"}));
  EXPECT_FALSE(passes(equal, {"1", "A'B", "n"}));
  EXPECT_FALSE(passes(equal, {"1", "a'b ", "n"}));
  EXPECT_FALSE(passes(equal, {"1", mysql::Cell(), "n"}));
  const RowFilter none = bound("select * from customer where email not in ('a', 'b') and email <> 'c'");
  EXPECT_FALSE(passes(none, {"1", "b", "n"}));
  EXPECT_FALSE(passes(none, {"1", "c", "n"}));
  EXPECT_TRUE(passes(none, {"1", "d", "n"}));
  for (const char* text :
       {"select * from customer where email < 'a'", "select * from customer where email in (1, 'a')"}) {
    std::string table = "customer";
    EXPECT_FALSE(parse_row_query(text, table).ok()) << text;
  }
  for (const char* text :
       {"select * from customer where email = 5", "select * from customer where customer_id = 'a'"}) {
    std::string table = "customer";
    auto query = parse_row_query(text, table);
    ASSERT_TRUE(query.ok());
    EXPECT_FALSE(RowFilter::bind(*query, customer(), "ks", nullptr).ok()) << text;
  }
}

TEST(Filter, IsWrittenAsItIsRead) {
  for (const std::string text :
       {"select * from `customer`", "select `a`, `b` as `c` from `customer` where `a` >= -5 and `d` is not null",
        "select * from `customer` where `a` IN (1, 2) and `b` NOT IN ('x', 'y') and in_keyrange(`a`, 'ks.h', '-80')",
        "select `a`, count(*) as `n`, sum(`b`) as `s` from `customer` where `c` is null group by `a`"}) {
    std::string table;
    const auto query = parse_row_query(text, table);
    ASSERT_TRUE(query.ok()) << text << query.error().to_string();
    EXPECT_EQ(to_select(*query, table), text);
  }
}

// --- statements -----------------------------------------------------------------------------------------------------

::query::Row row(const std::vector<mysql::Cell>& cells) {
  ::query::Row out;
  for (const auto& cell : cells) append_cell(out, cell);
  return out;
}

google::protobuf::RepeatedPtrField<::query::Field> fields(const TableSchema& table) {
  google::protobuf::RepeatedPtrField<::query::Field> list;
  for (const Column& column : table.columns) *list.Add() = to_field(column, table.name, "db");
  return list;
}

std::shared_ptr<const TargetTable> target(const TableSchema& table) {
  auto bound = TargetTable::bind(table, "db", fields(table));
  EXPECT_TRUE(bound.ok()) << bound.error().to_string();
  return std::make_shared<const TargetTable>(std::move(*bound));
}

std::vector<std::string> statements(const RowBatch& batch) {
  std::vector<std::string> out;
  batch.append_deletes(out);
  batch.append_inserts(out);
  return out;
}

TEST(RowBatch, LeavesTheNetEffect) {
  RowBatch batch(target(customer()));
  ASSERT_TRUE(batch.insert(row({"1", "a", "x"})).has_value());
  ASSERT_TRUE(batch.remove(row({"2", "b", "y"})).has_value());
  ASSERT_TRUE(batch.insert(row({"2", "c", mysql::Cell()})).has_value());  // An update of 2.
  ASSERT_TRUE(batch.remove(row({"1", "a", "x"})).has_value());
  ASSERT_TRUE(batch.insert(row({"3", "a'b", "z"})).has_value());  // 1 became 3.
  ASSERT_TRUE(batch.remove(row({"4", "d", "w"})).has_value());
  EXPECT_EQ(statements(batch),
            (std::vector<std::string>{
                "DELETE FROM `db`.`customer` WHERE `customer_id` IN (2, 4)",
                "INSERT INTO `db`.`customer` (`customer_id`, `email`, `Note`) VALUES (2,'c',NULL), (3,'a''b','z')"}));
  ASSERT_EQ(batch.fresh().size(), 1u);  // 3: must not have been there before. 1 never reaches the target.
}

TEST(RowBatch, RowsThatTheLogInsertsTwiceAreAnError) {
  RowBatch batch(target(customer()));
  ASSERT_TRUE(batch.insert(row({"1", "a", "x"})).has_value());
  EXPECT_FALSE(batch.insert(row({"5", "b"})).has_value());
  EXPECT_FALSE(batch.insert(row({mysql::Cell(), "b", "x"})).has_value());
  ASSERT_TRUE(batch.remove(row({"7", "a", "x"})).has_value());
  EXPECT_FALSE(batch.insert(row({"1", "b", "x"})).has_value());

  // Among rows that are only inserted it is the server that says so; the next change of a row looks at them.
  RowBatch inserts(target(customer()));
  ASSERT_TRUE(inserts.insert(row({"1", "a", "x"})).has_value());
  ASSERT_TRUE(inserts.insert(row({"1", "b", "x"})).has_value());
  EXPECT_EQ(statements(inserts).size(), 1u);
  EXPECT_FALSE(inserts.remove(row({"7", "a", "x"})).has_value());
}

TEST(RowBatch, ManyRowsThatAreOnlyInsertedAreLoaded) {
  RowBatch batch(target(customer()));
  const std::string text(300, 't');
  for (int i = 0; i < 999; ++i) ASSERT_TRUE(batch.insert(row({std::to_string(i), text, "x"})).has_value());
  EXPECT_FALSE(batch.may_load());
  ASSERT_TRUE(batch.insert(row({"999", "tab\t", mysql::Cell()})).has_value());
  EXPECT_TRUE(batch.may_load());
  EXPECT_EQ(batch.inserted(), 1000u);
  const std::string file = batch.load_file();
  EXPECT_TRUE(file.starts_with("0\t" + text + "\tx\n"));
  EXPECT_TRUE(file.ends_with("999\ttab\\t\t\\N\n")) << file.substr(file.size() - 30);
  EXPECT_EQ(batch.fresh().size(), 1000u);

  // Not when one of them is changed by the same run.
  ASSERT_TRUE(batch.remove(row({"5", text, "x"})).has_value());
  EXPECT_FALSE(batch.may_load());
  EXPECT_EQ(batch.fresh().size(), 999u);
  EXPECT_TRUE(statements(batch)[0].starts_with("INSERT"));

  TableSchema enums = customer();
  enums.columns[2] = {.name = "kind", .type = ::query::ENUM, .column_type = "enum('2','1')", .character_set = "latin1"};
  EXPECT_TRUE(target(enums)->can_load());
  auto numbers = fields(enums);
  numbers[2].set_type(::query::UINT16);
  const auto bound = TargetTable::bind(enums, "db", numbers);
  ASSERT_TRUE(bound.ok());
  EXPECT_FALSE(bound->can_load()) << "1 is the first member, not the one of that name";
}

// A server shows number 0 of an ENUM as '', which only a session that is not strict takes.
TEST(TargetTable, AnEnumThatIsNoneOfItsMembersIsWrittenInTwoSteps) {
  TableSchema table = customer();
  table.columns[1] = {
      .name = "kind", .type = ::query::ENUM, .column_type = "enum('it''s','b')", .character_set = "latin1"};
  table.columns[2] = {.name = "at", .type = ::query::TIMESTAMP, .column_type = "timestamp"};
  RowBatch batch(target(table));
  ASSERT_TRUE(batch.insert(row({"1", "", "2020-01-01 00:00:00"})).has_value());
  ASSERT_TRUE(batch.insert(row({"2", "b", "2020-01-01 00:00:00"})).has_value());
  ASSERT_TRUE(batch.insert(row({"3", mysql::Cell(), mysql::Cell()})).has_value());
  const auto made = statements(batch);
  ASSERT_EQ(made.size(), 2u);
  EXPECT_NE(made[0].find("VALUES (1,1,'2020-01-01 00:00:00'), (2,'b',"), std::string::npos) << made[0];
  EXPECT_TRUE(
      made[1].ends_with(" UPDATE /*+ SET_VAR(sql_mode = 'ALLOW_INVALID_DATES') */ `db`.`customer` SET `kind` = '', "
                        "`at` = `at` WHERE `customer_id` = 1"))
      << made[1];
  // Where '' is a member it is one like any other.
  table.columns[1].column_type = "enum('a','')";
  RowBatch plain(target(table));
  ASSERT_TRUE(plain.insert(row({"1", "", mysql::Cell()})).has_value());
  EXPECT_EQ(statements(plain).size(), 1u);
  // As part of a key the first member stands in for it meanwhile.
  table.columns[1].column_type = "enum('a')";
  table.identity = {1, 0};
  RowBatch keyed(target(table));
  ASSERT_TRUE(keyed.insert(row({"1", "", mysql::Cell()})).has_value());
  EXPECT_TRUE(statements(keyed).at(1).ends_with(" WHERE `kind` = 1 AND `customer_id` = 1")) << statements(keyed)[1];
}

TEST(TargetTable, KeysAreComparedInTheColumnsCharacterSet) {
  TableSchema table = customer();
  table.identity = {2, 0};
  RowBatch batch(target(table));
  ASSERT_TRUE(batch.remove(row({"1", "a", "x"})).has_value());
  ASSERT_TRUE(batch.remove(row({"2", "a", "y"})).has_value());
  EXPECT_EQ(
      statements(batch)[0],
      "DELETE FROM `db`.`customer` WHERE ((`Note` = _utf8mb4'x' AND `customer_id` = 1) OR (`Note` = _utf8mb4'y' AND "
      "`customer_id` = 2))");
  EXPECT_EQ(key_condition(table, {"x", "7"}, true),
            "`Note` >= _utf8mb4'x' AND (`Note` > _utf8mb4'x' OR (`Note` = _utf8mb4'x' AND `customer_id` > 7))");
  EXPECT_EQ(key_condition(table, {"x", "7"}, false),
            "`Note` <= _utf8mb4'x' AND (`Note` < _utf8mb4'x' OR (`Note` = _utf8mb4'x' AND `customer_id` <= 7))");
}

TEST(TargetTable, AColumnThatTheTargetLacksIsAnError) {
  TableSchema smaller = customer();
  smaller.columns.pop_back();
  EXPECT_FALSE(TargetTable::bind(smaller, "db", fields(customer())).ok());
  TableSchema keyless = customer();
  keyless.identity.clear();
  EXPECT_FALSE(TargetTable::bind(keyless, "db", fields(customer())).ok());
}

TEST(TargetTable, LinesOfLoadDataEscapeWhatIsSpecial) {
  const auto table = target(customer());
  std::string line;
  const std::string special("a\tb\nc\\d\0e", 9);
  const std::vector<mysql::Cell> cells{"1", special, mysql::Cell()};
  TargetTable::append_line(line, *table, cells);
  EXPECT_EQ(line, "1\ta\\tb\\nc\\\\d\\0e\t\\N\n");
}

TEST(TargetTable, ANumberThatIsNoneIsQuoted) {
  const Column column{.name = "n", .type = ::query::INT64, .column_type = "bigint"};
  std::string out;
  append_value_literal(out, column, ::query::INT64, "1); DROP TABLE t");
  EXPECT_EQ(out, "'1); DROP TABLE t'");
  for (const char* text : {"1", "-1", "1.5", "-1.5e-20", "2E+3", ".5"}) EXPECT_TRUE(is_plain_number(text)) << text;
  for (const char* text : {"", "-", "e5", "1 ", "0x10", "1-2", "nan", "1;"})
    EXPECT_FALSE(is_plain_number(text)) << text;
}

}  // namespace
}  // namespace vitrail::movement
