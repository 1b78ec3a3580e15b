#pragma once

#include <cstdint>
#include <string_view>

#include "gate/change_outcome.h"

namespace vitrail::gate {

// What the numbers in "Records: 3  Deleted: 0  Skipped: 1  Warnings: 0" come to.
struct LoadCounts {
  uint64_t records = 0;
  uint64_t deleted = 0;
  uint64_t skipped = 0;

  void add(std::string_view info) {
    const auto numbers = numbers_of(info);
    if (numbers.size() < 3) return;
    records += numbers[0];
    deleted += numbers[1];
    skipped += numbers[2];
  }
};

}  // namespace vitrail::gate
