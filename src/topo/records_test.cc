// Typed records on a real store: cells, keyspaces, shards, tablets, serving graph, VSchema, locks and the watcher.

#include <atomic>
#include <set>

#include "topo/cells.h"
#include "topo/conformance/fixture.h"
#include "topo/decode.h"
#include "topo/durability.h"
#include "topo/keyspace.h"
#include "topo/locks.h"
#include "topo/memory/memory_store.h"
#include "topo/paths.h"
#include "topo/server.h"
#include "topo/shard.h"
#include "topo/srv_keyspace.h"
#include "topo/srv_vschema.h"
#include "topo/srv_watcher.h"
#include "topo/tablet.h"
#include "topo/vschema.h"

namespace vitrail::topo {
namespace {

using conformance::Runner;
using conformance::soon;
using std::chrono::milliseconds;
using ::topodata::PRIMARY;
using ::topodata::REPLICA;

class TopoRecords : public testing::Test {
 protected:
  void SetUp() override {
    static std::atomic<int> count = 0;
    name_ = implementation_ == "sqlite" ? folder_.file("topo.db") : "records-" + std::to_string(++count);
    server_ = open_server();
    keep_ = *run(open_store(implementation_, name_, "/"));
  }
  void TearDown() override {
    set_memory_store_unavailable(name_, false);
    run(server_->close());
  }

  std::unique_ptr<Server> open_server() {
    auto server = run(Server::open({.implementation = implementation_, .global_server_address = name_}));
    EXPECT_TRUE(server.ok());
    return std::move(*server);
  }
  template <typename T>
  T run(net::Task<T> task) {
    return runner_.run(std::move(task));
  }
  void run(net::Task<void> task) { runner_.run(std::move(task)); }

  void add_cell(const std::string& cell, std::string address = "") {
    ::topodata::CellInfo info;
    info.set_server_address(address.empty() ? name_ : address);
    info.set_root("/vitess/" + cell);
    ASSERT_OK(run(create_cell_info(*server_, cell, info)));
  }
  void add_keyspace(const std::string& keyspace, std::vector<std::string> shards = {}) {
    ASSERT_OK(run(create_keyspace(*server_, keyspace, {})));
    for (const auto& shard : shards) ASSERT_OK(run(create_shard(*server_, keyspace, shard)));
  }
  void add_tablet(const std::string& alias, const std::string& keyspace, const std::string& shard,
                  ::topodata::TabletType type = REPLICA) {
    ::topodata::Tablet tablet;
    *tablet.mutable_alias() = *parse_alias(alias);
    tablet.set_hostname("localhost");
    tablet.set_keyspace(keyspace);
    tablet.set_shard(shard);
    tablet.set_type(type);
    (*tablet.mutable_port_map())[std::string(kPortMysqlData)] = 17'000;
    ASSERT_OK(run(create_tablet(*server_, tablet)));
  }
  // The record at a path of the global store or a cell's, in text form.
  std::string text(const std::string& path, const std::string& cell = "") {
    Store* store = &server_->global();
    std::shared_ptr<Store> cell_store;
    if (!cell.empty()) {
      auto found = run(server_->store_for_cell(cell));
      if (!found.ok()) return found.error().to_string();
      cell_store = *found;
      store = cell_store.get();
    }
    const auto record = run(store->get(path));
    return record.ok() ? *decode_to_prototext(path, record->data)
                       : "<" + std::string(base::code_name(record.error().code())) + ">";
  }
  KeyspaceLock lock_keyspace(const std::string& keyspace) {
    auto lock = run(KeyspaceLock::acquire(*server_, keyspace, "test"));
    EXPECT_TRUE(lock.ok()) << lock.error().to_string();
    return std::move(*lock);
  }
  void set_serving(const std::string& keyspace, const std::string& shard, bool serving) {
    ASSERT_OK(run(update_shard_fields(*server_, keyspace, shard, [serving](::topodata::Shard& record) -> Result<bool> {
      record.set_is_primary_serving(serving);
      return true;
    })));
  }

