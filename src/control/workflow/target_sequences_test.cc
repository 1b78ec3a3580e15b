#include "control/workflow/target_sequences.h"

#include <gtest/gtest.h>

namespace vitrail::control {
namespace {

TEST(TargetSequences, BeginBehindTheLargestIdInUse) {
  struct Case {
    const char* what;
    int64_t next, largest;
    std::optional<int64_t> wanted;
  };
  const Case cases[] = {
      {"no row yet, no ids", 0, 0, 1},
      {"no row yet", 0, 100, 101},
      {"below", 5, 100, 101},
      {"it would give the largest again", 100, 100, 101},
      {"just behind", 101, 100, std::nullopt},
      {"far above", 5000, 100, std::nullopt},
  };
  for (const Case& one : cases) {
    SequenceState state;
    state.next = one.next;
    state.largest = one.largest;
    EXPECT_EQ(raised_sequence(state), one.wanted) << one.what;
  }
}

TEST(TargetSequences, ADryRunTellsWhatWouldBecomeOfThem) {
  SequenceState state;
  state.sequence = "s";
  state.next = 5;
  state.largest = 100;
  EXPECT_EQ(describe_sequence(state), "Backing table: s, current value 5, new value 101");
  state.next = 500;
  EXPECT_EQ(describe_sequence(state), "Backing table: s, current value 500, new value 500");
}

}  // namespace
}  // namespace vitrail::control
