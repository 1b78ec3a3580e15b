#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "base/result.h"
#include "mysql/types.h"
#include "plan/plan.h"
#include "schema/schema.h"
#include "sql/parser.h"

namespace vitrail::vschema {
class VSchema;
}

namespace vitrail::plan {

struct PlanContext {
  const vschema::VSchema* vschema = nullptr;
  const schema::Snapshot* schema = nullptr;  // Null: no tables' columns are known.
  bool may_finish = true;                    // Plans of Plan::Kind::kFinish may be made.
  std::string keyspace;                      // The session's keyspace; empty: global routing.
  std::string tablet_type = "primary";       // Of the session's target: routing rules differ by it.
  // The parameters of a prepared statement that is about to run, in text form; empty when the plan is made for the
  // fingerprint alone (COM_STMT_PREPARE, or a statement without parameters).
  std::span<const mysql::Value> parameters;
  bool has_parameters = false;  // `parameters` holds the values (perhaps none).
  // How many of the statement's literals can be found again by their index; values of those behind become constants.
  size_t literal_positions = SIZE_MAX;
  std::string charset = "utf8mb4";  // Of the connection: that of the statement's strings.
  bool strict = true;               // The session's sql_mode refuses values that do not fit; false: they are changed.
  bool full_groups = false;         // The session's sql_mode has ONLY_FULL_GROUP_BY.
  bool zero_is_id = false;          // And NO_AUTO_VALUE_ON_ZERO: 0 does not ask for a generated value.
  std::map<uint32_t, KeyForm> key_forms;  // See exec/merge.h: refined_forms().
};

// The statement as a text with places for its parameters; null without parameters.
std::shared_ptr<const ParameterText> parameter_text(sql::Ast& ast);

// A parameter's value as a literal of its type.
void append_parameter(std::string& out, const mysql::Value& value);

// For sql::PrintOptions::expr: puts literals in the place of parameters. `parameters` must outlive it.
std::function<bool(const sql::Expr&, std::string&)> parameter_printer(const sql::Statement& statement,
                                                                      std::span<const mysql::Value> parameters);

// Plans one statement that reads or changes tables: SELECT, INSERT, REPLACE, UPDATE, DELETE, DDL, SHOW on tables,
// EXPLAIN, LOAD DATA, CALL, table administration. Session statements (SET, USE, BEGIN, ...) are the gate's own
// business.
//
//   kNotFound         unknown table or keyspace: "table t1 not found", "VT05003: unknown database 'x' in vschema".
//   kInvalidArgument  ambiguous or wrong in itself.
//   kUnimplemented    "VT12001: unsupported: ...": a plan that is not provably right is refused, never guessed.
//
// When parameters are needed to plan but absent (a sharded INSERT, LIMIT ?), the plan for COM_STMT_PREPARE is a kRoute
// to any shard, good for learning the shape of the answer; execution plans again with the values. `ast` is changed:
// what the plan needs in addition goes into its tree.
Result<std::shared_ptr<const Plan>> plan_statement(sql::Ast& ast, const PlanContext& context);

// Whether a statement changes nothing and locks nothing: it may go to replicas then.
bool reads_only(const sql::Statement& statement);
// What a query asks of the session that only the connection knows on which it ran: Plan::asks_found_rows and its kin.
void note_questions(const sql::Statement& statement, Plan& plan);

}  // namespace vitrail::plan
