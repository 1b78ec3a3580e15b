#include "topo/sqlite/sqlite_store.h"

#include <fmt/core.h>

#include <filesystem>
#include <map>
#include <mutex>

#include "topo/local_store.h"
#include "topo/sqlite/database.h"

namespace vitrail::topo {
namespace {

using internal::Lease;
using internal::LeaseRequest;
using internal::LocalBackend;
using internal::TreeChange;
using internal::TreeSnapshot;
using internal::WatchHub;
using sqlite::Connection;
using sqlite::Database;
using sqlite::ProcessIdentity;
using sqlite::WriteContext;

Error not_found(const std::string& path) { return fail(Code::kNotFound, path + " does not exist"); }

// The keys of everything below a directory lie between "<dir>/" and "<dir>0": '0' is the character after '/'.
struct Below {
  std::string first;
  std::string end;
  explicit Below(const std::string& dir) : first(dir.empty() ? "" : dir + "/"), end(dir.empty() ? "\xff" : dir + "0") {}
};

struct StoredState {
  uint64_t version = 0;
  std::optional<uint64_t> lease;
};

Result<std::optional<StoredState>> find_state(Connection& connection, const std::string& path) {
  auto query = connection.query("SELECT version, lease FROM records WHERE path = ?");
  query.bind_text(path);
  ASSIGN_OR_RETURN(const bool row, query.step());
  if (!row) return std::optional<StoredState>();
  StoredState state{.version = query.number(0)};
  if (!query.is_null(1)) state.lease = query.number(1);
  return std::optional(state);
}

Result<std::optional<std::string>> first_below(Connection& connection, const std::string& dir) {
  const Below below(dir);
  auto query = connection.query("SELECT path FROM records WHERE path >= ? AND path < ? ORDER BY path LIMIT 1");
  query.bind_text(below.first).bind_text(below.end);
  ASSIGN_OR_RETURN(const bool row, query.step());
  if (!row) return std::optional<std::string>();
  return std::optional(query.bytes(0));
}

Status check_fence(Connection& connection, const Fence& fence) {
  ASSIGN_OR_RETURN(const auto state, find_state(connection, fence.lock_path));
  if (state && state->lease == fence.id) return {};
  return fail(Code::kFailedPrecondition, "the lock " + fence.lock_path + " was lost");
}

Status check_options(WriteContext& context, const WriteOptions& options) {
  if (options.fence) return check_fence(context.connection(), *options.fence);
  return {};
}

Status check_version(const std::optional<StoredState>& state, std::optional<Version> expected,
                     const std::string& path) {
  if (!expected) return {};
  if (!state) return not_found(path);
  if (state->version != expected->value) return fail(Code::kAborted, path + " was changed by somebody else");
  return {};
}

Result<Version> put_record(WriteContext& context, const std::string& path, const std::string& data, bool exists,
                           std::optional<uint64_t> lease) {
  ASSIGN_OR_RETURN(const uint64_t revision, context.log_change(path, &data, lease.has_value()));
  Connection& connection = context.connection();
  if (exists) {
    RETURN_IF_ERROR(connection.query("UPDATE records SET data = ?, version = ? WHERE path = ?")
                        .bind_blob(data)
                        .bind(revision)
                        .bind_text(path)
                        .run());
  } else {
    auto insert = connection.query("INSERT INTO records(path, data, version, lease) VALUES (?, ?, ?, ?)");
    insert.bind_text(path).bind_blob(data).bind(revision);
    if (lease)
      insert.bind(*lease);
    else
      insert.bind_null();
    RETURN_IF_ERROR(insert.run());
  }
  return Version{revision};
}

class SqliteBackend final : public LocalBackend {
 public:
  static Result<std::shared_ptr<SqliteBackend>> open(const std::string& file, const base::Clock& clock) {
    auto backend = std::make_shared<SqliteBackend>();
    ASSIGN_OR_RETURN(backend->database_, Database::open(file, clock, backend->hub_));
    return backend;
  }

  net::Task<Result<Record>> get(std::string path, net::Wait wait) override {
    CO_RETURN_IF_ERROR(internal::check_wait(wait, "reading " + path));
    co_return co_await database_->read([&path](Connection& connection) -> Result<Record> {
      auto query = connection.query("SELECT data, version FROM records WHERE path = ?");
      query.bind_text(path);
      ASSIGN_OR_RETURN(const bool row, query.step());
      if (!row) return not_found(path);
      return Record{query.bytes(0), Version{query.number(1)}};
    });
  }

