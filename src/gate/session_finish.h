#pragma once

#include <cstddef>

#include "gate/session.h"

// Statements whose tables are asked for their rows one by one. Parts of ClientSession, for its own files.
namespace vitrail::gate {

// What is asked for one table on one shard.
struct ClientSession::InputQuestion {
  size_t input = 0;
  ShardText what;
};

}  // namespace vitrail::gate
