// A ZooKeeper server answers reads by itself, and may not have yet what another one has acknowledged. Whatever the
// store reads is as new as the call for all that.

#include <fmt/core.h>

#include "topo/conformance/fixture.h"
#include "topo/conformance/zookeeper_ensemble.h"
#include "topo/store_kinds.h"

namespace vitrail::topo::conformance {
namespace {

using namespace std::chrono_literals;

class ZookeeperLag : public testing::Test {
 protected:
  static constexpr auto kLater = 20ms;

  static void SetUpTestSuite() { ensemble_ = std::make_unique<ZookeeperEnsemble>(kLater); }
  static void TearDownTestSuite() { ensemble_.reset(); }
  void SetUp() override {
    here_ = open(1);
    there_ = open(ZookeeperEnsemble::kLagging);
    ASSERT_TRUE(here_ && there_);
  }
  void TearDown() override {
    for (const auto& store : opened_) run(store->close());
  }
  std::shared_ptr<Store> open(size_t server) {
    auto store = run(open_store("zk2", ensemble_->address(server), "/vitrail/global"));
    EXPECT_TRUE(store.ok()) << store.error().to_string();
    if (!store.ok()) return nullptr;
    opened_.push_back(*store);
    return *store;
  }
  template <typename T>
  T run(net::Task<T> task) {
    return runner_.run(std::move(task));
  }
  void run(net::Task<void> task) { runner_.run(std::move(task)); }
  Version put(const std::string& path, const std::string& data) {
    const auto version = run(here_->update(path, data, std::nullopt));
    EXPECT_TRUE(version.ok()) << version.error().to_string();
    return version.ok() ? *version : Version{};
  }

  static std::unique_ptr<ZookeeperEnsemble> ensemble_;
  Runner runner_;
  std::vector<std::shared_ptr<Store>> opened_;
  std::shared_ptr<Store> here_;   // At a server that knows at once.
  std::shared_ptr<Store> there_;  // At the one that lags behind.
};

std::unique_ptr<ZookeeperEnsemble> ZookeeperLag::ensemble_;

TEST_F(ZookeeperLag, AGetSeesWhatWasWrittenThroughAnotherServer) {
  for (int round = 0; round < 10; ++round) {
    const std::string value = std::to_string(round);
    const Version version = put("a", value);
    const auto record = run(there_->get("a"));
    ASSERT_OK(record);
    EXPECT_EQ(record->data, value);
    EXPECT_EQ(record->version, version);
  }
  ASSERT_OK(run(here_->remove("a", std::nullopt)));
  EXPECT_CODE(Code::kNotFound, run(there_->get("a")));
}

TEST_F(ZookeeperLag, ListsSeeIt) {
  for (int round = 0; round < 3; ++round) {
    const std::string dir = fmt::format("lists{}", round);
    put(dir + "/x/r", "1");
    const auto names = run(there_->list_dir(dir, true));
    ASSERT_OK(names);
    EXPECT_EQ(names->size(), 1u);
    put(dir + "/y/r", "2");
    const auto records = run(there_->list(dir));
    ASSERT_OK(records);
    EXPECT_EQ(records->size(), 2u);
  }
}

TEST_F(ZookeeperLag, AWatchBeginsWithIt) {
  for (int round = 0; round < 3; ++round) {
    const std::string value = std::to_string(round);
    put("watched/a", value);
    auto one = run(there_->watch("watched/a"));
    ASSERT_OK(one);
    const auto first = run((*one)->next(soon()));
    ASSERT_OK(first);
    EXPECT_TRUE(first->front().record && first->front().record->data == value);
    put("watched/a", value + "later");
    auto all = run(there_->watch_recursive("watched"));
    ASSERT_OK(all);
    const auto present = run((*all)->next(soon()));
    ASSERT_OK(present);
    ASSERT_EQ(present->size(), 1u);
    EXPECT_TRUE(present->front().record && present->front().record->data == value + "later");
    EXPECT_TRUE(wait_for_change(
        runner_, **one, [&](const Change& change) { return change.record && change.record->data == value + "later"; }));
    runner_.drop(std::move(*one));
    runner_.drop(std::move(*all));
  }
}

TEST_F(ZookeeperLag, LocksAndLeadersAreSeenAtOnce) {
  for (int round = 0; round < 3; ++round) {
    const std::string dir = fmt::format("locked{}", round);
    put(dir + "/r", "1");
    auto theirs = run(there_->lock(dir, "there"));  // Of a directory that is new.
    ASSERT_OK(theirs);
    // Taken away by hand.
    ASSERT_OK(run(here_->remove((*theirs)->fence().lock_path, std::nullopt)));
    EXPECT_CODE(Code::kFailedPrecondition, run((*theirs)->check_held()));
    auto ours = run(here_->lock(dir, "here"));
    ASSERT_OK(ours);
    const auto queue = run(there_->lock_queue(dir));
    ASSERT_OK(queue);
    ASSERT_EQ(queue->size(), 1u);
    EXPECT_EQ(queue->front().contents, "here");
    ASSERT_OK(run((*ours)->unlock()));
    auto again = run(there_->try_lock(dir, "there"));
    ASSERT_OK(again);
    auto leading = run(here_->campaign(dir, "here"));
    ASSERT_OK(leading);
    const auto leader = run(there_->leader(dir));
    ASSERT_OK(leader);
    EXPECT_EQ(*leader, "here");
    runner_.drop(std::move(*theirs));
    runner_.drop(std::move(*ours));
    runner_.drop(std::move(*again));
    runner_.drop(std::move(*leading));
  }
}

}  // namespace
}  // namespace vitrail::topo::conformance
