#pragma once

#include <string_view>

#include "schema/schema.h"
#include "sql/ast.h"

namespace vitrail::plan {

// Whether a condition compares columns of one table with values in such a way that a strict server, which looks for the
// rows of a change, at most warns of texts that are no numbers: it has read them before the change begins, when it
// looked how the table's keys may help. (Of a text that is compared without a key it makes an error, row by row.)
bool compares_by_keys(const sql::Expr* where, const schema::Table& table, std::string_view alias);

}  // namespace vitrail::plan
