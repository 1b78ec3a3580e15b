#pragma once

#include <string>
#include <string_view>

#include "sql/lexer.h"

namespace vitrail::sql {

// The text with the database `from` named `to` in its place, quoted: where it qualifies a name ("from.t", "from.t.c"),
// and behind USE, DATABASE, SCHEMA and EXISTS. Strings, comments and names that only look alike stay. One or several
// statements; what cannot be split into tokens comes back as it is.
std::string rename_database(std::string sql, std::string_view from, std::string_view to,
                            const LexOptions& options = {});

}  // namespace vitrail::sql
