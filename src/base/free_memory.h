#pragma once

#include <cstdint>

namespace vitrail::base {

// Gives memory that the allocator keeps for later back to the system: an arena that once held much keeps all of it
// otherwise, however little is in use.
//
//   Threads: one. look() takes the allocator's locks for some milliseconds when there is much to give back.
class FreeMemory {
 public:
  // At least so much must be kept without use, and more than there was after the last time, to be worth it.
  static constexpr uint64_t kKeptMin = uint64_t{64} << 20;
  static constexpr uint64_t kGrownMin = uint64_t{16} << 20;

  // Gives back if it is worth it; whether it did.
  bool look();

  // Of memory that is resident, in use by the program, and was resident when something was given back last.
  static bool worth(uint64_t resident, uint64_t used, uint64_t resident_after);

 private:
  uint64_t resident_after_ = 0;
};

// Bytes of the process that are in memory; 0 where the system does not tell.
uint64_t resident_bytes();

}  // namespace vitrail::base
