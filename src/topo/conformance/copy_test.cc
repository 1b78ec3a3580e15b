// Copies between every pair of store kinds, with real servers.
#include "topo/copy.h"

#include "topo/cells.h"
#include "topo/conformance/etcd_server.h"
#include "topo/conformance/fixture.h"
#include "topo/conformance/zookeeper_server.h"
#include "topo/keyspace.h"
#include "topo/shard.h"
#include "topo/tablet.h"
#include "topo/vschema.h"

namespace vitrail::topo::conformance {
namespace {

constexpr CopyParts kAll{
    .keyspaces = true, .shards = true, .shard_replications = true, .tablets = true, .routing_rules = true};

class TopoCopy : public testing::Test, protected Runner {
 protected:
  void TearDown() override {
    for (auto& server : servers_) run(server->close());
  }
  std::string address(const std::string& kind) {
    static EtcdServer& etcd = *new EtcdServer;
    static ZookeeperServer& zookeeper = *new ZookeeperServer;
    if (kind == "etcd2") return etcd.address();
    if (kind == "zk2") return zookeeper.address();
    return kind == "sqlite" ? folder_.file("topo.db") : "copy_test";
  }
  // A topology with the cell zone1, on roots of its own.
  Server& open(const std::string& kind) {
    static int number = 0;
    const std::string root = "/copy" + std::to_string(++number);
    auto server = run(Server::open(
        {.implementation = kind, .global_server_address = address(kind), .global_root = root + "/global"}));
    EXPECT_TRUE(server.ok()) << kind;
    servers_.push_back(std::move(*server));
    ::topodata::CellInfo cell;
    cell.set_server_address(address(kind));
    cell.set_root(root + "/zone1");
    EXPECT_TRUE(run(create_cell_info(*servers_.back(), "zone1", cell)).ok());
    return *servers_.back();
  }
  void fill(Server& server) {
    ASSERT_OK(run(create_keyspace(server, "commerce", {})));
    ASSERT_OK(run(create_shard(server, "commerce", "-80")));
    ASSERT_OK(run(create_shard(server, "commerce", "80-")));
    ::vschema::Keyspace vschema;
    for (const char* table : {"a", "b", "c"}) (*vschema.mutable_tables())[table];
    ASSERT_OK(run(save_vschema(server, "commerce", vschema)));
    ::vschema::RoutingRules rules;
    auto& rule = *rules.add_rules();
    rule.set_from_table("t");
    rule.add_to_tables("commerce.t");
    ASSERT_OK(run(save_routing_rules(server, rules)));
    for (const uint32_t uid : {100u, 101u}) {
      ::topodata::Tablet tablet;
      tablet.mutable_alias()->set_cell("zone1");
      tablet.mutable_alias()->set_uid(uid);
      tablet.set_hostname("host");
      tablet.set_keyspace("commerce");
      tablet.set_shard("-80");
      tablet.set_type(::topodata::REPLICA);
      ASSERT_OK(run(create_tablet(server, tablet)));
    }
  }
  std::vector<std::string> compare(Server& from, Server& to, CopyParts parts = kAll) {
    auto differences = run(compare_records(from, to, parts));
    EXPECT_TRUE(differences.ok());
    return differences.ok() ? std::move(*differences) : std::vector<std::string>{"error"};
  }

  TempFolder folder_{true};
  std::vector<std::unique_ptr<Server>> servers_;
};

TEST_F(TopoCopy, EveryKindToEveryKind) {
  const std::vector<std::string> kinds = {"memory", "sqlite", "etcd2", "zk2"};
  for (const auto& from_kind : kinds) {
    Server& from = open(from_kind);
    fill(from);
    for (const auto& to_kind : kinds) {
      SCOPED_TRACE(from_kind + " to " + to_kind);
      Server& to = open(to_kind);
      EXPECT_EQ(compare(from, to).size(), 8u);
      const auto copied = run(copy_records(from, to, kAll));
      ASSERT_OK(copied);
      EXPECT_EQ(*copied, 8u);  // Keyspace, VSchema, 2 Shards, RoutingRules, 2 Tablets, ShardReplication.
      EXPECT_EQ(compare(from, to), std::vector<std::string>());
      EXPECT_EQ(
          run(get_tablet(to, run(get_tablet(from, *parse_alias("zone1-100")))->record.alias()))->record.hostname(),
          "host");
    }
  }
}

TEST_F(TopoCopy, TakesOnlyThePartsAndTellsEachDifference) {
  Server& from = open("memory");
  Server& to = open("sqlite");
  fill(from);
  ASSERT_OK(run(copy_records(from, to, {.keyspaces = true})));
  EXPECT_EQ(compare(from, to, {.keyspaces = true}), std::vector<std::string>());
  EXPECT_EQ(compare(from, to, {.shards = true}),
            (std::vector<std::string>{"keyspaces/commerce/shards/-80/Shard: only in the first",
                                      "keyspaces/commerce/shards/80-/Shard: only in the first"}));
  ASSERT_OK(run(copy_records(from, to, kAll)));
  UpdateFn<::topodata::Tablet> rename = [](::topodata::Tablet& record) -> Result<bool> {
    record.set_hostname("elsewhere");
    return true;
  };
  ASSERT_OK(run(update_tablet_fields(to, *parse_alias("zone1-101"), std::move(rename))));
  ASSERT_OK(run(create_keyspace(to, "other", {}, false)));
  EXPECT_EQ(compare(from, to), (std::vector<std::string>{"keyspaces/other/Keyspace: only in the second",
                                                         "cell zone1: tablets/zone1-0000000101/Tablet: differs"}));
  // Again: what is there is replaced, what is only there stays.
  ASSERT_OK(run(copy_records(from, to, kAll)));
  EXPECT_EQ(compare(from, to), std::vector<std::string>{"keyspaces/other/Keyspace: only in the second"});
}

TEST_F(TopoCopy, AsksForTheCells) {
  Server& from = open("memory");
  Server& to = open("memory");
  ::topodata::CellInfo cell;
  cell.set_server_address("copy_test");
  cell.set_root("/copy_test/zone2");
  ASSERT_OK(run(create_cell_info(from, "zone2", cell)));
  fill(from);
  const auto refused = run(copy_records(from, to, kAll));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().message(), "cell zone2 is not known in the second topology: AddCellInfo there first");
  EXPECT_EQ(run(get_keyspaces(to))->size(), 0u) << "nothing was copied";
  ASSERT_OK(run(copy_records(from, to, {.keyspaces = true})));  // Records of cells are not asked for.
}

}  // namespace
}  // namespace vitrail::topo::conformance
