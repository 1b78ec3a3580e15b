#pragma once

#include <list>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "mysql/statements.h"
#include "net/mysql_client.h"
#include "net/scope.h"
#include "net/sync.h"

namespace vitrail::net {

// One connection of a pool, with what is remembered of its session.
struct PooledConnection {
  MysqlClient client;
  std::string settings;  // The SET statement that is in force; empty: the session is as after the login.
  base::TimePoint used;  // Last time it was given back.

  // Statements prepared on this connection, by text; at most max_prepared, the oldest goes.
  struct Prepared {
    mysql::PrepareOk ok;
    std::string definitions;  // Raw messages (framed) behind the answer: parameters and columns.
    std::list<std::string>::iterator order;
  };
  struct TextHash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  std::unordered_map<std::string, Prepared, TextHash, std::equal_to<>> prepared;
  std::list<std::string> prepared_order;

  size_t place = 0;  // The pool's: where it is in the list of all.
  bool on_loan = false;
  std::string noted;  // The user's own: something that holds as long as the connection and its settings do.
  bool kept = false;  // Nobody waits for its server: abort_loans() leaves it alone.

  // The statement prepared from `text`, preparing it if need be. The pointer lives until the next prepare.
  //   kAnew: in any case, for whoever wants to know what it would return now. A statement that was prepared earlier
  //   runs rightly after a change of its tables, but its definitions are those of its day.
  enum class Known : uint8_t { kUse, kAnew };
  // The same for one that is there already; else null.
  Prepared* find_prepared(std::string_view text);
  Task<Result<Prepared*>> prepare(const std::string& text, size_t max_prepared, Wait wait, Known known = Known::kUse);
};

class MysqlPool;

// One limit for several pools: the connections to one server, in whatever forms of login. When it is reached, idle
// connections of one pool make room for another one's.
//   Threads: one loop. Bounds: max_connections, max_waiting.
class PoolGroup {
 public:
  struct Options {
    size_t max_connections = 32;
    size_t max_waiting = 5000;  // Who comes when so many wait is refused at once.
    // For errors: what to raise.
    std::string connections_flag, waiting_flag;
  };
  explicit PoolGroup(Options options) : options_(std::move(options)) {}
  size_t used() const { return used_; }
  size_t waiting() const { return waiting_count_; }
  size_t max_connections() const { return options_.max_connections; }
  // Something is on loan or connecting, and for this long nothing came back: the server may stand still.
  bool stalled(base::Duration since) const { return busy_ > 0 && base::system_clock().now() - returned_ > since; }

 private:
  friend class MysqlPool;
  bool evict_idle();  // The longest idle one of all pools.

  const Options options_;
  size_t used_ = 0;  // Idle, on loan and connecting.
  size_t waiting_count_ = 0;
  // A connection is on loan or being made from now on; one came back, or could not be made.
  void begin_use() {
    if (busy_++ == 0) returned_ = base::system_clock().now();
  }
  void end_use() {
    --busy_;
    returned_ = base::system_clock().now();
  }
  size_t busy_ = 0;
  base::TimePoint returned_;  // When one came back last, or the first of those that are busy now began.
  std::vector<MysqlPool*> pools_;
  internal::WaitQueue waiting_;
};

// A bounded pool of logged-in connections to one address. Used by the tablet for its server, and by the gate for a
// tablet.
//
//   Settings: a session's settings are one SET statement. A connection with the same settings is preferred; another one
//   is
//             reset (COM_RESET_CONNECTION) and set up in one round trip.
//   Full    : acquire() waits in order for a connection to come back, and fails with kResourceExhausted (to be tried
//             again) after acquire_timeout, at the deadline, or at once when max_waiting wait already.
//   Threads : one loop. Must outlive its leases.
class MysqlPool {
 public:
  struct Options {
    size_t max_connections = 32;
    size_t max_prepared = 512;  // Per connection.
    base::Duration idle_timeout = std::chrono::minutes(30);
    base::Duration connect_timeout = std::chrono::seconds(5);
    base::Duration acquire_timeout{0};  // Longest wait for a connection; 0: as long as the caller's.
    std::shared_ptr<PoolGroup> group;   // Null: one of its own, with max_connections.
    std::string name;                   // For errors: "connections to mysqld".
    std::string setup;  // Statement that every connection runs first after its login, and after each reset.
  };
  // A connection on loan. Gives it back when destroyed, unless it is broken or discard() was called.
  class Lease {
   public:
    Lease() = default;
    Lease(MysqlPool* pool, std::unique_ptr<PooledConnection> connection);
    Lease(Lease&& other) noexcept;
    Lease& operator=(Lease&& other) noexcept;
    ~Lease() { release(); }
    explicit operator bool() const { return connection_ != nullptr; }
    PooledConnection* operator->() { return connection_.get(); }
    PooledConnection& operator*() { return *connection_; }
    MysqlPool& pool() { return *pool_; }
    void release();
    // Closes the connection instead of giving it back: its session is in an unknown state.
    void discard();

   private:
    MysqlPool* pool_ = nullptr;
    std::unique_ptr<PooledConnection> connection_;
  };

  MysqlPool(MysqlClientSettings settings, Options options);
  ~MysqlPool();

  // The same without a wait: an idle one whose settings are these; else an empty lease.
  Lease try_acquire(std::string_view settings);
  // A connection whose session is fresh but for `settings`.
  //   Errors of the login, of the SET statement (the server's own), or kResourceExhausted.
  Task<Result<Lease>> acquire(std::string settings, Wait wait);

  // Closes idle connections, and those on loan when they come back; acquire() fails from now on.
  void close();
  // Closes idle connections that are older than idle_timeout.
  void trim();
  // Ends every connection that is on loan and not kept: who uses it gets an error of the socket. For a server that is
  // lost.
  void abort_loans();
  size_t size() const { return size_; }
  size_t idle() const { return idle_.size(); }
  // Somebody has a connection of it or waits for one: it must not be destroyed.
  bool in_use() const { return acquiring_ > 0 || size_ > idle_.size(); }

 private:
  friend class PoolGroup;
  Task<Status> wait_for_room(const Wait& wait);
  std::unique_ptr<PooledConnection> take_idle(std::string_view settings, bool any);
  bool still_good(PooledConnection& connection);
  void drop_idle(size_t index);
  void keep_track(PooledConnection& connection);
  void lose_track(PooledConnection& connection);
  Lease lend(std::unique_ptr<PooledConnection> connection);
  Task<Result<Lease>> fresh(std::string settings, Wait wait);
  Task<Status> adapt(PooledConnection& connection, std::string settings, bool fresh, Wait wait);
  void give_back(std::unique_ptr<PooledConnection> connection);
  void forget();

  const MysqlClientSettings settings_;
  const Options options_;
  size_t size_ = 0;  // Idle, on loan and connecting.
  size_t acquiring_ = 0;
  bool closed_ = false;
  std::vector<std::unique_ptr<PooledConnection>> idle_;  // The most recently used one last.
  std::vector<PooledConnection*> all_;                   // Idle and on loan.
  std::shared_ptr<PoolGroup> group_;
};

}  // namespace vitrail::net
