#include "control/states/rules.h"

#include <algorithm>

namespace vitrail::control::states {
namespace {

bool same(const ::vschema::RoutingRule& a, const ::vschema::RoutingRule& b) {
  return a.from_table() == b.from_table() && std::ranges::equal(a.to_tables(), b.to_tables());
}

bool contains(const ::vschema::RoutingRules& rules, const ::vschema::RoutingRule& rule) {
  return std::ranges::any_of(rules.rules(), [&](const auto& other) { return same(rule, other); });
}

}  // namespace

bool is_about(const RuleNames& names, std::string_view from_table) {
  from_table = from_table.substr(0, from_table.find('@'));
  for (const std::string* keyspace : {&names.source_keyspace, &names.target_keyspace}) {
    if (from_table.starts_with(*keyspace + ".")) {
      from_table.remove_prefix(keyspace->size() + 1);
      break;
    }
  }
  return std::ranges::find(names.tables, from_table) != names.tables.end();
}

::vschema::RoutingRules select_rules(const ::vschema::RoutingRules& all, const RuleNames& names) {
  ::vschema::RoutingRules out;
  for (const auto& rule : all.rules()) {
    if (is_about(names, rule.from_table())) *out.add_rules() = rule;
  }
  return out;
}

::vschema::RoutingRules put_back(const ::vschema::RoutingRules& all, const RuleNames& names,
                                 const ::vschema::RoutingRules& saved) {
  ::vschema::RoutingRules out;
  for (const auto& rule : all.rules()) {
    if (!is_about(names, rule.from_table()) || contains(saved, rule)) *out.add_rules() = rule;
  }
  for (const auto& rule : saved.rules()) {
    if (!contains(out, rule)) *out.add_rules() = rule;
  }
  return out;
}

::vschema::RoutingRules without_source(const ::vschema::RoutingRules& saved, const RuleNames& names) {
  const auto is_dropped = [&](const std::string& to) {
    return std::ranges::any_of(names.tables,
                               [&](const std::string& table) { return to == names.source_keyspace + "." + table; });
  };
  ::vschema::RoutingRules out;
  for (const auto& rule : saved.rules()) {
    if (std::ranges::none_of(rule.to_tables(), is_dropped)) *out.add_rules() = rule;
  }
  return out;
}

}  // namespace vitrail::control::states
