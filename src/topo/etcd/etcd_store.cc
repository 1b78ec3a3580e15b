#include "topo/etcd/etcd_store.h"

#include <algorithm>
#include <expected>
#include <functional>
#include <utility>

#include "topo/etcd/client.h"
#include "topo/etcd/etcd_lock.h"
#include "topo/etcd/etcd_watch.h"
#include "topo/etcd/session.h"
#include "topo/paths.h"

namespace vitrail::topo {
namespace etcd {
namespace {

using namespace std::chrono_literals;
using etcdserverpb::Compare;
using etcdserverpb::RangeRequest;
using etcdserverpb::RangeResponse;
using etcdserverpb::TxnRequest;
using etcdserverpb::TxnResponse;

constexpr int64_t kNamesPage = 2'000;
constexpr int64_t kRecordsPageMax = 2'000;
constexpr int64_t kRecordsPageFirst = 64;
constexpr size_t kPageBytes = 4 << 20;  // What a page of records should amount to.
constexpr int kCompactionsMax = 3;      // Times a listing begins again because its revision was compacted.

Version version_of(int64_t revision) { return Version{static_cast<uint64_t>(revision)}; }

Error not_found(const std::string& path) { return fail(Code::kNotFound, path + " does not exist"); }

std::string join(std::string_view a, std::string_view b) { return std::string(a) + "/" + std::string(b); }

// A write to one key with its conditions, and what to look at when they do not hold.
struct Write {
  std::string path;
  std::string key;
  TxnRequest request;
  bool fenced = false;
};

// Why a write was not done: by the lock, or by the state of the record (empty: there is none).
struct Refusal {
  bool lock_lost = false;
  std::optional<etcdserverpb::KeyValue> record;
  bool directory = false;
};
using Written = std::expected<int64_t, Refusal>;

class EtcdStore final : public Store {
 public:
  explicit EtcdStore(std::shared_ptr<Session> session) : session_(std::move(session)) {}
  ~EtcdStore() override { (void)end(); }

  net::Task<Result<Record>> get(std::string path, net::Wait wait) override;
  net::Task<Result<Version>> create(std::string path, std::string data, WriteOptions options) override;
  net::Task<Result<Version>> update(std::string path, std::string data, std::optional<Version> expected,
                                    WriteOptions options) override;
  net::Task<Status> remove(std::string path, std::optional<Version> expected, WriteOptions options) override;
  net::Task<Result<std::vector<DirEntry>>> list_dir(std::string path, bool full, net::Wait wait) override;
  net::Task<Result<std::vector<PathRecord>>> list(std::string prefix, net::Wait wait) override;
  net::Task<Result<std::unique_ptr<Watch>>> watch(std::string path, net::Wait wait) override;
  net::Task<Result<std::unique_ptr<Watch>>> watch_recursive(std::string prefix, net::Wait wait) override;
  net::Task<Result<std::unique_ptr<Lock>>> lock(std::string dir, std::string contents, LockOptions options) override;
  net::Task<Result<std::vector<LockEntry>>> lock_queue(std::string dir, net::Wait wait) override;
  net::Task<Result<std::unique_ptr<Lock>>> campaign(std::string election, std::string id, LockOptions options) override;
  net::Task<Result<std::string>> leader(std::string election, net::Wait wait) override;
  net::Task<Result<std::vector<HistoryEntry>>> history(std::string path, net::Wait wait) override;
  net::Task<void> close() override;

 private:
  struct Listing {
    std::vector<PathRecord> records;
    int64_t revision = 0;
  };
  // Gets a page and says where the next one begins; "" ends it.
  using Page = std::move_only_function<std::string(const RangeResponse& page)>;

