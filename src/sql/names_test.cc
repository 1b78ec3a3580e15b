#include "sql/names.h"

#include <gtest/gtest.h>

#include "sql/printer.h"

namespace vitrail::sql {
namespace {

std::string named(std::string_view text) {
  auto ast = parse(text);
  if (!ast.ok()) return ast.error().message();
  keep_column_names(*ast);
  return print(ast->statement());
}

TEST(ColumnNames, AreThoseOfTheTextAsItWasWritten) {
  const std::pair<const char*, const char*> cases[] = {
      {"select COUNT( * ), id+1 from t", "select COUNT(*) as `COUNT( * )`, id + 1 as `id+1` from t"},
      {"select *, id, t.id, id + 1 as x from t", "select *, id, t.id, id + 1 as x from t"},
      {"select +id, + + id from t", "select +id, ++id from t"},
      {"select (select Max(a) from t)", "select (select Max(a) as `Max(a)` from t) as `(select Max(a) from t)`"},
      {"select x'41', date '2020-01-01'", "select x'41' as `x'41'`, date '2020-01-01' as `date '2020-01-01'`"},
  };
  for (const auto& [text, expected] : cases) EXPECT_EQ(named(text), expected) << text;
}

TEST(ColumnNames, AreLeftToServersWhereTheyNameByTheValue) {
  const std::pair<const char*, const char*> cases[] = {
      {"select distinct true, (FALSE), +true", "select distinct true, false, +true"},
      {"select (1), ((1.50)), (1e3), +1", "select 1, 1.50, 1e3, +1"},
      {"select 'a ', ('a'), 'a' 'b', n'a'", "select 'a ', 'a', 'a' 'b', n'a'"},
      {"select null, (Null), \\N", "select null as `NULL`, null as `NULL`, null as `NULL`"},
      {"select -1, (-1), not true", "select -1 as `-1`, -1 as `(-1)`, not true as `not true`"},
  };
  for (const auto& [text, expected] : cases) EXPECT_EQ(named(text), expected) << text;
}

}  // namespace
}  // namespace vitrail::sql
