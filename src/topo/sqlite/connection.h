#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

struct sqlite3;
struct sqlite3_stmt;

// Internal to topo/sqlite: one connection to a database, used by one thread at a time.
namespace vitrail::topo::sqlite {

// One run of a prepared statement. Reset at its end, so that it holds no read transaction open.
class Query {
 public:
  ~Query();
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;

  // In the order of the placeholders. Texts and blobs must live until the end of the query.
  Query& bind(int64_t value);
  Query& bind(uint64_t value) { return bind(static_cast<int64_t>(value)); }
  Query& bind_text(std::string_view value);
  Query& bind_blob(std::string_view value);
  Query& bind_null();

  // True: there is a row. False: the end.
  Result<bool> step();
  // Steps to the end; for statements without rows.
  Status run();

  int64_t integer(int column) const;
  uint64_t number(int column) const { return static_cast<uint64_t>(integer(column)); }
  std::string bytes(int column) const;  // Text or blob.
  bool is_null(int column) const;

 private:
  friend class Connection;
  Query(sqlite3* db, sqlite3_stmt* statement) : db_(db), statement_(statement) {}
  sqlite3* db_;
  sqlite3_stmt* statement_;  // Null: it could not be prepared.
  int next_ = 1;
};

class Connection {
 public:
  // Opens, and makes the file when it is missing.
  static Result<std::unique_ptr<Connection>> open(const std::string& file);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // `sql` must be a literal: the prepared statement is kept under its address. One Query of a statement at a time.
  Query query(const char* sql);
  Status exec(const char* sql);
  // Returns when what was committed is on the disk. A commit itself does not wait for that: a process that is paused
  // while the disk is slow must not keep others from writing. Nobody outside of the machine has seen anything before.
  Status sync_log();
  bool in_transaction() const;
  int64_t changes() const;
  int64_t last_rowid() const;
  // How long statements wait for another process' write lock, from now on.
  void set_busy_limit(std::chrono::milliseconds limit) { busy_limit_ = limit; }

 private:
  Connection() = default;
  static int on_busy(void* self, int count);

  sqlite3* db_ = nullptr;
  std::map<const char*, sqlite3_stmt*> statements_;
  std::chrono::milliseconds busy_limit_{5'000};
  std::chrono::steady_clock::time_point busy_since_;
};

// The Error for a result code of the library.
Error sqlite_error(sqlite3* db, std::string_view what);

}  // namespace vitrail::topo::sqlite