  net::Task<Result<Version>> create(std::string path, std::string data, WriteOptions options) override {
    CO_RETURN_IF_ERROR(internal::check_wait(options.wait, "creating " + path));
    co_return co_await database_->write(
        [&](WriteContext& context) -> Result<Version> {
          RETURN_IF_ERROR(check_options(context, options));
          ASSIGN_OR_RETURN(const auto state, find_state(context.connection(), path));
          if (state) return fail(Code::kAlreadyExists, path + " exists already");
          return put_record(context, path, data, false, std::nullopt);
        },
        options.wait);
  }

  net::Task<Result<Version>> update(std::string path, std::string data, std::optional<Version> expected,
                                    WriteOptions options) override {
    CO_RETURN_IF_ERROR(internal::check_wait(options.wait, "updating " + path));
    co_return co_await database_->write(
        [&](WriteContext& context) -> Result<Version> {
          RETURN_IF_ERROR(check_options(context, options));
          ASSIGN_OR_RETURN(const auto state, find_state(context.connection(), path));
          RETURN_IF_ERROR(check_version(state, expected, path));
          return put_record(context, path, data, state.has_value(), state ? state->lease : std::nullopt);
        },
        options.wait);
  }

  net::Task<Status> remove(std::string path, std::optional<Version> expected, WriteOptions options) override {
    CO_RETURN_IF_ERROR(internal::check_wait(options.wait, "deleting " + path));
    co_return co_await database_->write(
        [&](WriteContext& context) -> Status {
          Connection& connection = context.connection();
          RETURN_IF_ERROR(check_options(context, options));
          ASSIGN_OR_RETURN(const auto state, find_state(connection, path));
          if (!state) {
            ASSIGN_OR_RETURN(const auto child, first_below(connection, path));
            if (child) return fail(Code::kFailedPrecondition, path + " is a directory and not empty");
            return not_found(path);
          }
          RETURN_IF_ERROR(check_version(state, expected, path));
          if (state->lease) return context.delete_lease(*state->lease, path);
          RETURN_IF_ERROR(connection.query("DELETE FROM records WHERE path = ?").bind_text(path).run());
          ASSIGN_OR_RETURN(const uint64_t revision, context.log_change(path, nullptr, false));
          (void)revision;
          return {};
        },
        options.wait);
  }

  net::Task<Result<std::vector<DirEntry>>> list_dir(std::string path, net::Wait wait) override {
    CO_RETURN_IF_ERROR(internal::check_wait(wait, "listing " + path));
    co_return co_await database_->read([&path](Connection& connection) -> Result<std::vector<DirEntry>> {
      // One index search per entry, not per record: below a directory there may be any number of records.
      const Below below(path);
      std::map<std::string, DirEntry> found;
      std::string from = below.first;
      for (;;) {
        auto query = connection.query(
            "SELECT path, lease IS NOT NULL FROM records WHERE path >= ? AND path < ? ORDER BY path LIMIT 1");
        query.bind_text(from).bind_text(below.end);
        ASSIGN_OR_RETURN(const bool row, query.step());
        if (!row) break;
        const std::string full = query.bytes(0);
        const size_t slash = full.find('/', below.first.size());
        DirEntry entry{
            .name = full.substr(below.first.size(), slash == std::string::npos ? slash : slash - below.first.size())};
        std::string next;
        if (slash == std::string::npos) {
          entry.ephemeral = query.integer(1) != 0;
          next = full + '\x01';  // Paths have no control characters.
        } else {
          entry.kind = DirEntry::Kind::kDirectory;
          next = full.substr(0, slash) + "0";
        }
        found.try_emplace(entry.name, entry);
        from = std::move(next);
      }
      if (found.empty() && !path.empty()) return not_found(path);
      std::vector<DirEntry> entries;
      entries.reserve(found.size());
      for (auto& [name, entry] : found) entries.push_back(std::move(entry));
      return entries;
    });
  }

