#include "gate/view.h"

#include <algorithm>

#include "topo/shard.h"
#include "topo/tablet.h"

namespace vitrail::gate {

const std::vector<ActiveShard>* View::find_shards(std::string_view keyspace, std::string_view tablet_type) const {
  const auto types = shards.find(keyspace);
  if (types == shards.end()) return nullptr;
  const auto found = types->second.find(tablet_type);
  return found == types->second.end() ? nullptr : &found->second;
}

const std::vector<Endpoint>* View::find_endpoints(const shard::Target& target) const {
  const auto found = endpoints.find(target.to_string());
  return found == endpoints.end() || found->second.empty() ? nullptr : &found->second;
}

void View::follow_shard_rule(shard::Target& target) const {
  if (vschema == nullptr || !vschema->has_shard_rules()) return;
  if (const auto serving = vschema->route_shard(target.keyspace, target.shard); serving != target.keyspace) {
    target.keyspace = std::string(serving);
  }
}

void fill_shards(View& view) {
  view.shards.clear();
  view.served_from.clear();
  for (const auto& [keyspace, record] : *view.topology->keyspaces) {
    for (const auto& redirect : record->served_from()) {
      view.served_from[keyspace + "@" + topo::tablet_type_to_string(redirect.tablet_type())] = redirect.keyspace();
    }
    auto& types = view.shards[keyspace];
    for (const auto& partition : record->partitions()) {
      auto& list = types[topo::tablet_type_to_string(partition.served_type())];
      for (const auto& reference : partition.shard_references()) {
        ActiveShard& active = list.emplace_back();
        active.name = reference.name();
        if (reference.has_key_range()) active.range = topo::from_proto(reference.key_range());
        for (const auto& control : partition.shard_tablet_controls()) {
          if (control.name() == reference.name() && control.query_service_disabled()) active.disabled = true;
        }
      }
      std::sort(list.begin(), list.end(), [](const ActiveShard& a, const ActiveShard& b) {
        return shard::compare(a.range, b.range) == std::strong_ordering::less;
      });
    }
  }
}

}  // namespace vitrail::gate
