#include "movement/table_schema.h"

#include <gtest/gtest.h>

namespace vitrail::movement {
namespace {

TEST(TableSchema, FieldsTellKeysAndWhatMayBeNull) {
  const struct {
    Column column;
    uint32_t flags;
  } cases[] = {
      {{.name = "id", .type = ::query::INT64, .nullable = false, .key_flags = ::query::PRI_KEY_FLAG},
       ::query::NOT_NULL_FLAG | ::query::PRI_KEY_FLAG | ::query::NUM_FLAG | ::query::BINARY_FLAG},
      {{.name = "n", .type = ::query::UINT32}, ::query::NUM_FLAG | ::query::UNSIGNED_FLAG | ::query::BINARY_FLAG},
      {{.name = "u",
        .type = ::query::VARCHAR,
        .character_set = "utf8mb4",
        .nullable = false,
        .key_flags = ::query::UNIQUE_KEY_FLAG},
       ::query::NOT_NULL_FLAG | ::query::UNIQUE_KEY_FLAG},
      {{.name = "e", .type = ::query::ENUM, .character_set = "utf8mb4"}, ::query::ENUM_FLAG},
      {{.name = "s", .type = ::query::SET, .character_set = "utf8mb4"}, ::query::SET_FLAG},
      {{.name = "b", .type = ::query::BLOB}, ::query::BINARY_FLAG}};
  for (const auto& [column, flags] : cases) EXPECT_EQ(to_field(column, "t", "d").flags(), flags) << column.name;
}

}  // namespace
}  // namespace vitrail::movement
