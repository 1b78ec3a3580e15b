// Validation: each planted fault is found, and nothing else.
#include "base/metrics.h"
#include "control/test_control_plane.h"
#include "rpc/http.h"
#include "topo/locks.h"
#include "topo/shard.h"
#include "topo/srv_keyspace.h"

namespace vitrail::control {
namespace {

using ::topodata::PRIMARY;
using ::topodata::RDONLY;
using ::topodata::REPLICA;

class Validation : public ControlTest {
 protected:
  void SetUp() override {
    ControlTest::SetUp();
    make_customer();
    ASSERT_EQ(ctl("Validate"), "Validation complete; no issues found.\n");
  }
  void expect_fault(const std::string& text) {
    const std::string shown = ctl("Validate");
    size_t found = 0;
    for (size_t at = shown.find("\n- "); at != std::string::npos; at = shown.find("\n- ", at + 1)) ++found;
    EXPECT_EQ(found, 1U) << shown;
    EXPECT_TRUE(shown.starts_with("Validation results:\n")) << shown;
    EXPECT_TRUE(shown.ends_with("FAILED_PRECONDITION: some issues were found during validation; see above for details"))
        << shown;
    EXPECT_HAS(shown, text);
  }
  void change_shard(topo::UpdateFn<::topodata::Shard> change) {
    ASSERT_TRUE(run(topo::update_shard_fields(*topology_, "customer", "-80", std::move(change))).ok());
  }
};

TEST_F(Validation, FindsAMissingPrimary) {
  change_shard([](::topodata::Shard& record) -> Result<bool> {
    record.clear_primary_alias();
    return true;
  });
  const std::string shown = ctl("ValidateShard", "customer/-80");
  EXPECT_HAS(shown, "no primary for shard customer/-80");
  EXPECT_HAS(shown, "but found primary zone1-0000000100");
}

TEST_F(Validation, FindsAPrimaryWithAnotherType) {
  topo::UpdateFn<::topodata::Tablet> demote = [](::topodata::Tablet& tablet) -> Result<bool> {
    tablet.set_type(REPLICA);
    return true;
  };
  ASSERT_TRUE(run(topo::update_tablet_fields(*topology_, *topo::parse_alias("zone1-100"), std::move(demote))).ok());
  expect_fault("primary mismatch for shard customer/-80");
}

TEST_F(Validation, FindsASecondPrimary) {
  add_tablet("zone1-102", "customer", "-80", PRIMARY, 5);
  expect_fault("shard customer/-80 already has primary zone1-0000000100 but found other primary zone1-0000000102");
}

TEST_F(Validation, FindsAPrimaryWithoutARecord) {
  ok("DeleteTablets", "zone1-101");
  change_shard([](::topodata::Shard& record) -> Result<bool> {
    record.mutable_primary_alias()->set_uid(777);
    return true;
  });
  EXPECT_HAS(ctl("ValidateShard", "customer/-80"),
             "primary zone1-0000000777 of shard customer/-80 has no tablet record");
}

TEST_F(Validation, FindsAWrongKeyRange) {
  change_shard([](::topodata::Shard& record) -> Result<bool> {
    record.mutable_key_range()->set_end("\x40");
    return true;
  });
  expect_fault("the key range in the record of shard customer/-80 is not that of its name");
}

TEST_F(Validation, FindsNodesWithoutTablets) {
  ok("ShardReplicationAdd", "customer/-80", "zone1-999");
  expect_fault("tablet zone1-0000000999 is in the replication graph of customer/-80");
  EXPECT_EQ(ctl("ValidateShard", "customer/80-"), "Validation of customer/80- complete; no issues found.\n");
  // As Vitess's client has it, blank lines and all.
  const std::string finding =
      "- tablet zone1-0000000999 is in the replication graph of customer/-80 in cell zone1 and has no "
      "record there\n";
  EXPECT_EQ(ctl("Validate"),
            "Validation results:\n\nFor customer:\n\nFor customer/-80:\n" + finding +
                "FAILED_PRECONDITION: some issues were found during validation; see above for details");
  EXPECT_EQ(ctl("ValidateKeyspace", "customer"),
            "Validation results:\n\nFor customer/-80:\n" + finding +
                "FAILED_PRECONDITION: keyspace customer had validation issues; see above for details");
  EXPECT_EQ(ctl("ValidateShard", "customer/-80"),
            "Validation results:\n" + finding +
                "FAILED_PRECONDITION: shard customer/-80 had validation issues; see above for details");
}

TEST_F(Validation, FindsAServingGraphThatRefersToNothing) {
  ok("DeleteShards", "--even-if-serving", "--recursive", "customer/-80");
  EXPECT_HAS(ctl("ValidateKeyspace", "customer"),
             "the serving graph of keyspace customer in cell zone1 refers to shard -80, which does not exist");
}

TEST_F(Validation, FindsAHoleInTheServingGraph) {
  auto lock = run(topo::KeyspaceLock::acquire(*topology_, "customer", "test"));
  ASSERT_TRUE(lock.ok());
  topo::UpdateFn<::topodata::SrvKeyspace> tear = [](::topodata::SrvKeyspace& record) -> Result<bool> {
    record.mutable_partitions(1)->mutable_shard_references()->RemoveLast();
    return true;
  };
  ASSERT_TRUE(run(topo::update_srv_keyspace_fields(*topology_, *lock, "zone1", std::move(tear))).ok());
  ASSERT_TRUE(run(lock->release()).ok());
  expect_fault("keyspace partition for REPLICA in cell zone1 of keyspace customer does not end with max key");
}

TEST_F(Validation, FindsATabletOfNoShard) {
  ok("CreateKeyspace", "gone");
  ok("CreateShard", "gone/0");
  add_tablet("zone1-500", "gone", "0");
  ok("DeleteShards", "--even-if-serving", "--recursive", "gone/0");
  ok("DeleteKeyspace", "gone");
  add_tablet("zone1-500", "gone", "0");
  expect_fault("tablet zone1-0000000500 belongs to shard gone/0, which does not exist");
}

TEST_F(Validation, FindsTabletsThatDoNotAnswer) {
  const std::string shown = ctl("ValidateShard", "--ping-tablets", "customer/-80");
  EXPECT_HAS(shown, "tablet does not answer: tablet zone1-0000000100");
  EXPECT_HAS(shown, "tablet does not answer: tablet zone1-0000000101");
}

TEST_F(Validation, FindsAKeyspaceWithoutShards) {
  ok("CreateKeyspace", "empty");
  expect_fault("no shards in keyspace empty");
}

// The tablets' pages are asked for it: two of them, of two versions.
TEST_F(ControlTest, CompareTheVersionsOfTablets) {
  struct Program {
    explicit Program(const std::string& version)
        : metrics("vttablet"), http([this] {
            rpc::HttpOptions options;
            options.metrics = &metrics;
            return options;
          }()) {
      text = metrics.text_function("BuildVersion", [version] { return version; });
      EXPECT_TRUE(http.start().ok());
    }
    base::Metrics metrics;
    base::Metrics::Subscription text;
    rpc::HttpServer http;
  };
  Program older("Version: 23.0.0"), newer("Version: 24.0.0");
  add_cell("zone1");
  ok("CreateKeyspace", "commerce");
  ok("CreateShard", "commerce/0");
  add_tablet("zone1-100", "commerce", "0", PRIMARY, 10, newer.http.port());
  add_tablet("zone1-101", "commerce", "0", REPLICA, 0, newer.http.port());
  set_primary("commerce", "0", "zone1-100");
  EXPECT_EQ(ctl("GetTabletVersion", "zone1-101"), "Version: 24.0.0\n");
  EXPECT_EQ(ctl("ValidateVersionShard", "commerce/0"), "{\n  \"results\": []\n}\n");
  add_tablet("zone1-102", "commerce", "0", RDONLY, 0, older.http.port());
  const std::string difference =
      "primary zone1-0000000100 version Version: 24.0.0 is different than replica zone1-0000000102 version Version: "
      "23.0.0";
  EXPECT_HAS(ctl("ValidateVersionShard", "commerce/0"), difference);
  EXPECT_HAS(ctl("ValidateVersionKeyspace", "commerce"), difference);
  older.http.stop();
  EXPECT_HAS(ctl("ValidateVersionShard", "commerce/0"), "unable to get version: ");
}

}  // namespace
}  // namespace vitrail::control
