#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "movement/server_session.h"
#include "mysql/gtid.h"

// A primary that was replaced while nobody could ask it may hold transactions that its successor never got. It cannot
// follow before they are gone. Here they are found in its binary log, by asking the successor up to where the histories
// are the same, and taken back row by row, the newest first.
//
// What the log does not tell cannot be taken back: DDL, changes of tables without transactions or without a key, rows
// with columns left out, what a cascade of foreign keys changed. Then nothing is changed here, and the server needs a
// backup.
namespace vitrail::movement {

struct Undo {
  struct Transaction {
    std::string gtid;
    std::string redo;  // Statements that would do it again.
  };
  mysql::Position common;                 // The last that both servers have: replication goes on from here.
  std::vector<Transaction> transactions;  // That go, the oldest first.
  std::vector<std::string> statements;    // In this order; each changes one row.
  // The server counts transactions that its log does not have: writing them failed, the disk was full, and so they were
  // not committed. It must forget their numbers, also where nothing is taken back.
  bool unwritten = false;
};

struct UndoLimits {
  size_t bytes_max = 64u << 20;
};

// Whether a replica could begin at `position` on this server. MariaDB only.
net::Task<Result<bool>> serves_position(ServerLogin source, mysql::Position position, net::Wait wait);

// `own` is read-only and does not replicate. Changes nothing.
//   kNotFound: the logs do not reach back to anything that `source` has.
//   kFailedPrecondition, kResourceExhausted: cannot be taken back; the message says what.
//   kUnimplemented: not a MariaDB server.
net::Task<Result<Undo>> plan_undo(ServerLogin own, ServerLogin source, UndoLimits limits, net::Wait wait);

// Takes it back, in one transaction that is not in the binary log, with `more` statements in it.
//   kFailedPrecondition: the rows are not what the log says; nothing was changed.
net::Task<Status> apply_undo(ServerLogin own, const Undo& undo, std::vector<std::string> more, net::Wait wait);

}  // namespace vitrail::movement
