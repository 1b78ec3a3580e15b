#pragma once

#include <string>
#include <vector>

#include "vschema.pb.h"

// Which routing rules belong to a workflow, and how they are put back: pure functions.
namespace vitrail::control::states {

struct RuleNames {
  std::string source_keyspace;
  std::string target_keyspace;
  std::vector<std::string> tables;
};

// Whether a rule for this name ("customer", "commerce.customer@replica") is about the workflow's tables.
bool is_about(const RuleNames& names, std::string_view from_table);
// The rules of `all` that are about them.
::vschema::RoutingRules select_rules(const ::vschema::RoutingRules& all, const RuleNames& names);
// Those of `all` about other tables, unchanged and in their order, and behind them `saved`. Rules that `all` has as
// `saved` says stay in their places.
::vschema::RoutingRules put_back(const ::vschema::RoutingRules& all, const RuleNames& names,
                                 const ::vschema::RoutingRules& saved);
// Without the rules that lead to the workflow's tables in its source keyspace: a cutover has dropped these.
::vschema::RoutingRules without_source(const ::vschema::RoutingRules& saved, const RuleNames& names);

}  // namespace vitrail::control::states
