#include "base/free_memory.h"

#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

namespace vitrail::base {

uint64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  uint64_t size = 0;
  uint64_t resident = 0;
  if (!(file >> size >> resident)) return 0;
  return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

bool FreeMemory::worth(uint64_t resident, uint64_t used, uint64_t resident_after) {
  return resident > used + kKeptMin && resident > resident_after + kGrownMin;
}

bool FreeMemory::look() {
  const uint64_t resident = resident_bytes();
  resident_after_ = std::min(resident_after_, resident);
  const struct mallinfo2 info = mallinfo2();
  if (!worth(resident, info.uordblks + info.hblkhd, resident_after_)) return false;
  malloc_trim(0);
  resident_after_ = resident_bytes();
  return true;
}

}  // namespace vitrail::base
