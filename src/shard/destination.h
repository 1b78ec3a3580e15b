#pragma once

#include <cstdint>
#include <string>

#include "shard/key_range.h"
#include "shard/keyspace_id.h"

namespace vitrail::shard {

// Where rows with a given value can be: what a vindex maps that value to.
struct Destination {
  enum class Kind : uint8_t {
    kNone,        // Nowhere: no row can have this value.
    kKeyspaceId,  // `keyspace_id`
    kKeyRange,    // Anywhere in `key_range`.
    kAllShards,
  };
  Kind kind = Kind::kNone;
  KeyspaceId keyspace_id;
  KeyRange key_range;

  void set_none() { kind = Kind::kNone; }
  void set_all_shards() { kind = Kind::kAllShards; }
  void set_key_range(KeyRange range) {
    kind = Kind::kKeyRange;
    key_range = std::move(range);
  }
  void set_u64(uint64_t id);

  // "none", "all", "-80", "166b40b44aba4bd6": for logs and explanations.
  std::string to_string() const;
};

// Every id that starts with `prefix`: [prefix, prefix + 1). The end is open when the prefix is all ff; an empty prefix
// gives the whole key space.
KeyRange prefix_range(std::string_view prefix);

}  // namespace vitrail::shard
