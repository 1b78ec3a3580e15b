// The ZooKeeper store where a single call on a healthy server tells nothing: sessions that end, a server that goes away
// and comes back, logins, large records.

#include <signal.h>

#include <fstream>
#include <set>
#include <thread>

#include "net/scope.h"
#include "topo/conformance/fixture.h"
#include "topo/conformance/helper_process.h"
#include "topo/conformance/zookeeper_server.h"
#include "topo/store_kinds.h"

namespace vitrail::topo::conformance {
namespace {

using namespace std::chrono_literals;

class Zookeeper : public testing::Test {
 protected:
  void use(ZookeeperServer::Options options = {}) {
    server_ = std::make_unique<ZookeeperServer>(options);
    store_ = open();
    ASSERT_NE(store_, nullptr);
  }
  void TearDown() override {
    for (const auto& store : opened_) runner_.run(store->close());
  }
  std::shared_ptr<Store> open(const std::string& root = "/vitrail/global", const StoreSettings& settings = {}) {
    auto store = run(open_store("zk2", server_->address(), root, settings));
    EXPECT_TRUE(store.ok()) << store.error().to_string();
    if (!store.ok()) return nullptr;
    opened_.push_back(*store);
    return *store;
  }
  template <typename T>
  T run(net::Task<T> task) {
    return runner_.run(std::move(task));
  }
  void put(const std::string& path, const std::string& data) {
    ASSERT_OK(run(store_->update(path, data, std::nullopt)));
  }
  std::string data_of(const std::string& path) {
    const auto record = run(store_->get(path));
    return record.ok() ? record->data : "<" + record.error().to_string() + ">";
  }

