#include "movement/epochs.h"

#include <fmt/core.h>

#include "mysqld/rows.h"

namespace vitrail::movement {
namespace {

constexpr int64_t kEpochsKeptSeconds = 30 * 86'400;

}  // namespace

std::string select_epoch(const ::workflowdata::Fence& fence) {
  return fmt::format("SELECT epoch FROM _vt.workflow_epoch WHERE workflow_id = {}",
                     mysqld::quote_string(fence.workflow_id()));
}

Status check_epoch(const ::workflowdata::Fence& fence, std::optional<int64_t> latest) {
  if (!latest || *latest <= fence.epoch()) return {};
  return fail(Code::kFailedPrecondition,
              fmt::format("locks were lost: this command is of epoch {} of its workflow, and one of epoch {} was here "
                          "before",
                          fence.epoch(), *latest));
}

std::vector<std::string> note_epoch(const ::workflowdata::Fence& fence, std::optional<int64_t> latest,
                                    int64_t now_seconds) {
  if (latest == fence.epoch()) return {};
  std::vector<std::string> statements = {
      fmt::format("REPLACE INTO _vt.workflow_epoch (workflow_id, epoch, time_updated) VALUES ({}, {}, {})",
                  mysqld::quote_string(fence.workflow_id()), fence.epoch(), now_seconds)};
  if (!latest) {
    statements.push_back(
        fmt::format("DELETE FROM _vt.workflow_epoch WHERE time_updated < {}", now_seconds - kEpochsKeptSeconds));
  }
  return statements;
}

std::string epoch_lock_name(const ::workflowdata::Fence& fence) {
  return "vitrail." + fence.workflow_id().substr(0, 50);
}

}  // namespace vitrail::movement
