#include "topo/memory/memory_store.h"

#include <fmt/core.h>

#include <deque>
#include <map>
#include <mutex>

#include "topo/local_store.h"

namespace vitrail::topo {
namespace {

using internal::Lease;
using internal::LeaseRequest;
using internal::LocalBackend;
using internal::TreeChange;
using internal::TreeSnapshot;
using internal::WatchHub;

constexpr size_t kMaxHistory = 4096;

class MemoryBackend final : public LocalBackend {
 public:
  explicit MemoryBackend(std::string name) : name_(std::move(name)) {}

  net::Task<Result<Record>> get(std::string path, net::Wait wait) override {
    CO_RETURN_IF_ERROR(internal::check_wait(wait, "reading " + path));
    const std::lock_guard lock(mutex_);
    CO_RETURN_IF_ERROR(check_available());
    const auto it = entries_.find(path);
    if (it == entries_.end()) co_return not_found(path);
    co_return Record{it->second.data, Version{it->second.revision}};
  }

  net::Task<Result<Version>> create(std::string path, std::string data, WriteOptions options) override {
    CO_RETURN_IF_ERROR(internal::check_wait(options.wait, "creating " + path));
    const std::lock_guard lock(mutex_);
    CO_RETURN_IF_ERROR(check_write(options));
    if (entries_.contains(path)) co_return fail(Code::kAlreadyExists, path + " exists already");
    co_return put(path, std::move(data), 0);
  }

  net::Task<Result<Version>> update(std::string path, std::string data, std::optional<Version> expected,
                                    WriteOptions options) override {
    CO_RETURN_IF_ERROR(internal::check_wait(options.wait, "updating " + path));
    const std::lock_guard lock(mutex_);
    CO_RETURN_IF_ERROR(check_write(options));
    const auto it = entries_.find(path);
    if (expected) {
      if (it == entries_.end()) co_return not_found(path);
      if (it->second.revision != expected->value) co_return bad_version(path);
    }
    co_return put(path, std::move(data), it == entries_.end() ? 0 : it->second.lease);
  }

  net::Task<Status> remove(std::string path, std::optional<Version> expected, WriteOptions options) override {
    CO_RETURN_IF_ERROR(internal::check_wait(options.wait, "deleting " + path));
    const std::lock_guard lock(mutex_);
    CO_RETURN_IF_ERROR(check_write(options));
    const auto it = entries_.find(path);
    if (it == entries_.end()) {
      if (has_children(path)) co_return fail(Code::kFailedPrecondition, path + " is a directory and not empty");
      co_return not_found(path);
    }
    if (expected && it->second.revision != expected->value) co_return bad_version(path);
    erase(path);
    co_return Status{};
  }

  net::Task<Result<std::vector<DirEntry>>> list_dir(std::string path, net::Wait wait) override {
    CO_RETURN_IF_ERROR(internal::check_wait(wait, "listing " + path));
    const std::lock_guard lock(mutex_);
    CO_RETURN_IF_ERROR(check_available());
    std::map<std::string, DirEntry> found;
    const std::string prefix = path.empty() ? "" : path + "/";
    for (auto it = entries_.lower_bound(prefix); it != entries_.end() && it->first.starts_with(prefix); ++it) {
      const std::string_view rest = std::string_view(it->first).substr(prefix.size());
      const size_t slash = rest.find('/');
      DirEntry entry{std::string(rest.substr(0, slash))};
      if (slash != std::string_view::npos)
        entry.kind = DirEntry::Kind::kDirectory;
      else
        entry.ephemeral = it->second.lease != 0;
      found.try_emplace(entry.name, entry);
    }
    if (found.empty() && !path.empty()) co_return not_found(path);
    std::vector<DirEntry> entries;
    for (auto& [name, entry] : found) entries.push_back(std::move(entry));
    co_return entries;
  }

  net::Task<Result<TreeSnapshot>> snapshot(WatchHub::Filter filter, net::Wait wait) override {
    CO_RETURN_IF_ERROR(internal::check_wait(wait, "reading " + filter.path));
    const std::lock_guard lock(mutex_);
    CO_RETURN_IF_ERROR(check_available());
    TreeSnapshot snapshot{.revision = revision_};
    for (auto it = entries_.lower_bound(filter.path); it != entries_.end() && it->first.starts_with(filter.path);
         ++it) {
      const bool ephemeral = it->second.lease != 0;
      if (!filter.matches(it->first, ephemeral)) continue;
      snapshot.records.push_back(TreeChange{it->first, it->second.data, it->second.revision, ephemeral});
    }
    co_return snapshot;
  }

  net::Task<Result<std::vector<HistoryEntry>>> history(std::string path, net::Wait wait) override {
    CO_RETURN_IF_ERROR(internal::check_wait(wait, "reading the history of " + path));
    const std::lock_guard lock(mutex_);
    CO_RETURN_IF_ERROR(check_available());
    std::vector<HistoryEntry> past;
    for (const TreeChange& change : history_) {
      if (change.path == path) past.push_back(HistoryEntry{Version{change.revision}, change.data});
    }
    co_return past;
  }

  net::Task<Result<Lease>> enqueue(LeaseRequest request, net::Wait wait) override {
    CO_RETURN_IF_ERROR(internal::check_wait(wait, "locking " + request.dir));
    const std::lock_guard lock(mutex_);
    CO_RETURN_IF_ERROR(check_available());
    if (!request.must_exist.empty() && !has_children(request.must_exist)) co_return not_found(request.must_exist);
    const bool taken = has_children(request.dir);
    if (taken && !request.queue) co_return fail(Code::kAlreadyExists, "the lock " + request.dir + " is taken");
    const uint64_t id = revision_ + 1;
    std::string path = fmt::format("{}/{:020}", request.dir, id);
    put(path, std::move(request.contents), id);
    co_return Lease{Fence{std::move(path), id}, !taken};
  }

