// Keyspaces that are served from another one, and their migration, against tablets that only say what they were asked.
#include "control/served_from.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "control/served_from_change.h"
#include "control/test_control_plane.h"
#include "control/workflow/records.h"
#include "rpc/typed.h"
#include "tabletmanagerdata.pb.h"
#include "topo/srv_keyspace.h"

namespace vitrail::control {
namespace {

namespace tmd = ::tabletmanagerdata;
using ::topodata::PRIMARY;
using ::topodata::RDONLY;
using ::topodata::REPLICA;

// Answers as every tablet of the test.
class Tablets {
 public:
  explicit Tablets(net::Loop& loop) : server_(rpc::ServerOptions{}) {
    answer<tmd::RefreshStateRequest, tmd::RefreshStateResponse>(loop, "RefreshState",
                                                                [](const auto&, auto&) { return std::string(); });
    answer<tmd::PrimaryPositionRequest, tmd::PrimaryPositionResponse>(loop, "PrimaryPosition",
                                                                      [](const auto&, auto& out) {
                                                                        out.set_position("0-1-7");
                                                                        return std::string();
                                                                      });
    answer<tmd::VReplicationWaitForPosRequest, tmd::VReplicationWaitForPosResponse>(
        loop, "VReplicationWaitForPos",
        [](const auto& request, auto&) { return std::to_string(request.id()) + " " + request.position(); });
    answer<tmd::VReplicationExecRequest, tmd::VReplicationExecResponse>(
        loop, "VReplicationExec", [this](const auto& request, auto& out) {
          const bool rows = request.query().starts_with("select vrepl_id") ? is_copying
                            : request.query().starts_with("select")        ? has_stream
                                                                           : false;
          if (rows) out.mutable_result()->add_rows();
          return request.query();
        });
    CHECK(server_.start().ok());
  }
  ~Tablets() = default;

  uint16_t port() const { return server_.port(); }
  rpc::Server& server() { return server_; }

  std::vector<std::string> calls;  // "Method detail"
  std::string failing;             // The method that fails.
  bool has_stream = true;
  bool is_copying = false;

 private:
  template <typename Request, typename Response, typename Fill>
  void answer(net::Loop& loop, const std::string& method, Fill fill) {
    rpc::handle_unary<Request, Response>(server_, "/tabletmanagerservice.TabletManager/" + method, loop,
                                         [this, method, fill](rpc::CallContext, Request request) {
                                           return reply<Response>(*this, method, request, fill);
                                         });
  }
  template <typename Response, typename Request, typename Fill>
  static net::Task<Result<Response>> reply(Tablets& self, std::string method, Request request, Fill fill) {
    Response out;
    const std::string detail = fill(request, out);
    self.calls.push_back(detail.empty() ? method : method + " " + detail);
    if (self.failing == method) co_return fail(Code::kDeadlineExceeded, "planted");
    co_return out;
  }
  rpc::Server server_;
};

class ServedFrom : public ControlTest {
 protected:
  void SetUp() override {
    ControlTest::SetUp();
    fake_ = std::make_unique<Tablets>(loop_.loop());
    add_cell("zone1");
    add_cell("zone2");
    for (const std::string keyspace : {"commerce", "customer"}) {
      ok("CreateKeyspace", keyspace);
      ok("CreateShard", keyspace + "/0");
    }
    ok("RebuildKeyspaceGraph", "commerce");
    add("zone1-100", "commerce", PRIMARY);
    add("zone1-101", "commerce", REPLICA);
    add("zone2-102", "commerce", REPLICA);
    add("zone1-200", "customer", PRIMARY);
    set_primary("commerce", "0", "zone1-100");
    set_primary("customer", "0", "zone1-200");
    std::vector<topo::ServedFromUpdate> all;
    for (const auto type : topo::kServedTypes) all.push_back({.type = type, .cells = {}, .source = "commerce"});
    ASSERT_TRUE(run(serve_from(*topology_, "customer", all)).ok());
    ok("SourceShardAdd", "--tables=customer,corder", "customer/0", "7", "commerce/0");
  }
  void TearDown() override {
    run(fake_->server().stop(std::chrono::seconds(1)));
    ControlTest::TearDown();
  }
  void add(const std::string& alias, const std::string& keyspace, ::topodata::TabletType type) {
    add_tablet(alias, keyspace, "0", type);
    topo::UpdateFn<::topodata::Tablet> set = [&](::topodata::Tablet& record) -> Result<bool> {
      (*record.mutable_port_map())["grpc"] = fake_->port();
      return true;
    };
    ASSERT_TRUE(run(topo::update_tablet_fields(*topology_, *topo::parse_alias(alias), std::move(set))).ok());
  }
  // The error's message, or the notes.
  std::string migrate(ServedFromMigration migration) {
    migration.keyspace = "customer";
    migration.shard = "0";
    const auto done = run(migrate_served_from(*tablets_, std::move(migration)));
    if (!done.ok()) return done.error().message();
    std::string out;
    for (const auto& note : *done) out += note + "\n";
    return out;
  }
  size_t count(const std::string& call) { return static_cast<size_t>(std::ranges::count(fake_->calls, call)); }
  std::string served(const std::string& cell) {
    const std::string text = record("/" + cell + "/keyspaces/customer/SrvKeyspace");
    std::string types;
    for (const std::string type : {"PRIMARY", "REPLICA", "RDONLY"}) {
      if (text.find("served_from:{tablet_type:" + type + " keyspace:\"commerce\"}") != std::string::npos) {
        types += type + " ";
      }
    }
    return types;
  }

