#pragma once

#include <memory>
#include <span>
#include <string>

#include "base/result.h"
#include "movement/server_session.h"
#include "mysql/binlog_stream.h"

namespace vitrail::movement {

// Reads the binary log of the tablet's own server as a replica would, from a position on, for ever.
//
//   Threads : one loop. One next() at a time.
//   Owns    : the connection.
class LogReader {
 public:
  // An empty position of any flavor: from the oldest event.
  static net::Task<Result<std::unique_ptr<LogReader>>> open(ServerLogin login, mysql::Position from, net::Wait wait);

  // Waits for one event and gives its items, often none. They are valid until the next call of next() or waiting().
  //   kUnavailable: the server ended the dump, or was silent for longer than its heartbeats allow.
  //   kFailedPrecondition: the position is not in the server's log (it was purged, or is of another server).
  net::Task<Result<std::span<const mysql::BinlogItem>>> next(net::CancelToken cancel);
  // Whether next() would return at once.
  bool waiting() { return session_->client().stream().message_waiting(); }

  const mysql::BinlogStreamParser& parser() const { return parser_; }

 private:
  LogReader(std::unique_ptr<ServerSession> session, mysql::Position from);

  std::unique_ptr<ServerSession> session_;
  mysql::BinlogStreamParser parser_;
};

}  // namespace vitrail::movement
