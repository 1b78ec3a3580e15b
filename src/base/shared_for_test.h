#pragma once

#include <cstdlib>
#include <filesystem>

namespace vitrail::base {

// The folder with corpora that are not part of this repository: the environment variable VITRAIL_SHARED, else what
// CMake was told. A test that needs a file there skips itself when it is absent, and names it.
inline std::filesystem::path shared_folder() {
  const char* named = std::getenv("VITRAIL_SHARED");
  return named != nullptr && *named != '\0' ? std::filesystem::path(named) : std::filesystem::path(VITRAIL_SHARED_DIR);
}

}  // namespace vitrail::base
