#pragma once

#include <optional>
#include <string>
#include <vector>

#include "plan/key_value.h"
#include "plan/routing.h"
#include "plan/row_source.h"
#include "schema/schema.h"

namespace vitrail::plan {

// An INSERT or REPLACE with values that servers compute first: INSERT ... SELECT, subqueries, expressions that place a
// row. Its rows are known when it runs.
struct InsertRows {
  std::string keyspace;
  std::string table;
  // When it has lookup vindexes: for each of them the places of its columns among `columns`; none for the one that is
  // added. And as in ShardedInsert.
  std::shared_ptr<const vschema::Table> with_lookups;
  std::vector<std::vector<std::optional<size_t>>> lookups;
  ShardedInsert::Conflict conflict = ShardedInsert::Conflict::kError;
  std::shared_ptr<const LookupWatch> watch;
  std::shared_ptr<const shard::Vindex> vindex;  // Null: the keyspace is not sharded.
  std::string prefix;                           // "insert into t(a, b) values "
  std::string suffix;                           // " on duplicate key update ... returning ..."
  std::vector<schema::Column> columns;          // Those that are inserted, without one that `sequence_table` adds.
  // A value of each column, in their order.
  struct Cell {
    std::optional<size_t> at;           // Of the source's rows.
    std::string text;                   // Without `at`.
    std::optional<mysql::Value> value;  // Without `at`, in a column of a vindex: what is stored.
    bool wants_value = false;           // Without `at`: NULL, DEFAULT or 0 for a generated column.
  };
  struct Rows {
    std::optional<RowSource> source;  // None: one row, of values that are all known.
    std::vector<Cell> cells;
  };
  std::vector<Rows> rows;
  bool query = false;  // INSERT ... SELECT: tells how many rows there are even when it is one.
  // Columns of the vindex: their places among `columns`; none for the one that is added.
  struct Key {
    std::optional<size_t> at;
    std::string name;
    KeyType type = KeyType::kUnknown;
    ::query::Type column = ::query::NULL_TYPE;
  };
  std::vector<Key> key;
  std::string charset;  // As in Storing.
  bool strict = true;
  bool strict_query = true;  // What the query warns of is an error, too.
  bool ignore = false;
  bool may_change_null = false;  // NULL in a column that cannot be NULL is no error.
  std::string sequence_keyspace;
  std::string sequence_table;
  std::string sequence_problem;
  std::optional<size_t> generated;  // The column that takes the sequence's values; none: it is added behind the others.
  bool servers_insert_id = false;
  bool zero_is_id = false;  // 0 does not ask for a value of the sequence.
};

// An INSERT or REPLACE whose rows have to be placed, or that needs values of a sequence. `tables`: the table that it
// goes into, and those that are read.
Result<std::shared_ptr<const Plan>> plan_insert(sql::Ast& ast, const sql::Insert& insert, const StatementTables& tables,
                                                const PlanContext& context);

// The table that it goes into alone: those that are read are another matter.
Result<StatementTables> route_insert_target(const sql::Insert& insert, const PlanContext& context);

}  // namespace vitrail::plan
