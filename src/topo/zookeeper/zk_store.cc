#include "topo/zookeeper/zk_store.h"

#include <algorithm>
#include <functional>
#include <mutex>
#include <utility>

#include "base/file.h"
#include "base/text.h"
#include "topo/paths.h"
#include "topo/zookeeper/walk.h"
#include "topo/zookeeper/zk_lock.h"
#include "topo/zookeeper/zk_watch.h"

namespace vitrail::topo {
namespace zookeeper {
namespace {

Error not_found(const std::string& path) { return fail(Code::kNotFound, path + " does not exist"); }
Error changed(const std::string& path) { return fail(Code::kAborted, path + " was changed by somebody else"); }
Version version_of(int32_t version) { return Version{static_cast<uint64_t>(version)}; }
std::string join(std::string_view dir, std::string_view name) { return std::string(dir) + "/" + std::string(name); }
bool is_lock_entry(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash != std::string_view::npos && ("/" + std::string(path.substr(0, slash))).ends_with("/locks");
}

// A write in the making: the condition of a fence, if any, and the session that it belongs to.
struct Write {
  Tree tree;
  std::string path;
  std::string znode;
  std::vector<Op> ops;
  std::optional<int64_t> session;
  net::Wait wait;
  bool fence_refused(const Written& written) const {
    return session && written.answer != Answer::kOk && written.refused == 0;
  }
};

class ZkStore final : public Store {
 public:
  // `open_client`: makes a client whose session lasts so long.
  using OpenClient = std::function<std::shared_ptr<Client>(std::chrono::milliseconds session)>;
  ZkStore(Tree tree, std::chrono::milliseconds session, OpenClient open_client)
      : tree_(std::move(tree)), session_(session), open_client_(std::move(open_client)) {}

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
  Result<std::string> clean_path(std::string_view path, bool allow_root = false) const {
    if (tree_.client->closed()) return tree_.client->closed_error();
    return normalize_path(path, allow_root);
  }
  net::Task<Result<Write>> begin_write(std::string path, size_t bytes, WriteOptions options);
  Error lost_lock(const WriteOptions& options) const {
    return fail(Code::kFailedPrecondition, "the lock " + options.fence->lock_path + " was lost");
  }

  // Locks that are to outlive a dead holder for less than the store's session have a shorter one of their own.
  Tree tree_for(std::chrono::milliseconds ttl);
  struct Place {
    Tree tree;
    std::shared_ptr<Queues> queues;
  };
  Place place_of(const std::string& entry, uint64_t id);

