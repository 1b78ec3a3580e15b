#include "tablet/indirect_tables.h"

#include <gtest/gtest.h>

namespace vitrail::tablet {
namespace {

using Names = std::vector<std::string>;

TEST(IndirectTables, Views) {
  const SchemaLinks links{.views = {{"v", "select `db`.`T`.`id` AS `id` from `db`.`T`"},
                                    {"over_v", "select 1 from `db`.`v` join `db`.`other`"},
                                    {"harmless", "select `o`.`id` from `db`.`other` `o`"},
                                    {"with_code", "select `db`.`f`(1) AS `x` from `db`.`other`"}}};
  const Reach reach = reach_of({"t"}, links);
  EXPECT_EQ(reach.any, (Names{"over_v", "v", "with_code"}));
  EXPECT_EQ(reach.writes, Names{});
}

TEST(IndirectTables, Triggers) {
  const SchemaLinks links{.views = {{"v", "select 1 from `a`"}},
                          .triggers = {{"a", "insert into t(id) values (new.id)"},
                                       {"b", "begin update a set x = 1 where id = new.id; end"},
                                       {"c", "begin call p(new.id); end"},
                                       {"d", "set new.x = upper(new.x)"},
                                       {"e", "set new.x = my_function(new.x)"}}};
  const Reach reach = reach_of({"t"}, links);
  EXPECT_EQ(reach.any, Names{});
  EXPECT_EQ(reach.writes, (Names{"a", "b", "c", "e", "v"}));
}

TEST(IndirectTables, ForeignKeys) {
  const SchemaLinks links{.foreign_keys = {{"t", "parent", true},
                                           {"parent", "grandparent", true},
                                           {"t", "looked_up", false},
                                           {"other", "parent2", true}}};
  EXPECT_EQ(reach_of({"t"}, links).writes, (Names{"grandparent", "parent"}));
}

TEST(IndirectTables, NothingWithoutDeniedTables) {
  const SchemaLinks links{.views = {{"with_code", "select f(1)"}}};
  EXPECT_TRUE(reach_of({}, links).any.empty());
}

}  // namespace
}  // namespace vitrail::tablet
