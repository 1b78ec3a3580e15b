#pragma once

#include <string_view>

#include "base/result.h"
#include "sql/statement.h"
#include "vschema.pb.h"

// ALTER VSCHEMA: statements that change the vschema of one keyspace. For vtctld (ApplyVSchema --sql) and vtgate.
//
//   CREATE VINDEX v USING type [WITH k = v, ..] | DROP VINDEX v
//   ADD TABLE t | DROP TABLE t | ADD SEQUENCE s | DROP SEQUENCE s          (unsharded keyspaces)
//   ON t ADD VINDEX v (columns) [USING type [WITH ..]] | ON t DROP VINDEX v
//   ON t ADD AUTO_INCREMENT column USING sequence | ON t DROP AUTO_INCREMENT
//
// A vindex parameter `owner` names the table that owns it. The first vindex makes the keyspace sharded.
namespace vitrail::vschema {

// The keyspace that the statement names before its table or vindex; `fallback` when it names none.
std::string_view keyspace_of(const sql::AlterVschema& statement, std::string_view fallback);

// Applies one statement to `record`, the vschema of `keyspace`. `record` stays as it was on an error:
//   kFailedPrecondition  there is such a thing already, or it is used, or not possible in such a keyspace.
//   kNotFound            there is no such thing.
//   kInvalidArgument     the result has faults that `record` did not have (see find_problems()); they are listed.
Status apply_statement(::vschema::Keyspace& record, std::string_view keyspace, const sql::AlterVschema& statement);

// The same for a text with one statement or several, separated by semicolons: all of them or none.
//   Also kInvalidArgument: no statement; what is no ALTER VSCHEMA, or is about another keyspace. Every error quotes the
//   statement that it is about.
Status apply_statements(::vschema::Keyspace& record, std::string_view keyspace, std::string_view text);

}  // namespace vitrail::vschema
