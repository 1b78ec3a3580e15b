#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/memory_budget.h"
#include "base/result.h"
#include "mysql/client_handshake.h"
#include "mysql/messages.h"
#include "mysql/statements.h"
#include "mysql/types.h"
#include "net/packet_stream.h"

namespace vitrail::net {

class Carriers;

// Where a MySQL server listens: a unix socket when its path is given, else host and port; and how to speak to it there.
struct MysqlAddress {
  std::string host;
  uint16_t port = 0;
  std::string unix_socket;
  std::shared_ptr<const TlsContext> tls;  // Null: plain text. Not used on the unix socket, which nobody listens to.
  std::string to_string() const;
};

struct MysqlClientSettings {
  MysqlAddress address;
  mysql::ClientAuthSettings auth;  // User, password, database, capabilities, collation. What concerns TLS is set here.
  size_t max_message = size_t{1} << 30;
  Carriers* carriers =
      nullptr;  // Not null: streams of these, where the other side knows of them. It outlives connect().
};

// A result set (or an OK), whole in memory.
struct QueryResult {
  std::vector<mysql::ColumnDef> columns;  // Empty: an OK without rows.
  std::vector<std::vector<std::optional<std::string>>> rows;
  mysql::OkPacket ok;

  // The text of a cell; "" for NULL or when there is no such cell.
  std::string_view text(size_t row, size_t column) const;
};

// One logged-in connection to a MySQL or MariaDB server (or to a vttablet's data port).
//
//   Owns    : the socket. Move-only. One command at a time.
//   Threads : the loop on which connect() ran.
//   Errors  : an ERR of the server becomes an Error with its errno (mysql::from_err_packet; a tablet's own errors are
//   decoded
//             by mysql::decode_tablet_error). After any other error the connection is broken(): close it.
class MysqlClient {
 public:
  static Task<Result<MysqlClient>> connect(MysqlClientSettings settings, Wait wait);
  // A connection whose login both sides did without: to a session of this process.
  static MysqlClient over(PacketStream stream, mysql::Capabilities capabilities);
  MysqlClient(MysqlClient&&) noexcept = default;
  MysqlClient& operator=(MysqlClient&&) noexcept = default;

  // Runs one statement and reads its whole answer. Of several result sets the last one is returned.
  //   kResourceExhausted when there are more than `max_rows` rows (the rest is read and dropped), or when `memory` does
  //   not take them (its own error; with `give_up` the connection is broken then, instead of reading the rest).
  // `attributes` are sent when the server understands query attributes, else they are dropped.
  Task<Result<QueryResult>> query(std::string sql, Wait wait, size_t max_rows = 1'000'000,
                                  std::vector<mysql::QueryAttribute> attributes = {},
                                  base::MemoryBudget::Hold* memory = nullptr, bool give_up = false);
  // Writes all statements at once, then reads all answers: one round trip. Stops at the first error (the later
  // statements have run or failed on the server all the same); returns the OKs, results with rows are dropped.
  Task<Result<std::vector<mysql::OkPacket>>> pipeline(std::vector<std::string> statements, Wait wait);
  // LOAD DATA LOCAL INFILE: the server's request is answered with `data`.
  Task<Result<mysql::OkPacket>> load_local(std::string sql, std::string_view data, Wait wait);

  // Runs a statement of either kind up to its columns: with rows go on with next_rows(), until it returns false, else
  // the OK is there.
  Task<Result<QueryResult>> query_begin(std::string sql, Wait wait);
  // What a statement would return, and how many parameters it has; prepares it and closes it again.
  struct Shape {
    std::vector<mysql::ColumnDef> columns;
    uint16_t parameters = 0;
  };
  Task<Result<Shape>> describe(std::string sql, Wait wait);

  // Streams a result set: start, then next_rows() until it returns false. The connection is busy until then.
  Task<Result<std::vector<mysql::ColumnDef>>> query_stream(std::string sql, Wait wait);
  // Calls `row` for each row that has arrived (at least one, unless it is the end); cells are views valid in the call.
  // False at the end of the result set.
  Task<Result<bool>> next_rows(std::function<void(std::span<const mysql::Cell>)> row, Wait wait);

  Task<Status> ping(Wait wait);
  // Sends COM_QUIT without waiting for anything, and closes.
  Task<void> quit();
  void close() { stream_.socket().close(); }

  // For relays: the raw stream, and what was negotiated.
  PacketStream& stream() { return stream_; }
  mysql::Capabilities capabilities() const { return capabilities_; }
  const mysql::HandshakeV10& server() const { return server_; }
  // Writes one command (payload with its command byte).
  Task<Status> send(std::string_view payload, Wait wait);
  // Reads one message; the end of the stream is an error.
  Task<Result<mysql::MessageReader::Message>> receive(Wait wait);

  bool broken() const { return broken_ || !stream_.socket().open(); }
  void set_broken() { broken_ = true; }
  // Whether a pooled connection is still good: nothing arrived unasked, and the server has not hung up.
  // `ask`: see Socket::has_input.
  bool idle_ok(bool ask = true) { return !broken() && !stream_.socket().has_input(ask); }

 private:
  MysqlClient(PacketStream stream, mysql::HandshakeV10 server, mysql::Capabilities capabilities);
  static Task<Result<MysqlClient>> log_in(MysqlClientSettings settings, Socket socket, Wait wait);
  Task<Result<std::vector<mysql::ColumnDef>>> read_columns(uint64_t count, Wait wait);
  Task<Result<QueryResult>> read_result(Wait wait, size_t max_rows, base::MemoryBudget::Hold* memory = nullptr,
                                        bool give_up = false);
  Error server_error(std::string_view payload);

  PacketStream stream_;
  mysql::HandshakeV10 server_;
  mysql::Capabilities capabilities_;
  bool broken_ = false;
  size_t stream_columns_ = 0;  // Of the result set under way.
  std::vector<mysql::Cell> cells_;
};

}  // namespace vitrail::net
