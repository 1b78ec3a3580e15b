#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "shard/keyspace_id.h"

namespace vitrail::shard {

// The half-open interval [start, end) of the key space that one shard owns.
//
// Bounds are left-justified like keyspace ids: -80, 00-80 and 0000-8000 are the same range. An end without non-zero
// byte is the end of the key space. The bytes are kept as they were given, because records and shard names show them.
// Immutable, so the bounds for eight-byte ids (nearly all there are) are computed once.
class KeyRange {
 public:
  // The whole key space.
  KeyRange() { prepare(); }
  // No check: a range whose start is at or above its end contains nothing. parse() refuses those.
  KeyRange(std::string start, std::string end) : start_(std::move(start)), end_(std::move(end)) { prepare(); }

  // "-", "-80", "80-", "40-80": hex digits in pairs, either case, exactly one dash, start below end.
  static Result<KeyRange> parse(std::string_view text);

  const std::string& start() const { return start_; }
  const std::string& end() const { return end_; }

  bool contains(const KeyspaceId& id) const { return contains_bytes(id.bytes); }
  bool contains_bytes(std::string_view id) const;
  // The same for the id of eight big-endian bytes; for filters that run once per row.
  bool contains_u64(uint64_t id) const noexcept { return id >= first_u64_ && id <= last_u64_; }
  bool contains(const KeyRange& other) const;
  bool intersects(const KeyRange& other) const;
  bool is_complete() const;
  // This range ends exactly where `next` starts.
  bool is_followed_by(const KeyRange& next) const;

  // The range of both, if they touch (in either order) without overlapping.
  static std::optional<KeyRange> join(const KeyRange& a, const KeyRange& b);

  // Same place, whatever the number of trailing zeros.
  friend bool operator==(const KeyRange& a, const KeyRange& b);

  // "-80", "40-80", "-" for the whole key space.
  std::string to_string() const;

 private:
  void prepare();

  std::string start_;
  std::string end_;
  uint64_t first_u64_ = 0;          // Least and greatest eight-byte id inside;
  uint64_t last_u64_ = UINT64_MAX;  // first > last when there is none.
};

std::strong_ordering compare_starts(const KeyRange& a, const KeyRange& b);
std::strong_ordering compare_ends(const KeyRange& a, const KeyRange& b);
// By start, then by end.
std::strong_ordering compare(const KeyRange& a, const KeyRange& b);

// The ranges tile the whole key space without gap or overlap. The order does not matter. The error
// (kFailedPrecondition) names the ranges between which the first fault lies.
Status check_complete(std::span<const KeyRange> ranges);

// Do two sets of ranges cover the same part of the key space, each without gap or overlap? The precondition of a
// reshard, where sources and targets need not be complete. Error text as above.
Status check_same_cover(std::span<const KeyRange> a, std::span<const KeyRange> b);

// "-40-80-c0-" -> -40, 40-80, 80-c0, c0-.
Result<std::vector<KeyRange>> parse_sharding_spec(std::string_view spec);

// `count` shard names of equal width: one is "-", up to 256 have bounds of two hex digits, up to 65536 of four. Bound i
// is floor(i * 16^digits / count). With `hex_digits` (1 to 8) the width is given; an odd one yields names that are for
// display only. At most 65536 shards.
Result<std::vector<std::string>> generate_shard_ranges(int count, int hex_digits = 0);

// Range `index` of `count` equal ones; `count` is a power of two up to 65536.
Result<KeyRange> even_shard_range(int index, int count);

}  // namespace vitrail::shard
