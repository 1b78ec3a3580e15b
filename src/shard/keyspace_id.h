#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace vitrail::shard {

// Where a row lives within its keyspace: the bytes that a primary vindex computes from the row's sharding columns.
//
// Any length, also empty. Ids are left-justified fractions: bytes that are missing on the right count as zero, so 80,
// 8000 and 800000 are the same place. operator== compares the exact bytes (what verifying a row needs); place in the
// key space is compared with compare().
struct KeyspaceId {
  std::string bytes;

  static KeyspaceId from_bytes(std::string_view bytes) { return KeyspaceId{std::string(bytes)}; }
  // Eight bytes, big-endian.
  static KeyspaceId from_u64(uint64_t value);
  // Pairs of hex digits in either case, possibly none.
  static Result<KeyspaceId> from_hex(std::string_view hex);

  std::string to_hex() const;
  friend bool operator==(const KeyspaceId&, const KeyspaceId&) = default;
};

// Left-justified comparison of two positions in the key space.
std::strong_ordering compare(std::string_view a, std::string_view b);

// The position without its trailing zero bytes: two positions are the same place if and only if these are equal.
std::string_view normalize(std::string_view position);

}  // namespace vitrail::shard
