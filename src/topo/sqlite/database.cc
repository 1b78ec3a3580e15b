#include "topo/sqlite/database.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

namespace vitrail::topo::sqlite {
namespace {

constexpr int64_t kApplicationId = 0x56545250;  // "VTRP"
constexpr int64_t kFormat = 1;
constexpr std::chrono::seconds kOpenPatience{10};

std::string read_small_file(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// State letter and start time from /proc/<pid>/stat; nullopt when it cannot be read.
struct ProcessStat {
  char state = '?';
  int64_t start_time = 0;
};
std::optional<ProcessStat> read_process_stat(int64_t pid) {
  const std::string text = read_small_file(fmt::format("/proc/{}/stat", pid));
  // The second field, the program's name, may itself hold blanks and parentheses: start behind its end.
  const size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream fields(text.substr(name_end + 1));
  ProcessStat stat;
  fields >> stat.state;
  std::string skipped;
  constexpr int kStateField = 3;
  constexpr int kStartTimeField = 22;  // proc(5)
  for (int field = kStateField + 1; field < kStartTimeField; ++field) fields >> skipped;
  if (!(fields >> stat.start_time)) return std::nullopt;
  return stat;
}

void drain_descriptor(int fd) {
  std::array<char, 4096> buffer;
  while (read(fd, buffer.data(), buffer.size()) > 0) {
  }
}

int64_t to_ms(std::chrono::nanoseconds duration) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
}

}  // namespace

const ProcessIdentity& ProcessIdentity::self() {
  static const ProcessIdentity identity = [] {
    ProcessIdentity id;
    id.boot_id = read_small_file("/proc/sys/kernel/random/boot_id");
    while (!id.boot_id.empty() && id.boot_id.back() == '\n') id.boot_id.pop_back();
    std::array<char, 128> link;
    const ssize_t length = readlink("/proc/self/ns/pid", link.data(), link.size());
    if (length > 0) id.pid_space.assign(link.data(), static_cast<size_t>(length));
    id.pid = getpid();
    if (const auto stat = read_process_stat(id.pid)) id.start_time = stat->start_time;
    return id;
  }();
  return identity;
}

bool is_gone(const ProcessIdentity& holder) {
  const ProcessIdentity& self = ProcessIdentity::self();
  if (holder.boot_id != self.boot_id) return true;
  if (holder.pid_space != self.pid_space || holder.pid_space.empty()) return false;
  if (holder.pid == self.pid && holder.start_time == self.start_time) return false;
  if (kill(static_cast<pid_t>(holder.pid), 0) != 0 && errno == ESRCH) return true;
  const auto stat = read_process_stat(holder.pid);
  if (!stat) return false;
  return stat->state == 'Z' || stat->state == 'X' || stat->start_time != holder.start_time;
}

// ---- WriteContext

Result<uint64_t> WriteContext::log_change(std::string_view path, const std::string* data, bool ephemeral) {
  uint64_t revision = 1;
  {
    auto query = connection_.query("SELECT max(revision) FROM history");
    ASSIGN_OR_RETURN(const bool row, query.step());
    if (row) revision = query.number(0) + 1;
  }
  auto insert =
      connection_.query("INSERT INTO history(revision, path, data, ephemeral, wall_ms) VALUES (?, ?, ?, ?, ?)");
  insert.bind(revision).bind_text(path);
  if (data == nullptr)
    insert.bind_null();
  else
    insert.bind_blob(*data);
  RETURN_IF_ERROR(insert.bind(int64_t{ephemeral}).bind(wall_ms_).run());
  return revision;
}

Status WriteContext::delete_lease(uint64_t id, std::string_view path) {
  RETURN_IF_ERROR(connection_.query("DELETE FROM leases WHERE id = ?").bind(id).run());
  RETURN_IF_ERROR(connection_.query("DELETE FROM records WHERE path = ? AND lease = ?").bind_text(path).bind(id).run());
  if (connection_.changes() == 0) return {};
  ASSIGN_OR_RETURN(const uint64_t revision, log_change(path, nullptr, true));
  (void)revision;
  return {};
}

Status WriteContext::purge_dead_leases(std::string_view dir) {
  std::vector<std::pair<uint64_t, std::string>> dead;
  {
    auto query = connection_.query("SELECT id, path, expires_ms, boot_id, pid_space, pid, start_time FROM leases");
    for (;;) {
      ASSIGN_OR_RETURN(const bool row, query.step());
      if (!row) break;
      std::string path = query.bytes(1);
      if (!dir.empty() && !(path.starts_with(dir) && path.size() > dir.size() && path[dir.size()] == '/')) continue;
      const bool expired = query.integer(2) <= now_ms_;
      const ProcessIdentity holder{query.bytes(3), query.bytes(4), query.integer(5), query.integer(6)};
      if (expired || is_gone(holder)) dead.emplace_back(query.number(0), std::move(path));
    }
  }
  for (const auto& [id, path] : dead) RETURN_IF_ERROR(delete_lease(id, path));
  return {};
}

// ---- Opening

Database::Database(std::string file, const base::Clock& clock, std::shared_ptr<internal::WatchHub> hub)
    : file_(std::move(file)), clock_(clock), hub_(std::move(hub)) {}

Result<std::shared_ptr<Database>> Database::open(const std::string& file, const base::Clock& clock,
                                                 std::shared_ptr<internal::WatchHub> hub) {
  std::shared_ptr<Database> database(new Database(file, clock, std::move(hub)));
  RETURN_IF_ERROR(database->prepare());
  database->writing_ = std::thread([raw = database.get()] {
    pthread_setname_np(pthread_self(), "topo-write");
    raw->write_loop();
  });
  database->attendant_ = std::thread([raw = database.get()] {
    pthread_setname_np(pthread_self(), "topo-watch");
    raw->attend();
  });
  return database;
}

Status Database::prepare() {
  ASSIGN_OR_RETURN(writer_, Connection::open(file_));
  // Several processes may do this at the same time; SQLite does not always wait for the others here.
  const auto deadline = std::chrono::steady_clock::now() + kOpenPatience;
  for (;;) {
    Status status = writer_->exec("PRAGMA journal_mode = WAL");
    if (status.ok()) break;
    if (status.error().code() != Code::kUnavailable || std::chrono::steady_clock::now() > deadline) return status;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  RETURN_IF_ERROR(writer_->exec("BEGIN IMMEDIATE"));
  const auto pragma = [&](const char* sql) -> Result<int64_t> {
    auto query = writer_->query(sql);
    ASSIGN_OR_RETURN(const bool row, query.step());
    return row ? query.integer(0) : 0;
  };
  ASSIGN_OR_RETURN(const int64_t application, pragma("PRAGMA application_id"));
  ASSIGN_OR_RETURN(const int64_t format, pragma("PRAGMA user_version"));
  ASSIGN_OR_RETURN(const int64_t tables, pragma("SELECT count(*) FROM sqlite_schema"));
  if (tables > 0 && application != kApplicationId) {
    return fail(Code::kDataLoss, file_ + " is a database of another program");
  }
  if (format > kFormat) {
    return fail(
        Code::kFailedPrecondition,
        fmt::format("{} has format {}, this program knows up to {}: use a newer release", file_, format, kFormat));
  }
  if (tables == 0) {
    RETURN_IF_ERROR(writer_->exec(R"(
      CREATE TABLE records(id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, data BLOB NOT NULL,
                           version INTEGER NOT NULL, lease INTEGER) STRICT;
      CREATE TABLE leases(id INTEGER PRIMARY KEY, path TEXT NOT NULL, ttl_ms INTEGER NOT NULL,
                          expires_ms INTEGER NOT NULL, boot_id TEXT NOT NULL, pid_space TEXT NOT NULL,
                          pid INTEGER NOT NULL, start_time INTEGER NOT NULL) STRICT;
      CREATE TABLE history(revision INTEGER PRIMARY KEY, path TEXT NOT NULL, data BLOB, ephemeral INTEGER NOT NULL,
                           wall_ms INTEGER NOT NULL) STRICT;
      CREATE TABLE meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
      INSERT INTO meta VALUES ('trimmed', 0);
      PRAGMA application_id = 0x56545250;
      PRAGMA user_version = 1;
    )"));
  }
  RETURN_IF_ERROR(writer_->exec("COMMIT"));

  {
    auto query = writer_->query("SELECT max(revision) FROM history");
    ASSIGN_OR_RETURN(const bool row, query.step());
    if (row) seen_revision_ = query.number(0);
  }
  wakeup_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wakeup_ < 0) return fail(Code::kResourceExhausted, fmt::format("eventfd: {}", std::strerror(errno)));
  const std::string notify_path = file_ + "-notify";
  notify_file_ = ::open(notify_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (notify_file_ < 0) {
    return fail(Code::kPermissionDenied, fmt::format("cannot open {}: {}", notify_path, std::strerror(errno)));
  }
  // Without inotify (a user's instances and watches are limited) changes of other processes are found by looking.
  inotify_ = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  if (inotify_ >= 0 && inotify_add_watch(inotify_, notify_path.c_str(), IN_MODIFY) < 0) {
    close(inotify_);
    inotify_ = -1;
  }
  return {};
}

Database::~Database() {
  if (attendant_.joinable()) {
    {
      const std::lock_guard lock(attendant_mutex_);
      stopping_ = true;
    }
    wake_attendant();
    attendant_.join();
  }
  if (writing_.joinable()) {
    {
      const std::lock_guard lock(writes_mutex_);
      writer_stopping_ = true;
    }
    writes_changed_.notify_one();
    writing_.join();
  }
  for (const int fd : {notify_file_, inotify_, wakeup_}) {
    if (fd >= 0) close(fd);
  }
}

int64_t Database::now_ms() const { return to_ms(clock_.now().time_since_epoch()); }

// ---- Reading

Result<std::unique_ptr<Connection>> Database::take_reader() {
  {
    const std::lock_guard lock(readers_mutex_);
    if (!readers_.empty()) {
      auto connection = std::move(readers_.back());
      readers_.pop_back();
      return connection;
    }
  }
  return Connection::open(file_);
}

void Database::give_reader(std::unique_ptr<Connection> connection) {
  constexpr size_t kIdleReaders = 4;
  const std::lock_guard lock(readers_mutex_);
  if (readers_.size() < kIdleReaders) readers_.push_back(std::move(connection));
}

// ---- Writing

void Database::submit(WriteJob* job) {
  {
    const std::lock_guard lock(writes_mutex_);
    if (writes_.size() < kMaxQueuedWrites) {
      writes_.push_back(job);
      job = nullptr;
    }
  }
  if (job == nullptr) return writes_changed_.notify_one();
  job->fail(Error(Code::kResourceExhausted, "too many writes to the topology at once"));
  auto done = std::move(job->done);
  done();
}

void Database::write_later(std::move_only_function<Status(WriteContext&)> work) {
  auto* job = new WriteJob;
  job->run = [work = std::move(work)](WriteContext& context) mutable { return work(context).ok(); };
  job->fail = [](const Error&) {};
  job->done = [job] { delete job; };
  submit(job);
}

void Database::write_loop() {
  std::vector<WriteJob*> batch;
  std::unique_lock lock(writes_mutex_);
  for (;;) {
    writes_changed_.wait(lock, [this] { return !writes_.empty() || writer_stopping_; });
    if (writes_.empty()) return;
    const size_t count = std::min(writes_.size(), kMaxWritesPerCommit);
    batch.assign(writes_.begin(), writes_.begin() + static_cast<ptrdiff_t>(count));
    writes_.erase(writes_.begin(), writes_.begin() + static_cast<ptrdiff_t>(count));
    lock.unlock();
    commit_batch(batch);
    lock.lock();
  }
}

void Database::commit_batch(std::vector<WriteJob*>& batch) {
  base::TimePoint deadline = base::TimePoint::min();
  for (const WriteJob* job : batch) deadline = std::max(deadline, job->deadline);
  const auto patience =
      std::clamp<base::Duration>(deadline == base::TimePoint::max() ? base::Duration(std::chrono::seconds(15))
                                                                    : deadline - base::system_clock().now(),
                                 std::chrono::milliseconds(10), std::chrono::seconds(60));
  writer_->set_busy_limit(std::chrono::duration_cast<std::chrono::milliseconds>(patience));
  const Status status = run_batch(batch);
  if (!status.ok()) {
    if (writer_->in_transaction()) (void)writer_->exec("ROLLBACK");
    for (WriteJob* job : batch) {
      if (job->succeeded) job->fail(status.error());
    }
  } else if (std::ranges::any_of(batch, &WriteJob::succeeded)) {
    notify();
  }
  for (WriteJob* job : batch) {
    // What done() resumes may destroy the job at once.
    auto done = std::move(job->done);
    done();
  }
}

Status Database::run_batch(std::vector<WriteJob*>& batch) {
  for (WriteJob* job : batch) job->succeeded = true;  // Until it is known better: whoever succeeded hears of a failure.
  RETURN_IF_ERROR(writer_->exec("BEGIN IMMEDIATE"));
  const int64_t wall_ms = to_ms(clock_.wall_now().time_since_epoch());
  for (WriteJob* job : batch) {
    if (job->deadline <= base::system_clock().now()) {
      job->succeeded = false;
      job->fail(Error(Code::kDeadlineExceeded, "a write to the topology waited longer than allowed"));
      continue;
    }
    RETURN_IF_ERROR(writer_->query("SAVEPOINT one").run());
    WriteContext context(*writer_, now_ms(), wall_ms);
    job->succeeded = job->run(context);
    // Some failures (a full disk) end the whole transaction.
    if (!writer_->in_transaction())
      return fail(Code::kUnavailable, "a write to the topology failed: no space, or an I/O error");
    if (!job->succeeded) RETURN_IF_ERROR(writer_->query("ROLLBACK TO one").run());
    RETURN_IF_ERROR(writer_->query("RELEASE one").run());
  }
  RETURN_IF_ERROR(trim_history(*writer_));
  Status committed = writer_->exec("COMMIT");
  if (committed.ok()) committed = writer_->sync_log();
  if (!committed.ok()) return std::move(committed).error().with_effect(Effect::kUnknown);
  return {};
}

Status Database::trim_history(Connection& connection) {
  int64_t newest = 0;
  {
    auto query = connection.query("SELECT max(revision) FROM history");
    ASSIGN_OR_RETURN(const bool row, query.step());
    if (row) newest = query.integer(0);
  }
  constexpr int64_t kTrimEvery = 256;
  if (newest - last_trim_ < kTrimEvery) return {};
  last_trim_ = newest;
  int64_t limit = newest - kMaxHistoryRevisions;
  {
    // The revision at which the data of all newer ones fill the budget.
    auto query = connection.query(
        "SELECT revision FROM (SELECT revision, sum(length(data)) OVER (ORDER BY revision DESC) AS size FROM history)"
        " WHERE size > ? ORDER BY revision DESC LIMIT 1");
    query.bind(kMaxHistoryBytes);
    ASSIGN_OR_RETURN(const bool row, query.step());
    if (row) limit = std::max(limit, query.integer(0));
  }
  limit = std::min(limit, newest - 1);  // The newest one stays: it carries the count on.
  if (limit <= 0) return {};
  RETURN_IF_ERROR(connection.query("DELETE FROM history WHERE revision <= ?").bind(limit).run());
  if (connection.changes() == 0) return {};
  return connection.query("UPDATE meta SET value = ? WHERE key = 'trimmed'").bind(limit).run();
}

void Database::notify() {
  // After the commit, so that whoever wakes up sees it. A process killed in between leaves the news to the others'
  // polls.
  const uint64_t now = static_cast<uint64_t>(now_ms());
  const ssize_t written = pwrite(notify_file_, &now, sizeof now, 0);
  if (written != sizeof now || inotify_ < 0) wake_attendant();
}

// ---- The background thread

void Database::keep_renewed(uint64_t id, std::chrono::milliseconds ttl) {
  {
    const std::lock_guard lock(attendant_mutex_);
    renewals_[id] = Renewal{ttl, clock_.now() + ttl / 3};
  }
  wake_attendant();
}

void Database::stop_renewing(uint64_t id) {
  const std::lock_guard lock(attendant_mutex_);
  renewals_.erase(id);
}

void Database::wake_attendant() {
  const uint64_t one = 1;
  const ssize_t written = ::write(wakeup_, &one, sizeof one);
  CHECK(written == sizeof one || errno == EAGAIN);
}

void Database::attend() {
  std::unique_ptr<Connection> connection;
  base::TimePoint last_lease_check;
  for (;;) {
    bool holding = false;
    {
      const std::lock_guard lock(attendant_mutex_);
      if (stopping_) return;
      holding = !renewals_.empty();
    }
    const auto interval = holding ? kLeaseCheckInterval : kPollInterval;
    const auto rest = inotify_ < 0 ? kBlindPollInterval : interval;
    pollfd descriptors[2] = {{wakeup_, POLLIN, 0}, {inotify_, POLLIN, 0}};
    poll(descriptors, 2, static_cast<int>(rest.count()));
    drain_descriptor(wakeup_);
    if (inotify_ >= 0) drain_descriptor(inotify_);
    if (!connection) {
      auto opened = Connection::open(file_);
      if (!opened.ok()) continue;  // Again at the next poll.
      connection = std::move(*opened);
    }
    Status status = read_changes(*connection);
    renew_due();
    const auto now = base::system_clock().now();
    if (status.ok() && now - last_lease_check >= interval) {
      last_lease_check = now;
      status = check_leases(*connection);
    }
    if (!status.ok() && connection->in_transaction()) connection.reset();
  }
}

Status Database::read_changes(Connection& connection) {
  std::vector<internal::TreeChange> changes;
  std::optional<internal::TreeSnapshot> whole;
  uint64_t newest = seen_revision_;
  RETURN_IF_ERROR(connection.exec("BEGIN"));
  {
    auto query = connection.query("SELECT value FROM meta WHERE key = 'trimmed'");
    ASSIGN_OR_RETURN(const bool row, query.step());
    if (row && query.number(0) > seen_revision_) whole.emplace();
  }
  {
    auto query = connection.query("SELECT revision, path, ephemeral FROM history WHERE revision > ? ORDER BY revision");
    query.bind(seen_revision_);
    for (;;) {
      ASSIGN_OR_RETURN(const bool row, query.step());
      if (!row) break;
      newest = query.number(0);
      if (whole) continue;
      internal::TreeChange change{
          .path = query.bytes(1), .data = {}, .revision = newest, .ephemeral = query.integer(2) != 0};
      // A watch made after this question reads the state after this transaction began, which has the change.
      if (!hub_->wants(change.path, change.ephemeral)) continue;
      auto data = connection.query("SELECT data FROM history WHERE revision = ?");
      data.bind(newest);
      ASSIGN_OR_RETURN(const bool found, data.step());
      if (found && !data.is_null(0)) change.data = data.bytes(0);
      changes.push_back(std::move(change));
    }
  }
  if (whole) {
    whole->revision = newest;
    auto query = connection.query("SELECT path, data, version, lease IS NOT NULL FROM records");
    for (;;) {
      ASSIGN_OR_RETURN(const bool row, query.step());
      if (!row) break;
      whole->records.push_back({query.bytes(0), query.bytes(1), query.number(2), query.integer(3) != 0});
    }
  }
  RETURN_IF_ERROR(connection.exec("COMMIT"));
  seen_revision_ = newest;
  if (whole) hub_->resync(*whole);
  if (!changes.empty()) hub_->publish(changes);
  return {};
}

Status Database::check_leases(Connection& connection) {
  bool dead = false;
  {
    auto query = connection.query("SELECT expires_ms, boot_id, pid_space, pid, start_time FROM leases");
    const int64_t now = now_ms();
    for (;;) {
      ASSIGN_OR_RETURN(const bool row, query.step());
      if (!row) break;
      dead |= query.integer(0) <= now ||
              is_gone(ProcessIdentity{query.bytes(1), query.bytes(2), query.integer(3), query.integer(4)});
    }
  }
  if (dead) write_later([](WriteContext& context) { return context.purge_dead_leases(""); });
  return {};
}

void Database::renew_due() {
  std::vector<std::pair<uint64_t, int64_t>> due;
  {
    const std::lock_guard lock(attendant_mutex_);
    const auto now = clock_.now();
    for (auto& [id, renewal] : renewals_) {
      if (renewal.next > now) continue;
      renewal.next = now + renewal.ttl / 3;
      due.emplace_back(id, renewal.ttl.count());
    }
  }
  if (due.empty()) return;
  write_later([due = std::move(due)](WriteContext& context) -> Status {
    for (const auto& [id, ttl_ms] : due) {
      // A lease that somebody removed stays removed; its holder finds out by check_held().
      RETURN_IF_ERROR(context.connection()
                          .query("UPDATE leases SET expires_ms = ? WHERE id = ?")
                          .bind(context.now_ms() + ttl_ms)
                          .bind(id)
                          .run());
    }
    return {};
  });
}

}  // namespace vitrail::topo::sqlite
