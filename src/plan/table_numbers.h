#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "schema/schema.h"
#include "sql/statement.h"

// TABLES and STATISTICS of information_schema have numbers of which each shard knows its own part: rows, sizes,
// different values of an index. A statement that asks for them gets a query in the place of the table, with the numbers
// of all shards.
namespace vitrail::plan {

struct TableNumbers {
  bool tables = false;
  bool statistics = false;
  bool any() const { return tables || statistics; }
};
// Which of them a SELECT asks for: by their names, or by a star.
TableNumbers asked_numbers(const sql::Statement& statement, std::string_view session_keyspace);

// One table's, or one part of an index's: values of the key, then of the numbers, as literals; "null": not known.
struct NumberRow {
  std::vector<std::string> key;
  std::vector<std::string> numbers;
};
// The columns that are added up.
const std::vector<std::string>& tables_numbers();      // By TABLE_NAME.
const std::vector<std::string>& statistics_numbers();  // By TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX.

// The alias of the server's own table in such a query: its columns are databases' names as servers know them.
inline constexpr std::string_view kServersTable = "_vt_own";
// What stands in the place of the table with these columns, for the tables of one database.
std::string numbers_query(const schema::Table& columns, bool statistics, std::string_view database,
                          const std::vector<NumberRow>& rows);

}  // namespace vitrail::plan
