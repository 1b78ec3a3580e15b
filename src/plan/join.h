#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "plan/finish.h"
#include "plan/plan.h"
#include "plan/references.h"

// A join that needs no server: tables whose columns are equal, each asked for its own rows by the values that the rows
// of the tables before have. What else a statement may say is about one table alone, and its own servers answer it.
namespace vitrail::plan {

struct RowJoin {
  // By which a table's rows meet those of one that was asked before.
  struct Link {
    Merge::Key own;  // In its rows (none is `hidden`);
    size_t part = 0;
    Merge::Key other;           // in the rows of that part;
    size_t place = 0;           // and there what goes into the list of values.
    FinishInput::Link by_list;  // How the table is asked for these.
  };
  // One table.
  struct Part {
    FinishInput rows;  // What asks for them, and where; nothing of it goes to a scratch session.
    std::vector<Link> links;
    bool optional = false;  // Of an outer join: rows of the others stay without it.
  };
  struct Column {
    size_t part = 0;
    size_t place = 0;
  };
  std::vector<Part> parts;      // In the order in which they are asked.
  std::vector<Column> columns;  // Of the result, and behind them those by which it is sorted.
  Merge merge;                  // What becomes of the joined rows: order, offset, limit.
};

// The join that a finished SELECT is; null: it is more than that. To be called before the statement is rewritten.
// `inputs`: of the same tables as `references.tables`.
std::shared_ptr<const RowJoin> plan_row_join(const sql::Statement& statement, const References& references,
                                             const KnownColumns& known, const std::vector<FinishInput>& inputs,
                                             const PlanContext& context);

}  // namespace vitrail::plan
