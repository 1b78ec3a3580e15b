#pragma once

#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "plan/plan.h"
#include "plan/planner.h"
#include "schema/schema.h"

// The third way of a query that spans shards: the rows of each table that it names go into a temporary table of one
// server, and the query, on these tables, runs there. So whatever it is, its meaning is the server's.
namespace vitrail::plan {

// A table in a place of the query.
struct FinishInput {
  std::string keyspace;
  std::string table;       // In its keyspace.
  std::string shown;       // As results name it: its alias.
  std::string scratch;     // The temporary table.
  std::string create;      // CREATE TEMPORARY TABLE, but for the engine.
  bool in_memory = false;  // All its columns may be in a table of the engine MEMORY, and its rows are not wide.
  // Those that the query needs, in the order of the table. None: only how many rows there are counts, and the temporary
  // table has one column of its own.
  std::vector<schema::Column> columns;
  std::shared_ptr<const Plan> rows;  // Where they come from, and the text that asks for them, in schema::Form each.
  std::string lock;                  // Behind that text: " for update".
  // Rows of several shards are put in the order in which one server has them: their column in this place, a whole
  // number (of the rows' last column, when it is none of `columns`), and what sorts each shard's by it.
  std::optional<size_t> order_place;
  std::string order;
  // Conditions of its own choose among its rows.
  bool filtered = false;
  // Where only rows are of use whose `column` (as `text` names it) is among the values that another input's column
  // has in the rows that are copied: the input of that number, and the place of the column in its `columns`.
  struct Link {
    std::string column;
    size_t input = 0;
    size_t place = 0;
    std::string charset;  // Of a text; empty: a whole number.
  };
  std::vector<Link> links;
  std::string text;    // As `rows` was planned from it;
  std::string source;  // the same from its FROM on.
};

// The rows that are read stay locked: those of the tables with these aliases for a change, all others for reading.
struct FinishLocks {
  std::set<std::string> changed;
};

struct RowJoin;

struct Finish {
  std::vector<FinishInput> inputs;
  std::string text;  // The query on the temporary tables.
  // User variables that it assigns to: it runs with those of the session, and tells what became of these.
  std::vector<std::string> assigned;
  // What may be done instead, as long as it is a join of not too many rows (see plan/join.h); null: nothing.
  std::shared_ptr<const RowJoin> join;
};

inline bool is_joined(const Plan& plan) { return plan.finish != nullptr && plan.finish->join != nullptr; }

// Plans a text that asks for the rows of one table.
Result<std::shared_ptr<const Plan>> plan_input(std::string text, const PlanContext& context);

// The plan of an input's rows of which a link's column is among these values, in the form of its input's rows. No
// values: of none of its rows.
Result<std::shared_ptr<const Plan>> plan_linked_input(const FinishInput& input, const FinishInput::Link& link,
                                                      std::span<const std::string> values, const PlanContext& context);

// "insert into `scratch` values (?,?),(?,?)", for as many rows.
std::string insert_text(const FinishInput& input, size_t rows);

// Plans a SELECT (UNION, WITH, VALUES ...) this way. `ast` is changed. Parameters stay where they are when the context
// has no values.
//   kNotFound        a table that is not there.
//   kUnimplemented   find_references() tells why; or the columns of a table are not known (yet).
Result<std::shared_ptr<const Plan>> plan_finish(sql::Ast& ast, const PlanContext& context,
                                                const FinishLocks* locks = nullptr);

}  // namespace vitrail::plan
