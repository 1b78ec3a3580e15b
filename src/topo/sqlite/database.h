#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/check.h"
#include "base/clock.h"
#include "net/loop.h"
#include "topo/sqlite/connection.h"
#include "topo/watch_hub.h"

// Internal to topo/sqlite: one database file, as this process uses it.
namespace vitrail::topo::sqlite {

// How often the background thread looks without being told to.
inline constexpr std::chrono::milliseconds kPollInterval{500};
inline constexpr std::chrono::milliseconds kBlindPollInterval{20};    // Where inotify is not to be had.
inline constexpr std::chrono::milliseconds kLeaseCheckInterval{100};  // While anybody holds or waits for a lock.
// History: at most so many changes and so many bytes of data are remembered.
inline constexpr int64_t kMaxHistoryRevisions = 8192;
inline constexpr int64_t kMaxHistoryBytes = 64 << 20;
inline constexpr size_t kMaxQueuedWrites = 65'536;
inline constexpr size_t kMaxWritesPerCommit = 256;

// Who holds a lease, so that others on the machine can see whether it is still there.
struct ProcessIdentity {
  std::string boot_id;    // Changes with every start of the machine: leases do not survive it.
  std::string pid_space;  // Process numbers mean nothing in another pid namespace.
  int64_t pid = 0;
  int64_t start_time = 0;  // In clock ticks since the machine started; tells a reused pid from the old one.

  static const ProcessIdentity& self();
};
// The process has ended for sure. False when it cannot be told (another namespace).
bool is_gone(const ProcessIdentity& holder);

// A write transaction as one operation sees it: a savepoint in a transaction that several operations may share.
class WriteContext {
 public:
  WriteContext(Connection& connection, int64_t now_ms, int64_t wall_ms)
      : connection_(connection), now_ms_(now_ms), wall_ms_(wall_ms) {}
  Connection& connection() { return connection_; }
  int64_t now_ms() const { return now_ms_; }  // Monotonic time of the machine, for leases.
  // Notes a change in the history and returns its revision.
  Result<uint64_t> log_change(std::string_view path, const std::string* data, bool ephemeral);
  // Deletes the entries of dead holders below `dir` (a lock's directory), or everywhere when it is empty.
  Status purge_dead_leases(std::string_view dir);
  Status delete_lease(uint64_t id, std::string_view path);

 private:
  Connection& connection_;
  const int64_t now_ms_;
  const int64_t wall_ms_;
};

// One database file in this process: a pool of reading connections, one writing connection that commits whatever is
// queued in one transaction, and a thread that looks for changes, renews leases and removes dead ones.
//
//   Threads: any. Owned by shared pointers; the thread ends with the last of them.
class Database : public std::enable_shared_from_this<Database> {
 public:
  // Opens and prepares the file. Blocks: call it through net::offload. Once per file and process: SQLite forgets its
  // file locks when a process closes a second descriptor of the same file behind its back.
  static Result<std::shared_ptr<Database>> open(const std::string& file, const base::Clock& clock,
                                                std::shared_ptr<internal::WatchHub> hub);
  ~Database();

  // Runs `work(Connection&)` -> Result<T> in a read transaction on a helper thread.
  template <typename Work>
  auto read(Work work) -> net::Task<decltype(work(std::declval<Connection&>()))> {
    using T = decltype(work(std::declval<Connection&>()));
    const auto self = shared_from_this();
    co_return co_await net::offload([self = self.get(), &work]() -> T { return self->read_now<T>(work); });
  }

  // Runs `work(WriteContext&)` -> Result<T> in a write transaction. An Error undoes what it did. Returns when it is on
  // disk.
  template <typename Work>
  auto write(Work work, net::Wait wait) -> net::Task<decltype(work(std::declval<WriteContext&>()))> {
    using T = decltype(work(std::declval<WriteContext&>()));
    const auto self = shared_from_this();
    std::optional<T> result;
    WriteJob job;
    job.deadline = wait.deadline;
    job.run = [&](WriteContext& context) {
      result.emplace(work(context));
      return result->has_value();
    };
    job.fail = [&](Error error) { result.emplace(std::move(error)); };
    co_await WriteAwaiter{*this, job};
    co_return std::move(*result);
  }
  // The same without waiting; errors are nobody's.
  void write_later(std::move_only_function<Status(WriteContext&)> work);

  // Leases that the background thread renews.
  void keep_renewed(uint64_t id, std::chrono::milliseconds ttl);
  void stop_renewing(uint64_t id);

  int64_t now_ms() const;
  const std::string& file() const { return file_; }

 private:
  struct WriteJob {
    base::TimePoint deadline = base::TimePoint::max();
    std::move_only_function<bool(WriteContext&)> run;  // False: undo.
    std::move_only_function<void(Error)> fail;
    std::move_only_function<void()> done;
    bool succeeded = false;
  };
  struct WriteAwaiter {
    Database& database;
    WriteJob& job;
    bool await_ready() const { return false; }
    void await_suspend(std::coroutine_handle<> handle) {
      net::Loop* loop = net::Loop::current();
      CHECK(loop != nullptr);
      job.done = [loop, handle] { loop->post([handle] { handle.resume(); }); };
      database.submit(&job);
    }
    void await_resume() const {}
  };
  struct Renewal {
    std::chrono::milliseconds ttl{};
    base::TimePoint next;
  };

  Database(std::string file, const base::Clock& clock, std::shared_ptr<internal::WatchHub> hub);
  Status prepare();

  template <typename T, typename Work>
  T read_now(Work& work) {
    auto connection = take_reader();
    if (!connection.ok()) return std::move(connection).error();
    T result = read_on<T>(**connection, work);
    if (!(*connection)->in_transaction()) give_reader(std::move(*connection));  // Else it is broken, and closed here.
    return result;
  }
  template <typename T, typename Work>
  static T read_on(Connection& connection, Work& work) {
    RETURN_IF_ERROR(connection.exec("BEGIN"));
    T result = work(connection);
    RETURN_IF_ERROR(connection.exec("COMMIT"));
    return result;
  }
  Result<std::unique_ptr<Connection>> take_reader();
  void give_reader(std::unique_ptr<Connection> connection);

  void submit(WriteJob* job);
  void write_loop();
  void commit_batch(std::vector<WriteJob*>& batch);
  Status run_batch(std::vector<WriteJob*>& batch);
  Status trim_history(Connection& connection);
  void notify();

  void attend();
  Status read_changes(Connection& connection);
  Status check_leases(Connection& connection);
  void renew_due();
  void wake_attendant();

  const std::string file_;
  const base::Clock& clock_;
  const std::shared_ptr<internal::WatchHub> hub_;
  int notify_file_ = -1;
  int inotify_ = -1;
  int wakeup_ = -1;

  std::mutex readers_mutex_;
  std::vector<std::unique_ptr<Connection>> readers_;

  std::mutex writes_mutex_;
  std::condition_variable writes_changed_;
  std::deque<WriteJob*> writes_;
  bool writer_stopping_ = false;
  std::unique_ptr<Connection> writer_;  // The writing thread's own, once it runs.
  int64_t last_trim_ = 0;               // Writing thread only.
  std::thread writing_;

  std::mutex attendant_mutex_;  // Guards the next two.
  bool stopping_ = false;
  std::map<uint64_t, Renewal> renewals_;
  uint64_t seen_revision_ = 0;  // Attendant only.
  std::thread attendant_;
};

}  // namespace vitrail::topo::sqlite
