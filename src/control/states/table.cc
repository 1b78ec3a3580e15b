#include "control/states/table.h"

#include <fmt/core.h>

#include <algorithm>

namespace vitrail::control::states {
namespace {

struct Row {
  State from;
  Action action;
  State to;
  std::vector<Step> steps;
};

// The table. A pair that is not here is refused.
const std::vector<Row>& rows() {
  using enum State;
  static const std::vector<Row> table = {
      {kCopying, Action::kCancel, kCancelled, {Step::kCancel, Step::kResetRules}},
      {kRunning, Action::kVerify, kRunning, {Step::kStartVerification, Step::kAwaitVerification}},
      {kRunning, Action::kSwitchReplicas, kSwitchedReplicas, {Step::kSwitchReplicas}},
      {kRunning,
       Action::kSwitchPrimaries,
       kSwitchedPrimaries,
       {Step::kInitSequences, Step::kSwitchAll, Step::kSaveSwitchedRules}},
      {kRunning, Action::kCancel, kCancelled, {Step::kCancel, Step::kResetRules}},
      {kSwitchedReplicas,
       Action::kSwitchPrimaries,
       kSwitchedPrimaries,
       {Step::kInitSequences, Step::kSwitchAll, Step::kSaveSwitchedRules}},
      {kSwitchedReplicas, Action::kReverseTraffic, kRunning, {Step::kReverse}},
      {kSwitchedReplicas, Action::kCancel, kCancelled, {Step::kReverse, Step::kCancel, Step::kResetRules}},
      {kSwitchedPrimaries, Action::kReverseTraffic, kRunning, {Step::kReverse}},
      {kSwitchedPrimaries, Action::kCutover, kCutover, {Step::kComplete, Step::kResetRules}},
      {kCutover, Action::kReverseCutover, kReversedCutover, {Step::kRestoreRules}},
      {kCutover, Action::kComplete, kComplete, {}},
      {kReversedCutover, Action::kCutover, kCutover, {Step::kResetRules}},
      {kReversedCutover, Action::kComplete, kComplete, {}},
  };
  return table;
}

const Row* find_row(State from, Action action) {
  const auto found =
      std::ranges::find_if(rows(), [&](const Row& row) { return row.from == from && row.action == action; });
  return found == rows().end() ? nullptr : &*found;
}

// What is possible after an action failed: that action again; and to give up, as long as the source has every row and
// every write goes there.
const Row* find_error_row(const Position& position, Action action) {
  static const Row create = {State::kCopying, Action::kCreate, State::kCopying, {Step::kSaveRules, Step::kCreate}};
  static const Row give_up = {State::kError, Action::kCancel, State::kCancelled, {Step::kCancel, Step::kResetRules}};
  static const Row follow_copying = {State::kCopying, Action::kFollow, State::kCopying, {Step::kStartStreams}};
  static const Row follow_running = {State::kRunning, Action::kFollow, State::kRunning, {Step::kStartStreams}};
  if (action == Action::kRetry) {
    if (position.failed == Action::kCreate) return &create;
    if (position.failed == Action::kFollow) {
      return position.before == State::kCopying ? &follow_copying : &follow_running;
    }
    return find_row(position.before, position.failed);
  }
  const bool untouched = position.before == State::kCopying || position.before == State::kRunning;
  if (action == Action::kCancel && untouched && position.failed != Action::kSwitchPrimaries &&
      position.failed != Action::kSwitchReplicas) {
    return &give_up;
  }
  return nullptr;
}

const Row* find(const Position& position, Action action) {
  return position.state == State::kError ? find_error_row(position, action) : find_row(position.state, action);
}

}  // namespace

std::string_view name_of(State state) {
  switch (state) {
    case State::kCopying: return "copying";
    case State::kRunning: return "running";
    case State::kSwitchedReplicas: return "switched_replicas";
    case State::kSwitchedPrimaries: return "switched_primaries";
    case State::kCutover: return "cutover";
    case State::kReversedCutover: return "reversed_cutover";
    case State::kComplete: return "complete";
    case State::kCancelled: return "cancelled";
    case State::kError: return "error";
  }
  return "";
}

std::string_view name_of(Action action) {
  switch (action) {
    case Action::kCreate: return "create";
    case Action::kFollow: return "follow";
    case Action::kVerify: return "verify";
    case Action::kSwitchReplicas: return "switch-replicas";
    case Action::kSwitchPrimaries: return "switch-primaries";
    case Action::kReverseTraffic: return "reverse-traffic";
    case Action::kCutover: return "cutover";
    case Action::kReverseCutover: return "reverse-cutover";
    case Action::kComplete: return "complete";
    case Action::kCancel: return "cancel";
    case Action::kRetry: return "retry";
  }
  return "";
}

std::string_view name_of(Step step) {
  switch (step) {
    case Step::kSaveRules: return "save the routing rules";
    case Step::kCreate: return "create the workflow";
    case Step::kStartStreams: return "start the streams";
    case Step::kStartVerification: return "start the verification";
    case Step::kAwaitVerification: return "wait for the verification";
    case Step::kSwitchReplicas: return "switch replicas";
    case Step::kInitSequences: return "initialize the sequences";
    case Step::kSwitchAll: return "switch all traffic";
    case Step::kSaveSwitchedRules: return "save the switched routing rules";
    case Step::kReverse: return "reverse traffic";
    case Step::kComplete: return "complete the workflow";
    case Step::kResetRules: return "reset the routing rules";
    case Step::kRestoreRules: return "put the switched routing rules back";
    case Step::kCancel: return "cancel the workflow";
  }
  return "";
}

Result<Action> parse_action(std::string_view name) {
  std::string names;
  for (const Action action : kActions) {
    if (name_of(action) == name) return action;
    names += (names.empty() ? "" : ", ") + std::string(name_of(action));
  }
  return fail(Code::kInvalidArgument, fmt::format("unknown action '{}': {}", name, names));
}

Result<Action> parse_recorded_action(std::string_view name) {
  for (const Action action : {Action::kCreate, Action::kFollow}) {
    if (name_of(action) == name) return action;
  }
  return parse_action(name);
}

Result<State> parse_state(std::string_view name) {
  for (const State state : kStates) {
    if (name_of(state) == name) return state;
  }
  return fail(Code::kDataLoss, fmt::format("unknown state '{}' of a sharding workflow", name));
}

Result<Transition> decide(const Position& position, Action action) {
  if (const Row* row = find(position, action)) return Transition{row->to, row->steps};
  std::string possible;
  for (const Action other : possible_actions(position)) {
    possible += (possible.empty() ? "" : ", ") + std::string(name_of(other));
  }
  std::string hint;
  if (action == Action::kCancel && position.state == State::kSwitchedPrimaries) hint = ": reverse traffic first";
  if (action == Action::kCancel && position.state == State::kCutover) hint = ": the source tables are gone";
  return fail(Code::kFailedPrecondition,
              fmt::format("{} is not possible in the state {}{}; possible is {}", name_of(action),
                          name_of(position.state), hint, possible.empty() ? "nothing" : possible));
}

Transition create_transition() { return {State::kCopying, {Step::kSaveRules, Step::kCreate}}; }

std::vector<Action> possible_actions(const Position& position) {
  std::vector<Action> out;
  for (const Action action : kActions) {
    if (find(position, action) != nullptr) out.push_back(action);
  }
  return out;
}

bool is_active(State state) { return state != State::kComplete && state != State::kCancelled; }

std::string_view warning_of(Action action) {
  switch (action) {
    case Action::kSwitchPrimaries: return "Writes are stopped for a moment while they move to the target.";
    case Action::kReverseTraffic: return "All traffic goes back to the source; writes are stopped for a moment.";
    case Action::kCutover:
      return "The tables of the source are dropped, and statements that name them in the source keyspace are not "
             "routed "
             "any more: the application must name the target, or no keyspace, from now on.";
    case Action::kCancel: return "The copies on the target are dropped.";
    default: return "";
  }
}

bool needs_confirmation(Action action) { return action == Action::kCutover; }

Substate substate(const std::optional<Verification>& last, base::WallTime now) {
  if (!last || !last->agrees) return Substate::kNotVerified;
  return now - last->ended > kVerificationLasts ? Substate::kStale : Substate::kVerified;
}

std::string_view name_of(Substate substate) {
  switch (substate) {
    case Substate::kNotVerified: return "not verified data";
    case Substate::kVerified: return "verified data";
    case Substate::kStale: return "verification stale";
  }
  return "";
}

bool has_become_running(const CopyProgress& progress) {
  return !progress.copies && progress.all_run && progress.lag <= kLagMax;
}

}  // namespace vitrail::control::states
