#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "topo/srv_watcher.h"

// The last known ServingState on disk. Format: docs/formats/serving_state.md. These calls block; not for an event loop.
namespace vitrail::topo {

inline constexpr uint64_t kServingCacheBytesMax = 256ull << 20;

// Replaces the file in one step; makes its folder. kResourceExhausted: larger than kServingCacheBytesMax.
Status save_serving_state(const std::string& file, const std::string& cell, const ServingState& state);

// kNotFound: no such file. kDataLoss: not such a file, or of another cell. The result is `complete` and `restored`.
Result<std::shared_ptr<const ServingState>> load_serving_state(const std::string& file, const std::string& cell);

}  // namespace vitrail::topo
