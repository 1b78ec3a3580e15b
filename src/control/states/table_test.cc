#include "control/states/table.h"

#include <gtest/gtest.h>

#include <map>

namespace vitrail::control::states {
namespace {

using namespace std::chrono_literals;

// All pairs: what is not named here must be refused.
TEST(StateTable, IsThisMatrix) {
  using enum State;
  const std::map<std::pair<State, Action>, State> allowed = {
      {{kCopying, Action::kCancel}, kCancelled},
      {{kRunning, Action::kVerify}, kRunning},
      {{kRunning, Action::kSwitchReplicas}, kSwitchedReplicas},
      {{kRunning, Action::kSwitchPrimaries}, kSwitchedPrimaries},
      {{kRunning, Action::kCancel}, kCancelled},
      {{kSwitchedReplicas, Action::kSwitchPrimaries}, kSwitchedPrimaries},
      {{kSwitchedReplicas, Action::kReverseTraffic}, kRunning},
      {{kSwitchedReplicas, Action::kCancel}, kCancelled},
      {{kSwitchedPrimaries, Action::kReverseTraffic}, kRunning},
      {{kSwitchedPrimaries, Action::kCutover}, kCutover},
      {{kCutover, Action::kReverseCutover}, kReversedCutover},
      {{kCutover, Action::kComplete}, kComplete},
      {{kReversedCutover, Action::kCutover}, kCutover},
      {{kReversedCutover, Action::kComplete}, kComplete},
  };
  size_t pairs = 0;
  for (const State state : kStates) {
    if (state == kError) continue;
    for (const Action action : kActions) {
      ++pairs;
      const auto got = decide({.state = state}, action);
      const auto wanted = allowed.find({state, action});
      const std::string pair = std::string(name_of(state)) + " x " + std::string(name_of(action));
      if (wanted != allowed.end()) {
        ASSERT_TRUE(got.ok()) << pair << ": " << got.error().message();
        EXPECT_EQ(got->to, wanted->second) << pair;
        continue;
      }
      ASSERT_FALSE(got.ok()) << pair;
      EXPECT_EQ(got.error().code(), Code::kFailedPrecondition) << pair;
      // The refusal names the state, and everything that is possible in it.
      EXPECT_NE(got.error().message().find("in the state " + std::string(name_of(state))), std::string::npos) << pair;
      const std::string possible = got.error().message().substr(got.error().message().find("possible is "));
      for (const Action other : kActions) {
        const bool named = possible.find(name_of(other)) != std::string::npos;
        EXPECT_TRUE(named || !allowed.contains({state, other})) << possible;
      }
    }
  }
  EXPECT_EQ(pairs, 8u * 9u);
}

TEST(StateTable, ErrorLeadsBackToTheActionThatFailed) {
  size_t pairs = 0;
  for (const State before : kStates) {
    if (before == State::kError) continue;
    for (const Action failed : kActions) {
      const auto plain = decide({.state = before}, failed);
      if (!plain.ok()) continue;
      const Position position{.state = State::kError, .before = before, .failed = failed};
      for (const Action action : kActions) {
        ++pairs;
        const auto got = decide(position, action);
        const bool gives_up = action == Action::kCancel && (before == State::kCopying || before == State::kRunning) &&
                              (failed == Action::kVerify || failed == Action::kCancel);
        ASSERT_EQ(got.ok(), action == Action::kRetry || gives_up) << name_of(before) << name_of(failed);
        if (action == Action::kRetry) {
          EXPECT_EQ(got->to, plain->to);
          EXPECT_EQ(got->steps, plain->steps);
        }
        if (gives_up) {
          EXPECT_EQ(got->to, State::kCancelled);
        }
        if (!got.ok()) {
          EXPECT_NE(got.error().message().find("in the state error; possible is "), std::string::npos);
        }
      }
    }
  }
  EXPECT_GT(pairs, 100u);
  const Position never_made{.state = State::kError, .before = State::kCopying, .failed = Action::kCreate};
  EXPECT_EQ(possible_actions(never_made), (std::vector{Action::kCancel, Action::kRetry}));
  EXPECT_EQ(decide(never_made, Action::kRetry)->steps, create_transition().steps);
}

TEST(StateTable, StreamsThatFailedAreStartedAgain) {
  for (const State before : {State::kCopying, State::kRunning}) {
    const Position position{.state = State::kError, .before = before, .failed = Action::kFollow};
    EXPECT_EQ(possible_actions(position), (std::vector{Action::kCancel, Action::kRetry}));
    EXPECT_EQ(decide(position, Action::kRetry)->steps, std::vector{Step::kStartStreams});
    EXPECT_EQ(decide(position, Action::kRetry)->to, before);
  }
}

TEST(StateTable, CompleteAndReverseCutoverTouchNothingElse) {
  EXPECT_TRUE(decide({.state = State::kCutover}, Action::kComplete)->steps.empty());
  EXPECT_TRUE(decide({.state = State::kReversedCutover}, Action::kComplete)->steps.empty());
  EXPECT_EQ(decide({.state = State::kCutover}, Action::kReverseCutover)->steps, std::vector{Step::kRestoreRules});
  EXPECT_EQ(decide({.state = State::kReversedCutover}, Action::kCutover)->steps, std::vector{Step::kResetRules});
}

TEST(StateTable, OneIsActiveUntilItIsCompleteOrCancelled) {
  for (const State state : kStates) {
    EXPECT_EQ(is_active(state), state != State::kComplete && state != State::kCancelled) << name_of(state);
  }
}

TEST(StateTable, NamesAreThoseOfTheReference) {
  std::string names;
  for (const State state : kStates) {
    names += std::string(name_of(state)) + " ";
    EXPECT_EQ(*parse_state(name_of(state)), state);
  }
  EXPECT_EQ(names,
            "copying running switched_replicas switched_primaries cutover reversed_cutover complete cancelled error ");
  for (const Action action : kActions) EXPECT_EQ(*parse_action(name_of(action)), action);
  EXPECT_EQ(parse_action("create").error().code(), Code::kInvalidArgument);
  EXPECT_NE(parse_action("x").error().message().find("switch-primaries"), std::string::npos);
}

TEST(StateTable, AVerificationLastsADay) {
  const base::WallTime now = base::WallTime() + 1000h;
  EXPECT_EQ(name_of(substate(std::nullopt, now)), "not verified data");
  EXPECT_EQ(name_of(substate(Verification{.ended = now, .agrees = false}, now)), "not verified data");
  EXPECT_EQ(name_of(substate(Verification{.ended = now, .agrees = true}, now)), "verified data");
  EXPECT_EQ(name_of(substate(Verification{.ended = now, .agrees = true}, now + 23h + 59min)), "verified data");
  EXPECT_EQ(name_of(substate(Verification{.ended = now, .agrees = true}, now + 24h + 1min)), "verification stale");
  EXPECT_EQ(name_of(substate(Verification{.ended = now, .agrees = false}, now + 24h + 1min)), "not verified data");
}

TEST(StateTable, ACopyRunsWhenItIsDoneAndNotFarBehind) {
  EXPECT_TRUE(has_become_running({.copies = false, .all_run = true, .lag = 1s}));
  EXPECT_FALSE(has_become_running({.copies = true, .all_run = true, .lag = 0s}));
  EXPECT_FALSE(has_become_running({.copies = false, .all_run = false, .lag = 0s}));
  EXPECT_FALSE(has_become_running({.copies = false, .all_run = true, .lag = 11s}));
}

TEST(StateTable, WarnsOfWhatCannotBeTakenBack) {
  EXPECT_NE(warning_of(Action::kCutover).find("dropped"), std::string_view::npos);
  EXPECT_NE(warning_of(Action::kCutover).find("not routed"), std::string_view::npos);
  for (const Action action : kActions) EXPECT_EQ(needs_confirmation(action), action == Action::kCutover);
}

}  // namespace
}  // namespace vitrail::control::states
