#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "movement/sidecar.h"
#include "mysqld/flavor.h"
#include "net/mysql_pool.h"
#include "tabletmanagerdata.pb.h"

namespace vitrail::tablet {

// Administration of the one MySQL or MariaDB server beside this tablet: positions, replication, read-only state,
// schema. Positions are stored texts with their flavor ("MariaDB/0-100-7").
//
//   Threads: one loop. Errors: the server's own, kUnavailable when it does not answer.
class LocalServer {
 public:
  LocalServer(net::MysqlAddress address, std::string user, std::string password);
  ~LocalServer();

  // Name of the database of the tablet's own tables; statements call it _vt. Before the first statement.
  void set_sidecar(std::string name) { sidecar_ = std::move(name); }
  const std::string& sidecar() const { return sidecar_; }
  // The statement as the server knows it.
  std::string translated(std::string sql) const { return movement::in_sidecar(std::move(sql), sidecar_); }

  // Logs in and learns the flavor. kUnavailable until the server answers.
  net::Task<Status> connect(net::Wait wait);
  const mysqld::Flavor& flavor() const { return *flavor_; }
  const net::MysqlAddress& address() const { return address_; }

  // One statement on a connection of the pool, with an optional default database.
  net::Task<Result<net::QueryResult>> query(std::string sql, net::Wait wait, std::string database = "",
                                            size_t max_rows = 1'000'000);
  struct Account {
    std::string user;
    std::string password;
  };
  // One statement of another account, on a connection made for it.
  net::Task<Result<net::QueryResult>> query_as(Account account, std::string database, std::string sql, size_t max_rows,
                                               net::Wait wait);
  // Several on one connection, stopping at the first error.
  net::Task<Status> run(std::vector<std::string> statements, net::Wait wait);
  net::Task<Result<net::MysqlPool::Lease>> connection(net::Wait wait) { return pool_->acquire("", std::move(wait)); }

  // "MariaDB/" or "MySQL56/": what stored positions begin with.
  std::string flavor_prefix() const;
  // A stored position as the server spells it. kInvalidArgument for one of another flavor.
  Result<std::string> bare_position(std::string_view stored) const;
  net::Task<Result<std::string>> position(net::Wait wait);
  // Waits until `position` is executed here.
  net::Task<Status> wait_for_position(std::string position, net::Wait wait);
  net::Task<Result<mysqld::ReplicationStatus>> replication_status(net::Wait wait);
  net::Task<Status> set_read_only(bool read_only, net::Wait wait);
  // Makes it read-only, also while commits wait for an acknowledgement that does not come (which a server does not
  // interrupt): after `patience` their sessions are killed. Their clients hear that the connection is lost, and not
  // that the commit succeeded.
  net::Task<Status> stop_writes(base::Duration patience, net::Wait wait);

  // Semi-synchronous replication. `source`: commits here wait for an acknowledgement; `replica`: this server sends
  // them. Changes only what differs; true when something did. A receiving thread takes it over when it starts the next
  // time.
  //   kFailedPrecondition: the server lacks the plugins (and something is to be switched on).
  net::Task<Result<bool>> set_semi_sync(bool source, bool replica, net::Wait wait);
  net::Task<Result<mysqld::SemiSyncStatus>> semi_sync(net::Wait wait);
  // Points replication at another server and starts it (or leaves it stopped).
  net::Task<Status> follow(std::string host, uint16_t port, bool start, net::Wait wait);
  net::Task<Status> promote(net::Wait wait);
  // Flavor::reset_all(). Who reads the binary logs meanwhile is cut off, for servers refuse to wipe logs in use.
  net::Task<Status> reset_replication(net::Wait wait);
  // Flavor::set_executed_position(), likewise.
  net::Task<Status> set_executed_position(std::string bare, net::Wait wait);

  // Tables (and views when asked) of `database`. `tables`: names or /regex/; empty: all.
  net::Task<Result<::tabletmanagerdata::SchemaDefinition>> schema(std::string database, std::vector<std::string> tables,
                                                                  std::vector<std::string> exclude, bool include_views,
                                                                  net::Wait wait);
  void close();

 private:
  net::Task<Status> run_without_log_readers(std::vector<std::string> statements, net::Wait wait);

  const net::MysqlAddress address_;
  std::string sidecar_ = movement::kSidecarDatabase;
  std::unique_ptr<net::MysqlPool> pool_;
  std::unique_ptr<mysqld::Flavor> flavor_;
};

mysqld::Rows to_rows(const net::QueryResult& result);

}  // namespace vitrail::tablet
