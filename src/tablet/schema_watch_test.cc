#include "tablet/schema_watch.h"

#include <gtest/gtest.h>

namespace vitrail::tablet {
namespace {

using Names = std::vector<std::string>;

TEST(SchemaWatch, NamesTablesThatWereMadeDroppedOrAltered) {
  const struct {
    SchemaState before, after;
    Names changed;
  } cases[] = {
      {{}, {}, {}},
      {{{"a", "1"}}, {{"a", "1"}}, {}},
      {{}, {{"a", "1"}, {"b", "1"}}, {"a", "b"}},
      {{{"a", "1"}, {"b", "1"}}, {}, {"a", "b"}},
      {{{"a", "1"}, {"c", "1"}, {"d", "1"}}, {{"b", "1"}, {"c", "2"}, {"d", "1"}}, {"a", "b", "c"}},
      {{{"b", "1"}}, {{"a", "1"}, {"b", "1"}, {"c", "1"}}, {"a", "c"}},
  };
  for (const auto& c : cases) EXPECT_EQ(changed_tables(c.before, c.after), c.changed);
}

}  // namespace
}  // namespace vitrail::tablet