  std::unique_ptr<Tablets> fake_;
};

// S3-30, S4-36
TEST_F(ServedFrom, HoldsInTheCellsThatTheRecordNames) {
  EXPECT_HAS(ctl("GetKeyspace", "customer"), "\"served_froms\"");
  EXPECT_FALSE(has(ctl("GetKeyspace", "commerce"), "served_froms")) << "today's tools do not know the field";
  EXPECT_EQ(served("zone1"), "PRIMARY REPLICA RDONLY ");
  ASSERT_TRUE(run(set_served_from(*topology_, "customer", {.type = RDONLY, .cells = {"zone1"}, .source = ""})).ok());
  EXPECT_EQ(served("zone1"), "PRIMARY REPLICA RDONLY ") << "the record alone";
  ok("RebuildKeyspaceGraph", "customer");
  EXPECT_EQ(served("zone1"), "PRIMARY REPLICA ");
  EXPECT_EQ(served("zone2"), "PRIMARY REPLICA RDONLY ");

  const auto refused = [&](topo::ServedFromUpdate update) {
    const Status status = run(set_served_from(*topology_, "customer", std::move(update)));
    return status.ok() ? Code::kOk : status.error().code();
  };
  EXPECT_EQ(refused({.type = REPLICA, .cells = {}, .source = "customer"}), Code::kInvalidArgument);
  EXPECT_EQ(refused({.type = REPLICA, .cells = {}, .source = "nowhere"}), Code::kNotFound);
  EXPECT_EQ(refused({.type = REPLICA, .cells = {"zone9"}, .source = ""}), Code::kNotFound);
  EXPECT_EQ(refused({.type = REPLICA, .cells = {}, .source = "commerce"}), Code::kOk) << "again";
  const Status chain =
      run(set_served_from(*topology_, "commerce", {.type = REPLICA, .cells = {}, .source = "customer"}));
  ASSERT_FALSE(chain.ok());
  EXPECT_HAS(chain.error().message(), "keyspace customer is itself served from another keyspace");
}

// S3-48 .. S3-51, S4-36
TEST_F(ServedFrom, MigratesReadsByCellAndBack) {
  fake_->is_copying = true;
  EXPECT_HAS(migrate({.type = REPLICA}), "is still copying the tables");
  EXPECT_EQ(served("zone1"), "PRIMARY REPLICA RDONLY ");
  fake_->is_copying = false;
  EXPECT_EQ(migrate({.type = REPLICA, .cells = {"zone1"}}), "");
  EXPECT_EQ(served("zone1"), "PRIMARY RDONLY ");
  EXPECT_EQ(served("zone2"), "PRIMARY REPLICA RDONLY ");
  EXPECT_HAS(record("/global/keyspaces/customer/Keyspace"),
             "served_froms:{tablet_type:REPLICA cells:\"zone2\" keyspace:\"commerce\"}");
  EXPECT_HAS(record("/global/keyspaces/commerce/shards/0/Shard"),
             "tablet_controls:{tablet_type:REPLICA cells:\"zone1\" denylisted_tables:\"corder\" "
             "denylisted_tables:\"customer\"}");
  EXPECT_EQ(count("RefreshState"), 1u) << "of the source's replica in that cell";
  EXPECT_EQ(migrate({.type = REPLICA}), "");
  EXPECT_EQ(served("zone2"), "PRIMARY RDONLY ");
  EXPECT_EQ(migrate({.type = REPLICA}), "") << "repeating is harmless";
  EXPECT_EQ(migrate({.type = REPLICA, .cells = {"zone2"}, .reverse = true}), "");
  EXPECT_EQ(served("zone1"), "PRIMARY RDONLY ");
  EXPECT_EQ(served("zone2"), "PRIMARY REPLICA RDONLY ");
  EXPECT_HAS(record("/global/keyspaces/commerce/shards/0/Shard"), "tablet_type:REPLICA cells:\"zone1\" denylisted");
  EXPECT_EQ(migrate({.type = REPLICA, .reverse = true}), "");
  EXPECT_FALSE(has(record("/global/keyspaces/commerce/shards/0/Shard"), "tablet_controls"));
  fake_->failing = "RefreshState";
  EXPECT_HAS(migrate({.type = REPLICA}), "planted");
  EXPECT_EQ(served("zone1"), "PRIMARY RDONLY ") << "a silent tablet is reported and holds nothing up";
}

// S3-47, S3-52 .. S3-57
TEST_F(ServedFrom, MigratesThePrimaryLastAndForGood) {
  EXPECT_EQ(migrate({.type = PRIMARY}), "cannot migrate master into customer until everything else is migrated");
  EXPECT_EQ(migrate({.type = PRIMARY, .cells = {"zone1"}}),
            "cannot migrate only some cells for master removal in keyspace customer");
  EXPECT_EQ(migrate({.type = PRIMARY, .reverse = true}), "cannot add master back to customer");
  EXPECT_EQ(migrate({.type = ::topodata::SPARE}).substr(0, 33), "supplied type cannot be migrated:");
  EXPECT_EQ(migrate({.type = RDONLY}), "");
  EXPECT_EQ(migrate({.type = REPLICA}), "");
  fake_->calls.clear();

  // Without the stream nothing is touched.
  const std::string before = record("/global/keyspaces/commerce/shards/0/Shard");
  fake_->has_stream = false;
  EXPECT_HAS(migrate({.type = PRIMARY}), "no filtered replication with id 7 runs on tablet zone1-0000000200");
  fake_->has_stream = true;
  EXPECT_EQ(count("RefreshState"), 0u);
  fake_->is_copying = true;
  EXPECT_HAS(migrate({.type = PRIMARY}), "tablet zone1-0000000200 is still copying the tables");
  fake_->is_copying = false;
  EXPECT_EQ(count("RefreshState"), 0u);
  // A stream that does not catch up: the source serves again.
  fake_->failing = "VReplicationWaitForPos";
  EXPECT_HAS(migrate({.type = PRIMARY}), "the stream has not caught up");
  fake_->failing.clear();
  EXPECT_EQ(count("RefreshState"), 2u);
  EXPECT_EQ(record("/global/keyspaces/commerce/shards/0/Shard"), before);
  EXPECT_EQ(served("zone1"), "PRIMARY ");

  fake_->calls.clear();
  EXPECT_EQ(migrate({.type = PRIMARY}), "");
  EXPECT_EQ(fake_->calls,
            (std::vector<std::string>{"VReplicationExec select id from _vt.vreplication where id = 7",
                                      "VReplicationExec select vrepl_id from _vt.copy_state where vrepl_id = 7",
                                      "RefreshState", "PrimaryPosition", "VReplicationWaitForPos 7 0-1-7",
                                      "VReplicationExec delete from _vt.vreplication where id = 7", "RefreshState"}));
  EXPECT_EQ(served("zone1") + served("zone2"), "");
  EXPECT_FALSE(has(record("/global/keyspaces/customer/Keyspace"), "served_froms"));
  EXPECT_FALSE(has(record("/global/keyspaces/customer/shards/0/Shard"), "source_shards"));
  EXPECT_HAS(record("/global/keyspaces/commerce/shards/0/Shard"), "tablet_controls:{tablet_type:PRIMARY denylisted");
  EXPECT_EQ(migrate({.type = PRIMARY, .reverse = true}),
            "destination keyspace customer is not a vertical split target");
}

// Somebody died in the middle of it: whoever comes next takes it back, or finishes it.
TEST_F(ServedFrom, AMigrationOutlivesWhoeverBeganIt) {
  EXPECT_EQ(migrate({.type = RDONLY}), "");
  EXPECT_EQ(migrate({.type = REPLICA}), "");
  const std::string before = record("/global/keyspaces/commerce/shards/0/Shard");
  const auto interrupted_at = [&](std::vector<std::string> steps) {
    ServedFromMigration migration{.keyspace = "customer", .shard = "0", .type = PRIMARY};
    ::topodata::Shard::SourceShard source;
    source.set_uid(7);
    source.set_keyspace("commerce");
    source.set_shard("0");
    source.add_tables("customer");
    source.add_tables("corder");
    auto record = make_served_from_record(migration, source, 1);
    for (const auto& name : steps) {
      auto& step = *record.mutable_open()->add_steps();
      step.set_name(name);
      step.set_state(name == steps.back() ? ::workflowdata::STARTED : ::workflowdata::DONE);
    }
    ASSERT_TRUE(run(engine::create_record(*topology_, std::move(record))).ok());
    ok("SetShardTabletControl", "--denied-tables=customer,corder", "commerce/0", "primary");
    const Status settled = run(engine::settle(*topology_, "customer", "served-from:0", operation_factory(*tablets_),
                                              engine::this_process(), net::Wait::within(std::chrono::seconds(20))));
    ASSERT_TRUE(settled.ok()) << settled.error().to_string();
    EXPECT_EQ(run(engine::load_record(*topology_, "customer", "served-from:0")).error().code(), Code::kNotFound);
  };
  fake_->calls.clear();
  interrupted_at({"deny_source_tables", "catch_up"});
  EXPECT_EQ(record("/global/keyspaces/commerce/shards/0/Shard"), before);
  EXPECT_EQ(served("zone1"), "PRIMARY ");
  EXPECT_EQ(fake_->calls, std::vector<std::string>{"RefreshState"});

  interrupted_at({"deny_source_tables", "catch_up", "end_stream"});
  EXPECT_EQ(count("VReplicationExec delete from _vt.vreplication where id = 7"), 1u);
  EXPECT_EQ(served("zone1") + served("zone2"), "");
  EXPECT_FALSE(has(record("/global/keyspaces/customer/shards/0/Shard"), "source_shards"));
  EXPECT_HAS(record("/global/keyspaces/commerce/shards/0/Shard"), "tablet_controls:{tablet_type:PRIMARY denylisted");
}

TEST_F(ServedFrom, NeedsNoShards) {
  ok("CreateKeyspace", "shop");
  EXPECT_HAS(ctl("RebuildKeyspaceGraph", "shop"), "has no shards");
  ASSERT_TRUE(run(serve_from(*topology_, "shop", {{.type = REPLICA, .cells = {}, .source = "commerce"}})).ok());
  const std::string path = "/zone1/keyspaces/shop/SrvKeyspace";
  EXPECT_EQ(record(path), "served_from:{tablet_type:REPLICA keyspace:\"commerce\"}");
  ASSERT_TRUE(run(set_served_from(*topology_, "shop", {.type = REPLICA, .cells = {}, .source = ""})).ok());
  ok("RebuildKeyspaceGraph", "shop");
  EXPECT_EQ(record(path).find("served_from"), std::string::npos) << "the last redirect ends, too";
}

TEST_F(ServedFrom, NeedsASourceForTheTables) {
  ok("SourceShardDelete", "customer/0", "7");
  EXPECT_HAS(migrate({.type = REPLICA}), "destination shard customer/0 is not a vertical split target");
  EXPECT_EQ(served("zone1"), "PRIMARY REPLICA RDONLY ");
}

}  // namespace
}  // namespace vitrail::control
