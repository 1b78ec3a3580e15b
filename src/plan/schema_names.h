#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "plan/plan.h"
#include "schema/schema.h"
#include "sql/parser.h"

// Clients see keyspaces where servers have databases, which are mostly called otherwise ("vt_commerce"). Statements
// about names (information_schema, SHOW) are changed so that they mean, and answer, the keyspaces' names.
namespace vitrail::plan {

struct SchemaNames {
  // Keyspace -> its database on the servers. Keyspaces whose database is not known may be missing.
  const std::map<std::string, std::string, std::less<>>* databases = nullptr;
  const schema::Snapshot* schema = nullptr;  // Of it the tables of information_schema count.
  std::string keyspace;     // The session's; empty: none. Or "information_schema", which is nobody's keyspace.
  std::string processlist;  // A query in the place of PROCESSLIST; empty: the server's own.
  std::string tables;       // The same of TABLES, of `numbers_of`: see plan/table_numbers.h;
  std::string statistics;   // and of STATISTICS.
  std::string numbers_of;   // A keyspace.

  // "" when it is not known.
  std::string database_of(std::string_view of) const;
};

inline constexpr std::string_view kInformationSchema = "information_schema";

// Whether a session may choose it in the place of a keyspace.
bool is_information_schema(std::string_view name);

// Of a session in information_schema, which has no stored functions and procedures: fails for one that is named without
// a database. The server would look for it in the database of the keyspace that happens to answer.
Status check_routines(const sql::Statement& statement);

// A plan for a statement that reads tables of information_schema and no others; nullopt: it is none. Columns that hold
// names of databases (table_schema and its kin) are compared, sorted and shown as keyspaces; a comparison with one
// particular keyspace sends the statement there; SCHEMATA lists all keyspaces, PROCESSLIST (such a plan is not
// cacheable) what `names` says. `values`: of its parameters, empty when they are not known. Changes `ast`.
// kUnimplemented: it compares with several keyspaces, which no server has all.
Result<std::optional<Plan>> plan_information_schema(sql::Ast& ast, const SchemaNames& names,
                                                    std::span<const mysql::Value> values);

// Whether the statement names INFORMATION_SCHEMA.PROCESSLIST.
bool names_processlist(const sql::Statement& statement, std::string_view session_keyspace);

// SHOW CREATE DATABASE of a keyspace; nullopt: it is another statement, or no keyspace.
std::optional<Plan> plan_show_create_database(const sql::Show& show, const SchemaNames& names);
// Adds to the plan of a SHOW, which has changed `show`, what it needs for names in its WHERE and in its answer.
void name_show(const sql::Show& show, const SchemaNames& names, Plan& plan);

// Whether cells of a column may be names of databases.
bool is_schema_column(std::string_view name);

// A server's text ("Table 'vt_commerce.t' doesn't exist") with the names that clients know.
std::string with_keyspaces(std::string text, const std::map<std::string, std::string, std::less<>>& databases);

}  // namespace vitrail::plan
