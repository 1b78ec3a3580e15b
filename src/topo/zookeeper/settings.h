#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace vitrail::topo {

// The settings of the kind "zk2".
struct ZkSettings {
  std::chrono::milliseconds base_timeout{30'000};  // Of the session; servers bound it (by default to 4 ... 40 s).
  uint32_t max_concurrency = 64;                   // Requests under way at once.
  std::string auth_file;                           // "scheme:auth"; empty: everybody may read and write.
};

}  // namespace vitrail::topo
