#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "movement/server_session.h"
#include "movement/stream_plan.h"
#include "movement/table_schema.h"
#include "query.pb.h"

// Rows as they come, with the columns that expressions read, become the rows that the target is to have. This is done
// as they arrive, for a copy, for events and for VDiff alike, so that all behind it sees columns and values only.
namespace vitrail::movement {

using Fields = google::protobuf::RepeatedPtrField<::query::Field>;

// How one table's rows are made. Immutable.
class DerivedColumns {
 public:
  // `arriving`: what the source sends for the plan's source_filter().
  //   kFailedPrecondition: a column is missing on either side. kUnimplemented: of a type that is not computed with.
  static Result<DerivedColumns> bind(const TablePlan& plan, const TableSchema& target, const Fields& arriving);

  const Fields& fields() const { return fields_; }  // Of the rows that are made.
  size_t arriving() const { return arriving_.size(); }
  size_t computed() const { return computed_; }
  // What is computed of one row, as the items of a SELECT, each with ", " behind it.
  Status append_items(std::string& sql, const std::vector<mysql::Cell>& cells) const;
  // The row itself; `values`: what was computed of it, in order.
  ::query::Row make_row(const std::vector<mysql::Cell>& cells, const std::optional<std::string>* values) const;

 private:
  struct Item {
    size_t field = 0;  // That arrives; without an expression.
    bool is_computed = false;
    RowExpression expression;
    std::vector<size_t> inputs;  // Fields that arrive, one for each of the expression's columns.
    Column column;               // Of the target.
  };
  std::vector<::query::Field> arriving_;
  std::vector<Item> items_;
  Fields fields_;
  size_t computed_ = 0;
};

// The target's server, which computes. A connection of its own: the stream's may be busy while rows arrive.
//   Threads: one loop, one call at a time.
class Deriver {
 public:
  explicit Deriver(ServerLogin login) : login_(std::move(login)) {}

  // The rows become those that are made. After an error some of them have.
  net::Task<Status> derive(const DerivedColumns& columns, std::vector<::query::Row*> rows, net::Wait wait);

 private:
  net::Task<Status> derive_some(const DerivedColumns& columns, std::span<::query::Row*> rows, net::Wait wait);

  const ServerLogin login_;
  std::unique_ptr<ServerSession> session_;
};

}  // namespace vitrail::movement
