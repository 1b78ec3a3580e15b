#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/memory_budget.h"
#include "base/result.h"
#include "exec/compare.h"
#include "mysql/types.h"
#include "plan/plan.h"

// Rows of several shards become those of one server, one row at a time: what is kept is what must be kept (groups, and
// what has been seen of DISTINCT), under a budget.
namespace vitrail::exec {

// What rows that are kept may take.
struct RowLimits {
  size_t max_rows = 0;
  base::MemoryBudget::Hold* memory = nullptr;  // Null: no bytes are counted. Must outlive the merge.
};

// More rows than may be kept.
Error too_many_rows(size_t max_rows);
// Whether the shards' answers are of use, with so many warnings: see plan::Merge::warnings_refuse.
Status check_warnings(const plan::Merge& merge, uint64_t warnings);

class RowMerge {
 public:
  // How rows reach the client.
  enum class Form : uint8_t {
    kAsTheyCome,
    // The shards' rows come in the order of `order_by`: see InOrder. Of DISTINCT without an order, too: of equal rows
    // that of the first shard is shown, whoever answers first.
    kInOrder,
    kGroups,  // When all have come.
  };
  // `merge` must outlive it. `columns`: those of the shards.
  RowMerge(const plan::Merge& merge, std::vector<mysql::ColumnDef> columns, RowLimits limits);
  RowMerge(const RowMerge&) = delete;
  RowMerge& operator=(const RowMerge&) = delete;

  Form form() const;
  // How many of the shards' columns the client sees.
  size_t visible() const { return hidden_; }
  const std::vector<mysql::ColumnDef>& columns() const { return columns_; }
  // Else is_new() is true of every row.
  bool distinct() const { return merge_.distinct; }

  // kGroups: takes a row of a shard. Each shard's come in their order, but those of several in any: of equal texts
  // ("a" and "A") those of the first shard are shown, and groups without an order come in that of their keys.
  //   kUnimplemented  a value that cannot be compared or added here without risk (says which).
  //   kResourceExhausted  more than the limits allow.
  Status add(Cells row, size_t shard);
  // kGroups: all of them, in their order; whole rows of the shards. To be passed through admit().
  Result<std::vector<Row>> groups();

  // In every form: whether the next row goes to the client; counts it. Rows that are not distinct have to be asked for
  // by is_new() before.
  bool admit();
  // Whether DISTINCT has not seen this row yet; true without DISTINCT.
  Result<bool> is_new(Cells row);
  // No further row goes to the client, and none has to be counted.
  bool done() const;
  // What FOUND_ROWS() says.
  uint64_t found_rows() const { return merge_.count_found_rows ? met_ : sent_; }

  // -1, 0, 1 by `order_by`, with its directions.
  Result<int> compare(Cells a, Cells b) const { return compare(order_by_, merge_.order_by, a, b); }

 private:
  struct Group {
    Row row;
    size_t shard = 0;              // Whose values of kAny it shows;
    size_t place = 0;              // when they came.
    std::vector<size_t> extremes;  // Of each aggregate: whose MIN or MAX it shows. Empty: there are none.
  };
  Result<std::string> identity(const std::vector<KeyComparer>& keys, Cells row) const;
  // `leads`: the row comes before those that the group has.
  Status fold(size_t item, Group& group, Cells row, size_t shard, bool leads) const;
  Result<bool> leads(const Group& group, Cells row, size_t shard) const;
  Status take_extreme(size_t item, Group& group, Cells row, size_t shard) const;
  Result<std::vector<size_t>> sorted(const std::vector<Group>& groups) const;
  Status add_up(size_t place, Row& into_row, Cells row) const;
  Status divide(const plan::Merge::Aggregate& item, Row& row) const;
  Result<bool> satisfies(const plan::Merge::Condition& condition, const Row& row) const;
  Status keep(size_t rows, size_t bytes);
  std::vector<KeyComparer> comparers(const std::vector<plan::Merge::Key>& keys) const;
  static Result<int> compare(const std::vector<KeyComparer>& by, const std::vector<plan::Merge::Key>& keys, Cells a,
                             Cells b);

  const plan::Merge& merge_;
  const std::vector<mysql::ColumnDef> columns_;
  const RowLimits limits_;
  size_t hidden_ = 0;  // Number of columns before the hidden ones.
  bool extremes_ = false;
  std::vector<KeyComparer> order_by_, group_by_, distinct_by_, first_row_;
  std::unordered_map<std::string, size_t> places_;  // Of groups.
  std::vector<Group> groups_;
  size_t taken_ = 0;
  std::unordered_set<std::string> seen_;
  uint64_t met_ = 0;
  uint64_t sent_ = 0;
};

// The first rows of several shards that each come in order: which one is next.
//   Owns  : no bytes: those of a row must stay where they are until what pop() returned of it has been used.
//   Errors: of RowMerge::compare(); nothing is of use after one.
class InOrder {
 public:
  InOrder(const RowMerge& merge, size_t shards) : merge_(merge), rows_(shards) { heads_.reserve(shards); }
  // The next row of a shard, which has none here.
  Status push(size_t shard, Cells row);
  bool empty() const { return heads_.empty(); }
  struct Head {
    size_t shard = 0;
    Cells row;  // Until this shard's next push().
  };
  // Takes the first of all; of equal ones that of the first shard.
  Result<Head> pop();

 private:
  Result<bool> before(size_t a, size_t b) const;

  const RowMerge& merge_;
  std::vector<std::vector<mysql::Cell>> rows_;  // Of each shard.
  std::vector<size_t> heads_;                   // A heap of shards.
};

}  // namespace vitrail::exec
