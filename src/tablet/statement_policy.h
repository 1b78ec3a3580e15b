#pragma once

#include <string>
#include <string_view>

#include "sql/parser.h"

namespace vitrail::tablet {

// What an application may send to the server behind a tablet (docs/operators/privileges.md). The account that runs the
// statements has rights on its own database only; the policy says the same earlier and in words that tell what to do
// instead, and covers what no right of the server does: ending other clients' statements, leaving the database.
struct StatementPolicy {
  bool allow_files = false;  // LOAD DATA INFILE, SELECT INTO OUTFILE, LOAD_FILE(): files of the server's machine.
  std::string sidecar_database = "_vt";
};

struct PolicyVerdict {
  std::string refusal;      // Empty: allowed. Else what a client is told: "statement not allowed: RESET MASTER: ...".
  bool by_literal = false;  // The value of a literal counts (PREPARE s FROM '..'): the verdict is of this text alone.
};

// `ast` is the text's tree, or null when it could not be parsed. Executable comments count as every server reads them,
// MySQL and MariaDB of any version. What stands in a text that is made at run time (EXECUTE IMMEDIATE @a), or in a
// routine that somebody else made, is not seen: there the server's own rights have the last word.
PolicyVerdict judge_statement(std::string_view text, const sql::Ast* ast, const StatementPolicy& policy);

}  // namespace vitrail::tablet
