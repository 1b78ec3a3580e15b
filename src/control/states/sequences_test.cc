#include "control/states/sequences.h"

#include <gtest/gtest.h>

namespace vitrail::control::states {
namespace {

using Keyspaces = std::map<std::string, ::vschema::Keyspace>;

void add_sequence(Keyspaces& all, const std::string& keyspace, const std::string& name) {
  (*all[keyspace].mutable_tables())[name].set_type("sequence");
}
void add_user(Keyspaces& all, const std::string& table, const std::string& sequence) {
  auto& increment = *(*all["customer"].mutable_tables())[table].mutable_auto_increment();
  increment.set_column("id");
  increment.set_sequence(sequence);
}

TEST(WorkflowSequences, AreThoseOfTheTargetsVSchema) {
  Keyspaces all;
  add_sequence(all, "commerce", "customer_seq");
  add_sequence(all, "commerce", "order_seq");
  add_sequence(all, "other", "order_seq");
  add_user(all, "customer", "customer_seq");
  add_user(all, "corder", "`commerce`.order_seq");
  (*all["customer"].mutable_tables())["plain"];
  const auto found = find_sequences(all, "customer", {"customer", "corder", "plain", "unknown"});
  ASSERT_TRUE(found.ok()) << found.error().message();
  EXPECT_EQ(*found, (std::vector<SequenceUse>{{"customer", "id", "commerce", "customer_seq"},
                                              {"corder", "id", "commerce", "order_seq"}}));
  EXPECT_TRUE(find_sequences(all, "customer", {"plain"})->empty());
  EXPECT_TRUE(find_sequences(all, "nowhere", {"customer"})->empty());
}

TEST(WorkflowSequences, MustBeThereOnce) {
  Keyspaces all;
  add_user(all, "customer", "customer_seq");
  (*all["commerce"].mutable_tables())["customer_seq"];  // Not of that type.
  EXPECT_NE(find_sequences(all, "customer", {"customer"}).error().message().find("no keyspace has"), std::string::npos);
  add_sequence(all, "a", "customer_seq");
  add_sequence(all, "b", "customer_seq");
  const auto twice = find_sequences(all, "customer", {"customer"});
  EXPECT_EQ(twice.error().code(), Code::kFailedPrecondition);
  EXPECT_NE(twice.error().message().find("several keyspaces have"), std::string::npos);
  add_user(all, "customer", "b.customer_seq");
  EXPECT_EQ(find_sequences(all, "customer", {"customer"})->front().sequence_keyspace, "b");
}

}  // namespace
}  // namespace vitrail::control::states
