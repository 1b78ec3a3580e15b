#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace vitrail::mysql {

using BinlogBytes = std::span<const uint8_t>;

inline std::string_view as_text(BinlogBytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

inline BinlogBytes as_bytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// Reads little-endian fields of an event from front to back.
//
// Reading past the end gives zeros and empty spans, and is remembered: callers read a whole structure and check ok()
// once before they believe any of it.
class BinlogReader {
 public:
  explicit BinlogReader(BinlogBytes bytes) : at_(bytes.data()), end_(bytes.data() + bytes.size()) {}

  bool ok() const { return ok_; }
  size_t remaining() const { return static_cast<size_t>(end_ - at_); }
  BinlogBytes rest() const { return {at_, remaining()}; }

  uint8_t u8() { return static_cast<uint8_t>(little_endian(1)); }
  uint16_t u16() { return static_cast<uint16_t>(little_endian(2)); }
  uint32_t u32() { return static_cast<uint32_t>(little_endian(4)); }
  uint64_t u48() { return little_endian(6); }
  uint64_t u64() { return little_endian(8); }

  // `width` from 0 to 8 bytes.
  uint64_t little_endian(size_t width) {
    if (!need(width)) return 0;
    uint64_t value = 0;
    for (size_t i = width; i-- > 0;) value = value << 8 | at_[i];
    at_ += width;
    return value;
  }
  uint64_t big_endian(size_t width) {
    if (!need(width)) return 0;
    uint64_t value = 0;
    for (size_t i = 0; i < width; ++i) value = value << 8 | at_[i];
    at_ += width;
    return value;
  }
  // Length-encoded integer of the client protocol; its NULL (251) and error (255) markers count as malformed.
  uint64_t lenenc() {
    const uint8_t first = u8();
    switch (first) {
      case 251:
      case 255: ok_ = false; return 0;
      case 252: return little_endian(2);
      case 253: return little_endian(3);
      case 254: return little_endian(8);
      default: return first;
    }
  }
  BinlogBytes bytes(uint64_t size) {
    if (!need(size)) return {};
    const BinlogBytes taken(at_, static_cast<size_t>(size));
    at_ += size;
    return taken;
  }
  std::string_view text(uint64_t size) { return as_text(bytes(size)); }
  void skip(uint64_t size) {
    if (need(size)) at_ += size;
  }

 private:
  bool need(uint64_t size) {
    if (size <= remaining() && ok_) return true;
    ok_ = false;
    at_ = end_;
    return false;
  }

  const uint8_t* at_;
  const uint8_t* end_;
  bool ok_ = true;
};

}  // namespace vitrail::mysql
