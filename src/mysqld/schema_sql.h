#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "mysqld/flavor.h"
#include "mysqld/rows.h"

// Reading the schema of one database: SQL text, and the rows it yields. Pure; the I/O belongs to the caller.
//
// One query per kind of object and database, not one per table: a database may hold 100,000 tables. Results are ordered
// by table name (binary order), so that the lists can be merged in one pass.
namespace vitrail::mysqld {

enum class TableKind : uint8_t { kBase, kView, kOther };  // kOther: sequences of MariaDB, system views.

struct TableInfo {
  std::string name;
  TableKind kind = TableKind::kBase;
  std::string engine;  // "" for views.
  std::string comment;
  std::string collation;
  uint64_t row_estimate = 0;  // Statistics; may be far off.
  uint64_t data_bytes = 0;    // Data and indexes.
  uint64_t free_bytes = 0;
  std::optional<uint64_t>
      auto_increment;  // Next value. Cached by MySQL 8 unless told otherwise: schema_session_setup().
  int64_t created_unix_seconds = 0;

  // What the comment makes of the table.
  bool is_sequence() const { return comment == "vitess_sequence"; }
  bool is_message() const { return comment.starts_with("vitess_message"); }
};

struct ColumnInfo {
  std::string table;
  std::string name;
  uint32_t ordinal = 0;     // From 1.
  std::string data_type;    // "bigint"
  std::string column_type;  // "bigint(20) unsigned"
  bool nullable = true;
  // Text of the server: MySQL gives a literal's value, MariaDB its SQL ("'a'", "current_timestamp()", "NULL").
  std::optional<std::string> default_text;
  std::string character_set;  // "" where the type has none.
  std::string collation;
  bool is_auto_increment = false;
  bool is_generated = false;  // Virtual or stored.
  bool is_stored = false;
  bool is_invisible = false;
  std::string generation_expression;
  std::string extra;
  std::string comment;

  bool is_unsigned() const;
};

struct IndexInfo {
  std::string table;
  std::string name;  // "PRIMARY" for the primary key.
  bool unique = false;
  bool nullable = false;             // Some column may be NULL, so that rows may repeat.
  bool partial = false;              // Some column is indexed by a prefix or an expression only.
  std::vector<std::string> columns;  // In index order; "" for an expression.
  uint64_t cardinality = 0;

  bool is_primary() const { return name == "PRIMARY"; }
};

// Statements before the queries below on their connection, for fresh numbers. May be empty.
std::vector<std::string> schema_session_setup(const Flavor& flavor);

// `table` narrows a query to one table; nullopt means all of them.
std::string tables_query(std::string_view schema, std::optional<std::string_view> table = std::nullopt);
Result<std::vector<TableInfo>> parse_tables(const Rows& rows);

std::string columns_query(std::string_view schema, std::optional<std::string_view> table = std::nullopt);
Result<std::vector<ColumnInfo>> parse_columns(const Rows& rows);

std::string indexes_query(std::string_view schema, std::optional<std::string_view> table = std::nullopt);
Result<std::vector<IndexInfo>> parse_indexes(const Rows& rows);

// The index that identifies rows of a table: its primary key, else the unique index without NULLs and prefixes that has
// the fewest columns. `indexes` are those of one table. nullptr when rows have no identity.
const IndexInfo* row_identity(std::span<const IndexInfo> indexes);

// SHOW CREATE TABLE; works for views as well.
std::string create_statement_query(std::string_view schema, std::string_view table);
//   kNotFound  no row.   kInternal  not the shape of SHOW CREATE TABLE or SHOW CREATE VIEW.
Result<std::string> parse_create_statement(const Rows& rows);
// The statement without the AUTO_INCREMENT=<n> table option, which differs between servers with equal schemas. Text
// inside quotes, comments included, is not touched.
std::string without_auto_increment(std::string_view create_statement);

// Names of the databases, system ones left out by parse_schemas().
std::string schemas_query();
std::vector<std::string> parse_schemas(const Flavor& flavor, const Rows& rows);
std::string create_database_statement_query(std::string_view schema);
// CREATE DATABASE IF NOT EXISTS.
std::string create_database(std::string_view schema);

// Rows of one table by the engine's statistics, to size a copy's chunks; may be far off. One row, one column.
std::string row_estimate_query(std::string_view schema, std::string_view table);

}  // namespace vitrail::mysqld
