#include "exec/merge.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <numeric>
#include <set>

#include "exec/number.h"

namespace vitrail::exec {
namespace {

using Row = std::vector<std::optional<std::string>>;

Error unsupported(const std::string& what) { return fail(Code::kUnimplemented, "VT12001: unsupported: " + what); }

enum class Order : uint8_t { kNumber, kFloat, kBytes, kUnknown };

// How values of a column are compared by the server.
Order order_of(const mysql::ColumnDef& column) {
  using mysql::FieldType;
  if (mysql::is_integer_type(column.type) || mysql::is_decimal_type(column.type)) return Order::kNumber;
  if (mysql::is_float_type(column.type)) return Order::kFloat;
  switch (column.type) {
    case FieldType::kDate:
    case FieldType::kDatetime:
    case FieldType::kTimestamp: return Order::kBytes;  // Of fixed width, most significant part first.
    case FieldType::kNull: return Order::kBytes;
    case FieldType::kTime: return Order::kUnknown;  // "-01:00:00", "100:00:00": not in the order of their bytes.
    default: break;
  }
  if (column.flags & (mysql::kFieldEnum | mysql::kFieldSet)) return Order::kUnknown;
  return column.collation == mysql::kBinaryCollation ? Order::kBytes : Order::kUnknown;
}

// -1, 0, 1; NULL first. `weight`: of a text, may be null when the server gives none.
Result<int> compare_cells(const std::optional<std::string>& a, const std::optional<std::string>& b,
                          const mysql::ColumnDef& column, const std::optional<std::string>* weight_a,
                          const std::optional<std::string>* weight_b) {
  if (!a || !b) return a ? 1 : b ? -1 : 0;
  const auto sign = [](auto ordering) { return ordering < 0 ? -1 : ordering > 0 ? 1 : 0; };
  switch (order_of(column)) {
    case Order::kNumber: {
      const auto order = compare_decimals(*a, *b);
      if (!order) return unsupported("a number that cannot be compared: " + *a);
      return sign(*order);
    }
    case Order::kFloat: {
      double x = 0;
      double y = 0;
      std::from_chars(a->data(), a->data() + a->size(), x);
      std::from_chars(b->data(), b->data() + b->size(), y);
      return x < y ? -1 : x > y ? 1 : 0;
    }
    case Order::kBytes: return sign(a->compare(*b) <=> 0);
    case Order::kUnknown: break;
  }
  if (weight_a != nullptr && weight_b != nullptr && *weight_a && *weight_b)
    return sign((*weight_a)->compare(**weight_b) <=> 0);
  return unsupported("comparing values of column " + column.name + " over several shards");
}

class Merger {
 public:
  Merger(const plan::Merge& merge, std::vector<net::QueryResult> results, size_t max_rows)
      : merge_(merge), max_rows_(max_rows), columns_(std::move(results.front().columns)) {
    out_.ok = results.front().ok;
    for (auto& result : results) {
      rows_.insert(rows_.end(), std::make_move_iterator(result.rows.begin()),
                   std::make_move_iterator(result.rows.end()));
    }
  }

  Result<net::QueryResult> run() {
    if (rows_.size() > max_rows_) {
      return fail(Code::kResourceExhausted, fmt::format("in-memory row count exceeded allowed limit of {}", max_rows_));
    }
    hidden_ = columns_.size() - std::min<size_t>(merge_.hidden_columns, columns_.size());
    if (!merge_.aggregates.empty()) RETURN_IF_ERROR(aggregate());
    if (merge_.distinct) RETURN_IF_ERROR(make_distinct());
    RETURN_IF_ERROR(sort());
    cut();
    out_.columns = std::move(columns_);
    out_.columns.resize(hidden_);
    for (auto& row : rows_) row.resize(hidden_);
    out_.rows = std::move(rows_);
    return std::move(out_);
  }

 private:
  size_t place(const plan::Merge::OrderKey& key) const { return key.hidden ? hidden_ + key.column : key.column; }

