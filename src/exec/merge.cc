#include "exec/merge.h"

#include <fmt/core.h>

#include <algorithm>
#include <numeric>
#include <unordered_map>
#include <unordered_set>

#include "exec/compare.h"
#include "exec/number.h"

namespace vitrail::exec {
namespace {

Error unsupported(const std::string& what) { return fail(Code::kUnimplemented, "VT12001: unsupported: " + what); }

class Merger {
 public:
  Merger(const plan::Merge& merge, std::vector<net::QueryResult> results, size_t max_rows)
      : merge_(merge), max_rows_(max_rows), columns_(std::move(results.front().columns)) {
    out_.result.ok = results.front().ok;
    for (auto& result : results) {
      warnings_ += result.ok.warnings;
      rows_.insert(rows_.end(), std::make_move_iterator(result.rows.begin()),
                   std::make_move_iterator(result.rows.end()));
    }
  }

  Result<Merged> run() {
    if (rows_.size() > max_rows_) {
      return fail(Code::kResourceExhausted, fmt::format("in-memory row count exceeded allowed limit of {}", max_rows_));
    }
    if (merge_.warnings_refuse && warnings_ > 0) {
      return unsupported("GROUP BY an alias that may be the name of a column too, over several shards");
    }
    hidden_ = columns_.size() - std::min<size_t>(merge_.hidden_columns, columns_.size());
    if (!merge_.aggregates.empty()) RETURN_IF_ERROR(aggregate());
    if (merge_.distinct) RETURN_IF_ERROR(make_distinct());
    RETURN_IF_ERROR(sort());
    out_.found_rows = rows_.size();
    cut();
    if (!merge_.count_found_rows) out_.found_rows = rows_.size();
    out_.result.columns = std::move(columns_);
    out_.result.columns.resize(hidden_);
    for (auto& row : rows_) row.resize(hidden_);
    out_.result.rows = std::move(rows_);
    return std::move(out_);
  }

 private:
  // Bytes that are the same for rows whose keys are all equal, and for no others.
  Result<std::string> identity(const std::vector<KeyComparer>& keys, const Row& row) const {
    std::string out;
    for (const auto& key : keys) {
      if (key.is_null(row)) {
        out += "N";
        continue;
      }
      ASSIGN_OR_RETURN(const std::string bytes, key.identity(row));
      out += fmt::format("V{}:", bytes.size()) + bytes;
    }
    return out;
  }

  std::vector<KeyComparer> comparers(const std::vector<plan::Merge::Key>& keys) const {
    std::vector<KeyComparer> out;
    for (const auto& key : keys) out.emplace_back(key, columns_, hidden_);
    return out;
  }

  Status aggregate() {
    std::unordered_map<std::string, size_t> groups;
    std::vector<Row> merged;
    const auto keys = comparers(merge_.group_by);
    for (auto& row : rows_) {
      ASSIGN_OR_RETURN(const std::string key, identity(keys, row));
      const auto [found, fresh] = groups.emplace(key, merged.size());
      if (fresh) {
        merged.push_back(std::move(row));
        continue;
      }
      Row& into = merged[found->second];
      for (const auto& item : merge_.aggregates) RETURN_IF_ERROR(add(item, into, row));
    }
    rows_ = std::move(merged);
    return {};
  }

  Status add(const plan::Merge::Aggregate& item, Row& into_row, const Row& row) {
    using plan::AggregateFunction;
    auto& into = into_row[item.column];
    const auto& value = row[item.column];
    if (item.function == AggregateFunction::kAny || !value) return {};
    const mysql::ColumnDef& column = columns_[item.column];
    if (item.function == AggregateFunction::kCount || item.function == AggregateFunction::kSum) {
      if (!into) {
        into = value;
        return {};
      }
      if (mysql::is_float_type(column.type)) return unsupported("sums of floating-point numbers over several shards");
      auto sum = add_decimals(*into, *value);
      if (!sum) return unsupported("a sum of values that are no decimal numbers");
      into = std::move(*sum);
      return {};
    }
    if (column.type == mysql::FieldType::kBit) return unsupported("MIN and MAX of BIT over several shards");
    if (into) {
      const KeyComparer comparer({.column = item.column, .weight = item.weight}, columns_, hidden_, true);
      ASSIGN_OR_RETURN(const int order, comparer.compare(into_row, row));
      if (item.function == AggregateFunction::kMin ? order <= 0 : order >= 0) return {};
    }
    into = value;
    if (item.weight) {
      for (const size_t at : {hidden_ + *item.weight, hidden_ + *item.weight + 1}) into_row[at] = row[at];
    }
    return {};
  }

  Status make_distinct() {
    std::vector<plan::Merge::Key> visible;
    for (uint32_t i = 0; merge_.distinct_by.empty() && i < hidden_; ++i) visible.push_back({.column = i});
    const auto keys = comparers(merge_.distinct_by.empty() ? visible : merge_.distinct_by);
    std::unordered_set<std::string> seen;
    std::vector<Row> kept;
    for (auto& row : rows_) {
      ASSIGN_OR_RETURN(std::string key, identity(keys, row));
      if (seen.insert(std::move(key)).second) kept.push_back(std::move(row));
    }
    rows_ = std::move(kept);
    return {};
  }

  Status sort() {
    if (merge_.order_by.empty()) return {};
    const auto keys = comparers(merge_.order_by);
    std::optional<Error> error;
    std::vector<size_t> order(rows_.size());  // Rows that are equal stay in the order in which they came.
    std::iota(order.begin(), order.end(), size_t{0});
    // A heap sort: it stays inside the range even when a comparison fails half-way.
    std::partial_sort(order.begin(), order.end(), order.end(), [&](size_t x, size_t y) {
      for (size_t i = 0; i < keys.size(); ++i) {
        const auto compared = keys[i].compare(rows_[x], rows_[y]);
        if (!compared.ok()) {
          if (!error) error = compared.error();
          return x < y;
        }
        if (*compared != 0) return merge_.order_by[i].descending ? *compared > 0 : *compared < 0;
      }
      return x < y;
    });
    if (error) return std::move(*error);
    std::vector<Row> sorted;
    sorted.reserve(rows_.size());
    for (const size_t i : order) sorted.push_back(std::move(rows_[i]));
    rows_ = std::move(sorted);
    return {};
  }

  void cut() {
    const size_t skip = std::min<size_t>(merge_.offset, rows_.size());
    rows_.erase(rows_.begin(), rows_.begin() + static_cast<ptrdiff_t>(skip));
    if (merge_.limit && rows_.size() > *merge_.limit) rows_.resize(*merge_.limit);
  }

  const plan::Merge& merge_;
  const size_t max_rows_;
  std::vector<mysql::ColumnDef> columns_;
  std::vector<Row> rows_;
  size_t hidden_ = 0;  // Number of columns before the hidden ones.
  uint64_t warnings_ = 0;
  Merged out_;
};

}  // namespace

Result<Merged> merge_results(const plan::Merge& merge, std::vector<net::QueryResult> results, size_t max_rows) {
  Merger merger(merge, std::move(results), max_rows);
  return merger.run();
}

}  // namespace vitrail::exec
