#include "movement/epochs.h"

#include <gtest/gtest.h>

namespace vitrail::movement {
namespace {

TEST(Epochs, OneOfAnOwnerBeforeIsRefusedAndALaterOneIsNoted) {
  struct Case {
    std::optional<int64_t> latest;
    bool allowed;
    size_t statements;
  };
  ::workflowdata::Fence fence;
  fence.set_workflow_id("it's");
  fence.set_epoch(5);
  for (const Case& one : {Case{std::nullopt, true, 2}, Case{4, true, 1}, Case{5, true, 0}, Case{6, false, 1}}) {
    const std::string name = one.latest ? std::to_string(*one.latest) : "none";
    EXPECT_EQ(check_epoch(fence, one.latest).ok(), one.allowed) << name;
    if (one.allowed) EXPECT_EQ(note_epoch(fence, one.latest, 100).size(), one.statements) << name;
  }
  EXPECT_EQ(select_epoch(fence), "SELECT epoch FROM _vt.workflow_epoch WHERE workflow_id = 'it''s'");
}

}  // namespace
}  // namespace vitrail::movement
