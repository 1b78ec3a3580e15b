#include "net/pause_point.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "net/loop.h"

namespace vitrail::net {

using namespace std::chrono_literals;

Task<void> pause_point(std::string_view name) {
  static const char* const folder = std::getenv("VITRAIL_PAUSE_POINTS");
  if (folder == nullptr) co_return;
  const std::string file = std::string(folder) + "/" + std::string(name);
  const std::string reached = file + ".reached";
  if (std::rename(file.c_str(), reached.c_str()) != 0) co_return;
  while (::access(reached.c_str(), F_OK) == 0) (void)co_await sleep_for(5ms, CancelToken());
}

}  // namespace vitrail::net
