#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "net/mysql_client.h"
#include "net/mysql_pool.h"

namespace vitrail::net {

// One result set that is read row by row: what MysqlClient::query() reads whole.
//
//   Owns    : nothing; `connection` must outlive it, and is busy from begin() until next() has given nullopt or an
//   error. Threads : the connection's loop. Errors  : an ERR of the server as MysqlClient says; after anything else the
//   connection is broken.
class ResultStream {
 public:
  explicit ResultStream(PooledConnection& connection) : connection_(&connection) {}

  // Runs a statement up to its columns. Without columns there are no rows, and ok() is there.
  //   `all_digits`: by a prepared statement, so that numbers come with all their digits: where the text of a FLOAT has
  //   six and that of a DOUBLE may have as many as its column says. Rows are texts that give the same numbers again.
  Task<Status> begin(std::string sql, std::vector<mysql::QueryAttribute> attributes, bool all_digits, Wait wait);
  const std::vector<mysql::ColumnDef>& columns() const { return columns_; }

  // The next row, as the payload of a message of the text protocol; it lives until the next call. nullopt: that was
  // all.
  Task<Result<std::optional<std::string_view>>> next(Wait wait);
  // A further row that has already come, as next() would return it. nullopt: only next() knows. What was returned last
  // is gone.
  std::optional<std::string_view> next_waiting();
  // Of the end.
  const mysql::OkPacket& ok() const { return ok_; }

 private:
  Task<Status> read_head(Wait wait);
  Status as_text(std::string_view payload);  // A row in binary form, into text_.
  Error server_error(std::string_view payload);
  Error broken(Error error);

  PooledConnection* connection_;
  std::vector<mysql::ColumnDef> columns_;
  mysql::OkPacket ok_;
  bool binary_ = false;
  bool ended_ = true;
  std::string text_;  // Of a row that came in binary form.
};

}  // namespace vitrail::net