  net::Task<Result<TreeSnapshot>> snapshot(WatchHub::Filter filter, net::Wait wait) override {
    CO_RETURN_IF_ERROR(internal::check_wait(wait, "reading " + filter.path));
    co_return co_await database_->read([&filter](Connection& connection) -> Result<TreeSnapshot> {
      TreeSnapshot snapshot;
      {
        auto query = connection.query("SELECT max(revision) FROM history");
        ASSIGN_OR_RETURN(const bool row, query.step());
        if (row) snapshot.revision = query.number(0);
      }
      const Below below(filter.path);
      auto query = connection.query(
          "SELECT path, data, version, lease IS NOT NULL FROM records WHERE path >= ? AND path < ? ORDER BY path");
      if (filter.recursive) query.bind_text(below.first).bind_text(below.end);
      const std::string behind = filter.path + '\x01';
      if (!filter.recursive) query.bind_text(filter.path).bind_text(behind);
      for (;;) {
        ASSIGN_OR_RETURN(const bool row, query.step());
        if (!row) break;
        std::string path = query.bytes(0);
        const bool ephemeral = query.integer(3) != 0;
        if (!filter.matches(path, ephemeral)) continue;
        snapshot.records.push_back(TreeChange{std::move(path), query.bytes(1), query.number(2), ephemeral});
      }
      return snapshot;
    });
  }

  net::Task<Result<std::vector<HistoryEntry>>> history(std::string path, net::Wait wait) override {
    CO_RETURN_IF_ERROR(internal::check_wait(wait, "reading the history of " + path));
    co_return co_await database_->read([&path](Connection& connection) -> Result<std::vector<HistoryEntry>> {
      std::vector<HistoryEntry> past;
      auto query = connection.query("SELECT revision, data FROM history WHERE path = ? ORDER BY revision");
      query.bind_text(path);
      for (;;) {
        ASSIGN_OR_RETURN(const bool row, query.step());
        if (!row) return past;
        HistoryEntry entry{.version = Version{query.number(0)}};
        if (!query.is_null(1)) entry.data = query.bytes(1);
        past.push_back(std::move(entry));
      }
    });
  }

  net::Task<Result<Lease>> enqueue(LeaseRequest request, net::Wait wait) override {
    CO_RETURN_IF_ERROR(internal::check_wait(wait, "locking " + request.dir));
    auto lease = co_await database_->write(
        [&](WriteContext& context) -> Result<Lease> {
          Connection& connection = context.connection();
          RETURN_IF_ERROR(context.purge_dead_leases(request.dir));
          if (!request.must_exist.empty()) {
            ASSIGN_OR_RETURN(const auto something, first_below(connection, request.must_exist));
            if (!something) return not_found(request.must_exist);
          }
          ASSIGN_OR_RETURN(const auto holder, first_below(connection, request.dir));
          if (holder && !request.queue) return fail(Code::kAlreadyExists, "the lock " + request.dir + " is taken");
          uint64_t id = 1;
          {
            // Entries sort by arrival: their names are revisions, which only grow.
            auto query = connection.query("SELECT max(revision) FROM history");
            ASSIGN_OR_RETURN(const bool row, query.step());
            if (row) id = query.number(0) + 1;
          }
          Lease made{Fence{fmt::format("{}/{:020}", request.dir, id), id}, !holder};
          const ProcessIdentity& self = ProcessIdentity::self();
          RETURN_IF_ERROR(
              connection
                  .query("INSERT INTO leases(id, path, ttl_ms, expires_ms, boot_id, pid_space, pid, start_time)"
                         " VALUES (?, ?, ?, ?, ?, ?, ?, ?)")
                  .bind(id)
                  .bind_text(made.fence.lock_path)
                  .bind(int64_t{request.ttl.count()})
                  .bind(context.now_ms() + request.ttl.count())
                  .bind_text(self.boot_id)
                  .bind_text(self.pid_space)
                  .bind(self.pid)
                  .bind(self.start_time)
                  .run());
          ASSIGN_OR_RETURN(const Version version,
                           put_record(context, made.fence.lock_path, request.contents, false, id));
          (void)version;
          return made;
        },
        wait);
    if (lease.ok()) database_->keep_renewed(lease->fence.id, request.ttl);
    co_return lease;
  }

  net::Task<Result<bool>> is_first(Fence fence, net::Wait) override {
    co_return co_await database_->read([&fence](Connection& connection) -> Result<bool> {
      RETURN_IF_ERROR(check_fence(connection, fence));
      ASSIGN_OR_RETURN(const auto first,
                       first_below(connection, fence.lock_path.substr(0, fence.lock_path.rfind('/'))));
      return first == fence.lock_path;
    });
  }

