#pragma once

#include <array>
#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/result.h"

namespace vitrail::shard {

// One column value as a vindex sees it. A view: bytes must outlive it.
//
// Integers of SQL (literals, bound parameters, integer columns of rows) come as kInt64 or kUint64; everything else,
// strings and the digits of decimal and floating-point values alike, comes as kBytes. Hexadecimal literals (0x8a1e,
// x'8a1e') come as kHex, decoded: bytes to a vindex of bytes, a big-endian number to a vindex of numbers.
class VindexValue {
 public:
  enum class Kind : uint8_t { kNull, kInt64, kUint64, kBytes, kHex };

  VindexValue() = default;  // NULL
  static VindexValue null() { return {}; }
  static VindexValue int64(int64_t value) { return {Kind::kInt64, static_cast<uint64_t>(value), {}}; }
  static VindexValue uint64(uint64_t value) { return {Kind::kUint64, value, {}}; }
  static VindexValue bytes(std::string_view value) { return {Kind::kBytes, 0, value}; }
  static VindexValue hex(std::string_view decoded) { return {Kind::kHex, 0, decoded}; }

  // The digits of a column of an integer type, as text rows carry them; leading zeros (ZEROFILL) do not matter.
  // kInvalidArgument if it is not a number of that type.
  static Result<VindexValue> integer_text(std::string_view digits, bool is_unsigned);

  Kind kind() const { return kind_; }
  bool is_null() const { return kind_ == Kind::kNull; }

  // As an unsigned number. Text may have spaces and tabs before and spaces after its digits, no sign; negative
  // integers, fractions, exponents, NULL and numbers above 2^64-1 have none.
  std::optional<uint64_t> to_u64() const;
  // The same, but a negative integer is taken modulo 2^64.
  std::optional<uint64_t> to_u64_wrapping() const;
  // As bytes: integers in decimal, NULL as nothing. May point into `scratch`.
  using Scratch = std::array<char, 24>;
  std::string_view to_bytes(Scratch& scratch) const;

 private:
  VindexValue(Kind kind, uint64_t number, std::string_view bytes) : bytes_(bytes), number_(number), kind_(kind) {}

  std::string_view bytes_;
  uint64_t number_ = 0;
  Kind kind_ = Kind::kNull;
};

inline std::optional<uint64_t> VindexValue::to_u64_wrapping() const {
  if (kind_ == Kind::kInt64 || kind_ == Kind::kUint64) return number_;
  return to_u64();
}

}  // namespace vitrail::shard
