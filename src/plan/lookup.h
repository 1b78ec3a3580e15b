#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plan/from.h"
#include "plan/plan.h"
#include "schema/schema.h"

// Lookup vindexes: what a statement asks their tables, and what it does to them.
namespace vitrail::plan {

// Whether every two values that are equal in a vindex column are equal in the lookup's column that stands for it, and
// whatever the vindex column stores the other one stores as well. Only then the lookup's table may be asked.
bool follows(shard::Lookup::Form form, const schema::Column& column, const schema::Column& from);

// Of a route to all shards: sets what a lookup vindex knows better, by the conditions that all rows fulfil.
void narrow(const FromClause& from, const PlanContext& context, Route& route);

// What an UPDATE (`set`) or a DELETE (`removes`) does to the lookup vindexes of its table; null: nothing.
// kUnimplemented: what cannot be maintained.
struct ChangeForm {
  sql::List<sql::Assignment> set;
  const sql::Expr* where = nullptr;
  bool removes = false;
  bool cut = false;  // LIMIT or ORDER BY.
  bool ignore = false;
  bool returning = false;
};
Result<std::shared_ptr<const LookupChange>> plan_lookup_change(const FromClause& from, const ChangeForm& form,
                                                               const sql::Statement& statement,
                                                               const StatementTables& tables,
                                                               const PlanContext& context);

// What a table's lookup vindexes have to learn of a change is the difference between its rows before and after it.
struct LookupWatch {
  std::shared_ptr<const vschema::Table> table;
  std::vector<size_t> uses;         // Of table->lookups: those whose rows may change.
  std::vector<schema::Column> key;  // The primary key.
  // Of an INSERT that may meet rows that are there: for each unique key its columns' places among those that are
  // inserted.
  std::vector<std::vector<std::pair<std::string, size_t>>> unique;
};

// The rows for which `condition` holds, locked: the columns of the primary vindex, those of each use, and the primary
// key in its schema::Form.
std::string watch_query(const LookupWatch& watch, std::string_view condition);

// "(a = 1 and b = 2) or (c = 3)": rows that are in the way of one with these literals; "" for one: it is in nobody's
// way by that column. "" when there can be none.
std::string conflict_condition(const LookupWatch& watch, const std::vector<std::string>& literals);

// The value that a column stores of a result's cell, as a lookup's table is told it.
//   kUnimplemented  it may store another one.
Result<mysql::Value> lookup_cell(const schema::Column& column, mysql::Value value, bool strict);

// Whether the value, as it is written, is what the column will store: else what the lookup's table is told may be
// another one.
bool stores_unchanged(const schema::Column& column, const mysql::Value& value);

}  // namespace vitrail::plan
