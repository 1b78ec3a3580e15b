#include "control/lookup_rows.h"

#include <gtest/gtest.h>

namespace vitrail::control {
namespace {

TEST(LookupRows, WhatComesBehindAKey) {
  EXPECT_EQ(behind({"a"}, {mysql::Value::of_int(-1)}), "(`a` > -1)");
  EXPECT_EQ(
      behind({"a", "b", "c"}, {mysql::Value::of_text("x"), mysql::Value::of_binary("y"), mysql::Value::of_uint(3)}),
      "((`a` > 'x') or (`a` = 'x' and `b` > _binary X'79') or (`a` = 'x' and `b` = _binary X'79' and `c` > 3))");
}

TEST(LookupRows, ValuesAreOfTheirColumnsTypes) {
  ::query::QueryResult result;
  for (const auto type : {::query::INT32, ::query::UINT64, ::query::VARCHAR, ::query::VARBINARY, ::query::VARCHAR}) {
    result.add_fields()->set_type(type);
  }
  ::query::Row row;
  for (const int64_t length : {2, 1, 3, 0, -1}) row.add_lengths(length);
  row.set_values("-57abc");
  EXPECT_EQ(values_of(result, row),
            (std::vector<mysql::Value>{mysql::Value::of_int(-5), mysql::Value::of_uint(7), mysql::Value::of_text("abc"),
                                       mysql::Value::of_binary(""), mysql::Value::null()}));
}

}  // namespace
}  // namespace vitrail::control
