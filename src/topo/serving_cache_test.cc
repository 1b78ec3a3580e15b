// The last known serving state on disk, and a watcher that starts from it.

#include "topo/serving_cache.h"

#include <atomic>
#include <fstream>

#include "base/file.h"
#include "topo/cells.h"
#include "topo/conformance/fixture.h"
#include "topo/memory/memory_store.h"
#include "topo/paths.h"
#include "topo/server.h"
#include "topo/tablet.h"

namespace vitrail::topo {
namespace {

using conformance::Runner;
using conformance::soon;
using std::chrono::milliseconds;

class ServingCache : public testing::Test {
 protected:
  void SetUp() override {
    static std::atomic<int> count = 0;
    name_ = "serving-cache-" + std::to_string(++count);
    server_ = open_server();
    ::topodata::CellInfo info;
    info.set_server_address(name_);
    info.set_root("/zone1");
    ASSERT_OK(run(create_cell_info(*server_, "zone1", info)));
    cell_ = *run(server_->store_for_cell("zone1"));
  }
  void TearDown() override {
    set_memory_store_unavailable(name_, false);
    stop();
    if (second_ != nullptr) runner_.run(second_->close());
    runner_.run(server_->close());
  }
  template <typename T>
  T run(net::Task<T> task) {
    return runner_.run(std::move(task));
  }
  std::unique_ptr<Server> open_server() {
    auto server = run(Server::open({.implementation = "memory", .global_server_address = name_}));
    EXPECT_TRUE(server.ok());
    return std::move(*server);
  }
  void put(const std::string& path, const google::protobuf::MessageLite& record) {
    ASSERT_OK(run(cell_->update(path, record.SerializeAsString(), std::nullopt)));
  }
  void add_tablet(uint32_t uid) {
    ::topodata::Tablet tablet;
    tablet.mutable_alias()->set_cell("zone1");
    tablet.mutable_alias()->set_uid(uid);
    tablet.set_hostname("db" + std::to_string(uid));
    put(tablet_path(alias_to_string(tablet.alias())), tablet);
  }
  void fill() {
    ::vschema::SrvVSchema vschema;
    (*vschema.mutable_keyspaces())["commerce"].set_sharded(true);
    put(srv_vschema_path(), vschema);
    ::topodata::SrvKeyspace keyspace;
    keyspace.add_partitions()->set_served_type(::topodata::PRIMARY);
    put(srv_keyspace_path("commerce"), keyspace);
    add_tablet(100);
    add_tablet(101);
  }
  void start(Server& server, base::Duration cache_after = std::chrono::seconds(20)) {
    watcher_ = std::make_unique<SrvWatcher>(server,
                                            SrvWatcher::Options{.cell = "zone1",
                                                                .min_backoff = milliseconds(1),
                                                                .max_backoff = milliseconds(20),
                                                                .cache_file = file(),
                                                                .cache_after = cache_after,
                                                                .cache_interval = milliseconds(1)},
                                            [this](std::shared_ptr<const ServingState>) { changed_.notify_all(); });
    struct Body {
      static net::Task<void> start(SrvWatcher& watcher) {
        watcher.start();
        co_return;
      }
    };
    runner_.run(Body::start(*watcher_));
  }
  void stop() {
    if (watcher_ == nullptr) return;
    runner_.run(watcher_->stop());
    runner_.drop(std::move(watcher_));
  }
  // As another process would, with nothing in memory.
  Server& restarted() {
    stop();
    second_ = open_server();
    return *second_;
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
  std::string file() const { return folder_.file("cache/vtgate-zone1.state"); }

  conformance::TempFolder folder_;
  Runner runner_;
  std::string name_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<Server> second_;
  std::shared_ptr<Store> cell_;
  std::unique_ptr<SrvWatcher> watcher_;
  net::Signal changed_;
};

TEST_F(ServingCache, GivesBackWhatWasSaved) {
  fill();
  start(*server_);
  ASSERT_OK(run(watcher_->wait_complete(soon())));
  const auto state = watcher_->current();
  EXPECT_FALSE(state->restored);
  ASSERT_OK(save_serving_state(file(), "zone1", *state));
  const auto loaded = load_serving_state(file(), "zone1");
  ASSERT_OK(loaded);
  EXPECT_TRUE((*loaded)->complete);
  EXPECT_TRUE((*loaded)->restored);
  EXPECT_EQ((*loaded)->vschema->SerializeAsString(), state->vschema->SerializeAsString());
  ASSERT_EQ((*loaded)->keyspaces->size(), 1u);
  EXPECT_EQ((*loaded)->keyspaces->at("commerce")->SerializeAsString(),
            state->keyspaces->at("commerce")->SerializeAsString());
  ASSERT_EQ((*loaded)->tablets->size(), 2u);
  EXPECT_EQ((*loaded)->tablets->at("zone1-0000000101")->hostname(), "db101");
}

TEST_F(ServingCache, RefusesFilesThatAreNotItsOwn) {
  EXPECT_CODE(Code::kNotFound, load_serving_state(file(), "zone1"));
  fill();
  start(*server_);
  ASSERT_OK(run(watcher_->wait_complete(soon())));
  stop();
  EXPECT_CODE(Code::kDataLoss, load_serving_state(file(), "zone2"));
  const auto bytes = base::read_file(file());
  ASSERT_OK(bytes);
  for (const std::string& damaged : {std::string(), std::string("vitrail serving state 2\n"), bytes->substr(0, 20),
                                     bytes->substr(0, bytes->size() - 1), *bytes + "\xff"}) {
    std::ofstream(file(), std::ios::binary | std::ios::trunc) << damaged;
    EXPECT_CODE(Code::kDataLoss, load_serving_state(file(), "zone1"));
  }
}

// S4-51
TEST_F(ServingCache, AStartDuringAnOutageHasTheLastKnownStateAndThenTheTrueOne) {
  fill();
  start(*server_);
  ASSERT_OK(run(watcher_->wait_complete(soon())));
  add_tablet(102);
  EXPECT_TRUE(eventually([](const ServingState& state) { return state.tablets->size() == 3; }));
  Server& second = restarted();
  ASSERT_OK(run(cell_->remove(tablet_path("zone1-0000000100"), std::nullopt)));
  set_memory_store_unavailable(name_, true);
  start(second);
  ASSERT_OK(run(watcher_->wait_complete(soon())));
  const auto old = watcher_->current();
  EXPECT_TRUE(old->restored);
  EXPECT_EQ(old->tablets->size(), 3u);
  EXPECT_EQ(old->keyspaces->size(), 1u);
  ASSERT_NE(old->vschema, nullptr);
  set_memory_store_unavailable(name_, false);
  EXPECT_TRUE(eventually([](const ServingState& state) { return !state.restored && state.tablets->size() == 2; }));
  EXPECT_FALSE(watcher_->current()->tablets->contains("zone1-0000000100"));
  stop();
  EXPECT_EQ((*load_serving_state(file(), "zone1"))->tablets->size(), 2u);  // And that is what is kept now.
}

TEST_F(ServingCache, ATopologyThatAnswersIsBelievedAndNotTheFile) {
  fill();
  start(*server_);
  ASSERT_OK(run(watcher_->wait_complete(soon())));
  Server& second = restarted();
  for (const char* alias : {"zone1-0000000100", "zone1-0000000101"}) {
    ASSERT_OK(run(cell_->remove(tablet_path(alias), std::nullopt)));
  }
  start(second);
  ASSERT_OK(run(watcher_->wait_complete(soon())));
  EXPECT_FALSE(watcher_->current()->restored);
  EXPECT_TRUE(watcher_->current()->tablets->empty());
}

TEST_F(ServingCache, ADeletedCellDoesNotComeBackFromTheFile) {
  fill();
  start(*server_);
  ASSERT_OK(run(watcher_->wait_complete(soon())));
  Server& second = restarted();
  ASSERT_OK(run(delete_cell_info(*server_, "zone1", true)));
  start(second, milliseconds(50));
  EXPECT_CODE(Code::kDeadlineExceeded, run(watcher_->wait_complete(net::Wait::within(milliseconds(300)))));
  EXPECT_TRUE(watcher_->current()->tablets->empty());
}

TEST_F(ServingCache, WithoutAUsableFileAStartWaitsForTheTopology) {
  fill();
  ASSERT_OK(base::make_directories(folder_.file("cache")));
  std::ofstream(file()) << "nonsense";
  set_memory_store_unavailable(name_, true);
  start(*server_);
  EXPECT_CODE(Code::kDeadlineExceeded, run(watcher_->wait_complete(net::Wait::within(milliseconds(100)))));
  set_memory_store_unavailable(name_, false);
  ASSERT_OK(run(watcher_->wait_complete(soon())));
  EXPECT_EQ(watcher_->current()->tablets->size(), 2u);
  stop();
  ASSERT_OK(load_serving_state(file(), "zone1"));
}

}  // namespace
}  // namespace vitrail::topo
