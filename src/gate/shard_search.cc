#include "gate/shard_search.h"

#include <algorithm>
#include <string_view>

namespace vitrail::gate {

const ActiveShard* find_shard(std::span<const ActiveShard> shards, const shard::KeyspaceId& id) {
  const auto behind = std::ranges::upper_bound(shards, std::string_view(id.bytes), {}, [](const ActiveShard& shard) {
    return std::string_view(shard.range.start());
  });
  if (behind != shards.begin() && std::prev(behind)->range.contains(id)) return &*std::prev(behind);
  // An id shorter than the bound that it stands for; or there is a gap.
  const auto found = std::ranges::find_if(shards, [&](const ActiveShard& shard) { return shard.range.contains(id); });
  return found == shards.end() ? nullptr : &*found;
}

void each_shard(std::span<const ActiveShard> shards, const shard::Destination& destination,
                const std::function<void(size_t)>& use) {
  using Kind = shard::Destination::Kind;
  switch (destination.kind) {
    case Kind::kNone: return;
    case Kind::kKeyspaceId:
      if (const auto* shard = find_shard(shards, destination.keyspace_id)) {
        use(static_cast<size_t>(shard - shards.data()));
      }
      return;
    case Kind::kKeyRange:
    case Kind::kAllShards:
      for (size_t i = 0; i < shards.size(); ++i) {
        if (destination.kind == Kind::kAllShards || shards[i].range.intersects(destination.key_range)) use(i);
      }
      return;
  }
}

}  // namespace vitrail::gate
