#include "tablet/twopc_resolver.h"

#include <gtest/gtest.h>

namespace vitrail::tablet {
namespace {

TEST(TwoPcResolver, TakesOnlyAClearWordForADecision) {
  EXPECT_EQ(decision_seen(Status()), DecisionSeen::kRollback);
  EXPECT_EQ(decision_seen(fail(Code::kAlreadyExists, "it is committed")), DecisionSeen::kCommit);
  for (const Code code : {Code::kUnavailable, Code::kDeadlineExceeded, Code::kNotFound, Code::kInvalidArgument,
                          Code::kUnimplemented, Code::kInternal, Code::kFailedPrecondition, Code::kAborted}) {
    EXPECT_EQ(decision_seen(fail(code, "x")), DecisionSeen::kUnknown);
  }
  EXPECT_EQ(resolution_of(DecisionSeen::kCommit), Resolution::kCommit);
  EXPECT_EQ(resolution_of(DecisionSeen::kRollback), Resolution::kRollback);
  EXPECT_EQ(resolution_of(DecisionSeen::kUnknown), Resolution::kWait);
}

}  // namespace
}  // namespace vitrail::tablet
