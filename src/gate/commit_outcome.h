#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "shard/target.h"

namespace vitrail::gate {

// What became of one shard's part of a transaction over several.
enum class PartState : uint8_t { kCommitted, kRolledBack, kUnknown };
struct CommittedPart {
  shard::Target target;
  PartState state = PartState::kUnknown;
};

// What the client is told behind a COMMIT in transaction_mode MULTI that failed on some shard with `error`: the shards
// by name with the state of each, when it is not the same everywhere.
Error commit_error(const std::vector<CommittedPart>& parts, Error error);

}  // namespace vitrail::gate