  // Bytes that are equal for equal values, of a key with its weight.
  Result<std::string> group_key(const Row& row) const {
    std::string out;
    for (const auto& key : merge_.group_by) {
      const size_t at = place(key);
      const auto& cell = row[at];
      const auto& weight = at + 1 < row.size() ? row[at + 1] : row[at];
      const Order order = order_of(columns_[at]);
      const std::optional<std::string>& bytes = order == Order::kUnknown ? weight : cell;
      if (!cell) {
        out += "N";
        continue;
      }
      if (!bytes) return unsupported("grouping by column " + columns_[at].name + " over several shards");
      out += fmt::format("V{}:", bytes->size()) + *bytes;
    }
    return out;
  }

  Status aggregate() {
    std::map<std::string, size_t> groups;
    std::vector<Row> merged;
    for (auto& row : rows_) {
      ASSIGN_OR_RETURN(const std::string key, group_key(row));
      const auto [found, fresh] = groups.emplace(key, merged.size());
      if (fresh) {
        merged.push_back(std::move(row));
        continue;
      }
      Row& into = merged[found->second];
      for (const auto& item : merge_.aggregates) RETURN_IF_ERROR(add(item, into[item.column], row[item.column]));
    }
    rows_ = std::move(merged);
    return {};
  }

  Status add(const plan::Merge::Aggregate& item, std::optional<std::string>& into,
             const std::optional<std::string>& value) {
    using plan::AggregateFunction;
    if (item.function == AggregateFunction::kAny || !value) return {};
    if (!into) {
      into = value;
      return {};
    }
    const mysql::ColumnDef& column = columns_[item.column];
    if (item.function == AggregateFunction::kCount || item.function == AggregateFunction::kSum) {
      if (mysql::is_float_type(column.type)) return unsupported("sums of floating-point numbers over several shards");
      auto sum = add_decimals(*into, *value);
      if (!sum) return unsupported("a sum of values that are no decimal numbers");
      into = std::move(*sum);
      return {};
    }
    ASSIGN_OR_RETURN(const int order, compare_cells(*into, *value, column, nullptr, nullptr));
    if (item.function == AggregateFunction::kMin ? order > 0 : order < 0) into = value;
    return {};
  }

  Status make_distinct() {
    for (size_t i = 0; i < hidden_; ++i) {
      if (order_of(columns_[i]) == Order::kUnknown || order_of(columns_[i]) == Order::kFloat) {
        return unsupported("DISTINCT on column " + columns_[i].name + " over several shards");
      }
    }
    std::set<Row> seen;
    std::vector<Row> kept;
    for (auto& row : rows_) {
      if (seen.insert(row).second) kept.push_back(std::move(row));
    }
    rows_ = std::move(kept);
    return {};
  }

  Status sort() {
    if (merge_.order_by.empty()) return {};
    std::optional<Error> error;
    std::vector<size_t> order(rows_.size());  // Rows that are equal stay in the order in which they came.
    std::iota(order.begin(), order.end(), size_t{0});
    std::sort(order.begin(), order.end(), [&](size_t x, size_t y) {
      const Row& a = rows_[x];
      const Row& b = rows_[y];
      for (const auto& key : merge_.order_by) {
        const size_t at = place(key);
        const std::optional<std::string>* weight_a = key.hidden ? &a[at + 1] : nullptr;
        const std::optional<std::string>* weight_b = key.hidden ? &b[at + 1] : nullptr;
        const auto compared = compare_cells(a[at], b[at], columns_[at], weight_a, weight_b);
        if (!compared.ok()) {
          if (!error) error = compared.error();
          return x < y;
        }
        if (*compared != 0) return key.descending ? *compared > 0 : *compared < 0;
      }
      return x < y;
    });
    std::vector<Row> sorted;
    sorted.reserve(rows_.size());
    for (const size_t i : order) sorted.push_back(std::move(rows_[i]));
    rows_ = std::move(sorted);
    if (error) return std::move(*error);
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
  net::QueryResult out_;
};

}  // namespace

Result<net::QueryResult> merge_results(const plan::Merge& merge, std::vector<net::QueryResult> results,
                                       size_t max_rows) {
  Merger merger(merge, std::move(results), max_rows);
  return merger.run();
}

}  // namespace vitrail::exec
