#include "plan/key_list.h"

#include <gtest/gtest.h>

namespace vitrail::plan {
namespace {

using Chosen = std::vector<std::vector<size_t>>;

std::string split(std::string_view text, uint32_t conjunct, size_t values, const Chosen& chosen) {
  const auto texts = split_key_list(text, conjunct, values, chosen);
  if (!texts) return "none";
  std::string out;
  for (const auto& one : *texts) out += (out.empty() ? "" : " | ") + one;
  return out;
}

TEST(KeyList, EachShardIsAskedForItsOwnValues) {
  EXPECT_EQ(split("select a from t where id in (1, 22, -3)", 0, 3, {{0, 2}, {1}}),
            "select a from t where (id in (1, -3)) | select a from t where (id in (22))");
  EXPECT_EQ(split("select a + 1 from t where x = 5 and (id in (1, 2)) and y in (1, 2)", 1, 2, {{1}, {0}}),
            "select a + 1 as `a + 1` from t where x = 5 and (id in (2)) and y in (1, 2) | "
            "select a + 1 as `a + 1` from t where x = 5 and (id in (1)) and y in (1, 2)");
  EXPECT_EQ(split("delete from t where (a, id) in ((1, 2), ('x', 4))", 0, 2, {{0}, {1}}),
            "delete from t where ((a, id) in ((1, 2))) | delete from t where ((a, id) in (('x', 4)))");
  EXPECT_EQ(split("update t set a = 1 where id in (7, 8)", 0, 2, {{}, {0, 1}}),
            "update t set a = 1 where id in (7, 8) | update t set a = 1 where id in (7, 8)");
}

TEST(KeyList, AnotherListStays) {
  EXPECT_EQ(split("select a from t where id in (1, 2)", 1, 2, {{0}, {1}}), "none");
  EXPECT_EQ(split("select a from t where id in (1, 2, 3)", 0, 2, {{0}, {1}}), "none");
  EXPECT_EQ(split("select a from t where id not in (1, 2)", 0, 2, {{0}, {1}}), "none");
  EXPECT_EQ(split("select a from t where id = 1", 0, 1, {{0}}), "none");
  EXPECT_EQ(split("select a from", 0, 1, {{0}}), "none");
}

}  // namespace
}  // namespace vitrail::plan
