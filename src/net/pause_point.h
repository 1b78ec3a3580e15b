#pragma once

#include <string_view>

#include "net/task.h"

namespace vitrail::net {

// Where tests stop a process, to end it or another one meanwhile: waits here while the folder that the environment
// variable VITRAIL_PAUSE_POINTS names has a file `name`, which becomes `name`.reached. Without the variable it does
// nothing.
Task<void> pause_point(std::string_view name);

}  // namespace vitrail::net
