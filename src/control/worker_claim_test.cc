// Who gives back what a vtworker has taken.
#include "control/worker_claim.h"

#include "control/test_control_plane.h"

namespace vitrail::control {
namespace {

class WorkerClaims : public ControlTest {
 protected:
  std::vector<std::string> claims() {
    std::vector<std::string> paths;
    for (const auto& record : *run(topology_->global().list("workers"))) paths.push_back(record.path);
    return paths;
  }
};

TEST_F(WorkerClaims, AreLeftAloneWhileTheirWorkerLives) {
  auto claim = run(WorkerClaim::open(*tablets_, "http://h:1/", "SplitClone a/0"));
  ASSERT_TRUE(claim.ok());
  EXPECT_TRUE(run((*claim)->check()).ok());
  EXPECT_TRUE(claims().empty()) << "nothing is taken yet";
  // Of a shard that does not exist: there is nothing to start again.
  ASSERT_TRUE(run((*claim)->hold_streams("gone", "0", {1})).ok());
  EXPECT_EQ(claims().size(), 1u);
  EXPECT_TRUE(run(sweep_worker_claims(*tablets_))->empty());
  EXPECT_EQ(claims().size(), 1u);
  EXPECT_TRUE(run((*claim)->give_back()).ok());
  EXPECT_TRUE(claims().empty());
}

TEST_F(WorkerClaims, OfADeadWorkerAreGivenBackByWhoeverFindsThem) {
  WorkerClaimRecord record{.url = "http://h:1/", .job = "SplitClone a/0", .tablets = {}, .streams = {}};
  ::topodata::TabletAlias alias;
  alias.set_cell("zone1");
  alias.set_uid(7);
  record.tablets.push_back({alias, ::topodata::RDONLY});  // Deleted meanwhile, as its cell.
  ASSERT_TRUE(run(topology_->global().create("workers/x/Claim", record.to_json())).ok());
  const auto swept = run(sweep_worker_claims(*tablets_));
  ASSERT_TRUE(swept.ok());
  EXPECT_EQ(*swept, std::vector<std::string>{"1 tablet(s), 0 shard(s) with streams of the job \"SplitClone a/0\""});
  EXPECT_TRUE(claims().empty());
}

TEST_F(WorkerClaims, OneWorkerAtATimeCopiesToAKeyspace) {
  auto first = run(WorkerClaim::open(*tablets_, "http://h:1/", "SplitClone a/0"));
  auto second = run(WorkerClaim::open(*tablets_, "http://h:2/", "SplitClone a/0"));
  ASSERT_TRUE(run((*first)->own_keyspace("a", {})).ok());
  net::CancelSource cancelled;
  cancelled.cancel();
  const Status refused = run((*second)->own_keyspace("a", cancelled.token()));
  ASSERT_FALSE(refused.ok());
  EXPECT_HAS(refused.error().message(), "another vtworker copies to keyspace a");
  EXPECT_TRUE(run((*second)->own_keyspace("b", {})).ok());
  EXPECT_TRUE(run((*first)->give_back()).ok());
  EXPECT_TRUE(run((*second)->own_keyspace("a", {})).ok());
  EXPECT_TRUE(run((*second)->give_back()).ok());
}

}  // namespace
}  // namespace vitrail::control
