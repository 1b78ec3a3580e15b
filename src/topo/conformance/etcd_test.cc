// The etcd store where a single call on a healthy server tells nothing: holders that die or hang, servers that go away
// and come back, elections, compaction, TLS and logins.

#include <fmt/core.h>
#include <signal.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <set>
#include <thread>

#include "net/sync.h"
#include "topo/conformance/etcd_server.h"
#include "topo/conformance/fixture.h"
#include "topo/conformance/helper_process.h"
#include "topo/store_kinds.h"

namespace vitrail::topo::conformance {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

int64_t ms_since(base::TimePoint begin) {
  return std::chrono::duration_cast<milliseconds>(base::system_clock().now() - begin).count();
}

class Etcd : public testing::Test {
 protected:
  void use(EtcdServer::Options options = {}) {
    server_ = std::make_unique<EtcdServer>(std::move(options));
    store_ = open();
    ASSERT_NE(store_, nullptr);
  }
  void TearDown() override {
    for (const auto& store : opened_) runner_.run(store->close());
  }
  std::shared_ptr<Store> open() {
    auto store = run(open_store("etcd2", server_->address(), "/vitrail/global"));
    EXPECT_TRUE(store.ok()) << store.error().to_string();
    if (!store.ok()) return nullptr;
    opened_.push_back(*store);
    return *store;
  }
  template <typename T>
  T run(net::Task<T> task) {
    return runner_.run(std::move(task));
  }
  Version put(const std::string& path, const std::string& data) {
    const auto version = run(store_->update(path, data, std::nullopt));
    EXPECT_TRUE(version.ok()) << version.error().to_string();
    return version.ok() ? *version : Version{};
  }
  std::string data_of(const std::string& path) {
    const auto record = run(store_->get(path));
    return record.ok() ? record->data : "<" + record.error().to_string() + ">";
  }
  // Writes until it works: after an outage nobody knows the moment when the server is well again.
  Version put_in_the_end(const std::string& path, const std::string& data) {
    const auto deadline = base::system_clock().now() + 30s;
    for (;;) {
      const auto version = run(store_->update(path, data, std::nullopt, {.wait = net::Wait::within(2s)}));
      if (version.ok()) return *version;
      if (base::system_clock().now() > deadline) {
        ADD_FAILURE() << version.error().to_string();
        return {};
      }
      std::this_thread::sleep_for(20ms);
    }
  }
  std::unique_ptr<Watch> watch(const std::string& path, bool recursive = false) {
    auto watch = run(recursive ? store_->watch_recursive(path) : store_->watch(path));
    EXPECT_TRUE(watch.ok()) << watch.error().to_string();
    return watch.ok() ? std::move(*watch) : nullptr;
  }
  std::unique_ptr<Lock> lock(const std::string& dir, milliseconds ttl) {
    auto lock = run(store_->lock(dir, "me", {.wait = soon(), .ttl = ttl, .require_dir = false}));
    EXPECT_TRUE(lock.ok()) << lock.error().to_string();
    return lock.ok() ? std::move(*lock) : nullptr;
  }
  // Follows a watch, or makes a new one when it is dead, until `path` has `data`.
  bool sees_in_the_end(std::unique_ptr<Watch>& watching, const std::string& path, const std::string& data) {
    const net::Wait wait = net::Wait::within(30s);
    while (base::system_clock().now() < wait.deadline) {
      const auto changes = run(watching->next(wait));
      if (!changes.ok() && changes.error().code() != Code::kUnavailable) break;
      if (!changes.ok()) {
        runner_.drop(std::move(watching));
        auto again = run(store_->watch(path, wait));
        if (!again.ok()) return false;
        watching = std::move(*again);
        continue;
      }
      for (const Change& change : *changes) {
        if (change.path == path && change.record && change.record->data == data) return true;
      }
    }
    return false;
  }

