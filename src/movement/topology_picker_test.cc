#include <gtest/gtest.h>

#include "movement/engine.h"
#include "net/loop.h"
#include "topo/cells.h"
#include "topo/external.h"
#include "topo/keyspace.h"
#include "topo/shard.h"
#include "topo/tablet.h"

namespace vitrail::movement {
namespace {

class TopologyPicker : public ::testing::Test {
 protected:
  // Two clusters with a keyspace and a cell of the same names; `here` knows the other one as "there".
  template <typename Test>
  void run(Test test) {
    net::LoopThread thread("picker");
    net::block_on(thread.loop(), [](Test body) -> net::Task<void> {
      auto here = co_await open("here");
      auto there = co_await open("there");
      ::topodata::TopoConfig config;
      config.set_topo_type("memory");
      config.set_server("there");
      config.set_root("/global");
      EXPECT_TRUE((co_await topo::create_external_cluster(*here, "there", config)).ok());
      co_await add_tablet(*here, 100);
      co_await add_tablet(*there, 200);
      auto picker = make_topology_picker(*here, "zone1");
      co_await body(*picker, *here);
      co_await here->close();
      co_await there->close();
    }(test));
  }

  static net::Task<std::unique_ptr<topo::Server>> open(std::string address) {
    topo::ServerOptions options;
    options.implementation = "memory";
    options.global_server_address = address;
    options.global_root = "/global";
    auto server = co_await topo::Server::open(options);
    CHECK(server.ok());
    ::topodata::CellInfo cell;
    cell.set_server_address(address);
    cell.set_root("/zone1");
    EXPECT_TRUE((co_await topo::create_cell_info(**server, "zone1", cell)).ok());
    EXPECT_TRUE((co_await topo::create_keyspace(**server, "ks", {})).ok());
    EXPECT_TRUE((co_await topo::create_shard(**server, "ks", "0")).ok());
    co_return std::move(*server);
  }

  static net::Task<void> add_tablet(topo::Server& server, uint32_t uid) {
    ::topodata::Tablet tablet;
    tablet.mutable_alias()->set_cell("zone1");
    tablet.mutable_alias()->set_uid(uid);
    tablet.set_hostname("localhost");
    (*tablet.mutable_port_map())["grpc"] = static_cast<int32_t>(10'000 + uid);
    tablet.set_keyspace("ks");
    tablet.set_shard("0");
    tablet.set_type(::topodata::REPLICA);
    EXPECT_TRUE((co_await topo::create_tablet(server, tablet)).ok());
  }

  static net::Task<std::string> found(SourcePicker& picker, std::string cluster, std::string cell = "") {
    SourceQuery query;
    query.cluster = std::move(cluster);
    query.keyspace = "ks";
    query.shard = "0";
    if (!cell.empty()) query.cells = {cell};
    query.types = {::topodata::REPLICA};
    const auto candidates = co_await picker.candidates(std::move(query));
    if (!candidates.ok()) co_return candidates.error().message();
    std::string out;
    for (const auto& one : *candidates) out += one.address + " ";
    co_return out;
  }
};

TEST_F(TopologyPicker, ASourceOfAnotherClusterIsFoundInItsTopology) {
  run([](SourcePicker& picker, topo::Server& here) -> net::Task<void> {
    EXPECT_EQ(co_await found(picker, ""), "localhost:10100 ");
    EXPECT_EQ(co_await found(picker, "there"), "localhost:10200 ");
    EXPECT_EQ(co_await found(picker, "there", "zone1"), "localhost:10200 ");
    EXPECT_NE((co_await found(picker, "nowhere")).find("external cluster nowhere"), std::string::npos);
    EXPECT_TRUE((co_await topo::delete_external_cluster(here, "there")).ok());
    EXPECT_NE((co_await found(picker, "there")).find("external cluster there"), std::string::npos);
    EXPECT_EQ(co_await found(picker, ""), "localhost:10100 ");
  });
}

}  // namespace
}  // namespace vitrail::movement
