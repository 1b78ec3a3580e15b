#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "plan/plan.h"
#include "plan/planner.h"
#include "plan/row_source.h"
#include "schema/schema.h"
#include "sql/printer.h"

// UPDATE and DELETE whose rows no shard finds alone (LIMIT, subqueries, joins), or that may take rows to other shards.
// First a query finds the rows, locks them and tells their primary keys; then each shard changes its own by their keys.
namespace vitrail::plan {

// One of the tables whose rows change.
struct ChangeTarget {
  std::string keyspace;
  std::string table;
  std::shared_ptr<const shard::Vindex> vindex;  // Null: the keyspace is not sharded.
  // Of the rows found: the primary key's columns from `key_at` on, and those that tell the shard from `place_at` on; in
  // schema::Form each. A NULL in the key: no row of this table (outer join).
  std::vector<schema::Column> key;
  size_t key_at = 0;
  std::vector<schema::Column> place;
  size_t place_at = 0;
  // A statement is `before` [assignments] " where " keys `after`.
  std::string before;
  std::string after;
  std::string qualifier;  // Of the key's columns: "" or "`a`."
  // Assignments whose values were computed with the rows: each row gets a statement of its own.
  struct Value {
    schema::Column column;
    std::optional<size_t> at;  // Of the rows found.
    std::string text;          // Without `at`: DEFAULT.
  };
  std::vector<Value> values;
  bool exact = true;  // Rows that are found and not changed are an error.
  // Not empty: the key may be another one afterwards, and each row gets a statement of its own.
  struct NewKey {
    std::optional<size_t> at;  // Of the rows found, as the assigned expression's value; none: it stays.
  };
  std::vector<NewKey> new_key;
  // The rows may have to go to other shards: all columns that make a row.
  struct Move {
    std::vector<schema::Column> columns;
  };
  std::optional<Move> move;
  std::shared_ptr<const LookupWatch> watch;  // Lookup vindexes learn of the change. See plan/lookup.h.
  bool one_by_one() const { return !values.empty() || !new_key.empty() || (watch != nullptr && !exact); }
};

struct Change {
  RowSource rows;
  std::vector<ChangeTarget> targets;
  bool update = false;
  bool strict = false;  // What the query warns of is an error.
};

// The condition that one row satisfies; `literals` are the key's, in its order.
std::string key_condition(const ChangeTarget& target, const std::vector<std::string>& literals);

// " returning a, b as c"; "" for none. The names that clients see are those of `statement`, the text of the items.
std::string returning_text(sql::List<sql::SelectItem> items, const sql::PrintOptions& options,
                           std::string_view statement);

// Plans an UPDATE or DELETE this way. `ast` is not changed; parameters must be known.
//   kUnimplemented  not provably what one server would do.
Result<std::shared_ptr<const Plan>> plan_change_by_key(sql::Ast& ast, const PlanContext& context);

}  // namespace vitrail::plan