  std::unique_ptr<EtcdServer> server_;
  std::vector<std::shared_ptr<Store>> opened_;
  std::shared_ptr<Store> store_;
  Runner runner_;
};

// ---- Holders

// S4-41
TEST_F(Etcd, AKilledHoldersLockIsFreeWhenItsLeaseEnds) {
  use();
  Helper holder({"hold", "etcd2", server_->address(), "k", "1000"});
  ASSERT_EQ(holder.line(), "held");
  EXPECT_CODE(Code::kAlreadyExists, run(store_->try_lock("k", "me", {.require_dir = false})));
  EXPECT_EQ(run(store_->lock_queue("k"))->front().contents, "helper");
  holder.signal(SIGKILL);
  const auto begin = base::system_clock().now();
  auto mine = lock("k", 1s);
  ASSERT_NE(mine, nullptr);
  EXPECT_LT(ms_since(begin), 10'000);
  fmt::print("[    etcd2 ] lock of a killed holder with a lease of 1 s free after {} ms\n", ms_since(begin));
  runner_.drop(std::move(mine));
}

TEST_F(Etcd, AStoppedHolderLosesItsLockAfterTheLeaseAndNotices) {
  use();
  Helper holder({"hold", "etcd2", server_->address(), "k", "1000"});
  ASSERT_EQ(holder.line(), "held");
  holder.say("check");
  ASSERT_EQ(holder.line(), "held");
  holder.signal(SIGSTOP);
  auto mine = lock("k", 5s);
  ASSERT_NE(mine, nullptr);
  holder.signal(SIGCONT);
  holder.say("check");
  EXPECT_TRUE(holder.line().starts_with("FAILED_PRECONDITION"));
  holder.close_input();
  EXPECT_TRUE(holder.line().starts_with("FAILED_PRECONDITION"));
  EXPECT_EQ(holder.wait(), 0);
  ASSERT_OK(run(mine->check_held()));
  runner_.drop(std::move(mine));
}

TEST_F(Etcd, AnOrderlyReleaseWakesTheOtherProcess) {
  use();
  Helper holder({"hold", "etcd2", server_->address(), "k", "60000"});
  ASSERT_EQ(holder.line(), "held");
  Helper waiter({"hold", "etcd2", server_->address(), "k", "60000"});
  while (run(store_->lock_queue("k"))->size() < 2) {
  }
  const auto begin = base::system_clock().now();
  holder.close_input();
  EXPECT_EQ(holder.line(), "released");
  EXPECT_EQ(waiter.line(), "held");
  EXPECT_LT(ms_since(begin), 5'000);  // Far below the lease.
  EXPECT_EQ(holder.wait(), 0);
}

TEST_F(Etcd, ALockKeepsThreeProcessesApart) {
  use();
  put("k/value", "0");
  std::vector<std::unique_ptr<Helper>> helpers;
  for (int i = 0; i < 3; ++i) {
    helpers.push_back(
        std::make_unique<Helper>(std::vector<std::string>{"locked_count", "etcd2", server_->address(), "k", "15"}));
  }
  for (auto& helper : helpers) {
    EXPECT_EQ(helper->line(), "done");
    EXPECT_EQ(helper->wait(), 0);
  }
  EXPECT_EQ(data_of("k/value"), "45");
}

TEST_F(Etcd, ALeaseThatEndedIsNoticedBeforeTheNextWrite) {
  use();
  put("k/a", "1");
  auto mine = lock("k", 60s);
  ASSERT_NE(mine, nullptr);
  const WriteOptions fenced{.fence = mine->fence()};
  ASSERT_OK(run(store_->update("k/a", "2", std::nullopt, fenced)));
  const std::string lease = mine->fence().lock_path.substr(std::string("k/locks/").size());
  server_->ctl({"lease", "revoke", fmt::format("{:x}", std::stoll(lease))});
  EXPECT_CODE(Code::kFailedPrecondition, run(store_->update("k/a", "3", std::nullopt, fenced)));
  ASSERT_OK(run(mine->wait_lost(soon())));
  EXPECT_CODE(Code::kFailedPrecondition, run(mine->check_held()));
  EXPECT_CODE(Code::kFailedPrecondition, run(mine->unlock()));
  EXPECT_EQ(data_of("k/a"), "2");
  runner_.drop(std::move(mine));
}

// ---- Outages

TEST_F(Etcd, AServerThatHangsAndComesBackLosesNothing) {
  use();
  const Version before = put("a", "before");
  auto watching = watch("a");
  ASSERT_OK(run(watching->next(soon())));
  auto mine = lock("k", outage(2s) + 60s);
  ASSERT_NE(mine, nullptr);
  const auto begin = base::system_clock().now();
  server_->signal_all(SIGSTOP);
  EXPECT_CODE(Code::kDeadlineExceeded, run(store_->get("a", net::Wait::within(200ms))));
  const auto write = run(store_->update("b", "x", std::nullopt, {.wait = net::Wait::within(200ms)}));
  EXPECT_CODE(Code::kDeadlineExceeded, write);
  EXPECT_EQ(write.error().effect(), Effect::kUnknown);
  EXPECT_FALSE(run(mine->check_held(net::Wait::within(200ms))).ok());  // Cannot tell: so not held.
  // Nothing to see, for as long as it takes. A watch may die of that.
  const auto nothing = run(watching->next(net::Wait::until(begin + outage(2s))));
  EXPECT_FALSE(nothing.ok());
  std::this_thread::sleep_until(begin + outage(2s));
  server_->signal_all(SIGCONT);
  const auto back = base::system_clock().now();
  put_in_the_end("other", "x");
  fmt::print("[    etcd2 ] hung for {} s: first write {} ms after its return\n", outage(2s).count(), ms_since(back));
  ASSERT_OK(run(store_->update("a", "after", before)));
  EXPECT_TRUE(sees_in_the_end(watching, "a", "after"));
  ASSERT_OK(run(mine->check_held()));
  ASSERT_OK(run(mine->unlock()));
  runner_.drop(std::move(mine));
  runner_.drop(std::move(watching));
}

// A process that ends must not be kept by a place in a queue which it cannot give back.
TEST_F(Etcd, WhoNoLongerWaitsForALockIsNotKeptByAServerThatHangs) {
  use();
  auto mine = lock("k", 60s);
  ASSERT_NE(mine, nullptr);
  struct Body {
    static net::Task<void> wait_in_queue(Store& store, net::CancelToken cancel, Status& out) {
      auto second = co_await store.lock("k", "second", {.wait = {.cancel = cancel}, .ttl = 60s, .require_dir = false});
      out = second.ok() ? Status() : Status(second.error());
    }
    static net::Task<void> hang(Store& store, EtcdServer& server, net::CancelSource& cancel, base::TimePoint& at) {
      for (size_t length = 0; length < 2;) {
        const auto queue = co_await store.lock_queue("k", soon());
        length = queue.ok() ? queue->size() : 0;
      }
      server.signal_all(SIGSTOP);
      at = base::system_clock().now();
      cancel.cancel();
    }
    static net::Task<Status> both(Store& store, EtcdServer& server, base::TimePoint& at) {
      Status out;
      net::CancelSource cancel;
      std::vector<net::Task<void>> tasks;
      tasks.push_back(wait_in_queue(store, cancel.token(), out));
      tasks.push_back(hang(store, server, cancel, at));
      co_await net::when_all(std::move(tasks));
      co_return out;
    }
  };
  base::TimePoint cancelled;
  EXPECT_CODE(Code::kCanceled, run(Body::both(*store_, *server_, cancelled)));
  EXPECT_LT(ms_since(cancelled), milliseconds(kDefaultOperationWait).count());
  const auto closing = base::system_clock().now();
  run(store_->close());
  EXPECT_LT(ms_since(closing), milliseconds(kDefaultOperationWait).count());
  server_->signal_all(SIGCONT);
  runner_.drop(std::move(mine));
}

TEST_F(Etcd, AServerThatDiesAndIsStartedAgainLosesNothing) {
  use();
  const Version before = put("a", "before");
  put("dir/x", "1");
  auto watching = watch("a");
  ASSERT_OK(run(watching->next(soon())));
  auto mine = lock("k", outage(2s) + 60s);
  ASSERT_NE(mine, nullptr);
  server_->kill_all();
  const auto read_at = base::system_clock().now();
  EXPECT_CODE(Code::kUnavailable, run(store_->get("a")));
  EXPECT_LT(ms_since(read_at), 5'000);  // Says so instead of waiting.
  const auto write = run(store_->create("c", "x"));
  EXPECT_CODE(Code::kUnavailable, write);
  EXPECT_EQ(write.error().effect(), Effect::kNone);  // Nobody was there to see it.
  EXPECT_CODE(Code::kUnavailable, run(store_->watch("a")));
  EXPECT_CODE(Code::kUnavailable, run(store_->try_lock("k", "you")));
  EXPECT_CODE(Code::kUnavailable, run(mine->check_held()));
  std::this_thread::sleep_for(outage(2s));
  server_->start_all();
  const auto back = base::system_clock().now();
  put_in_the_end("other", "x");
  fmt::print("[    etcd2 ] dead for {} s: first write {} ms after its return\n", outage(2s).count(), ms_since(back));
  EXPECT_EQ(data_of("dir/x"), "1");
  ASSERT_OK(run(store_->update("a", "after", before)));  // Versions are as they were.
  EXPECT_TRUE(sees_in_the_end(watching, "a", "after"));
  ASSERT_OK(run(mine->check_held()));  // etcd kept the lease, too.
  runner_.drop(std::move(mine));
  runner_.drop(std::move(watching));
}

TEST_F(Etcd, AWatchThatWasCutOffShowsEveryRecordThatChangedMeanwhile) {
  use();
  put("dir/kept", "1");
  put("dir/gone", "1");
  auto watching = watch("dir", true);
  ASSERT_OK(run(watching->next(soon())));
  server_->kill_all();
  server_->start_all();
  put_in_the_end("dir/new", "1");
  put("dir/kept", "2");
  ASSERT_OK(run(store_->remove("dir/gone", std::nullopt)));
  std::set<std::string> seen;
  EXPECT_TRUE(wait_for_change(runner_, *watching, [&](const Change& change) {
    seen.insert(change.path + (change.record ? "=" + change.record->data : " gone"));
    return seen == std::set<std::string>{"dir/gone gone", "dir/kept=2", "dir/new=1"};
  }));
  runner_.drop(std::move(watching));
}

TEST_F(Etcd, AWatchOfWhomWaitsOnlyForMomentsGoesOn) {
  use();
  put("a", "before");
  auto watching = watch("a");
  ASSERT_OK(run(watching->next(soon())));
  server_->kill_all();
  const auto killed = base::system_clock().now();
  while (ms_since(killed) < 2'000) EXPECT_CODE(Code::kDeadlineExceeded, run(watching->next(net::Wait::within(100ms))));
  server_->start_all();
  put_in_the_end("a", "after");
  const auto back = base::system_clock().now();
  for (;;) {
    const auto changes = run(watching->next(net::Wait::within(100ms)));
    if (changes.ok()) break;
    ASSERT_EQ(changes.error().code(), Code::kDeadlineExceeded) << changes.error().message();
    ASSERT_LT(ms_since(back), 5'000);
  }
  runner_.drop(std::move(watching));
}

TEST_F(Etcd, AWatchWhoseChangesEtcdHasForgottenEnds) {
  use();
  put("a", "1");
  auto watching = watch("a");
  ASSERT_OK(run(watching->next(soon())));
  server_->kill_all();
  server_->start_all();
  Version last;
  for (int i = 0; i < 5; ++i) last = put_in_the_end("a", std::to_string(i));
  server_->ctl({"compact", std::to_string(last.value)});
  EXPECT_CODE(Code::kUnavailable, run(watching->next(soon())));
  runner_.drop(std::move(watching));
  watching = watch("a");
  EXPECT_EQ(run(watching->next(soon()))->front().record->data, "4");
  runner_.drop(std::move(watching));
}

net::Task<void> keep_writing(Store& store, const bool& stop, std::set<int>& acknowledged, base::Duration& longest_gap) {
  auto last = base::system_clock().now();
  for (int i = 0; !stop; ++i) {
    const std::string path = "n/" + std::to_string(i);
    // Again until it is known: an error may mean that it was written.
    while (!stop) {
      const auto created = co_await store.create(path, "x", {.wait = net::Wait::within(1s)});
      if (created.ok() || created.error().code() == Code::kAlreadyExists) {
        acknowledged.insert(i);
        break;
      }
      (void)co_await net::sleep_for(20ms);
    }
    const auto now = base::system_clock().now();
    longest_gap = std::max(longest_gap, now - last);
    last = now;
  }
}

net::Task<void> until_written(const std::set<int>& acknowledged, size_t goal) {
  const auto deadline = base::system_clock().now() + 30s;
  while (acknowledged.size() < goal && base::system_clock().now() < deadline) (void)co_await net::sleep_for(5ms);
}

struct ElectionOutcome {
  std::set<int> acknowledged;
  std::set<std::string> seen;
  base::Duration longest_gap{};
  Status held;
  std::string watch_error;
};

// Writes and watches while the leader is killed.
net::Task<ElectionOutcome> write_through_an_election(Store& store, EtcdServer& server) {
  ElectionOutcome outcome;
  auto watching = co_await store.watch_recursive("n");
  auto held = co_await store.lock("k", "me", {.wait = soon(), .ttl = 20s, .require_dir = false});
  if (!watching.ok() || !held.ok()) co_return outcome;
  bool stop = false;
  net::Scope scope;
  scope.spawn(keep_writing(store, stop, outcome.acknowledged, outcome.longest_gap));
  co_await until_written(outcome.acknowledged, 100);
  co_await net::offload([&server] {
    server.kill(server.leader());
    return true;
  });
  co_await until_written(outcome.acknowledged, outcome.acknowledged.size() + 200);
  stop = true;
  co_await scope.join();
  while (outcome.seen.size() < outcome.acknowledged.size()) {
    const auto changes = co_await (*watching)->next(net::Wait::within(10s));
    if (!changes.ok()) {
      outcome.watch_error = changes.error().to_string();
      break;
    }
    for (const Change& change : *changes) outcome.seen.insert(change.path);
  }
  outcome.held = co_await (*held)->check_held();
  co_return outcome;
}

TEST_F(Etcd, AnotherMemberTakesOverWhenTheLeaderDies) {
  use({.members = 3});
  const ElectionOutcome outcome = run(write_through_an_election(*store_, *server_));
  EXPECT_GE(outcome.acknowledged.size(), 300u);
  EXPECT_EQ(outcome.watch_error, "");
  const auto records = run(store_->list("n"));
  ASSERT_OK(records);
  std::set<std::string> present;
  for (const PathRecord& record : *records) present.insert(record.path);
  for (const int i : outcome.acknowledged) EXPECT_TRUE(present.contains("n/" + std::to_string(i))) << i;
  EXPECT_TRUE(std::ranges::includes(outcome.seen, present));
  ASSERT_OK(outcome.held);
  const auto gap = std::chrono::duration_cast<milliseconds>(outcome.longest_gap);
  EXPECT_LT(gap, 10s);
  fmt::print("[    etcd2 ] leader killed: longest gap between two writes {} ms\n", gap.count());

  // Without a majority there is nobody to ask, and nobody says anything wrong.
  auto mine = lock("j", 20s);
  server_->kill(server_->leader());
  EXPECT_FALSE(run(store_->update("a", "x", std::nullopt, {.wait = net::Wait::within(300ms)})).ok());
  EXPECT_FALSE(run(store_->get("n/0", net::Wait::within(300ms))).ok());
  EXPECT_FALSE(run(mine->check_held(net::Wait::within(300ms))).ok());
  server_->start_all();
  put_in_the_end("a", "y");
  ASSERT_OK(run(mine->check_held()));
  runner_.drop(std::move(mine));
}

TEST_F(Etcd, AnAddressWithoutServerIsPassedOver) {
  use();
  auto store = run(open_store("etcd2", "127.0.0.1:1, " + server_->address(), "/vitrail/global"));
  ASSERT_OK(store);
  ASSERT_OK(run((*store)->create("a", "x")));
  EXPECT_EQ(data_of("a"), "x");
  run((*store)->close());
}

TEST_F(Etcd, ListsWhatIsLargerThanAMessage) {
  use();
  // Small ones first, so that the pages grow before the large ones come.
  for (int i = 0; i < 300; ++i) put(fmt::format("dir/a{:04}", i), "small");
  for (int i = 0; i < 70; ++i) put(fmt::format("dir/b{:04}", i), std::string(1 << 20, static_cast<char>('a' + i % 26)));
  const auto records = run(store_->list("dir"));
  ASSERT_OK(records);
  ASSERT_EQ(records->size(), 370u);
  EXPECT_EQ((*records)[299].path, "dir/a0299");
  EXPECT_EQ((*records)[369].data, std::string(1 << 20, static_cast<char>('a' + 69 % 26)));
  EXPECT_CODE(Code::kResourceExhausted, run(store_->create("dir/c", std::string(3 << 20, 'x'))));
}

// ---- Who may come in

TEST_F(Etcd, LogsInWithAPasswordAndAgainAfterARestart) {
  use();
  put("a", "x");
  server_->ctl({"user", "add", "root:secret"});
  server_->ctl({"user", "grant-role", "root", "root"});
  server_->ctl({"auth", "enable"});
  TempFolder folder;
  std::ofstream(folder.file("right")) << "secret\n";
  std::ofstream(folder.file("wrong")) << "Secret\n";
  const auto open_as = [&](const std::string& file) {
    StoreSettings settings;
    if (!file.empty()) {
      settings.etcd.username = "root";
      settings.etcd.password_file = folder.file(file);
    }
    auto store = run(open_store("etcd2", server_->address(), "/vitrail/global", settings));
    EXPECT_TRUE(store.ok()) << store.error().to_string();
    opened_.push_back(*store);
    return *store;
  };
  EXPECT_CODE(Code::kUnauthenticated, run(open_as("")->get("a")));
  EXPECT_CODE(Code::kUnauthenticated, run(open_as("wrong")->get("a")));
  store_ = open_as("right");
  EXPECT_EQ(data_of("a"), "x");
  auto watching = watch("a");
  ASSERT_OK(run(watching->next(soon())));
  server_->kill_all();
  // Tokens live in memory: the old one is worth nothing now. Any answer tells that the server is there.
  server_->start_all();
  put_in_the_end("a", "y");
  EXPECT_TRUE(sees_in_the_end(watching, "a", "y"));
  runner_.drop(std::move(watching));
  StoreSettings settings;
  settings.etcd.username = "root";
  settings.etcd.password_file = folder.file("none");
  EXPECT_CODE(Code::kNotFound, run(open_store("etcd2", server_->address(), "/", settings)));
}

// Makes an authority and a certificate that it signed, for server and client alike.
void make_certificates(const TempFolder& folder) {
  const std::string script = R"sh(set -e; cd "$1"
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.pem
openssl req -newkey rsa:2048 -nodes -subj /CN=vitrail -keyout node.key -out node.csr
printf 'subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n' > extensions
openssl x509 -req -in node.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out node.pem)sh";
  const auto made = base::run_program({.argv = {"sh", "-c", script, "sh", folder.file("")}}, 60s);
  ASSERT_OK(made);
  ASSERT_TRUE(made->exit.success()) << made->output;
}

TEST_F(Etcd, SpeaksTlsAndShowsItsCertificate) {
  TempFolder folder;
  make_certificates(folder);
  EtcdServer server({.arguments = {"--cert-file", folder.file("node.pem"), "--key-file", folder.file("node.key"),
                                   "--trusted-ca-file", folder.file("ca.pem"), "--client-cert-auth"},
                     .https = true});
  StoreSettings settings;
  settings.etcd.tls_ca = folder.file("ca.pem");
  auto stranger = run(open_store("etcd2", server.address(), "/", settings));
  ASSERT_OK(stranger);
  settings.etcd.tls_cert = folder.file("node.pem");
  EXPECT_CODE(Code::kInvalidArgument, run(open_store("etcd2", server.address(), "/", settings)));  // Half a pair.
  settings.etcd.tls_key = folder.file("node.key");
  auto store = run(open_store("etcd2", "https://" + server.address(), "/", settings));
  ASSERT_OK(store);
  store_ = *store;
  opened_.push_back(store_);
  opened_.push_back(*stranger);
  put_in_the_end("a", "over TLS");
  EXPECT_EQ(data_of("a"), "over TLS");
  EXPECT_CODE(Code::kUnavailable, run((*stranger)->get("a", net::Wait::within(2s))));
  auto plain = run(open_store("etcd2", server.address(), "/"));
  ASSERT_OK(plain);
  opened_.push_back(*plain);
  EXPECT_FALSE(run((*plain)->get("a", net::Wait::within(2s))).ok());
  EXPECT_CODE(Code::kInvalidArgument, run(open_store("etcd2", "https://" + server.address(), "/")));
}

TEST_F(Etcd, RefusesAddressesThatAreNone) {
  for (const char* address : {"", ",", "127.0.0.1:1,,127.0.0.1:2"}) {
    EXPECT_CODE(Code::kInvalidArgument, run(open_store("etcd2", address, "/")));
  }
}

}  // namespace
}  // namespace vitrail::topo::conformance
