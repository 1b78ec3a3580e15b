#include "topo/sqlite/connection.h"

#include <sqlite3.h>

#include <thread>

#include "base/check.h"

namespace vitrail::topo::sqlite {

Error sqlite_error(sqlite3* db, std::string_view what) {
  const int rc = db == nullptr ? SQLITE_NOMEM : sqlite3_errcode(db);
  std::string message = std::string(what) + ": " + (db == nullptr ? "out of memory" : sqlite3_errmsg(db));
  switch (rc & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_SCHEMA:
    case SQLITE_ERROR: return Error(Code::kDataLoss, std::move(message));
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH: return Error(Code::kPermissionDenied, std::move(message));
    case SQLITE_TOOBIG:
    case SQLITE_NOMEM:
    case SQLITE_FULL: return Error(Code::kResourceExhausted, std::move(message));
    default: return Error(Code::kUnavailable, std::move(message)).with_retry(Retry::kSameTarget);
  }
}

Query::~Query() {
  if (statement_ == nullptr) return;
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

Query& Query::bind(int64_t value) {
  if (statement_ != nullptr) sqlite3_bind_int64(statement_, next_++, value);
  return *this;
}

Query& Query::bind_text(std::string_view value) {
  const char* data = value.data() == nullptr ? "" : value.data();
  if (statement_ != nullptr) sqlite3_bind_text64(statement_, next_++, data, value.size(), SQLITE_STATIC, SQLITE_UTF8);
  return *this;
}

Query& Query::bind_blob(std::string_view value) {
  const char* data = value.data() == nullptr ? "" : value.data();  // A null pointer would bind NULL.
  if (statement_ != nullptr) sqlite3_bind_blob64(statement_, next_++, data, value.size(), SQLITE_STATIC);
  return *this;
}

Query& Query::bind_null() {
  if (statement_ != nullptr) sqlite3_bind_null(statement_, next_++);
  return *this;
}

Result<bool> Query::step() {
  if (statement_ == nullptr) return sqlite_error(db_, "preparing a statement");
  const int rc = sqlite3_step(statement_);
  if (rc == SQLITE_ROW) return true;
  if (rc == SQLITE_DONE) return false;
  return sqlite_error(db_, "topology database");
}

Status Query::run() {
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, step());
    if (!row) return {};
  }
}

int64_t Query::integer(int column) const { return sqlite3_column_int64(statement_, column); }

std::string Query::bytes(int column) const {
  const void* data = sqlite3_column_blob(statement_, column);
  const int size = sqlite3_column_bytes(statement_, column);
  if (data == nullptr) return {};
  return std::string(static_cast<const char*>(data), static_cast<size_t>(size));
}

bool Query::is_null(int column) const { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }

Result<std::unique_ptr<Connection>> Connection::open(const std::string& file) {
  std::unique_ptr<Connection> connection(new Connection);
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE;
  if (sqlite3_open_v2(file.c_str(), &connection->db_, flags, nullptr) != SQLITE_OK) {
    return sqlite_error(connection->db_, "cannot open " + file);
  }
  sqlite3_extended_result_codes(connection->db_, 1);
  sqlite3_busy_handler(connection->db_, &Connection::on_busy, connection.get());
  // A commit does not wait for the disk while it keeps others from writing: see sync_log().
  RETURN_IF_ERROR(connection->exec("PRAGMA synchronous = NORMAL"));
  RETURN_IF_ERROR(connection->exec("PRAGMA trusted_schema = OFF"));
  RETURN_IF_ERROR(connection->exec("PRAGMA journal_size_limit = 16777216"));
  return connection;
}

Connection::~Connection() {
  for (const auto& [sql, statement] : statements_) sqlite3_finalize(statement);
  if (db_ != nullptr) sqlite3_close(db_);
}

int Connection::on_busy(void* self, int count) {
  // SQLite's own handler backs off to 100 ms. Our transactions take about one fsync, so ask more often, and give way to
  // others by the scheduler's chance.
  auto& connection = *static_cast<Connection*>(self);
  const auto now = std::chrono::steady_clock::now();
  if (count == 0) connection.busy_since_ = now;
  if (now - connection.busy_since_ > connection.busy_limit_) return 0;
  std::this_thread::sleep_for(count < 20 ? std::chrono::microseconds(300) : std::chrono::microseconds(2'000));
  return 1;
}

Query Connection::query(const char* sql) {
  auto& statement = statements_[sql];
  if (statement == nullptr) {
    if (sqlite3_prepare_v3(db_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr) != SQLITE_OK) {
      statement = nullptr;
    }
  } else {
    CHECK(sqlite3_stmt_busy(statement) == 0);
  }
  return Query(db_, statement);
}

Status Connection::exec(const char* sql) {
  if (sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) != SQLITE_OK) return sqlite_error(db_, "topology database");
  return {};
}

Status Connection::sync_log() {
  sqlite3_file* log = nullptr;
  if (sqlite3_file_control(db_, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log) != SQLITE_OK || log == nullptr ||
      log->pMethods == nullptr) {
    return fail(Code::kUnavailable, "the topology database has no log to write to the disk");
  }
  if (log->pMethods->xSync(log, SQLITE_SYNC_NORMAL) == SQLITE_OK) return {};
  return fail(Code::kUnavailable, "the topology database's log cannot be written to the disk");
}

bool Connection::in_transaction() const { return sqlite3_get_autocommit(db_) == 0; }
int64_t Connection::changes() const { return sqlite3_changes64(db_); }
int64_t Connection::last_rowid() const { return sqlite3_last_insert_rowid(db_); }

}  // namespace vitrail::topo::sqlite
