// A ZooKeeper server that the majority cannot be reached from neither writes nor tells what may be old: whoever asks
// there gets an error in time, and a write that was acknowledged is there afterwards (S4-48, S4-51).

#include <signal.h>

#include "topo/conformance/fixture.h"
#include "topo/conformance/zookeeper_ensemble.h"
#include "topo/store_kinds.h"

namespace vitrail::topo::conformance {
namespace {

using namespace std::chrono_literals;

class ZookeeperQuorum : public testing::Test {
 protected:
  static void SetUpTestSuite() { ensemble_ = std::make_unique<ZookeeperEnsemble>(0ms); }
  static void TearDownTestSuite() { ensemble_.reset(); }
  void SetUp() override {
    for (size_t server = 0; server < ZookeeperEnsemble::kServers; ++server) {
      auto store = runner_.run(open_store("zk2", ensemble_->address(server), "/vitrail/global"));
      ASSERT_OK(store);
      stores_.push_back(*store);
    }
  }
  void TearDown() override {
    for (size_t server = 0; server < ZookeeperEnsemble::kServers; ++server) ensemble_->signal(server, SIGCONT);
    for (const auto& store : stores_) runner_.run(store->close());
  }
  Status put(size_t server, const std::string& data, net::Wait wait) {
    WriteOptions options;
    options.wait = std::move(wait);
    auto version = runner_.run(stores_[server]->update("a", data, std::nullopt, std::move(options)));
    return version.ok() ? Status() : Status(std::move(version).error());
  }
  // A session may have ended meanwhile: then it is opened anew, which takes a moment.
  Status put_again(size_t server, const std::string& data) {
    const auto deadline = base::system_clock().now() + 60s;
    for (;;) {
      Status done = put(server, data, net::Wait::within(2s));
      if (done.ok() || base::system_clock().now() > deadline) return done;
    }
  }

  static std::unique_ptr<ZookeeperEnsemble> ensemble_;
  Runner runner_;
  std::vector<std::shared_ptr<Store>> stores_;
};

std::unique_ptr<ZookeeperEnsemble> ZookeeperQuorum::ensemble_;

TEST_F(ZookeeperQuorum, IsNeededForWritesAndReads) {
  constexpr size_t kLast = ZookeeperEnsemble::kServers - 1;
  ASSERT_OK(put(0, "of all", soon()));

  // One of three is cut off, which is never the leader: the others go on.
  ensemble_->signal(ZookeeperEnsemble::kLagging, SIGSTOP);
  ASSERT_OK(put(1, "of two", soon()));
  const auto two = runner_.run(stores_[kLast]->get("a", soon()));
  ASSERT_OK(two);
  EXPECT_EQ(two->data, "of two");
  ASSERT_OK(runner_.run(stores_[kLast]->update("dir/a", "1", std::nullopt)));
  auto lock = runner_.run(stores_[kLast]->lock("dir", "held"));
  ASSERT_OK(lock);

  // Two are: the one that is left takes no write and does not tell what it has, leader or not.
  ensemble_->signal(1, SIGSTOP);
  EXPECT_FALSE(put(kLast, "of one", net::Wait::within(2s)).ok());
  EXPECT_FALSE(runner_.run(stores_[kLast]->get("a", net::Wait::within(2s))).ok());
  EXPECT_FALSE(runner_.run((*lock)->check_held(net::Wait::within(2s))).ok());

  // They come back: nothing that was acknowledged is lost, and all say the same.
  ensemble_->signal(0, SIGCONT);
  ensemble_->signal(1, SIGCONT);
  ASSERT_OK(put_again(kLast, "of all again"));
  for (size_t server = 0; server < ZookeeperEnsemble::kServers; ++server) {
    const auto deadline = base::system_clock().now() + 60s;
    auto record = runner_.run(stores_[server]->get("a", net::Wait::within(2s)));
    while (!record.ok() && base::system_clock().now() < deadline) {
      record = runner_.run(stores_[server]->get("a", net::Wait::within(2s)));
    }
    ASSERT_OK(record);
    EXPECT_EQ(record->data, "of all again") << server;
  }
  runner_.drop(std::move(*lock));
}

// The other way round: one dies, mostly the leader, and those that are left agree on another one. The last test: it
// stays dead.
TEST_F(ZookeeperQuorum, OutlivesItsLeader) {
  constexpr size_t kLast = ZookeeperEnsemble::kServers - 1;
  ASSERT_OK(put_again(kLast, "before"));
  ensemble_->kill(kLast);
  ASSERT_OK(put_again(0, "behind"));
  const auto deadline = base::system_clock().now() + 60s;
  auto record = runner_.run(stores_[1]->get("a", net::Wait::within(2s)));
  while (!record.ok() && base::system_clock().now() < deadline) {
    record = runner_.run(stores_[1]->get("a", net::Wait::within(2s)));
  }
  ASSERT_OK(record);
  EXPECT_EQ(record->data, "behind");
}

}  // namespace
}  // namespace vitrail::topo::conformance
