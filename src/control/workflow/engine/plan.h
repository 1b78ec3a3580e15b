#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "workflowdata.pb.h"

// What to do next with an operation, from nothing but what its record says. Pure, so that a table of cases shows all of
// it.
namespace vitrail::control::engine {

// What is known of a step without running it.
struct PlannedStep {
  ::workflowdata::StepState state = ::workflowdata::PENDING;
  bool has_undo = false;
  bool undo_first = false;  // Its undo gives clients back what they wait for: it comes before all others.
  bool point_of_no_return = false;
};

enum class Act : uint8_t {
  kApply,   // Run (or run again) the step forwards.
  kUndo,    // Take the step back.
  kFinish,  // Nothing is left: close the operation.
  kPause,   // What is left has failed just now: try again later.
};

struct Decision {
  Act act = Act::kFinish;
  size_t step = 0;
  friend bool operator==(const Decision&, const Decision&) = default;
};

// A started point of no return may have taken effect: from then on an operation is finished, never undone.
bool is_committed(std::span<const PlannedStep> steps);

// `failed`: steps whose undo has failed in this attempt. They hold up no other one: a tablet that is dead must not keep
// a fence on another.
Decision decide(std::span<const PlannedStep> steps, bool undoing, const std::vector<bool>& failed);

}  // namespace vitrail::control::engine
