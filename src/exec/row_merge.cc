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
  if (merge_.first_row) first_row_ = comparers({{.column = *merge_.first_row}});
  extremes_ = std::ranges::any_of(merge_.aggregates, [](const auto& item) {
    return item.function == plan::AggregateFunction::kMin || item.function == plan::AggregateFunction::kMax;
  });
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
  return merge_.order_by.empty() && !merge_.distinct ? Form::kAsTheyCome : Form::kInOrder;
}

// Bytes that are the same for rows whose keys are all equal, and for no others.
Result<std::string> RowMerge::identity(const std::vector<KeyComparer>& keys, Cells row) const {
  std::string out;
  for (const auto& key : keys) {
    if (key.is_null(row)) {
      out += "N";
      continue;
    }
    ASSIGN_OR_RETURN(const std::string bytes, key.identity(row));
    const uint64_t size = bytes.size();
    out += "V";
    out.append(reinterpret_cast<const char*>(&size), sizeof size);
    out += bytes;
  }
  return out;
}

Status RowMerge::keep(size_t rows, size_t bytes) {
  if (rows > limits_.max_rows) return too_many_rows(limits_.max_rows);
  return limits_.memory == nullptr ? Status{} : limits_.memory->add(bytes + kRowOverhead);
}

Status RowMerge::add(Cells row, size_t shard) {
  ASSIGN_OR_RETURN(std::string key, identity(group_by_, row));
  const size_t bytes = key.size();
  const size_t place = taken_++;
  const auto [found, fresh] = places_.try_emplace(std::move(key), groups_.size());
  if (fresh) {
    Group& group = groups_.emplace_back(Group{.shard = shard, .place = place});
    group.row.reserve(row.size());
    for (const auto& cell : row) group.row.emplace_back(cell);
    if (extremes_) group.extremes.assign(merge_.aggregates.size(), shard);
    return keep(groups_.size(), bytes + bytes_of(group.row) + group.extremes.size() * sizeof(size_t));
  }
  Group& into = groups_[found->second];
  ASSIGN_OR_RETURN(const bool first, leads(into, row, shard));
  for (size_t i = 0; i < merge_.aggregates.size(); ++i) RETURN_IF_ERROR(fold(i, into, row, shard, first));
  if (first) {
    into.shard = shard;
    into.place = place;
  }
  return {};
}

Result<bool> RowMerge::leads(const Group& group, Cells row, size_t shard) const {
  if (!first_row_.empty()) {
    std::vector<mysql::Cell> room;
    ASSIGN_OR_RETURN(const int order, first_row_.front().compare(row, cells_of(group.row, room)));
    if (order != 0) return order < 0;
  }
  return shard < group.shard;
}

Status RowMerge::fold(size_t item, Group& group, Cells row, size_t shard, bool leads) const {
  using plan::AggregateFunction;
  const auto& aggregate = merge_.aggregates[item];
  const auto& value = row[aggregate.column];
  switch (aggregate.function) {
    case AggregateFunction::kAny:
      if (leads) group.row[aggregate.column] = value ? std::optional<std::string>(*value) : std::nullopt;
      return {};
    case AggregateFunction::kCount:
    case AggregateFunction::kSum: return add_up(aggregate.column, group.row, row);
    case AggregateFunction::kAvg:
      if (!value) return {};
      RETURN_IF_ERROR(add_up(hidden_ + aggregate.sum, group.row, row));
      return add_up(hidden_ + aggregate.count, group.row, row);
    case AggregateFunction::kMin:
    case AggregateFunction::kMax: return value ? take_extreme(item, group, row, shard) : Status{};
  }
  return {};
}

Status RowMerge::take_extreme(size_t item, Group& group, Cells row, size_t shard) const {
  const auto& aggregate = merge_.aggregates[item];
  auto& into = group.row[aggregate.column];
  if (columns_[aggregate.column].type == mysql::FieldType::kBit) {
    return unsupported("MIN and MAX of BIT over several shards");
  }
  if (into) {
    const KeyComparer comparer({.column = aggregate.column, .weight = aggregate.weight}, columns_, hidden_, true);
    std::vector<mysql::Cell> room;
    ASSIGN_OR_RETURN(const int order, comparer.compare(cells_of(group.row, room), row));
    const bool further = aggregate.function == plan::AggregateFunction::kMin ? order > 0 : order < 0;
    if (!further && (order != 0 || shard >= group.extremes[item])) return {};
  }
  into.emplace(*row[aggregate.column]);
  group.extremes[item] = shard;
  if (!aggregate.weight) return {};
  for (const size_t at : {hidden_ + *aggregate.weight, hidden_ + *aggregate.weight + 1}) {
    group.row[at] = row[at] ? std::optional<std::string>(*row[at]) : std::nullopt;
  }
  return {};
}

Status RowMerge::add_up(size_t place, Row& into_row, Cells row) const {
  auto& into = into_row[place];
  const auto& value = row[place];
  if (!value) return {};
  if (!into) {
    into.emplace(*value);
    return {};
  }
  if (mysql::is_float_type(columns_[place].type)) {
    return unsupported("sums of floating-point numbers over several shards");
  }
  auto sum = add_decimals(*into, *value);
  if (!sum) return unsupported("a sum of values that are no decimal numbers");
  into = std::move(*sum);
  return {};
}

