#include "control/workflow/tenant.h"

#include <gtest/gtest.h>

namespace vitrail::control {
namespace {

using ::topodata::PRIMARY;
using ::topodata::RDONLY;
using ::topodata::REPLICA;

std::vector<std::string> texts(const ::vschema::KeyspaceRoutingRules& rules) {
  std::vector<std::string> out;
  for (const auto& rule : rules.rules()) out.push_back(rule.from_keyspace() + " > " + rule.to_keyspace());
  return out;
}

TEST(Tenant, IsReadByTheVschema) {
  ::vschema::Keyspace vschema;
  EXPECT_EQ(read_tenant("7", "all", vschema).error().code(), Code::kFailedPrecondition);
  vschema.mutable_multi_tenant_spec()->set_tenant_id_column_name("tenant id");
  vschema.mutable_multi_tenant_spec()->set_tenant_id_column_type(::query::INT64);
  const auto number = read_tenant("07", "all", vschema);
  ASSERT_TRUE(number.ok());
  EXPECT_EQ(number->condition(), "`tenant id` = 7");
  EXPECT_EQ(read_tenant("7 or 1", "all", vschema).error().code(), Code::kInvalidArgument);
  EXPECT_EQ(read_tenant("", "all", vschema).error().code(), Code::kInvalidArgument);
  vschema.mutable_multi_tenant_spec()->set_tenant_id_column_type(::query::VARCHAR);
  const auto text = read_tenant("o'neil", "all", vschema);
  ASSERT_TRUE(text.ok());
  EXPECT_EQ(text->condition(), "`tenant id` = 'o''neil'");
  vschema.mutable_multi_tenant_spec()->set_tenant_id_column_type(::query::FLOAT64);
  EXPECT_EQ(read_tenant("7", "all", vschema).error().code(), Code::kFailedPrecondition);
}

TEST(Tenant, NarrowsAFilter) {
  const Tenant tenant{"7", "tenant", "7"};
  EXPECT_EQ(with_tenant("select * from t", tenant), "select * from t where tenant = 7");
  EXPECT_EQ(with_tenant("select * from `a where b`", tenant), "select * from `a where b` where tenant = 7");
  EXPECT_EQ(with_tenant("select * from t where in_keyrange(id, 'k.h', '-80')", tenant),
            "select * from t where in_keyrange(id, 'k.h', '-80') and tenant = 7");
}

TEST(Tenant, RulesLeadTheSourceAndNobodyElse) {
  ::vschema::KeyspaceRoutingRules rules;
  auto* other = rules.add_rules();
  other->set_from_keyspace("acmexx");
  other->set_to_keyspace("elsewhere");
  for (int i = 0; i < 2; ++i) route_tenant(rules, "acme", "acme", {PRIMARY, REPLICA, RDONLY});
  EXPECT_EQ(texts(rules), (std::vector<std::string>{"acmexx > elsewhere", "acme > acme", "acme@replica > acme",
                                                    "acme@rdonly > acme"}));
  EXPECT_TRUE(check_tenant_rules(rules, "acme").ok());
  const auto state = [&] { return tenant_state("acme", "all", {{"zone1", rules}}, rules).to_string(); };
  EXPECT_EQ(state(), "Reads Not Switched. Writes Not Switched");
  for (int i = 0; i < 2; ++i) route_tenant(rules, "acme", "all", {REPLICA, RDONLY});
  EXPECT_EQ(state(), "All Reads Switched. Writes Not Switched");
  EXPECT_FALSE(check_tenant_rules(rules, "acme").ok());
  route_tenant(rules, "acme", "acme", {RDONLY});
  EXPECT_NE(state().find("Reads partially switched"), std::string::npos);
  route_tenant(rules, "acme", "all", {PRIMARY, RDONLY});
  EXPECT_EQ(state(), "All Reads Switched. Writes Switched");
  for (int i = 0; i < 2; ++i) delete_tenant_rules(rules, "acme");
  EXPECT_EQ(texts(rules), std::vector<std::string>{"acmexx > elsewhere"});
}

}  // namespace
}  // namespace vitrail::control
