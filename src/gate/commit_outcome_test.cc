#include "gate/commit_outcome.h"

#include <gtest/gtest.h>

#include "mysql/errors.h"

namespace vitrail::gate {
namespace {

using enum PartState;

TEST(CommitError, NamesShardsAndStates) {
  const struct {
    std::vector<PartState> states;  // Of ks/0, ks/1, ks/2.
    std::string_view text;
    Effect effect;
  } cases[] = {
      {{kRolledBack, kRolledBack}, "COMMIT failed, the transaction was rolled back: gone", Effect::kNone},
      {{kCommitted, kRolledBack},
       "the transaction is committed on some shards and not on others: committed on ks/0; rolled back on ks/1: gone",
       Effect::kUnknown},
      {{kCommitted, kUnknown, kRolledBack},
       "the transaction is committed on some shards and not on others: committed on ks/0; rolled back on ks/2; unknown "
       "on ks/1: gone",
       Effect::kUnknown},
      {{kUnknown, kRolledBack, kRolledBack},
       "the connection was lost during COMMIT: whether it took effect is unknown: rolled back on ks/1, ks/2; unknown "
       "on "
       "ks/0: gone",
       Effect::kUnknown},
  };
  for (const auto& c : cases) {
    std::vector<CommittedPart> parts;
    for (const PartState state : c.states) {
      parts.push_back({{"ks", std::to_string(parts.size()), "primary"}, state});
    }
    const Error error = commit_error(parts, fail(Code::kUnavailable, "gone"));
    EXPECT_EQ(error.message(), c.text);
    EXPECT_EQ(error.effect(), c.effect);
    if (c.effect == Effect::kNone) EXPECT_EQ(error.mysql_errno(), mysql::errnos::kDeadlock);
  }
}

}  // namespace
}  // namespace vitrail::gate
