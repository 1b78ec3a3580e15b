#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "movement/stream_plan.h"
#include "movement/table_schema.h"

// A table of the target whose rows are groups of the source's: count(*) and sum().
//
// A row that comes adds one, and a row that goes takes one away, in the transaction that commits the position. Unlike
// a row that is replaced by itself, neither may happen twice. So while the table is being copied another claim holds
// than in stream.h: at each committed position p the groups are those of all source rows as of p with keys up to the
// last key copied, and of no others. An event keeps it: what it says of rows behind that key is passed over. A chunk
// keeps it: at p = S it is all source rows in its interval as of S, none of which has counted yet. To know which rows
// are behind the last key this side compares keys, so that they have to be whole numbers.
namespace vitrail::movement {

class AggregateTable {
 public:
  // `fields`: what the source sends. kFailedPrecondition: the target's key is not what is grouped by, or a column is
  // missing or of a kind that cannot be added up exactly.
  static Result<AggregateTable> bind(const TableSchema& target, std::string_view database, const TablePlan& plan,
                                     const google::protobuf::RepeatedPtrField<::query::Field>& fields);

  // How far the copy is: all rows up to `last`; without a row none, without a value all.
  Status set_copied(const std::optional<::query::QueryResult>& last);
  Result<bool> is_copied(const ::query::Row& row) const;

  // Statements that count the row, or take it away.
  Status add(const ::query::Row& row, std::vector<std::string>& statements);
  Status remove(const ::query::Row& row, std::vector<std::string>& statements);

 private:
  struct Part {
    size_t field;   // Of the source's.
    size_t column;  // Of the target's.
  };
  Status read(const ::query::Row& row) const;
  std::string group_condition() const;

  TableSchema schema_;
  std::string table_;
  std::string source_;
  std::vector<RowQuery::Item> items_;  // In the order of the columns that are written.
  std::vector<Part> groups_;
  std::vector<Part> sums_;
  std::optional<size_t> count_;  // A column of the target.
  std::vector<size_t> key_;      // Fields.
  std::vector<::query::Type> types_;
  std::string head_;
  std::string tail_;  // Behind ON DUPLICATE KEY UPDATE.
  bool all_copied_ = true;
  std::vector<__int128> last_;  // Empty: nothing is copied.
  mutable std::vector<mysql::Cell> cells_;
};

}  // namespace vitrail::movement
