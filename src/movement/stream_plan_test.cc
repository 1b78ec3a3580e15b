#include "movement/stream_plan.h"

#include <gtest/gtest.h>

namespace vitrail::movement {
namespace {

::binlogdata::Filter rules(std::initializer_list<std::pair<const char*, const char*>> list, const char* key = "") {
  ::binlogdata::Filter out;
  for (const auto& [match, filter] : list) {
    auto* rule = out.add_rules();
    rule->set_match(match);
    rule->set_filter(filter);
    rule->set_source_unique_key_columns(key);
  }
  return out;
}

TEST(StreamPlan, AsksTheSourceForItsOwnTables) {
  const auto plan = StreamPlan::create(rules({{"cproduct", "select * from product where id > 5"},
                                              {"same", "select id, v as w from same"},
                                              {"plain", ""},
                                              {"/x.*", "-80"}}));
  ASSERT_TRUE(plan.ok()) << plan.error().to_string();
  const auto& sent = plan->source_filter();
  EXPECT_EQ(sent.rules(0).match(), "product");
  EXPECT_EQ(sent.rules(0).filter(), "select * from product where id > 5");
  EXPECT_EQ(sent.rules(1).match(), "same");
  EXPECT_EQ(sent.rules(2).match(), "plain");
  EXPECT_EQ(sent.rules(3).match(), "/x.*");
  EXPECT_EQ(plan->target_of("product"), "cproduct");
  EXPECT_EQ(plan->target_of("plain"), "plain");
  EXPECT_EQ(plan->source_of("cproduct"), "product");
  EXPECT_EQ(plan->source_query("cproduct"), "select * from `product` where `id` > 5");
  EXPECT_EQ(plan->source_query("same"), "select `id`, `v` as `w` from `same`");
  EXPECT_EQ(plan->source_query("plain"), "");
}

TEST(StreamPlan, AsksForTheRowsThatAreAddedUp) {
  const auto plan =
      StreamPlan::create(rules({{"sales",
                                 "select pid, count(*) as kount, sum(price) as amount from orders where qty > 0 and "
                                 "in_keyrange(pid, 'customer.hash', '-80') group by pid"}},
                               "oid"));
  ASSERT_TRUE(plan.ok()) << plan.error().to_string();
  EXPECT_EQ(plan->source_filter().rules(0).match(), "orders");
  EXPECT_EQ(
      plan->source_filter().rules(0).filter(),
      "select `pid`, `price`, `oid` from `orders` where `qty` > 0 and in_keyrange(`pid`, 'customer.hash', '-80')");
  EXPECT_FALSE(StreamPlan::create(rules({{"s", "select a, count(*) as c from t group by a"}})).ok());
  EXPECT_FALSE(StreamPlan::create(rules({{"a", "select * from t"}, {"b", "select * from t"}})).ok());
}

TEST(StreamPlan, AsksForTheColumnsThatExpressionsRead) {
  const auto plan = StreamPlan::create(
      rules({{"u",
              "select id as ident, name, upper(name) as loud, concat(id, Note) as pair, -note as less from t where "
              "id > 5"}}));
  ASSERT_TRUE(plan.ok()) << plan.error().to_string();
  EXPECT_EQ(plan->source_filter().rules(0).filter(),
            "select `id` as `ident`, `name`, `Note` as `(note)` from `t` where `id` > 5");
  EXPECT_EQ(plan->source_query("u"), plan->source_filter().rules(0).filter());
  const auto& query = plan->find("u")->query;
  EXPECT_EQ(input_name(query, "ID"), "ident");
  EXPECT_EQ(input_name(query, "Note"), "(note)");
  EXPECT_EQ(query.items.size(), 5u);
}

TEST(StreamPlan, RefusesWhatCannotBeKept) {
  for (const char* filter :
       {"select a, count(*) from t group by a", "select a, b, count(*) as c from t group by a",
        "select count(*) as c from t", "select a from t group by a", "select count(*) as c from t group by a",
        "select a, max(b) as m from t group by a", "select a, count(b) as c from t group by a",
        "select a, count(distinct b) as c from t group by a", "select a, sum(b + 1) as s from t group by a",
        "select a, count(*) as c from t group by a having c > 1",
        "select a + 1 as b, count(*) as c from t group by a"}) {
    EXPECT_FALSE(StreamPlan::create(rules({{"t", filter}}, "id")).ok()) << filter;
  }
}

}  // namespace
}  // namespace vitrail::movement
