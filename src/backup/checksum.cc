#include "backup/checksum.h"

#include <fmt/core.h>

#include <array>
#include <cstring>

namespace vitrail::backup {
namespace {

constexpr uint32_t kPolynomial = 0x82f63b78;  // Reflected.

constexpr std::array<uint32_t, 256> make_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? kPolynomial : 0);
    table[i] = value;
  }
  return table;
}
constexpr auto kTable = make_table();

uint32_t add_by_table(uint32_t state, std::string_view bytes) {
  for (const char c : bytes) state = (state >> 8) ^ kTable[(state ^ static_cast<uint8_t>(c)) & 0xff];
  return state;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) uint32_t add_by_instruction(uint32_t state, std::string_view bytes) {
  uint64_t wide = state;
  while (bytes.size() >= 8) {
    uint64_t word;
    std::memcpy(&word, bytes.data(), 8);
    wide = __builtin_ia32_crc32di(wide, word);
    bytes.remove_prefix(8);
  }
  return add_by_table(static_cast<uint32_t>(wide), bytes);
}
#endif

}  // namespace

void Crc32c::add(std::string_view bytes) {
#if defined(__x86_64__)
  static const bool fast = __builtin_cpu_supports("sse4.2") != 0;
  if (fast) {
    state_ = add_by_instruction(state_, bytes);
    return;
  }
#endif
  state_ = add_by_table(state_, bytes);
}

std::string Crc32c::to_hex() const { return fmt::format("{:08x}", value()); }

}  // namespace vitrail::backup
