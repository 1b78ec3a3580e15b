#pragma once

#include <cstdint>
#include <string_view>

#include "sql/keywords.h"

namespace vitrail::sql {

// What a statement is, as far as its first words tell. Used by the fingerprint (before parsing) and by the AST; for a
// statement that parses, both agree.
enum class StatementKind : uint8_t {
  kEmpty,    // Nothing but blanks, comments and semicolons.
  kUnknown,  // Starts with nothing that starts a statement.
  kSelect,   // Any query expression: SELECT, VALUES, TABLE, (..), WITH .. SELECT.
  kInsert,
  kReplace,
  kUpdate,
  kDelete,
  kSet,
  kShow,
  kUse,
  kBegin,  // BEGIN, START TRANSACTION
  kCommit,
  kRollback,  // Without TO.
  kSavepoint,
  kRollbackTo,
  kRelease,
  kDdl,  // CREATE, ALTER, DROP, TRUNCATE, RENAME of anything but Vitess' own objects.
  kLockTables,
  kUnlockTables,
  kExplain,  // EXPLAIN, DESCRIBE, DESC, and MariaDB's ANALYZE <statement>.
  kVexplain,
  kKill,
  kCall,
  kPrepare,
  kExecute,
  kDeallocate,
  kFlush,
  kTableAdmin,  // ANALYZE, OPTIMIZE, CHECK, REPAIR, CHECKSUM TABLE
  kLoad,
  kAlterVschema,
  kVitessMigration,  // ALTER / REVERT VITESS_MIGRATION
  kDo,
  kStream,
  kVstream,
  kOther,  // A statement that MySQL or MariaDB knows and that is kept as text (GRANT, XA, CHANGE MASTER ...).
};

// "SELECT", "ROLLBACK TO" ...: for logs and metrics.
std::string_view statement_kind_name(StatementKind kind);

// By the first three words of a statement, opening parentheses left out (kNone where there is no further keyword).
// WITH is kUnknown here: what follows the common table expressions decides.
StatementKind classify(Keyword first, Keyword second, Keyword third);

}  // namespace vitrail::sql
