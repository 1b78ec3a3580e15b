#pragma once

#include <bit>
#include <cstdint>

namespace vitrail::shard {

namespace des {
// For two neighbouring S-boxes (ten bits of the rotated half block), what they and the permutation P contribute.
struct PairTable {
  uint32_t of[4][1024];
};
extern const PairTable kPairs;
}  // namespace des

// The function of vindex `hash`: one block of DES (FIPS 46-3) in ECB mode with the key of eight zero bytes. The id is
// the result's eight bytes, big-endian. Its own inverse, because that key is weak. About 100 ns, no allocation.
inline uint64_t hash_u64(uint64_t value) noexcept;

namespace des {

// Exchanges the bits of `a` under mask << shift with those of `b` under mask.
inline void swap_bits(uint32_t& a, uint32_t& b, int shift, uint32_t mask) noexcept {
  const uint32_t t = ((a >> shift) ^ b) & mask;
  b ^= t;
  a ^= t << shift;
}

// Every round key of the zero key is zero, so a round is only expansion, S-boxes and P. A half block rotated right by
// one has the first S-box's six bits on top; two boxes see ten bits together, because their neighbours' edges overlap.
inline uint32_t round(uint32_t half) noexcept {
  const uint32_t r = std::rotr(half, 1);
  return kPairs.of[0][r >> 22] ^ kPairs.of[1][r >> 14 & 1023] ^ kPairs.of[2][r >> 6 & 1023] ^
         kPairs.of[3][std::rotl(r, 2) & 1023];
}

}  // namespace des

inline uint64_t hash_u64(uint64_t value) noexcept {
  uint32_t left = static_cast<uint32_t>(value >> 32);
  uint32_t right = static_cast<uint32_t>(value);
  // The initial permutation is five exchanges of bit planes.
  des::swap_bits(left, right, 4, 0x0f0f0f0f);
  des::swap_bits(left, right, 16, 0x0000ffff);
  des::swap_bits(right, left, 2, 0x33333333);
  des::swap_bits(right, left, 8, 0x00ff00ff);
  des::swap_bits(left, right, 1, 0x55555555);
  for (int i = 0; i < 8; ++i) {
    left ^= des::round(right);
    right ^= des::round(left);
  }
  // The halves change places, and the exchanges are undone.
  uint32_t high = right;
  uint32_t low = left;
  des::swap_bits(high, low, 1, 0x55555555);
  des::swap_bits(low, high, 8, 0x00ff00ff);
  des::swap_bits(low, high, 2, 0x33333333);
  des::swap_bits(high, low, 16, 0x0000ffff);
  des::swap_bits(high, low, 4, 0x0f0f0f0f);
  return static_cast<uint64_t>(high) << 32 | low;
}

// The inverse of hash_u64.
inline uint64_t unhash_u64(uint64_t id) noexcept { return hash_u64(id); }

}  // namespace vitrail::shard
