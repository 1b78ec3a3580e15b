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

}  // namespace
}  // namespace vitrail::topo
