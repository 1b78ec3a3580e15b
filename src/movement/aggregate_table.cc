#include "movement/aggregate_table.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>

#include "base/text.h"
#include "mysqld/rows.h"

namespace vitrail::movement {
namespace {

constexpr size_t kStatementBytes = 1u << 20;

std::optional<__int128> whole_number(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return negative ? -static_cast<__int128>(value) : static_cast<__int128>(value);
}

}  // namespace

Result<AggregateTable> AggregateTable::bind(const TableSchema& target, std::string_view database, const TablePlan& plan,
                                            const google::protobuf::RepeatedPtrField<::query::Field>& fields) {
  AggregateTable out;
  out.schema_ = target;
  out.source_ = plan.source;
  out.table_ = fmt::format("{}.{}", mysqld::quote_identifier(database), mysqld::quote_identifier(target.name));
  for (const auto& field : fields) out.types_.push_back(field.type());
  const auto refuse = [&](const std::string& why) {
    return fail(Code::kFailedPrecondition, fmt::format("table {}: {}", target.name, why));
  };
  const auto find_field = [&](const std::string& name) -> std::optional<size_t> {
    for (int i = 0; i < fields.size(); ++i) {
      if (base::equals_ignoring_case(fields[i].name(), name)) return static_cast<size_t>(i);
    }
    return std::nullopt;
  };
  std::string columns;
  for (const auto& item : plan.query.items) {
    const auto column = target.find_column(item.alias);
    if (!column) return refuse(fmt::format("it has no column {} on the target: add it there", item.alias));
    const std::string name = mysqld::quote_identifier(target.columns[*column].name);
    columns += (columns.empty() ? "" : ", ") + name;
    if (item.kind != RowQuery::ItemKind::kColumn) {
      out.tail_ += fmt::format("{}{} = {} + VALUES({})", out.tail_.empty() ? "" : ", ", name, name, name);
    }
    if (item.kind == RowQuery::ItemKind::kCount) {
      if (out.count_) return refuse("count(*) is selected twice");
      out.count_ = *column;
      continue;
    }
    const auto field = find_field(item.column);
    if (!field) return refuse(fmt::format("the stream does not have column {}", item.column));
    if (item.kind == RowQuery::ItemKind::kColumn) {
      out.groups_.push_back({*field, *column});
      continue;
    }
    const bool exact = has_flag(out.types_[*field], ::query::ISINTEGRAL) || out.types_[*field] == ::query::DECIMAL;
    if (!exact) return refuse(fmt::format("sum({}): only whole numbers and decimals add up exactly", item.column));
    out.sums_.push_back({*field, *column});
  }
  std::vector<size_t> grouped;
  for (const Part& group : out.groups_) grouped.push_back(group.column);
  std::vector<size_t> identity = target.identity;
  std::ranges::sort(grouped);
  std::ranges::sort(identity);
  if (grouped != identity) return refuse("its primary key on the target has to be the columns of GROUP BY");
  for (const std::string& name : plan.source_key) {
    const auto field = find_field(name);
    if (!field || !has_flag(out.types_[*field], ::query::ISINTEGRAL)) {
      return refuse(fmt::format("column {} of the source's key is no whole number", name));
    }
    out.key_.push_back(*field);
  }
  out.head_ = fmt::format("INSERT INTO {} ({}) VALUES ", out.table_, columns);
  out.items_ = plan.query.items;
  return out;
}

Status AggregateTable::set_copied(const std::optional<::query::QueryResult>& last) {
  all_copied_ = !last;
  last_.clear();
  if (!last || last->rows_size() == 0) return {};
  std::vector<mysql::Cell> cells;
  RETURN_IF_ERROR(read_row(last->rows(0), static_cast<size_t>(last->fields_size()), cells));
  if (cells.size() != key_.size()) {
    return fail(Code::kFailedPrecondition, fmt::format("table {} has another key than when its copy began", source_));
  }
  for (const auto& cell : cells) {
    const auto number = cell ? whole_number(*cell) : std::nullopt;
    if (!number) return fail(Code::kFailedPrecondition, fmt::format("a key of table {} is no whole number", source_));
    last_.push_back(*number);
  }
  return {};
}

Status AggregateTable::read(const ::query::Row& row) const { return read_row(row, types_.size(), cells_); }

Result<bool> AggregateTable::is_copied(const ::query::Row& row) const {
  if (all_copied_) return true;
  if (last_.empty()) return false;
  RETURN_IF_ERROR(read(row));
  for (size_t i = 0; i < key_.size(); ++i) {
    const auto number = cells_[key_[i]] ? whole_number(*cells_[key_[i]]) : std::nullopt;
    if (!number) return fail(Code::kInternal, fmt::format("a key of table {} is no whole number", source_));
    if (*number != last_[i]) return *number < last_[i];
  }
  return true;
}

Status AggregateTable::add(const ::query::Row& row, std::vector<std::string>& statements) {
  RETURN_IF_ERROR(read(row));
  const bool joins =
      !statements.empty() && statements.back().starts_with(head_) && statements.back().size() < kStatementBytes;
  std::string values = "(";
  size_t group = 0, sum = 0;
  for (const auto& item : items_) {
    if (values.size() > 1) values += ",";
    if (item.kind == RowQuery::ItemKind::kCount) {
      values += "1";
      continue;
    }
    const Part& part = item.kind == RowQuery::ItemKind::kSum ? sums_[sum++] : groups_[group++];
    if (!cells_[part.field]) {
      return fail(Code::kFailedPrecondition,
                  fmt::format("table {}: a row of {} has NULL in column {}", schema_.name, source_, item.column));
    }
    append_value_literal(values, schema_.columns[part.column], types_[part.field], cells_[part.field]);
  }
  values += ")";
  // The tail goes behind the last row of the statement.
  const std::string tail = " ON DUPLICATE KEY UPDATE " + tail_;
  if (joins) {
    std::string& last = statements.back();
    last.resize(last.size() - tail.size());
    last += "," + values + tail;
  } else {
    statements.push_back(head_ + values + tail);
  }
  return {};
}

std::string AggregateTable::group_condition() const {
  std::string out;
  for (const Part& part : groups_) {
    const Column& column = schema_.columns[part.column];
    out += fmt::format("{}{} = ", out.empty() ? "" : " AND ", mysqld::quote_identifier(column.name));
    append_match_literal(out, column, types_[part.field], cells_[part.field].value_or(""));
  }
  return out;
}

Status AggregateTable::remove(const ::query::Row& row, std::vector<std::string>& statements) {
  RETURN_IF_ERROR(read(row));
  std::string sets;
  const auto take = [&](size_t column, std::string_view value) {
    const std::string name = mysqld::quote_identifier(schema_.columns[column].name);
    sets += fmt::format("{}{} = {} - ({})", sets.empty() ? "" : ", ", name, name, value);
  };
  if (count_) take(*count_, "1");
  for (const Part& part : sums_) {
    if (!cells_[part.field]) {
      return fail(Code::kFailedPrecondition,
                  fmt::format("table {}: a row of {} has NULL in a column that is summed", schema_.name, source_));
    }
    take(part.column, *cells_[part.field]);
  }
  const std::string group = group_condition();
  statements.push_back(fmt::format("UPDATE {} SET {} WHERE {}", table_, sets, group));
  // A group without rows is none.
  if (count_) {
    statements.push_back(fmt::format("DELETE FROM {} WHERE {} AND {} = 0", table_, group,
                                     mysqld::quote_identifier(schema_.columns[*count_].name)));
  }
  return {};
}

}  // namespace vitrail::movement
