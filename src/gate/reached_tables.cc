#include "gate/reached_tables.h"

#include <algorithm>
#include <array>

#include "sql/lexer.h"

namespace vitrail::gate {

bool failed_ahead_of_tables(uint16_t code) {
  // Sorted. MariaDB 10.11, each seen by @@in_transaction behind the error.
  static constexpr auto kAhead = std::to_array<uint16_t>({
      1044,  // Access denied to a database
      1046,  // No database selected
      1049,  // Unknown database
      1064,  // Syntax
      1066,  // The same alias twice
      1099,  // A table that LOCK TABLES lets nobody change
      1100,  // A table that LOCK TABLES has not locked
      1109,  // No such table, for HANDLER
      1142,  // A command denied
      1146,  // No such table
      1193,  // Unknown system variable
      1210,  // Arguments of EXECUTE
      1227,  // Access denied
      1243,  // Unknown prepared statement
      1290,  // The server runs with --read-only
      1327,  // No such variable of code
      1582,  // Parameters of a function
      1792,  // A transaction that only reads
  });
  return std::ranges::binary_search(kAhead, code);
}

bool is_checksum(std::string_view text) {
  sql::Lexer lexer(text);
  return lexer.next().keyword == sql::Keyword::kChecksum;
}

}  // namespace vitrail::gate
