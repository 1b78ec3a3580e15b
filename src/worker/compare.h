#pragma once

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "movement/filter.h"
#include "movement/target_table.h"
#include "query.pb.h"

// Rows of an interval of a table on both sides, and what makes one side equal to the other. Pure.
namespace vitrail::worker {

// As the older generation counts: left is the source, right the destination.
struct DiffReport {
  int64_t processed = 0;
  int64_t matching = 0;
  int64_t mismatched = 0;
  int64_t extra_left = 0;
  int64_t extra_right = 0;

  bool differs() const { return mismatched + extra_left + extra_right != 0; }
  void add(const DiffReport& other);
  // "DiffReport{5 processed, 4 matching, 1 mismatched, 0 extra left, 0 extra right, 120 q/s}". The step that finds the
  // end of both sides is counted as well, as it always was.
  std::string to_string(base::Duration took) const;
  // "6 rows processed, 120 qps"
  std::string rate_text(base::Duration took) const;
};

// Which rows belong to a destination: by the VSchema's primary vindex. Immutable.
class RowChooser {
 public:
  // All rows.
  RowChooser() = default;
  // Rows of `range`. `fields`: what rows consist of. kNotFound: the table is not in the VSchema.
  static Result<RowChooser> make(const std::string& table,
                                 const google::protobuf::RepeatedPtrField<::query::Field>& fields,
                                 const std::string& keyspace, const ::vschema::SrvVSchema& vschema,
                                 const std::string& range);
  Result<bool> wants(std::span<const mysql::Cell> cells) const;

 private:
  std::shared_ptr<const movement::RowFilter> filter_;  // Null: all.
  std::vector<mysql::Cell> mutable inputs_;
};

// What is to be done on the right side; rows of the two vectors that were compared.
struct Differences {
  DiffReport report;
  std::vector<const ::query::Row*> write;   // Missing there, or different.
  std::vector<const ::query::Row*> remove;  // Only there, or different.
};
// Both sides have the columns of `table`'s fields. kDataLoss: the left side has two rows of one key.
Result<Differences> compare(const movement::TargetTable& table, const std::vector<const ::query::Row*>& left,
                            const std::vector<const ::query::Row*>& right);

struct WriteLimits {
  size_t rows_max = 100;
  size_t bytes_max = 1u << 20;
};
// Statements that make the right side equal: first the removals, then REPLACE, so that a unique key may change hands.
Result<std::vector<std::string>> write_statements(const movement::TargetTable& table, const Differences& differences,
                                                  const WriteLimits& limits);

}  // namespace vitrail::worker
