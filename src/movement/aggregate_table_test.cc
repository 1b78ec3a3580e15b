#include "movement/aggregate_table.h"

#include <gtest/gtest.h>

namespace vitrail::movement {
namespace {

using Fields = google::protobuf::RepeatedPtrField<::query::Field>;

Fields fields(std::initializer_list<std::pair<const char*, ::query::Type>> list) {
  Fields out;
  for (const auto& [name, type] : list) {
    auto* field = out.Add();
    field->set_name(name);
    field->set_type(type);
  }
  return out;
}

::query::Row row(std::initializer_list<const char*> cells) {
  ::query::Row out;
  for (const char* cell : cells) append_cell(out, cell == nullptr ? mysql::Cell() : mysql::Cell(cell));
  return out;
}

::query::QueryResult key(std::initializer_list<const char*> cells) {
  ::query::QueryResult out;
  for (size_t i = 0; i < cells.size(); ++i) out.add_fields()->set_name("oid");
  *out.add_rows() = row(cells);
  return out;
}

class Aggregates : public ::testing::Test {
 protected:
  Aggregates() {
    target_.name = "sales";
    target_.columns = {{"pid", ::query::INT32, "int"},
                       {"kount", ::query::INT64, "bigint"},
                       {"amount", ::query::DECIMAL, "decimal(20,2)"}};
    target_.identity = {0};
    std::string table;
    plan_.target = "sales";
    plan_.query =
        *parse_row_query("select pid, count(*) as kount, sum(price) as amount from orders group by pid", plan_.source);
    plan_.source_key = {"oid"};
  }
  Result<AggregateTable> bind(const Fields& from) { return AggregateTable::bind(target_, "db", plan_, from); }

  TableSchema target_;
  TablePlan plan_;
  const Fields sent_ = fields({{"pid", ::query::INT32}, {"price", ::query::DECIMAL}, {"oid", ::query::INT64}});
};

TEST_F(Aggregates, CountAndTakeAway) {
  auto table = bind(sent_);
  ASSERT_TRUE(table.ok()) << table.error().to_string();
  std::vector<std::string> statements;
  ASSERT_TRUE(table->add(row({"7", "1.50", "1"}), statements).ok());
  ASSERT_TRUE(table->add(row({"8", "2.00", "2"}), statements).ok());
  ASSERT_TRUE(table->remove(row({"7", "-1.50", "1"}), statements).ok());
  ASSERT_TRUE(table->add(row({"9", "3", "3"}), statements).ok());
  const std::string tail =
      " ON DUPLICATE KEY UPDATE `kount` = `kount` + VALUES(`kount`), `amount` = `amount` + VALUES(`amount`)";
  EXPECT_EQ(statements,
            (std::vector<std::string>{
                "INSERT INTO `db`.`sales` (`pid`, `kount`, `amount`) VALUES (7,1,1.50),(8,1,2.00)" + tail,
                "UPDATE `db`.`sales` SET `kount` = `kount` - (1), `amount` = `amount` - (-1.50) WHERE `pid` = 7",
                "DELETE FROM `db`.`sales` WHERE `pid` = 7 AND `kount` = 0",
                "INSERT INTO `db`.`sales` (`pid`, `kount`, `amount`) VALUES (9,1,3)" + tail}));
  EXPECT_FALSE(table->add(row({"9", nullptr, "3"}), statements).ok()) << "NULL has no sum";
  EXPECT_FALSE(table->remove(row({nullptr, "1", "3"}), statements).ok() && false);
}

TEST_F(Aggregates, CountRowsThatAreCopiedOnly) {
  auto table = bind(sent_);
  ASSERT_TRUE(table.ok());
  EXPECT_TRUE(*table->is_copied(row({"7", "1", "99"})));
  ASSERT_TRUE(table->set_copied(::query::QueryResult()).ok());
  EXPECT_FALSE(*table->is_copied(row({"7", "1", "-5"})));
  ASSERT_TRUE(table->set_copied(key({"10"})).ok());
  EXPECT_TRUE(*table->is_copied(row({"7", "1", "10"})));
  EXPECT_TRUE(*table->is_copied(row({"7", "1", "-11"})));
  EXPECT_TRUE(*table->is_copied(row({"7", "1", "9"})));
  EXPECT_FALSE(*table->is_copied(row({"7", "1", "11"})));
  EXPECT_FALSE(*table->is_copied(row({"7", "1", "18446744073709551615"})));
  ASSERT_TRUE(table->set_copied(std::nullopt).ok());
  EXPECT_TRUE(*table->is_copied(row({"7", "1", "11"})));
  EXPECT_FALSE(table->set_copied(key({"ten"})).ok());
}

TEST_F(Aggregates, RefuseWhatCannotBeAddedUp) {
  EXPECT_FALSE(bind(fields({{"pid", ::query::INT32}, {"price", ::query::FLOAT64}, {"oid", ::query::INT64}})).ok());
  EXPECT_FALSE(bind(fields({{"pid", ::query::INT32}, {"price", ::query::DECIMAL}, {"oid", ::query::VARCHAR}})).ok());
  EXPECT_FALSE(bind(fields({{"pid", ::query::INT32}, {"oid", ::query::INT64}})).ok());
  target_.identity = {1};
  EXPECT_FALSE(bind(sent_).ok());
  target_.identity = {0};
  target_.columns[1].name = "other";
  EXPECT_FALSE(bind(sent_).ok());
}

}  // namespace
}  // namespace vitrail::movement
