#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "shard/key_range.h"

namespace vitrail::shard {

// The name of a shard, and the key range which that name says.
//
// "40-80": two hex bounds in pairs of digits, lower-cased, start below end. Without a dash ("0") the name is free and
// the shard holds the whole keyspace; its records then have no key range, while those of "-" have an empty one.
class ShardName {
 public:
  // kInvalidArgument for two dashes, an odd number of digits, other characters in a range, start at or above end; for a
  // free name that is empty, longer than 64 bytes, or has characters other than letters, digits, '_' and '.'.
  static Result<ShardName> parse(std::string_view text);

  const std::string& str() const { return name_; }
  // nullopt for a free name.
  const std::optional<KeyRange>& key_range() const { return range_; }
  // The whole key space for a free name.
  const KeyRange& covered_range() const;

  friend bool operator==(const ShardName& a, const ShardName& b) { return a.name_ == b.name_; }
  // By covered range, then by name: the order in which shards are listed and written to records.
  friend bool operator<(const ShardName& a, const ShardName& b);

 private:
  ShardName(std::string name, std::optional<KeyRange> range) : name_(std::move(name)), range_(std::move(range)) {}

  std::string name_;
  std::optional<KeyRange> range_;
};

// Parses all names; sorts them in the order above. An error names the first bad one.
Result<std::vector<ShardName>> parse_shard_names(std::span<const std::string> names);

// The shards that serve a keyspace for one tablet type, prepared for finding the owner of a keyspace id.
//
// Immutable; concurrent reads are safe. The set may have gaps (a lookup then misses). Lookup is a binary search, or for
// a set of overlapping shards (an unsharded keyspace with two names) the first in order that contains the id.
class ShardSet {
 public:
  ShardSet() = default;
  explicit ShardSet(std::vector<ShardName> shards);

  // Sorted.
  const std::vector<ShardName>& shards() const { return shards_; }
  size_t size() const { return shards_.size(); }
  bool empty() const { return shards_.empty(); }

  // Index into shards(); -1 when no shard owns the id.
  int find(std::string_view keyspace_id) const;
  int find_u64(uint64_t keyspace_id) const;
  // Indexes of all shards that own a part of `range`, ascending.
  std::vector<int> find_overlapping(const KeyRange& range) const;
  // The same for the ids from `first` to `last`, both included; none if last is below first.
  std::vector<int> find_between(std::string_view first, std::string_view last) const;
  // Indexes of consecutive shards that together are exactly `range`. kNotFound if its bounds are not bounds of shards,
  // or there is a gap.
  Result<std::vector<int>> find_exactly(const KeyRange& range) const;
  // Index of the shard of this name, or -1.
  int find_name(std::string_view name) const;

 private:
  // The last shard whose start is at or below the position; -1 if none.
  int last_starting_at_or_before(std::string_view position) const;

  std::vector<ShardName> shards_;
  std::vector<uint64_t> starts_u64_;  // Least eight-byte id at or above each start; only for disjoint sets.
  bool disjoint_ = true;
};

}  // namespace vitrail::shard
