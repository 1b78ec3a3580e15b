#include "exec/merge.h"

#include <algorithm>

#include "exec/row_merge.h"

namespace vitrail::exec {
namespace {

// Of rows that are all here, those of each shard in their order.
Result<std::vector<Row>> rows_in_order(const RowMerge& merge, std::vector<net::QueryResult>& results) {
  InOrder heads(merge, results.size());
  std::vector<size_t> next(results.size(), 0);
  std::vector<mysql::Cell> room;
  const auto push = [&](size_t shard) -> Status {
    const auto& rows = results[shard].rows;
    return next[shard] < rows.size() ? heads.push(shard, cells_of(rows[next[shard]], room)) : Status{};
  };
  for (size_t i = 0; i < results.size(); ++i) RETURN_IF_ERROR(push(i));
  std::vector<Row> out;
  while (!heads.empty()) {
    ASSIGN_OR_RETURN(const auto head, heads.pop());
    out.push_back(std::move(results[head.shard].rows[next[head.shard]++]));
    RETURN_IF_ERROR(push(head.shard));
  }
  return out;
}

}  // namespace

Result<Merged> merge_results(const plan::Merge& merge, std::vector<net::QueryResult> results, size_t max_rows) {
  RowMerge rows(merge, std::move(results.front().columns), {.max_rows = max_rows});
  Merged out;
  out.result.ok = results.front().ok;
  size_t total = 0;
  uint64_t warnings = 0;
  for (const auto& result : results) {
    total += result.rows.size();
    warnings += result.ok.warnings;
  }
  if (total > max_rows) return too_many_rows(max_rows);
  RETURN_IF_ERROR(check_warnings(merge, warnings));
  std::vector<Row> met;
  std::vector<mysql::Cell> room;
  if (rows.form() == RowMerge::Form::kInOrder) {
    ASSIGN_OR_RETURN(met, rows_in_order(rows, results));
  } else {
    for (auto& result : results) {
      const auto shard = static_cast<size_t>(&result - results.data());
      for (auto& row : result.rows) {
        if (rows.form() == RowMerge::Form::kGroups) {
          RETURN_IF_ERROR(rows.add(cells_of(row, room), shard));
        } else {
          met.push_back(std::move(row));
        }
      }
    }
    if (rows.form() == RowMerge::Form::kGroups) {
      ASSIGN_OR_RETURN(met, rows.groups());
    }
  }
  for (auto& row : met) {
    ASSIGN_OR_RETURN(const bool fresh, rows.is_new(cells_of(row, room)));
    if (!fresh || !rows.admit()) continue;
    row.resize(rows.visible());
    out.result.rows.push_back(std::move(row));
  }
  out.found_rows = rows.found_rows();
  out.result.columns = rows.columns();
  out.result.columns.resize(rows.visible());
  return out;
}

}  // namespace vitrail::exec
