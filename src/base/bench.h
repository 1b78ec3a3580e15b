#pragma once

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/cpu_time.h"

// For micro-benchmarks (*_bench.cc beside the code), run by `./dev bench micro`: one line for each measurement,
// "name <tab> nanoseconds of one operation <tab> target".
namespace vitrail::base {

// The compiler must take `value` for used.
template <typename T>
void keep(const T& value) {
  asm volatile("" : : "r,m"(value) : "memory");
}

class Bench {
 public:
  // `--seconds S`: of each measurement (1).
  Bench(int argc, char** argv) {
    for (int i = 1; i + 1 < argc; ++i) {
      const std::string_view value = argv[i + 1];
      if (std::string_view(argv[i]) == "--seconds") {
        std::from_chars(value.data(), value.data() + value.size(), seconds_);
      }
    }
  }

  // Calls `batch` again and again; each call does `operations`. The thread's own CPU time counts, and of ten stretches
  // of it the median: a busy machine changes it least.
  template <typename Batch>
  void measure(std::string_view name, uint64_t operations, double target_ns, Batch batch) const {
    std::array<double, 10> samples{};
    batch();  // Caches and pools are warm.
    for (double& sample : samples) {
      uint64_t calls = 0;
      const double begin = cpu_seconds();
      double elapsed = 0;
      do {
        batch();
        ++calls;
        elapsed = cpu_seconds() - begin;
      } while (elapsed < seconds_ / samples.size());
      sample = elapsed * 1e9 / static_cast<double>(calls * operations);
    }
    std::sort(samples.begin(), samples.end());
    fmt::print("{}\t{:.1f}\t{:.1f}\n", name, samples[samples.size() / 2], target_ns);
  }

 private:
  static double cpu_seconds() { return std::chrono::duration<double>(thread_cpu_time()).count(); }

  double seconds_ = 1;
};

}  // namespace vitrail::base
