#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace vitrail::base {

// Source of randomness, injectable for tests. Implementations are safe to use from any thread.
class Random {
 public:
  virtual ~Random() = default;
  virtual void fill(std::span<uint8_t> out) = 0;

  uint64_t next_u64();
  // Uniform in [0, bound); bound > 0.
  uint64_t below(uint64_t bound);
  // Version 4 UUID, lower case with dashes.
  std::string uuid();
};

// The operating system's generator (getrandom). Lives as long as the process.
Random& system_random();

}  // namespace vitrail::base
