#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/memory_budget.h"
#include "mysql/statements.h"
#include "net/mysql_client.h"
#include "net/mysql_pool.h"
#include "plan/finish.h"

namespace vitrail::gate {

// The settings with which rows are stored exactly as they came; the connection's from its beginning.
std::string_view scratch_load_settings();
// What makes the connection's session equal to a client's: the character set of its login, the server's own modes and
// time zone, then `settings`, the client's SET statement ("" for none).
std::string scratch_client_settings(uint8_t login_collation, std::string_view settings);
// A cell in its form, as the value of a parameter.
mysql::Value scratch_value(schema::Form form, const mysql::Cell& cell);
// Columns into which some texts may go as they are, which costs a server less: whole numbers without quotes, and texts
// of ASCII, whose bytes are the column's in any character set, without a word that they are bytes.
enum class PlainText : uint8_t { kNone, kAscii, kDigits };
PlainText plain_text_of(const schema::Column& column);
// The same as a literal, for a connection with scratch_load_settings().
void append_scratch_literal(std::string& out, schema::Form form, const mysql::Cell& cell,
                            PlainText plain = PlainText::kNone);
// Puts the tables of the query in the place of the temporary ones in what a result says of its columns.
void restore_columns(const plan::Finish& finish, std::vector<mysql::ColumnDef>& columns);

// A session on one tablet with temporary tables, for one statement: create() all inputs and load them (ScratchLoad),
// become() the client's, query(), end(). Without end() the connection is closed, and the tablet ends what runs there.
//   Threads: the loop of the lease.
//   Errors : of the tablet or its server; after one of the connection, it is broken.
class ScratchSession {
 public:
  explicit ScratchSession(net::MysqlPool::Lease lease);
  ScratchSession(ScratchSession&&) noexcept = default;
  ~ScratchSession();

  net::Task<Status> create(const plan::FinishInput& input, net::Wait wait);
  // Rows as an INSERT for one of its tables; `starts`: where each of them begins in the text. A table that is in memory
  // and has no more room goes to disk, with the rows that it has.
  net::Task<Status> insert(const plan::FinishInput& input, std::string text, std::span<const size_t> starts,
                           net::Wait wait);
  // From now on an ENUM may be none of its members (number 0), which no strict mode takes.
  net::Task<Status> take_any_member(net::Wait wait);
  net::Task<Status> insert(const plan::FinishInput& input, std::span<const mysql::Value> row, net::Wait wait);
  net::Task<Status> become(std::string settings, net::Wait wait);
  // `all_digits`: see net/binary_query.h.
  net::Task<Result<net::QueryResult>> query(std::string text, net::Wait wait, size_t max_rows,
                                            base::MemoryBudget::Hold* memory = nullptr, bool all_digits = false);
  net::Task<Result<net::MysqlClient::Shape>> describe(std::string text, net::Wait wait);
  // Drops everything, and gives the connection back.
  net::Task<void> end(net::Wait wait);

  net::MysqlClient& client() { return lease_->client; }
  net::MysqlPool& pool() { return lease_.pool(); }
  net::PooledConnection& connection() { return *lease_; }
  const std::vector<mysql::QueryAttribute>& attributes() const { return attributes_; }

 private:
  net::MysqlPool::Lease lease_;
  std::vector<mysql::QueryAttribute> attributes_;
  bool any_member_ = false;
  std::map<std::string, uint64_t, std::less<>> in_memory_;  // Tables, and how many rows they have.
};

// Rows on their way into one of its tables, many by one statement. Both arguments must outlive it.
//
// They go as literals in a text: a server needs longer to prepare a statement for some hundred rows than to run it. A
// row that is large goes by itself, as parameters, which do not grow by escapes.
class ScratchLoad {
 public:
  ScratchLoad(ScratchSession& session, const plan::FinishInput& input);
  // A row, which takes so many bytes; what is behind the columns of the input is left out.
  void row(std::span<const mysql::Cell> cells, size_t bytes);
  // As many are here as go together: flush() before the next one; and at the end.
  bool full() const { return text_.size() >= kTextMax || !large_.empty(); }
  net::Task<Status> flush(net::Wait wait);

 private:
  static constexpr size_t kTextMax = size_t{128} << 10;
  static constexpr size_t kLargeRow = size_t{1} << 20;

  ScratchSession& session_;
  const plan::FinishInput& input_;
  std::vector<schema::Form> forms_;
  std::vector<PlainText> plain_;
  std::string text_;                 // Empty: without rows.
  std::vector<size_t> starts_;       // Of its rows.
  std::vector<mysql::Value> large_;  // One row.
  bool no_member_ = false;
};

}  // namespace vitrail::gate
