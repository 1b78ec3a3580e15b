#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/memory_budget.h"
#include "base/result.h"
#include "exec/compare.h"
#include "exec/row_merge.h"
#include "mysql/protocol.h"
#include "mysql/types.h"
#include "plan/join.h"

// Tables are joined by equal columns, one after the other: the rows of each are asked for by the values that those
// before it have, and kept.
//
//   Use    : for each part of the join, in its order: keys() of what is to be asked (not of the first), begin(), add()
//            its rows, end(). Then rows().
//   Threads: one at a time.
//   Errors : kUnimplemented  values that cannot be compared here.
//            kResourceExhausted  of the budget.
namespace vitrail::exec {

class RowJoin {
 public:
  // `how` must outlive it. `max_rows`: of tables, and of what is joined: beyond it, full() is true.
  RowJoin(const plan::RowJoin& how, size_t max_rows, base::MemoryBudget::Hold* memory)
      : how_(how), max_rows_(max_rows), memory_(memory) {}
  RowJoin(const RowJoin&) = delete;
  RowJoin& operator=(const RowJoin&) = delete;

  struct Keys {
    const plan::RowJoin::Link* link = nullptr;
    std::vector<std::string> values;  // Each once. None: no row of the next part meets another.
  };
  // Of the link that has fewest values.
  Result<Keys> keys() const;

  void begin(std::vector<mysql::ColumnDef> columns);
  // Rows of the text protocol, one behind the other, and where each of them ends.
  Status add(std::string bytes, std::span<const size_t> ends);
  // All have come.
  Status end();
  // There are too many; nothing that it has is of use.
  bool full() const { return full_; }

  // Of the result, hidden ones at the end. A column of an optional table may be NULL.
  std::vector<mysql::ColumnDef> columns() const;
  // The joined rows, in their order, without what LIMIT cuts. They live as long as the join.
  Result<std::vector<std::vector<mysql::Cell>>> rows() const;

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  struct Part {
    std::vector<mysql::ColumnDef> columns;
    std::vector<mysql::Cell> cells;  // Of all rows.
    size_t rows = 0;
    Cells row(size_t i) const { return std::span(cells).subspan(i * columns.size(), columns.size()); }
  };
  // Of the keys of a row; "" where one of them is NULL.
  static Result<std::string> identity(const std::vector<KeyComparer>& keys, std::span<const Cells> rows);
  Status keep(size_t bytes) const;

  const plan::RowJoin& how_;
  const size_t max_rows_;
  base::MemoryBudget::Hold* const memory_;
  std::vector<std::unique_ptr<Part>> parts_;
  std::deque<std::string> bytes_;
  // Rows of the parts that have met, as many numbers for each as the join has parts.
  std::vector<uint32_t> joined_;
  bool full_ = false;
};

}  // namespace vitrail::exec