  net::Task<Status> renew(Fence fence, net::Wait wait) override {
    CO_RETURN_IF_ERROR(internal::check_wait(wait, "checking the lock " + fence.lock_path));
    co_return co_await database_->write(
        [&fence](WriteContext& context) -> Status {
          Connection& connection = context.connection();
          RETURN_IF_ERROR(check_fence(connection, fence));
          return connection.query("UPDATE leases SET expires_ms = ? + ttl_ms WHERE id = ?")
              .bind(context.now_ms())
              .bind(fence.id)
              .run();
        },
        wait);
  }

  net::Task<Status> release(Fence fence, net::Wait wait) override {
    Status status = co_await database_->write(
        [&fence](WriteContext& context) -> Status {
          RETURN_IF_ERROR(check_fence(context.connection(), fence));
          return context.delete_lease(fence.id, fence.lock_path);
        },
        wait);
    if (status.ok() || status.error().code() == Code::kFailedPrecondition) {
      database_->stop_renewing(fence.id);
    } else {
      abandon(fence);
    }
    co_return status;
  }

  void abandon(Fence fence) override {
    database_->stop_renewing(fence.id);
    database_->write_later(
        [fence = std::move(fence)](WriteContext& context) { return context.delete_lease(fence.id, fence.lock_path); });
  }

  net::Task<Result<std::vector<LockEntry>>> queue(std::string dir, net::Wait wait) override {
    CO_RETURN_IF_ERROR(internal::check_wait(wait, "reading the lock " + dir));
    const int64_t now = database_->now_ms();
    co_return co_await database_->read([&dir, now](Connection& connection) -> Result<std::vector<LockEntry>> {
      const Below below(dir);
      std::vector<LockEntry> entries;
      auto query = connection.query(
          "SELECT r.path, r.data, l.expires_ms, l.boot_id, l.pid_space, l.pid, l.start_time FROM records r"
          " JOIN leases l ON l.id = r.lease WHERE r.path >= ? AND r.path < ? ORDER BY r.path");
      query.bind_text(below.first).bind_text(below.end);
      for (;;) {
        ASSIGN_OR_RETURN(const bool row, query.step());
        if (!row) return entries;
        const ProcessIdentity holder{query.bytes(3), query.bytes(4), query.integer(5), query.integer(6)};
        if (query.integer(2) <= now || sqlite::is_gone(holder)) continue;
        entries.push_back(LockEntry{query.bytes(0), query.bytes(1)});
      }
    });
  }

 private:
  std::shared_ptr<Database> database_;
};

struct Registry {
  std::mutex mutex;  // Held while a file is opened: two openings of one file must not overlap.
  std::map<std::string, std::weak_ptr<SqliteBackend>> backends;
};

Registry& registry() {
  static auto* const instance = new Registry;
  return *instance;
}

Result<std::shared_ptr<SqliteBackend>> find_or_open(const std::string& file, const base::Clock& clock) {
  if (file.empty()) return fail(Code::kInvalidArgument, "the sqlite topology needs the path of a database file");
  std::error_code error;
  const std::filesystem::path given(file);
  std::filesystem::path folder = given.parent_path();
  if (folder.empty()) folder = ".";
  folder = std::filesystem::canonical(folder, error);
  if (error || given.filename().empty()) {
    return fail(Code::kUnavailable,
                fmt::format("cannot open {}: {}", file, error ? error.message() : "not a file name"));
  }
  std::filesystem::path whole = folder / given.filename();
  if (std::filesystem::is_symlink(whole, error)) whole = std::filesystem::weakly_canonical(whole, error);
  // One entry per clock too: tests move theirs.
  const std::string key = fmt::format("{}\n{}", whole.string(), static_cast<const void*>(&clock));
  const std::lock_guard lock(registry().mutex);
  auto& slot = registry().backends[key];
  if (auto backend = slot.lock()) return backend;
  ASSIGN_OR_RETURN(auto backend, SqliteBackend::open(whole.string(), clock));
  slot = backend;
  return backend;
}

}  // namespace

net::Task<Result<std::shared_ptr<Store>>> open_sqlite_store(std::string file, std::string root,
                                                            const base::Clock* clock) {
  CO_ASSIGN_OR_RETURN(std::string clean_root, normalize_path(root, true));
  auto backend = co_await net::offload([&] { return find_or_open(file, *clock); });
  if (!backend.ok()) co_return backend.error();
  co_return std::make_shared<internal::LocalStore>(std::move(*backend), std::move(clean_root), "sqlite store " + file);
}

}  // namespace vitrail::topo
