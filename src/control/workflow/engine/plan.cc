#include "control/workflow/engine/plan.h"

#include <algorithm>

namespace vitrail::control::engine {

bool is_committed(std::span<const PlannedStep> steps) {
  return std::ranges::any_of(steps, [](const PlannedStep& step) {
    return step.point_of_no_return && (step.state == ::workflowdata::STARTED || step.state == ::workflowdata::DONE);
  });
}

Decision decide(std::span<const PlannedStep> steps, bool undoing, const std::vector<bool>& failed) {
  if (!undoing) {
    for (size_t i = 0; i < steps.size(); ++i) {
      if (steps[i].state != ::workflowdata::DONE) return {Act::kApply, i};
    }
    return {};
  }
  bool left = false;
  for (const bool first : {true, false}) {
    for (size_t i = steps.size(); i-- > 0;) {
      const PlannedStep& step = steps[i];
      if (step.undo_first != first || !step.has_undo) continue;
      if (step.state != ::workflowdata::STARTED && step.state != ::workflowdata::DONE) continue;
      if (i < failed.size() && failed[i]) {
        left = true;
        continue;
      }
      return {Act::kUndo, i};
    }
  }
  return {left ? Act::kPause : Act::kFinish, 0};
}

}  // namespace vitrail::control::engine
