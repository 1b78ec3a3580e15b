#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

// The life of a sharding workflow: what may be done in which state, what that takes, and where it leads. Decisions
// only: nothing here reads or changes anything. docs/users/workflows.md explains the states to users.
namespace vitrail::control::states {

enum class State : uint8_t {
  kCopying,            // Rows are copied.
  kRunning,            // The copy follows the source.
  kSwitchedReplicas,   // The target serves replicas, the source primaries.
  kSwitchedPrimaries,  // The target serves everything and is followed by the source.
  kCutover,            // The workflow below is complete, the source's tables are gone, the rules are as before.
  kReversedCutover,    // The rules of kSwitchedPrimaries are back.
  kComplete,
  kCancelled,
  kError,  // A step of an action failed: see Position::before and action.
};
inline constexpr State kStates[] = {State::kCopying,           State::kRunning,   State::kSwitchedReplicas,
                                    State::kSwitchedPrimaries, State::kCutover,   State::kReversedCutover,
                                    State::kComplete,          State::kCancelled, State::kError};

enum class Action : uint8_t {
  kCreate,  // Once, before every other.
  kFollow,  // Not asked for: what the engine does by itself in kCopying and kRunning, which can fail.
  kVerify,
  kSwitchReplicas,
  kSwitchPrimaries,
  kReverseTraffic,
  kCutover,
  kReverseCutover,
  kComplete,
  kCancel,
  kRetry,
};
inline constexpr Action kActions[] = {Action::kVerify,         Action::kSwitchReplicas, Action::kSwitchPrimaries,
                                      Action::kReverseTraffic, Action::kCutover,        Action::kReverseCutover,
                                      Action::kComplete,       Action::kCancel,         Action::kRetry};

// Commands of the control plane and changes of the record that an action consists of, in this order. Each may run
// twice: after a death between the two notes of the record, it does.
enum class Step : uint8_t {
  kSaveRules,          // The rules as they were before the workflow go into the record.
  kCreate,             // MoveTables or Reshard create.
  kStartStreams,       // Those that stopped with an error.
  kStartVerification,  // VDiff create, with the id that the record names.
  kAwaitVerification,  // Until it has ended.
  kSwitchReplicas,     // SwitchTraffic --tablet-types replica,rdonly
  kInitSequences,      // Sequences of the target begin behind the ids of the source.
  kSwitchAll,          // SwitchTraffic
  kSaveSwitchedRules,  // The rules that lead to the target go into the record.
  kReverse,            // ReverseTraffic
  kComplete,           // Complete --keep-data=false --keep-routing-rules=false
  kResetRules,         // The rules are those of kSaveRules again; rules of others stay as they are.
  kRestoreRules,       // The rules are those of kSaveSwitchedRules again; likewise.
  kCancel,             // Cancel --keep-data=false --keep-routing-rules=false
};

std::string_view name_of(State state);    // "switched_replicas"
std::string_view name_of(Action action);  // "switch-replicas"
std::string_view name_of(Step step);
// kInvalidArgument lists the names.
Result<Action> parse_action(std::string_view name);
// The same, for those that nobody asks for, too.
Result<Action> parse_recorded_action(std::string_view name);
Result<State> parse_state(std::string_view name);

// Where a workflow is.
struct Position {
  State state = State::kCopying;
  // In kError: the state before, and the action that failed.
  State before = State::kCopying;
  Action failed = Action::kCreate;
};

struct Transition {
  State to = State::kCopying;
  std::vector<Step> steps;
};

// What `action` takes and leads to. Of kRetry: what the action that failed takes and leads to, from its first step; the
// record knows which of them are done.
//   kFailedPrecondition: not in this state; the message names the state and what is possible in it.
Result<Transition> decide(const Position& position, Action action);
Transition create_transition();
// What may be done, in the order of kActions.
std::vector<Action> possible_actions(const Position& position);
// Whether no other workflow may be created on its branch while one is in this state.
bool is_active(State state);
// "" when nothing needs a warning: what cannot be taken back, or stops something.
std::string_view warning_of(Action action);
// Whether the action is only begun with a confirmation.
bool needs_confirmation(Action action);

// What is known of the data in kRunning.
enum class Substate : uint8_t { kNotVerified, kVerified, kStale };
inline constexpr std::chrono::hours kVerificationLasts{24};
struct Verification {
  base::WallTime ended;
  bool agrees = false;  // No row differs.
};
Substate substate(const std::optional<Verification>& last, base::WallTime now);
std::string_view name_of(Substate substate);  // "not verified data", "verified data", "verification stale"

// Whether a copy that is at its end has become `running`: nothing is copied any more, every stream runs, and the lag is
// low.
inline constexpr base::Duration kLagMax = std::chrono::seconds(10);
struct CopyProgress {
  bool copies = true;
  bool all_run = false;
  base::Duration lag{};
};
bool has_become_running(const CopyProgress& progress);

}  // namespace vitrail::control::states
