// The promises of store.h, kept by every implementation.

#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "topo/conformance/etcd_server.h"
#include "topo/conformance/fixture.h"
#include "topo/conformance/zookeeper_server.h"

namespace vitrail::topo::conformance {
namespace {

using std::chrono::milliseconds;

class StoreConformance : public testing::TestWithParam<Implementation> {
 protected:
  void SetUp() override {
    environment_ = GetParam().make();
    store_ = open("/vitrail/global");
    ASSERT_NE(store_, nullptr);
  }
  void TearDown() override {
    for (const auto& store : opened_) run(store->close());
  }

  std::shared_ptr<Store> open(const std::string& root) {
    auto store = run(environment_->open(root));
    EXPECT_TRUE(store.ok()) << store.error().to_string();
    if (!store.ok()) return nullptr;
    opened_.push_back(*store);
    return *store;
  }
  template <typename T>
  T run(net::Task<T> task) {
    return runner_.run(std::move(task));
  }
  std::string data_of(const std::string& path) {
    const auto record = run(store_->get(path));
    return record.ok() ? record->data : "<" + record.error().to_string() + ">";
  }
  Version put(const std::string& path, const std::string& data) {
    const auto version = run(store_->update(path, data, std::nullopt));
    EXPECT_TRUE(version.ok()) << version.error().to_string();
    return version.ok() ? *version : Version{};
  }
  std::vector<std::string> names(const std::string& dir) {
    std::vector<std::string> out;
    const auto entries = run(store_->list_dir(dir));
    if (!entries.ok()) return {"<" + std::string(base::code_name(entries.error().code())) + ">"};
    for (const DirEntry& entry : *entries) out.push_back(entry.name);
    return out;
  }
  std::unique_ptr<Watch> watch(const std::string& path) {
    auto watch = run(store_->watch(path));
    EXPECT_TRUE(watch.ok()) << watch.error().to_string();
    return watch.ok() ? std::move(*watch) : nullptr;
  }
  // The next single change of a watch.
  Change next(Watch& watch) {
    auto changes = run(watch.next(soon()));
    EXPECT_TRUE(changes.ok()) << changes.error().to_string();
    if (!changes.ok()) return {};
    EXPECT_EQ(changes->size(), 1u);
    return changes->empty() ? Change{} : changes->front();
  }
  std::unique_ptr<Lock> lock(Store& store, const std::string& dir, const std::string& contents = "me",
                             LockOptions options = {}) {
    if (options.wait.deadline == base::TimePoint::max()) options.wait = soon();
    auto lock = run(store.lock(dir, contents, std::move(options)));
    EXPECT_TRUE(lock.ok()) << lock.error().to_string();
    return lock.ok() ? std::move(*lock) : nullptr;
  }

