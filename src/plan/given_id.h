#pragma once

#include <optional>
#include <span>
#include <string>

#include "mysql/types.h"
#include "plan/plan.h"
#include "schema/schema.h"
#include "sql/ast.h"
#include "sql/statement.h"

// An INSERT that gives the value of its AUTO_INCREMENT column: the server answers with that value as the insert id, and
// its LAST_INSERT_ID() stays what it was, since that is only about values that the server made.
namespace vitrail::plan {

// Whether the table has an AUTO_INCREMENT column; one that is not known (null) may have.
bool makes_ids(const schema::Table* table);

// nullopt: the statement leaves the column to the server, or the table has none (or is not known: `table` null).
std::optional<GivenId> given_id(const sql::Insert& insert, const schema::Table* table);

// Whether every row comes with a value of that column, so that none is made. `parameters`: of the statement.
bool gives_every_id(const sql::Insert& insert, const GivenId& id, std::span<const mysql::Value> parameters);

}  // namespace vitrail::plan
