#include "worker/compare.h"

#include <fmt/core.h>

#include <algorithm>
#include <unordered_map>

namespace vitrail::worker {

void DiffReport::add(const DiffReport& other) {
  processed += other.processed;
  matching += other.matching;
  mismatched += other.mismatched;
  extra_left += other.extra_left;
  extra_right += other.extra_right;
}

namespace {
int64_t per_second(int64_t count, base::Duration took) {
  const double seconds = std::max(std::chrono::duration<double>(took).count(), 1e-6);
  return static_cast<int64_t>(static_cast<double>(count) / seconds);
}
}  // namespace

std::string DiffReport::to_string(base::Duration took) const {
  return fmt::format("DiffReport{{{} processed, {} matching, {} mismatched, {} extra left, {} extra right, {} q/s}}",
                     processed + 1, matching, mismatched, extra_left, extra_right, per_second(processed + 1, took));
}

std::string DiffReport::rate_text(base::Duration took) const {
  return fmt::format("{} rows processed, {} qps", processed + 1, per_second(processed + 1, took));
}

Result<RowChooser> RowChooser::make(const std::string& table,
                                    const google::protobuf::RepeatedPtrField<::query::Field>& fields,
                                    const std::string& keyspace, const ::vschema::SrvVSchema& vschema,
                                    const std::string& range) {
  movement::TableSchema schema;
  schema.name = table;
  for (const auto& field : fields) {
    schema.columns.push_back({.name = field.name(), .type = field.type(), .column_type = field.column_type()});
  }
  std::string name;  // The query's own: the filter is bound to the table below.
  ASSIGN_OR_RETURN(const auto query,
                   movement::parse_row_query(fmt::format("select * from t where in_keyrange('{}')", range), name));
  ASSIGN_OR_RETURN(auto filter, movement::RowFilter::bind(query, schema, keyspace, &vschema));
  RowChooser chooser;
  if (!filter.passes_all()) chooser.filter_ = std::make_shared<const movement::RowFilter>(std::move(filter));
  return chooser;
}

Result<bool> RowChooser::wants(std::span<const mysql::Cell> cells) const {
  if (filter_ == nullptr) return true;
  inputs_.clear();
  for (const size_t column : filter_->inputs()) inputs_.push_back(cells[column]);
  return filter_->matches(inputs_);
}

Result<Differences> compare(const movement::TargetTable& table, const std::vector<const ::query::Row*>& left,
                            const std::vector<const ::query::Row*>& right) {
  struct Entry {
    const ::query::Row* row;
    bool met = false;
  };
  std::unordered_map<std::string, Entry> by_key;
  std::vector<const Entry*> order;  // Rows are written in the order of the source's keys.
  std::vector<mysql::Cell> cells;
  std::vector<mysql::Cell> other;
  std::string key;
  Differences out;
  for (const ::query::Row* row : left) {
    RETURN_IF_ERROR(movement::read_row(*row, table.field_count(), cells));
    RETURN_IF_ERROR(table.key_of(cells, key));
    const auto [known, added] = by_key.try_emplace(key, Entry{row});
    if (added) {
      order.push_back(&known->second);
      ++out.report.processed;
      continue;
    }
    // Two sources have it: a reference table is the same on all of them.
    RETURN_IF_ERROR(movement::read_row(*known->second.row, table.field_count(), other));
    if (std::ranges::equal(cells, other)) continue;
    return fail(Code::kDataLoss,
                fmt::format("table {}: two source shards have different rows of one key", table.schema().name));
  }
  for (const ::query::Row* row : right) {
    RETURN_IF_ERROR(movement::read_row(*row, table.field_count(), cells));
    RETURN_IF_ERROR(table.key_of(cells, key));
    const auto found = by_key.find(key);
    if (found == by_key.end()) {
      ++out.report.processed;
      ++out.report.extra_right;
      out.remove.push_back(row);
      continue;
    }
    RETURN_IF_ERROR(movement::read_row(*found->second.row, table.field_count(), other));
    const bool equal = std::ranges::all_of(table.bindings(), [&](const movement::TargetTable::Binding& binding) {
      return cells[binding.field] == other[binding.field];
    });
    found->second.met = equal;
    if (equal) {
      ++out.report.matching;
    } else {
      ++out.report.mismatched;
      out.remove.push_back(row);
    }
  }
  for (const Entry* entry : order) {
    if (entry->met) continue;
    out.write.push_back(entry->row);
  }
  out.report.extra_left = static_cast<int64_t>(out.write.size()) - out.report.mismatched;
  return out;
}

Result<std::vector<std::string>> write_statements(const movement::TargetTable& table, const Differences& differences,
                                                  const WriteLimits& limits) {
  std::vector<std::string> out;
  std::vector<mysql::Cell> cells;
  std::string sql;
  size_t rows = 0;
  const auto finish = [&](std::string_view end) {
    if (rows == 0) return;
    sql += end;
    out.push_back(std::move(sql));
    sql.clear();
    rows = 0;
  };
  for (const ::query::Row* row : differences.remove) {
    RETURN_IF_ERROR(movement::read_row(*row, table.field_count(), cells));
    sql += rows == 0 ? std::string_view(table.delete_head()) : table.key_separator();
    table.append_key(sql, cells);
    if (++rows >= limits.rows_max || sql.size() >= limits.bytes_max) finish(")");
  }
  finish(")");
  // A row that is in the way by a unique key is an old one: what belongs there comes with its own interval.
  const std::string head = "REPLACE" + table.insert_head().substr(std::string_view("INSERT").size());
  for (const ::query::Row* row : differences.write) {
    RETURN_IF_ERROR(movement::read_row(*row, table.field_count(), cells));
    std::string values;
    table.append_values(values, cells);
    if (rows != 0 && sql.size() + values.size() > limits.bytes_max) finish("");
    sql += rows == 0 ? std::string_view(head) : std::string_view(", ");
    sql += values;
    if (++rows >= limits.rows_max) finish("");
  }
  finish("");
  return out;
}

}  // namespace vitrail::worker
