#include "exec/row_merge.h"

#include <fmt/core.h>

#include <algorithm>
#include <numeric>

#include "exec/number.h"

namespace vitrail::exec {
namespace {

// What a kept row or key takes beside its bytes.
constexpr size_t kRowOverhead = 96;

Error unsupported(const std::string& what) { return fail(Code::kUnimplemented, "VT12001: unsupported: " + what); }

size_t bytes_of(const Row& row) {
  size_t bytes = row.size() * sizeof(Row::value_type);
  for (const auto& cell : row) bytes += cell ? cell->size() : 0;
  return bytes;
}

}  // namespace

Error too_many_rows(size_t max_rows) {
  return fail(Code::kResourceExhausted, fmt::format("in-memory row count exceeded allowed limit of {}", max_rows));
}

Status check_warnings(const plan::Merge& merge, uint64_t warnings) {
  if (!merge.warnings_refuse || warnings == 0) return {};
  return unsupported("GROUP BY an alias that may be the name of a column too, over several shards");
}

RowMerge::RowMerge(const plan::Merge& merge, std::vector<mysql::ColumnDef> columns, RowLimits limits)
    : merge_(merge), columns_(std::move(columns)), limits_(limits) {
  hidden_ = columns_.size() - std::min<size_t>(merge_.hidden_columns, columns_.size());
  order_by_ = comparers(merge_.order_by);
  group_by_ = comparers(merge_.group_by);
  if (!merge_.distinct) return;
  std::vector<plan::Merge::Key> all;
  for (uint32_t i = 0; merge_.distinct_by.empty() && i < hidden_; ++i) all.push_back({.column = i});
  distinct_by_ = comparers(merge_.distinct_by.empty() ? all : merge_.distinct_by);
}

std::vector<KeyComparer> RowMerge::comparers(const std::vector<plan::Merge::Key>& keys) const {
  std::vector<KeyComparer> out;
  for (const auto& key : keys) out.emplace_back(key, columns_, hidden_);
  return out;
}

RowMerge::Form RowMerge::form() const {
  if (!merge_.aggregates.empty()) return Form::kGroups;
  return merge_.order_by.empty() ? Form::kAsTheyCome : Form::kInOrder;
}

// Bytes that are the same for rows whose keys are all equal, and for no others.
Result<std::string> RowMerge::identity(const std::vector<KeyComparer>& keys, const Row& row) const {
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

Status RowMerge::keep(size_t rows, size_t bytes) {
  if (rows > limits_.max_rows) return too_many_rows(limits_.max_rows);
  return limits_.memory == nullptr ? Status{} : limits_.memory->add(bytes + kRowOverhead);
}

Status RowMerge::add(Row row) {
  ASSIGN_OR_RETURN(std::string key, identity(group_by_, row));
  const size_t bytes = key.size();
  const auto [found, fresh] = places_.emplace(std::move(key), groups_.size());
  if (fresh) {
    groups_.push_back(std::move(row));
    return keep(groups_.size(), bytes + bytes_of(groups_.back()));
  }
  Row& into = groups_[found->second];
  for (const auto& item : merge_.aggregates) RETURN_IF_ERROR(fold(item, into, row));
  return {};
}

Status RowMerge::fold(const plan::Merge::Aggregate& item, Row& into_row, const Row& row) const {
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

Result<std::vector<Row>> RowMerge::groups() {
  std::vector<Row> rows = std::move(groups_);
  if (order_by_.empty()) return rows;
  std::optional<Error> error;
  std::vector<size_t> order(rows.size());  // Rows that are equal stay in the order in which they came.
  std::iota(order.begin(), order.end(), size_t{0});
  // A heap sort: it stays inside the range even when a comparison fails half-way.
  std::partial_sort(order.begin(), order.end(), order.end(), [&](size_t x, size_t y) {
    const auto compared = compare(rows[x], rows[y]);
    if (!compared.ok() && !error) error = compared.error();
    return compared.ok() && *compared != 0 ? *compared < 0 : x < y;
  });
  if (error) return std::move(*error);
  std::vector<Row> sorted;
  sorted.reserve(rows.size());
  for (const size_t i : order) sorted.push_back(std::move(rows[i]));
  return sorted;
}

bool RowMerge::admit() {
  const uint64_t place = met_++;
  if (place < merge_.offset || (merge_.limit && place - merge_.offset >= *merge_.limit)) return false;
  ++sent_;
  return true;
}

bool RowMerge::done() const {
  return merge_.limit && !merge_.count_found_rows && met_ >= merge_.offset && met_ - merge_.offset >= *merge_.limit;
}

Result<bool> RowMerge::is_new(const Row& row) {
  if (!merge_.distinct) return true;
  ASSIGN_OR_RETURN(std::string key, identity(distinct_by_, row));
  const size_t bytes = key.size();
  if (!seen_.insert(std::move(key)).second) return false;
  RETURN_IF_ERROR(keep(seen_.size(), bytes));
  return true;
}

Result<int> RowMerge::compare(const Row& a, const Row& b) const {
  for (size_t i = 0; i < order_by_.size(); ++i) {
    ASSIGN_OR_RETURN(const int order, order_by_[i].compare(a, b));
    if (order != 0) return merge_.order_by[i].descending ? -order : order;
  }
  return 0;
}

Result<bool> InOrder::before(const Head& a, const Head& b) const {
  ASSIGN_OR_RETURN(const int order, merge_.compare(a.row, b.row));
  return order != 0 ? order < 0 : a.shard < b.shard;
}

Status InOrder::push(size_t shard, Row row) {
  heads_.push_back({shard, std::move(row)});
  for (size_t at = heads_.size() - 1; at > 0;) {
    const size_t parent = (at - 1) / 2;
    ASSIGN_OR_RETURN(const bool earlier, before(heads_[at], heads_[parent]));
    if (!earlier) break;
    std::swap(heads_[at], heads_[parent]);
    at = parent;
  }
  return {};
}

Result<InOrder::Head> InOrder::pop() {
  Head first = std::move(heads_.front());
  heads_.front() = std::move(heads_.back());
  heads_.pop_back();
  for (size_t at = 0;;) {
    size_t least = at;
    for (const size_t child : {2 * at + 1, 2 * at + 2}) {
      if (child >= heads_.size()) continue;
      ASSIGN_OR_RETURN(const bool earlier, before(heads_[child], heads_[least]));
      if (earlier) least = child;
    }
    if (least == at) break;
    std::swap(heads_[at], heads_[least]);
    at = least;
  }
  return first;
}

}  // namespace vitrail::exec
