#pragma once

#include <vector>

#include "base/result.h"
#include "net/mysql_client.h"
#include "plan/plan.h"

namespace vitrail::exec {

struct Merged {
  net::QueryResult result;
  uint64_t found_rows = 0;  // What FOUND_ROWS() says then.
};

// Makes one result of the results of several shards, as `merge` says: concatenates, sums aggregates, groups, removes
// duplicates, orders, limits, cuts hidden columns.
//   `results`: at least one, all of the same columns. See refined_forms() (compare.h) before.
//   kUnimplemented  a value that cannot be compared or added here without risk (says which).
//   kResourceExhausted  more than `max_rows` rows.
Result<Merged> merge_results(const plan::Merge& merge, std::vector<net::QueryResult> results, size_t max_rows);

}  // namespace vitrail::exec
