#pragma once

#include <cstdint>

#include "sql/statement.h"

namespace vitrail::plan {

// What a statement makes of FOUND_ROWS(), as far as its text tells. As MariaDB 10.11 answers; where its number comes
// from how it has run the statement (subqueries, an OFFSET, LIMIT of a union), only the server knows.
enum class FoundRows : uint8_t {
  kAnswer,   // As many as the answer has rows; what has none leaves it as it was.
  kKept,     // It stays as it was, whatever rows are answered.
  kChanged,  // INSERT ... SELECT: as many as its query gave, which are the rows that it changed.
  kOne,
  kUnknown,
};

FoundRows found_rows_of(const sql::Statement& statement);

}  // namespace vitrail::plan