  conformance::TempFolder folder_;
  std::string implementation_ = "memory";
  Runner runner_;
  std::string name_;
  std::shared_ptr<Store> keep_;  // The tree lives as long as the test.
  std::unique_ptr<Server> server_;
};

// Where operations of one loop overlap: those of the memory store never wait.
class TopoRecordsAtOnce : public TopoRecords {
 protected:
  TopoRecordsAtOnce() { implementation_ = "sqlite"; }
};

// ---- Server and cells

TEST_F(TopoRecords, WorkBeforeAnyCellExists) {
  EXPECT_TRUE(run(get_cell_names(*server_))->empty());
  EXPECT_TRUE(run(get_keyspaces(*server_))->empty());
  EXPECT_CODE(Code::kNotFound, run(server_->store_for_cell("zone1")));
  ASSERT_OK(run(rebuild_srv_vschema(*server_)));
  add_keyspace("commerce", {"0"});
  EXPECT_EQ(*run(get_keyspaces(*server_)), (std::vector<std::string>{"commerce"}));
}

TEST_F(TopoRecords, RefuseAnUnknownImplementation) {
  const auto server = run(Server::open({.implementation = "papyrus"}));
  EXPECT_CODE(Code::kInvalidArgument, server);
  EXPECT_NE(server.error().message().find("papyrus"), std::string::npos);
}

// S1-15, S1-17, S4-46, S4-49
TEST_F(TopoRecords, CellsHaveTheirOwnRootsAndServers) {
  add_cell("zone1");
  add_cell("zone2", name_ + "-elsewhere");
  const auto zone1 = *run(server_->store_for_cell("zone1"));
  const auto zone2 = *run(server_->store_for_cell("zone2"));
  ASSERT_OK(run(zone1->create("x", "one")));
  EXPECT_CODE(Code::kNotFound, run(zone2->get("x")));
  EXPECT_CODE(Code::kNotFound, run(server_->global().get("x")));
  EXPECT_EQ(run(keep_->get("vitess/zone1/x"))->data, "one");
  EXPECT_EQ(*run(get_cell_names(*server_)), (std::vector<std::string>{"zone1", "zone2"}));
  EXPECT_EQ(run(server_->store_for_cell("zone1"))->get(), zone1.get());  // Kept.
}

TEST_F(TopoRecords, AMovedCellIsFollowed) {
  add_cell("zone1");
  const auto before = *run(server_->store_for_cell("zone1"));
  ::topodata::CellInfo info;
  info.set_root("/vitess/moved");
  ASSERT_OK(run(update_cell_info(*server_, "zone1", info)));
  EXPECT_EQ(run(get_cell_info(*server_, "zone1"))->record.server_address(),
            name_);  // An empty field leaves the old value.
  const auto after = *run(server_->store_for_cell("zone1"));
  EXPECT_NE(after.get(), before.get());
  ASSERT_OK(run(after->create("x", "y")));
  EXPECT_EQ(run(keep_->get("vitess/moved/x"))->data, "y");
}

TEST_F(TopoRecords, AKnownCellIsFoundWhileTheGlobalServerIsAway) {
  const auto elsewhere = *run(open_store("memory", name_ + "-zone1", "/"));
  add_cell("zone1", name_ + "-zone1");
  add_cell("zone2", name_ + "-zone1");
  const auto before = *run(server_->store_for_cell("zone1"));
  set_memory_store_unavailable(name_, true);
  const auto during = run(server_->store_for_cell("zone1"));
  ASSERT_OK(during);
  EXPECT_EQ(during->get(), before.get());
  ASSERT_OK(run((*during)->create("x", "y")));
  EXPECT_CODE(Code::kUnavailable, run(server_->store_for_cell("zone2")));
  EXPECT_CODE(Code::kUnavailable, run(get_keyspaces(*server_)));
}

TEST_F(TopoRecords, DeletingACellInUseIsRefused) {
  add_cell("zone1");
  add_keyspace("commerce", {"0"});
  add_tablet("zone1-100", "commerce", "0");
  EXPECT_CODE(Code::kFailedPrecondition, run(delete_cell_info(*server_, "zone1", false)));
  ASSERT_OK(run(delete_cell_info(*server_, "zone1", true)));
  EXPECT_CODE(Code::kNotFound, run(delete_cell_info(*server_, "zone1", true)));
  EXPECT_CODE(Code::kInvalidArgument, run(create_cell_info(*server_, "zone/1", {})));
}

TEST_F(TopoRecords, CellsAliasesStandForTheirCells) {
  for (const char* cell : {"a", "b", "c"}) add_cell(cell);
  ::topodata::CellsAlias alias;
  alias.add_cells("a");
  alias.add_cells("b");
  ASSERT_OK(run(create_cells_alias(*server_, "region", alias)));
  EXPECT_EQ(*run(expand_cells(*server_, {"region", "c"})), (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_EQ(*run(expand_cells(*server_, {})), (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_CODE(Code::kNotFound, run(expand_cells(*server_, {"nowhere"})));
  EXPECT_CODE(Code::kInvalidArgument, run(create_cells_alias(*server_, "second", alias)));  // One alias per cell.
  ASSERT_OK(run(update_cells_alias(*server_, "region", alias)));
  EXPECT_EQ(text("cells_aliases/region/CellsAlias"), "cells:\"a\" cells:\"b\"");
  ASSERT_OK(run(delete_cells_alias(*server_, "region")));
  EXPECT_TRUE(run(get_cells_aliases(*server_))->empty());
}

// ---- Keyspaces and shards

TEST_F(TopoRecords, AKeyspaceIsCreatedWithDefaultsAndAnEmptyVSchema) {
  add_keyspace("commerce");
  EXPECT_EQ(text("keyspaces/commerce/Keyspace"), "durability_policy:\"none\" sidecar_db_name:\"_vt\"");
  EXPECT_EQ(text("keyspaces/commerce/VSchema"), "");
  EXPECT_CODE(Code::kAlreadyExists, run(create_keyspace(*server_, "commerce", {})));
  ::topodata::Keyspace snapshot;
  snapshot.set_keyspace_type(::topodata::SNAPSHOT);
  EXPECT_CODE(Code::kInvalidArgument, run(create_keyspace(*server_, "snap", snapshot)));
  ::topodata::Keyspace odd;
  odd.set_durability_policy("eternal");
  EXPECT_CODE(Code::kInvalidArgument, run(create_keyspace(*server_, "odd", odd)));
  EXPECT_CODE(Code::kInvalidArgument, run(create_keyspace(*server_, "a/b", {})));
  EXPECT_CODE(Code::kNotFound, run(get_keyspace(*server_, "none")));
}

TEST(Durability, SaysWhoseAcknowledgementACommitWaitsFor) {
  const auto tablet = [](std::string cell, uint32_t uid, ::topodata::TabletType type) {
    ::topodata::Tablet out;
    out.mutable_alias()->set_cell(std::move(cell));
    out.mutable_alias()->set_uid(uid);
    out.set_type(type);
    return out;
  };
  const auto primary = tablet("a", 1, ::topodata::PRIMARY);
  const std::vector<::topodata::Tablet> others = {
      tablet("a", 1, ::topodata::REPLICA), tablet("a", 2, ::topodata::REPLICA), tablet("b", 3, ::topodata::REPLICA),
      tablet("a", 4, ::topodata::RDONLY),  tablet("b", 5, ::topodata::RDONLY),  tablet("b", 6, ::topodata::SPARE),
      tablet("a", 7, ::topodata::PRIMARY)};  // A former primary.
  const auto acknowledging = [&](std::string_view name) {
    const auto policy = *Durability::parse(name);
    std::string out = std::to_string(policy.acks_needed()) + ":";
    for (const auto& other : others) {
      if (policy.acknowledges(primary, other)) out += " " + std::to_string(other.alias().uid());
    }
    return out;
  };
  EXPECT_EQ(acknowledging(""), "0:");
  EXPECT_EQ(acknowledging("none"), "0:");
  EXPECT_EQ(acknowledging("semi_sync"), "1: 2 3 7");
  EXPECT_EQ(acknowledging("cross_cell"), "1: 3");
  EXPECT_EQ(acknowledging("semi_sync_with_rdonly_ack"), "1: 2 3 4 5 7");
  EXPECT_EQ(acknowledging("cross_cell_with_rdonly_ack"), "1: 3 5");
  EXPECT_CODE(Code::kInvalidArgument, Durability::parse("eternal"));
}

TEST_F(TopoRecords, AKeyspaceIsDeletedOnlyWithoutShards) {
  add_keyspace("commerce", {"0"});
  {
    KeyspaceLock lock = lock_keyspace("commerce");
    ASSERT_OK(run(set_keyspace_durability(*server_, lock, "semi_sync")));
    EXPECT_EQ(run(get_keyspace(*server_, "commerce"))->record.durability_policy(), "semi_sync");
    EXPECT_CODE(Code::kFailedPrecondition, run(delete_keyspace(*server_, lock)));
    ASSERT_OK(run(delete_shard_record(*server_, lock, "0")));
    ASSERT_OK(run(delete_keyspace(*server_, lock)));
    ASSERT_OK(run(lock.release()));
    runner_.drop(std::move(lock));
  }
  EXPECT_TRUE(run(get_keyspaces(*server_))->empty());
}

// S1-10, S1-40..S1-42
TEST_F(TopoRecords, ANewShardServesUnlessItOverlaps) {
  add_keyspace("customer", {"0", "-80", "80-"});
  EXPECT_EQ(text("keyspaces/customer/shards/0/Shard"), "is_primary_serving:true");
  EXPECT_EQ(text("keyspaces/customer/shards/-80/Shard"), "key_range:{end:\"\\x80\"}");
  EXPECT_EQ(text("keyspaces/customer/shards/80-/Shard"), "key_range:{start:\"\\x80\"}");
  EXPECT_EQ(*run(get_shard_names(*server_, "customer")), (std::vector<std::string>{"-80", "0", "80-"}));
  add_keyspace("sharded", {"-80", "80-"});
  EXPECT_EQ(text("keyspaces/sharded/shards/80-/Shard"), "key_range:{start:\"\\x80\"} is_primary_serving:true");
  EXPECT_CODE(Code::kAlreadyExists, run(create_shard(*server_, "sharded", "-80")));
  EXPECT_CODE(Code::kInvalidArgument, run(create_shard(*server_, "sharded", "80-40")));
  EXPECT_CODE(Code::kNotFound, run(create_shard(*server_, "none", "0")));
  EXPECT_CODE(Code::kNotFound, run(get_shard(*server_, "sharded", "c0-")));
  EXPECT_CODE(Code::kNotFound, run(find_all_shards(*server_, "none")));
  const auto serving = run(find_serving_shards(*server_, "sharded"));
  ASSERT_OK(serving);
  ASSERT_EQ(serving->size(), 2u);
  EXPECT_EQ((*serving)[0].name, "-80");
  EXPECT_EQ((*serving)[1].name, "80-");
}

TEST_F(TopoRecordsAtOnce, StartingTabletsMakeKeyspaceAndShardTogether) {
  struct Body {
    static net::Task<void> start(Server& server, const char* shard, int& failures) {
      const auto info = co_await get_or_create_shard(server, "fresh", shard);
      if (!info.ok()) ++failures;
    }
  };
  int failures = 0;
  std::vector<net::Task<void>> tasks;
  for (int i = 0; i < 6; ++i) tasks.push_back(Body::start(*server_, i % 2 == 0 ? "-80" : "80-", failures));
  runner_.run(net::when_all(std::move(tasks)));
  EXPECT_EQ(failures, 0);
  EXPECT_EQ(run(find_serving_shards(*server_, "fresh"))->size(), 2u);
}

TEST_F(TopoRecords, UpdatesOfAShardAreRetriedOnConflict) {
  add_keyspace("commerce", {"0"});
  int calls = 0;
  auto other = open_server();
  // The first attempt is overtaken between its read and its write.
  auto updated = run(update_shard_fields(*server_, "commerce", "0", [&](::topodata::Shard& record) -> Result<bool> {
    if (++calls == 1) {
      auto raced = keep_;
      ::topodata::Shard theirs = record;
      theirs.mutable_primary_alias()->set_uid(7);
      net::LoopThread helper("helper");
      std::thread([&] {
        EXPECT_TRUE(net::block_on(helper.loop(), raced->update("vitess/global/keyspaces/commerce/shards/0/Shard",
                                                               theirs.SerializeAsString(), std::nullopt))
                        .ok());
      }).join();
    }
    record.mutable_primary_term_start_time()->set_seconds(5);
    return true;
  }));
  ASSERT_OK(updated);
  EXPECT_EQ(calls, 2);
  EXPECT_EQ(text("keyspaces/commerce/shards/0/Shard"),
            "primary_alias:{uid:7} primary_term_start_time:{seconds:5} is_primary_serving:true");
  run(other->close());

  const auto untouched = run(get_shard(*server_, "commerce", "0"));
  ASSERT_OK(
      run(update_shard_fields(*server_, "commerce", "0", [](::topodata::Shard&) -> Result<bool> { return false; })));
  EXPECT_EQ(run(get_shard(*server_, "commerce", "0"))->version, untouched->version);
  EXPECT_CODE(Code::kOutOfRange,
              run(update_shard_fields(*server_, "commerce", "0", [](::topodata::Shard&) -> Result<bool> {
                return fail(Code::kOutOfRange, "no");
              })));
}

// Requirements list 10.34: what a newer version wrote is kept.
TEST_F(TopoRecords, UnknownFieldsSurviveAnUpdate) {
  add_keyspace("commerce", {"0"});
  const std::string path = "keyspaces/commerce/shards/0/Shard";
  const auto record = run(server_->global().get(path));
  const std::string future("\xfa\x06\x03new", 6);  // Field 111, text.
  ASSERT_OK(run(server_->global().update(path, record->data + future, record->version)));
  set_serving("commerce", "0", false);
  EXPECT_NE(run(server_->global().get(path))->data.find(future), std::string::npos);
}

TEST_F(TopoRecords, DeniedTablesNeedTheKeyspaceLock) {
  add_keyspace("commerce", {"0"});
  KeyspaceLock lock = lock_keyspace("commerce");
  ASSERT_OK(run(update_denied_tables(*server_, lock, "0", {.tables = {"customer", "corder"}})));
  EXPECT_EQ(text("keyspaces/commerce/shards/0/Shard"),
            "tablet_controls:{tablet_type:PRIMARY denylisted_tables:\"corder\" denylisted_tables:\"customer\"} "
            "is_primary_serving:true");
  ASSERT_OK(run(server_->global().remove(lock.fence().lock_path, std::nullopt)));
  EXPECT_CODE(Code::kFailedPrecondition,
              run(update_denied_tables(*server_, lock, "0", {.remove = true, .tables = {"customer", "corder"}})));
  runner_.drop(std::move(lock));
}

// ---- Tablets

TEST_F(TopoRecords, ATabletIsInTheReplicationGraphOfItsCell) {
  add_cell("zone1");
  add_keyspace("customer", {"-80"});
  add_tablet("zone1-300", "customer", "-80", PRIMARY);
  add_tablet("zone1-301", "customer", "-80");
  EXPECT_EQ(text("keyspaces/customer/shards/-80/ShardReplication", "zone1"),
            "nodes:{tablet_alias:{cell:\"zone1\" uid:300}} nodes:{tablet_alias:{cell:\"zone1\" uid:301}}");
  EXPECT_EQ(text("tablets/zone1-0000000301/Tablet", "zone1"),
            "alias:{cell:\"zone1\" uid:301} hostname:\"localhost\" port_map:{key:\"mysql_data\" value:17000} "
            "keyspace:\"customer\" shard:\"-80\" key_range:{end:\"\\x80\"} type:REPLICA");
  const auto alias = *parse_alias("zone1-301");
  ::topodata::Tablet again;
  *again.mutable_alias() = alias;
  again.set_keyspace("customer");
  again.set_shard("-80");
  again.set_hostname("other");
  EXPECT_CODE(Code::kAlreadyExists, run(create_tablet(*server_, again)));
  ASSERT_OK(run(create_or_update_tablet(*server_, again)));
  EXPECT_EQ(run(get_tablet(*server_, alias))->record.hostname(), "other");
  again.set_shard("80-");
  EXPECT_CODE(Code::kFailedPrecondition, run(create_or_update_tablet(*server_, again)));

  ASSERT_OK(run(update_tablet_fields(*server_, alias, [](::topodata::Tablet& tablet) -> Result<bool> {
    tablet.set_type(::topodata::DRAINED);
    tablet.mutable_alias()->set_uid(1);  // Not allowed, and undone.
    return true;
  })));
  EXPECT_EQ(run(get_tablet(*server_, alias))->record.alias().uid(), 301u);

  auto list = run(find_tablets(*server_, {.keyspace = "customer", .type = PRIMARY}));
  ASSERT_OK(list);
  ASSERT_EQ(list->tablets.size(), 1u);
  EXPECT_EQ(run(get_tablets_in_cell(*server_, "zone1"))->size(), 2u);

  ASSERT_OK(run(delete_tablet(*server_, alias)));
  ASSERT_OK(run(delete_tablet(*server_, *parse_alias("zone1-300"))));
  EXPECT_EQ(text("keyspaces/customer/shards/-80/ShardReplication", "zone1"), "<NOT_FOUND>");
  EXPECT_CODE(Code::kNotFound, run(delete_tablet(*server_, alias)));
  EXPECT_CODE(Code::kNotFound, run(get_tablet(*server_, *parse_alias("zone9-1"))));
}

TEST_F(TopoRecords, ACellThatCannotBeReadMakesTheListIncomplete) {
  add_cell("zone1");
  add_cell("zone2", name_ + "-zone2");
  add_keyspace("commerce", {"0"});
  add_tablet("zone1-100", "commerce", "0");
  add_tablet("zone2-200", "commerce", "0");
  set_memory_store_unavailable(name_ + "-zone2", true);
  const auto list = run(find_tablets(*server_, {}));
  ASSERT_OK(list);
  EXPECT_EQ(list->tablets.size(), 1u);
  EXPECT_TRUE(list->failed.contains("zone2"));
  set_memory_store_unavailable(name_ + "-zone2", false);
  EXPECT_EQ(run(find_tablets(*server_, {}))->tablets.size(), 2u);
}

TEST_F(TopoRecords, TheReplicationGraphCanBeRepaired) {
  add_cell("zone1");
  add_keyspace("commerce", {"0"});
  add_tablet("zone1-100", "commerce", "0");
  ASSERT_OK(run(add_shard_replication(*server_, "commerce", "0", *parse_alias("zone1-999"))));
  const auto fixed = run(fix_shard_replication(*server_, "zone1", "commerce", "0"));
  ASSERT_OK(fixed);
  ASSERT_EQ(fixed->size(), 1u);
  EXPECT_EQ(fixed->front().type(), ::topodata::ShardReplicationError::NOT_FOUND);
  EXPECT_EQ(run(get_shard_replication(*server_, "zone1", "commerce", "0"))->nodes_size(), 1);
  EXPECT_TRUE(run(fix_shard_replication(*server_, "zone1", "commerce", "0"))->empty());
}

// ---- Serving graph

// S1-18..S1-21, S1-43
TEST_F(TopoRecords, RebuildWritesThreePartitionsInEveryCell) {
  add_cell("zone1");
  add_cell("zone2");
  add_keyspace("customer", {"0", "-80", "80-"});
  KeyspaceLock lock = lock_keyspace("customer");
  ASSERT_OK(run(rebuild_keyspace_graph(*server_, lock)));
  const std::string unsharded =
      "partitions:{served_type:PRIMARY shard_references:{name:\"0\"}} "
      "partitions:{served_type:REPLICA shard_references:{name:\"0\"}} "
      "partitions:{served_type:RDONLY shard_references:{name:\"0\"}}";
  EXPECT_EQ(text("keyspaces/customer/SrvKeyspace", "zone1"), unsharded);
  EXPECT_EQ(text("keyspaces/customer/SrvKeyspace", "zone2"), unsharded);
  EXPECT_EQ(*run(get_srv_keyspace_names(*server_, "zone1")), (std::vector<std::string>{"customer"}));

  set_serving("customer", "0", false);
  set_serving("customer", "-80", true);
  // Half a keyspace: refused, and nothing written anywhere.
  const Status half = run(rebuild_keyspace_graph(*server_, lock));
  EXPECT_CODE(Code::kFailedPrecondition, half);
  EXPECT_NE(half.error().message().find("does not end with max key"), std::string::npos);
  EXPECT_EQ(text("keyspaces/customer/SrvKeyspace", "zone1"), unsharded);

  set_serving("customer", "80-", true);
  // S1-61: one cell only.
  ASSERT_OK(run(rebuild_keyspace_graph(*server_, lock, {.cells = {"zone2"}})));
  EXPECT_EQ(text("keyspaces/customer/SrvKeyspace", "zone1"), unsharded);
  EXPECT_NE(text("keyspaces/customer/SrvKeyspace", "zone2").find("name:\"80-\" key_range:{start:\"\\x80\"}"),
            std::string::npos);
  EXPECT_CODE(Code::kNotFound, run(rebuild_keyspace_graph(*server_, lock, {.cells = {"zone9"}})));
  runner_.drop(std::move(lock));
}

TEST_F(TopoRecords, RebuildIsRefusedWhileTrafficIsSwitched) {
  add_cell("zone1");
  add_keyspace("customer", {"0", "-80", "80-"});
  KeyspaceLock lock = lock_keyspace("customer");
  ASSERT_OK(run(rebuild_keyspace_graph(*server_, lock)));
  ASSERT_OK(
      run(update_srv_keyspace_fields(*server_, lock, "zone1", [](::topodata::SrvKeyspace& record) -> Result<bool> {
        auto& control = *record.mutable_partitions(0)->add_shard_tablet_controls();
        control.set_name("0");
        control.set_query_service_disabled(true);
        return true;
      })));
  // S1-22
  EXPECT_TRUE(text("keyspaces/customer/SrvKeyspace", "zone1")
                  .starts_with("partitions:{served_type:PRIMARY shard_references:{name:\"0\"} "
                               "shard_tablet_controls:{name:\"0\" query_service_disabled:true}}"));
  const Status refused = run(rebuild_keyspace_graph(*server_, lock));
  EXPECT_CODE(Code::kFailedPrecondition, refused);
  EXPECT_NE(refused.error().message().find("migration is on going"), std::string::npos);
  set_serving("customer", "0", false);
  set_serving("customer", "-80", true);
  set_serving("customer", "80-", true);
  ASSERT_OK(run(rebuild_keyspace_graph(*server_, lock)));
  EXPECT_EQ(text("keyspaces/customer/SrvKeyspace", "zone1").find("shard_tablet_controls"), std::string::npos);

  // A lost lock writes nothing.
  ASSERT_OK(run(server_->global().remove(lock.fence().lock_path, std::nullopt)));
  EXPECT_CODE(Code::kFailedPrecondition, run(rebuild_keyspace_graph(*server_, lock)));
  EXPECT_CODE(Code::kFailedPrecondition, run(delete_srv_keyspace(*server_, lock, "zone1")));
  runner_.drop(std::move(lock));
}

// ---- VSchema and rules

TEST_F(TopoRecords, EmptyRulesDeleteTheirKey) {
  EXPECT_TRUE(run(get_routing_rules(*server_))->rules.rules().empty());
  ::vschema::RoutingRules rules;
  auto& rule = *rules.add_rules();
  rule.set_from_table("customer");
  rule.add_to_tables("commerce.customer");
  ASSERT_OK(run(save_routing_rules(*server_, rules)));
  // S1-25
  EXPECT_EQ(text("RoutingRules"), "rules:{from_table:\"customer\" to_tables:\"commerce.customer\"}");
  ASSERT_OK(run(save_routing_rules(*server_, {})));
  EXPECT_EQ(text("RoutingRules"), "<NOT_FOUND>");
  ASSERT_OK(run(save_routing_rules(*server_, {})));
  EXPECT_TRUE(run(get_routing_rules(*server_))->rules.rules().empty());
  ::vschema::ShardRoutingRules shard_rules;
  shard_rules.add_rules()->set_shard("0");
  ASSERT_OK(run(save_shard_routing_rules(*server_, shard_rules)));
  EXPECT_EQ(text("ShardRoutingRules"), "rules:{shard:\"0\"}");
  ASSERT_OK(run(save_shard_routing_rules(*server_, {})));
  EXPECT_EQ(text("ShardRoutingRules"), "<NOT_FOUND>");
}

TEST_F(TopoRecordsAtOnce, WritersOfRulesLoseNothingOfEachOther) {
  struct Body {
    static net::Task<void> add(Server& server, int number, int& failures) {
      UpdateFn<::vschema::RoutingRules> fn = [number](::vschema::RoutingRules& rules) -> Result<bool> {
        rules.add_rules()->set_from_table("t" + std::to_string(number));
        return true;
      };
      if (!(co_await update_routing_rules(server, std::move(fn))).ok()) ++failures;
    }
    static net::Task<void> clear(Server& server, int& failures) {
      UpdateFn<::vschema::RoutingRules> fn = [](::vschema::RoutingRules& rules) -> Result<bool> {
        rules.Clear();
        return true;
      };
      if (!(co_await update_routing_rules(server, std::move(fn))).ok()) ++failures;
    }
  };
  int failures = 0;
  std::vector<net::Task<void>> tasks;
  for (int i = 0; i < 20; ++i) tasks.push_back(Body::add(*server_, i, failures));
  runner_.run(net::when_all(std::move(tasks)));
  EXPECT_EQ(failures, 0);
  EXPECT_EQ(run(get_routing_rules(*server_))->rules.rules_size(), 20);
  runner_.run(Body::clear(*server_, failures));
  EXPECT_EQ(failures, 0);
  EXPECT_EQ(text("RoutingRules"), "<NOT_FOUND>");
}

// Somebody is paused between the question whether it may write and its write of the first rules of all. Meanwhile
// others take back what it did.
TEST_F(TopoRecords, FirstRulesOfOneWhoWasPausedAreNotWritten) {
  struct World {
    Server& server;
    bool mine = true;
    int asked = 0;
    static net::Task<Status> ask(World& world) {
      if (!world.mine) co_return fail(Code::kFailedPrecondition, "lost");
      if (++world.asked > 1) co_return Status{};
      // The pause: the operation is taken over, and its rules are taken back.
      UpdateFn<::vschema::RoutingRules> back = [](::vschema::RoutingRules&) -> Result<bool> { return false; };
      auto undone = co_await update_routing_rules(world.server, std::move(back), [&] { return other(world); });
      EXPECT_TRUE(undone.ok());
      world.mine = false;
      co_return Status{};
    }
    static net::Task<Status> other(World&) { co_return Status{}; }
  } world{*server_};
  UpdateFn<::vschema::RoutingRules> add = [](::vschema::RoutingRules& rules) -> Result<bool> {
    rules.add_rules()->set_from_table("t");
    return true;
  };
  EXPECT_CODE(Code::kFailedPrecondition,
              run(update_routing_rules(*server_, std::move(add), [&] { return World::ask(world); })));
  EXPECT_EQ(world.asked, 1);
  EXPECT_EQ(text("RoutingRules"), "<NOT_FOUND>");
}

// S1-08
TEST_F(TopoRecords, RebuildOfSrvVSchemaCollectsAllKeyspacesAndRules) {
  add_cell("zone1");
  add_cell("zone2");
  add_keyspace("commerce");
  ASSERT_OK(run(create_keyspace(*server_, "bare", {}, false)));
  ::vschema::Keyspace vschema;
  vschema.set_sharded(true);
  ASSERT_OK(run(save_vschema(*server_, "commerce", vschema)));
  EXPECT_CODE(Code::kNotFound, run(save_vschema(*server_, "none", vschema)));
  ::vschema::RoutingRules rules;
  rules.add_rules()->set_from_table("t");
  ASSERT_OK(run(save_routing_rules(*server_, rules)));
  ASSERT_OK(run(rebuild_srv_vschema(*server_)));
  const std::string expected =
      "keyspaces:{key:\"bare\" value:{}} keyspaces:{key:\"commerce\" value:{sharded:true}} "
      "routing_rules:{rules:{from_table:\"t\"}} shard_routing_rules:{}";
  EXPECT_EQ(text("SrvVSchema", "zone1"), expected);
  EXPECT_EQ(text("SrvVSchema", "zone2"), expected);
  // Equal already: not written again.
  const auto before = run(get_srv_vschema(*server_, "zone1"));
  ASSERT_OK(run(rebuild_srv_vschema(*server_, {"zone1"})));
  EXPECT_EQ(run(get_srv_vschema(*server_, "zone1"))->version, before->version);
}

// A cell whose record cannot be changed keeps no other one as it was.
TEST_F(TopoRecords, CellsAreWrittenIndependently) {
  add_keyspace("commerce");
  const std::vector<std::string> cells = {"zone1", "zone2", "zone3"};
  for (const char* cell : {"zone1", "zone2", "zone3"}) {
    add_cell(cell);
    const auto lock = run(KeyspaceLock::acquire(*server_, "commerce", "test"));
    ASSERT_OK(lock);
    if (std::string(cell) != "zone3") ASSERT_OK(run(put_srv_keyspace(*server_, *lock, cell, {})));
  }
  CellUpdateFn fn = [](const std::string& cell, ::topodata::SrvKeyspace& record) -> Result<bool> {
    if (cell == "zone1") return fail(Code::kFailedPrecondition, "not this one");
    record.add_served_from()->set_keyspace("other");
    return true;
  };
  const Status changed = run(update_srv_keyspaces(*server_, "commerce", cells, fn, {}));
  ASSERT_FALSE(changed.ok());
  EXPECT_NE(changed.error().message().find("cell zone1: not this one"), std::string::npos) << changed.error().message();
  EXPECT_EQ(run(get_srv_keyspace(*server_, "zone1", "commerce"))->record.served_from_size(), 0);
  EXPECT_EQ(run(get_srv_keyspace(*server_, "zone2", "commerce"))->record.served_from_size(), 1);
  // A cell that does not have the keyspace is no failure, and gets no record.
  EXPECT_EQ(changed.error().message().find("zone3"), std::string::npos) << changed.error().message();
  EXPECT_CODE(Code::kNotFound, run(get_srv_keyspace(*server_, "zone3", "commerce")));
}

// Whoever holds up clients meanwhile says how long a cell's store may take.
TEST_F(TopoRecords, CellsAreNotWaitedForLongerThanWanted) {
  add_keyspace("commerce");
  add_cell("zone1");
  const auto lock = run(KeyspaceLock::acquire(*server_, "commerce", "test"));
  ASSERT_OK(lock);
  ASSERT_OK(run(put_srv_keyspace(*server_, *lock, "zone1", {})));
  CellUpdateFn fn = [](const std::string&, ::topodata::SrvKeyspace& record) -> Result<bool> {
    record.add_served_from()->set_keyspace("other");
    return true;
  };
  const net::Wait over{.deadline = base::system_clock().now() - std::chrono::seconds(1)};
  const Status late = run(update_srv_keyspaces(*server_, "commerce", {"zone1"}, fn, {}, over));
  ASSERT_FALSE(late.ok());
  EXPECT_NE(late.error().message().find("zone1"), std::string::npos) << late.error().message();
  EXPECT_EQ(run(get_srv_keyspace(*server_, "zone1", "commerce"))->record.served_from_size(), 0);
}

TEST_F(TopoRecordsAtOnce, ConcurrentRebuildsEndWithTheNewestSources) {
  add_cell("zone1");
  add_keyspace("commerce");
  struct Body {
    static net::Task<void> change(Server& server, int number, int& failures) {
      UpdateFn<::vschema::Keyspace> fn = [number](::vschema::Keyspace& vschema) -> Result<bool> {
        (*vschema.mutable_tables())["t" + std::to_string(number)];
        return true;
      };
      if (!(co_await update_vschema_fields(server, "commerce", std::move(fn))).ok()) ++failures;
      if (!(co_await rebuild_srv_vschema(server)).ok()) ++failures;
    }
  };
  int failures = 0;
  std::vector<net::Task<void>> tasks;
  for (int i = 0; i < 20; ++i) tasks.push_back(Body::change(*server_, i, failures));
  runner_.run(net::when_all(std::move(tasks)));
  EXPECT_EQ(failures, 0);
  EXPECT_EQ(run(get_srv_vschema(*server_, "zone1"))->record.keyspaces().at("commerce").tables_size(), 20);
}

// ---- Locks

TEST_F(TopoRecords, ALockErrorNamesTheHolder) {
  add_keyspace("commerce", {"0"});
  auto held = run(KeyspaceLock::acquire(*server_, "commerce", "SwitchTraffic"));
  ASSERT_OK(held);
  for (const bool queue : {true, false}) {
    const auto refused =
        run(KeyspaceLock::acquire(*server_, "commerce", "Complete", {.wait_max = milliseconds(20), .queue = queue}));
    EXPECT_CODE(queue ? Code::kDeadlineExceeded : Code::kAlreadyExists, refused);
    EXPECT_NE(refused.error().message().find("keyspace commerce"), std::string::npos);
    EXPECT_NE(refused.error().message().find("SwitchTraffic by "), std::string::npos) << refused.error().message();
  }
  // A keyspace lock is no shard lock.
  auto shard = run(ShardLock::acquire(*server_, "commerce", "0", "PlannedReparentShard"));
  ASSERT_OK(shard);
  ASSERT_OK(run(shard->check_held()));
  ASSERT_OK(run(shard->release()));
  ASSERT_OK(run(held->release()));
  EXPECT_CODE(Code::kNotFound, run(ShardLock::acquire(*server_, "commerce", "9", "x")));
  EXPECT_CODE(Code::kNotFound, run(KeyspaceLock::acquire(*server_, "none", "x")));
  auto workflow = run(NamedLock::acquire_workflow(*server_, "customer", "reshard", "SwitchTraffic"));
  ASSERT_OK(workflow);
  EXPECT_EQ(workflow->name(), "customer/reshard");
  EXPECT_EQ(run(server_->global().lock_queue("internal/named_locks/customer/reshard"))->size(), 1u);
  auto rules = run(RoutingRulesLock::acquire(*server_, "ApplyRoutingRules"));
  ASSERT_OK(rules);
  EXPECT_EQ(run(server_->global().lock_queue("routing_rules"))->size(), 1u);
  runner_.drop(std::move(*held));
  runner_.drop(std::move(*shard));
  runner_.drop(std::move(*workflow));
  runner_.drop(std::move(*rules));
}

// ---- Watcher

class TopoWatcher : public TopoRecords {
 protected:
  void start(std::vector<std::string> tablet_cells = {}) {
    watcher_ = std::make_unique<SrvWatcher>(*server_,
                                            SrvWatcher::Options{.cell = "zone1",
                                                                .tablet_cells = std::move(tablet_cells),
                                                                .min_backoff = milliseconds(1),
                                                                .max_backoff = milliseconds(20)},
                                            [this](std::shared_ptr<const ServingState> state) {
                                              EXPECT_GT(state->generation, last_generation_);
                                              last_generation_ = state->generation;
                                              changed_.notify_all();
                                            });
    runner_.run(start_on_loop(*watcher_));
  }
  void TearDown() override {
    set_memory_store_unavailable(name_, false);
    if (watcher_) {
      runner_.run(watcher_->stop());
      runner_.drop(std::move(watcher_));
    }
    TopoRecords::TearDown();
  }
  static net::Task<void> start_on_loop(SrvWatcher& watcher) {
    watcher.start();
    co_return;
  }
  static net::Task<bool> until(SrvWatcher& watcher, net::Signal& changed,
                               std::function<bool(const ServingState&)> good) {
    const net::Wait wait = soon();
    while (!good(*watcher.current())) {
      if (!(co_await changed.wait(wait)).ok()) co_return false;
    }
    co_return true;
  }
  bool eventually(std::function<bool(const ServingState&)> good) {
    return run(until(*watcher_, changed_, std::move(good)));
  }
  std::unique_ptr<SrvWatcher> watcher_;
  net::Signal changed_;
  uint64_t last_generation_ = 0;
};

TEST_F(TopoWatcher, FollowsVSchemaKeyspacesAndTablets) {
  add_cell("zone1");
  add_cell("zone2");
  add_keyspace("commerce", {"0"});
  add_tablet("zone1-100", "commerce", "0");
  ASSERT_OK(run(rebuild_srv_vschema(*server_)));
  start({"zone1", "zone2"});
  ASSERT_OK(run(watcher_->wait_complete(soon())));
  const auto first = watcher_->current();
  ASSERT_NE(first->vschema, nullptr);
  EXPECT_TRUE(first->vschema->keyspaces().contains("commerce"));
  EXPECT_TRUE(first->tablets->contains("zone1-0000000100"));
  EXPECT_TRUE(first->keyspaces->empty());

  KeyspaceLock lock = lock_keyspace("commerce");
  ASSERT_OK(run(rebuild_keyspace_graph(*server_, lock)));
  runner_.drop(std::move(lock));
  add_tablet("zone2-200", "commerce", "0");
  EXPECT_TRUE(eventually([](const ServingState& state) {
    return state.keyspaces->contains("commerce") && state.tablets->contains("zone2-0000000200");
  }));
  // An older state is not touched by newer ones.
  EXPECT_TRUE(first->keyspaces->empty());

  ASSERT_OK(run(delete_tablet(*server_, *parse_alias("zone1-100"))));
  EXPECT_TRUE(eventually([](const ServingState& state) { return state.tablets->size() == 1; }));
  ASSERT_OK(run(delete_srv_vschema(*server_, "zone1")));
  EXPECT_TRUE(eventually([](const ServingState& state) { return state.vschema == nullptr; }));
}

TEST_F(TopoWatcher, StartsBeforeItsCellExists) {
  start();
  EXPECT_CODE(Code::kDeadlineExceeded, run(watcher_->wait_complete(conformance::brief())));
  EXPECT_FALSE(watcher_->current()->complete);
  add_cell("zone1");
  ASSERT_OK(run(watcher_->wait_complete(soon())));
  EXPECT_EQ(watcher_->current()->vschema, nullptr);
}

// S4-51, S1-07
TEST_F(TopoWatcher, KeepsWhatItKnowsDuringAnOutageAndCatchesUp) {
  add_cell("zone1");
  add_keyspace("commerce", {"0"});
  add_tablet("zone1-100", "commerce", "0");
  add_tablet("zone1-101", "commerce", "0");
  ASSERT_OK(run(rebuild_srv_vschema(*server_)));
  start();
  ASSERT_OK(run(watcher_->wait_complete(soon())));
  const auto before = watcher_->current();
  set_memory_store_unavailable(name_, true);
  struct Body {
    static net::Task<void> until_reconnects(SrvWatcher& watcher, uint64_t count) {
      const auto deadline = base::system_clock().now() + std::chrono::seconds(20);
      while (watcher.counters().reconnects < count && base::system_clock().now() < deadline) {
        (void)co_await net::sleep_for(milliseconds(1));
      }
    }
  };
  runner_.run(Body::until_reconnects(*watcher_, 10));
  EXPECT_GE(watcher_->counters().reconnects, 10u);
  EXPECT_EQ(watcher_->current(), before);  // Not even a new state.

  set_memory_store_unavailable(name_, false);
  ASSERT_OK(run(delete_tablet(*server_, *parse_alias("zone1-101"))));
  EXPECT_TRUE(eventually([](const ServingState& state) { return state.tablets->size() == 1; }));
  EXPECT_EQ(watcher_->current()->vschema->keyspaces_size(), 1);
}

TEST_F(TopoWatcher, KeepsTheLastGoodRecordWhenANewOneIsDamaged) {
  add_cell("zone1");
  add_keyspace("commerce", {"0"});
  add_tablet("zone1-100", "commerce", "0");
  ASSERT_OK(run(rebuild_srv_vschema(*server_)));
  start();
  ASSERT_OK(run(watcher_->wait_complete(soon())));
  const auto store = *run(server_->store_for_cell("zone1"));
  ASSERT_OK(run(store->update("SrvVSchema", "\xff\xff", std::nullopt)));
  ASSERT_OK(run(store->update("tablets/zone1-0000000100/Tablet", "\xff\xff", std::nullopt)));
  add_tablet("zone1-102", "commerce", "0");
  EXPECT_TRUE(eventually([](const ServingState& state) { return state.tablets->size() == 2; }));
  EXPECT_NE(watcher_->current()->vschema, nullptr);
  EXPECT_EQ(watcher_->counters().undecodable, 2u);
}

}  // namespace
}  // namespace vitrail::topo
