#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

// What a cluster in one process consists of.
namespace vitrail::combo {

inline constexpr uint32_t kTabletsMax = 64;  // Each has a MySQL server.

struct KeyspaceSpec {
  std::string name;
  std::vector<std::string> shards;  // "0" alone: not sharded.
  bool sharded() const { return shards.size() > 1; }
};
struct TabletSpec {
  uint32_t uid = 0;
  std::string keyspace;
  std::string shard;
  std::string type;    // To begin with: "replica" or "rdonly".
  bool first = false;  // Of its shard: becomes the primary.
};
struct Spec {
  std::vector<KeyspaceSpec> keyspaces;
  std::vector<TabletSpec> tablets;
};

// `num_shards`: one number for each keyspace, or one for all. `replicas`: tablets of a shard that may become its
// primary, the primary included. Uids are 100, 101 ... for the first shard, 200 ... for the next: the same arguments
// give the same cluster.
//   kInvalidArgument: names twice or impossible, numbers that do not fit, more than kTabletsMax tablets.
Result<Spec> make_spec(const std::vector<std::string>& keyspaces, const std::vector<std::string>& num_shards,
                       uint32_t replicas, uint32_t rdonlys);

}  // namespace vitrail::combo
