#include "control/served_from.h"

#include <algorithm>

#include "topo/keyspace.h"
#include "topo/locks.h"
#include "topo/srv_keyspace.h"
#include "topo/tablet.h"
#include "topo/vschema.h"

namespace vitrail::control {
namespace {

std::string rule_name(std::string_view keyspace, ::topodata::TabletType type) {
  return std::string(keyspace) + "@" + topo::tablet_type_to_string(type);
}

}  // namespace

net::Task<Result<ServedFrom>> get_served_from(topo::Server& topology, std::string keyspace) {
  CO_ASSIGN_OR_RETURN(const auto exists, co_await topo::get_keyspace(topology, keyspace));
  CO_ASSIGN_OR_RETURN(const auto stored, co_await topo::get_keyspace_routing_rules(topology));
  ServedFrom out;
  for (const auto type : topo::kServedTypes) {
    for (const auto& rule : stored.rules.rules()) {
      if (rule.from_keyspace() == rule_name(keyspace, type)) out[type] = rule.to_keyspace();
    }
  }
  co_return out;
}

net::Task<Status> set_served_from(topo::Server& topology, std::string keyspace, ::topodata::TabletType type,
                                  std::string source) {
  if (!topo::is_serving_type(type)) {
    co_return fail(Code::kInvalidArgument, "keyspace " + keyspace + ": " + topo::tablet_type_to_string(type) +
                                               " tablets serve no queries; give primary, replica or rdonly");
  }
  if (source == keyspace) {
    co_return fail(Code::kInvalidArgument, "keyspace " + keyspace + " cannot be served from itself");
  }
  CO_ASSIGN_OR_RETURN(const auto exists, co_await topo::get_keyspace(topology, keyspace));
  if (!source.empty()) {
    CO_ASSIGN_OR_RETURN(const auto source_exists, co_await topo::get_keyspace(topology, source));
  }
  CO_ASSIGN_OR_RETURN(auto lock, co_await topo::RoutingRulesLock::acquire(topology, "SetKeyspaceServedFrom"));
  topo::UpdateFn<::vschema::KeyspaceRoutingRules> set =
      [name = rule_name(keyspace, type), source](::vschema::KeyspaceRoutingRules& rules) -> Result<bool> {
    auto& list = *rules.mutable_rules();
    const auto rule = std::ranges::find(list, name, &::vschema::KeyspaceRoutingRule::from_keyspace);
    if (source.empty()) {
      if (rule == list.end()) return false;
      list.erase(rule);
      return true;
    }
    auto* target = rule == list.end() ? rules.add_rules() : &*rule;
    target->set_from_keyspace(name);
    target->set_to_keyspace(source);
    return true;
  };
  auto updated = co_await topo::update_keyspace_routing_rules(topology, std::move(set));
  Status released = co_await lock.release();
  if (!updated.ok()) co_return std::move(updated).error();
  co_return released;
}

}  // namespace vitrail::control
