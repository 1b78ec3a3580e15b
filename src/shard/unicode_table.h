#pragma once

// The generated tables of unicode_table.cc; unicode_weights.cc is their only reader. A weight up to 7fff stands for two
// bytes, a greater one for three.

#include <cstdint>

namespace vitrail::shard::unicode {

// Runs of code points from kRunFirst[i] up to the next run. kRunInfo: the kind in the top two bits, then
//   0  the weight of the first one, ascending by one;
//   1  the weight of all; 0: they have none;
//   2  an index into kExpansions, where the number of weights and the weights are.
// Hangul syllables are in no run: they have the weights of their letters.
extern const uint32_t kRunFirst[];
extern const uint32_t kRunInfo[];
extern const uint32_t kRunCount;
extern const uint32_t kExpansions[];

// Two or three code points (else 0) whose weights (until 0) are not those of the parts. Sorted.
struct Contraction {
  uint32_t sequence[3];
  uint32_t weights[3];
};
extern const Contraction kContractions[];
extern const uint32_t kContractionCount;

// Code points with a canonical combining class; of composed ones, those of the first and the last part. Sorted.
struct CombiningRange {
  uint32_t first;
  uint32_t last;
  uint8_t first_class;
  uint8_t last_class;
};
extern const CombiningRange kCombining[];
extern const uint32_t kCombiningCount;

}  // namespace vitrail::shard::unicode
