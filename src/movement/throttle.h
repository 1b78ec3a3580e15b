#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace vitrail::movement {

// Whether work that can wait should wait now, because the servers are busy or somebody has asked for it.
//   Threads: any. Never blocks.
class Throttle {
 public:
  virtual ~Throttle() = default;
  // `app`: names joined by ':', each of which may be throttled ("vcopier:my_workflow:vreplication"). Nothing: go on.
  // Else why not. Ask again within a second.
  virtual std::optional<std::string> reason_to_wait(std::string_view app) = 0;
};

}  // namespace vitrail::movement
