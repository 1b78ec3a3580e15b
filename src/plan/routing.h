#pragma once

#include <optional>
#include <string>
#include <vector>

#include "plan/plan.h"
#include "plan/planner.h"
#include "sql/ast.h"
#include "sql/printer.h"
#include "sql/statement.h"
#include "vschema/vschema.h"

// Inside of the planner: which tables a statement uses, and which shards can hold its rows.
namespace vitrail::plan {

struct StatementTables {
  std::string keyspace;  // Of all tables; empty: no tables.
  bool sharded = false;
  std::string routine_keyspace;                               // Named with a function or procedure: `keyspace.f()`.
  bool rewrite = false;                                       // Names in the text differ from those on the servers.
  std::vector<std::pair<std::string, std::string>> renames;   // "qualifier.name" as written -> name on the server.
  std::vector<std::shared_ptr<const vschema::Table>> tables;  // One per use, in the order of collect_tables().
  bool system_schema = false;                                 // information_schema and its kin: any server knows them.
};

// kUnimplemented when tables of several keyspaces are used together.
Result<StatementTables> route_tables(const sql::Statement& statement, const PlanContext& context);

// The statement as the servers know it: keyspace names cut off, tables renamed, parameters replaced when `values` is
// set.
std::string server_text(const sql::Statement& statement, const StatementTables& tables, const PlanContext& context,
                        bool with_values);

sql::PrintOptions server_options(const sql::Statement& statement, const StatementTables& tables,
                                 const PlanContext& context, bool with_values);

// "qualifier.name", as in StatementTables::renames.
std::string name_key(std::string_view qualifier, std::string_view name);

// information_schema and its kin.
bool is_system_schema(std::string_view name);

Error unsupported(std::string what);
// `error` of a statement whose plan needs the columns of a table that no tablet has told yet: it may be tried again
// (Retry::kAfterTopologyRefresh), and its origin names the table as `rule`.
Error without_columns(Error error, const vschema::Table& table);
std::string lower(std::string_view text);
// Of a session's target: "primary", "replica", "rdonly".
::topodata::TabletType type_of(const std::string& name);

}  // namespace vitrail::plan