  std::unique_ptr<Environment> environment_;
  std::vector<std::shared_ptr<Store>> opened_;
  Runner runner_;
  std::shared_ptr<Store> store_;
};

// ---- Records

TEST_P(StoreConformance, GivesBackWhatWasCreated) {
  const auto created = run(store_->create("keyspaces/commerce/Keyspace", "one"));
  ASSERT_OK(created);
  const auto record = run(store_->get("/keyspaces/commerce/Keyspace"));
  ASSERT_OK(record);
  EXPECT_EQ(record->data, "one");
  EXPECT_EQ(record->version, *created);
}

TEST_P(StoreConformance, RefusesToCreateTwice) {
  put("a/b", "one");
  EXPECT_CODE(Code::kAlreadyExists, run(store_->create("a/b", "two")));
  EXPECT_EQ(data_of("a/b"), "one");
}

TEST_P(StoreConformance, SaysNotFound) {
  put("a/b", "one");
  for (const char* path : {"a", "a/c", "b", "a/b/c"}) EXPECT_CODE(Code::kNotFound, run(store_->get(path)));
}

TEST_P(StoreConformance, UpdatesOnlyTheExpectedVersion) {
  const Version first = put("a", "one");
  const auto second = run(store_->update("a", "two", first));
  ASSERT_OK(second);
  EXPECT_NE(*second, first);
  EXPECT_CODE(Code::kAborted, run(store_->update("a", "three", first)));
  EXPECT_EQ(data_of("a"), "two");
  EXPECT_CODE(Code::kNotFound, run(store_->update("none", "x", first)));
}

TEST_P(StoreConformance, UpdateWithoutVersionCreatesAndReplaces) {
  put("a/b", "one");
  put("a/b", "two");
  EXPECT_EQ(data_of("a/b"), "two");
}

TEST_P(StoreConformance, AnUpdateWithTheSameDataIsANewVersion) {
  const Version first = put("a", "same");
  const Version second = put("a", "same");
  EXPECT_NE(first, second);
  EXPECT_CODE(Code::kAborted, run(store_->update("a", "x", first)));
}

TEST_P(StoreConformance, RemovesOnlyTheExpectedVersion) {
  const Version first = put("a", "one");
  const Version second = put("a", "two");
  EXPECT_CODE(Code::kAborted, run(store_->remove("a", first)));
  EXPECT_EQ(data_of("a"), "two");
  ASSERT_OK(run(store_->remove("a", second)));
  EXPECT_CODE(Code::kNotFound, run(store_->get("a")));
  EXPECT_CODE(Code::kNotFound, run(store_->remove("a", std::nullopt)));
  EXPECT_CODE(Code::kNotFound, run(store_->remove("a", second)));
}

TEST_P(StoreConformance, RefusesToRemoveADirectory) {
  put("dir/sub/record", "x");
  EXPECT_CODE(Code::kFailedPrecondition, run(store_->remove("dir", std::nullopt)));
  EXPECT_CODE(Code::kFailedPrecondition, run(store_->remove("dir/sub", std::nullopt)));
  EXPECT_EQ(data_of("dir/sub/record"), "x");
}

TEST_P(StoreConformance, KeepsAnyBytes) {
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  put("bytes", all);
  put("empty", "");
  EXPECT_EQ(data_of("bytes"), all);
  EXPECT_EQ(data_of("empty"), "");
}

TEST_P(StoreConformance, KeepsOneMebibyte) {
  std::string big(1 << 20, 'x');
  for (size_t i = 0; i < big.size(); i += 97) big[i] = static_cast<char>(i * 31);
  auto watching = watch("big");
  EXPECT_FALSE(next(*watching).record.has_value());
  const Version first = put("big", big);
  EXPECT_EQ(data_of("big"), big);
  const Change change = next(*watching);
  ASSERT_TRUE(change.record.has_value());
  EXPECT_EQ(change.record->data, big);
  big[77] = '!';
  ASSERT_OK(run(store_->update("big", big, first)));
  EXPECT_EQ(data_of("big"), big);
  runner_.drop(std::move(watching));
}

TEST_P(StoreConformance, RefusesBadPaths) {
  for (const std::string path : {"", "/", "a//b", "a/", "//a", ".", "a/../b", "a/./b", "a\nb"}) {
    EXPECT_CODE(Code::kInvalidArgument, run(store_->get(path)));
    EXPECT_CODE(Code::kInvalidArgument, run(store_->create(path, "x")));
  }
  EXPECT_CODE(Code::kInvalidArgument, run(store_->get(std::string("a\0b", 3))));
  EXPECT_CODE(Code::kInvalidArgument, run(store_->get(std::string(2'000, 'x'))));
}

TEST_P(StoreConformance, EndsWhatIsCancelled) {
  net::CancelSource cancel;
  cancel.cancel();
  EXPECT_CODE(Code::kCanceled, run(store_->get("a", {.cancel = cancel.token()})));
  EXPECT_CODE(Code::kCanceled, run(store_->create("a", "x", {.wait = {.cancel = cancel.token()}})));
  EXPECT_CODE(Code::kNotFound, run(store_->get("a")));
}

// Adds one to a counter, `count` times, by compare and swap.
net::Task<void> increment(Store& store, int count, int& conflicts, int& failures) {
  for (int i = 0; i < count; ++i) {
    for (;;) {
      const auto record = co_await store.get("counter");
      if (!record.ok()) {
        ++failures;
        break;
      }
      const auto written =
          co_await store.update("counter", std::to_string(std::stoi(record->data) + 1), record->version);
      if (written.ok()) break;
      if (written.error().code() != Code::kAborted) {
        ++failures;
        break;
      }
      ++conflicts;
    }
  }
}

TEST_P(StoreConformance, LosesNoUpdateAmongManyWriters) {
  put("counter", "0");
  const auto other = open("/vitrail/global");
  int conflicts = 0;
  int failures = 0;
  std::vector<net::Task<void>> tasks;
  for (int i = 0; i < 8; ++i) tasks.push_back(increment(i % 2 == 0 ? *store_ : *other, 25, conflicts, failures));
  runner_.run(net::when_all(std::move(tasks)));
  EXPECT_EQ(failures, 0);
  EXPECT_EQ(data_of("counter"), "200");
  RecordProperty("conflicts", conflicts);
}

// ---- Directories

TEST_P(StoreConformance, ListsNamesSorted) {
  for (const char* path : {"d/b/x", "d/a", "d/a-b/y", "d/a.c", "d/c/x/y/z", "d/b/z", "d0", "c/q"}) put(path, "1");
  EXPECT_EQ(names("d"), (std::vector<std::string>{"a", "a-b", "a.c", "b", "c"}));
  EXPECT_EQ(names("/d"), names("d"));
  EXPECT_EQ(names(""), (std::vector<std::string>{"c", "d", "d0"}));
  const auto full = run(store_->list_dir("d", true));
  ASSERT_OK(full);
  ASSERT_EQ(full->size(), 5u);
  EXPECT_EQ((*full)[0].kind, DirEntry::Kind::kRecord);
  EXPECT_EQ((*full)[1].kind, DirEntry::Kind::kDirectory);
  EXPECT_EQ((*full)[2].kind, DirEntry::Kind::kRecord);
  EXPECT_EQ((*full)[4].kind, DirEntry::Kind::kDirectory);
}

TEST_P(StoreConformance, DirectoriesVanishWithTheirLastRecord) {
  EXPECT_EQ(names("x"), (std::vector<std::string>{"<NOT_FOUND>"}));
  put("x/y/z", "1");
  EXPECT_EQ(names("x"), (std::vector<std::string>{"y"}));
  ASSERT_OK(run(store_->remove("x/y/z", std::nullopt)));
  EXPECT_EQ(names("x/y"), (std::vector<std::string>{"<NOT_FOUND>"}));
  EXPECT_EQ(names("x"), (std::vector<std::string>{"<NOT_FOUND>"}));
  EXPECT_EQ(names(""), (std::vector<std::string>{}));
}

TEST_P(StoreConformance, ListsEverythingBelowADirectory) {
  for (const char* path : {"k/a/Keyspace", "k/a/shards/0/Shard", "k/b/Keyspace", "ka/x", "k-/x"}) put(path, path);
  const auto records = run(store_->list("k"));
  ASSERT_OK(records);
  std::vector<std::string> paths;
  for (const PathRecord& record : *records) {
    paths.push_back(record.path);
    EXPECT_EQ(record.data, record.path);
    EXPECT_EQ(record.version, run(store_->get(record.path))->version);
  }
  EXPECT_EQ(paths, (std::vector<std::string>{"k/a/Keyspace", "k/a/shards/0/Shard", "k/b/Keyspace"}));
  EXPECT_EQ(run(store_->list(""))->size(), 5u);
  EXPECT_TRUE(run(store_->list("nothing"))->empty());
}

// S4-45: two clusters on one server do not see each other.
TEST_P(StoreConformance, RootsAreSeparate) {
  const auto other = open("/vitrail/zone1");
  const auto nested = open("/vitrail/global/inner");
  put("a", "global");
  ASSERT_OK(run(other->create("a", "zone1")));
  ASSERT_OK(run(nested->create("a", "inner")));
  EXPECT_EQ(data_of("a"), "global");
  EXPECT_EQ(run(other->get("a"))->data, "zone1");
  EXPECT_EQ(names(""), (std::vector<std::string>{"a", "inner"}));
  EXPECT_EQ(data_of("inner/a"), "inner");
  EXPECT_EQ(run(other->list(""))->size(), 1u);
}

net::Task<void> create_range(Store& store, int first, int end, int& failures) {
  for (int i = first; i < end; ++i) {
    const auto created = co_await store.create(fmt::format("many/{:05}/Tablet", i), fmt::format("tablet {}", i));
    if (!created.ok()) ++failures;
  }
}

TEST_P(StoreConformance, HoldsTenThousandEntriesInADirectory) {
  constexpr int kCount = 10'000;
  constexpr int kWriters = 50;
  auto watching = run(store_->watch_recursive("many"));
  ASSERT_OK(watching);
  ASSERT_TRUE(run((*watching)->next(soon()))->empty());
  const auto begin = base::system_clock().now();
  int failures = 0;
  std::vector<net::Task<void>> tasks;
  for (int i = 0; i < kWriters; ++i) {
    tasks.push_back(create_range(*store_, i * kCount / kWriters, (i + 1) * kCount / kWriters, failures));
  }
  runner_.run(net::when_all(std::move(tasks)));
  ASSERT_EQ(failures, 0);
  const auto created = base::system_clock().now();
  const auto listed = names("many");
  ASSERT_EQ(listed.size(), static_cast<size_t>(kCount));
  EXPECT_EQ(listed.front(), "00000");
  EXPECT_EQ(listed.back(), "09999");
  const auto names_read = base::system_clock().now();
  const auto records = run(store_->list("many"));
  ASSERT_OK(records);
  ASSERT_EQ(records->size(), static_cast<size_t>(kCount));
  EXPECT_EQ((*records)[1234].data, "tablet 1234");
  const auto records_read = base::system_clock().now();

  // And the watch has seen every one of them.
  std::set<std::string> seen;
  EXPECT_TRUE(wait_for_change(runner_, **watching, [&](const Change& change) {
    if (change.record) seen.insert(change.path);
    return seen.size() == static_cast<size_t>(kCount);
  }));
  const auto ms = [](base::Duration d) { return std::chrono::duration_cast<milliseconds>(d).count(); };
  fmt::print("[ {:>8} ] 10,000 records: created in {} ms, names in {} ms, all in {} ms\n", GetParam().name,
             ms(created - begin), ms(names_read - created), ms(records_read - names_read));
  runner_.drop(std::move(*watching));
}

// ---- Watches

TEST_P(StoreConformance, WatchSeesTheWholeLifeOfARecord) {
  auto watching = watch("a/b");
  Change change = next(*watching);
  EXPECT_EQ(change.path, "a/b");
  EXPECT_FALSE(change.record.has_value());

  const Version first = put("a/b", "one");
  change = next(*watching);
  ASSERT_TRUE(change.record.has_value());
  EXPECT_EQ(change.record->data, "one");
  EXPECT_EQ(change.record->version, first);

  put("a/b", "two");
  EXPECT_EQ(next(*watching).record->data, "two");
  ASSERT_OK(run(store_->remove("a/b", std::nullopt)));
  EXPECT_FALSE(next(*watching).record.has_value());
  put("a/b", "three");
  change = next(*watching);
  ASSERT_TRUE(change.record.has_value());
  EXPECT_EQ(change.record->data, "three");
  runner_.drop(std::move(watching));
}

TEST_P(StoreConformance, WatchStartsWithThePresentState) {
  const Version version = put("a", "one");
  auto watching = watch("a");
  const Change change = next(*watching);
  ASSERT_TRUE(change.record.has_value());
  EXPECT_EQ(change.record->data, "one");
  EXPECT_EQ(change.record->version, version);
  // The version is good for an update.
  ASSERT_OK(run(store_->update("a", "two", change.record->version)));
  EXPECT_EQ(next(*watching).record->data, "two");
  runner_.drop(std::move(watching));
}

TEST_P(StoreConformance, WatchSeesDeletionAndCreationAtOnce) {
  put("a", "one");
  auto watching = watch("a");
  next(*watching);
  ASSERT_OK(run(store_->remove("a", std::nullopt)));
  put("a", "again");
  EXPECT_TRUE(wait_for_change(runner_, *watching,
                              [](const Change& change) { return change.record && change.record->data == "again"; }));
  runner_.drop(std::move(watching));
}

TEST_P(StoreConformance, SlowWatchEndsWithTheLastState) {
  auto watching = watch("a");
  next(*watching);
  for (int i = 0; i <= 200; ++i) put("a", std::to_string(i));
  int seen = 0;
  EXPECT_TRUE(wait_for_change(runner_, *watching, [&](const Change& change) {
    ++seen;
    return change.record && change.record->data == "200";
  }));
  EXPECT_LE(seen, 201);
  EXPECT_CODE(Code::kDeadlineExceeded, run(watching->next(brief())));
  runner_.drop(std::move(watching));
}

TEST_P(StoreConformance, WatchSurvivesADeadlineAndACancellation) {
  auto watching = watch("a");
  next(*watching);
  EXPECT_CODE(Code::kDeadlineExceeded, run(watching->next(brief())));
  net::CancelSource cancel;
  cancel.cancel();
  EXPECT_CODE(Code::kCanceled, run(watching->next({.cancel = cancel.token()})));
  put("a", "one");
  EXPECT_EQ(next(*watching).record->data, "one");
  runner_.drop(std::move(watching));
}

TEST_P(StoreConformance, WatchIgnoresItsNeighbours) {
  auto watching = watch("a/b");
  next(*watching);
  for (const char* path : {"a/bb", "a/b/c", "a/a", "b"}) put(path, "x");
  EXPECT_CODE(Code::kDeadlineExceeded, run(watching->next(brief())));
  put("a/b", "mine");
  EXPECT_EQ(next(*watching).record->data, "mine");
  runner_.drop(std::move(watching));
}

TEST_P(StoreConformance, RecursiveWatchFollowsATree) {
  put("k/a/Keyspace", "1");
  put("k/b/Keyspace", "2");
  put("kk/x", "3");
  auto watching = run(store_->watch_recursive("k"));
  ASSERT_OK(watching);
  auto changes = run((*watching)->next(soon()));
  ASSERT_OK(changes);
  ASSERT_EQ(changes->size(), 2u);
  EXPECT_EQ((*changes)[0].path, "k/a/Keyspace");
  EXPECT_EQ((*changes)[1].record->data, "2");

  std::map<std::string, std::string> state{{"k/a/Keyspace", "1"}, {"k/b/Keyspace", "2"}};
  put("k/c/shards/0/Shard", "new");
  put("kk/y", "not mine");
  put("k/a/Keyspace", "1b");
  ASSERT_OK(run(store_->remove("k/b/Keyspace", std::nullopt)));
  put("k/z", "last");
  EXPECT_TRUE(wait_for_change(runner_, **watching, [&](const Change& change) {
    if (change.record)
      state[change.path] = change.record->data;
    else
      state.erase(change.path);
    return state.contains("k/z") && !state.contains("k/b/Keyspace") && state["k/a/Keyspace"] == "1b";
  }));
  EXPECT_EQ(state, (std::map<std::string, std::string>{
                       {"k/a/Keyspace", "1b"}, {"k/c/shards/0/Shard", "new"}, {"k/z", "last"}}));
  runner_.drop(std::move(*watching));
}

TEST_P(StoreConformance, RecursiveWatchDoesNotShowLocks) {
  put("k/a", "1");
  auto watching = run(store_->watch_recursive(""));
  ASSERT_OK(watching);
  ASSERT_OK(run((*watching)->next(soon())));
  auto held = lock(*store_, "k");
  ASSERT_OK(run(held->unlock()));
  EXPECT_CODE(Code::kDeadlineExceeded, run((*watching)->next(brief())));
  runner_.drop(std::move(held));
  runner_.drop(std::move(*watching));
}

TEST_P(StoreConformance, HundredsOfWatchesSeeOneChange) {
  std::vector<std::unique_ptr<Watch>> watches;
  const auto other = open("/vitrail/global");
  for (int i = 0; i < 300; ++i) {
    auto watching = run(other->watch("shared"));
    ASSERT_OK(watching);
    ASSERT_OK(run((*watching)->next(soon())));
    watches.push_back(std::move(*watching));
  }
  put("shared", "news");
  for (auto& watching : watches) EXPECT_EQ(next(*watching).record->data, "news");
  runner_.drop(std::move(watches));
}

TEST_P(StoreConformance, CloseEndsWatchesAndOperations) {
  const auto other = open("/vitrail/global");
  auto watching = run(other->watch("a"));
  ASSERT_OK(watching);
  ASSERT_OK(run((*watching)->next(soon())));
  run(other->close());
  EXPECT_CODE(Code::kUnavailable, run((*watching)->next(soon())));
  EXPECT_CODE(Code::kUnavailable, run(other->get("a")));
  EXPECT_CODE(Code::kUnavailable, run(other->create("a", "x")));
  run(other->close());
  put("a", "still works for others");
  runner_.drop(std::move(*watching));
}

// ---- Locks

TEST_P(StoreConformance, LockNeedsItsDirectory) {
  EXPECT_CODE(Code::kNotFound, run(store_->lock("keyspaces/none", "me")));
  EXPECT_CODE(Code::kNotFound, run(store_->try_lock("keyspaces/none", "me")));
}

// S4-40
TEST_P(StoreConformance, LockIsVisibleAndExclusive) {
  put("k/a", "1");
  auto held = lock(*store_, "k", "the holder");
  ASSERT_OK(run(held->check_held()));
  const auto entries = run(store_->list_dir("k/locks", true));
  ASSERT_OK(entries);
  ASSERT_EQ(entries->size(), 1u);
  EXPECT_TRUE(entries->front().ephemeral);
  EXPECT_EQ(data_of("k/locks/" + entries->front().name), "the holder");
  EXPECT_EQ(held->fence().lock_path, "k/locks/" + entries->front().name);

  const auto other = open("/vitrail/global");
  EXPECT_CODE(Code::kAlreadyExists, run(other->try_lock("k", "the other")));
  EXPECT_CODE(Code::kDeadlineExceeded, run(other->lock("k", "the other", {.wait = brief()})));
  const auto queue = run(other->lock_queue("k"));
  ASSERT_OK(queue);
  ASSERT_EQ(queue->size(), 1u);
  EXPECT_EQ(queue->front().contents, "the holder");

  ASSERT_OK(run(held->unlock()));
  ASSERT_OK(run(held->unlock()));
  EXPECT_TRUE(run(other->lock_queue("k"))->empty());
  EXPECT_EQ(names("k"), (std::vector<std::string>{"a"}));
  auto second = run(other->try_lock("k", "the other"));
  ASSERT_OK(second);
  ASSERT_OK(run((*second)->unlock()));
  runner_.drop(std::move(held));
  runner_.drop(std::move(*second));
}

net::Task<void> lock_and_note(Store& store, std::string name, std::vector<std::string>& order, int& inside) {
  auto held = co_await store.lock("k", name, {.wait = soon()});
  if (!held.ok()) {
    order.push_back(name + ": " + held.error().to_string());
    co_return;
  }
  if (++inside != 1) order.push_back("two holders");
  order.push_back(name);
  (void)co_await net::sleep_for(milliseconds(1));
  --inside;
  const Status status = co_await (*held)->unlock();
  if (!status.ok()) order.push_back(status.error().to_string());
}

net::Task<void> wait_for_queue(Store& store, size_t length) {
  const auto deadline = base::system_clock().now() + std::chrono::seconds(20);
  while (base::system_clock().now() < deadline) {
    const auto queue = co_await store.lock_queue("k");
    if (queue.ok() && queue->size() >= length) co_return;
    (void)co_await net::sleep_for(milliseconds(1));
  }
  ADD_FAILURE() << "the queue did not grow to " << length;
}

net::Task<void> queue_up(Store& a, Store& b, std::unique_ptr<Lock>& held, std::vector<std::string>& order) {
  net::Scope scope;
  int inside = 0;
  for (int i = 0; i < 6; ++i) {
    scope.spawn(lock_and_note(i % 2 == 0 ? a : b, std::to_string(i), order, inside));
    co_await wait_for_queue(a, static_cast<size_t>(i) + 2);
  }
  (void)co_await held->unlock();
  co_await scope.join();
}

TEST_P(StoreConformance, WaitersGetTheLockInOrder) {
  put("k/a", "1");
  const auto other = open("/vitrail/global");
  auto held = lock(*store_, "k");
  std::vector<std::string> order;
  runner_.run(queue_up(*store_, *other, held, order));
  EXPECT_EQ(order, (std::vector<std::string>{"0", "1", "2", "3", "4", "5"}));
  runner_.drop(std::move(held));
}

net::Task<Status> cancelled_lock(Store& store) {
  net::CancelSource cancel;
  net::Scope scope;
  Status outcome;
  struct Body {
    static net::Task<void> wait(Store& store, net::CancelToken token, Status& outcome) {
      auto held = co_await store.lock("k", "impatient", {.wait = {.deadline = soon().deadline, .cancel = token}});
      if (!held.ok()) outcome = std::move(held).error();
    }
  };
  scope.spawn(Body::wait(store, cancel.token(), outcome));
  co_await wait_for_queue(store, 2);
  cancel.cancel();
  co_await scope.join();
  co_return outcome;
}

TEST_P(StoreConformance, ACancelledWaiterLeavesTheQueue) {
  put("k/a", "1");
  auto held = lock(*store_, "k");
  EXPECT_CODE(Code::kCanceled, run(cancelled_lock(*store_)));
  ASSERT_OK(run(held->unlock()));
  auto next_holder = lock(*store_, "k");  // Would wait for the one who left, were it still there.
  runner_.drop(std::move(next_holder));
  runner_.drop(std::move(held));
}

TEST_P(StoreConformance, DroppingALockGivesItBack) {
  put("k/a", "1");
  runner_.drop(lock(*store_, "k"));
  runner_.drop(lock(*store_, "k"));
}

TEST_P(StoreConformance, ALostLockIsNoticedBeforeTheNextWrite) {
  put("k/a", "1");
  auto held = lock(*store_, "k");
  const WriteOptions fenced{.fence = held->fence()};
  ASSERT_OK(run(store_->update("k/a", "2", std::nullopt, fenced)));
  ASSERT_OK(run(store_->create("k/b", "b", fenced)));

  // Somebody breaks the lock by hand.
  ASSERT_OK(run(store_->remove(held->fence().lock_path, std::nullopt)));
  EXPECT_CODE(Code::kFailedPrecondition, run(store_->update("k/a", "3", std::nullopt, fenced)));
  EXPECT_CODE(Code::kFailedPrecondition, run(store_->create("k/c", "c", fenced)));
  EXPECT_CODE(Code::kFailedPrecondition, run(store_->remove("k/b", std::nullopt, fenced)));
  EXPECT_CODE(Code::kFailedPrecondition, run(held->check_held()));
  EXPECT_EQ(data_of("k/a"), "2");
  EXPECT_EQ(data_of("k/b"), "b");
  auto second = lock(*store_, "k");
  EXPECT_CODE(Code::kFailedPrecondition, run(held->unlock()));
  ASSERT_OK(run(second->check_held()));  // The loser's unlock() did not take it.
  runner_.drop(std::move(held));
  ASSERT_OK(run(second->check_held()));  // Nor did its end.
  runner_.drop(std::move(second));
}

net::Task<Status> break_and_wait(Store& store, Lock& held) {
  Status outcome = fail(Code::kInternal, "did not end");
  struct Body {
    static net::Task<void> wait(Lock& lock, Status& outcome) { outcome = co_await lock.wait_lost(soon()); }
  };
  net::Scope scope;
  scope.spawn(Body::wait(held, outcome));
  CO_RETURN_IF_ERROR(co_await store.remove(held.fence().lock_path, std::nullopt));
  co_await scope.join();
  co_return outcome;
}

TEST_P(StoreConformance, WaitLostEndsWhenTheLockIsLost) {
  put("k/a", "1");
  auto held = lock(*store_, "k");
  EXPECT_CODE(Code::kDeadlineExceeded, run(held->wait_lost(brief())));
  ASSERT_OK(run(break_and_wait(*store_, *held)));
  runner_.drop(std::move(held));
}

TEST_P(StoreConformance, ALeaseIsRenewedInTheBackground) {
  put("k/a", "1");
  auto held = lock(*store_, "k", "renewed", {.ttl = milliseconds(150)});
  const auto other = open("/vitrail/global");
  EXPECT_CODE(Code::kDeadlineExceeded, run(other->lock("k", "other", {.wait = net::Wait::within(milliseconds(600))})));
  ASSERT_OK(run(held->check_held()));
  runner_.drop(std::move(held));
}

TEST_P(StoreConformance, NamedLocksNeedNoDirectory) {
  auto held = run(store_->lock_name("customer/reshard1", "me"));
  ASSERT_OK(held);
  EXPECT_EQ(names("internal/named_locks/customer/reshard1"), (std::vector<std::string>{"locks"}));
  EXPECT_CODE(Code::kAlreadyExists, run(store_->lock_name("customer/reshard1", "you", {.queue = false})));
  auto other = run(store_->lock_name("customer/reshard2", "you", {.queue = false}));
  ASSERT_OK(other);
  ASSERT_OK(run((*held)->unlock()));
  ASSERT_OK(run((*other)->unlock()));
  EXPECT_EQ(names("internal"), (std::vector<std::string>{"<NOT_FOUND>"}));
  runner_.drop(std::move(*held));
  runner_.drop(std::move(*other));
}

TEST_P(StoreConformance, CloseGivesLocksBack) {
  put("k/a", "1");
  const auto other = open("/vitrail/global");
  auto held = lock(*other, "k");
  run(other->close());
  EXPECT_FALSE(run(held->check_held()).ok());
  auto second = lock(*store_, "k");
  runner_.drop(std::move(second));
  runner_.drop(std::move(held));
}

// ---- Elections

net::Task<std::string> succeed(Store& first, Store& second) {
  auto leading = co_await first.campaign("vtctld", "first", {.wait = soon()});
  if (!leading.ok()) co_return leading.error().to_string();
  std::string outcome;
  struct Body {
    static net::Task<void> follow(Store& store, std::string& outcome) {
      auto leading = co_await store.campaign("vtctld", "second", {.wait = soon()});
      if (!leading.ok()) {
        outcome = leading.error().to_string();
        co_return;
      }
      const auto leader = co_await store.leader("vtctld");
      outcome += leader.ok() ? *leader : leader.error().to_string();
      (void)co_await (*leading)->unlock();
    }
  };
  net::Scope scope;
  scope.spawn(Body::follow(second, outcome));
  const auto leader = co_await second.leader("vtctld");
  outcome += (leader.ok() ? *leader : leader.error().to_string()) + " then ";
  (void)co_await (*leading)->unlock();
  co_await scope.join();
  co_return outcome;
}

TEST_P(StoreConformance, LeadershipPassesOn) {
  const auto other = open("/vitrail/global");
  EXPECT_CODE(Code::kNotFound, run(store_->leader("vtctld")));
  EXPECT_EQ(run(succeed(*store_, *other)), "first then second");
  EXPECT_CODE(Code::kNotFound, run(store_->leader("vtctld")));
}

// ---- History

// S1-22: intermediate states can be looked at afterwards.
TEST_P(StoreConformance, RemembersIntermediateStates) {
  const Version first = put("a", "one");
  put("b", "other");
  put("a", "two");
  ASSERT_OK(run(store_->remove("a", std::nullopt)));
  put("a", "three");
  const auto history = run(store_->history("a"));
  if (!history.ok()) {
    EXPECT_CODE(Code::kUnimplemented, history);  // A store that remembers nothing says so.
    return;
  }
  ASSERT_EQ(history->size(), 4u);
  EXPECT_EQ((*history)[0].version, first);
  EXPECT_EQ((*history)[0].data, "one");
  EXPECT_EQ((*history)[1].data, "two");
  EXPECT_FALSE((*history)[2].data.has_value());
  EXPECT_EQ((*history)[3].data, "three");
}

INSTANTIATE_TEST_SUITE_P(Stores, StoreConformance,
                         testing::Values(memory_implementation(), sqlite_implementation(), etcd_implementation(),
                                         zookeeper_implementation()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace vitrail::topo::conformance
