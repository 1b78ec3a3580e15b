#pragma once

#include <string>

#include "sql/statement.h"

namespace vitrail::sql {

// The statement as tools for statistics expect it: canonical text, with ":vtg1", ":vtg2" ... in the place of literals
// and
// ":v1" ... in that of parameters.
std::string normalized(const Statement& statement);

}  // namespace vitrail::sql
