#pragma once

#include <string>
#include <vector>

#include "sql/statement.h"

namespace vitrail::sql {

// Why a change that is run a second time, on the rows that it met the first time and with the same clock, settings and
// generated ids, might leave other rows; empty: it leaves the same. For statements that are written down and run again
// behind a crash (docs/formats/twopc.md).
//
// What is not known to be exact is not: functions by a list, no variables, no rows that are read besides those that are
// changed (their locks may be weaker), no choice of rows that the server makes (LIMIT, unless fixed_columns() gives
// some).
std::string inexact_part(const Statement& statement);

// Of a change with LIMIT: the columns, in lower case, that must be equal to a constant. When they hold a unique key of
// numbers there is one row at most, and nothing to choose. Empty: there is no LIMIT, or nothing is fixed.
std::vector<std::string> fixed_columns(const Statement& statement);

// Whether it asks for the time, by a function.
bool uses_clock(const Statement& statement);

// Whether rows that turn out not to be new may use up ids between those that the server generates, so that the first of
// them does not tell the others: several rows of INSERT IGNORE, or of ON DUPLICATE KEY UPDATE.
bool skips_ids(const Statement& statement);

}  // namespace vitrail::sql
