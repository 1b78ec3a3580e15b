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
  std::unordered_map<std::string, Prepared> prepared;
  std::list<std::string> prepared_order;

  // The statement prepared from `text`, preparing it if need be. The pointer lives until the next prepare.
  Task<Result<Prepared*>> prepare(const std::string& text, size_t max_prepared, Wait wait);
};

// A bounded pool of logged-in connections to one address. Used by the tablet for its server, and by the gate for a
// tablet.
//
//   Settings: a session's settings are one SET statement. A connection with the same settings is preferred; another one
//   is
//             reset (COM_RESET_CONNECTION) and set up in one round trip.
//   Full    : acquire() waits in order for a connection to come back, and fails with kResourceExhausted at the
//   deadline. Threads : one loop. Must outlive its leases.
class MysqlPool {
 public:
  struct Options {
    size_t max_connections = 32;
    size_t max_prepared = 512;  // Per connection.
    base::Duration idle_timeout = std::chrono::minutes(30);
    base::Duration connect_timeout = std::chrono::seconds(5);
    std::string name;   // For errors: "connections to mysqld".
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

  // A connection whose session is fresh but for `settings`.
  //   Errors of the login, of the SET statement (the server's own), or kResourceExhausted.
  Task<Result<Lease>> acquire(std::string settings, Wait wait);

  // Closes idle connections, and those on loan when they come back; acquire() fails from now on.
  void close();
  // Closes idle connections that are older than idle_timeout.
  void trim();
  size_t size() const { return size_; }
  size_t idle() const { return idle_.size(); }

 private:
  Task<Result<Lease>> fresh(std::string settings, Wait wait);
  Task<Status> adapt(PooledConnection& connection, std::string settings, bool fresh, Wait wait);
  void give_back(std::unique_ptr<PooledConnection> connection);
  void forget();

  const MysqlClientSettings settings_;
  const Options options_;
  size_t size_ = 0;  // Idle, on loan and connecting.
  bool closed_ = false;
  std::vector<std::unique_ptr<PooledConnection>> idle_;  // The most recently used one last.
  internal::WaitQueue waiting_;
};

}  // namespace vitrail::net
