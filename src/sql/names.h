#pragma once

#include "sql/parser.h"

namespace vitrail::sql {

// Gives every select item the name that a server would give it as it is written now, as an alias, so that the result's
// columns keep their names when the statement is printed again or its literals, parameters or functions are replaced.
// Items that keep their names anyway (columns, stars, items with an alias, plain strings) stay as they are. Subqueries
// and common tables too: their columns are known by these names outside.
void keep_column_names(Ast& ast);

}  // namespace vitrail::sql