  Result<std::string> clean_path(std::string_view path, bool allow_root = false) const {
    RETURN_IF_ERROR(session_->check_open());
    return normalize_path(path, allow_root);
  }
  std::string dir_prefix(const std::string& dir) const {
    return dir.empty() ? session_->prefix : session_->prefix + dir + "/";
  }
  Result<Write> begin_write(std::string path, const WriteOptions& options) const;
  // The revision of the write, or why it was refused.
  net::Task<Result<Written>> run(Write write, net::Wait wait);
  net::Task<Result<int64_t>> scan(std::string prefix, bool names_only, Page page, net::Wait wait);
  net::Task<Result<Listing>> list_records(std::string prefix, net::Wait wait);
  std::chrono::milliseconds lease_of(const LockOptions& options) const {
    return options.ttl == kDefaultLockTtl ? std::chrono::seconds(session_->settings.lease_ttl) : options.ttl;
  }
  std::unique_ptr<LeaseKeeper> end();

  const std::shared_ptr<Session> session_;
};

net::Task<Result<Record>> EtcdStore::get(std::string path, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(path, clean_path(path));
  RangeRequest request;
  request.set_key(session_->prefix + path);
  CO_ASSIGN_OR_RETURN(auto response, co_await session_->client->range(std::move(request), std::move(wait)));
  if (response.kvs().empty()) co_return not_found(path);
  etcdserverpb::KeyValue& kv = *response.mutable_kvs(0);
  co_return Record{std::move(*kv.mutable_value()), version_of(kv.mod_revision())};
}

Result<Write> EtcdStore::begin_write(std::string path, const WriteOptions& options) const {
  ASSIGN_OR_RETURN(path, clean_path(path));
  Write write{.path = path, .key = session_->prefix + path};
  if (options.fence) {
    ASSIGN_OR_RETURN(std::string lock_path, normalize_path(options.fence->lock_path));
    const Fence fence{std::move(lock_path), options.fence->id};
    *write.request.add_compare() = held_condition(*session_, fence);
    write.fenced = true;
  }
  return write;
}

net::Task<Result<Written>> EtcdStore::run(Write write, net::Wait wait) {
  // In the same step as the conditions, so that the reason given is the true one.
  RangeRequest& record = *write.request.add_failure()->mutable_request_range();
  record.set_key(write.key);
  record.set_keys_only(true);
  RangeRequest& below = *write.request.add_failure()->mutable_request_range();
  set_prefix(below, write.key + "/");
  below.set_limit(1);
  below.set_keys_only(true);
  int64_t fence_id = 0;
  if (write.fenced) {
    fence_id = write.request.compare(0).create_revision();
    RangeRequest& lock = *write.request.add_failure()->mutable_request_range();
    lock.set_key(write.request.compare(0).key());
    lock.set_keys_only(true);
  }
  CO_ASSIGN_OR_RETURN(TxnResponse response, co_await session_->client->txn(std::move(write.request), std::move(wait)));
  if (response.succeeded()) co_return Written(response.header().revision());
  Refusal refusal;
  if (write.fenced) {
    const auto& kvs = response.responses(2).response_range().kvs();
    refusal.lock_lost = kvs.empty() || kvs[0].create_revision() != fence_id;
  }
  const auto& kvs = response.responses(0).response_range().kvs();
  if (!kvs.empty()) refusal.record = kvs[0];
  refusal.directory = !response.responses(1).response_range().kvs().empty();
  co_return Written(std::unexpect, std::move(refusal));
}

Error lost_lock(const WriteOptions& options) {
  return fail(Code::kFailedPrecondition, "the lock " + options.fence->lock_path + " was lost");
}

net::Task<Result<Version>> EtcdStore::create(std::string path, std::string data, WriteOptions options) {
  CO_ASSIGN_OR_RETURN(Write write, begin_write(path, options));
  if (data.size() > kMaxDataBytes) co_return fail(Code::kResourceExhausted, "the record " + path + " is too large");
  Compare& absent = *write.request.add_compare();
  absent.set_key(write.key);
  absent.set_target(Compare::VERSION);
  absent.set_version(0);
  auto& put = *write.request.add_success()->mutable_request_put();
  put.set_key(write.key);
  put.set_value(std::move(data));
  CO_ASSIGN_OR_RETURN(const auto done, co_await run(std::move(write), options.wait));
  if (done) co_return version_of(*done);
  if (done.error().lock_lost) co_return lost_lock(options);
  co_return fail(Code::kAlreadyExists, path + " exists already");
}

net::Task<Result<Version>> EtcdStore::update(std::string path, std::string data, std::optional<Version> expected,
                                             WriteOptions options) {
  CO_ASSIGN_OR_RETURN(Write write, begin_write(path, options));
  if (data.size() > kMaxDataBytes) co_return fail(Code::kResourceExhausted, "the record " + path + " is too large");
  if (expected) {
    Compare& unchanged = *write.request.add_compare();
    unchanged.set_key(write.key);
    unchanged.set_target(Compare::MOD);
    unchanged.set_mod_revision(static_cast<int64_t>(expected->value));
  }
  auto& put = *write.request.add_success()->mutable_request_put();
  put.set_key(write.key);
  put.set_value(std::move(data));
  CO_ASSIGN_OR_RETURN(const auto done, co_await run(std::move(write), options.wait));
  if (done) co_return version_of(*done);
  if (done.error().lock_lost) co_return lost_lock(options);
  if (!done.error().record) co_return not_found(path);
  co_return fail(Code::kAborted, path + " was changed by somebody else");
}

net::Task<Status> EtcdStore::remove(std::string path, std::optional<Version> expected, WriteOptions options) {
  CO_ASSIGN_OR_RETURN(Write write, begin_write(path, options));
  Compare& condition = *write.request.add_compare();
  condition.set_key(write.key);
  if (expected) {
    condition.set_target(Compare::MOD);
    condition.set_mod_revision(static_cast<int64_t>(expected->value));
  } else {
    condition.set_target(Compare::VERSION);
    condition.set_result(Compare::GREATER);
    condition.set_version(0);
  }
  write.request.add_success()->mutable_request_delete_range()->set_key(write.key);
  CO_ASSIGN_OR_RETURN(const auto done, co_await run(std::move(write), options.wait));
  if (done) co_return Status{};
  if (done.error().lock_lost) co_return lost_lock(options);
  if (done.error().record) co_return fail(Code::kAborted, path + " was changed by somebody else");
  if (done.error().directory) co_return fail(Code::kFailedPrecondition, path + " is a directory and not empty");
  co_return not_found(path);
}

// Reads everything below a prefix page by page, all of it at one revision, which it returns.
net::Task<Result<int64_t>> EtcdStore::scan(std::string prefix, bool names_only, Page page, net::Wait wait) {
  RangeRequest request;
  set_prefix(request, prefix);
  request.set_keys_only(names_only);
  request.set_limit(names_only ? kNamesPage : kRecordsPageFirst);
  for (;;) {
    auto response = co_await session_->client->range(request, wait);
    if (!response.ok() && response.error().code() == Code::kResourceExhausted && request.limit() > 1) {
      request.set_limit(std::max<int64_t>(1, request.limit() / 8));  // Larger records than those before.
      continue;
    }
    if (!response.ok()) co_return std::move(response).error();
    if (request.revision() == 0) request.set_revision(response->header().revision());
    std::string next = page(*response);
    if (!response->more() || next.empty()) co_return request.revision();
    request.set_key(std::move(next));
    if (!names_only) {
      const size_t average = response->ByteSizeLong() / static_cast<size_t>(response->kvs_size()) + 1;
      request.set_limit(std::clamp<int64_t>(static_cast<int64_t>(kPageBytes / average), 1, kRecordsPageMax));
    }
  }
}

net::Task<Result<std::vector<DirEntry>>> EtcdStore::list_dir(std::string path, bool /*full*/, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(path, clean_path(path, true));
  wait = bounded(std::move(wait), kDefaultOperationWait);
  const std::string prefix = dir_prefix(path);
  for (int compactions = 0;; ++compactions) {
    std::vector<DirEntry> entries;
    const auto take = [&entries, &prefix](const RangeResponse& page) {
      std::string next;
      for (const auto& kv : page.kvs()) {
        const std::string_view rest = std::string_view(kv.key()).substr(prefix.size());
        const size_t slash = rest.find('/');
        const bool directory = slash != std::string_view::npos;
        const std::string_view name = rest.substr(0, slash);
        // Behind everything below this name, however much there is: '0' follows '/'.
        next = directory ? prefix + std::string(name) + "0" : kv.key() + '\0';
        if (!entries.empty() && entries.back().name == name) continue;
        entries.push_back(DirEntry{.name = std::string(name),
                                   .kind = directory ? DirEntry::Kind::kDirectory : DirEntry::Kind::kRecord,
                                   .ephemeral = !directory && kv.lease() != 0});
      }
      return next;
    };
    const auto scanned = co_await scan(prefix, true, take, wait);
    if (!scanned.ok() && scanned.error().code() == Code::kOutOfRange && compactions < kCompactionsMax) continue;
    if (!scanned.ok()) co_return scanned.error();
    if (entries.empty() && !path.empty()) co_return not_found(path);
    // The keys were in order, the names need not be: "a-b/" comes before "a/".
    std::ranges::sort(entries, {}, &DirEntry::name);
    const auto twice = std::ranges::unique(entries, {}, &DirEntry::name);
    entries.erase(twice.begin(), twice.end());
    co_return entries;
  }
}

net::Task<Result<EtcdStore::Listing>> EtcdStore::list_records(std::string prefix, net::Wait wait) {
  wait = bounded(std::move(wait), kDefaultOperationWait);
  for (int compactions = 0;; ++compactions) {
    Listing listing;
    const size_t cut = session_->prefix.size();
    const auto take = [&listing, cut](const RangeResponse& page) {
      for (const auto& kv : page.kvs()) {
        if (kv.lease() != 0) continue;
        listing.records.push_back(PathRecord{kv.key().substr(cut), kv.value(), version_of(kv.mod_revision())});
      }
      return page.kvs().empty() ? std::string() : page.kvs(page.kvs_size() - 1).key() + '\0';
    };
    const auto scanned = co_await scan(prefix, false, take, wait);
    if (!scanned.ok() && scanned.error().code() == Code::kOutOfRange && compactions < kCompactionsMax) continue;
    if (!scanned.ok()) co_return scanned.error();
    listing.revision = *scanned;
    co_return listing;
  }
}

net::Task<Result<std::vector<PathRecord>>> EtcdStore::list(std::string prefix, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(prefix, clean_path(prefix, true));
  CO_ASSIGN_OR_RETURN(Listing listing, co_await list_records(dir_prefix(prefix), std::move(wait)));
  co_return std::move(listing.records);
}

net::Task<Result<std::unique_ptr<Watch>>> EtcdStore::watch(std::string path, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(path, clean_path(path));
  wait = bounded(std::move(wait), kDefaultOperationWait);
  RangeRequest request;
  request.set_key(session_->prefix + path);
  CO_ASSIGN_OR_RETURN(auto response, co_await session_->client->range(std::move(request), wait));
  Change change{.path = path};
  if (!response.kvs().empty()) {
    etcdserverpb::KeyValue& kv = *response.mutable_kvs(0);
    change.record = Record{std::move(*kv.mutable_value()), version_of(kv.mod_revision())};
  }
  std::vector<Change> initial;
  initial.push_back(std::move(change));
  auto watch = std::make_unique<EtcdWatch>(session_, EtcdWatch::Target{.key = session_->prefix + path},
                                           response.header().revision(), std::move(initial));
  CO_RETURN_IF_ERROR(co_await watch->start(wait));
  co_return std::move(watch);
}

net::Task<Result<std::unique_ptr<Watch>>> EtcdStore::watch_recursive(std::string prefix, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(prefix, clean_path(prefix, true));
  wait = bounded(std::move(wait), kDefaultOperationWait);
  std::string key = dir_prefix(prefix);
  CO_ASSIGN_OR_RETURN(Listing listing, co_await list_records(key, wait));
  std::vector<Change> initial;
  initial.reserve(listing.records.size());
  for (PathRecord& record : listing.records) {
    initial.push_back(Change{std::move(record.path), Record{std::move(record.data), record.version}});
  }
  auto watch = std::make_unique<EtcdWatch>(session_, EtcdWatch::Target{.key = std::move(key), .recursive = true},
                                           listing.revision, std::move(initial));
  CO_RETURN_IF_ERROR(co_await watch->start(wait));
  co_return std::move(watch);
}

net::Task<Result<std::unique_ptr<Lock>>> EtcdStore::lock(std::string dir, std::string contents, LockOptions options) {
  CO_ASSIGN_OR_RETURN(dir, clean_path(dir));
  LockRequest request{.dir = dir, .contents = std::move(contents), .ttl = lease_of(options), .queue = options.queue};
  if (options.require_dir) request.must_exist = dir;
  co_return co_await acquire_lock(session_, std::move(request), bounded(options.wait, kDefaultLockWait));
}

net::Task<Result<std::vector<LockEntry>>> EtcdStore::lock_queue(std::string dir, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(dir, clean_path(dir));
  RangeRequest request;
  set_prefix(request, session_->prefix + join(dir, kLocksDir) + "/");
  request.set_sort_order(RangeRequest::ASCEND);
  request.set_sort_target(RangeRequest::CREATE);
  CO_ASSIGN_OR_RETURN(auto response, co_await session_->client->range(std::move(request), std::move(wait)));
  std::vector<LockEntry> entries;
  for (auto& kv : *response.mutable_kvs()) {
    entries.push_back(LockEntry{kv.key().substr(session_->prefix.size()), std::move(*kv.mutable_value())});
  }
  co_return entries;
}

net::Task<Result<std::unique_ptr<Lock>>> EtcdStore::campaign(std::string election, std::string id,
                                                             LockOptions options) {
  CO_ASSIGN_OR_RETURN(std::string dir, clean_path(join(kElectionsDir, election)));
  LockRequest request{
      .dir = std::move(dir), .contents = std::move(id), .ttl = lease_of(options), .queue = options.queue};
  co_return co_await acquire_lock(session_, std::move(request), bounded(options.wait, kDefaultLockWait));
}

net::Task<Result<std::string>> EtcdStore::leader(std::string election, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(std::vector<LockEntry> entries,
                      co_await lock_queue(join(kElectionsDir, election), std::move(wait)));
  if (entries.empty()) co_return fail(Code::kNotFound, "nobody leads the election " + election);
  co_return std::move(entries.front().contents);
}

net::Task<Result<std::vector<HistoryEntry>>> EtcdStore::history(std::string path, net::Wait) {
  co_return fail(Code::kUnimplemented, "etcd does not tell the history of " + path);
}

// Ends what others wait for. Returns what renews the leases, if anything does.
std::unique_ptr<LeaseKeeper> EtcdStore::end() {
  const std::scoped_lock lock(session_->mutex);
  session_->closed = true;
  for (const auto& interrupt : session_->interrupts) {
    interrupt->loop->post([interrupt] {
      interrupt->closed = true;
      if (interrupt->waiting != nullptr) interrupt->waiting->cancel();
    });
  }
  return std::move(session_->keeper);
}

net::Task<void> EtcdStore::close() {
  const auto keeper = end();
  if (keeper != nullptr) co_await keeper->drop_all();
}

}  // namespace
}  // namespace etcd

Result<std::shared_ptr<Store>> open_etcd_store(std::string addresses, std::string root, EtcdSettings settings) {
  ASSIGN_OR_RETURN(std::string clean_root, normalize_path(root, true));
  auto session = std::make_shared<etcd::Session>();
  ASSIGN_OR_RETURN(session->client, etcd::Client::create(addresses, settings));
  // As given: "/vitess/global" and "vitess/global" are different places in etcd.
  if (root.starts_with('/')) session->prefix = "/";
  if (!clean_root.empty()) session->prefix += clean_root + "/";
  session->settings = std::move(settings);
  return std::make_shared<etcd::EtcdStore>(std::move(session));
}

}  // namespace vitrail::topo
