#include "movement/target_table.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "base/text.h"
#include "mysql/binlog_rows.h"
#include "mysqld/rows.h"

namespace vitrail::movement {
namespace {

constexpr size_t kStatementBytes = 1u << 20;
// More values in one IN list, and MariaDB turns it into a join with a temporary table.
constexpr size_t kKeysPerDelete = 500;
// Less is not worth a round trip of its own.
constexpr size_t kLoadRows = 1000;
constexpr uint64_t kLoadBytes = 256u << 10;

bool can_load_type(const Column& column, ::query::Type source_type) {
  switch (column.type) {
    case ::query::ENUM:
    case ::query::SET: return !has_flag(source_type, ::query::ISINTEGRAL);  // A number might be the name of a member.
    case ::query::BIT:
    case ::query::GEOMETRY:
    case ::query::JSON:
    case ::query::VECTOR: return false;
    default: return !column.column_type.starts_with("uuid") && !column.column_type.starts_with("inet");
  }
}

bool is_enum_without_blank(const Column& column) {
  if (column.type != ::query::ENUM) return false;
  const auto hint = mysql::RowColumnHint::from_column_type(column.column_type);
  return hint.ok() && std::ranges::find(hint->members, "") == hint->members.end();
}

}  // namespace

Result<TargetTable> TargetTable::bind(const TableSchema& table, std::string_view database,
                                      const google::protobuf::RepeatedPtrField<::query::Field>& fields) {
  TargetTable out;
  out.schema_ = table;
  out.fields_ = static_cast<size_t>(fields.size());
  out.qualified_ = fmt::format("{}.{}", mysqld::quote_identifier(database), mysqld::quote_identifier(table.name));
  if (table.identity.empty()) {
    return fail(
        Code::kFailedPrecondition,
        fmt::format("table {} has neither a primary key nor a unique key without NULLs on the target", table.name));
  }
  std::string columns;
  for (int i = 0; i < fields.size(); ++i) {
    const auto column = table.find_column(fields[i].name());
    if (!column) {
      return fail(Code::kFailedPrecondition,
                  fmt::format("table {} has no column {} on the target: add it there", table.name, fields[i].name()));
    }
    if (table.columns[*column].is_generated) continue;
    if (is_enum_without_blank(table.columns[*column])) out.enums_.push_back(out.bindings_.size());
    out.bindings_.push_back({static_cast<size_t>(i), *column, fields[i].type()});
    if (!columns.empty()) columns += ", ";
    columns += mysqld::quote_identifier(table.columns[*column].name);
    if (!can_load_type(table.columns[*column], fields[i].type())) out.can_load_ = false;
  }
  for (const size_t column : table.identity) {
    const auto found = std::find_if(out.bindings_.begin(), out.bindings_.end(),
                                    [column](const Binding& binding) { return binding.column == column; });
    if (found == out.bindings_.end()) {
      return fail(Code::kFailedPrecondition, fmt::format("table {}: the stream does not have column {} of the key",
                                                         table.name, table.columns[column].name));
    }
    out.key_.push_back(static_cast<size_t>(found - out.bindings_.begin()));
  }
  out.insert_head_ = fmt::format("INSERT INTO {} ({}) VALUES ", out.qualified_, columns);
  const std::string where = out.has_single_key()
                                ? fmt::format("FROM {} WHERE {} IN (", out.qualified_,
                                              mysqld::quote_identifier(table.columns[table.identity[0]].name))
                                : fmt::format("FROM {} WHERE (", out.qualified_);
  out.delete_head_ = "DELETE " + where;
  out.count_head_ = "SELECT COUNT(*) " + where;
  return out;
}

Status TargetTable::key_of(std::span<const mysql::Cell> cells, std::string& key) const {
  key.clear();
  for (const size_t part : key_) {
    const mysql::Cell& cell = cells[bindings_[part].field];
    if (!cell) return fail(Code::kDataLoss, fmt::format("a row of table {} has NULL in its key", schema_.name));
    const auto size = static_cast<uint32_t>(cell->size());
    key.append(reinterpret_cast<const char*>(&size), sizeof size);
    key.append(*cell);
  }
  return {};
}

void TargetTable::append_values(std::string& out, std::span<const mysql::Cell> cells) const {
  char separator = '(';
  for (size_t i = 0; i < bindings_.size(); ++i) {
    const Binding& binding = bindings_[i];
    out += separator;
    if (is_blank(i, cells)) {
      out += '1';
    } else {
      append_value_literal(out, schema_.columns[binding.column], binding.source_type, cells[binding.field]);
    }
    separator = ',';
  }
  out += ')';
}

bool TargetTable::is_blank(size_t binding, std::span<const mysql::Cell> cells) const {
  if (enums_.empty() || std::ranges::find(enums_, binding) == enums_.end()) return false;
  const mysql::Cell& cell = cells[bindings_[binding].field];
  return cell && (cell->empty() || (has_flag(bindings_[binding].source_type, ::query::ISINTEGRAL) && *cell == "0"));
}

bool TargetTable::has_blank_enum(std::span<const mysql::Cell> cells) const {
  return std::ranges::any_of(enums_, [&](size_t binding) { return is_blank(binding, cells); });
}

std::string TargetTable::blank_enums(std::span<const mysql::Cell> cells) const {
  std::string set;
  const auto assign = [&set](const Column& column, std::string_view value) {
    set += fmt::format("{}{} = {}", set.empty() ? "" : ", ", mysqld::quote_identifier(column.name), value);
  };
  for (const size_t binding : enums_) {
    if (is_blank(binding, cells)) assign(schema_.columns[bindings_[binding].column], "''");
  }
  // Those that an UPDATE would set to now by itself.
  for (const Binding& binding : bindings_) {
    const Column& column = schema_.columns[binding.column];
    if (column.type != ::query::TIMESTAMP && column.type != ::query::DATETIME) continue;
    assign(column, mysqld::quote_identifier(column.name));
  }
  std::string where;
  for (const size_t part : key_) {
    const Binding& binding = bindings_[part];
    where += fmt::format("{}{} = ", where.empty() ? "" : " AND ",
                         mysqld::quote_identifier(schema_.columns[binding.column].name));
    if (is_blank(part, cells)) {
      where += '1';
    } else {
      append_match_literal(where, schema_.columns[binding.column], binding.source_type,
                           cells[binding.field].value_or(""));
    }
  }
  // For this statement only the session is not strict; MariaDB and MySQL each read their own way of saying so.
  return fmt::format(
      "/*M! SET STATEMENT sql_mode = 'ALLOW_INVALID_DATES' FOR */ UPDATE /*+ SET_VAR(sql_mode = 'ALLOW_INVALID_DATES') "
      "*/ {} SET {} WHERE {}",
      qualified_, set, where);
}

void TargetTable::append_key(std::string& out, std::span<const mysql::Cell> cells) const {
  for (size_t i = 0; i < key_.size(); ++i) {
    const Binding& binding = bindings_[key_[i]];
    const Column& column = schema_.columns[binding.column];
    if (!has_single_key()) {
      out += i == 0 ? "(" : " AND ";
      out += mysqld::quote_identifier(column.name);
      out += " = ";
    }
    append_match_literal(out, column, binding.source_type, cells[binding.field].value_or(""));
  }
  if (!has_single_key()) out += ')';
}

std::string TargetTable::compare_query(std::span<const mysql::Cell> cells) const {
  std::string sql = "SELECT ";
  bool first = true;
  for (const Binding& binding : bindings_) {
    const Column& column = schema_.columns[binding.column];
    if (column.type == ::query::JSON) continue;  // No text of it is canonical.
    if (!first) sql += " AND ";
    first = false;
    const std::string name = mysqld::quote_identifier(column.name);
    const mysql::Cell& cell = cells[binding.field];
    sql += column.type == ::query::FLOAT32 ? fmt::format("CAST({} AS DOUBLE)", name)
           : column.type == ::query::BIT   ? name + "+0"
           : (column.type == ::query::ENUM || column.type == ::query::SET) &&
                   has_flag(binding.source_type, ::query::ISINTEGRAL)
               ? name + "+0"
               : name;
    sql += " <=> ";
    if (cell && (column.type == ::query::FLOAT32 || column.type == ::query::BIT)) {
      append_match_literal(sql, column, binding.source_type, *cell);
    } else {
      append_value_literal(sql, column, binding.source_type, cell);
    }
  }
  sql += fmt::format(" FROM {} WHERE ", qualified_);
  if (has_single_key()) sql += mysqld::quote_identifier(schema_.columns[schema_.identity[0]].name) + " = ";
  append_key(sql, cells);
  return sql;
}

std::string TargetTable::load_statement() const {
  std::string columns;
  for (const Binding& binding : bindings_) {
    if (!columns.empty()) columns += ", ";
    columns += mysqld::quote_identifier(schema_.columns[binding.column].name);
  }
  return fmt::format("LOAD DATA LOCAL INFILE 'rows' INTO TABLE {} CHARACTER SET binary ({})", qualified_, columns);
}

void TargetTable::append_line(std::string& out, const TargetTable& table, std::span<const mysql::Cell> cells) {
  // The default format of LOAD DATA: tab between fields, line feed at the end, backslash before what is special.
  static constexpr auto kSpecial = [] {
    std::array<bool, 256> special{};
    for (const unsigned char c : {'\0', '\t', '\n', '\\'}) special[c] = true;
    return special;
  }();
  bool first = true;
  for (const Binding& binding : table.bindings_) {
    if (!first) out += '\t';
    first = false;
    const mysql::Cell& cell = cells[binding.field];
    if (!cell) {
      out += "\\N";
      continue;
    }
    const char* run = cell->data();
    const char* const end = run + cell->size();
    for (const char* at = run; at != end; ++at) {
      if (!kSpecial[static_cast<unsigned char>(*at)]) continue;
      out.append(run, at);
      out += '\\';
      out += *at == '\0' ? '0' : *at == '\t' ? 't' : *at == '\n' ? 'n' : '\\';
      run = at + 1;
    }
    out.append(run, end);
  }
  out += '\n';
}

::query::QueryResult TargetTable::key_result(const std::vector<std::optional<std::string>>& row,
                                             const google::protobuf::RepeatedPtrField<::query::Field>& pkfields) const {
  ::query::QueryResult out;
  *out.mutable_fields() = pkfields;
  ::query::Row& key = *out.add_rows();
  for (const size_t part : key_) append_cell(key, row[part] ? mysql::Cell(*row[part]) : mysql::Cell());
  return out;
}

std::string TargetTable::read_list() const {
  std::string list;
  for (const Binding& binding : bindings_) {
    if (!list.empty()) list += ", ";
    list += read_expression(schema_.columns[binding.column]);
  }
  return list;
}

// --- RowBatch -------------------------------------------------------------------------------------------------------

Status RowBatch::insert(::query::Row row) {
  RETURN_IF_ERROR(read_row(row, table_->field_count(), cells_));
  RETURN_IF_ERROR(table_->key_of(cells_, key_));
  bytes_ += row.values().size() + 8 * static_cast<size_t>(row.lengths_size());
  if (indexed_) return enter(std::move(row));
  has_blank_ = has_blank_ || table_->has_blank_enum(cells_);
  inserts_.push_back(std::move(row));
  return {};
}

Status RowBatch::index_inserts() {
  indexed_ = true;
  entries_.reserve(inserts_.size() + 1);
  for (::query::Row& row : inserts_) {
    RETURN_IF_ERROR(read_row(row, table_->field_count(), cells_));
    RETURN_IF_ERROR(table_->key_of(cells_, key_));
    RETURN_IF_ERROR(enter(std::move(row)));
  }
  inserts_.clear();
  return {};
}

// The row whose key is in key_.
Status RowBatch::enter(::query::Row row) {
  const auto [at, made] = entries_.try_emplace(key_);
  Entry& entry = at->second;
  if (made) order_.push_back(&entry);
  if (entry.present) {
    return fail(Code::kDataLoss, fmt::format("the log inserts a row of table {} twice", table_->schema().name));
  }
  entry.present = true;
  entry.row = std::move(row);
  return {};
}

Status RowBatch::remove(const ::query::Row& row) {
  if (!indexed_) RETURN_IF_ERROR(index_inserts());
  RETURN_IF_ERROR(read_row(row, table_->field_count(), cells_));
  RETURN_IF_ERROR(table_->key_of(cells_, key_));
  const auto [at, made] = entries_.try_emplace(key_);
  Entry& entry = at->second;
  if (made) {
    order_.push_back(&entry);
    entry.existed = true;
    table_->append_key(entry.match, cells_);
    bytes_ += entry.match.size();
  }
  entry.present = false;
  entry.row.Clear();
  return {};
}

void RowBatch::append_deletes(std::vector<std::string>& statements) const {
  std::string sql;
  size_t count = 0;
  const auto finish = [&] {
    if (count == 0) return;
    sql += ')';
    statements.push_back(std::move(sql));
    sql.clear();
    count = 0;
  };
  for (const Entry* entry : order_) {
    if (!entry->existed) continue;
    sql += count == 0 ? std::string_view(table_->delete_head()) : table_->key_separator();
    sql += entry->match;
    if (++count >= kKeysPerDelete || sql.size() >= kStatementBytes) finish();
  }
  finish();
}

void RowBatch::append_inserts(std::vector<std::string>& statements,
                              const std::vector<const ::query::Row*>& skip) const {
  std::string sql;
  std::vector<mysql::Cell> cells;
  std::vector<std::string> blank;
  const auto add = [&](const ::query::Row& row) {
    if (!skip.empty() && std::find(skip.begin(), skip.end(), &row) != skip.end()) return;
    if (!read_row(row, table_->field_count(), cells).has_value()) return;  // Checked by insert().
    if (table_->has_blank_enum(cells)) blank.push_back(table_->blank_enums(cells));
    if (sql.empty()) {
      sql += table_->insert_head();
    } else {
      sql += ", ";
    }
    table_->append_values(sql, cells);
    if (sql.size() >= kStatementBytes) {
      statements.push_back(std::move(sql));
      sql.clear();
    }
  };
  for (const ::query::Row& row : inserts_) add(row);
  for (const Entry* entry : order_) {
    if (entry->present) add(entry->row);
  }
  if (!sql.empty()) statements.push_back(std::move(sql));
  for (std::string& statement : blank) statements.push_back(std::move(statement));
}

bool RowBatch::may_load() const {
  return !indexed_ && !has_blank_ && inserts_.size() >= kLoadRows && bytes_ >= kLoadBytes && table_->can_load();
}

std::string RowBatch::load_file() const {
  std::string file;
  std::vector<mysql::Cell> cells;
  file.reserve(bytes_);
  for (const ::query::Row& row : inserts_) {
    if (read_row(row, table_->field_count(), cells).has_value()) TargetTable::append_line(file, *table_, cells);
  }
  return file;
}

std::vector<const ::query::Row*> RowBatch::fresh() const {
  std::vector<const ::query::Row*> rows;
  for (const ::query::Row& row : inserts_) rows.push_back(&row);
  for (const Entry* entry : order_) {
    if (entry->present && !entry->existed) rows.push_back(&entry->row);
  }
  return rows;
}

}  // namespace vitrail::movement
