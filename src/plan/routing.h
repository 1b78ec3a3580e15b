#pragma once

#include <optional>
#include <string>
#include <vector>

#include "plan/plan.h"
#include "plan/planner.h"
#include "sql/ast.h"
#include "sql/statement.h"
#include "vschema/vschema.h"

// Inside of the planner: which tables a statement uses, and which shards can hold its rows.
namespace vitrail::plan {

struct TableBinding {
  const sql::TableSource* source = nullptr;  // Null for the target of an INSERT.
  std::string alias;                         // As columns name it, lower case.
  std::shared_ptr<const vschema::Table> table;
};

struct StatementTables {
  std::string keyspace;  // Of all tables; empty: no tables.
  bool sharded = false;
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

// The tables of a FROM clause that are named directly, with their joins' conditions; kUnimplemented for shapes that
// cannot be split over shards.
struct FromClause {
  std::vector<TableBinding> tables;
  std::vector<const sql::Expr*> filters;      // Conjuncts that every result row satisfies (WHERE, inner joins).
  std::vector<const sql::Expr*> outer_joins;  // ON conjuncts of outer joins: they say only which rows meet.
};
Result<FromClause> read_from(sql::List<sql::TableRef*> from, const sql::Expr* where, const StatementTables& tables);

// Where the rows of the FROM clause are. kUnimplemented when the tables' rows do not meet on one shard.
Result<Route> route_rows(const FromClause& from, const std::string& keyspace);

// A literal or parameter as a routing value, when it may be one for `vindex`.
std::optional<ValueSource> value_source(const sql::Expr* expr, const shard::Vindex& vindex);

Error unsupported(std::string what);
std::string lower(std::string_view text);
// Of a session's target: "primary", "replica", "rdonly".
::topodata::TabletType type_of(const std::string& name);

}  // namespace vitrail::plan
