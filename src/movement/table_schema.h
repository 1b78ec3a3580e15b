#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "movement/server_session.h"
#include "mysql/types.h"
#include "query.pb.h"

// Tables as movement sees them: columns with their types, and what identifies a row.
namespace vitrail::movement {

inline bool has_flag(::query::Type type, ::query::Flag flag) {
  return (static_cast<int>(type) & static_cast<int>(flag)) != 0;
}
// Written without quotes in SQL.
inline bool is_number_type(::query::Type type) {
  return has_flag(type, ::query::ISINTEGRAL) || has_flag(type, ::query::ISFLOAT) || type == ::query::DECIMAL;
}

struct Column {
  std::string name;
  ::query::Type type = ::query::NULL_TYPE;
  std::string column_type;    // "bigint(20) unsigned"
  std::string character_set;  // "" where the type has none.
  bool is_generated = false;  // Written by the server, never by us.
  bool has_default = true;    // May be left out of an INSERT.
  bool nullable = true;
  std::string collation;   // "" where the type has none, or where it is not known.
  uint32_t key_flags = 0;  // PRI_KEY_FLAG, or UNIQUE_KEY_FLAG: part of the table's identity. AUTO_INCREMENT_FLAG.

  bool is_integer() const { return has_flag(type, ::query::ISINTEGRAL); }
  bool is_unsigned() const { return has_flag(type, ::query::ISUNSIGNED); }
};

struct TableSchema {
  std::string name;
  std::vector<Column> columns;  // All, in order.
  // Indexes of the columns of the primary key, else of a unique key without NULLs and prefixes. Empty: rows have no
  // identity.
  std::vector<size_t> identity;
  std::string identity_index;  // "PRIMARY"
  uint64_t row_estimate = 0;
  uint64_t data_bytes = 0;

  // Without regard to case, as in the server; nullopt when there is none.
  std::optional<size_t> find_column(std::string_view column) const;
};

using TableMap = std::map<std::string, TableSchema, std::less<>>;

// Base tables of `database`; only `table` if given (kNotFound when there is no such base table).
net::Task<Result<TableMap>> load_tables(ServerSession& session, std::string database, std::optional<std::string> table,
                                        net::Wait wait);

// The same from the answers to mysqld::tables_query(), columns_query() and indexes_query().
Result<TableMap> read_tables(const mysqld::Rows& table_rows, const mysqld::Rows& column_rows,
                             const mysqld::Rows& index_rows);

// "bigint", "bigint(20) unsigned" -> UINT64. Types without a counterpart (uuid, inet6) are CHAR.
::query::Type query_type(std::string_view data_type, std::string_view column_type);
// Field.decimals of texts, MySQL's value for what has none: the sender knows their collations. Earlier versions say of
// all texts that they are utf8mb4_general_ci, and nothing here.
inline constexpr uint32_t kCollationTold = 31;
::query::Field to_field(const Column& column, std::string_view table, std::string_view database);

// A number as SQL writes it: may stand in a statement without quotes.
bool is_plain_number(std::string_view text);

// How a column is read, so that its text says all of the value: `c`, and for FLOAT, of which a server prints six digits
// only, a cast to DOUBLE.
std::string read_expression(const Column& column);
// Likewise for a place in the order of the identity: ENUM, SET and BIT as numbers.
std::string key_expression(const Column& column);
bool has_key_expression(const Column& column);

// Literals for sessions with character set binary.
//
// `text` is what read_expression() or a binlog row gives. It is stored byte for byte.
//   `source_type` of the value where it comes from: decides whether it is a number.
void append_value_literal(std::string& out, const Column& column, ::query::Type source_type, mysql::Cell text);
// `text` is what key_expression() gives: for comparisons in the order (and with the index) of the column.
void append_key_literal(std::string& out, const Column& column, std::string_view text);
// For finding the row that has this value: `text` as for append_value_literal().
void append_match_literal(std::string& out, const Column& column, ::query::Type source_type, std::string_view text);

// (a, b) > (1, 2), written out so that servers use the index. `keys` as from key_expression(), all of the identity's.
//   after : rows behind the key; else rows up to and with it.
std::string key_condition(const TableSchema& table, const std::vector<std::string>& keys, bool after);
// "`a`, `b`" of the identity, in index order.
std::string identity_order(const TableSchema& table);

// Rows of protobuf.
class RowReader {
 public:
  explicit RowReader(const ::query::Row& row) : row_(row) {}
  // False at the end; malformed rows give kDataLoss.
  Result<bool> next(mysql::Cell& cell);

 private:
  const ::query::Row& row_;
  int index_ = 0;
  size_t offset_ = 0;
};
// All cells of a row; kDataLoss unless there are exactly `columns`.
Status read_row(const ::query::Row& row, size_t columns, std::vector<mysql::Cell>& cells);
void append_cell(::query::Row& row, mysql::Cell cell);

// Text form of a QueryResult, on one line, as kept in _vt; and back.
std::string to_text(const google::protobuf::Message& message);
Status from_text(std::string_view text, google::protobuf::Message& message, std::string_view what);

}  // namespace vitrail::movement