  const Tree tree_;
  const std::chrono::milliseconds session_;
  const OpenClient open_client_;
  const std::shared_ptr<Queues> queues_ = std::make_shared<Queues>();
  const std::shared_ptr<Queues> quick_queues_ = std::make_shared<Queues>();
  std::mutex quick_mutex_;
  std::shared_ptr<Client> quick_;  // Guarded by quick_mutex_; null until it is needed.
};

constexpr std::chrono::milliseconds kQuickMax{10'000};
constexpr std::chrono::milliseconds kQuickMin{4'000};  // Servers take no less by default.

Tree ZkStore::tree_for(std::chrono::milliseconds ttl) {
  if (ttl > kQuickMax || ttl >= session_) return tree_;
  const std::scoped_lock lock(quick_mutex_);
  if (quick_ == nullptr) quick_ = open_client_(std::min(session_, std::max(ttl, kQuickMin)));
  return {.client = quick_, .root = tree_.root};
}

// Where a lock of ours was taken.
ZkStore::Place ZkStore::place_of(const std::string& entry, uint64_t id) {
  bool quick = false;
  {
    const std::scoped_lock lock(quick_queues_->mutex);
    const auto found = quick_queues_->mine.find(entry);
    quick = found != quick_queues_->mine.end() && found->second == id;
  }
  const std::scoped_lock lock(quick_mutex_);
  if (!quick || quick_ == nullptr) return {tree_, queues_};
  return {{.client = quick_, .root = tree_.root}, quick_queues_};
}

net::Task<void> ZkStore::close() {
  std::shared_ptr<Client> quick;
  {
    const std::scoped_lock lock(quick_mutex_);
    quick = quick_;
  }
  if (quick != nullptr) co_await quick->close();
  co_await tree_.client->close();
}

net::Task<Result<Record>> ZkStore::get(std::string path, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(path, clean_path(path));
  wait = bounded(std::move(wait), kDefaultOperationWait);
  CO_ASSIGN_OR_RETURN(Reply reply, co_await tree_.fresh().get(tree_.znode(path), false, std::move(wait)));
  if (reply.answer != Answer::kOk || is_directory(reply.znode)) co_return not_found(path);
  co_return Record{std::move(reply.data), version_of(reply.znode.version)};
}

// The znode of a fence's lock must exist, in the same step as the write, and be the one that this store made: sent in
// the session that owns it, so that it cannot be one of a later session; and its name is in use only once as long as
// its queue has anybody in it.
net::Task<Result<Write>> ZkStore::begin_write(std::string path, size_t bytes, WriteOptions options) {
  CO_ASSIGN_OR_RETURN(path, clean_path(path));
  if (bytes > kMaxDataBytes) co_return fail(Code::kResourceExhausted, "the record " + path + " is too large");
  Write write{
      .tree = tree_, .path = path, .znode = tree_.znode(path), .wait = bounded(options.wait, kDefaultOperationWait)};
  if (options.fence) {
    CO_ASSIGN_OR_RETURN(const std::string lock_path, normalize_path(options.fence->lock_path));
    const std::string entry = tree_.znode(lock_path);
    const Place place = place_of(entry, options.fence->id);
    {
      const std::scoped_lock lock(place.queues->mutex);
      const auto it = place.queues->mine.find(entry);
      if (it == place.queues->mine.end() || it->second != options.fence->id) co_return lost_lock(options);
    }
    write.tree = place.tree;
    CO_ASSIGN_OR_RETURN(const int64_t session, co_await write.tree.client->session(write.wait));
    CO_ASSIGN_OR_RETURN(const Reply held, co_await write.tree.fresh().exists(entry, false, write.wait));
    if (held.answer != Answer::kOk || held.znode.owner != session || held.znode.created != options.fence->id) {
      co_return lost_lock(options);
    }
    write.session = session;
    write.ops.push_back(Op{Op::Kind::kCheck, entry});
  }
  co_return write;
}

net::Task<Result<Version>> ZkStore::create(std::string path, std::string data, WriteOptions options) {
  CO_ASSIGN_OR_RETURN(Write write, co_await begin_write(std::move(path), data.size(), options));
  write.ops.push_back(Op{Op::Kind::kCreate, write.znode, std::move(data)});
  CO_ASSIGN_OR_RETURN(const Written written,
                      co_await create_with_parents(write.tree, std::move(write.ops), write.wait, write.session));
  if (written.answer == Answer::kOk) co_return Version{0};
  if (write.fence_refused(written)) co_return lost_lock(options);
  co_return fail(Code::kAlreadyExists, write.path + " exists already");
}

net::Task<Result<Version>> ZkStore::update(std::string path, std::string data, std::optional<Version> expected,
                                           WriteOptions options) {
  CO_ASSIGN_OR_RETURN(const Write write, co_await begin_write(std::move(path), data.size(), options));
  if (expected && expected->value > INT32_MAX) co_return changed(write.path);
  for (;;) {
    std::vector<Op> ops = write.ops;
    ops.push_back(Op{Op::Kind::kSet, write.znode, data, expected ? static_cast<int32_t>(expected->value) : -1});
    CO_ASSIGN_OR_RETURN(Written written, co_await write.tree.client->write(std::move(ops), write.wait, write.session));
    if (written.answer == Answer::kOk) co_return version_of(written.version);
    if (write.fence_refused(written)) co_return lost_lock(options);
    if (written.answer == Answer::kBadVersion) co_return changed(write.path);
    if (expected) co_return not_found(write.path);
    ops = write.ops;
    ops.push_back(Op{Op::Kind::kCreate, write.znode, data});
    CO_ASSIGN_OR_RETURN(written, co_await create_with_parents(write.tree, std::move(ops), write.wait, write.session));
    if (written.answer == Answer::kOk) co_return Version{0};
    if (write.fence_refused(written)) co_return lost_lock(options);
    if (written.answer != Answer::kNodeExists) co_return not_found(write.path);
  }
}

net::Task<Status> ZkStore::remove(std::string path, std::optional<Version> expected, WriteOptions options) {
  CO_ASSIGN_OR_RETURN(Write write, co_await begin_write(std::move(path), 0, options));
  if (expected && expected->value > INT32_MAX) co_return changed(write.path);
  write.ops.push_back(Op{Op::Kind::kRemove, write.znode, "", expected ? static_cast<int32_t>(expected->value) : -1});
  // The queue of a lock stays, so that its numbers go on and the entry's name does not come again at once.
  auto removal = is_lock_entry(write.path)
                     ? write.tree.client->write(std::move(write.ops), write.wait, write.session)
                     : remove_with_parents(write.tree, std::move(write.ops), write.wait, write.session);
  const auto written = co_await std::move(removal);
  if (!written.ok()) co_return written.error();
  if (written->answer == Answer::kOk) co_return Status{};
  if (write.fence_refused(*written)) co_return lost_lock(options);
  if (written->answer == Answer::kBadVersion) co_return changed(write.path);
  if (written->answer == Answer::kNotEmpty) {
    co_return fail(Code::kFailedPrecondition, write.path + " is a directory and not empty");
  }
  co_return not_found(write.path);
}

net::Task<Result<std::vector<DirEntry>>> ZkStore::list_dir(std::string path, bool full, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(path, clean_path(path, true));
  wait = bounded(std::move(wait), kDefaultOperationWait);
  const std::string dir = tree_.znode(path);
  const Tree tree = tree_.fresh();
  CO_ASSIGN_OR_RETURN(Reply reply, co_await tree.children(dir, false, wait));
  if (reply.names.empty() && !path.empty()) co_return not_found(path);
  std::ranges::sort(reply.names);
  std::vector<DirEntry> entries;
  for (std::string& name : reply.names) {
    if (dir == "/" && name == "zookeeper") continue;  // The server's own.
    entries.push_back(DirEntry{.name = std::move(name)});
  }
  if (!full) co_return entries;
  const std::string prefix = dir == "/" ? dir : dir + "/";
  struct Look {
    static net::Task<Status> at(const Tree& tree, std::string znode, DirEntry& entry, net::Wait wait) {
      CO_ASSIGN_OR_RETURN(const Reply reply, co_await tree.exists(std::move(znode), false, std::move(wait)));
      if (reply.answer != Answer::kOk) entry.name.clear();  // Gone in the meantime.
      if (is_directory(reply.znode)) entry.kind = DirEntry::Kind::kDirectory;
      entry.ephemeral = reply.znode.owner != 0;
      co_return Status{};
    }
  };
  CO_RETURN_IF_ERROR(co_await for_each(
      entries.size(), [&](size_t i) { return Look::at(tree, prefix + entries[i].name, entries[i], wait); }));
  std::erase_if(entries, [](const DirEntry& entry) { return entry.name.empty(); });
  co_return entries;
}

net::Task<Result<std::vector<PathRecord>>> ZkStore::list(std::string prefix, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(prefix, clean_path(prefix, true));
  std::vector<Found> found;
  std::vector<std::string> names;
  CO_ASSIGN_OR_RETURN(const bool exists,
                      co_await walk(
                          tree_.fresh(), tree_.znode(prefix), false, [](const std::string&) { return false; }, found,
                          names, bounded(std::move(wait), kDefaultOperationWait)));
  std::vector<PathRecord> records;
  if (!exists) co_return records;
  for (Found& one : found) {
    if (is_directory(one.state)) continue;
    records.push_back(PathRecord{tree_.relative(one.znode), std::move(one.data), version_of(one.state.version)});
  }
  std::ranges::sort(records, {}, &PathRecord::path);
  co_return records;
}

net::Task<Result<std::unique_ptr<Watch>>> ZkStore::watch(std::string path, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(path, clean_path(path));
  auto watch = std::make_unique<ZkRecordWatch>(tree_, tree_.znode(path));
  CO_RETURN_IF_ERROR(co_await watch->start(bounded(std::move(wait), kDefaultOperationWait)));
  co_return std::move(watch);
}

net::Task<Result<std::unique_ptr<Watch>>> ZkStore::watch_recursive(std::string prefix, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(prefix, clean_path(prefix, true));
  auto watch = std::make_unique<ZkTreeWatch>(tree_, tree_.znode(prefix));
  CO_RETURN_IF_ERROR(co_await watch->start(bounded(std::move(wait), kDefaultOperationWait)));
  co_return std::move(watch);
}

net::Task<Result<std::unique_ptr<Lock>>> ZkStore::lock(std::string dir, std::string contents, LockOptions options) {
  CO_ASSIGN_OR_RETURN(dir, clean_path(dir));
  LockRequest request{
      .queue = tree_.znode(join(dir, "locks")), .contents = std::move(contents), .queue_up = options.queue};
  if (options.require_dir) request.must_exist = tree_.znode(dir);
  Tree tree = tree_for(options.ttl);
  auto queues = tree.client == tree_.client ? queues_ : quick_queues_;
  co_return co_await acquire_lock(std::move(tree), std::move(queues), std::move(request),
                                  bounded(options.wait, kDefaultLockWait));
}

net::Task<Result<std::vector<LockEntry>>> ZkStore::lock_queue(std::string dir, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(dir, clean_path(dir));
  co_return co_await read_queue(tree_, tree_.znode(join(dir, "locks")),
                                bounded(std::move(wait), kDefaultOperationWait));
}

net::Task<Result<std::unique_ptr<Lock>>> ZkStore::campaign(std::string election, std::string id, LockOptions options) {
  CO_ASSIGN_OR_RETURN(const std::string dir, clean_path(join(kElectionsDir, election)));
  LockRequest request{.queue = tree_.znode(dir), .contents = std::move(id), .queue_up = options.queue};
  co_return co_await acquire_lock(tree_, queues_, std::move(request), bounded(options.wait, kDefaultLockWait));
}

net::Task<Result<std::string>> ZkStore::leader(std::string election, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const std::string dir, clean_path(join(kElectionsDir, election)));
  CO_ASSIGN_OR_RETURN(auto entries,
                      co_await read_queue(tree_, tree_.znode(dir), bounded(std::move(wait), kDefaultOperationWait)));
  if (entries.empty()) co_return fail(Code::kNotFound, "nobody leads the election " + election);
  co_return std::move(entries.front().contents);
}

net::Task<Result<std::vector<HistoryEntry>>> ZkStore::history(std::string path, net::Wait) {
  co_return fail(Code::kUnimplemented, "ZooKeeper does not remember the history of " + path);
}

// "host:port[,host:port...]"
Status check_addresses(const std::string& addresses) {
  for (const std::string_view part : base::split(addresses, ',')) {
    const size_t colon = part.rfind(':');
    const std::string_view port = colon == std::string_view::npos ? "" : part.substr(colon + 1);
    if (colon == 0 || port.empty() || port.find_first_not_of("0123456789") != std::string_view::npos) {
      return fail(Code::kInvalidArgument,
                  "bad address \"" + addresses + "\" of ZooKeeper: host:port, several with commas between");
    }
  }
  return {};
}

}  // namespace
}  // namespace zookeeper

Result<std::shared_ptr<Store>> open_zk_store(std::string addresses, std::string root, ZkSettings settings) {
  ASSIGN_OR_RETURN(std::string clean_root, normalize_path(root, true));
  RETURN_IF_ERROR(zookeeper::check_addresses(addresses));
  if (settings.max_concurrency == 0) {
    return fail(Code::kInvalidArgument, "--topo-zk-max-concurrency must be at least 1");
  }
  std::string scheme;
  std::string auth;
  if (!settings.auth_file.empty()) {
    ASSIGN_OR_RETURN(const std::string text, base::read_file(settings.auth_file));
    const std::string line = text.substr(0, text.find_first_of("\r\n"));
    const size_t colon = line.find(':');
    if (colon == std::string::npos || colon == 0) {
      return fail(Code::kInvalidArgument, settings.auth_file + " must hold scheme:auth (--topo-zk-auth-file)");
    }
    scheme = line.substr(0, colon);
    auth = line.substr(colon + 1);
  }
  zookeeper::Tree tree{.root = clean_root.empty() ? "" : "/" + clean_root};
  auto open_client = [addresses, settings, scheme, auth](std::chrono::milliseconds session) {
    ZkSettings own = settings;
    own.base_timeout = session;
    return std::make_shared<zookeeper::Client>(addresses, std::move(own), scheme, auth);
  };
  tree.client = open_client(settings.base_timeout);
  return std::make_shared<zookeeper::ZkStore>(std::move(tree), settings.base_timeout, std::move(open_client));
}

}  // namespace vitrail::topo
