#include "topo/workflow_fence.h"

#include <gtest/gtest.h>

#include "tabletmanagerdata.pb.h"

namespace vitrail::topo {
namespace {

TEST(WorkflowFence, TravelsWithARequestThatDoesNotKnowIt) {
  ::tabletmanagerdata::DeleteVReplicationWorkflowRequest request;
  request.set_workflow("w");
  EXPECT_FALSE(find_fence(request));
  ::workflowdata::Fence fence;
  fence.set_workflow_id("one");
  fence.set_epoch(7);
  set_fence(request, fence);

  ::tabletmanagerdata::DeleteVReplicationWorkflowRequest received;
  ASSERT_TRUE(received.ParseFromString(request.SerializeAsString()));
  EXPECT_EQ(received.workflow(), "w");
  const auto found = find_fence(received);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->workflow_id(), "one");
  EXPECT_EQ(found->epoch(), 7);
}

TEST(ShardFence, HoldsForTheOwnerOfTheChangeThatIsUnderWay) {
  struct Case {
    const char* what;
    const char* id;
    int64_t epoch;
    bool open;
    bool allowed;
  };
  const Case cases[] = {
      {"the owner's own", "reparent-1", 3, true, true},
      {"taken over since", "reparent-1", 4, true, false},
      {"ended", "reparent-1", 3, false, false},
      {"another change", "reparent-2", 3, true, false},
      {"no record", "", 0, false, false},
  };
  ::workflowdata::Fence fence;
  fence.set_workflow_id("reparent-1");
  fence.set_epoch(3);
  for (const Case& one : cases) {
    ::workflowdata::Record now;
    now.set_id(one.id);
    now.set_epoch(one.epoch);
    if (one.open) now.mutable_open();
    EXPECT_EQ(check_shard_fence(now, fence).ok(), one.allowed) << one.what;
  }
}

}  // namespace
}  // namespace vitrail::topo
