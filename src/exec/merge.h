#pragma once

#include <vector>

#include "base/result.h"
#include "net/mysql_client.h"
#include "plan/plan.h"

namespace vitrail::exec {

// Makes one result of the results of several shards, as `merge` says: concatenates, sums aggregates, groups, removes
// duplicates, orders, limits, cuts hidden columns.
//   `results`: at least one, all of the same columns.
//   kUnimplemented  a value that cannot be compared or added here without risk (says which).
//   kResourceExhausted  more than `max_rows` rows.
Result<net::QueryResult> merge_results(const plan::Merge& merge, std::vector<net::QueryResult> results,
                                       size_t max_rows);

}  // namespace vitrail::exec
