#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "workflowdata.pb.h"

// Which epoch of a workflow a server has seen last (_vt.workflow_epoch): commands of an owner before are refused there,
// whatever kind they are.
namespace vitrail::movement {

std::string select_epoch(const ::workflowdata::Fence& fence);
// `latest`: what select_epoch() found, if anything. kFailedPrecondition: the command comes from an owner before.
Status check_epoch(const ::workflowdata::Fence& fence, std::optional<int64_t> latest);
// What is to be run before the command is carried out; nothing when the epoch is known already.
std::vector<std::string> note_epoch(const ::workflowdata::Fence& fence, std::optional<int64_t> latest,
                                    int64_t now_seconds);
// Held by a connection that carries a command out: one that takes back what another one does waits for it.
std::string epoch_lock_name(const ::workflowdata::Fence& fence);

}  // namespace vitrail::movement
