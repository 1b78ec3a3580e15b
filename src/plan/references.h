#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "schema/schema.h"
#include "sql/ast.h"
#include "sql/parser.h"
#include "sql/printer.h"
#include "sql/statement.h"

// Which tables a query uses, in which places, and what of each one: without knowing what its expressions mean.
namespace vitrail::plan {

// A condition on one table, perhaps one that was said of an equal column of another: then `said_of` is that column in
// `expr`, and `column` stands in its place.
struct TableCondition {
  const sql::Expr* expr = nullptr;
  const sql::Column* said_of = nullptr;
  std::string column;
};
// Its text; `options` are changed.
std::string print(const TableCondition& condition, sql::PrintOptions options);

// A place where a query names a table (and not a common table of its own).
struct TableReference {
  const sql::TableName* name = nullptr;
  sql::TableSource* source = nullptr;  // In a FROM clause; null: TABLE t.
  std::string alias;                   // As columns name it, lower case.
  std::string shown;                   // The same as it is written.
  bool all_columns = false;            // By *, TABLE, NATURAL JOIN.
  // Conditions on this table alone without which none of its rows is of use here.
  std::vector<TableCondition> conditions;
  // Columns whose values are those of a column of another table in every row that this table's rows are of use for:
  // rows with other values need not be there. Whole numbers, and texts of one collation.
  struct Link {
    const schema::Column* column = nullptr;
    size_t table = 0;  // Of References::tables.
    const schema::Column* equals = nullptr;
  };
  std::vector<Link> links;
  std::string lock;  // Behind the text that asks for its rows: " for update skip locked".
};

struct References {
  std::vector<TableReference> tables;  // In the order of the statement.
  // Names of columns anywhere in the statement, lower case. Whose column a name is the server decides: a table's column
  // is needed when its name stands anywhere without a qualifier, or with the table's.
  std::set<std::string> names;
  std::set<std::pair<std::string, std::string>> qualified;  // Qualifier and name.
  // Columns that are looked up by other columns, and these: each as in `names` (with an empty qualifier) or
  // `qualified`.
  using ColumnKey = std::pair<std::string, std::string>;
  std::map<ColumnKey, std::set<ColumnKey>> joined;
  std::set<std::string> computed;     // Names that the statement gives to what it computes, lower case.
  std::vector<std::string> assigned;  // User variables that it assigns to (@v := x), lower case, each once.
  // A constant of the statement may be a number with a fraction, or a text of one.
  bool fractions = false;

  bool needs(const TableReference& table, std::string_view column) const;
  bool joins(const TableReference& table, std::string_view column) const;
  // Whether all that looks up this column of whole numbers are columns of whole numbers themselves. `columns`: of the
  // tables, by their index.
  bool joins_whole_numbers(const TableReference& table, std::string_view column,
                           const std::vector<const schema::Table*>& columns) const;
};

// Whether a text may be taken for a number that is not whole: it has a digit, and a point or an exponent.
bool looks_fractional(std::string_view text);

// Columns of the tables in References::tables, by their index; null where they are not known.
using KnownColumns = std::vector<const schema::Table*>;

// The locks of a SELECT are those of the tables in its own FROM clause; find_references() tells them, and they are to
// be taken out of the statement.
//   kUnimplemented: a form whose tables cannot be replaced by copies of their rows (locks inside, MATCH, DEFAULT(c),
//   sequences, FOR SYSTEM_TIME, stored functions), or tables that only their databases tell apart.
Result<References> find_references(const sql::Statement& statement);

// Fills TableReference::links, and TableReference::conditions: conjuncts of WHERE, and of ON, that compare columns of
// one table with literals (and, with `parameters`, parameters), where
//   - the table is not on the side of an outer join that may be missing in the rows that the condition is about, and
//   - every name in them is the table's beyond doubt;
// and what follows for columns that such a condition's column is equal to: of whole numbers, or texts of one collation;
// also between a query and its subqueries.
// What they say holds in the statement all the same, so that leaving one out costs rows and never an answer.
void find_conditions(const sql::Statement& statement, const KnownColumns& columns, bool parameters, References& out);

// Comparisons with values (and, with `parameters`, parameters) alone: they have no errors, no side effects and one
// answer wherever they are computed.
bool is_plain(const sql::Expr* expr, bool parameters);
// Whether what is said of a value of one column is true of an equal value of the other: whole numbers, or texts of one
// collation.
bool alike(const schema::Column& a, const schema::Column& b);
// A text whose values a server takes as literals of its character set.
bool travels(const schema::Column& column);
// What stands in a FROM clause, in its order.
std::vector<sql::TableRef*> items_of(const sql::Select& select);

// Takes USE VINDEX (...) and IGNORE VINDEX (...) out, which no server knows; the shards are found without this advice.
// Whether there was any.
bool remove_vindex_hints(sql::Ast& ast);

}  // namespace vitrail::plan
