#include "base/random.h"

#include <sys/random.h>

#include <array>
#include <cstring>

#include "base/check.h"

namespace vitrail::base {
namespace {

class SystemRandom final : public Random {
 public:
  void fill(std::span<uint8_t> out) override {
    size_t done = 0;
    while (done < out.size()) {
      const ssize_t got = getrandom(out.data() + done, out.size() - done, 0);
      CHECK(got > 0);
      done += static_cast<size_t>(got);
    }
  }
};

}  // namespace

uint64_t Random::next_u64() {
  std::array<uint8_t, 8> bytes;
  fill(bytes);
  uint64_t value;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

uint64_t Random::below(uint64_t bound) {
  CHECK(bound > 0);
  const uint64_t limit = UINT64_MAX - UINT64_MAX % bound;  // Reject the uneven tail, so that every value is as likely.
  for (;;) {
    const uint64_t value = next_u64();
    if (value < limit) return value % bound;
  }
}

std::string Random::uuid() {
  std::array<uint8_t, 16> b;
  fill(b);
  b[6] = static_cast<uint8_t>((b[6] & 0x0f) | 0x40);
  b[8] = static_cast<uint8_t>((b[8] & 0x3f) | 0x80);
  static constexpr char kHex[] = "0123456789abcdef";
  std::string text;
  text.reserve(36);
  for (size_t i = 0; i < b.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text.push_back('-');
    text.push_back(kHex[b[i] >> 4]);
    text.push_back(kHex[b[i] & 15]);
  }
  return text;
}

Random& system_random() {
  static SystemRandom random;
  return random;
}

}  // namespace vitrail::base