  Runner runner_;
  std::unique_ptr<ZookeeperServer> server_;
  std::vector<std::shared_ptr<Store>> opened_;
  std::shared_ptr<Store> store_;
};

// Names and places as Vitess has them, so that programs of both exclude each other.
TEST_F(Zookeeper, LaysOutLocksAndElectionsAsVitessDoes) {
  use();
  put("k/a", "1");
  const auto whole = open("/");
  EXPECT_EQ(run(whole->get("vitrail/global/k/a"))->data, "1");
  auto held = run(store_->lock("k", "holder"));
  ASSERT_OK(held);
  const auto entry = run(whole->get("vitrail/global/k/locks/0000000000"));
  ASSERT_OK(entry);
  EXPECT_EQ(entry->data, "holder");
  auto leading = run(store_->campaign("vtctld", "me"));
  ASSERT_OK(leading);
  const auto leader = run(whole->get("vitrail/global/elections/vtctld/0000000000"));
  ASSERT_OK(leader);
  EXPECT_EQ(leader->data, "me");
  EXPECT_EQ(run(store_->list(""))->size(), 1u);  // Neither of both is a record.
  runner_.drop(std::move(*held));
  runner_.drop(std::move(*leading));
}

TEST_F(Zookeeper, AKilledHolderLosesItsLockWithItsSession) {
  use({.session_max = 1s});
  put("k/a", "1");
  Helper helper({"hold", "zk2", server_->address(), "k"});
  ASSERT_EQ(helper.line(), "held");
  EXPECT_CODE(Code::kAlreadyExists, run(store_->try_lock("k", "me")));
  helper.signal(SIGKILL);
  auto mine = run(store_->lock("k", "me", {.wait = soon()}));
  ASSERT_OK(mine);
  runner_.drop(std::move(*mine));
}

TEST_F(Zookeeper, ALockWithAShortTimeToLiveOutlivesItsHolderForNoLonger) {
  use();
  put("k/a", "0");
  Helper holder({"hold", "zk2", server_->address(), "k", "4000"});
  ASSERT_EQ(holder.line(), "held");
  holder.signal(SIGKILL);
  const auto begin = base::system_clock().now();
  auto lock = run(store_->lock("k", "me", {.wait = net::Wait::within(15s), .ttl = 4s}));
  ASSERT_OK(lock);
  EXPECT_LT(base::system_clock().now() - begin, 8s);
  // It guards writes as any other lock does, and no longer than it is held.
  EXPECT_TRUE(run(store_->update("k/a", "1", std::nullopt, {.fence = (*lock)->fence()})).ok());
  const Fence fence = (*lock)->fence();
  ASSERT_TRUE(run((*lock)->unlock()).ok());
  EXPECT_CODE(Code::kFailedPrecondition, run(store_->update("k/a", "2", std::nullopt, {.fence = fence})));
  EXPECT_EQ(data_of("k/a"), "1");
  runner_.drop(std::move(*lock));
}

TEST_F(Zookeeper, AStoppedHolderFindsItsLockLostBeforeItWrites) {
  use({.session_max = 1s});
  put("k/a", "1");
  Helper helper({"hold", "zk2", server_->address(), "k"});
  ASSERT_EQ(helper.line(), "held");
  helper.say("check");
  EXPECT_EQ(helper.line(), "held");
  helper.signal(SIGSTOP);
  auto mine = run(store_->lock("k", "me", {.wait = soon()}));
  ASSERT_OK(mine);
  helper.signal(SIGCONT);
  helper.say("check");
  EXPECT_NE(helper.line().find("FAILED_PRECONDITION"), std::string::npos);
  ASSERT_OK(run((*mine)->check_held()));
  runner_.drop(std::move(*mine));
}

TEST_F(Zookeeper, AWatchGoesOnInANewSession) {
  use({.session_max = 1s});
  put("a", "one");
  put("k/x", "1");
  Helper helper({"watch", "zk2", server_->address(), "a"});
  ASSERT_EQ(helper.line(), "=one");
  // A lock that another process waits for tells when the session has ended.
  Helper holder({"hold", "zk2", server_->address(), "k"});
  ASSERT_EQ(holder.line(), "held");
  helper.signal(SIGSTOP);
  holder.signal(SIGSTOP);
  auto mine = run(store_->lock("k", "me", {.wait = soon()}));
  ASSERT_OK(mine);
  put("a", "two");
  helper.signal(SIGCONT);
  EXPECT_EQ(helper.line(), "=two");
  put("a", "three");
  EXPECT_EQ(helper.line(), "=three");
  holder.signal(SIGCONT);
  runner_.drop(std::move(*mine));
}

// S4-44
TEST_F(Zookeeper, RecordsWatchesAndLocksOutliveARestartOfTheServer) {
  use();
  put("k/a", "one");
  auto watching = run(store_->watch("k/a"));
  ASSERT_OK(watching);
  auto tree = run(store_->watch_recursive("k"));
  ASSERT_OK(tree);
  ASSERT_OK(run((*watching)->next(soon())));
  ASSERT_OK(run((*tree)->next(soon())));
  auto held = run(store_->lock("k", "me"));
  ASSERT_OK(held);
  server_->kill();
  EXPECT_CODE(Code::kDeadlineExceeded, run(store_->get("k/a", net::Wait::within(300ms))));
  const auto refused = run(store_->update("k/a", "lost", std::nullopt, {.wait = net::Wait::within(300ms)}));
  EXPECT_CODE(Code::kDeadlineExceeded, refused);
  EXPECT_EQ(refused.error().effect(), Effect::kNone);  // It never left.
  EXPECT_FALSE(run((*held)->check_held(net::Wait::within(300ms))).ok());
  std::this_thread::sleep_for(outage(0s));
  server_->start();
  EXPECT_EQ(data_of("k/a"), "one");
  ASSERT_OK(run((*held)->check_held()));
  ASSERT_OK(run(store_->update("k/a", "two", std::nullopt, {.fence = (*held)->fence()})));
  put("k/b", "new");
  const auto is_two = [](const Change& change) { return change.record && change.record->data == "two"; };
  EXPECT_TRUE(wait_for_change(runner_, **watching, is_two));
  std::set<std::string> seen;
  EXPECT_TRUE(wait_for_change(runner_, **tree, [&seen](const Change& change) {
    if (change.record) seen.insert(change.path + "=" + change.record->data);
    return seen == std::set<std::string>{"k/a=two", "k/b=new"};
  }));
  ASSERT_OK(run((*held)->unlock()));
  runner_.drop(std::move(*held));
  runner_.drop(std::move(*watching));
  runner_.drop(std::move(*tree));
}

TEST_F(Zookeeper, SaysWhatToSetWhenARecordIsTooLargeForTheServer) {
  use({.max_buffer = 0xfffff});
  put("a", "x");
  const auto refused = run(store_->create("big", std::string(1 << 20, 'x')));
  EXPECT_CODE(Code::kResourceExhausted, refused);
  EXPECT_NE(refused.error().message().find("jute.maxbuffer"), std::string::npos);
  EXPECT_EQ(data_of("a"), "x");
  EXPECT_CODE(Code::kNotFound, run(store_->get("big")));
  put("fits", std::string((1 << 20) - 1024, 'x'));
}

TEST_F(Zookeeper, WhatALoginCreatesIsForThisLogin) {
  use();
  TempFolder folder;
  std::ofstream(folder.file("auth")) << "digest:vitrail:secret\n";
  StoreSettings settings;
  settings.zk.auth_file = folder.file("auth");
  const auto mine = open("/secret", settings);
  ASSERT_OK(run(mine->create("a", "x")));
  EXPECT_EQ(run(mine->get("a"))->data, "x");
  const auto stranger = open("/secret");
  EXPECT_CODE(Code::kPermissionDenied, run(stranger->get("a")));
  EXPECT_CODE(Code::kPermissionDenied, run(stranger->update("a", "y", std::nullopt)));
  const auto again = open("/secret", settings);
  EXPECT_EQ(run(again->get("a"))->data, "x");
  std::ofstream(folder.file("bad")) << "nothing\n";
  settings.zk.auth_file = folder.file("bad");
  EXPECT_CODE(Code::kInvalidArgument, run(open_store("zk2", server_->address(), "/", settings)));
  settings.zk.auth_file = folder.file("none");
  EXPECT_CODE(Code::kNotFound, run(open_store("zk2", server_->address(), "/", settings)));
}

TEST_F(Zookeeper, AnAddressWithoutServerIsPassedOver) {
  use();
  auto store = run(open_store("zk2", "127.0.0.1:1," + server_->address(), "/vitrail/global"));
  ASSERT_OK(store);
  opened_.push_back(*store);
  ASSERT_OK(run((*store)->create("a", "x")));
  EXPECT_EQ(data_of("a"), "x");
}

TEST_F(Zookeeper, RefusesAddressesThatAreNone) {
  for (const char* address : {"", ",", "127.0.0.1", "127.0.0.1:1,,127.0.0.1:2", ":1", "a:b"}) {
    EXPECT_CODE(Code::kInvalidArgument, run(open_store("zk2", address, "/")));
  }
}

}  // namespace
}  // namespace vitrail::topo::conformance