// Of a floating-point number it is that of the only shard which has rows of the group.
Status RowMerge::divide(const plan::Merge::Aggregate& item, Row& row) const {
  const auto& column = columns_[item.column];
  const auto& sum = row[hidden_ + item.sum];
  const auto& count = row[hidden_ + item.count];
  if (!mysql::is_decimal_type(column.type)) return {};
  if (!sum || !count) {
    row[item.column] = std::nullopt;
    return {};
  }
  auto average = divide_decimal(*sum, *count, column.decimals);
  if (!average) return unsupported("an average of values that are no decimal numbers");
  row[item.column] = std::move(*average);
  return {};
}

Result<bool> RowMerge::satisfies(const plan::Merge::Condition& condition, const Row& row) const {
  const auto& column = columns_[condition.column];
  const bool number = mysql::is_integer_type(column.type) || mysql::is_decimal_type(column.type);
  if (!number || column.type == mysql::FieldType::kYear) {
    return unsupported("HAVING with anything but whole and decimal numbers over several shards");
  }
  const auto& value = row[condition.column];
  if (!value) return false;
  const auto order = compare_decimals(*value, condition.number);
  if (!order) return unsupported("HAVING with values that are no decimal numbers");
  switch (condition.comparison) {
    case sql::BinaryOp::kEqual: return *order == 0;
    case sql::BinaryOp::kNotEqual: return *order != 0;
    case sql::BinaryOp::kLess: return *order < 0;
    case sql::BinaryOp::kLessEqual: return *order <= 0;
    case sql::BinaryOp::kGreater: return *order > 0;
    case sql::BinaryOp::kGreaterEqual: return *order >= 0;
    default: return unsupported("this comparison in HAVING over several shards");
  }
}

Result<std::vector<Row>> RowMerge::groups() {
  std::vector<Group> kept;
  for (Group& group : groups_) {
    for (const auto& item : merge_.aggregates) {
      if (item.function == plan::AggregateFunction::kAvg) RETURN_IF_ERROR(divide(item, group.row));
    }
    bool all_true = true;
    for (const auto& condition : merge_.having) {
      ASSIGN_OR_RETURN(const bool is_true, satisfies(condition, group.row));
      all_true = all_true && is_true;
    }
    if (all_true) kept.push_back(std::move(group));
  }
  groups_.clear();
  ASSIGN_OR_RETURN(const std::vector<size_t> order, sorted(kept));
  std::vector<Row> rows;
  rows.reserve(kept.size());
  for (const size_t i : order) rows.push_back(std::move(kept[i].row));
  return rows;
}

// Equal ones in the order of shards. Without ORDER BY in the order of the keys, as MariaDB does it; keys that cannot be
// put in order here are no reason to refuse what nobody asked for.
Result<std::vector<size_t>> RowMerge::sorted(const std::vector<Group>& groups) const {
  const bool asked = !order_by_.empty();
  const std::vector<plan::Merge::Key> rows = {{}};
  const bool by_rows = !asked && merge_.in_row_order;
  const auto& by = asked ? order_by_ : by_rows ? first_row_ : group_by_;
  const auto& keys = asked ? merge_.order_by : by_rows ? rows : merge_.group_by;
  std::optional<Error> error;
  std::vector<std::vector<mysql::Cell>> cells(groups.size());
  for (size_t i = 0; i < groups.size(); ++i) cells_of(groups[i].row, cells[i]);
  const auto by_origin = [&](size_t x, size_t y) {
    return std::pair(groups[x].shard, groups[x].place) < std::pair(groups[y].shard, groups[y].place);
  };
  std::vector<size_t> order(groups.size());
  std::iota(order.begin(), order.end(), size_t{0});
  // A heap sort: it stays inside the range even when a comparison fails half-way.
  std::partial_sort(order.begin(), order.end(), order.end(), [&](size_t x, size_t y) {
    const auto compared = compare(by, keys, cells[x], cells[y]);
    if (!compared.ok() && !error) error = compared.error();
    return compared.ok() && *compared != 0 ? *compared < 0 : by_origin(x, y);
  });
  if (error && asked) return std::move(*error);
  if (error) std::ranges::sort(order, by_origin);
  return order;
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

Result<bool> RowMerge::is_new(Cells row) {
  if (!merge_.distinct) return true;
  ASSIGN_OR_RETURN(std::string key, identity(distinct_by_, row));
  const size_t bytes = key.size();
  if (!seen_.insert(std::move(key)).second) return false;
  RETURN_IF_ERROR(keep(seen_.size(), bytes));
  return true;
}

Result<int> RowMerge::compare(const std::vector<KeyComparer>& by, const std::vector<plan::Merge::Key>& keys, Cells a,
                              Cells b) {
  for (size_t i = 0; i < by.size(); ++i) {
    ASSIGN_OR_RETURN(const int order, by[i].compare(a, b));
    if (order != 0) return keys[i].descending ? -order : order;
  }
  return 0;
}

Result<bool> InOrder::before(size_t a, size_t b) const {
  ASSIGN_OR_RETURN(const int order, merge_.compare(rows_[a], rows_[b]));
  return order != 0 ? order < 0 : a < b;
}

Status InOrder::push(size_t shard, Cells row) {
  rows_[shard].assign(row.begin(), row.end());
  heads_.push_back(shard);
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
  const size_t first = heads_.front();
  heads_.front() = heads_.back();
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
  return Head{first, rows_[first]};
}

}  // namespace vitrail::exec
