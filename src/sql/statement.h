#pragma once

#include <cstdint>
#include <string_view>

#include "sql/ast.h"

// Statements. Same rules for memory, shape and places as in ast.h.
namespace vitrail::sql {

struct Statement {
  StatementKind kind;
  Span span;
  List<std::string_view> directives;  // /*vt+ .. */ as written, from anywhere; printed behind the verb.
};

// Several statement types share one struct, so the cast asks for a set of kinds.
template <typename T>
T* statement_as(Statement* statement) {
  return statement != nullptr && T::matches(statement->kind) ? static_cast<T*>(statement) : nullptr;
}
template <typename T>
const T* statement_as(const Statement* statement) {
  return statement != nullptr && T::matches(statement->kind) ? static_cast<const T*>(statement) : nullptr;
}

struct QueryStatement : Statement {
  static bool matches(StatementKind kind) { return kind == StatementKind::kSelect; }
  Query* query = nullptr;
};

struct Assignment {
  Column* column = nullptr;
  Expr* value = nullptr;
  Span span;
};

enum class Priority : uint8_t { kNone, kLow, kDelayed, kHigh };

// INSERT and REPLACE. Exactly one of: rows (VALUES), query, set, or none of them with rows empty and `default_row`.
struct Insert : Statement {
  static bool matches(StatementKind kind) { return kind == StatementKind::kInsert || kind == StatementKind::kReplace; }
  bool replace = false;
  Priority priority = Priority::kNone;
  bool ignore = false;
  With* with = nullptr;  // May be null.
  List<std::string_view> hints;
  TableName table;
  List<Identifier> partitions;
  bool has_columns = false;  // A column list was written (it may be empty).
  List<Column*> columns;
  List<List<Expr*>> rows;
  Span rows_span;          // From the first row's '(' to the last row's ')': for cutting rows per shard.
  List<Span> row_spans;    // One per row.
  Query* query = nullptr;  // May be null.
  List<Assignment> set;    // INSERT .. SET a = 1
  Identifier row_alias;    // VALUES (..) AS new; may be empty.
  List<Identifier> row_alias_columns;
  List<Assignment> on_duplicate;
  List<SelectItem> returning;
};

struct Update : Statement {
  static bool matches(StatementKind kind) { return kind == StatementKind::kUpdate; }
  bool low_priority = false;
  bool ignore = false;
  With* with = nullptr;  // May be null.
  List<std::string_view> hints;
  List<TableRef*> tables;
  List<Assignment> set;
  Expr* where = nullptr;  // May be null.
  List<OrderItem> order_by;
  Limit* limit = nullptr;  // May be null.
  List<SelectItem> returning;
};

struct Delete : Statement {
  static bool matches(StatementKind kind) { return kind == StatementKind::kDelete; }
  bool low_priority = false;
  bool quick = false;
  bool ignore = false;
  With* with = nullptr;  // May be null.
  List<std::string_view> hints;
  // Multi-table form: the tables (or their aliases) to delete from. Empty in the single-table form, where `from` is one
  // TableSource.
  List<TableName> targets;
  bool using_form = false;  // DELETE FROM targets USING from
  List<TableRef*> from;
  Expr* where = nullptr;  // May be null.
  List<OrderItem> order_by;
  Limit* limit = nullptr;  // May be null.
  List<SelectItem> returning;
};

// ---- Transactions ---------------------------------------------------------------------------------------------------

enum class AccessMode : uint8_t { kNone, kReadOnly, kReadWrite };
enum class Toggle : uint8_t { kNone, kOn, kOff };

// BEGIN, START TRANSACTION, COMMIT, ROLLBACK [TO], SAVEPOINT, RELEASE SAVEPOINT.
struct Transaction : Statement {
  static bool matches(StatementKind kind) {
    return kind == StatementKind::kBegin || kind == StatementKind::kCommit || kind == StatementKind::kRollback ||
           kind == StatementKind::kSavepoint || kind == StatementKind::kRollbackTo || kind == StatementKind::kRelease;
  }
  bool consistent_snapshot = false;
  AccessMode access = AccessMode::kNone;
  Toggle chain = Toggle::kNone;    // AND [NO] CHAIN
  Toggle release = Toggle::kNone;  // [NO] RELEASE
  Identifier savepoint;            // May be empty.
};

// ---- SET, SHOW, USE -------------------------------------------------------------------------------------------------

enum class SetItemKind : uint8_t {
  kSystemVariable,  // [scope] [base.]name = value, @@scope.name = value
  kUserVariable,    // @name = value
  kNames,           // SET NAMES charset [COLLATE collation]
  kCharset,         // SET CHARACTER SET charset
  kTransaction,     // SET [scope] TRANSACTION ..
  kText,            // SET PASSWORD, SET ROLE, SET DEFAULT ROLE ..: kept as text
};

enum class IsolationLevel : uint8_t { kNone, kReadUncommitted, kReadCommitted, kRepeatableRead, kSerializable };

struct SetItem {
  SetItemKind kind = SetItemKind::kSystemVariable;
  VariableScope scope = VariableScope::kNone;
  bool at_form = false;   // Written with @@.
  Identifier base;        // May be empty.
  Identifier name;        // Variable name (without @), or charset / empty (DEFAULT) for kNames and kCharset.
  Identifier collation;   // kNames; may be empty.
  Expr* value = nullptr;  // For variables. A bare word (OLAP, ON, utf8mb4) is a Column or KeywordExpr.
  IsolationLevel isolation = IsolationLevel::kNone;
  AccessMode access = AccessMode::kNone;
  std::string_view text;  // kText
  Span span;
};

struct SetStatement : Statement {
  static bool matches(StatementKind kind) { return kind == StatementKind::kSet; }
  List<SetItem> items;
  Statement* statement = nullptr;  // MariaDB: SET STATEMENT items FOR statement; may be null.
};

enum class ShowKind : uint8_t {
  kOther,  // Known or unknown to the server; `text` has all of it.
  kDatabases,
  kTables,
  kTableStatus,
  kOpenTables,
  kColumns,
  kIndex,
  kTriggers,
  kEvents,
  kCreateTable,
  kCreateView,
  kCreateDatabase,
  kCreateProcedure,
  kCreateFunction,
  kCreateTrigger,
  kCreateEvent,
  kCreateOther,
  kVariables,
  kStatus,
  kProcessList,
  kEngines,
  kEngine,
  kPlugins,
  kPrivileges,
  kGrants,
  kCharset,
  kCollation,
  kWarnings,
  kErrors,
  kProfiles,
  kProcedureStatus,
  kFunctionStatus,
  kBinaryLogs,
  kReplicaStatus,
  kMasterStatus,
  kGtidExecuted,
  kVgtidExecuted,
  kUnresolvedTransactions,
  kKeyspaces,
  kVitessShards,
  kVitessTablets,
  kVitessTarget,
  kVitessMetadata,
  kVitessMigrations,
  kVitessMigrationLogs,
  kVitessReplicationStatus,
  kVitessThrottledApps,
  kVitessThrottlerStatus,
  kVschemaTables,
  kVschemaKeyspaces,
  kVschemaVindexes,
};

struct Show : Statement {
  static bool matches(StatementKind kind) { return kind == StatementKind::kShow; }
  ShowKind show = ShowKind::kOther;
  std::string_view subject;  // The words between SHOW and the names, lower case, one blank between: "full columns",
                             // "global variables", "create table".
  bool full = false;
  bool extended = false;
  VariableScope scope = VariableScope::kNone;
  TableName table;         // Of columns, index, create ..., vschema vindexes on ...; may be empty.
  Identifier database;     // FROM / IN database or keyspace; may be empty.
  Identifier argument;     // FOR / of the rest (engine name); may be empty.
  bool has_count = false;  // SHOW COUNT(*) WARNINGS
  Expr* like = nullptr;    // A string literal; may be null.
  Expr* where = nullptr;   // May be null.
  Limit* limit = nullptr;  // May be null.
  std::string_view text;   // What followed and was not understood (kOther: everything after the subject), as written.
};

// USE target. `target` is the text without quotes: "ks:-80@primary|zone1-100".
struct Use : Statement {
  static bool matches(StatementKind kind) { return kind == StatementKind::kUse; }
  Identifier target;
};

// ---- DDL: kept as text, names extracted -----------------------------------------------------------------------------

enum class DdlAction : uint8_t { kCreate, kAlter, kDrop, kTruncate, kRename };
enum class DdlObject : uint8_t {
  kTable,
  kView,
  kDatabase,
  kIndex,
  kProcedure,
  kFunction,
  kTrigger,
  kEvent,
  kSequence,
  kOther,
};

enum class NameRole : uint8_t {
  kSubject,     // What is created, altered, dropped (or, for an index or trigger, the table it belongs to).
  kNewName,     // RENAME TO
  kReferenced,  // REFERENCES, LIKE, EXCHANGE PARTITION .. WITH TABLE, UNION = (..)
};

struct DdlName {
  TableName name;
  NameRole role = NameRole::kSubject;
};

struct Ddl : Statement {
  static bool matches(StatementKind kind) { return kind == StatementKind::kDdl; }
  DdlAction action = DdlAction::kCreate;
  DdlObject object = DdlObject::kOther;
  bool temporary = false;
  bool if_exists = false;
  bool if_not_exists = false;
  bool or_replace = false;
  // Table or view names with places in the text, in order. For RENAME TABLE a TO b, c TO d: subject, new, subject, new.
  // For databases the one name stands in TableName::name; likewise the names of routines, triggers (first the trigger,
  // then its table as kReferenced), events and sequences.
  List<DdlName> names;
  Query* query = nullptr;  // CREATE TABLE .. SELECT, CREATE / ALTER VIEW .. AS; may be null.
  std::string_view text;   // The whole statement as written.
};

// ---- The rest -------------------------------------------------------------------------------------------------------

enum class TableLock : uint8_t { kRead, kReadLocal, kWrite, kLowPriorityWrite, kWriteConcurrent };

struct LockedTable {
  TableName table;
  Identifier alias;  // May be empty.
  TableLock lock = TableLock::kRead;
};

struct LockTables : Statement {
  static bool matches(StatementKind kind) {
    return kind == StatementKind::kLockTables || kind == StatementKind::kUnlockTables;
  }
  List<LockedTable> tables;  // Empty for UNLOCK TABLES.
};

enum class VexplainType : uint8_t { kPlan, kAll, kQueries, kTrace, kKeys };

// EXPLAIN / DESCRIBE of a statement, of a table, or of a connection; ANALYZE statement; VEXPLAIN.
struct Explain : Statement {
  static bool matches(StatementKind kind) {
    return kind == StatementKind::kExplain || kind == StatementKind::kVexplain;
  }
  bool analyze = false;       // EXPLAIN ANALYZE, or MariaDB's ANALYZE: the statement runs.
  bool analyze_verb = false;  // Written ANALYZE statement.
  bool extended = false;
  bool partitions = false;
  VexplainType vexplain = VexplainType::kPlan;
  Identifier format;               // FORMAT = JSON; may be empty.
  Statement* statement = nullptr;  // May be null.
  TableName table;                 // DESCRIBE t [column]; may be empty.
  Expr* column = nullptr;          // Column or string literal; may be null.
  Expr* connection = nullptr;      // FOR CONNECTION n; may be null.
};

struct Kill : Statement {
  static bool matches(StatementKind kind) { return kind == StatementKind::kKill; }
  bool query = false;           // KILL QUERY; otherwise the connection.
  Toggle hard = Toggle::kNone;  // MariaDB: HARD (kOn) / SOFT (kOff).
  bool query_id = false;        // MariaDB: KILL QUERY ID n
  Expr* id = nullptr;
};

struct Call : Statement {
  static bool matches(StatementKind kind) { return kind == StatementKind::kCall; }
  TableName procedure;
  bool parens = false;
  List<Expr*> args;
};

// PREPARE name FROM source; EXECUTE name [USING ..] or EXECUTE IMMEDIATE source; DEALLOCATE PREPARE name.
struct PreparedStatement : Statement {
  static bool matches(StatementKind kind) {
    return kind == StatementKind::kPrepare || kind == StatementKind::kExecute || kind == StatementKind::kDeallocate;
  }
  Identifier name;         // Empty for EXECUTE IMMEDIATE.
  Expr* source = nullptr;  // PREPARE and EXECUTE IMMEDIATE; may be null.
  List<Expr*> arguments;
};

struct Flush : Statement {
  static bool matches(StatementKind kind) { return kind == StatementKind::kFlush; }
  bool local = false;  // LOCAL or NO_WRITE_TO_BINLOG
  bool flushes_tables = false;
  List<TableName> tables;  // FLUSH TABLES a, b
  bool with_read_lock = false;
  bool for_export = false;
  std::string_view options;  // Otherwise: the options as written ("HOSTS, LOGS").
};

enum class AdminVerb : uint8_t { kAnalyze, kOptimize, kCheck, kRepair, kChecksum };

struct TableAdmin : Statement {
  static bool matches(StatementKind kind) { return kind == StatementKind::kTableAdmin; }
  AdminVerb verb = AdminVerb::kAnalyze;
  bool local = false;
  List<TableName> tables;
  std::string_view options;  // After the names, as written.
};

struct LoadData : Statement {
  static bool matches(StatementKind kind) { return kind == StatementKind::kLoad; }
  bool local = false;
  bool replace = false;
  bool ignore = false;
  Expr* file = nullptr;
  TableName table;
  std::string_view text;  // The whole statement as written.
};

enum class VschemaAction : uint8_t {
  kCreateVindex,
  kDropVindex,
  kAddTable,
  kDropTable,
  kAddVindex,
  kDropTableVindex,
  kAddSequence,
  kDropSequence,
  kAddAutoIncrement,
  kDropAutoIncrement,
};

struct VschemaParameter {
  Identifier name;
  std::string_view value;  // As written.
};

// ALTER VSCHEMA CREATE VINDEX v USING type [WITH k = v, ..] | DROP VINDEX v | ADD TABLE t | DROP TABLE t
//   | ADD SEQUENCE s | DROP SEQUENCE s | ON t ADD VINDEX v (cols) [USING type [WITH ..]] | ON t DROP VINDEX v
//   | ON t ADD AUTO_INCREMENT col USING seq | ON t DROP AUTO_INCREMENT
struct AlterVschema : Statement {
  static bool matches(StatementKind kind) { return kind == StatementKind::kAlterVschema; }
  VschemaAction action = VschemaAction::kAddTable;
  TableName table;         // Table or sequence; may be empty.
  TableName vindex;        // The qualifier is the keyspace; may be empty.
  Identifier vindex_type;  // May be empty.
  List<VschemaParameter> parameters;
  List<Column*> columns;
  TableName sequence;     // Of ADD AUTO_INCREMENT; may be empty.
  std::string_view text;  // The whole statement as written.
};

struct Do : Statement {
  static bool matches(StatementKind kind) { return kind == StatementKind::kDo; }
  List<SelectItem> items;
};

// STREAM * FROM t; VSTREAM * FROM t [WHERE ..] [LIMIT ..]
struct StreamStatement : Statement {
  static bool matches(StatementKind kind) { return kind == StatementKind::kStream || kind == StatementKind::kVstream; }
  Expr* item = nullptr;
  TableName table;
  Expr* where = nullptr;   // May be null.
  Limit* limit = nullptr;  // May be null.
};

// kOther and kVitessMigration: kept as text. Only brackets and the first word were checked.
struct TextStatement : Statement {
  static bool matches(StatementKind kind) {
    return kind == StatementKind::kOther || kind == StatementKind::kVitessMigration;
  }
  std::string_view text;
};

// kEmpty: nothing but comments and semicolons.
struct EmptyStatement : Statement {
  static bool matches(StatementKind kind) { return kind == StatementKind::kEmpty; }
};

}  // namespace vitrail::sql
