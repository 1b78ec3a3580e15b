#include "plan/lookup_text.h"

#include <fmt/core.h>

#include "mysql/convert.h"
#include "plan/key_value.h"

namespace vitrail::plan {
namespace {

void add_names(std::string& out, std::span<const std::string> names) {
  for (const auto& name : names) {
    if (&name != &names.front()) out += ", ";
    mysql::append_sql_identifier(out, name);
  }
}

void add_equal(std::string& out, std::string_view column, const mysql::Value& value) {
  mysql::append_sql_identifier(out, column);
  out += value.is_null() ? " <=> " : " = ";
  mysql::append_sql_literal(out, value);
}

}  // namespace

std::string lookup_table(const shard::Lookup& lookup) {
  std::string out;
  if (!lookup.keyspace.empty()) {
    mysql::append_sql_identifier(out, lookup.keyspace);
    out += ".";
  }
  mysql::append_sql_identifier(out, lookup.table);
  return out;
}

Result<mysql::Value> lookup_from(const shard::Lookup& lookup, const mysql::Value& value, std::string_view charset) {
  if (lookup.form != shard::Lookup::Form::kLooseHash || value.is_null()) return value;
  const bool text = mysql::is_string_type(value.type) && !mysql::is_temporal_type(value.type);
  const auto utf8 = value.is_binary ? std::optional(value.bytes) : to_utf8(value.bytes, charset);
  if ((!text && !mysql::is_integer_type(value.type)) || !utf8) {
    return fail(Code::kInvalidArgument,
                fmt::format("vindex {} of type {}: {} is no text", lookup.name, lookup.type, value.bytes));
  }
  ASSIGN_OR_RETURN(const uint64_t number, shard::loose_number(*utf8));
  return mysql::Value::of_uint(number);
}

Result<mysql::Value> lookup_to(const shard::Lookup& lookup, const shard::KeyspaceId& id) {
  ASSIGN_OR_RETURN(auto stored, lookup.stored(id));
  if (const auto* number = std::get_if<uint64_t>(&stored)) return mysql::Value::of_uint(*number);
  return mysql::Value::of_binary(std::get<std::string>(std::move(stored)));
}

Result<LookupRow> lookup_row(const shard::Lookup& lookup, std::span<const mysql::Value> values,
                             const shard::KeyspaceId& id, std::string_view charset) {
  LookupRow row;
  for (const auto& value : values) {
    ASSIGN_OR_RETURN(auto from, lookup_from(lookup, value, charset));
    row.push_back(std::move(from));
  }
  ASSIGN_OR_RETURN(auto to, lookup_to(lookup, id));
  row.push_back(std::move(to));
  return row;
}

std::string all_equal(std::span<const std::string> columns, std::span<const mysql::Value> values) {
  std::string out;
  for (size_t i = 0; i < columns.size() && i < values.size(); ++i) {
    if (i > 0) out += " and ";
    add_equal(out, columns[i], values[i]);
  }
  return out;
}

std::string lookup_select(const shard::Lookup& lookup, std::span<const size_t> places,
                          std::span<const mysql::Value> values, bool list, std::string_view lock) {
  std::string out = "select ";
  mysql::append_sql_identifier(out, lookup.to);
  out += " from " + lookup_table(lookup) + " where ";
  if (list) {
    mysql::append_sql_identifier(out, lookup.from[places[0]]);
    out += " in (";
    for (const auto& value : values) {
      if (&value != &values.front()) out += ", ";
      mysql::append_sql_literal(out, value);
    }
    out += ")";
  } else {
    for (size_t i = 0; i < places.size(); ++i) {
      if (i > 0) out += " and ";
      add_equal(out, lookup.from[places[i]], values[i]);
    }
  }
  return out.append(lock);
}

std::string lookup_insert(const shard::Lookup& lookup, std::span<const LookupRow> rows) {
  std::string out = "insert into " + lookup_table(lookup) + "(";
  add_names(out, lookup.from);
  out += ", ";
  mysql::append_sql_identifier(out, lookup.to);
  out += ") values ";
  for (const auto& row : rows) {
    out += &row == &rows.front() ? "(" : ", (";
    for (const auto& value : row) {
      if (&value != &row.front()) out += ", ";
      mysql::append_sql_literal(out, value);
    }
    out += ")";
  }
  if (lookup.unique) return out;
  out += " on duplicate key update ";
  mysql::append_sql_identifier(out, lookup.to);
  out += " = values(";
  mysql::append_sql_identifier(out, lookup.to);
  return out + ")";
}

std::string lookup_condition(const shard::Lookup& lookup, std::span<const LookupRow> rows) {
  std::string out;
  for (const auto& row : rows) {
    out += &row == &rows.front() ? "(" : " or (";
    out += all_equal(lookup.from, row) + " and ";
    add_equal(out, lookup.to, row.back());
    out += ")";
  }
  return out;
}

std::string_view lock_text(shard::Lookup::ReadLock lock) {
  switch (lock) {
    case shard::Lookup::ReadLock::kExclusive: return " for update";
    case shard::Lookup::ReadLock::kShared: return " lock in share mode";
    case shard::Lookup::ReadLock::kNone: break;
  }
  return "";
}

std::string shown_values(std::span<const mysql::Value> values) {
  std::string out = "'";
  for (const auto& value : values) {
    if (&value != &values.front()) out += "-";
    out += value.is_null() ? "NULL" : value.bytes;
  }
  return out + "'";
}

}  // namespace vitrail::plan
