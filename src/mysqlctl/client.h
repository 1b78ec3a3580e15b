#pragma once

#include <string>

#include "base/clock.h"
#include "base/result.h"

// Asks a mysqlctld, whose socket lies in the file system both see. All block; not for an event loop. An Error is
// mysqlctld's, or kUnavailable when it does not answer.
namespace vitrail::mysqlctl {

// Success when it runs already.
Status ask_start(const std::string& socket, base::Duration timeout);
// In good order within `patience`, then by force.
Status ask_shutdown(const std::string& socket, base::Duration patience);

}  // namespace vitrail::mysqlctl
