#include "control/states/rules.h"

#include <gtest/gtest.h>

namespace vitrail::control::states {
namespace {

// "a>b c>d"
::vschema::RoutingRules rules(const std::string& text) {
  ::vschema::RoutingRules out;
  size_t start = 0;
  while (start < text.size()) {
    const size_t end = std::min(text.find(' ', start), text.size());
    const std::string one = text.substr(start, end - start);
    auto* rule = out.add_rules();
    rule->set_from_table(one.substr(0, one.find('>')));
    rule->add_to_tables(one.substr(one.find('>') + 1));
    start = end + 1;
  }
  return out;
}

std::string text_of(const ::vschema::RoutingRules& all) {
  std::string out;
  for (const auto& rule : all.rules()) out += (out.empty() ? "" : " ") + rule.from_table() + ">" + rule.to_tables(0);
  return out;
}

const RuleNames kNames{.source_keyspace = "commerce", .target_keyspace = "customer", .tables = {"customer", "corder"}};

TEST(WorkflowRules, AreThoseOfItsTablesInItsKeyspaces) {
  for (const char* name : {"customer", "corder@replica", "commerce.customer", "customer.corder@rdonly"}) {
    EXPECT_TRUE(is_about(kNames, name)) << name;
  }
  for (const char* name : {"product", "commerce.product", "other.customer", "customers", "commerce", "customer.product",
                           "commerce.customer2@replica"}) {
    EXPECT_FALSE(is_about(kNames, name)) << name;
  }
}

TEST(WorkflowRules, ArePutBackAndThoseOfOthersStay) {
  const auto before = rules("product>commerce.product corder>legacy.corder zz>other.zz");
  const auto saved = select_rules(before, kNames);
  EXPECT_EQ(text_of(saved), "corder>legacy.corder");
  const auto switched = rules(
      "product>commerce.product zz>other.zz customer>customer.customer commerce.corder>customer.corder "
      "corder>customer.corder new>commerce.new");
  EXPECT_EQ(text_of(put_back(switched, kNames, saved)),
            "product>commerce.product zz>other.zz new>commerce.new corder>legacy.corder");
  // And the other way round, to what was saved when primaries were switched.
  const auto saved_switched = select_rules(switched, kNames);
  EXPECT_EQ(text_of(put_back(before, kNames, saved_switched)),
            "product>commerce.product zz>other.zz customer>customer.customer commerce.corder>customer.corder "
            "corder>customer.corder");
  // Twice is once, and what is right already stays in its place.
  EXPECT_EQ(text_of(put_back(before, kNames, saved)), text_of(before));
  EXPECT_EQ(text_of(put_back(switched, kNames, saved_switched)), text_of(switched));
}

}  // namespace
TEST(WorkflowRules, ThatLeadToDroppedTablesAreNotPutBack) {
  // Left behind by a workflow in the other direction that was completed behind its reverse cutover.
  const auto saved = rules(
      "customer>commerce.customer customer.customer>commerce.customer customer@replica>commerce.customer "
      "corder>legacy.corder product>commerce.product");
  EXPECT_EQ(text_of(without_source(saved, kNames)), "corder>legacy.corder product>commerce.product");
}

}  // namespace vitrail::control::states