  net::Task<Result<bool>> is_first(Fence fence, net::Wait) override {
    const std::lock_guard lock(mutex_);
    CO_RETURN_IF_ERROR(check_available());
    CO_RETURN_IF_ERROR(check_fence(fence));
    const std::string prefix = fence.lock_path.substr(0, fence.lock_path.rfind('/') + 1);
    co_return entries_.lower_bound(prefix)->first == fence.lock_path;
  }

  net::Task<Status> renew(Fence fence, net::Wait wait) override {
    CO_RETURN_IF_ERROR(internal::check_wait(wait, "checking the lock " + fence.lock_path));
    const std::lock_guard lock(mutex_);
    CO_RETURN_IF_ERROR(check_available());
    co_return check_fence(fence);
  }

  net::Task<Status> release(Fence fence, net::Wait) override {
    const std::lock_guard lock(mutex_);
    CO_RETURN_IF_ERROR(check_available());
    CO_RETURN_IF_ERROR(check_fence(fence));
    erase(fence.lock_path);
    co_return Status{};
  }

  void abandon(Fence fence) override {
    const std::lock_guard lock(mutex_);
    if (check_fence(fence).ok()) erase(fence.lock_path);
  }

  net::Task<Result<std::vector<LockEntry>>> queue(std::string dir, net::Wait wait) override {
    CO_RETURN_IF_ERROR(internal::check_wait(wait, "reading the lock " + dir));
    const std::lock_guard lock(mutex_);
    CO_RETURN_IF_ERROR(check_available());
    std::vector<LockEntry> entries;
    const std::string prefix = dir + "/";
    for (auto it = entries_.lower_bound(prefix); it != entries_.end() && it->first.starts_with(prefix); ++it) {
      entries.push_back(LockEntry{it->first, it->second.data});
    }
    co_return entries;
  }

  void set_unavailable(bool unavailable) {
    const std::lock_guard lock(mutex_);
    unavailable_ = unavailable;
    if (unavailable) hub_->end_all(Error(Code::kUnavailable, "the memory store " + name_ + " went away"));
  }

 private:
  struct Entry {
    std::string data;
    uint64_t revision = 0;
    uint64_t lease = 0;  // Lock entries: their id.
  };

  static Error not_found(const std::string& path) { return fail(Code::kNotFound, path + " does not exist"); }
  static Error bad_version(const std::string& path) {
    return fail(Code::kAborted, path + " was changed by somebody else");
  }
  Status check_available() const {
    if (unavailable_) return fail(Code::kUnavailable, "the memory store " + name_ + " cannot be reached");
    return {};
  }
  Status check_fence(const Fence& fence) const {
    const auto it = entries_.find(fence.lock_path);
    if (it != entries_.end() && it->second.lease == fence.id) return {};
    return fail(Code::kFailedPrecondition, "the lock " + fence.lock_path + " was lost");
  }
  Status check_write(const WriteOptions& options) const {
    RETURN_IF_ERROR(check_available());
    if (options.fence) return check_fence(*options.fence);
    return {};
  }
  bool has_children(const std::string& path) const {
    const std::string prefix = path + "/";
    const auto it = entries_.lower_bound(prefix);
    return it != entries_.end() && it->first.starts_with(prefix);
  }
  Version put(const std::string& path, std::string data, uint64_t lease) {
    record(TreeChange{path, data, ++revision_, lease != 0});
    entries_[path] = Entry{std::move(data), revision_, lease};
    return Version{revision_};
  }
  void erase(const std::string& path) {
    const auto it = entries_.find(path);
    const bool ephemeral = it->second.lease != 0;
    entries_.erase(it);
    record(TreeChange{path, std::nullopt, ++revision_, ephemeral});
  }
  void record(TreeChange change) {
    hub_->publish({change});
    history_.push_back(std::move(change));
    if (history_.size() > kMaxHistory) history_.pop_front();
  }

  const std::string name_;
  std::mutex mutex_;
  bool unavailable_ = false;
  uint64_t revision_ = 0;
  std::map<std::string, Entry> entries_;
  std::deque<TreeChange> history_;
};

struct Registry {
  std::mutex mutex;
  std::map<std::string, std::weak_ptr<MemoryBackend>> trees;
};

Registry& registry() {
  static auto* const instance = new Registry;
  return *instance;
}

}  // namespace

Result<std::shared_ptr<Store>> open_memory_store(const std::string& name, const std::string& root) {
  ASSIGN_OR_RETURN(std::string clean_root, normalize_path(root, true));
  std::shared_ptr<MemoryBackend> backend;
  {
    const std::lock_guard lock(registry().mutex);
    auto& slot = registry().trees[name];
    backend = slot.lock();
    if (!backend) slot = backend = std::make_shared<MemoryBackend>(name);
  }
  return std::make_shared<internal::LocalStore>(std::move(backend), std::move(clean_root), "memory store " + name);
}

void set_memory_store_unavailable(const std::string& name, bool unavailable) {
  const std::lock_guard lock(registry().mutex);
  const auto it = registry().trees.find(name);
  if (it == registry().trees.end()) return;
  if (const auto backend = it->second.lock()) backend->set_unavailable(unavailable);
}

}  // namespace vitrail::topo
