#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "mysql/gtid.h"
#include "mysqld/flavor.h"
#include "net/mysql_client.h"

namespace vitrail::movement {

// How to log in to the tablet's own server.
struct ServerLogin {
  net::MysqlAddress address;
  std::string user;
  std::string password;
  std::string sidecar = {};  // Name of the database of the tablet's own tables; empty: _vt.
};

// A connection to the tablet's own server with its flavor, set up for one purpose.
//
//   Sidecar : statements say _vt; the server gets the name that the login has for it.
//   Owns    : the connection; closed on destruction.
//   Threads : the loop on which open() ran. One command at a time.
class ServerSession {
 public:
  static net::Task<Result<std::unique_ptr<ServerSession>>> open(ServerLogin login, mysqld::ConnectionPurpose purpose,
                                                                net::Wait wait);
  ~ServerSession() { client_.close(); }
  ServerSession(const ServerSession&) = delete;
  ServerSession& operator=(const ServerSession&) = delete;

  net::MysqlClient& client() { return client_; }
  const mysqld::Flavor& flavor() const { return *flavor_; }

  net::Task<Result<net::QueryResult>> query(std::string sql, net::Wait wait);
  // The rows in the form that mysqld/ reads.
  net::Task<Result<mysqld::Rows>> rows(std::string sql, net::Wait wait);
  // Runs statements one after the other and stops at the first error.
  net::Task<Status> run(std::vector<std::string> statements, net::Wait wait);
  // Runs "a; b; c" as one message: one round trip, and the server stops at the first error (nothing after it has run).
  // None may return rows. The OKs of the statements, in order.
  net::Task<Result<std::vector<mysql::OkPacket>>> script(std::string sql, net::Wait wait);

 private:
  ServerSession(net::MysqlClient client, std::unique_ptr<mysqld::Flavor> flavor, std::string sidecar)
      : client_(std::move(client)), flavor_(std::move(flavor)), sidecar_(std::move(sidecar)) {}

  net::MysqlClient client_;
  std::unique_ptr<mysqld::Flavor> flavor_;
  const std::string sidecar_;
};

mysqld::Rows to_rows(const net::QueryResult& result);

// What the server has executed.
net::Task<Result<mysql::Position>> current_position(ServerSession& session, net::Wait wait);

// Opens a transaction on `session` that sees exactly the transactions of the position that is returned. `names`: of the
// tables that will be read, quoted. `lock`: a second connection, opened where the flavor needs one and it is null.
net::Task<Result<mysql::Position>> begin_snapshot(ServerSession& session, std::unique_ptr<ServerSession>& lock,
                                                  ServerLogin login, std::vector<std::string> names, net::Wait wait);

}  // namespace vitrail::movement
