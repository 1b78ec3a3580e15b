#include "plan/lookup_text.h"

#include <gtest/gtest.h>

namespace vitrail::plan {
namespace {

std::shared_ptr<const shard::Lookup> make(std::string_view type) {
  return *shard::create_lookup(type, "v", {{"table", "look.names"}, {"from", "a,b"}, {"to", "k"}});
}

TEST(LookupText, Statements) {
  const auto lookup = make("lookup");
  const std::vector<mysql::Value> values = {mysql::Value::of_int(1), mysql::Value::of_text("x'y")};
  EXPECT_EQ(lookup_select(*lookup, std::vector<size_t>{0, 1}, values, false, " for update"),
            "select `k` from `look`.`names` where `a` = 1 and `b` = 'x''y' for update");
  EXPECT_EQ(lookup_select(*lookup, std::vector<size_t>{0}, values, true, ""),
            "select `k` from `look`.`names` where `a` in (1, 'x''y')");
  const auto id = *shard::KeyspaceId::from_hex("166b");
  const std::vector<LookupRow> rows = {*lookup_row(*lookup, values, id, "utf8mb4"),
                                       *lookup_row(*lookup, values, id, "utf8mb4")};
  EXPECT_EQ(lookup_insert(*lookup, rows),
            "insert into `look`.`names`(`a`, `b`, `k`) values (1, 'x''y', _binary X'166B'), (1, 'x''y', _binary "
            "X'166B') on duplicate key update `k` = values(`k`)");
  EXPECT_EQ(lookup_insert(*make("lookup_unique"), {&rows[0], 1}),
            "insert into `look`.`names`(`a`, `b`, `k`) values (1, 'x''y', _binary X'166B')");
  EXPECT_EQ(lookup_condition(*lookup, {&rows[0], 1}), "(`a` = 1 and `b` = 'x''y' and `k` = _binary X'166B')");
  EXPECT_EQ(shown_values(values), "'1-x'y'");
}

TEST(LookupText, HashedFormsStoreNumbers) {
  const auto lookup = make("lookup_unicodeloosemd5_hash");
  const auto id = *shard::KeyspaceId::from_hex("166b40b44aba4bd6");
  const std::vector<mysql::Value> values = {mysql::Value::of_text("T\xe9st"), mysql::Value::null()};
  const auto row = lookup_row(*lookup, values, id, "latin1");
  ASSERT_TRUE(row.ok());
  EXPECT_EQ(*row,
            (LookupRow{mysql::Value::of_uint(0x0b5edbb401fd7524), mysql::Value::null(), mysql::Value::of_uint(1)}));
  EXPECT_FALSE(lookup_row(*lookup, values, *shard::KeyspaceId::from_hex("16"), "latin1").ok());
}

}  // namespace
}  // namespace vitrail::plan
